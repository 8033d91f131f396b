/**
 * Removing links of blobs that nothing in their repository references, and blobs that no repository links.
 *
 * Invariants: all that decides is read in the transaction that removes. A lease that still runs keeps both. A blob's file leaves its place
 * within the transaction that deletes its row, and is removed only when that is durable; whoever stores the same blob looks for the file
 * under the same lock, before anything is promised.
 */
import { isSupported, type SupportedDigest } from '../oci/digest.ts'
import {
  blobLease,
  deleteBlobRow,
  deleteLink,
  dropBlobReview,
  dropLinkReview,
  linkTo,
  listBlobReviews,
  listLinkReviews,
  postponeBlobReview,
  postponeLinkReview,
  referenceTo,
  type LinkReview,
} from '../storage/metadata/reviews.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { nothing, stepEntries, withinStep, type Step } from './collection-step.ts'
import { writeToFree, type Registry } from './registry.ts'

/** Moments between the parts of a step: for tests, which meet them with the work of others. */
export interface CollectionHooks {
  /** A blob has left its place, before its row's deletion is committed. */
  readonly onTaken?: (digest: SupportedDigest) => Promise<void>
  /** The rows are gone durably, the files are not. */
  readonly onCommitted?: () => Promise<void>
}

/** Looks at links that are due, as many as a step has time for. */
export async function reviewLinks(registry: Registry): Promise<Step> {
  const { database, clock, rules } = registry
  const due = { sinceMs: clock() - rules.leaseMs, limit: stepEntries }
  const reviews = await listLinkReviews(database.read, due)
  if (reviews.length === 0) return nothing
  return writeToFree(registry, async (tx) => ({
    ...nothing,
    seen: await withinStep(reviews, (review) => reviewLink(tx, review, clock() - rules.leaseMs)),
  }))
}

/** @param overMs a lease that was renewed then is over now */
async function reviewLink(tx: Writer, review: LinkReview, overMs: number): Promise<void> {
  const blob = await blobLease.first(tx, review)
  const isNeeded = blob === undefined || (await referenceTo.first(tx, review)) !== undefined
  if (!isNeeded && blob.leased_at_ms > overMs) {
    await postponeLinkReview.run(tx, { ...review, sinceMs: blob.leased_at_ms })
    return
  }
  if (!isNeeded) await deleteLink.run(tx, review)
  await dropLinkReview.run(tx, review)
}

/** Looks at blobs that are due, as many as a step has time for, and gives back the room of those that nobody links. */
export async function reviewBlobs(registry: Registry, hooks: CollectionHooks = {}): Promise<Step> {
  const { database, blobs, clock, rules } = registry
  const due = { sinceMs: clock() - rules.leaseMs, limit: stepEntries }
  const digests = await listBlobReviews(database.read, due)
  if (digests.length === 0) return nothing
  const stopTaking = blobs.collected.startTaking()
  if (!stopTaking) return nothing
  const taken = new TakenBlobs(registry, hooks)
  let removed = 0
  let seen = 0
  try {
    await writeToFree(registry, async (tx) => {
      removed = 0
      seen = await taken.orPutBack(() =>
        withinStep(digests, async (digest) => {
          if (await reviewBlob(tx, { digest, overMs: clock() - rules.leaseMs, taken })) removed++
        }),
      )
    })
  } catch (error) {
    await taken.putBack()
    throw error
  } finally {
    stopTaking()
  }
  await hooks.onCommitted?.()
  const freed = await Promise.all(taken.names.map((name) => blobs.collected.remove(name)))
  return { seen, manifests: 0, blobs: removed, bytes: freed.reduce((sum, bytes) => sum + bytes, 0) }
}

/** @returns whether it is gone. */
async function reviewBlob(tx: Writer, of: { digest: SupportedDigest; overMs: number; taken: TakenBlobs }): Promise<boolean> {
  const { digest, overMs, taken } = of
  const blob = await blobLease.first(tx, { digest })
  const isNeeded = blob === undefined || (await linkTo.first(tx, { digest })) !== undefined
  if (!isNeeded && blob.leased_at_ms > overMs) {
    await postponeBlobReview.run(tx, { digest, sinceMs: blob.leased_at_ms })
    return false
  }
  await dropBlobReview.run(tx, { digest })
  if (isNeeded) return false
  await deleteBlobRow.run(tx, { digest })
  if (isSupported(digest)) await taken.take(digest)
  return true
}

/** The files that a transaction has taken from their places. */
class TakenBlobs {
  readonly #registry: Registry
  readonly #hooks: CollectionHooks
  #names: string[] = []

  constructor(registry: Registry, hooks: CollectionHooks) {
    this.#registry = registry
    this.#hooks = hooks
  }

  get names(): readonly string[] {
    return this.#names
  }

  async take(digest: SupportedDigest): Promise<void> {
    const name = await this.#registry.blobs.collected.takeAway(digest, this.#registry.newId())
    if (name !== undefined) this.#names.push(name)
    await this.#hooks.onTaken?.(digest)
  }

  /** While the lock is still held, so that nobody meets a row whose file is not there. */
  async orPutBack<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      await this.putBack()
      throw error
    }
  }

  async putBack(): Promise<void> {
    for (const name of this.#names) await this.#registry.blobs.collected.putBack(name)
    this.#names = []
  }
}

/**
 * Clears up after a collector that was killed: a blob whose row is still there gets back to its place, another is removed for good.
 * May run beside another collector: none is amid a transaction while this one holds the lock.
 * @returns how many of each, and the bytes that the file system got back
 */
export async function recoverCollected(registry: Registry): Promise<{ putBack: number; removed: number; bytes: number }> {
  const { blobs, database } = registry
  const left = await blobs.collected.list()
  if (left.length === 0) return { putBack: 0, removed: 0, bytes: 0 }
  // Synced: a row that is gone for this process may be back after a power cut, if whoever deleted it was killed before its own sync.
  const missing = await database.write(async (tx) => {
    const names = new Set<string>()
    for (const { name, digest } of left) {
      const row = await blobLease.first(tx, { digest })
      if (row === undefined || (await blobs.statBlob(digest)) === row.size_bytes) continue
      await blobs.collected.putBack(name)
      names.add(name)
    }
    return names
  })
  const others = left.filter(({ name }) => !missing.has(name))
  let bytes = 0
  for (const { name } of others) bytes += await blobs.collected.remove(name)
  return { putBack: missing.size, removed: others.length, bytes }
}
