/** Reads a multipart/byteranges body strictly: boundaries, headers and lengths must be exactly what RFC 9110 (14.6) asks for. */
import assert from 'node:assert/strict'

export interface BytePart {
  readonly contentType: string
  readonly start: number
  readonly end: number
  readonly total: number
  readonly bytes: Buffer
}

/** @throws when anything is missing, left over or out of place. */
export function parseByteranges(contentType: string, body: Buffer): BytePart[] {
  const boundary = /^multipart\/byteranges; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})$/.exec(contentType)?.[1]
  assert.ok(boundary, `no multipart/byteranges: ${contentType}`)
  const parts: BytePart[] = []
  let at = 0
  for (;;) {
    const delimiter: string = `${at === 0 ? '' : '\r\n'}--${boundary}`
    assert.equal(body.subarray(at, at + delimiter.length).toString('latin1'), delimiter, `no boundary at ${at}`)
    at += delimiter.length
    if (body.subarray(at).equals(Buffer.from('--\r\n'))) return parts
    const { part, next } = readPart(body, at)
    parts.push(part)
    at = next
  }
}

function readPart(body: Buffer, at: number): { part: BytePart; next: number } {
  const headEnd = body.indexOf('\r\n\r\n', at)
  assert.ok(headEnd > at, `no header block at ${at}`)
  const head = body.subarray(at, headEnd).toString('latin1')
  const match = /^\r\nContent-Type: (\S+)\r\nContent-Range: bytes (\d+)-(\d+)\/(\d+)$/.exec(head)
  assert.ok(match, `not the headers of a part: ${JSON.stringify(head)}`)
  const [start, end, total] = [Number(match[2]), Number(match[3]), Number(match[4])]
  const next = headEnd + 4 + end - start + 1
  assert.ok(next <= body.length, `the part ${start}-${end} is cut`)
  return { part: { contentType: match[1] ?? '', start, end, total, bytes: body.subarray(headEnd + 4, next) }, next }
}
