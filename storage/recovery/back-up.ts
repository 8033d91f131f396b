/**
 * Making a backup of a data folder, beside a running server under any load or without one.
 *
 * Invariants: the rows are copied first, at one moment; then every blob that they name, which the collector leaves alone until the end.
 * A snapshot gets its name last, when all it needs is durable. Nothing that a complete snapshot needs is ever removed or changed, so
 * that a backup which dies anywhere leaves the earlier ones whole.
 */
import { chmod, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest, isSupported, parseDigest, requireSupported, type SupportedDigest } from '../../oci/digest.ts'
import { syncFolder } from '../blobs/durable.ts'
import { CollectedFiles } from '../blobs/collected-files.ts'
import { holdBlobs } from '../blobs/hold.ts'
import { systemCode } from '../faults.ts'
import { allBlobFolders, blobFolder, blobPath, collectedPath, digestOfBlobFile, type DataLayout } from '../layout.ts'
import {
  BackupError,
  clearUnfinished,
  databaseFile,
  keyFolder,
  listSnapshots,
  lockBackup,
  moveFolder,
  prepareBackup,
  removedSnapshotPath,
  renderDescription,
  snapshotId,
  snapshotParts,
  unfinishedBlobPath,
  unfinishedParts,
  writeDurably,
  type BackupFolder,
  type SnapshotDescription,
} from './backup-folder.ts'
import { BlobQuestions, blobsIn, copyDatabase, findDamage, readFacts, type BlobFact } from './copy-database.ts'
import { copyFileDurably, copyVerified, measureFile, type CopyOutcome, type FileFacts } from './copy-file.ts'
import { inParallel } from './in-parallel.ts'
import { sizeOf } from './file-size.ts'

/** Moments of a backup: for tests, which meet them with the work of others, or end it there. */
export interface BackupHooks {
  /** The rows are copied, no blob is. */
  readonly onRows?: () => Promise<void>
  /** A blob is in the backup. */
  readonly onBlob?: () => Promise<void>
  /** Everything is there but the name. */
  readonly onCopied?: () => Promise<void>
  /** The snapshot is complete; what is too old is still there. */
  readonly onNamed?: () => Promise<void>
  /** A snapshot that is too old is gone, its blobs are not. */
  readonly onRemoved?: () => Promise<void>
}

export interface BackupWish {
  readonly layout: DataLayout
  readonly folder: BackupFolder
  /** How many snapshots stay, the newest ones; at least 1. */
  readonly keep: number
  /** Links blobs instead of copying them where both folders are on one file system. */
  readonly mayLink: boolean
  readonly nowMs: number
  /** Of this program. */
  readonly version: string
  readonly hooks?: BackupHooks
}

export interface Amount {
  blobs: number
  bytes: number
}

export interface BackupReport {
  readonly snapshot: string
  readonly description: SnapshotDescription
  readonly copied: Amount
  readonly linked: Amount
  /** Blobs that an earlier backup had brought. */
  readonly present: Amount
  readonly kept: readonly string[]
  readonly removed: readonly string[]
  /** Blobs that no kept snapshot needs. */
  readonly removedBlobs: Amount
  /** Why blobs that no snapshot needs stay; undefined: none does. */
  readonly objection: string | undefined
}

/** How many blobs are copied at once: enough for syncs to share the disk's time. */
const copiers = 4

/** @throws {BackupError} the folder cannot be used, the database is damaged, or a backup into it is under way */
export async function backUp(wish: BackupWish): Promise<BackupReport> {
  const { layout, folder } = wish
  requireApart(layout, folder)
  await prepareBackup(folder)
  const unlock = lockBackup(folder)
  try {
    await clearUnfinished(folder)
    const made = await makeSnapshot(wish)
    await wish.hooks?.onNamed?.()
    const pruned = await prune(wish)
    return { ...made, ...pruned }
  } finally {
    unlock()
  }
}

/** A backup within what it is a backup of would be lost with it. */
function requireApart({ root }: DataLayout, folder: BackupFolder): void {
  if (`${folder.root}/`.startsWith(`${root}/`))
    throw new BackupError(`${folder.root} is inside the data folder: name a folder elsewhere, best on another disk`)
}

type Made = Pick<BackupReport, 'snapshot' | 'description' | 'copied' | 'linked' | 'present'>

async function makeSnapshot(wish: BackupWish): Promise<Made> {
  const { layout, folder, nowMs, version, hooks } = wish
  const parts = unfinishedParts(folder)
  const id = await freeId(folder, nowMs)
  await mkdir(parts.keys, { recursive: true, mode: 0o700 })
  const release = holdBlobs(layout)
  try {
    await copyDatabase(layout.database, parts.database)
    await chmod(parts.database, 0o600)
    const damage = findDamage(parts.database)
    if (damage.length > 0)
      throw new BackupError(
        `the database ${layout.database} is damaged: ${damage[0]}. Nothing was backed up; see "lanyard doctor" and "lanyard rebuild"`,
      )
    await hooks?.onRows?.()
    const copying = new BlobCopies(wish)
    await copying.run(blobsIn(parts.database))
    const files = { ...(await copyKeys(layout, parts.keys)), [databaseFile]: await syncedFacts(parts.database) }
    const facts = readFacts(parts.database)
    const description = { takenAt: new Date(nowMs).toISOString(), version, ...facts, damaged: copying.damaged.toSorted(), files }
    await writeDurably(parts.description, `${parts.description}.new`, renderDescription(description))
    await hooks?.onCopied?.()
    await moveFolder(parts.root, snapshotParts(folder, id).root)
    return { snapshot: id, description, copied: copying.copied, linked: copying.linked, present: copying.present }
  } finally {
    release()
  }
}

