/**
 * Repository names: one or more lower-case components joined by slashes.
 *
 * Who may use a name is not decided here. Invariant: a RepositoryName is at most 255 ASCII characters and has no empty, `.` or `..`
 * component, so that it can stand in a URL, a header and a scope as it is. Checked in one pass, without a regular expression.
 */
import { RegistryError } from './errors.ts'

declare const nameBrand: unique symbol

/** A valid repository name, such as `library/alpine`. */
export type RepositoryName = string & { readonly [nameBrand]: true }

/** Clients cap host, slash and name together at 255; a name alone can never be longer. */
const maxLength = 255

const slash = 0x2f
const dot = 0x2e
const underscore = 0x5f
const dash = 0x2d

/** What was read last, and so what may follow: a separator needs a letter or digit on both sides. */
type Last = 'start' | 'letter' | 'separator' | 'underscore' | 'dash'

/**
 * Whether `text` is a repository name of at most 255 characters.
 *
 * Spec: distribution-spec v1.1.1, "Pulling manifests" (the grammar of `<name>`).
 */
export function isRepositoryName(text: string): text is RepositoryName {
  if (text.length > maxLength) return false
  let last: Last | undefined = 'start'
  for (let at = 0; at < text.length; at++) {
    last = follow(last, text.charCodeAt(at))
    if (last === undefined) return false
  }
  return last === 'letter'
}

function follow(last: Last, char: number): Last | undefined {
  if ((char >= 0x61 && char <= 0x7a) || (char >= 0x30 && char <= 0x39)) return 'letter'
  if (char === dash) return last === 'letter' || last === 'dash' ? 'dash' : undefined
  if (char === underscore && last === 'underscore') return 'separator'
  if (last !== 'letter') return undefined
  if (char === slash) return 'start'
  if (char === dot) return 'separator'
  return char === underscore ? 'underscore' : undefined
}

/** @throws {RegistryError} nameInvalid: `text` is not a repository name, see {@link isRepositoryName}. */
export function parseRepositoryName(text: string): RepositoryName {
  if (!isRepositoryName(text)) throw new RegistryError('nameInvalid', { detail: { name: text.slice(0, maxLength) } })
  return text
}

/** The names from one text on, up to another that is not among them, in byte order. */
export interface NameRange {
  readonly from: string
  readonly before: string
}

/** More than enough for a word, and so that there is room for what comes below it. */
const maxNamespaceLength = 64

/**
 * The name of a new namespace or team: what can be the first component of a repository name, at most 64 characters.
 * @throws {RegistryError} nameInvalid: `text` is anything else
 */
export function parseNamespaceName(text: string): string {
  const isName = text.length <= maxNamespaceLength && isRepositoryName(text) && !text.includes('/')
  if (!isName) throw new RegistryError('nameInvalid', { message: namespaceRule, detail: { name: text.slice(0, maxNamespaceLength) } })
  return text
}

const namespaceRule =
  'the name is not valid: use 1 to 64 lower-case letters and digits, which single . _ __ or any number of - may separate'

/** The first component: the part that grants and quotas are given to. */
export function namespaceOf(name: RepositoryName): string {
  const end = name.indexOf('/')
  return end === -1 ? name : name.slice(0, end)
}
