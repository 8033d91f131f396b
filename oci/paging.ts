/**
 * Paging through lists of names: their order, the page size asked for and the link to the next page.
 *
 * Reading a page is the store's work. Invariant: the order is the byte order of the names, the same as the database's binary collation, and
 * a link stays on this origin.
 */
import { RegistryError } from './errors.ts'

/**
 * Byte order, for sorting: negative, zero or positive.
 *
 * Comparing UTF-16 units gives it whenever one side is ASCII, and names, tags and digests are; the other may be any `last` parameter.
 */
export function compareBytes(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}

/**
 * How many entries a page may hold: the `n` parameter, clamped to `limit`; 0 is allowed and means none.
 *
 * @throws {RegistryError} parameterInvalid: `text` is not a row of decimal digits.
 * Spec: distribution-spec v1.1.1, "Listing Tags" (end-8b).
 */
export function parsePageSize(text: string | undefined, limit: number): number {
  if (text === undefined) return limit
  if (!/^[0-9]+$/.test(text)) {
    throw new RegistryError('parameterInvalid', { message: 'the parameter n is not a whole number', detail: { n: text.slice(0, 40) } })
  }
  return Math.min(Number(text), limit)
}

/**
 * The Link header to the next page, `</v2/…?…>; rel="next"`, relative so that clients find it on the origin they know.
 *
 * @param path an absolute path without a query; needs no escaping, as names and digests do not.
 * @param query decoded values.
 * Spec: distribution-spec v1.1.1, "Listing Tags"; RFC 8288.
 */
export function nextLink(path: string, query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([key, value]) => `${encode(key)}=${encode(value)}`)
  return `<${path}?${pairs.join('&')}>; rel="next"`
}

/** encodeURIComponent throws on half a surrogate pair, which a decoded parameter never holds but a string can. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}
