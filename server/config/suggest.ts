/**
 * "Did you mean": the known name nearest to a mistyped one.
 *
 * Owns the measure of nearness and the half sentence that a message ends with; not the lists of names.
 */

/**
 * `, did you mean "listen"?` when a candidate is near enough to be a slip of the hand, otherwise nothing.
 * @param prefix what all of them begin with; it says nothing about nearness
 */
export function suggestion(typed: string, candidates: readonly string[], prefix = ''): string {
  const withoutPrefix = (name: string): string => name.slice(prefix.length)
  const near = nearest(withoutPrefix(typed), candidates.map(withoutPrefix))
  return near === undefined ? '' : `, did you mean "${prefix}${near}"?`
}

/** The candidate with the fewest changed letters, if they are at most a third of what was typed; or one whose end is missing. */
export function nearest(typed: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(typed.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = isBeginning(typed, candidate) ? 1 : editDistance(typed.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

function isBeginning(typed: string, candidate: string): boolean {
  return typed.length >= 4 && typed.length < candidate.length && candidate.toLowerCase().startsWith(typed.toLowerCase())
}

/** Levenshtein's distance: insertions, deletions and replacements. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = at(previous, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, at(previous, column) + 1, at(current, column - 1) + 1))
    }
    previous = current
  }
  return at(previous, to.length)
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY
}
