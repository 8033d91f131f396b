/**
 * Whether the clock can be trusted enough to call a lease over: what was collected by a wrong time is gone for good.
 *
 * Compares the clock with one that nobody sets. Knows no rows: the latest time that an earlier collector saw is given to it.
 */

/** A clock may be set by so much without anybody noticing, as time servers do. */
const toleranceMs = 60_000

export interface CollectionClockParts {
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** Milliseconds since some moment; never set. */
  readonly monotonic: () => number
  /** How long to wait after a clock that was set: what is leased now has its lease all the same. */
  readonly leaseMs: number
  /** The latest time that any collector of this store has seen. */
  readonly seenMs: number
  /** How long to wait after the start. */
  readonly startMs: number
}

export class CollectionClock {
  readonly #parts: CollectionClockParts
  readonly #startedAt: number
  #last: { readonly wallMs: number; readonly monotonicMs: number }
  /** Of the monotonic clock. */
  #waitsUntilMs: number

  constructor(parts: CollectionClockParts) {
    const { clock, monotonic, seenMs, startMs } = parts
    this.#parts = parts
    this.#startedAt = monotonic()
    this.#last = { wallMs: clock(), monotonicMs: this.#startedAt }
    this.#waitsUntilMs = this.#startedAt + startMs
    if (this.#last.wallMs < seenMs - toleranceMs) this.#wait()
  }

  /** Looks at both clocks. @returns why nothing may be collected now; undefined: it may */
  objection(): 'started' | 'clockSet' | undefined {
    const wallMs = this.#parts.clock()
    const monotonicMs = this.#parts.monotonic()
    const expectedMs = this.#last.wallMs + monotonicMs - this.#last.monotonicMs
    this.#last = { wallMs, monotonicMs }
    if (Math.abs(wallMs - expectedMs) > toleranceMs) this.#wait()
    if (monotonicMs >= this.#waitsUntilMs) return undefined
    return this.#isSet ? 'clockSet' : 'started'
  }

  #isSet = false

  #wait(): void {
    this.#isSet = true
    this.#waitsUntilMs = Math.max(this.#waitsUntilMs, this.#last.monotonicMs + this.#parts.leaseMs)
  }
}
