/**
 * Whether the disk takes writes: room above a reserve, and no sync that failed since the last one that passed.
 *
 * Pushes are refused early, while pulls and deletes go on. Invariant: after a sync has failed nothing is written, and so nothing
 * acknowledged, until a file of the probe's own was written, synced and renamed without a fault: the failed file itself is never
 * asked again, because the kernel may have dropped its pages and would say yes.
 */
import { statfs } from 'node:fs/promises'
import { RegistryError } from '../../oci/errors.ts'
import { systemCode, translateFault } from '../faults.ts'

/** How long an answer of the file system about its room is good for. */
const roomMs = 500
/** How often a disk that failed is tried again. */
const retryMs = 2_000

export interface DiskHealthParts {
  /** A folder on the disk. */
  readonly folder: string
  /** Bytes below which pushes are refused. */
  readonly reserveBytes: number
  /** Writes, syncs and renames a file of its own. */
  readonly probe: () => Promise<void>
  /** Milliseconds, never going back. */
  readonly monotonic: () => number
}

export class DiskHealth {
  readonly #parts: DiskHealthParts
  #failure: unknown
  #triedMs = -Infinity
  /** As last heard; requests that come while the first is asking are not refused on a guess. */
  #freeBytes = Infinity
  #askedMs = -Infinity

  constructor(parts: DiskHealthParts) {
    this.#parts = parts
  }

  /** Called with what a sync or a rename threw. A full disk and one that is mounted read-only say so again by themselves. */
  note(error: unknown): void {
    if (systemCode(error) === 'EIO') this.#failure = error
  }

  /** @throws {RegistryError} storageFull: less room than the reserve; and as requireHealthy */
  async requireWritable(): Promise<void> {
    await this.#requireRoom()
    await this.requireHealthy()
  }

  /** @throws {RegistryError} storageFailed, storageFull: a sync failed, and no probe has passed since */
  async requireHealthy(): Promise<void> {
    if (this.#failure === undefined) return
    if (this.#parts.monotonic() - this.#triedMs < retryMs) throw new RegistryError('storageFailed', { cause: this.#failure })
    this.#triedMs = this.#parts.monotonic()
    try {
      await this.#parts.probe()
      this.#failure = undefined
    } catch (error) {
      throw translateFault(error)
    }
  }

  async #requireRoom(): Promise<void> {
    const { folder, reserveBytes, monotonic } = this.#parts
    if (reserveBytes === 0) return
    if (monotonic() - this.#askedMs > roomMs) {
      this.#askedMs = monotonic()
      const { bavail, bsize } = await statfs(folder)
      this.#freeBytes = bavail * bsize
    }
    if (this.#freeBytes < reserveBytes) {
      throw new RegistryError('storageFull', { cause: new Error(`${this.#freeBytes} bytes free, ${reserveBytes} are kept in reserve`) })
    }
  }
}
