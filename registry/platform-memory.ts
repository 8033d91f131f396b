/**
 * What the configs of images said about their platforms, so that a list of tags opens each only once.
 *
 * A shortcut, never a truth: what a digest names does not change, and whether a repository has it is asked before. The oldest
 * entries are forgotten.
 */
const maxEntries = 10_000

export class PlatformMemory {
  readonly #platforms = new Map<string, string | null>()

  /** @returns undefined: not known; null: the config names none. */
  recall(configDigest: string): string | null | undefined {
    return this.#platforms.get(configDigest)
  }

  remember(configDigest: string, platform: string | null): void {
    const oldest = this.#platforms.keys().next()
    if (this.#platforms.size >= maxEntries && !oldest.done) this.#platforms.delete(oldest.value)
    this.#platforms.set(configDigest, platform)
  }
}
