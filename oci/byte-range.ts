/**
 * The Range header of a download: which bytes of a blob are asked for.
 *
 * The answer (206, multipart, 416) is written by the server. Invariant: every range returned lies within the content, and together they are
 * never longer than it, so that no header can make the answer larger than the blob.
 */

/** A part of the content in bytes, both ends inclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** podman asks for up to 1024 ranges of a zstd:chunked layer in one header. */
const maxRanges = 1024

const rangeGrammar = /^(?:([0-9]+)-([0-9]*)|-([0-9]+))$/

/**
 * The ranges to send, in the order asked for; `whole` to ignore the header; `unsatisfiable` for 416.
 *
 * Ignored: other units, anything unparsable, more than 1024 ranges, and ranges that overlap so much that the content is shorter than their
 * sum. Unlike RFC 9110, `500-0` is unsatisfiable rather than ignored: the conformance suite asks for 416.
 *
 * @param sizeBytes the length of the content.
 * Spec: RFC 9110, sections 14.1.2, 14.2 and 15.5.17; distribution-spec v1.1.1, "Pulling blobs".
 */
export function parseByteRanges(header: string | undefined, sizeBytes: number): 'whole' | 'unsatisfiable' | readonly ByteRange[] {
  const specs = splitRanges(header)
  if (specs.length === 0 || specs.length > maxRanges) return 'whole'
  const ranges: ByteRange[] = []
  let totalBytes = 0
  for (const spec of specs) {
    const match = rangeGrammar.exec(spec)
    if (match === null) return 'whole'
    const range = resolve(match, sizeBytes)
    if (range === undefined) continue
    ranges.push(range)
    totalBytes += range.end - range.start + 1
  }
  if (ranges.length === 0) return 'unsatisfiable'
  return totalBytes > sizeBytes ? 'whole' : ranges
}

/** The list elements of a `bytes=` header; none for a missing header or another unit. RFC 9110 allows empty elements and blanks. */
function splitRanges(header: string | undefined): string[] {
  if (header === undefined || header.slice(0, 6).toLowerCase() !== 'bytes=') return []
  const elements = header.slice(6).split(',')
  return elements.map((element) => element.trim()).filter((element) => element !== '')
}

/** `undefined` when no byte of the content is meant. Numbers beyond 2^53 lose digits, but lie beyond every content all the same. */
function resolve(match: RegExpExecArray, sizeBytes: number): ByteRange | undefined {
  if (match[3] !== undefined) {
    const length = Math.min(Number(match[3]), sizeBytes)
    return length === 0 ? undefined : { start: sizeBytes - length, end: sizeBytes - 1 }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? Infinity : Number(match[2])
  if (start >= sizeBytes || start > end) return undefined
  return { start, end: Math.min(end, sizeBytes - 1) }
}
