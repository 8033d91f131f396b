/**
 * Versions of what can be edited: an ETag in the answer, which a later change may demand in If-Match, so that nobody overwrites what
 * somebody else has changed meanwhile. Spec: RFC 9110, 8.8.3 and 13.1.1.
 */
import { createHash } from 'node:crypto'
import { RegistryError } from '../../oci/errors.ts'

/** The version of what is shown as this value: the same as long as it looks the same. */
export function versionOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22)
}

/**
 * @param header If-Match; undefined: nothing is demanded
 * @param version of what is there now; undefined: nothing is there
 * @throws {RegistryError} versionChanged: it is none of those that the header names
 */
export function requireVersion(header: string | undefined, version: string | undefined): void {
  if (header === undefined || header.trim() === '') return
  const isNamed = header.split(',').some((each) => version !== undefined && (each.trim() === '*' || each.trim() === `"${version}"`))
  if (!isNamed) throw new RegistryError('versionChanged')
}
