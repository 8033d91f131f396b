/**
 * Looking for damage among the blobs' files, and keeping what is damaged in a folder of its own beside them.
 *
 * Invariant: a sound copy never stays away from its place. It is taken only by mistake, when an upload stores it between a look and a
 * rename; then it is put back, unless there is yet another one.
 *
 * Setting aside runs on the event loop, within a transaction that holds the write lock, as collecting does.
 */
import { closeSync, constants, fstatSync, linkSync, openSync, read, renameSync, statSync, unlinkSync, type Stats } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { SupportedDigest } from '../../oci/digest.ts'
import { systemCode, withFaultsTranslated } from '../faults.ts'
import { allBlobFolders, blobFolder, blobPath, digestOfBlobFile, quarantinedPath, type DataLayout } from '../layout.ts'
import type { BlobInspection, BlobReader } from './blob-store.ts'
import { AlignedBuffers, blockBytes } from './direct-file.ts'
import { syncFolder } from './durable.ts'

type Bad = Parameters<BlobInspection['setAside']>[1]

const readInPool = promisify(read)

export class InspectedFiles implements BlobInspection {
  readonly #layout: DataLayout
  readonly #openBlob: (digest: SupportedDigest, sizeBytes: number) => Promise<BlobReader>
  readonly #folders: readonly string[]
  readonly #onLooked: () => void
  /** Of their own, made at the first scrub: those of uploads are for uploads. */
  readonly #buffers = new AlignedBuffers()

  /**
   * @param parts.openBlob of the store: the usual way to open a blob
   * @param parts.onLooked the moment before a file is set aside: for tests, which meet it with the work of others
   */
  constructor(
    layout: DataLayout,
    parts: {
      readonly openBlob: (digest: SupportedDigest, sizeBytes: number) => Promise<BlobReader>
      readonly onLooked?: () => void
    },
  ) {
    this.#layout = layout
    this.#openBlob = parts.openBlob
    this.#onLooked = parts.onLooked ?? (() => undefined)
    this.#folders = allBlobFolders(layout)
  }

  get shelves(): number {
    return this.#folders.length
  }

  async setAside(digest: SupportedDigest, bad: Bad): Promise<'missing' | 'size' | 'copy' | undefined> {
    return withFaultsTranslated(async () => {
      const path = blobPath(this.#layout, digest)
      const found = faultOf(statSync(path, { throwIfNoEntry: false }), bad)
      if (found === undefined || found === 'missing') return found
      this.#onLooked()
      const kept = quarantinedPath(this.#layout, digest, bad.id)
      if (!unless('ENOENT', () => renameSync(path, kept))) return 'missing'
      const taken = faultOf(statSync(kept), bad)
      if (taken === undefined) await this.#putBack(digest, kept)
      return taken
    })
  }

  async #putBack(digest: SupportedDigest, kept: string): Promise<void> {
    unless('EEXIST', () => linkSync(kept, blobPath(this.#layout, digest)))
    await syncFolder(blobFolder(this.#layout, digest))
    unlinkSync(kept)
  }

  async keepBytes(digest: SupportedDigest, id: string, bytes: Uint8Array): Promise<void> {
    await withFaultsTranslated(async () => {
      const file = await open(quarantinedPath(this.#layout, digest, id), 'w', 0o600)
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
    })
  }

  async openOnDisk(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader> {
    const usual = await this.#openBlob(digest, sizeBytes)
    const direct = openDirectly(blobPath(this.#layout, digest))
    const buffer = direct === undefined ? undefined : this.#buffers.take()
    if (direct === undefined || buffer === undefined || String(fstatSync(direct).ino) !== usual.copy) {
      if (direct !== undefined) closeSync(direct)
      if (buffer) this.#buffers.giveBack(buffer)
      return usual
    }
    return new DirectBlobReader(usual, { file: direct, buffer, giveBack: () => this.#buffers.giveBack(buffer) })
  }

  async listShelf(shelf: number): Promise<readonly SupportedDigest[]> {
    const folder = this.#folders[shelf]
    if (folder === undefined) return []
    return withFaultsTranslated(async () => {
      const names = await readdir(folder).catch((error: unknown) => {
        if (systemCode(error) === 'ENOENT') return []
        throw error
      })
      return names.flatMap((name) => digestOfBlobFile(folder, name) ?? [])
    })
  }

  async placedAtMs(digest: SupportedDigest): Promise<number | undefined> {
    return withFaultsTranslated(async () => {
      const found = statSync(blobPath(this.#layout, digest), { throwIfNoEntry: false })
      // A rename changes the one, restoring a backup often only the other.
      return found && Math.max(found.ctimeMs, found.mtimeMs)
    })
  }
}

function faultOf(found: Stats | undefined, { sizeBytes, copy }: Bad): 'missing' | 'size' | 'copy' | undefined {
  if (!found?.isFile()) return 'missing'
  if (found.size !== sizeBytes) return 'size'
  return copy !== undefined && String(found.ino) === copy ? 'copy' : undefined
}

interface Directly {
  readonly file: number
  readonly buffer: Uint8Array
  readonly giveBack: () => void
}

/** Reads past the page cache: what lies in memory may be right while the disk's copy is not, and a scrub must not push it out. */
class DirectBlobReader implements BlobReader {
  readonly sizeBytes: number
  readonly copy: string
  readonly #usual: BlobReader
  #direct: Directly | undefined

  constructor(usual: BlobReader, direct: Directly) {
    this.sizeBytes = usual.sizeBytes
    this.copy = usual.copy
    this.#usual = usual
    this.#direct = direct
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const direct = this.#direct
    const length = Math.ceil(target.length / blockBytes) * blockBytes
    if (direct === undefined || position % blockBytes > 0 || length > direct.buffer.length) return this.#usual.read(target, position)
    try {
      const { bytesRead } = await withFaultsTranslated(() => readInPool(direct.file, direct.buffer, 0, length, position))
      const got = Math.min(bytesRead, target.length)
      target.set(direct.buffer.subarray(0, got))
      return got
    } catch (error) {
      if (systemCode(error) !== 'EINVAL') throw error
      this.#endDirect()
      return this.#usual.read(target, position)
    }
  }

  async close(): Promise<void> {
    this.#endDirect()
    await this.#usual.close()
  }

  #endDirect(): void {
    const direct = this.#direct
    this.#direct = undefined
    if (direct === undefined) return
    closeSync(direct.file)
    direct.giveBack()
  }
}

/** @returns undefined where the file system knows no such reading, and where there is no such file any more. */
function openDirectly(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECT)
  } catch (error) {
    if (systemCode(error) === 'EINVAL' || systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** @returns whether it worked; false when this is what the system objected to. */
function unless(code: string, work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (systemCode(error) === code) return false
    throw error
  }
}
