/**
 * The paths that answers point to: always relative and path-absolute, so that no proxy can make them wrong.
 *
 * The opposite direction of endpoints.ts. Names and digests need no escaping: their grammars hold no reserved character.
 */
import type { Digest } from './digest.ts'
import type { RepositoryName } from './repository-name.ts'

export function blobLocation(name: RepositoryName, digest: Digest): string {
  return `/v2/${name}/blobs/${digest}`
}

export function manifestLocation(name: RepositoryName, digest: Digest): string {
  return `/v2/${name}/manifests/${digest}`
}

/** @param id a session id made by this registry. */
export function uploadLocation(name: RepositoryName, id: string): string {
  return `/v2/${name}/blobs/uploads/${id}`
}
