/**
 * Digests: their grammar, the two algorithms this registry can compute, and hashing small buffers.
 *
 * Streams are hashed where they flow (storage); nothing here reads one. Invariant: a Digest holds no character that could
 * leave a folder, a header or a URL segment, and a SupportedDigest is exactly `sha256:` or `sha512:` and its lower-case hex.
 */
import { createHash } from 'node:crypto'
import { RegistryError } from './errors.ts'

declare const digestBrand: unique symbol
declare const supportedBrand: unique symbol

/** A digest of valid grammar, of any algorithm. */
export type Digest = string & { readonly [digestBrand]: true }

/** An algorithm that this registry can compute. */
export type DigestAlgorithm = 'sha256' | 'sha512'

/** A digest whose algorithm this registry can compute; its encoded form is exact. */
export type SupportedDigest = Digest & { readonly [supportedBrand]: true }

/** Far above `sha512:` and its 128 digits; keeps what is stored and echoed small. */
const maxLength = 256

// Every character class is disjoint from what may follow it: neither expression can backtrack.
const grammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const exactHex: Readonly<Record<DigestAlgorithm, RegExp>> = { sha256: /^[a-f0-9]{64}$/, sha512: /^[a-f0-9]{128}$/ }

const emptyContent: ReadonlySet<string> = new Set([digestOf('sha256', new Uint8Array()), digestOf('sha512', new Uint8Array())])

/**
 * Whether `text` is a digest by grammar; for sha256 and sha512 also by the exact length and case of their hex.
 *
 * Spec: image-spec v1.1.1, descriptor.md, "Digests" and "Registered algorithms".
 */
export function isDigest(text: string): text is Digest {
  if (text.length > maxLength || !grammar.test(text)) return false
  const colon = text.indexOf(':')
  const algorithm = findAlgorithm(text.slice(0, colon))
  return algorithm === undefined || exactHex[algorithm].test(text.slice(colon + 1))
}

/** @throws {RegistryError} digestInvalid: `text` is not a digest, see {@link isDigest}. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new RegistryError('digestInvalid', { detail: { digest: text.slice(0, maxLength) } })
  return text
}

/** Whether this registry can compute, and so verify and store, content of this digest. */
export function isSupported(digest: Digest): digest is SupportedDigest {
  return digest.startsWith('sha256:') || digest.startsWith('sha512:')
}

/** @throws {RegistryError} digestUnsupported: the grammar is right but the algorithm is not sha256 or sha512. */
export function requireSupported(digest: Digest): SupportedDigest {
  if (!isSupported(digest)) throw new RegistryError('digestUnsupported', { detail: { digest } })
  return digest
}

/**
 * The value of the `digest-algorithm` parameter.
 *
 * @throws {RegistryError} digestUnsupported: anything but `sha256` and `sha512`.
 * Spec: distribution-spec main at 967efdc, "Pushing blobs" (end-4c).
 */
export function parseAlgorithm(text: string): DigestAlgorithm {
  const algorithm = findAlgorithm(text)
  if (algorithm === undefined) throw new RegistryError('digestUnsupported', { detail: { algorithm: text.slice(0, maxLength) } })
  return algorithm
}

function findAlgorithm(text: string): DigestAlgorithm | undefined {
  return text === 'sha256' || text === 'sha512' ? text : undefined
}

/** The part before the colon. */
export function algorithmOf(digest: SupportedDigest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The part after the colon: for a supported digest lower-case hex. */
export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Hashes bytes that are in memory anyway, such as a manifest. */
export function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array): SupportedDigest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as SupportedDigest
}

/**
 * The digest of a hash computed elsewhere.
 *
 * @throws {RegistryError} digestInvalid: `hex` is not lower-case hex of the algorithm's length.
 */
export function digestFromHex(algorithm: DigestAlgorithm, hex: string): SupportedDigest {
  if (!exactHex[algorithm].test(hex)) throw new RegistryError('digestInvalid', { detail: { algorithm } })
  return `${algorithm}:${hex}` as SupportedDigest
}

/** Whether `digest` is that of zero bytes: the one content that may be stored as an empty file. */
export function isEmptyContent(digest: SupportedDigest): boolean {
  return emptyContent.has(digest)
}
