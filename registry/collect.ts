/**
 * The collector: gives back what nothing needs any more, in rounds of small steps, beside any number of requests and other collectors.
 *
 * Owns the order of the steps and when to stop; what may go is decided in the files of each. Invariant: fails closed. Any error ends the
 * round, and while the clocks disagree nothing is collected.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { getCollection, noteCollector, noteRound, type Collected } from '../storage/metadata/reviews.ts'
import type { ManifestReview } from '../storage/metadata/manifest-reviews.ts'
import { queueWaiting } from '../storage/metadata/trash.ts'
import { recordAuditEvent } from './audit.ts'
import { reviewManifests, sweepManifests } from './collect-manifests.ts'
import { recoverCollected, reviewBlobs, reviewLinks, type CollectionHooks } from './collect-blobs.ts'
import { CollectionClock } from './collection-clock.ts'
import { stepEntries, type Step } from './collection-step.ts'
import type { Registry } from './registry.ts'
import { emptyTrash } from './trash.ts'

export interface CollectorParts {
  readonly registry: Registry
  /** Milliseconds since some moment; never set. */
  readonly monotonic: () => number
  /** How long nothing is collected after the start. */
  readonly startMs: number
  /** Told how long a step took, and what it did. */
  readonly onStep?: (step: Step, durationMs: number) => void
  readonly hooks?: CollectionHooks
}

/** What a round did. */
export interface Round extends Collected {
  /** Whether nothing was left that is due. */
  readonly isComplete: boolean
  /** Why it did nothing: the collector has just started, or the clock was set. */
  readonly objection?: 'started' | 'clockSet'
}

/** The time seen is written down again when it is older than this. */
const seenEveryMs = 60_000

interface Sum {
  manifests: number
  blobs: number
  bytes: number
}

export class Collector {
  readonly #parts: CollectorParts
  readonly #clock: CollectionClock
  #notedMs = 0
  /** Got back from what a killed collector had left; told with the first round. */
  #recoveredBytes: number

  private constructor(parts: CollectorParts, { clock, recoveredBytes }: { clock: CollectionClock; recoveredBytes: number }) {
    this.#parts = parts
    this.#clock = clock
    this.#recoveredBytes = recoveredBytes
  }

  static async open(parts: CollectorParts): Promise<Collector> {
    const { registry, monotonic, startMs } = parts
    const { seen_ms: seenMs } = await getCollection(registry.database.read)
    const { bytes: recoveredBytes } = await recoverCollected(registry)
    const clock = new CollectionClock({ clock: registry.clock, monotonic, leaseMs: registry.rules.leaseMs, seenMs, startMs })
    return new Collector(parts, { clock, recoveredBytes })
  }

  /**
   * Goes on until nothing is due, or `signal` ends it: within one step.
   * @param sweep.days all untagged manifests are looked at by this rule, whatever their repositories say
   */
  async round(signal: AbortSignal, sweep?: { readonly days: number }): Promise<Round> {
    const objection = this.#clock.objection()
    if (objection) return { manifests: 0, blobs: 0, bytes: 0, isComplete: false, objection }
    const sum = { manifests: 0, blobs: 0, bytes: this.#recoveredBytes }
    this.#recoveredBytes = 0
    let isComplete = false
    try {
      if (!(await this.#isReady(signal))) return { ...sum, isComplete: false }
      const isSwept = sweep === undefined || (await this.#sweep(sum, { signal, days: sweep.days }))
      isComplete = isSwept && (await this.#runSteps(sum, signal))
    } finally {
      await this.#noteRound(sum)
    }
    return { ...sum, isComplete }
  }

  /** In this order, because each fills the queue of the next. @returns whether all came to their end */
  async #runSteps(sum: Sum, signal: AbortSignal): Promise<boolean> {
    const { registry, hooks } = this.#parts
    const steps = [
      () => emptyTrash(registry),
      () => reviewManifests(registry),
      () => reviewLinks(registry),
      () => reviewBlobs(registry, hooks),
    ]
    for (const step of steps) {
      for (;;) {
        if (this.#mustStop(signal)) return false
        if ((await this.#timed(sum, step)).seen === 0) break
      }
    }
    return true
  }

  /** Until a pass over the queue removes nothing: what an index listed is free only when that is gone. */
  async #sweep(sum: Sum, { signal, days }: { signal: AbortSignal; days: number }): Promise<boolean> {
    for (let before = -1; before < sum.manifests;) {
      before = sum.manifests
      for (let after: ManifestReview | undefined; ;) {
        if (this.#mustStop(signal)) return false
        const { next } = await this.#timed(sum, () => sweepManifests(this.#parts.registry, { days, after }))
        if (next === undefined) break
        after = next
      }
    }
    return true
  }

  #mustStop(signal: AbortSignal): boolean {
    return signal.aborted || this.#clock.objection() !== undefined
  }

  async #timed<S extends Step>(sum: Sum, work: () => Promise<S>): Promise<S> {
    const startedMs = performance.now()
    const step = await work()
    if (step.seen === 0) return step
    const tookMs = performance.now() - startedMs
    sum.manifests += step.manifests
    sum.blobs += step.blobs
    sum.bytes += step.bytes
    this.#parts.onStep?.(step, tookMs)
    // Whoever waits for the lock is to get it, and the disk is theirs for as long as it was the collector's.
    await pause(Math.min(tookMs, 20))
    return step
  }

  /** Once a minute: follows a rule that has changed, and writes down the time. @returns false when `signal` came first */
  async #isReady(signal: AbortSignal): Promise<boolean> {
    const { database, clock, rules } = this.#parts.registry
    const seenMs = clock()
    if (Math.abs(seenMs - this.#notedMs) < seenEveryMs) return true
    if (!(await this.#followRule(signal))) return false
    await database.writeRelaxed((tx) => noteCollector(tx, { seenMs, untaggedDays: rules.untaggedDays }))
    this.#notedMs = seenMs
    return true
  }

  /**
   * With another setting than that of the last collector (before the start, or of a command), manifests that were kept by the other are
   * looked at again. @returns whether all are queued
   */
  async #followRule(signal: AbortSignal): Promise<boolean> {
    const { database, rules } = this.#parts.registry
    if ((await getCollection(database.read)).rule_days === rules.untaggedDays) return true
    while (!signal.aborted) {
      const queued = await database.writeRelaxed((tx) => queueWaiting(tx, { repositoryId: 'any', limit: stepEntries }))
      if (queued === 0) return true
      await pause(1)
    }
    return false
  }

  /** What was removed is told even if the round ended in an error. */
  async #noteRound(sum: Collected): Promise<void> {
    const { manifests, blobs, bytes } = sum
    if (manifests + blobs + bytes === 0) return
    const { database, clock } = this.#parts.registry
    const atMs = clock()
    const detail = { manifests, blobs, bytes }
    await database.writeRelaxed(async (tx) => {
      await noteRound(tx, { atMs, manifests, blobs, bytes })
      const from = { actor: null, via: 'system', address: null, requestId: null } as const
      await recordAuditEvent(tx, { ...from, atMs, action: 'collect', target: '', detail, outcome: 'ok' })
    })
  }
}
