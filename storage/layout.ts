/**
 * The data folder, drawn once. Every path on disk comes from here; nothing else joins path components.
 *
 *   <data>/
 *     lanyard.db            metadata: repositories, manifests, tags, links, sessions, accounts (with -wal and -shm beside it)
 *     lock.db               locked by the operating system while a server runs
 *     server.json           who holds the lock: process, host, address, since when
 *     blobs/sha256/ab/ab…   finished blobs, each once, named by their digest; never changed, only added and removed
 *     blobs/sha512/ab/ab…
 *     uploads/<session id>  bytes of unfinished uploads, on the same file system so that finishing is a rename
 *     collected/<digest>.<id>  blobs on their way out: of no repository any more, unlinked when that is certain
 *     quarantine/<digest>.<id>  damaged blobs and manifests, kept for whoever looks after the registry; nothing reads or removes them
 *     uploads/.probe        there for a moment, when someone asks whether writing works
 *     keys/                 token signing keys
 *     reserve               room that is given up when the disk is full, so that deleting still works
 *     snapshots/            copies of lanyard.db, taken before a migration
 *     snapshots/unfinished  one that is being made
 *
 * Path components come only from validated digests and from session ids made here, never from a request.
 */
import { basename, dirname, join } from 'node:path'
import { algorithmOf, digestFromHex, encodedOf, type DigestAlgorithm, type SupportedDigest } from '../oci/digest.ts'

export interface DataLayout {
  readonly root: string
  readonly database: string
  readonly lock: string
  readonly holder: string
  readonly blobs: string
  readonly uploads: string
  readonly collected: string
  readonly quarantine: string
  readonly keys: string
  readonly snapshots: string
  readonly reserve: string
}

export const digestAlgorithms = ['sha256', 'sha512'] as const satisfies readonly DigestAlgorithm[]

/** The paths below one data folder. */
export function dataLayout(root: string): DataLayout {
  return {
    root,
    database: join(root, 'lanyard.db'),
    lock: join(root, 'lock.db'),
    holder: join(root, 'server.json'),
    blobs: join(root, 'blobs'),
    uploads: join(root, 'uploads'),
    collected: join(root, 'collected'),
    quarantine: join(root, 'quarantine'),
    keys: join(root, 'keys'),
    snapshots: join(root, 'snapshots'),
    reserve: join(root, 'reserve'),
  }
}

/** The folder of a blob: 256 of them per algorithm, so that none grows without bound. */
export function blobFolder(layout: DataLayout, digest: SupportedDigest): string {
  return join(layout.blobs, algorithmOf(digest), encodedOf(digest).slice(0, 2))
}

export function blobPath(layout: DataLayout, digest: SupportedDigest): string {
  return join(blobFolder(layout, digest), encodedOf(digest))
}

/** Every folder that a blob can lie in. They are made once, so that finishing an upload never has to create and sync one. */
export function allBlobFolders(layout: DataLayout): string[] {
  const prefixes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
  return digestAlgorithms.flatMap((algorithm) => prefixes.map((prefix) => join(layout.blobs, algorithm, prefix)))
}

const sessionIdGrammar = /^[a-zA-Z0-9][a-zA-Z0-9-]{0,63}$/

/** Whether a file name can be that of an upload: one plain path component, as UUIDs are. Other files are left alone. */
export function isSessionId(name: string): boolean {
  return sessionIdGrammar.test(name)
}

/**
 * @param id a session id made by this registry (a UUID), never a client's text.
 * @throws when it is not one plain path component.
 */
export function uploadPath(layout: DataLayout, id: string): string {
  if (!isSessionId(id)) throw new Error(`not the id of an upload session: ${JSON.stringify(id)}`)
  return join(layout.uploads, id)
}

/**
 * Where a blob lies on its way out.
 * @param id makes it the only one, also if the same blob is collected twice; of the same grammar as a session's
 */
export function collectedName(digest: SupportedDigest, id: string): string {
  if (!isSessionId(id)) throw new Error(`not an id: ${JSON.stringify(id)}`)
  return `${algorithmOf(digest)}-${encodedOf(digest)}.${id}`
}

/** @param name one that collectedName gave. */
export function collectedPath(layout: DataLayout, name: string): string {
  if (digestOfCollected(name) === undefined) throw new Error(`not the name of a collected blob: ${JSON.stringify(name)}`)
  return join(layout.collected, name)
}

/** Where a damaged blob or manifest is kept. @param id makes it the only one, of the same grammar as a session's */
export function quarantinedPath(layout: DataLayout, digest: SupportedDigest, id: string): string {
  return join(layout.quarantine, collectedName(digest, id))
}

/** The digest of a blob's file in one of allBlobFolders; undefined for other files, which are left alone. */
export function digestOfBlobFile(folder: string, name: string): SupportedDigest | undefined {
  const algorithm = digestAlgorithms.find((each) => each === basename(dirname(folder)))
  if (!algorithm || name.length !== hexLengths[algorithm] || !/^[0-9a-f]+$/.test(name) || !name.startsWith(basename(folder)))
    return undefined
  return digestFromHex(algorithm, name)
}

/** The digest in a name that collectedName gave; undefined for other files, which are left alone. */
export function digestOfCollected(name: string): SupportedDigest | undefined {
  const [, algorithm, hex = '', id = ''] = /^(sha256|sha512)-([0-9a-f]+)\.(.+)$/.exec(name) ?? []
  const known = digestAlgorithms.find((each) => each === algorithm)
  if (!known || hex.length !== hexLengths[known] || !isSessionId(id)) return undefined
  return digestFromHex(known, hex)
}

const hexLengths: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 }

/** A name that no upload can have. */
export function probePath(layout: DataLayout): string {
  return join(layout.uploads, '.probe')
}

/** What the probe is renamed to when it tries that too. */
export function renamedProbePath(layout: DataLayout): string {
  return join(layout.uploads, '.probed')
}

/** Where a snapshot is made; it gets its name when it is whole. */
export function unfinishedSnapshotPath(layout: DataLayout): string {
  return join(layout.snapshots, 'unfinished')
}

/** A snapshot is named for the schema version it holds and the time it was taken. */
export function snapshotPath(layout: DataLayout, version: number, takenAtMs: number): string {
  const time = new Date(takenAtMs).toISOString().replaceAll(/[:.]/g, '-')
  return join(layout.snapshots, `schema-${version}-${time}.db`)
}
