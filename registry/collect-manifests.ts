/**
 * Removing manifests that have been untagged for as long as the rule of their repository says.
 *
 * Invariants: what an index of the repository lists, and what refers to a manifest that is there, stays; so does what would miss when
 * something in the trash came back, or a tag became again what it was. All that decides is read in the transaction that removes.
 */
import { deleteManifest } from '../storage/metadata/manifests.ts'
import {
  dropManifestReview,
  listManifestReviews,
  listQueuedManifests,
  manifestHold,
  postponeManifestReview,
  type ManifestHold,
  type ManifestReview,
} from '../storage/metadata/manifest-reviews.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { nothing, stepEntries, withinStep, type Step } from './collection-step.ts'
import { writeToFree, type Registry, type RegistryRules } from './registry.ts'

const dayMs = 86_400_000
/** What is in the trash is looked at again when it is out of it, or after this. */
const trashLookMs = 3_600_000

/** When a manifest may go: now or later, in milliseconds since 1970; `kept`: as long as the rule stays, `held`: as long as what holds it does. */
export type Verdict = number | 'kept' | 'held'

/**
 * What the rule says of a manifest.
 * @param days in place of what its repository or the setting says; 0: no time at all
 */
export function verdictOn(
  hold: ManifestHold,
  rules: RegistryRules,
  { nowMs, days }: { nowMs: number; days?: number | undefined },
): Verdict {
  if (hold.is_deleted) return nowMs + Math.max(rules.trashMs, trashLookMs)
  if (hold.is_tagged || hold.is_listed || hold.has_subject || hold.is_restorable_with) return 'held'
  const ruled = hold.untagged_days ?? rules.untaggedDays
  if (!rules.isDeleteEnabled || (days === undefined && ruled === 0)) return 'kept'
  const untaggedMs = (days ?? ruled) * dayMs
  return Math.max(
    hold.pushed_at_ms + untaggedMs,
    hold.leased_at_ms + rules.leaseMs,
    hold.tag_ended_ms === null ? 0 : hold.tag_ended_ms + Math.max(untaggedMs, rules.trashMs),
  )
}

/** Looks at manifests that are due, as many as a step has time for. */
export async function reviewManifests(registry: Registry): Promise<Step> {
  const reviews = await listManifestReviews(registry.database.read, { nowMs: registry.clock(), limit: stepEntries })
  if (reviews.length === 0) return nothing
  let manifests = 0
  const seen = await writeToFree(registry, async (tx) => {
    manifests = 0
    return withinStep(reviews, async (review) => {
      if (await reviewManifest(registry, tx, review)) manifests++
    })
  })
  return { ...nothing, seen, manifests }
}

/** @returns whether it is gone. */
async function reviewManifest({ clock, rules }: Registry, tx: Writer, review: ManifestReview): Promise<boolean> {
  const nowMs = clock()
  const hold = await manifestHold.first(tx, { ...review, sinceMs: nowMs - rules.trashMs })
  const verdict = hold && verdictOn(hold, rules, { nowMs })
  if (verdict === 'kept' || (typeof verdict === 'number' && verdict > nowMs)) {
    await postponeManifestReview.run(tx, { ...review, dueMs: verdict === 'kept' ? null : verdict })
    return false
  }
  await dropManifestReview.run(tx, review)
  return typeof verdict === 'number' && deleteManifest(tx, review.repositoryId, review.digest)
}

/**
 * Goes once over all untagged manifests, with a rule of its own for all repositories; the queue stays as it is otherwise.
 * @returns what one step did, and where the next goes on; undefined: that was the last
 */
export async function sweepManifests(
  registry: Registry,
  { days, after }: { days: number; after: ManifestReview | undefined },
): Promise<Step & { readonly next: ManifestReview | undefined }> {
  const { database, rules, clock } = registry
  const reviews = await listQueuedManifests(database.read, { after, limit: stepEntries })
  if (reviews.length === 0) return { ...nothing, next: undefined }
  let manifests = 0
  const seen = await writeToFree(registry, async (tx) => {
    manifests = 0
    return withinStep(reviews, async (review) => {
      const nowMs = clock()
      const hold = await manifestHold.first(tx, { ...review, sinceMs: nowMs - rules.trashMs })
      const verdict = hold && verdictOn(hold, rules, { nowMs, days })
      if (typeof verdict !== 'number' || verdict > nowMs) return
      await dropManifestReview.run(tx, review)
      if (await deleteManifest(tx, review.repositoryId, review.digest)) manifests++
    })
  })
  return { ...nothing, seen, manifests, next: reviews[seen - 1] }
}
