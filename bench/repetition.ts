/**
 * Doing a thing many times: several at once, or one after the other for a while.
 */

/** Calls `work` with 0 to count - 1, `width` at once. The first failure ends it. */
export async function forEachAtOnce(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: width }, lane))
}

/** Repeats `work` until the time is over, and at least `atLeast` times. @returns how long each took, in milliseconds */
export async function repeatFor(limit: { seconds: number; atLeast: number }, work: (index: number) => Promise<unknown>): Promise<number[]> {
  const durations: number[] = []
  const endMs = performance.now() + limit.seconds * 1000
  while (performance.now() < endMs || durations.length < limit.atLeast) {
    const begun = performance.now()
    await work(durations.length)
    durations.push(performance.now() - begun)
  }
  return durations
}
