/**
 * The two range headers of an upload: Content-Range as clients send it, Range as we answer it.
 *
 * Whether a chunk continues its upload is the session's business; ranges of a download are in byte-range.ts. Invariant: both ends are safe
 * integers, inclusive, and start is not after end.
 */

// The digits cannot match what follows them: no backtracking. Tolerated beyond the specification: the forms of RFC 9110 and `bytes=`.
const grammar = /^(?:bytes[ =])?([0-9]+)-([0-9]+)(?:\/(?:\*|([0-9]+)))?$/i

/**
 * The bytes that a chunk says it holds, both ends inclusive; `undefined` when it cannot be read: malformed, start after end, an end
 * outside its own total, or beyond 2^53 - 1.
 *
 * Spec: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-5).
 */
export function parseContentRange(header: string): { start: number; end: number } | undefined {
  const match = grammar.exec(header)
  if (match === null) return undefined
  const start = Number(match[1])
  const end = Number(match[2])
  const total = match[3] === undefined ? Infinity : Number(match[3])
  if (!Number.isSafeInteger(end) || start > end || end >= total) return undefined
  return { start, end }
}

/**
 * The Range header of an answer about an upload: `0-<last byte stored>`, and `0-0` when nothing is: docker cannot read `0--1`.
 *
 * Spec: distribution-spec v1.1.1, "Pushing a blob in chunks".
 */
export function uploadRange(bytesStored: number): string {
  return `0-${Math.max(bytesStored - 1, 0)}`
}
