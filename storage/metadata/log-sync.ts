/**
 * Brings commits to the disk: one fdatasync of the write-ahead log serves every commit that came before it.
 *
 * The same call on the same bytes that SQLite makes under synchronous=FULL, but in libuv's pool instead of on the event loop, after
 * the write lock is gone, and once for all requests that wait. A checkpoint in between has synced the log itself before it used it.
 * Invariant: after a sync that failed nothing is written any more, because the kernel may have dropped the pages and a second
 * call would lie.
 */
import { close, fdatasync, openSync } from 'node:fs'
import { promisify } from 'node:util'
import { RegistryError } from '../../oci/errors.ts'
import { translateFault } from '../faults.ts'

const sync = promisify(fdatasync)

export class LogSync {
  readonly #path: string
  #file: number | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failure: unknown

  /** @param databasePath the database file; its connection must be open as long as this is used. */
  constructor(databasePath: string) {
    this.#path = `${databasePath}-wal`
  }

  /**
   * Resolves when everything that was committed before the call is on disk.
   * @throws {RegistryError} storageFull, storageFailed
   */
  sync(): Promise<void> {
    // The sync under way may have begun before the caller's commit; the next one surely holds it.
    this.#next ??= this.#after(this.#running)
    return this.#next
  }

  /** @throws {RegistryError} storageFailed: a sync has failed since the start */
  requireHealthy(): void {
    if (this.#failure !== undefined) throw new RegistryError('storageFailed', { cause: this.#failure })
  }

  async close(): Promise<void> {
    await this.#running?.catch(() => undefined)
    if (this.#file !== undefined) await promisify(close)(this.#file)
    this.#file = undefined
  }

  async #after(running: Promise<void> | undefined): Promise<void> {
    await running?.catch(() => undefined)
    this.#running = this.#next
    this.#next = undefined
    try {
      this.#file ??= openSync(this.#path, 'r')
      await sync(this.#file)
    } catch (error) {
      this.#failure ??= error
    }
    if (this.#failure !== undefined) throw translateFault(this.#failure)
  }
}
