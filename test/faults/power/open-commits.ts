/**
 * What SQLite does not read of its log: frames behind the last one that ends a commit, because a cut took that end, or what it follows.
 *
 * States that differ in nothing else are one to whoever starts on them. That SQLite skips such frames is its own promise, with tests of
 * its own; here it is put to the test by a sample of all states.
 */
import type { Pending } from './disk-model.ts'

const logHeadBytes = 32
const frameHeadBytes = 24
const pageBytes = 4096

/** Leaves out what a log ends with and what no end of a commit follows; the log itself stays as it was for whoever makes the state. */
export function withoutOpenCommits(pending: readonly Pending[], reached: readonly Pending[]): readonly Pending[] {
  const ids = new Set(reached.map(({ id }) => id))
  const frames = new Map<number, Pending[]>()
  for (const each of pending)
    if (each.change.kind === 'write' && isOfLog(each.change.at, each.change.bytes.length))
      frames.set(each.change.file, [...(frames.get(each.change.file) ?? []), each])
  const open = new Set([...frames.values()].flatMap((writes) => unreadOf(writes, ids)))
  return reached.filter(({ number }) => !open.has(number))
}

/** The head of a frame or its page, where they lie in a log. */
function isOfLog(at: number, length: number): boolean {
  const within = (at - logHeadBytes) % (frameHeadBytes + pageBytes)
  return (length === frameHeadBytes && within === 0) || (length === pageBytes && within === frameHeadBytes)
}

/** @param writes of one log @param reached the ids of what reached the disk @returns the numbers of those that nobody reads */
function unreadOf(writes: readonly Pending[], reached: ReadonlySet<string>): number[] {
  let lastAt = -1
  let readTo = -1
  let isCommit = false
  for (const { number, id, change } of writes) {
    if (change.kind !== 'write') continue
    // Written over: what is missing below may not matter.
    if (change.at <= lastAt) return []
    lastAt = change.at
    if (!reached.has(id)) break
    // The head of the last frame of a commit tells the database's size.
    if (change.bytes.length === frameHeadBytes) isCommit = change.bytes.readUInt32BE(4) > 0
    else if (isCommit) readTo = number
  }
  return writes.flatMap(({ number }) => (number > readTo ? [number] : []))
}
