/**
 * References: what stands after `/manifests/`, a tag or a digest.
 *
 * What a tag points to is a row in storage. Invariant: a Tag holds no slash, colon or control character and never starts with a dot
 * or a dash, and the colon alone tells the two kinds apart.
 */
import { type Digest, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

declare const tagBrand: unique symbol

/** A valid tag; case matters. */
export type Tag = string & { readonly [tagBrand]: true }

export type Reference = { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'digest'; readonly digest: Digest }

const grammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Spec: distribution-spec v1.1.1, "Pulling manifests" (the grammar of a tag). */
export function isTag(text: string): text is Tag {
  return grammar.test(text)
}

/** @throws {RegistryError} tagInvalid: not 1 to 128 of the allowed characters, or a dot or dash in front. */
export function parseTag(text: string): Tag {
  if (!isTag(text)) throw new RegistryError('tagInvalid', { detail: { tag: text.slice(0, 128) } })
  return text
}

/**
 * A digest if `text` holds a colon, else a tag.
 *
 * @throws {RegistryError} digestInvalid: it holds a colon and is not a digest.
 * @throws {RegistryError} tagInvalid: it holds no colon and is not a tag.
 */
export function parseReference(text: string): Reference {
  if (text.includes(':')) return { kind: 'digest', digest: parseDigest(text) }
  return { kind: 'tag', tag: parseTag(text) }
}
