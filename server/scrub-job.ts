/**
 * The clocked scrubs of the primary: one at a time, begun when they are due or asked for, gone on with after a start.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { continueScrub } from '../registry/scrub.ts'
import { openDueScrub } from '../registry/scrub-status.ts'
import type { Services } from './services.ts'

/** Whoever asks for a scrub sees it begin soon. */
const lookEveryMs = 1000
/** After an error: the disk is likely to fail for a while. */
const againMs = 60_000
const mebibyte = 1024 * 1024

/** Until the signal comes, which ends a scrub within one read. Never rejects. */
export async function runScrubs(services: Services, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const nextMs = await scrubIfDue(services, signal)
    await pause(nextMs, undefined, { signal }).catch(ended)
  }
}

async function scrubIfDue({ log, metrics, registry, settings }: Services, signal: AbortSignal): Promise<number> {
  const { everyDays, mibPerSecond } = settings.scrub
  try {
    await openDueScrub(registry, everyDays)
    const parts = { registry, bytesPerSecond: mibPerSecond * mebibyte, monotonic: () => performance.now(), onRead: metrics.recordScrub }
    const finished = await continueScrub(parts, signal)
    if (!finished) return lookEveryMs
    const { blobs, manifests, bytes, found, orphans } = finished
    const counts = { blobs, manifests, bytes, found, orphans }
    if (found > 0) log.error(counts, 'damaged content was found: "lanyard scrub status" lists it, and pushing it again repairs it')
    else log.info(counts, 'everything that is stored was read, and is as it was pushed')
    return lookEveryMs
  } catch (error) {
    log.error({ err: error }, 'the scrub failed; it goes on where it stopped')
    return againMs
  }
}

/** The pause was cut short: the loop looks at the signal itself. */
function ended(): void {}
