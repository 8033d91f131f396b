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
 *     snapshots/            copies of lanyard.db: schema-… taken before a migration, scheduled-… by the clock
 *     snapshots/unfinished  one that is being made
 *     snapshots/copying     a scheduled one that is being made
 *     journal/              changes of manifests and tags since the snapshots, for the day on which lanyard.db is lost
 *     hold.db               locked by backups, which need every blob file, and by the collector while it takes some away
 *     rebuilt.db            a database that is being rebuilt
 *     restoring             there while a backup is being restored into this folder
 *     lost/                 databases that a rebuilt one took the place of
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
  readonly journal: string
  readonly hold: string
  readonly rebuilt: string
  readonly restoring: string
  readonly lost: string
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
    journal: join(root, 'journal'),
    hold: join(root, 'hold.db'),
    rebuilt: join(root, 'rebuilt.db'),
    restoring: join(root, 'restoring'),
    lost: join(root, 'lost'),
  }
}

/** Where blobs lie; a backup folder has them in the same order as a data folder. */
export type BlobPlaces = Pick<DataLayout, 'blobs'>

/** The folder of a blob: 256 of them per algorithm, so that none grows without bound. */
export function blobFolder(layout: BlobPlaces, digest: SupportedDigest): string {
  return join(layout.blobs, algorithmOf(digest), encodedOf(digest).slice(0, 2))
}

export function blobPath(layout: BlobPlaces, digest: SupportedDigest): string {
  return join(blobFolder(layout, digest), encodedOf(digest))
}

/** Every folder that a blob can lie in. They are made once, so that finishing an upload never has to create and sync one. */
export function allBlobFolders(layout: BlobPlaces): string[] {
  const prefixes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
  return digestAlgorithms.flatMap((algorithm) => prefixes.map((prefix) => join(layout.blobs, algorithm, prefix)))
}

/** The digest of a file in a folder of allBlobFolders; undefined for a file that is no blob. */
export function digestOfBlobFile(folder: string, name: string): SupportedDigest | undefined {
  const algorithm = digestAlgorithms.find((each) => each === basename(dirname(folder)))
  if (!algorithm || name.length !== hexLengths[algorithm] || !/^[0-9a-f]+$/.test(name)) return undefined
  return name.startsWith(basename(folder)) ? digestFromHex(algorithm, name) : undefined
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
  return join(layout.snapshots, `schema-${version}-${timeInName(takenAtMs)}.db`)
}

/** Where a scheduled snapshot is made. */
export function copyingSnapshotPath(layout: DataLayout): string {
  return join(layout.snapshots, 'copying')
}

/** @param of.journal the file of the journal that ended when it was begun; those behind it tell what came afterwards */
export function scheduledSnapshotPath(layout: DataLayout, of: { version: number; journal: number; takenAtMs: number }): string {
  return join(layout.snapshots, `scheduled-${of.version}-${of.journal}-${timeInName(of.takenAtMs)}.db`)
}

/** A file in the folder of snapshots. */
export interface SnapshotFile {
  readonly kind: 'schema' | 'scheduled'
  readonly version: number
  /** As scheduledSnapshotPath has it; 0 for the other kind. */
  readonly journal: number
  readonly takenAtMs: number
  readonly path: string
}

/** What the name of a snapshot says; undefined for other files, which are left alone. */
export function parseSnapshotName(layout: DataLayout, name: string): SnapshotFile | undefined {
  const [, words = '', version, journal, time = ''] = /^(schema-(\d{1,6})|scheduled-\d{1,6}-(\d{1,9}))-(\d{4}-.+)\.db$/.exec(name) ?? []
  const takenAtMs = parseTimeInName(time)
  if (takenAtMs === undefined) return undefined
  const kind = journal === undefined ? 'schema' : 'scheduled'
  return {
    kind,
    version: Number(version ?? words.split('-')[1]),
    journal: Number(journal ?? 0),
    takenAtMs,
    path: join(layout.snapshots, name),
  }
}

/** The file of the journal that is written now. */
export function currentJournalPath(layout: Pick<DataLayout, 'journal'>): string {
  return join(layout.journal, 'current.jsonl')
}

/** A file of the journal that is finished. @param number one more than that of the file before */
export function finishedJournalPath(layout: Pick<DataLayout, 'journal'>, number: number): string {
  return join(layout.journal, `${String(number).padStart(8, '0')}.jsonl`)
}

/** The number of a finished file of the journal; undefined for others. */
export function journalNumberOf(name: string): number | undefined {
  const [, digits] = /^(\d{8})\.jsonl$/.exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** Where a database goes that a rebuilt one takes the place of; its log and index go beside it. */
export function lostDatabasePath(layout: DataLayout, atMs: number): string {
  return join(layout.lost, `lanyard-${timeInName(atMs)}.db`)
}

/** `2026-11-25T08-30-00-000Z`: a time in UTC without a character that needs quoting. */
export function timeInName(atMs: number): string {
  return new Date(atMs).toISOString().replaceAll(/[:.]/g, '-')
}

/** Milliseconds since 1970; undefined when it is none that timeInName gave. */
export function parseTimeInName(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/.test(text)) return undefined
  const atMs = Date.parse(`${text.slice(0, 13)}:${text.slice(14, 16)}:${text.slice(17, 19)}.${text.slice(20)}`)
  return Number.isNaN(atMs) ? undefined : atMs
}
