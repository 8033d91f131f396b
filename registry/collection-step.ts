/**
 * The unit of the collector's work: one transaction, so short that whoever waits for its lock does not notice.
 */

/** How long a transaction goes on taking up entries: others wait for its lock. */
const stepMs = 5

/** The most entries that are read for one. */
export const stepEntries = 200

/** What a step did. */
export interface Step {
  /** Entries that were looked at; 0: nothing is due. */
  readonly seen: number
  readonly manifests: number
  readonly blobs: number
  /** That the file system got back. */
  readonly bytes: number
}

export const nothing: Step = { seen: 0, manifests: 0, blobs: 0, bytes: 0 }

/** Looks at one entry after the other until the step's time is over. @returns at how many, at least one if there is any */
export async function withinStep<T>(entries: readonly T[], look: (entry: T) => Promise<unknown>): Promise<number> {
  const endMs = performance.now() + stepMs
  let seen = 0
  for (const entry of entries) {
    await look(entry)
    seen++
    if (performance.now() >= endMs) break
  }
  return seen
}
