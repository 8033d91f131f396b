/**
 * Chance and content of the campaign, from a seed: the same seed makes the same choices and the same bytes.
 */
import { createCipheriv, createHash } from 'node:crypto'

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). Mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 up to, not including, `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** @throws when there is nothing to pick from. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  shuffle<T>(items: readonly T[]): T[] {
    const keyed = items.map((item) => ({ item, key: this.next() }))
    return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item)
  }
}

export interface Content {
  readonly digest: string
  readonly bytes: Buffer
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A bounded set of blobs, so that clients push, delete and push again the same ones, and so that the store does not grow without end. */
export class ContentPool {
  readonly #random: Random
  readonly #key: Buffer
  readonly #contents: Content[] = []

  constructor(seed: number, count: number) {
    this.#random = new Random(seed)
    this.#key = createHash('sha256').update(`content ${seed}`).digest().subarray(0, 16)
    for (let index = 0; index < count; index++) this.#contents.push(this.#make(index, this.#sizeBytes()))
  }

  pick(random: Random): Content {
    return random.pick(this.#contents)
  }

  /** One that takes several writes. */
  pickLarge(random: Random): Content {
    return random.pick(this.#contents.filter(({ bytes }) => bytes.length >= 400_000))
  }

  find(digest: string): Content | undefined {
    return this.#contents.find((content) => content.digest === digest)
  }

  /** Mostly small, some of several reads of a socket, a few of several writes to the disk. */
  #sizeBytes(): number {
    const kind = this.#random.next()
    if (kind < 0.65) return 64 + this.#random.below(4_000)
    if (kind < 0.92) return 4_000 + this.#random.below(60_000)
    return 400_000 + this.#random.below(1_000_000)
  }

  #make(index: number, sizeBytes: number): Content {
    const counter = Buffer.alloc(16)
    counter.writeUInt32BE(index)
    const bytes = createCipheriv('aes-128-ctr', this.#key, counter).update(Buffer.alloc(sizeBytes))
    return { digest: sha256(bytes), bytes }
  }
}
