/**
 * Files of blobs that no row names: a crash between the file and its row leaves one. They go as what is collected goes.
 *
 * Invariants: none is taken over, because nobody knows whose it was. One that got its place within a day stays, as an upload may be about to
 * name it; an upload that does so later than that sees under the same lock that its file is gone, and is sent again. While a backup is under
 * way all stay, for the next scrub.
 */
import type { SupportedDigest } from '../oci/digest.ts'
import { totalBlobs } from '../storage/metadata/blobs.ts'
import { blobLease } from '../storage/metadata/reviews.ts'
import { knownBlobs } from '../storage/metadata/scrubs.ts'
import { recordAuditEvent } from './audit.ts'
import { writeToFree, type Registry } from './registry.ts'

export const orphanAgeMs = 24 * 3_600_000
/** Rows that are asked for at once. */
const batch = 500

export class OrphanRemoval {
  readonly #registry: Registry
  #removed: number

  /** @param removed by the same scrub so far */
  constructor(registry: Registry, removed: number) {
    this.#registry = registry
    this.#removed = removed
  }

  /** Removes the orphans among the blobs of a shelf. @returns how many, and the bytes that the file system got back */
  async look(digests: readonly SupportedDigest[], signal: AbortSignal): Promise<{ orphans: number; bytes: number }> {
    const sum = { orphans: 0, bytes: 0 }
    for (let start = 0; start < digests.length; start += batch) {
      const some = digests.slice(start, start + batch)
      const known = await knownBlobs(this.#registry.database.read, some)
      for (const digest of some.filter((each) => !known.has(each))) {
        signal.throwIfAborted()
        const bytes = await this.#remove(digest)
        if (bytes === undefined) continue
        sum.orphans++
        sum.bytes += bytes
      }
    }
    return sum
  }

  /** @returns the bytes that the file system got back; undefined: it stays */
  async #remove(digest: SupportedDigest): Promise<number | undefined> {
    const { blobs, database } = this.#registry
    if (!(await this.#isOld(digest))) return undefined
    // More files without rows than blobs with one: this is another database than the files', or one that has lost rows.
    if (this.#removed >= (await totalBlobs(database.read)).blobs) return undefined
    const name = await this.#take(digest)
    if (name === undefined) return undefined
    this.#removed++
    return blobs.collected.remove(name)
  }

  async #take(digest: SupportedDigest): Promise<string | undefined> {
    const { blobs, clock, newId } = this.#registry
    const stopTaking = blobs.collected.startTaking()
    if (!stopTaking) return undefined
    let taken: string | undefined
    try {
      await writeToFree(this.#registry, async (tx) => {
        if ((await blobLease.first(tx, { digest })) || !(await this.#isOld(digest))) return
        taken = (await blobs.collected.takeAway(digest, newId())) ?? taken
        const from = { actor: null, via: 'system', address: null, requestId: null } as const
        await recordAuditEvent(tx, { ...from, atMs: clock(), action: 'collect', target: digest, detail: { orphans: 1 }, outcome: 'ok' })
      })
    } catch (error) {
      if (taken !== undefined) await blobs.collected.putBack(taken)
      throw error
    } finally {
      stopTaking()
    }
    return taken
  }

  async #isOld(digest: SupportedDigest): Promise<boolean> {
    const placedAtMs = await this.#registry.blobs.inspection.placedAtMs(digest)
    return placedAtMs !== undefined && placedAtMs < this.#registry.clock() - orphanAgeMs
  }
}
