/**
 * The backup folder, drawn once. Every path in it comes from here.
 *
 *   <backup>/
 *     backup.json                 says that this is a backup folder, and in which format
 *     lock.db                     locked by the operating system while a backup is made
 *     blobs/sha256/ab/ab…         every blob of every snapshot, each once, as in a data folder
 *     snapshots/<time>/           one backup: complete as soon as it has this name
 *       snapshot.json             when, what, how much; with a checksum of itself and of the other files
 *       lanyard.db                the rows
 *       keys/                     token signing keys
 *     unfinished/                 one that is being made, and those that are being removed
 *
 * Invariant: what stands under snapshots/ is complete, and every blob that it names was there before it got its name.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { digestOf } from '../../oci/digest.ts'
import { syncAndRename, syncFolder } from '../blobs/durable.ts'
import { systemCode } from '../faults.ts'
import { allBlobFolders, parseTimeInName, timeInName } from '../layout.ts'
import type { FileFacts } from './copy-file.ts'

/** A folder that is no backup, or cannot be used as one, with the sentence that says what to do. */
export class BackupError extends Error {}

const advices: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space there',
  EDQUOT: 'the quota is used up: free some space there',
  SQLITE_FULL: 'the disk is full: free some space there',
  EACCES: 'this user may not do that: run it as the user that the registry runs as',
  EPERM: 'this user may not do that: run it as the user that the registry runs as',
  SQLITE_CANTOPEN: 'a database cannot be opened: run it as the user that the registry runs as',
  EROFS: 'the file system is read-only',
  EIO: 'the disk fails: look into the system log',
}

/** The same error, or the sentence that it amounts to. */
export function explainFault(error: unknown): unknown {
  const advice = advices[systemCode(error) ?? '']
  return advice !== undefined && error instanceof Error ? new BackupError(`${advice} (${error.message})`, { cause: error }) : error
}

const format = 1

export interface BackupFolder {
  readonly root: string
  readonly marker: string
  readonly lock: string
  readonly blobs: string
  readonly snapshots: string
  readonly unfinished: string
}

export function backupFolder(root: string): BackupFolder {
  return {
    root,
    marker: join(root, 'backup.json'),
    lock: join(root, 'lock.db'),
    blobs: join(root, 'blobs'),
    snapshots: join(root, 'snapshots'),
    unfinished: join(root, 'unfinished'),
  }
}

/** The parts of one snapshot, below its folder. */
export interface SnapshotParts {
  readonly root: string
  readonly description: string
  readonly database: string
  readonly keys: string
}

function partsOf(root: string): SnapshotParts {
  return { root, description: join(root, 'snapshot.json'), database: join(root, databaseFile), keys: join(root, keyFolder) }
}

/** Their names, as a description has them. */
export const databaseFile = 'lanyard.db'
export const keyFolder = 'keys'

/** @param id one that listSnapshots gave, or snapshotId */
export function snapshotParts(folder: BackupFolder, id: string): SnapshotParts {
  if (parseTimeInName(id) === undefined) throw new BackupError(`not the name of a snapshot: ${id} (see "lanyard backup list")`)
  return partsOf(join(folder.snapshots, id))
}

export function unfinishedParts(folder: BackupFolder): SnapshotParts {
  return partsOf(join(folder.unfinished, 'snapshot'))
}

/** A file of a snapshot. @param name as in its description */
export function partPath(parts: SnapshotParts, name: string): string {
  return join(parts.root, name)
}

/** Where a blob is copied to before it gets its name. */
export function unfinishedBlobPath(folder: BackupFolder): string {
  return join(folder.unfinished, `blob-${randomUUID()}`)
}

export function snapshotId(takenAtMs: number): string {
  return timeInName(takenAtMs)
}

/** All complete snapshots, the oldest first. */
export async function listSnapshots(folder: BackupFolder): Promise<string[]> {
  const names = await readdir(folder.snapshots)
  return names.filter((name) => parseTimeInName(name) !== undefined).toSorted()
}

/** What is told of a backup beside its bytes. */
export interface SnapshotDescription {
  readonly takenAt: string
  /** Of the program that made it. */
  readonly version: string
  readonly schema: number
  readonly repositories: number
  readonly manifests: number
  readonly tags: number
  readonly blobs: number
  /** Of all its blobs. */
  readonly bytes: number
  /** Blobs that were absent or damaged in the store already; no backup has them. */
  readonly damaged: readonly string[]
  /** Every other file of the snapshot, by its path below it. */
  readonly files: Readonly<Record<string, FileFacts>>
}

