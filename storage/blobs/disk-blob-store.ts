/**
 * Blobs as files under their digest, uploads as files under their session id, on one file system.
 *
 * Owns the files; knows no rows and no HTTP. Invariant: a path under blobs/ only ever holds the complete bytes of its
 * digest, because files get there by commitFile alone.
 */
import { constants } from 'node:fs'
import { access, mkdir, open, opendir, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { SupportedDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { systemCode, withFaultsTranslated } from '../faults.ts'
import { allBlobFolders, blobFolder, blobPath, uploadPath, type DataLayout } from '../layout.ts'
import type { BlobReader, BlobStore, PartialBlob } from './blob-store.ts'
import { commitFile, syncFolder } from './durable.ts'

export class DiskBlobStore implements BlobStore {
  readonly #layout: DataLayout

  constructor(layout: DataLayout) {
    this.#layout = layout
  }

  /** Makes the folders, durably, so that no later commit has to. Called once, before any worker serves. */
  static async prepare(layout: DataLayout): Promise<void> {
    await withFaultsTranslated(async () => {
      const folders = allBlobFolders(layout)
      const isPrepared = await exists(folders.at(-1) ?? layout.blobs)
      await mkdir(layout.uploads, { recursive: true, mode: 0o700 })
      if (isPrepared) return
      for (const folder of folders) await mkdir(folder, { recursive: true, mode: 0o700 })
      const parents = new Set(folders.map((folder) => join(folder, '..')))
      for (const parent of [...parents, layout.blobs, layout.root]) await syncFolder(parent)
    })
  }

  async statBlob(digest: SupportedDigest): Promise<number | undefined> {
    try {
      return (await stat(blobPath(this.#layout, digest))).size
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async openBlob(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader> {
    const file = await openIfThere(blobPath(this.#layout, digest))
    if (!file) throw new RegistryError('blobDamaged', { detail: { digest } })
    try {
      const actual = (await file.stat()).size
      if (actual !== sizeBytes) {
        throw new RegistryError('blobDamaged', {
          detail: { digest },
          cause: new Error(`${actual} bytes on disk, ${sizeBytes} in the rows`),
        })
      }
    } catch (error) {
      await file.close()
      throw error
    }
    return new DiskBlobReader(file, sizeBytes)
  }

  async openPartial(id: string): Promise<PartialBlob> {
    return withFaultsTranslated(async () => {
      const path = uploadPath(this.#layout, id)
      return new DiskPartialBlob(this.#layout, path, await open(path, constants.O_RDWR | constants.O_CREAT, 0o600))
    })
  }

  async removePartial(id: string): Promise<void> {
    await rm(uploadPath(this.#layout, id), { force: true })
  }

  async *listPartials(): AsyncIterable<{ id: string; modifiedAtMs: number }> {
    for await (const entry of await opendir(this.#layout.uploads)) {
      const found = await stat(join(this.#layout.uploads, entry.name)).catch(() => undefined)
      if (found?.isFile()) yield { id: entry.name, modifiedAtMs: found.mtimeMs }
    }
  }

  async probe(): Promise<void> {
    await withFaultsTranslated(() => access(this.#layout.uploads, constants.W_OK))
  }
}

class DiskBlobReader implements BlobReader {
  readonly sizeBytes: number
  readonly #file: FileHandle

  constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file
    this.sizeBytes = sizeBytes
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return (await this.#file.read(target, 0, target.length, position)).bytesRead
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

class DiskPartialBlob implements PartialBlob {
  readonly #layout: DataLayout
  readonly #path: string
  readonly #file: FileHandle

  constructor(layout: DataLayout, path: string, file: FileHandle) {
    this.#layout = layout
    this.#path = path
    this.#file = file
  }

  async sizeBytes(): Promise<number> {
    return (await this.#file.stat()).size
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    await withFaultsTranslated(async () => {
      const { bytesWritten } = await this.#file.writev(chunks, position)
      // A short write without an error means the disk took what it could: the next one says why, and must not leave a hole.
      if (bytesWritten < length)
        await this.#file
          .write(Buffer.concat(chunks), bytesWritten, length - bytesWritten, position + bytesWritten)
          .then(requireAll(length - bytesWritten))
    })
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return (await this.#file.read(target, 0, target.length, position)).bytesRead
  }

  async commit(digest: SupportedDigest, sizeBytes: number): Promise<void> {
    await withFaultsTranslated(async () => {
      const actual = await this.sizeBytes()
      if (actual < sizeBytes)
        throw new RegistryError('storageFailed', { cause: new Error(`${actual} bytes on disk, ${sizeBytes} received`) })
      if (actual > sizeBytes) await this.#file.truncate(sizeBytes)
      await commitFile(this.#file, this.#path, { path: blobPath(this.#layout, digest), folder: blobFolder(this.#layout, digest) })
    })
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

function requireAll(length: number): (result: { bytesWritten: number }) => void {
  return ({ bytesWritten }) => {
    if (bytesWritten < length) throw new RegistryError('storageFull', { cause: new Error('short write') })
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
