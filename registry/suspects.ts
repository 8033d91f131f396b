/**
 * What has to be read with suspicion: after a stop that was none in order, a power cut say, everything that was there before, until it
 * has been read once and found right, or a scrub has read it all.
 *
 * A process remembers for itself what it has read. Costs one comparison when nothing is suspect.
 */
import type { Reader } from '../storage/metadata/schema.ts'
import { getServerState } from '../storage/metadata/scrubs.ts'

/** Who reads so many things at once reads some of them again later. */
const capacity = 100_000

export class Suspects {
  /** What was stored at this time or before is suspect; milliseconds since 1970. */
  #untilMs = -Infinity
  readonly #sound = new Set<string>()
  readonly #underWay = new Map<string, Promise<void>>()

  /** Looks into the rows, where a scrub that has read everything says so. */
  async refresh(db: Reader): Promise<void> {
    const { unclean_at_ms: uncleanAtMs } = await getServerState(db)
    this.#untilMs = uncleanAtMs ?? -Infinity
    if (uncleanAtMs === null) this.#sound.clear()
  }

  /** Whether there is anything. */
  get isAnything(): boolean {
    return this.#untilMs !== -Infinity
  }

  /** @param storedAtMs when it was stored; without one it counts as old */
  isSuspect(key: string, storedAtMs = -Number.MAX_VALUE): boolean {
    return storedAtMs <= this.#untilMs && !this.#sound.has(key)
  }

  noteSound(key: string): void {
    const oldest = this.#sound.keys().next()
    if (this.#sound.size >= capacity && !oldest.done) this.#sound.delete(oldest.value)
    this.#sound.add(key)
  }

  /** Runs `check`, which calls noteSound, unless another has done so meanwhile; one at a time for each key. */
  async once(key: string, check: () => Promise<void>): Promise<void> {
    for (let other = this.#underWay.get(key); other !== undefined; other = this.#underWay.get(key)) {
      // Its reader may have failed for reasons of its own.
      await other.catch(leaveToItsOwner)
      if (this.#sound.has(key)) return
    }
    const checking = check()
    this.#underWay.set(key, checking)
    try {
      await checking
    } finally {
      this.#underWay.delete(key)
    }
  }
}

function leaveToItsOwner(): void {}
