/**
 * Waiting for what happens on the other side of a connection: asked again and again until it is so, never slept for.
 */
import { setTimeout as pause } from 'node:timers/promises'

/** Far beyond what anything here takes; only a failing test ever waits as long. */
const deadlineMs = 20_000
const pollMs = 5

/** Resolves when `isSo` says yes. @throws when it does not within the deadline. */
export async function eventually(isSo: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + deadlineMs
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) throw new Error(`waited in vain for ${what}`)
    await pause(pollMs)
  }
}

/** The promise's value. @throws when it does not come within the deadline. */
export async function withDeadline<T>(promise: Promise<T>, what: string): Promise<T> {
  const giveUp = new AbortController()
  const late = pause(deadlineMs, undefined, { signal: giveUp.signal, ref: true }).then(() => {
    throw new Error(`waited in vain for ${what}`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    giveUp.abort()
    late.catch(() => undefined)
  }
}
