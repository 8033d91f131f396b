/**
 * What the collector has to do and has done, for people who look after it.
 */
import { countReviews, getCollection, type CollectionRow } from '../storage/metadata/reviews.ts'
import type { Registry } from './registry.ts'

/** Nobody needs to know exactly how many more there are. */
const countedAtMost = 10_000

export interface CollectionState {
  /** What is due now, counted up to ten thousand of each. */
  readonly queued: { readonly manifests: number; readonly links: number; readonly blobs: number }
  readonly row: CollectionRow
}

export async function describeCollection({ database, clock, rules }: Registry): Promise<CollectionState> {
  const nowMs = clock()
  const queued = await countReviews(database.read, { sinceMs: nowMs - rules.leaseMs, nowMs, limit: countedAtMost })
  return { queued, row: await getCollection(database.read) }
}
