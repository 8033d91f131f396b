/**
 * Blobs as files under their digest, uploads as files under their session id, on one file system.
 *
 * Owns the files; knows no rows and no HTTP. Invariant: a path under blobs/ only ever holds the complete bytes of its
 * digest, because files get there by commitFile alone.
 *
 * Fast for a measured reason: bare descriptors, and opening for reading on the event loop. A look-up of a name costs 5 µs there
 * and 12 µs with its two changes of thread in libuv's pool; a small blob goes out three times as often. What may wait for the disk
 * (reading, writing, syncing, making and renaming files) stays in the pool.
 */
import { closeSync, constants, fdatasync, fstatSync, ftruncate, open, openSync, read, statSync, writev } from 'node:fs'
import { mkdir, opendir, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import type { SupportedDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { systemCode, withFaultsTranslated } from '../faults.ts'
import { allBlobFolders, blobFolder, blobPath, isSessionId, probePath, renamedProbePath, uploadPath, type DataLayout } from '../layout.ts'
import type { BlobInspection, BlobReader, BlobStore, CollectedBlobs, PartialBlob } from './blob-store.ts'
import { InspectedFiles } from './inspected-files.ts'
import { CollectedFiles } from './collected-files.ts'
import { AlignedBuffers, DirectFile } from './direct-file.ts'
import { DiskHealth } from './disk-health.ts'
import { commitFile, syncFolder } from './durable.ts'
import { makeHold } from './hold.ts'

const inPool = {
  open: promisify(open),
  read: promisify(read),
  writev: promisify(writev),
  truncate: promisify(ftruncate),
  flush: promisify(fdatasync),
}

export interface DiskBlobStoreOptions {
  /** Room below which pushes are refused; none by default. */
  readonly reserveBytes?: number
  /** What lies beyond so many bytes of a blob is written past the page cache: layers are pulled soon after their push, from there. */
  readonly directFromBytes?: number
}

export class DiskBlobStore implements BlobStore {
  readonly #layout: DataLayout
  readonly #health: DiskHealth
  readonly #directFromBytes: number
  readonly #buffers = new AlignedBuffers()
  readonly collected: CollectedBlobs
  readonly inspection: BlobInspection

  constructor(layout: DataLayout, { reserveBytes = 0, directFromBytes = 128 * 1024 * 1024 }: DiskBlobStoreOptions = {}) {
    this.#layout = layout
    this.collected = new CollectedFiles(layout)
    this.inspection = new InspectedFiles(layout, { openBlob: (digest, sizeBytes) => this.openBlob(digest, sizeBytes) })
    this.#directFromBytes = directFromBytes
    this.#health = new DiskHealth({
      folder: layout.root,
      reserveBytes,
      probe: () => trySync(layout),
      monotonic: () => performance.now(),
    })
  }

  /**
   * Makes the folders that are missing, durably, so that no later commit has to. Called once, before any worker serves.
   *
   * Looks for each, because some ways of copying a data folder leave empty ones out; and syncs even when it made none,
   * because the start that made them may have been killed before it could.
   */
  static async prepare(layout: DataLayout): Promise<void> {
    await withFaultsTranslated(async () => {
      await mkdir(layout.uploads, { recursive: true, mode: 0o700 })
      await mkdir(layout.collected, { recursive: true, mode: 0o700 })
      await mkdir(layout.quarantine, { recursive: true, mode: 0o700 })
      const folders = allBlobFolders(layout)
      const parents = [...new Set(folders.map((folder) => dirname(folder)))]
      for (const parent of parents) {
        await mkdir(parent, { recursive: true, mode: 0o700 })
        const present = new Set(await readdir(parent))
        const missing = folders.filter((folder) => dirname(folder) === parent && !present.has(basename(folder)))
        await Promise.all(missing.map((folder) => mkdir(folder, { mode: 0o700 })))
      }
      makeHold(layout)
      for (const folder of [...parents, layout.blobs, layout.root]) await syncFolder(folder)
    })
  }

  async statBlob(digest: SupportedDigest): Promise<number | undefined> {
    return withFaultsTranslated(async () => {
      try {
        return (await stat(blobPath(this.#layout, digest))).size
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return undefined
        throw error
      }
    })
  }

  async openBlob(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader> {
    return withFaultsTranslated(async () => {
      const file = openIfThere(blobPath(this.#layout, digest))
      if (file === undefined) throw damaged(digest, 'no file')
      const actual = fstatSync(file).size
      if (actual === sizeBytes) return new DiskBlobReader(file, sizeBytes)
      closeSync(file)
      throw damaged(digest, `${actual} bytes on disk, ${sizeBytes} in the rows`)
    })
  }

  async openPartial(id: string): Promise<PartialBlob> {
    return withFaultsTranslated(async () => {
      const path = uploadPath(this.#layout, id)
      return new DiskPartialBlob({
        layout: this.#layout,
        health: this.#health,
        directly: { fromBytes: this.#directFromBytes, buffers: this.#buffers },
        path,
        file: await inPool.open(path, constants.O_RDWR | constants.O_CREAT, 0o600),
      })
    })
  }

  async removePartial(id: string): Promise<void> {
    await withFaultsTranslated(() => rm(uploadPath(this.#layout, id), { force: true }))
  }

  async *listPartials(): AsyncIterable<{ id: string; modifiedAtMs: number }> {
    for await (const { name } of await withFaultsTranslated(() => opendir(this.#layout.uploads))) {
      if (!isSessionId(name)) continue
      const found = await stat(uploadPath(this.#layout, name)).catch(() => undefined)
      if (found?.isFile()) yield { id: name, modifiedAtMs: found.mtimeMs }
    }
  }

  async requireWritable(): Promise<void> {
    await withFaultsTranslated(() => this.#health.requireWritable())
  }

  /** Asks for a block of its own: permissions alone would not tell that the disk is full. */
  async probe(): Promise<void> {
    await withFaultsTranslated(async () => {
      await this.#health.requireHealthy()
      await writeProbe(this.#layout, async () => undefined)
      await rm(probePath(this.#layout), { force: true })
    })
  }
}

/** Everything that a commit does, on a file of its own. */
async function trySync(layout: DataLayout): Promise<void> {
  await writeProbe(layout, (file) => commitFile(file, probePath(layout), { path: renamedProbePath(layout), folder: layout.uploads }))
  await rm(renamedProbePath(layout), { force: true })
}

async function writeProbe(layout: DataLayout, andThen: (file: number) => Promise<void>): Promise<void> {
  const file = await inPool.open(probePath(layout), 'w', 0o600)
  try {
    await inPool.writev(file, [Buffer.alloc(4096)], 0)
    await andThen(file)
  } finally {
    closeSync(file)
  }
}

/** No descriptor: what still reads or writes after the close must not reach the file that got the number next. */
const closed = -1

class DiskBlobReader implements BlobReader {
  readonly sizeBytes: number
  #file: number

  constructor(file: number, sizeBytes: number) {
    this.#file = file
    this.sizeBytes = sizeBytes
  }

  /** While the file is open no other gets its number. */
  get copy(): string {
    return String(fstatSync(this.#file).ino)
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return withFaultsTranslated(async () => (await inPool.read(this.#file, target, 0, target.length, position)).bytesRead)
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = closed
    if (file !== closed) closeSync(file)
  }
}

/** After so many bytes the disk is set to work, so that the sync at the end of a large upload finds little left to do. */
const flushEveryBytes = 32 * 1024 * 1024

interface DirectWriting {
  /** Where in a blob it begins. */
  readonly fromBytes: number
  readonly buffers: AlignedBuffers
}

class DiskPartialBlob implements PartialBlob {
  readonly #layout: DataLayout
  readonly #health: DiskHealth
  readonly #path: string
  readonly #directly: DirectWriting
  #file: number
  /** Opened when the blob gets that far; undefined before, and where there is no such writing. */
  #direct: DirectFile | undefined
  #isDirectTried = false
  #unflushedBytes = 0
  /** The flush under way, or the last one. Its failure is the blob's: a later sync of the same file might not report it again. */
  #flushed: Promise<void> = Promise.resolve()
  #isFlushing = false

  constructor(parts: { layout: DataLayout; health: DiskHealth; directly: DirectWriting; path: string; file: number }) {
    this.#layout = parts.layout
    this.#health = parts.health
    this.#path = parts.path
    this.#directly = parts.directly
    this.#file = parts.file
  }

  async sizeBytes(): Promise<number> {
    return fstatSync(this.#file).size
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    let at = position
    await withFaultsTranslated(async () => {
      if (await this.#writeDirectly(chunks, position)) return
      for (let left = after(chunks, 0); left.length > 0;) {
        const { bytesWritten } = await inPool.writev(this.#file, left, at)
        if (bytesWritten === 0) throw new RegistryError('storageFull', { cause: new Error('nothing was written') })
        at += bytesWritten
        left = after(left, bytesWritten)
      }
    })
    this.#flushInBackground(at - position)
  }

  /** @returns whether it did. */
  async #writeDirectly(chunks: readonly Uint8Array[], position: number): Promise<boolean> {
    if (position < this.#directly.fromBytes) return false
    if (!this.#isDirectTried) this.#direct = DirectFile.open(this.#path, this.#directly.buffers)
    this.#isDirectTried = true
    return this.#direct !== undefined && this.#direct.write(chunks, position)
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return withFaultsTranslated(async () => (await inPool.read(this.#file, target, 0, target.length, position)).bytesRead)
  }

  async truncate(sizeBytes: number): Promise<void> {
    await withFaultsTranslated(() => inPool.truncate(this.#file, sizeBytes))
  }

  async commit(digest: SupportedDigest, sizeBytes: number): Promise<void> {
    await withFaultsTranslated(async () => {
      const actual = fstatSync(this.#file).size
      if (actual < sizeBytes)
        throw new RegistryError('storageFailed', { cause: new Error(`${actual} bytes on disk, ${sizeBytes} received`) })
      if (actual > sizeBytes) await inPool.truncate(this.#file, sizeBytes)
      await this.#commitFile(digest)
    })
  }

  async isStillThere(digest: SupportedDigest, sizeBytes: number): Promise<boolean> {
    return withFaultsTranslated(async () => {
      const there = statSync(blobPath(this.#layout, digest), { throwIfNoEntry: false })
      if (there?.size !== sizeBytes) return false
      // The own file was collected, and another upload of the same has put its own there: its name may not be on the disk yet.
      if (there.ino !== fstatSync(this.#file).ino) await syncFolder(blobFolder(this.#layout, digest))
      return true
    })
  }

  async #commitFile(digest: SupportedDigest): Promise<void> {
    // What another upload's failed sync has said of the disk holds for this one too.
    await this.#health.requireHealthy()
    try {
      await this.#flushed
      await commitFile(this.#file, this.#path, { path: blobPath(this.#layout, digest), folder: blobFolder(this.#layout, digest) })
    } catch (error) {
      this.#health.note(error)
      throw error
    }
  }

  async close(): Promise<void> {
    const file = this.#file
    if (file === closed) return
    this.#file = closed
    try {
      await withFaultsTranslated(() => this.#flushed)
    } finally {
      closeSync(file)
      this.#direct?.close()
    }
  }

  #flushInBackground(writtenBytes: number): void {
    this.#unflushedBytes += writtenBytes
    if (this.#unflushedBytes < flushEveryBytes || this.#isFlushing) return
    this.#unflushedBytes = 0
    this.#isFlushing = true
    const file = this.#file
    this.#flushed = this.#flushed.then(() => inPool.flush(file)).finally(() => (this.#isFlushing = false))
    this.#flushed.catch(untilCommitOrClose)
  }
}

/** The failure of a flush in flight is met at the commit or the close; until then it must not count as unhandled. */
function untilCommitOrClose(): void {}

/** What is left of `chunks` when their first bytes are written; empty ones, which would look like a full disk, are left out. */
function after(chunks: readonly Uint8Array[], writtenBytes: number): Uint8Array[] {
  let skip = writtenBytes
  return chunks.flatMap((chunk) => {
    const skipped = Math.min(skip, chunk.length)
    skip -= skipped
    return skipped === chunk.length ? [] : [chunk.subarray(skipped)]
  })
}

function damaged(digest: SupportedDigest, what: string): RegistryError {
  return new RegistryError('blobDamaged', { detail: { digest }, cause: new Error(what) })
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}
