/**
 * What a round of the collector would remove, without removing anything: reads only, and no lock is held.
 *
 * Goes the collector's way with sets of what would be gone in place of deletions. Bounded: a preview that finds very much stops and says so.
 */
import type { Digest } from '../oci/digest.ts'
import {
  listManifestReviews,
  listQueuedManifests,
  manifestHold,
  type ManifestHold,
  type ManifestReview,
} from '../storage/metadata/manifest-reviews.ts'
import { listHolders, listLinks, listNeeds, listSubjectOf } from '../storage/metadata/previews.ts'
import { blobLease, listBlobReviews, listLinkReviews } from '../storage/metadata/reviews.ts'
import { listHeldManifests, listOverdue } from '../storage/metadata/trash.ts'
import { verdictOn } from './collect-manifests.ts'
import type { Registry } from './registry.ts'

/** Of manifests, links and blobs each. */
const most = 10_000

export interface Preview {
  readonly manifests: number
  readonly blobs: number
  /** Of the blobs, as they were pushed. */
  readonly bytes: number
  /** Whether it has looked at everything. */
  readonly isComplete: boolean
}

export async function previewCollection(registry: Registry, sweep?: { readonly days: number }): Promise<Preview> {
  const gone = new Map<string, ManifestReview>()
  await addTrash(registry, gone)
  await addUntagged(registry, gone, sweep)
  const links = await linksThatGo(registry, gone)
  const { blobs, bytes } = await blobsThatGo(registry, links)
  return { manifests: gone.size, blobs, bytes, isComplete: gone.size < most && links.size < most }
}

const keyOf = ({ repositoryId, digest }: ManifestReview): string => `${repositoryId} ${digest}`

async function addTrash({ database, clock, rules }: Registry, gone: Map<string, ManifestReview>): Promise<void> {
  for (const { holder_id: repositoryId } of await listOverdue(database.read, { beforeMs: clock() - rules.trashMs, limit: most })) {
    const digests = await listHeldManifests(database.read, repositoryId, Math.max(0, most - gone.size))
    for (const digest of digests) gone.set(keyOf({ repositoryId, digest }), { repositoryId, digest })
  }
}

/** From the queue, and then what only those held that were found before. */
async function addUntagged(registry: Registry, gone: Map<string, ManifestReview>, sweep: { days: number } | undefined): Promise<void> {
  const { read } = registry.database
  const queue = sweep
    ? await listQueuedManifests(read, { after: undefined, limit: most })
    : await listManifestReviews(read, { nowMs: registry.clock(), limit: most })
  // What is found is added behind, and looked at in its turn.
  for (const review of queue) {
    if (gone.size >= most) return
    const isKnown = gone.has(keyOf(review))
    if (isKnown || !(await mayGo(registry, gone, { review, days: sweep?.days }))) continue
    gone.set(keyOf(review), review)
    const { repositoryId } = review
    const needs = await listNeeds(read, review)
    const manifests = needs.filter(({ role }) => role === 'manifest' || role === 'content').map(({ digest }) => digest)
    const referrers = await listSubjectOf(read, { ...review, limit: most })
    queue.push(...[...manifests, ...referrers].map((digest) => ({ repositoryId, digest })))
  }
}

async function mayGo(
  registry: Registry,
  gone: ReadonlyMap<string, ManifestReview>,
  { review, days }: { review: ManifestReview; days: number | undefined },
): Promise<boolean> {
  const { database, rules, clock } = registry
  const hold = await manifestHold.first(database.read, review)
  if (!hold) return false
  const nowMs = clock()
  const { repositoryId } = review
  const isGone = (digest: Digest): boolean => gone.has(keyOf({ repositoryId, digest }))
  const holders = hold.is_listed ? await listHolders(database.read, { ...review, limit: most }) : []
  const left: ManifestHold = {
    ...hold,
    is_listed: Number(!holders.every(isGone)),
    has_subject: Number(hold.has_subject === 1 && hold.subject_digest !== null && !isGone(hold.subject_digest)),
  }
  const verdict = verdictOn(left, rules, { nowMs, days })
  return typeof verdict === 'number' && verdict <= nowMs
}

/** Links that nothing references when the manifests are gone, and no lease keeps. */
async function linksThatGo(registry: Registry, gone: ReadonlyMap<string, ManifestReview>): Promise<Map<string, ManifestReview>> {
  const { database, clock, rules } = registry
  const overMs = clock() - rules.leaseMs
  const candidates = new Map<string, ManifestReview>()
  for (const link of await listLinkReviews(database.read, { sinceMs: overMs, limit: most })) candidates.set(keyOf(link), link)
  for (const manifest of gone.values()) {
    for (const { digest } of await listNeeds(database.read, manifest)) {
      const link = { repositoryId: manifest.repositoryId, digest }
      if (candidates.size < most) candidates.set(keyOf(link), link)
    }
  }
  const links = new Map<string, ManifestReview>()
  for (const [key, link] of candidates) {
    const holders = await listHolders(database.read, { ...link, limit: most })
    const isNeeded = holders.some((digest) => !gone.has(keyOf({ repositoryId: link.repositoryId, digest })))
    const blob = await blobLease.first(database.read, link)
    if (!isNeeded && blob && blob.leased_at_ms <= overMs) links.set(key, link)
  }
  return links
}

/** Blobs that no other repository links. */
async function blobsThatGo({ database, clock, rules }: Registry, links: ReadonlyMap<string, ManifestReview>) {
  const overMs = clock() - rules.leaseMs
  const digests = new Set<Digest>([...links.values()].map(({ digest }) => digest))
  for (const digest of await listBlobReviews(database.read, { sinceMs: overMs, limit: most })) digests.add(digest)
  let [blobs, bytes] = [0, 0]
  for (const digest of digests) {
    const repositories = await listLinks(database.read, { digest, limit: most })
    const blob = await blobLease.first(database.read, { digest })
    if (!blob || blob.leased_at_ms > overMs || !repositories.every((repositoryId) => links.has(keyOf({ repositoryId, digest })))) continue
    blobs++
    bytes += blob.size_bytes
  }
  return { blobs, bytes }
}
