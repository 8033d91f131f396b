/**
 * What the clients of the collection's campaign know: the manifests of a repository, what they need, and which of them must be there at a
 * time. All times are lower bounds: taken before what they are the times of.
 */

export const leaseMs = 60_000
export const trashMs = 20_000
const dayMs = 86_400_000

export interface ModelManifest {
  readonly digest: string
  readonly text: string
  readonly blobs: readonly string[]
  readonly lists: readonly string[]
  readonly subject: string | undefined
  pushedMs: number
  leasedMs: number
  /** When its last tag ended; undefined: none has. */
  tagEndedMs: number | undefined
}

export interface ModelDeletion {
  readonly manifest: ModelManifest
  readonly tags: readonly string[]
  readonly deletedMs: number
}

export class ModelRepository {
  readonly name: string
  /** Untagged manifests go after a day; otherwise they are kept. */
  readonly isRuled: boolean
  readonly manifests = new Map<string, ModelManifest>()
  /** Tag → digest. */
  readonly tags = new Map<string, string>()
  readonly trash: ModelDeletion[] = []
  #last: Promise<unknown> = Promise.resolve()

  constructor(name: string, { isRuled }: { isRuled: boolean }) {
    this.name = name
    this.isRuled = isRuled
  }

  /** One client after the other, so that each knows what the others have done here; the collectors wait for nobody. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }

  /** The manifests that must be there at this time, if all that is known of is there. */
  heldAt(nowMs: number): ModelManifest[] {
    const inTrash = this.trash.filter(({ deletedMs }) => deletedMs + trashMs > nowMs).map(({ manifest }) => manifest)
    const tagged = new Set(this.tags.values())
    let held = [...this.manifests.values()]
    for (;;) {
      const holders = [...held, ...inTrash]
      const next = held.filter((manifest) => this.#isHeld(manifest, { nowMs, tagged, holders }))
      if (next.length === held.length) return held
      held = next
    }
  }

  #isHeld(
    { digest, subject, pushedMs, leasedMs, tagEndedMs }: ModelManifest,
    { nowMs, tagged, holders }: { nowMs: number; tagged: ReadonlySet<string>; holders: readonly ModelManifest[] },
  ): boolean {
    if (!this.isRuled || tagged.has(digest)) return true
    if (holders.some((other) => other.lists.includes(digest) || other.digest === subject)) return true
    return pushedMs + dayMs > nowMs || leasedMs + leaseMs > nowMs || (tagEndedMs !== undefined && tagEndedMs + dayMs > nowMs)
  }

  mustHold(digest: string, nowMs: number): boolean {
    return this.heldAt(nowMs).some((manifest) => manifest.digest === digest)
  }
}
