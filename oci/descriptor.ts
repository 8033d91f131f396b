/**
 * Descriptors: how one piece of content names another by type, digest and size.
 *
 * Whether that content exists is asked elsewhere. Invariant: a Descriptor's size is a safe non-negative integer and its digest of valid grammar.
 */
import { type Digest, isDigest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { isObject } from './strict-json.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly sizeBytes: number
}

/**
 * The checked part of a descriptor in a manifest; `data`, `urls`, `platform` and unknown fields stay with the manifest's bytes.
 *
 * @param where the field as the reader knows it, such as `layers[3]`; every message starts with it.
 * @throws {RegistryError} manifestInvalid: not an object, or mediaType, digest, size or annotations are missing or of the wrong form.
 * Spec: image-spec v1.1.1, descriptor.md, "Properties".
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw invalid(where, 'is not an object with mediaType, digest and size')
  const { mediaType, digest, size, annotations } = value
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(`${where}.mediaType`, 'is not a media type')
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${where}.digest`, 'is not a digest such as sha256:<64 hex digits>')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(`${where}.size`, 'is not a number of bytes')
  parseAnnotations(annotations, `${where}.annotations`)
  // JSON can write -0.
  return { mediaType, digest, sizeBytes: size === 0 ? 0 : size }
}

/**
 * A map of strings; `undefined` when absent or null, as some Go clients write it.
 *
 * @throws {RegistryError} manifestInvalid: not an object, or a value is not a string.
 * Spec: image-spec v1.1.1, annotations.md, "Rules".
 */
export function parseAnnotations(value: unknown, where: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined
  if (!isStringMap(value)) throw invalid(where, 'is not an object whose values are all strings')
  return value
}

function isStringMap(value: unknown): value is Readonly<Record<string, string>> {
  return isObject(value) && Object.values(value).every((entry) => typeof entry === 'string')
}

function invalid(where: string, problem: string): RegistryError {
  return new RegistryError('manifestInvalid', { message: `the manifest is not valid: ${where} ${problem}`, detail: { field: where } })
}
