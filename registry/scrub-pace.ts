/**
 * How fast a scrub reads: so many bytes a second, on average, whatever the disk could give.
 */
import { setTimeout as pause } from 'node:timers/promises'

/** A small blob costs a disk about as much as so many bytes in a row. */
const leastBytes = 16 * 1024
/** Shorter waits are saved up: a timer is not that exact. */
const leastWaitMs = 10

export interface PaceParts {
  readonly bytesPerSecond: number
  /** Milliseconds, never going back. */
  readonly monotonic: () => number
  /** Ends a wait at once: it throws. */
  readonly signal: AbortSignal
}

export class ScrubPace {
  readonly #parts: PaceParts
  /** When what has been read is paid for. */
  #paidAtMs = 0

  constructor(parts: PaceParts) {
    this.#parts = parts
  }

  /** Waits as long as reading so much may take. @throws when the signal comes */
  async spend(bytes: number): Promise<void> {
    const { bytesPerSecond, monotonic, signal } = this.#parts
    signal.throwIfAborted()
    const nowMs = monotonic()
    this.#paidAtMs = Math.max(this.#paidAtMs, nowMs) + (Math.max(bytes, leastBytes) / bytesPerSecond) * 1000
    const waitMs = this.#paidAtMs - nowMs
    if (waitMs >= leastWaitMs) await pause(waitMs, undefined, { signal })
  }
}
