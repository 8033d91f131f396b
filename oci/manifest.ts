/**
 * Manifests: from the bytes of a push to what the registry must know of them.
 *
 * The bytes themselves are stored and served unchanged; nothing here writes JSON. Whether the references exist and how many bytes are read is
 * decided by the caller. Invariant: a body has one meaning only, the one its media type says.
 */
import { type Descriptor, parseAnnotations, parseDescriptor } from './descriptor.ts'
import { isSupported } from './digest.ts'
import { RegistryError } from './errors.ts'
import {
  findManifestShape,
  isManifestType,
  isMediaType,
  isNonDistributable,
  isSchema1Type,
  type ManifestShape,
  mediaTypes,
} from './media-types.ts'
import { isObject, parseStrictJson } from './strict-json.ts'

/**
 * How a manifest uses other content. `manifest` is an index entry of a manifest type; `content` an index entry of any other type, which a blob
 * or a manifest may satisfy (buildkit's registry cache lists layers in an index); `blob` an entry of an artifact manifest.
 */
export type ReferenceRole = 'config' | 'layer' | 'blob' | 'manifest' | 'content'

export interface ManifestReference {
  readonly role: ReferenceRole
  readonly descriptor: Descriptor
  /** False for what is never pushed (non-distributable layers) and for digests that cannot be looked up. */
  readonly isRequired: boolean
}

export interface Manifest {
  readonly mediaType: string
  /** As the list of referrers shows it: artifactType, else an image manifest's config type. */
  readonly artifactType: string | undefined
  /** The manifest that this one refers to; it need not exist. */
  readonly subject: Descriptor | undefined
  /** In the order of the document. */
  readonly references: readonly ManifestReference[]
  readonly annotations: Readonly<Record<string, string>> | undefined
}

export interface ManifestRules {
  /** The most entries that layers, manifests or blobs may have. */
  readonly maxReferences: number
  /** Whether manifests of unlisted types are stored as they are, without looking inside. */
  readonly allowUnknownTypes: boolean
}

type Body = Readonly<Record<string, unknown>>

/** What clients send that know nothing better; the body decides. */
const genericTypes: ReadonlySet<string> = new Set(['', 'application/json', mediaTypes.blob])

/** Docker's readers refuse a body without `mediaType`; OCI ones do not need it. */
const typesWithRequiredMediaType: ReadonlySet<string> = new Set([mediaTypes.dockerImage, mediaTypes.dockerList])

/**
 * What a pushed manifest says.
 *
 * @param bytes the whole body as received.
 * @param contentType the Content-Type header; parameters and case do not matter.
 * @throws {RegistryError} manifestInvalid: the type is unknown or of schema 1, the body is not strict JSON, not of its type's shape, or of two.
 * @throws {RegistryError} manifestTooLarge: a list has more entries than `rules.maxReferences`.
 * Spec: image-spec v1.1.1, manifest.md and image-index.md; distribution-spec v1.1.1, "Pushing Manifests".
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined, rules: ManifestRules): Manifest {
  const declared = parseContentType(contentType)
  if (declared !== undefined && isOpaque(declared, rules)) return opaque(declared)
  const body = parseStrictJson(bytes)
  if (!isObject(body)) throw invalid('it is not a JSON object')
  const mediaType = declared ?? getMediaType(body)
  if (isOpaque(mediaType, rules)) return opaque(mediaType)
  const shape = findManifestShape(mediaType) ?? 'image'
  checkMeaning(body, mediaType, shape)
  return {
    mediaType,
    artifactType: findArtifactType(body, shape),
    subject: isAbsent(body['subject']) ? undefined : parseDescriptor(body['subject'], 'subject'),
    references: readers[shape](body, rules),
    annotations: parseAnnotations(body['annotations'], 'annotations'),
  }
}

/**
 * Refuses a body by the Content-Type alone, before anything is read of it; one that says nothing in particular passes.
 *
 * @throws {RegistryError} manifestInvalid: the type is unknown or of schema 1.
 */
export function requireAcceptedType(contentType: string | undefined, rules: ManifestRules): void {
  const declared = parseContentType(contentType)
  if (declared !== undefined) isOpaque(declared, rules)
}

function invalid(problem: string): RegistryError {
  return new RegistryError('manifestInvalid', { message: `the manifest is not valid: ${problem}` })
}

function schema1(): RegistryError {
  return new RegistryError('manifestInvalid', {
    message:
      'image manifests of version 2, schema 1 are no longer accepted: push the image again with a current client, which sends schema 2 or OCI',
  })
}

/** Null is how Go clients write an absent value. */
function isAbsent(value: unknown): boolean {
  return value === undefined || value === null
}

function parseContentType(header: string | undefined): string | undefined {
  const text = header ?? ''
  const end = text.indexOf(';')
  const type = (end === -1 ? text : text.slice(0, end)).trim().toLowerCase()
  return genericTypes.has(type) ? undefined : type
}

