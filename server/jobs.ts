/**
 * The clocked work of the primary: one job at a time, each safe to run at any moment beside any number of requests.
 */
import { pruneSigningKeys } from '../auth/signing-keys.ts'
import { expireUploads } from '../registry/expire-uploads.ts'
import { dataLayout } from '../storage/layout.ts'
import { keepReserve } from '../storage/reserve-file.ts'
import type { Services } from './services.ts'

const everyMs = 10 * 60_000
/** A reserve that was given up is wanted again soon after there is room. */
const reserveEveryMs = 60_000
/** Beyond a token's life: the leeway in checking it, and what a slow process needs to notice a new key. */
const noticedMs = 2 * 60_000

/** @returns what ends the work: it resolves when the job under way is over. */
export function startJobs(services: Services): () => Promise<void> {
  let running: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    running = running.then(() => runJobs(services))
  }, everyMs)
  running = runJobs(services)
  const reserving = setInterval(() => void reserve(services), reserveEveryMs)
  void reserve(services)
  return () => {
    clearInterval(timer)
    clearInterval(reserving)
    return running
  }
}

async function reserve({ log, settings }: Services): Promise<void> {
  try {
    await keepReserve(dataLayout(settings.data))
  } catch (error) {
    log.warn({ err: error }, 'the reserve for a full disk cannot be made')
  }
}

async function runJobs(services: Services): Promise<void> {
  const { log, metrics, registry, sessions, settings, clock } = services
  try {
    const ended = await expireUploads(registry)
    metrics.recordUploads('expired', ended.sessions)
    if (ended.sessions + ended.files > 0) log.info(ended, 'abandoned uploads were removed')
    await sessions.expire()
    await pruneSigningKeys(dataLayout(settings.data).keys, clock() - settings.auth.tokenSeconds * 1000 - noticedMs)
  } catch (error) {
    log.error({ err: error }, 'a clocked job failed; it is tried again')
  }
}
