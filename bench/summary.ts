/**
 * A median and its spread: what is left of a figure that was measured several times.
 */

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** @param values at least one */
export function summarize(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (upper === undefined || lower === undefined) throw new Error('there is no median of nothing')
  return (lower + upper) / 2
}

/** Requests that were sent one after the other: how many a second, and how long they took. @param durations in milliseconds */
export function summarizeDurations(durations: readonly number[]): { value: number; operations: number; p50Ms: number; p99Ms: number } {
  const totalMs = durations.reduce((sum, each) => sum + each, 0)
  const sorted = durations.toSorted((a, b) => a - b)
  const p99Ms = sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.99) - 1)] ?? 0
  return { value: (durations.length * 1000) / totalMs, operations: durations.length, p50Ms: median(durations), p99Ms }
}
