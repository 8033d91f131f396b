/**
 * The clocked work of the primary: one job at a time, each safe to run at any moment beside any number of requests.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { pruneSigningKeys } from '../auth/signing-keys.ts'
import { rotateAudit } from '../registry/read-audit.ts'
import { Collector } from '../registry/collect.ts'
import { expireUploads } from '../registry/expire-uploads.ts'
import { snapshotIfDue } from '../storage/recovery/snapshot-database.ts'
import { dataLayout } from '../storage/layout.ts'
import { keepReserve } from '../storage/reserve-file.ts'
import { runScrubs } from './scrub-job.ts'
import type { Services } from './services.ts'

const everyMs = 10 * 60_000
/** A reserve that was given up is wanted again soon after there is room. */
const reserveEveryMs = 60_000
/** Often, because a busy registry writes many events between two looks. */
const auditEveryMs = 60_000
/** What is deleted is soon gone; a look at empty queues costs less than a millisecond. */
const collectEveryMs = 1000
/** After an error, and when the clock was set. */
const collectAgainMs = 60_000
/** Clients that were amid a push when the server ended get so long to go on. */
const collectAfterMs = 5 * 60_000
/** Beyond a token's life: the leeway in checking it, and what a slow process needs to notice a new key. */
const noticedMs = 2 * 60_000

/**
 * @param options.firstSnapshotAfterMs the clients that come back after a start have the disk to themselves for so long
 * @returns what ends the work: it resolves when the job under way is over.
 */
export function startJobs(services: Services, { firstSnapshotAfterMs = 60_000 } = {}): () => Promise<void> {
  const ending = new AbortController()
  let running: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    running = running.then(() => runJobs(services))
  }, everyMs)
  running = runJobs(services)
  const reserving = setInterval(() => void reserve(services), reserveEveryMs)
  void reserve(services)
  const collecting = collect(services, ending.signal)
  const scrubbing = runScrubs(services, ending.signal)
  const copying = takeSnapshots(services, { signal: ending.signal, firstAfterMs: firstSnapshotAfterMs })
  let rotating = rotate(services, ending.signal)
  const auditing = setInterval(() => {
    rotating = rotating.then(() => rotate(services, ending.signal))
  }, auditEveryMs)
  return async () => {
    for (const each of [timer, reserving, auditing]) clearInterval(each)
    ending.abort()
    await Promise.all([running, rotating, collecting, scrubbing, copying])
  }
}

/** Looks every few minutes whether a snapshot is due, until the signal comes; that ends one at once. */
async function takeSnapshots(services: Services, { signal, firstAfterMs }: { signal: AbortSignal; firstAfterMs: number }): Promise<void> {
  await pause(firstAfterMs, undefined, { signal }).catch(ended)
  while (!signal.aborted) {
    await snapshot(services, signal)
    await pause(everyMs, undefined, { signal }).catch(ended)
  }
}

async function snapshot({ log, registry, settings, clock }: Services, signal: AbortSignal): Promise<void> {
  const { everyHours, keep } = settings.snapshots
  if (everyHours === 0) return
  try {
    const rule = { nowMs: clock(), everyMs: everyHours * 3_600_000, keep, signal }
    const taken = await snapshotIfDue({ database: registry.database, layout: dataLayout(settings.data) }, rule)
    if (taken) log.info(taken, 'a snapshot of the database was taken')
  } catch (error) {
    // The end of the server is none of its faults.
    if (!signal.aborted) log.error({ err: error }, 'no snapshot of the database could be taken; it is tried again')
  }
}

async function reserve({ log, settings }: Services): Promise<void> {
  try {
    await keepReserve(dataLayout(settings.data))
  } catch (error) {
    log.warn({ err: error }, 'the reserve for a full disk cannot be made')
  }
}

async function rotate({ log, registry, settings, clock }: Services, signal: AbortSignal): Promise<void> {
  try {
    const removed = await rotateAudit(registry.database, {
      nowMs: clock(),
      days: settings.audit.days,
      maxRows: settings.audit.maxRows,
      signal,
    })
    if (removed > 0) log.info({ removed }, 'the oldest events of the audit log were removed')
  } catch (error) {
    log.error({ err: error }, 'the audit log could not be cut; it is tried again')
  }
}

/** Rounds of the collector until the signal comes; that ends one within a step. */
async function collect(services: Services, signal: AbortSignal): Promise<void> {
  const { log, metrics, registry } = services
  const startMs = Math.min(collectAfterMs, registry.rules.leaseMs)
  let collector: Collector | undefined
  while (!signal.aborted) {
    let nextMs = collectEveryMs
    try {
      collector ??= await Collector.open({ registry, startMs, monotonic: () => performance.now(), onStep: metrics.recordCollection })
      const { manifests, blobs, bytes, objection } = await collector.round(signal)
      if (manifests + blobs > 0) log.info({ manifests, blobs, bytes }, 'what nothing needed was removed')
      if (objection === 'clockSet') {
        log.warn('the clock was set: nothing is collected until every lease has had its time')
        nextMs = collectAgainMs
      }
    } catch (error) {
      log.error({ err: error }, 'the collector failed; it is tried again')
      nextMs = collectAgainMs
    }
    await pause(nextMs, undefined, { signal }).catch(ended)
  }
}

/** The pause was cut short: the loop looks at the signal itself. */
function ended(): void {}

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
