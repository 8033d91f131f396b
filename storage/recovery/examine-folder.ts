/**
 * Looking at a data folder from outside, for the doctor: what is there, who may read it, how new it is, whether the disk keeps what it
 * is given. Says what is so; what to do about it is said elsewhere. Leaves nothing behind.
 */
import { accessSync, constants, existsSync, readdirSync, statSync, type Stats } from 'node:fs'
import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { commitFile } from '../blobs/durable.ts'
import { systemCode } from '../faults.ts'
import { allBlobFolders, probePath, renamedProbePath, type DataLayout } from '../layout.ts'

/** Folders without which nothing can be pushed; a start makes them. */
export function missingFolders(layout: DataLayout): string[] {
  return [layout.uploads, layout.collected, layout.quarantine, ...allBlobFolders(layout)].filter((path) => !statOf(path)?.isDirectory())
}

/** Paths that this user may not read, write or enter, with what the system says. */
export function refusedPaths(layout: DataLayout): { path: string; code: string }[] {
  const { root, blobs, uploads, collected, quarantine, keys, snapshots, journal } = layout
  const folders = [root, blobs, uploads, collected, quarantine, keys, snapshots, journal]
  return [...folders, ...allBlobFolders(layout), ...secretFiles(layout), layout.hold, layout.lock].flatMap((path) => {
    const stats = statOf(path)
    if (!stats) return []
    const code = refusal(path, stats.isDirectory() ? constants.R_OK | constants.W_OK | constants.X_OK : constants.R_OK | constants.W_OK)
    return code === undefined ? [] : [{ path, code }]
  })
}

/** Files with secrets in them that others than their owner may read or write, with their permissions. */
export function exposedFiles(layout: DataLayout): { path: string; mode: string }[] {
  // Who may not enter the folder reaches nothing in it.
  if (((statOf(layout.root)?.mode ?? 0) & 0o011) === 0) return []
  return secretFiles(layout).flatMap((path) => {
    const mode = (statOf(path)?.mode ?? 0) & 0o777
    return (mode & 0o077) === 0 ? [] : [{ path, mode: mode.toString(8) }]
  })
}

/** Folders that are on another file system than the data folder, so that files cannot be moved between them. */
export function foreignFolders(layout: DataLayout): string[] {
  const device = statOf(layout.root)?.dev
  return [layout.uploads, layout.collected, layout.quarantine, ...allBlobFolders(layout)].filter(
    (path) => (statOf(path)?.dev ?? device) !== device,
  )
}

export interface Room {
  readonly freeBytes: number
  readonly totalBytes: number
  /** Files that can still be made; undefined where the file system has no such limit. */
  readonly freeFiles: number | undefined
}

export async function roomOf({ root }: DataLayout): Promise<Room> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(root)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeFiles: files === 0 ? undefined : ffree }
}

/** Does everything that a push does to the disk, with a file of its own. @returns how long the disk took, in ms @throws what failed */
export async function trySync(layout: DataLayout): Promise<number> {
  const startMs = performance.now()
  try {
    const file = await open(probePath(layout), 'w', 0o600)
    try {
      await file.write(Buffer.alloc(4096))
      await commitFile(file.fd, probePath(layout), { path: renamedProbePath(layout), folder: layout.uploads })
    } finally {
      await file.close()
    }
    return performance.now() - startMs
  } finally {
    for (const path of [probePath(layout), renamedProbePath(layout)]) await rm(path, { force: true })
  }
}

/** When a file of the data folder was written last, ms since 1970; 0 without any. */
export function newestFileMs(layout: DataLayout): number {
  const paths = [...secretFiles(layout), layout.holder, layout.uploads, layout.root]
  return Math.max(0, ...paths.map((path) => statOf(path)?.mtimeMs ?? 0))
}

function secretFiles(layout: DataLayout): string[] {
  const databases = ['', '-wal', '-shm'].map((part) => `${layout.database}${part}`).filter((path) => existsSync(path))
  return [...databases, ...filesIn(layout.keys), ...filesIn(layout.snapshots), ...filesIn(layout.journal)]
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name))
  } catch {
    // Whether it can be read is another question, which refusedPaths asks.
    return []
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function refusal(path: string, mode: number): string | undefined {
  try {
    accessSync(path, mode)
    return undefined
  } catch (error) {
    return systemCode(error) ?? String(error)
  }
}