/** A clock that was set back must not make a new backup look older than one that is there. */
async function freeId(folder: BackupFolder, nowMs: number): Promise<string> {
  const newest = (await listSnapshots(folder)).at(-1)
  const id = snapshotId(nowMs)
  if (newest === undefined || newest < id) return id
  throw new BackupError(`the clock says ${id}, and a backup of ${newest} is there already: set the clock right`)
}

async function syncedFacts(path: string): Promise<FileFacts> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
  return measureFile(path)
}

/** A key may be removed while this runs: then its removal is what the backup has. */
async function copyKeys(layout: DataLayout, to: string): Promise<Record<string, FileFacts>> {
  const files: Record<string, FileFacts> = {}
  const names = await namesIn(layout.keys)
  for (const name of names.filter((each) => !each.startsWith('.'))) {
    try {
      files[`${keyFolder}/${name}`] = await copyFileDurably(join(layout.keys, name), join(to, name))
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
    }
  }
  await syncFolder(to)
  return files
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

/** Brings blobs into the backup, some at a time. */
class BlobCopies {
  readonly copied: Amount = { blobs: 0, bytes: 0 }
  readonly linked: Amount = { blobs: 0, bytes: 0 }
  readonly present: Amount = { blobs: 0, bytes: 0 }
  readonly damaged: string[] = []
  readonly #wish: BackupWish
  /** Folders with names that are not synced yet. */
  readonly #touched = new Set<string>()
  /** Blobs that a collector which was killed has left on their way out. */
  #leftAside: ReadonlyMap<string, string> | undefined

  constructor(wish: BackupWish) {
    this.#wish = wish
  }

  async run(blobs: Generator<BlobFact, void, undefined>): Promise<void> {
    await inParallel(blobs, copiers, (blob) => this.#bring(blob))
    for (const folder of this.#touched) await syncFolder(folder)
  }

  async #bring({ digest, sizeBytes }: BlobFact): Promise<void> {
    if (!isDigest(digest) || !isSupported(digest)) return void this.damaged.push(digest)
    const known = requireSupported(parseDigest(digest))
    if ((await sizeOf(blobPath(this.#wish.folder, known))) === sizeBytes) return count(this.present, sizeBytes)
    const outcome = await this.#copy(known, sizeBytes)
    if (outcome === 'absent' || outcome === 'damaged') return void this.damaged.push(digest)
    this.#touched.add(blobFolder(this.#wish.folder, known))
    count(outcome === 'linked' ? this.linked : this.copied, sizeBytes)
    await this.#wish.hooks?.onBlob?.()
  }

  async #copy(digest: SupportedDigest, sizeBytes: number): Promise<CopyOutcome> {
    const { layout, folder, mayLink } = this.#wish
    const wish = { unfinished: unfinishedBlobPath(folder), to: blobPath(folder, digest), digest, sizeBytes, mayLink }
    const place = blobPath(layout, digest)
    // A server that starts meanwhile puts back what was left aside.
    for (const find of [() => place, () => this.#findAside(digest), () => place]) {
      const from = await find()
      const outcome = from === undefined ? 'absent' : await copyVerified({ ...wish, from })
      if (outcome !== 'absent') return outcome
    }
    return 'absent'
  }

  async #findAside(digest: SupportedDigest): Promise<string | undefined> {
    const { layout } = this.#wish
    const list = async () => new CollectedFiles(layout).list().catch(() => [])
    this.#leftAside ??= new Map((await list()).map((each) => [each.digest, collectedPath(layout, each.name)]))
    return this.#leftAside.get(digest)
  }
}

function count(amount: Amount, bytes: number): void {
  amount.blobs++
  amount.bytes += bytes
}

/** Removes snapshots that are too old, and then blobs that no other needs. */
async function prune({ folder, keep, hooks }: BackupWish): Promise<Pick<BackupReport, 'kept' | 'removed' | 'removedBlobs' | 'objection'>> {
  const all = await listSnapshots(folder)
  const removed = all.slice(0, Math.max(0, all.length - Math.max(1, keep)))
  const kept = all.slice(removed.length)
  for (const id of removed) {
    await moveFolder(snapshotParts(folder, id).root, removedSnapshotPath(folder, id))
    await hooks?.onRemoved?.()
  }
  const removedBlobs: Amount = { blobs: 0, bytes: 0 }
  let objection: string | undefined
  try {
    await removeUnneeded(folder, { kept, removedBlobs })
  } catch (error) {
    // Whatever cannot be read may need any of them.
    objection = error instanceof Error ? error.message : String(error)
  }
  await clearUnfinished(folder)
  return { kept, removed, removedBlobs, objection }
}

async function removeUnneeded(
  folder: BackupFolder,
  { kept, removedBlobs }: { kept: readonly string[]; removedBlobs: Amount },
): Promise<void> {
  const needed = new BlobQuestions(kept.map((id) => snapshotParts(folder, id).database))
  try {
    for (const each of allBlobFolders(folder)) await removeUnneededIn(each, { needed, removedBlobs })
  } finally {
    needed.close()
  }
}

async function removeUnneededIn(folder: string, { needed, removedBlobs }: { needed: BlobQuestions; removedBlobs: Amount }): Promise<void> {
  for (const name of await readdir(folder)) {
    const digest = digestOfBlobFile(folder, name)
    if (digest === undefined || needed.isNamed(digest)) continue
    const path = join(folder, name)
    const bytes = (await sizeOf(path)) ?? 0
    await rm(path, { force: true })
    count(removedBlobs, bytes)
  }
}
