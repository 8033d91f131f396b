/**
 * Blobs on their way out, as files in a folder of their own beside their places, on the same file system.
 *
 * Invariant: a file gets back to its place only while that is empty: what lies there now may be a repaired copy, and newer.
 *
 * Taking away and putting back run on the event loop, within transactions that hold the write lock: a rename takes some 20 µs, and
 * waiting for a thread would keep everybody who pushes waiting, too.
 */
import { linkSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { lstat, mkdir, readdir, unlink } from 'node:fs/promises'
import type { SupportedDigest } from '../../oci/digest.ts'
import { systemCode, withFaultsTranslated } from '../faults.ts'
import { blobFolder, blobPath, collectedName, collectedPath, digestOfCollected, type DataLayout } from '../layout.ts'
import type { CollectedBlobs } from './blob-store.ts'
import { syncFolder } from './durable.ts'
import { keepBackupsOut } from './hold.ts'

/** What `stat` counts a file's room in, whatever the file system's own blocks are. */
const statBlockBytes = 512

export class CollectedFiles implements CollectedBlobs {
  readonly #layout: DataLayout

  constructor(layout: DataLayout) {
    this.#layout = layout
  }

  startTaking(): (() => void) | undefined {
    return keepBackupsOut(this.#layout)
  }

  async takeAway(digest: SupportedDigest, id: string): Promise<string | undefined> {
    const name = collectedName(digest, id)
    return withFaultsTranslated(async () => {
      const isMoved = unless('ENOENT', () => renameSync(blobPath(this.#layout, digest), collectedPath(this.#layout, name)))
      // A folder that is missing must not look like a blob that is: its row would go, and its file stay for ever.
      if (!isMoved) statSync(this.#layout.collected)
      return isMoved ? name : undefined
    })
  }

  async putBack(name: string): Promise<void> {
    const digest = digestOfCollected(name)
    if (digest === undefined) return
    const path = collectedPath(this.#layout, name)
    await withFaultsTranslated(async () => {
      // Not a rename, which would replace what is there.
      unless('EEXIST', () => unless('ENOENT', () => linkSync(path, blobPath(this.#layout, digest))))
      // A power cut must not take the old name and forget the new one.
      await syncFolder(blobFolder(this.#layout, digest))
      unless('ENOENT', () => unlinkSync(path))
    })
  }

  async remove(name: string): Promise<number> {
    const path = collectedPath(this.#layout, name)
    return withFaultsTranslated(async () => {
      try {
        const { blocks, nlink } = await lstat(path)
        await unlink(path)
        return nlink === 1 ? blocks * statBlockBytes : 0
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return 0
        throw error
      }
    })
  }

  async list(): Promise<{ name: string; digest: SupportedDigest }[]> {
    return withFaultsTranslated(async () => {
      // An older version did not make it, and a command may come before the first start of this one.
      await mkdir(this.#layout.collected, { recursive: true, mode: 0o700 })
      const names = await readdir(this.#layout.collected)
      return names.flatMap((name) => {
        const digest = digestOfCollected(name)
        return digest === undefined ? [] : { name, digest }
      })
    })
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
