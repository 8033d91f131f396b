/**
 * Making a data folder from a backup.
 *
 * Invariants: only an empty place is written to. Every file is compared with what the backup says of it while it is copied. The database
 * gets its name last, when all that its rows name is durable: until then no server starts on the folder.
 */
import { existsSync } from 'node:fs'
import { chmod, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { isDigest, isSupported, parseDigest, requireSupported } from '../../oci/digest.ts'
import { syncAndRename, syncFolder } from '../blobs/durable.ts'
import { DiskBlobStore } from '../blobs/disk-blob-store.ts'
import { systemCode } from '../faults.ts'
import { blobFolder, blobPath, type DataLayout } from '../layout.ts'
import {
  BackupError,
  databaseFile,
  keyFolder,
  listSnapshots,
  partPath,
  readDescription,
  requireBackup,
  snapshotParts,
  type BackupFolder,
  type SnapshotDescription,
  type SnapshotParts,
} from './backup-folder.ts'
import { blobsIn, findDamage } from './copy-database.ts'
import { inParallel } from './in-parallel.ts'
import { copyFileDurably, copyVerified, type FileFacts } from './copy-file.ts'

export interface RestoreWish {
  readonly folder: BackupFolder
  /** The data folder to make; nothing may be there, an empty folder, or what a restore left that was killed. */
  readonly layout: DataLayout
  /** undefined: the newest. */
  readonly snapshot: string | undefined
  /** Goes on without blobs that are damaged or missing in the backup. */
  readonly mayMiss: boolean
  /** The newest schema that this program knows. */
  readonly schema: number
}

export interface RestoreReport {
  readonly snapshot: string
  readonly description: SnapshotDescription
  readonly blobs: number
  readonly bytes: number
  /** Blobs that their rows name and that are not there: pulls of them fail until they are pushed again. */
  readonly missing: readonly string[]
}

const copiers = 4

/** @throws {BackupError} the place is not empty, there is no such snapshot, or the backup is damaged: then nothing is left behind */
export async function restoreBackup(wish: RestoreWish): Promise<RestoreReport> {
  const { folder, layout } = wish
  requireBackup(folder)
  const ids = await listSnapshots(folder)
  const id = wish.snapshot ?? ids.at(-1)
  if (id === undefined || !ids.includes(id))
    throw new BackupError(`${folder.root} holds no backup${id === undefined ? '' : ` ${id}: see "lanyard backup list"`}`)
  const parts = snapshotParts(folder, id)
  const description = await readDescription(parts)
  if (description.schema > wish.schema)
    throw new BackupError(
      `the backup is of a newer version of Lanyard (schema ${description.schema}; this version knows ${wish.schema}): use that version`,
    )
  const wasThere = await requireEmpty(layout)
  try {
    await mkdir(layout.root, { recursive: true, mode: 0o700 })
    await writeFile(layout.restoring, '', { mode: 0o600 })
    await DiskBlobStore.prepare(layout)
    await restoreRows(parts, layout, description)
    const copying = new Restoring(wish, new Set(description.damaged))
    await copying.run()
    await restoreKeys(parts, layout, description)
    await nameDatabase(layout)
    await rm(layout.restoring)
    return { snapshot: id, description, blobs: copying.blobs, bytes: copying.bytes, missing: copying.missing.toSorted() }
  } catch (error) {
    await clear(layout, wasThere)
    throw error
  }
}

/** Removes what a restore left that was killed. @returns whether there is a folder @throws {BackupError} */
async function requireEmpty(layout: DataLayout): Promise<boolean> {
  const { root } = layout
  try {
    // One with a database was complete: a server may have run on it since.
    if (existsSync(layout.restoring) && !existsSync(layout.database)) await clear(layout, true)
    const names = await readdir(root)
    if (names.some((name) => name !== 'lost+found'))
      throw new BackupError(`${root} is not empty: name a new folder with --data, or move away what is there`)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    if (systemCode(error) === 'ENOTDIR') throw new BackupError(`${root} is no folder: name a new one with --data`, { cause: error })
    throw error
  }
}

async function clear({ root, restoring }: DataLayout, wasThere: boolean): Promise<void> {
  if (!wasThere) return rm(root, { recursive: true, force: true })
  const kept = new Set(['lost+found', basename(restoring)])
  for (const name of await readdir(root)) if (!kept.has(name)) await rm(join(root, name), { recursive: true, force: true })
  // What says that the rest may be removed goes last.
  await rm(restoring, { force: true })
}

/** Until its name is given the copy lies where a rebuilt database does. */
async function restoreRows(parts: SnapshotParts, layout: DataLayout, description: SnapshotDescription): Promise<void> {
  requireSame(await copyFileDurably(parts.database, layout.rebuilt), description.files[databaseFile], parts.database)
  const damage = findDamage(layout.rebuilt)
  if (damage.length > 0) throw new BackupError(`${parts.database} is damaged: ${damage[0]}. Try another snapshot`)
}

function requireSame(actual: FileFacts, expected: FileFacts | undefined, path: string): void {
  if (actual.digest === expected?.digest && actual.sizeBytes === expected.sizeBytes) return
  throw new BackupError(`${path} is not what was written: try another snapshot (see "lanyard backup list")`)
}

class Restoring {
  blobs = 0
  bytes = 0
  readonly missing: string[] = []
  readonly #wish: RestoreWish
  /** Folders with names that are not synced yet. */
  readonly #touched = new Set<string>()
  readonly #excused: ReadonlySet<string>

  constructor(wish: RestoreWish, excused: ReadonlySet<string>) {
    this.#wish = wish
    this.#excused = excused
  }

  async run(): Promise<void> {
    const { layout } = this.#wish
    await inParallel(blobsIn(layout.rebuilt), copiers, ({ digest, sizeBytes }, index) => this.#bring(digest, { sizeBytes, index }))
    for (const each of this.#touched) await syncFolder(each)
  }

  async #bring(digest: string, { sizeBytes, index }: { sizeBytes: number; index: number }): Promise<void> {
    const { layout, folder, mayMiss } = this.#wish
    if (!isDigest(digest) || !isSupported(digest)) throw new BackupError(`${digest} is no digest that this version knows`)
    const known = requireSupported(parseDigest(digest))
    const from = blobPath(folder, known)
    const unfinished = join(layout.uploads, `.restored-${index}`)
    // Never a link: damage to one of the two would be damage to both.
    const outcome = await copyVerified({ from, unfinished, to: blobPath(layout, known), digest: known, sizeBytes, mayLink: false })
    if (outcome === 'copied') {
      this.#touched.add(blobFolder(layout, known))
      this.blobs++
      this.bytes += sizeBytes
      return
    }
    if (!mayMiss && !this.#excused.has(digest))
      throw new BackupError(
        `${from} is ${outcome}: try another snapshot, or restore everything else with --allow-missing. Nothing was restored`,
      )
    this.missing.push(digest)
  }
}

async function restoreKeys(parts: SnapshotParts, layout: DataLayout, { files }: SnapshotDescription): Promise<void> {
  await mkdir(layout.keys, { recursive: true, mode: 0o700 })
  for (const [name, expected] of Object.entries(files).filter(([name]) => dirname(name) === keyFolder)) {
    const from = partPath(parts, name)
    requireSame(await copyFileDurably(from, join(layout.keys, basename(name))), expected, from)
  }
  await syncFolder(layout.keys)
}

/** Unfinished uploads are not in a backup: their rows would count bytes that no file has. */
async function nameDatabase(layout: DataLayout): Promise<void> {
  const sqlite = new Sqlite(layout.rebuilt)
  try {
    sqlite.exec('delete from upload_session')
  } finally {
    sqlite.close()
  }
  await chmod(layout.rebuilt, 0o600)
  const file = await open(layout.rebuilt, 'r')
  try {
    await syncAndRename(file.fd, layout.rebuilt, layout.database)
  } finally {
    await file.close()
  }
  await syncFolder(layout.root)
  await syncFolder(dirname(layout.root))
}
