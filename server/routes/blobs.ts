/**
 * Reading and deleting blobs: GET and HEAD with ranges, DELETE of the link.
 * Spec: distribution-spec v1.1.1, "Pulling blobs" (end-2), "Deleting Blobs" (end-10).
 */
import { parseByteRanges, type ByteRange } from '../../oci/byte-range.ts'
import { parseDigest, type Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { deleteBlob as deleteBlobOf, openBlob, statBlob, statBlobToPull } from '../../registry/read-blob.ts'
import type { BlobReader } from '../../storage/blobs/blob-store.ts'
import type { Context, Handler } from '../http/exchange.ts'
import { matchesEtag, replyEmpty, setHeaders } from '../http/reply.ts'
import { sendParts, sendRange } from '../http/send-blob.ts'

export const headBlob: Handler<'blob'> = async ({ ctx, services, repository, target }) => {
  const digest = parseDigest(target.digest)
  const sizeBytes = await statBlob(services.registry, repository, digest)
  setHeaders(ctx, blobHeaders(digest))
  if (matchesEtag(ctx.get('If-None-Match'), digest)) return replyEmpty(ctx, 304)
  replyEmpty(ctx, 200)
  setHeaders(ctx, { 'Content-Type': 'application/octet-stream', 'Content-Length': String(sizeBytes) })
}

export const getBlob: Handler<'blob'> = async ({ ctx, services, repository, target }) => {
  const digest = parseDigest(target.digest)
  if (matchesEtag(ctx.get('If-None-Match'), digest)) {
    await statBlobToPull(services.registry, repository, digest)
    return replyEmpty(ctx, 304, blobHeaders(digest))
  }
  const blob = await openBlob(services.registry, repository, digest)
  try {
    setHeaders(ctx, blobHeaders(digest))
    await answer(ctx, blob, requestedRanges(ctx, digest, blob.sizeBytes))
  } finally {
    await blob.close()
  }
}

export const deleteBlob: Handler<'blob'> = async ({ ctx, services, repository, target }) => {
  await deleteBlobOf(services.registry, repository, parseDigest(target.digest))
  replyEmpty(ctx, 202)
}

/** Content never changes, access may: hence private. The bytes are a stranger's, so no browser may guess what they are. */
function blobHeaders(digest: Digest): Record<string, string> {
  return {
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, max-age=31536000, immutable',
    'X-Content-Type-Options': 'nosniff',
  }
}

/** If-Range with anything but this very digest means: send the whole. */
function requestedRanges(ctx: Context, digest: Digest, sizeBytes: number): ReturnType<typeof parseByteRanges> {
  const condition = ctx.get('If-Range')
  if (condition !== '' && condition !== `"${digest}"`) return 'whole'
  return parseByteRanges(ctx.req.headers.range, sizeBytes)
}

async function answer(ctx: Context, blob: BlobReader, ranges: 'whole' | 'unsatisfiable' | readonly ByteRange[]): Promise<void> {
  const { sizeBytes } = blob
  if (ranges === 'unsatisfiable') throw new RegistryError('rangeNotSatisfiable', { headers: { 'Content-Range': `bytes */${sizeBytes}` } })
  if (ranges === 'whole' && sizeBytes === 0) {
    replyEmpty(ctx, 200)
    return ctx.set('Content-Type', 'application/octet-stream')
  }
  // A part tells nothing about the whole.
  if (ranges !== 'whole') await blob.verify?.()
  const [first, ...others] = ranges === 'whole' ? [{ start: 0, end: sizeBytes - 1 }] : ranges
  if (!first) throw new RegistryError('internal', { cause: new Error('no range') })
  if (others.length > 0) return sendMultipart(ctx, blob, [first, ...others])
  if (ranges !== 'whole') ctx.set('Content-Range', contentRange(first, sizeBytes))
  startRaw(ctx, ranges === 'whole' ? 200 : 206, { type: 'application/octet-stream', length: first.end - first.start + 1 })
  await sendRange(ctx.res, blob, first)
}

/** One part per range, in the order asked for. Spec: RFC 9110, 14.6; podman fetches zstd:chunked layers this way. */
async function sendMultipart(ctx: Context, blob: BlobReader, ranges: readonly ByteRange[]): Promise<void> {
  const boundary = `lanyard-${ctx.state.requestId}`
  const parts = ranges.map((range, index) => {
    const separator = index === 0 ? '' : '\r\n'
    const head = `${separator}--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: ${contentRange(range, blob.sizeBytes)}\r\n\r\n`
    return { head: Buffer.from(head), range }
  })
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const length = parts.reduce((sum, { head, range }) => sum + head.length + range.end - range.start + 1, tail.length)
  startRaw(ctx, 206, { type: `multipart/byteranges; boundary=${boundary}`, length })
  await sendParts(ctx.res, blob, { parts, tail })
}

function contentRange({ start, end }: ByteRange, sizeBytes: number): string {
  return `bytes ${start}-${end}/${sizeBytes}`
}

/** From here on the answer goes to the socket past Koa. */
function startRaw(ctx: Context, status: number, body: { type: string; length: number }): void {
  ctx.respond = false
  ctx.status = status
  ctx.res.setHeader('Content-Type', body.type)
  ctx.res.setHeader('Content-Length', body.length)
}