export function renderDescription(snapshot: SnapshotDescription): string {
  const checksum = digestOf('sha256', Buffer.from(JSON.stringify(snapshot)))
  return `${JSON.stringify({ checksum, snapshot }, undefined, 2)}\n`
}

/** @throws {BackupError} it is missing or not what was written */
export async function readDescription({ description }: SnapshotParts): Promise<SnapshotDescription> {
  try {
    const { checksum, snapshot } = JSON.parse(await readFile(description, 'utf8')) as { checksum: unknown; snapshot: SnapshotDescription }
    if (digestOf('sha256', Buffer.from(JSON.stringify(snapshot))) === checksum) return snapshot
  } catch (error) {
    if (!(error instanceof SyntaxError) && systemCode(error) !== 'ENOENT') throw error
  }
  throw new BackupError(`${description} is missing or damaged`)
}

/** Makes a new folder a backup folder, or finds that it is one. @throws {BackupError} it holds something else */
export async function prepareBackup(folder: BackupFolder): Promise<void> {
  await mkdir(folder.root, { recursive: true, mode: 0o700 })
  if (!isMarked(folder)) {
    const names = (await readdir(folder.root)).filter((name) => name !== 'lost+found')
    // One whose making was interrupted has folders and no marker yet.
    const strange = names.filter((name) => ![folder.blobs, folder.snapshots, folder.unfinished].includes(join(folder.root, name)))
    if (strange.length > 0)
      throw new BackupError(`${folder.root} holds ${strange[0]} and is no backup folder: name an empty one, or one that will be made`)
  }
  for (const each of [...allBlobFolders(folder), folder.snapshots, folder.unfinished]) await mkdir(each, { recursive: true, mode: 0o700 })
  const parents = new Set(allBlobFolders(folder).map((each) => dirname(each)))
  for (const each of [...parents, folder.blobs, folder.root, dirname(folder.root)]) await syncFolder(each)
  if (!isMarked(folder))
    await writeDurably(folder.marker, join(folder.unfinished, 'marker'), `${JSON.stringify({ lanyardBackup: format })}\n`)
}

/** @throws {BackupError} */
export function requireBackup(folder: BackupFolder): void {
  if (!isMarked(folder)) throw new BackupError(`${folder.root} is no backup folder: it has no backup.json`)
}

/** @throws {BackupError} it is one, of a format that this version does not know, or its marker is damaged */
function isMarked({ marker }: BackupFolder): boolean {
  let text: string
  try {
    text = readFileSync(marker, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return false
    throw error
  }
  const known = /^\{"lanyardBackup":(\d+)\}\n$/.exec(text)?.[1]
  if (known === undefined) throw new BackupError(`${marker} is damaged: it must hold {"lanyardBackup":${format}} and a line's end`)
  if (Number(known) > format) throw new BackupError(`${marker} was written by a newer version of Lanyard: use that version`)
  return true
}

/** Syncs the file, then its name and its folder. */
export async function writeDurably(path: string, unfinished: string, text: string): Promise<void> {
  await rm(unfinished, { force: true })
  const file = await open(unfinished, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await syncAndRename(file.fd, unfinished, path)
  } finally {
    await file.close()
  }
  await syncFolder(dirname(path))
}

/** Gives a folder another name; what it holds is the caller's to sync. Both parents are synced. */
export async function moveFolder(from: string, to: string): Promise<void> {
  const folder = await open(from, 'r')
  try {
    await syncAndRename(folder.fd, from, to)
  } finally {
    await folder.close()
  }
  await syncFolder(dirname(to))
  await syncFolder(dirname(from))
}

/** Where a snapshot goes that is being removed: it is whole under its name, or not there. */
export function removedSnapshotPath(folder: BackupFolder, id: string): string {
  return join(folder.unfinished, `removed-${id}`)
}

/** Empties what an earlier backup left unfinished. */
export async function clearUnfinished(folder: BackupFolder): Promise<void> {
  for (const name of await readdir(folder.unfinished)) await rm(join(folder.unfinished, name), { recursive: true, force: true })
}

/** One backup at a time into one folder. @returns what lets go @throws {BackupError} another one is being made */
export function lockBackup(folder: BackupFolder): () => void {
  const sqlite = new Sqlite(folder.lock, { timeout: 0 })
  try {
    sqlite.pragma('journal_mode = memory')
    sqlite.exec('begin exclusive')
    return () => sqlite.close()
  } catch (error) {
    sqlite.close()
    if (!systemCode(error)?.startsWith('SQLITE_BUSY')) throw error
    throw new BackupError(`another backup into ${folder.root} is under way`)
  }
}
