/**
 * Ends connections whose request body drips in so slowly that it can only be an attack or a dead end: each holds a session, a file
 * and a descriptor. Headers that drip are Node's to end (headersTimeout), silence is the idle limit's.
 *
 * Invariant: a sender is judged only over time in which the server was willing to read, so a slow disk never cuts a good client.
 */
import type { IncomingMessage } from 'node:http'

export interface SlowSenderRules {
  /** Below this average over a whole window the connection is ended; 0 never. */
  readonly minBytesPerSecond: number
  readonly windowMs: number
}

interface Window {
  sinceMs: number
  bytesBefore: number
}

export class SlowSenders {
  readonly #rules: SlowSenderRules
  readonly #windows = new Map<IncomingMessage, Window>()

  constructor(rules: SlowSenderRules) {
    this.#rules = rules
  }

  /** Looks after a request until its body is over. @param nowMs of a clock that never goes back */
  watch(req: IncomingMessage, nowMs: number): void {
    const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
    if (!hasBody || this.#rules.minBytesPerSecond === 0) return
    this.#windows.set(req, { sinceMs: nowMs, bytesBefore: req.socket.bytesRead })
    for (const event of ['end', 'close']) req.once(event, () => this.#windows.delete(req))
  }

  /** To be called every few seconds. @returns how many connections were ended */
  sweep(nowMs: number): number {
    let ended = 0
    for (const [req, window] of this.#windows) {
      if (isWaitingForUs(req)) this.#windows.set(req, { sinceMs: nowMs, bytesBefore: req.socket.bytesRead })
      if (isWaitingForUs(req) || nowMs - window.sinceMs < this.#rules.windowMs) continue
      const bytesPerSecond = ((req.socket.bytesRead - window.bytesBefore) * 1000) / (nowMs - window.sinceMs)
      this.#windows.set(req, { sinceMs: nowMs, bytesBefore: req.socket.bytesRead })
      if (bytesPerSecond >= this.#rules.minBytesPerSecond) continue
      req.socket.destroy()
      ended++
    }
    return ended
  }
}

/** What has arrived is not taken: the client could not send more if it wanted to. */
function isWaitingForUs(req: IncomingMessage): boolean {
  return req.readableLength > 0
}
