/**
 * What happens to the rest of a body whose request was answered early, with an error mostly: a little of it is read so
 * that the client gets to see the answer, then the connection is closed. Nobody can make the server read gigabytes of refusal.
 * An answer after which it may be closed says so, or clients would send their next request into it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

const drainBytes = 1024 * 1024
const drainMs = 5_000

/** Call when the answer is decided; does nothing when the body has been read to its end. */
export function limitDrain(req: IncomingMessage, res: ServerResponse): void {
  if (req.complete || req.destroyed) return
  const mayBeClosed = res.statusCode >= 400 && !(Number(req.headers['content-length']) <= drainBytes)
  if (mayBeClosed && !res.headersSent) {
    res.setHeader('Connection', 'close')
    // After such an answer Node closes both sides at once; how it ends is said below.
    req.socket.destroySoon = () => req.socket.end()
  }
  // Read from here on: of a request that nobody reads, Node drops what comes after the answer, uncounted.
  let leftBytes = drainBytes
  req.on('data', (bytes: Uint8Array) => {
    leftBytes -= bytes.length
    if (leftBytes >= 0) return
    req.pause()
    if (res.writableFinished) req.socket.end()
    else res.once('finish', () => req.socket.end())
  })
  res.once('finish', () => {
    if (req.complete) return
    // Closing at once would reset the connection under a client that still sends, and take the answer from it. So first only
    // this side ends, unread bytes stay with the client, and the client has the same time to see both.
    const timer = setTimeout(() => req.socket.destroy(), drainMs).unref()
    for (const event of ['end', 'close']) req.once(event, () => clearTimeout(timer))
  })
}