/** Whether a type is stored without looking inside. @throws {RegistryError} manifestInvalid: the type is refused. */
function isOpaque(mediaType: string, rules: ManifestRules): boolean {
  if (isManifestType(mediaType)) return false
  if (isSchema1Type(mediaType)) throw schema1()
  if (!isMediaType(mediaType)) throw invalid('its Content-Type or mediaType is not a media type')
  if (!rules.allowUnknownTypes) throw invalid(`manifests of the type ${mediaType} are not accepted here`)
  return true
}

function opaque(mediaType: string): Manifest {
  return { mediaType, artifactType: undefined, subject: undefined, references: [], annotations: undefined }
}

/** The type of a body that was sent without one. */
function getMediaType(body: Body): string {
  const mediaType = body['mediaType']
  if (typeof mediaType === 'string') return mediaType
  if (mediaType !== undefined) throw invalid('mediaType is not a string')
  if (body['schemaVersion'] === 1) throw schema1()
  if (Object.hasOwn(body, 'manifests')) return mediaTypes.ociIndex
  if (Object.hasOwn(body, 'config') && Object.hasOwn(body, 'layers')) return mediaTypes.ociImage
  throw invalid('neither the Content-Type header nor the body says what kind of manifest it is')
}

/** Refuses every body that another reader could take for another kind of manifest (CVE-2021-41190). */
function checkMeaning(body: Body, mediaType: string, shape: ManifestShape): void {
  checkStatedType(body['mediaType'], mediaType)
  const version = body['schemaVersion']
  if (version === 1) throw schema1()
  // The artifact manifest never had a schemaVersion.
  if (version !== 2 && !(shape === 'artifact' && version === undefined)) throw invalid('schemaVersion is not 2')
  const isIndex = Object.hasOwn(body, 'manifests')
  const isImage = Object.hasOwn(body, 'layers') || Object.hasOwn(body, 'config')
  if (isIndex && isImage) throw invalid('it has the fields of an index (manifests) and of an image (layers, config)')
  if (shape === 'artifact' && (isIndex || isImage)) throw invalid('an artifact manifest has blobs, not manifests, layers or config')
}

function checkStatedType(stated: unknown, mediaType: string): void {
  if (stated === mediaType) return
  if (stated === undefined) {
    if (typesWithRequiredMediaType.has(mediaType)) throw invalid(`mediaType is missing: expected ${mediaType}`)
    return
  }
  const shown = typeof stated === 'string' ? stated.slice(0, 255) : 'not a string'
  throw invalid(`it was sent as ${mediaType} but its mediaType is ${shown}`)
}

function findArtifactType(body: Body, shape: ManifestShape): string | undefined {
  const own = body['artifactType']
  if (!isAbsent(own) && typeof own !== 'string') throw invalid('artifactType is not a string')
  if (typeof own === 'string' && own !== '') return own
  return shape === 'image' ? parseDescriptor(body['config'], 'config').mediaType : undefined
}

const readers: Readonly<Record<ManifestShape, (body: Body, rules: ManifestRules) => ManifestReference[]>> = {
  image: (body, rules) => [
    reference('config', parseDescriptor(body['config'], 'config')),
    ...parseList(body, 'layers', rules).map((descriptor) => reference('layer', descriptor)),
  ],
  index: (body, rules) =>
    parseList(body, 'manifests', rules).map((descriptor) =>
      reference(isManifestType(descriptor.mediaType) ? 'manifest' : 'content', descriptor),
    ),
  // Its blobs may be left out.
  artifact: (body, rules) =>
    Object.hasOwn(body, 'blobs') ? parseList(body, 'blobs', rules).map((descriptor) => reference('blob', descriptor)) : [],
}

function reference(role: ReferenceRole, descriptor: Descriptor): ManifestReference {
  return { role, descriptor, isRequired: isSupported(descriptor.digest) && !isNonDistributable(descriptor.mediaType) }
}

/** An array of descriptors; null is an empty one, which Go clients write for a list without entries. */
function parseList(body: Body, field: 'layers' | 'manifests' | 'blobs', rules: ManifestRules): Descriptor[] {
  const list: unknown = body[field]
  if (list === null) return []
  if (!Array.isArray(list)) throw invalid(`${field} is ${list === undefined ? 'missing' : 'not an array'}`)
  if (list.length > rules.maxReferences) {
    // Not manifestInvalid: podman takes that for a wrong format, converts the image and pushes it again.
    throw new RegistryError('manifestTooLarge', {
      message: `the manifest has ${list.length} ${field}: this registry accepts at most ${rules.maxReferences}`,
    })
  }
  return list.map((entry: unknown, index) => parseDescriptor(entry, `${field}[${index}]`))
}
