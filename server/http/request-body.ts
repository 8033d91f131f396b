/**
 * Request bodies: streamed to whoever writes them, or buffered up to a limit. Nothing is read before the request was
 * allowed, and a client that asked first (`Expect: 100-continue`) is told to go on only then.
 */
import { isRegistryError, RegistryError, type ErrorReason } from '../../oci/errors.ts'
import { parseContentRange } from '../../oci/content-range.ts'
import type { Chunk } from '../../registry/upload-session.ts'
import type { Context } from './exchange.ts'

/**
 * Bytes the request announces: its Content-Length, 0 without a body, undefined for chunked transfer.
 * @throws {RegistryError} requestInvalid: the body is transferred in a coding that is not undone here. Spec: RFC 9112, 6.1.
 */
export function announcedBytes(ctx: Context): number | undefined {
  const coding = ctx.req.headers['transfer-encoding']
  if (coding === undefined) return Number(ctx.req.headers['content-length'] ?? 0)
  if (coding.toLowerCase() === 'chunked') return undefined
  throw new RegistryError('requestInvalid', { message: 'a request body is transferred as it is or chunked, in no other coding' })
}

/** The request as a chunk of a blob. */
export function chunkOf(ctx: Context): Chunk {
  const header = ctx.req.headers['content-range']
  return {
    body: bodyOf(ctx),
    release: freeBytes,
    announcedBytes: announcedBytes(ctx),
    range: header === undefined ? undefined : (parseContentRange(header) ?? 'malformed'),
  }
}

/**
 * Frees the memory of a body's chunk at once. The parser makes a copy of its own for each; left to the garbage collector they cost
 * half of the CPU of an upload. What shares its memory with others is left alone.
 */
function freeBytes(chunk: Uint8Array): void {
  const { buffer } = chunk
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) buffer.transfer(0)
}

/** The body as it arrives; to begin reading it is what sends `100 Continue`. */
export function bodyOf(ctx: Context): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      if (ctx.req.headers.expect?.toLowerCase() === '100-continue') ctx.res.writeContinue()
      // Whoever stops early leaves a request that can still be answered: its connection must not end with the reading.
      return ctx.req.iterator({ destroyOnReturn: false })
    },
  }
}

/**
 * The whole body, at most `limit` bytes.
 * @throws {RegistryError} `tooLarge`: announced or sent more, before it is buffered; uploadSizeMismatch: broke off
 */
export async function readBody(ctx: Context, limit: number, tooLarge: ErrorReason): Promise<Buffer> {
  const announced = announcedBytes(ctx)
  if (announced !== undefined && announced > limit)
    throw new RegistryError(tooLarge, { detail: { limitBytes: limit, announcedBytes: announced } })
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of bodyOf(ctx)) {
      length += chunk.length
      if (length > limit) throw new RegistryError(tooLarge, { detail: { limitBytes: limit } })
      chunks.push(chunk)
    }
  } catch (error) {
    throw isRegistryError(error) ? error : new RegistryError('uploadInterrupted', { cause: error })
  }
  return Buffer.concat(chunks, length)
}
