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
import type { Reader } from '../storage/metadata/schema.ts'
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
  const released = await addTrash(registry, gone)
  await addUntagged(registry, gone, { sweep, released })
  const links = await linksThatGo(registry, gone)
  const { blobs, bytes } = await blobsThatGo(registry, links)
  return { manifests: gone.size, blobs, bytes, isComplete: gone.size < most && links.size < most }
}

const keyOf = ({ repositoryId, digest }: ManifestReview): string => `${repositoryId} ${digest}`

/** @returns manifests that only what was deleted held */
async function addTrash({ database, clock, rules }: Registry, gone: Map<string, ManifestReview>): Promise<ManifestReview[]> {
  const released: ManifestReview[] = []
  for (const { kind, holder_id: repositoryId, repository_id: origin } of await listOverdue(database.read, {
    beforeMs: clock() - rules.trashMs,
    limit: most,
  })) {
    const digests = await listHeldManifests(database.read, repositoryId, Math.max(0, most - gone.size))
    for (const digest of digests) {
      gone.set(keyOf({ repositoryId, digest }), { repositoryId, digest })
      if (kind === 'manifest') released.push(...(await listHeldBy(database.read, { repositoryId, digest }, origin)))
    }
  }
  return released
}

/** Manifests of `origin` that this one lists, and those that refer to it. */
async function listHeldBy(db: Reader, manifest: ManifestReview, origin: number): Promise<ManifestReview[]> {
  const needs = await listNeeds(db, manifest)
  const manifests = needs.filter(({ role }) => role === 'manifest' || role === 'content').map(({ digest }) => digest)
  const referrers = await listSubjectOf(db, { repositoryId: origin, digest: manifest.digest, limit: most })
  return [...manifests, ...referrers].map((digest) => ({ repositoryId: origin, digest }))
}

/** From the queue, and then what only those held that were found before. */
async function addUntagged(
  registry: Registry,
  gone: Map<string, ManifestReview>,
  { sweep, released }: { sweep: { days: number } | undefined; released: readonly ManifestReview[] },
): Promise<void> {
  const { read } = registry.database
  const queue = sweep
    ? await listQueuedManifests(read, { after: undefined, limit: most })
    : await listManifestReviews(read, { nowMs: registry.clock(), limit: most })
  queue.push(...released)
  // What is found is added behind, and looked at in its turn.
  for (const review of queue) {
    if (gone.size >= most) return
    const isKnown = gone.has(keyOf(review))
    if (isKnown || !(await mayGo(registry, gone, { review, days: sweep?.days }))) continue
    gone.set(keyOf(review), review)
    queue.push(...(await listHeldBy(read, review, review.repositoryId)))
  }
}

async function mayGo(
  registry: Registry,
  gone: ReadonlyMap<string, ManifestReview>,
  { review, days }: { review: ManifestReview; days: number | undefined },
): Promise<boolean> {
  const { database, rules, clock } = registry
  const nowMs = clock()
  const hold = await manifestHold.first(database.read, { ...review, sinceMs: nowMs - rules.trashMs })
  if (!hold) return false
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
