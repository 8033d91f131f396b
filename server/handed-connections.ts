/**
 * Connections on their way from the primary to a worker.
 *
 * Node (24.21) keeps a connection that it handed to a worker until the worker says that it took it. One that dies before it says so
 * leaves the connection open for ever: nobody serves it, nobody closes it, and its client waits. Invariant: a dead worker's connection
 * is cut, so that the client comes again.
 */
import type { Worker } from 'node:cluster'

interface Handle {
  /** Does nothing when it is closed already, as it is once a worker took it. */
  readonly close: () => void
}

/** Call when the worker is forked. The primary hands over one connection at a time and waits, so the last one is the one to look after. */
export function cutWhatItDidNotTake(worker: Worker): void {
  const channel = worker.process
  const send = channel.send.bind(channel) as (...message: unknown[]) => boolean
  let handed: Handle | undefined
  channel.send = (...message: readonly unknown[]) => {
    if (isHandle(message[1])) handed = message[1]
    return send(...message)
  }
  worker.once('exit', () => handed?.close())
}

function isHandle(value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && 'close' in value && typeof value.close === 'function'
}
