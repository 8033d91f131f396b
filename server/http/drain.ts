/**
 * What happens to the rest of a body whose request was answered early, with an error mostly: a little of it is read so
 * that the client gets to see the answer, then the connection is closed. Nobody can make the server read gigabytes of refusal.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

const drainBytes = 1024 * 1024
const drainMs = 5_000

/** Call when the answer is decided; does nothing when the body has been read to its end. */
export function limitDrain(req: IncomingMessage, res: ServerResponse): void {
  if (req.complete || req.destroyed) return
  const { socket } = req
  const limit = socket.bytesRead + drainBytes
  res.once('finish', () => {
    if (req.complete) return
    const close = (): void => void socket.destroy()
    const timer = setTimeout(close, drainMs).unref()
    const check = setInterval(() => socket.bytesRead > limit && close(), 50).unref()
    const stop = (): void => {
      clearTimeout(timer)
      clearInterval(check)
      // The connection lives on: it must not gather a listener with every refusal.
      socket.off('close', stop)
    }
    req.once('end', stop)
    socket.once('close', stop)
    req.resume()
  })
}
