/**
 * `lanyard doctor`: asks everything about a data folder, its settings and the server on it, and says what to do about what is wrong.
 *
 * Changes nothing but for a file that is there for a moment, and a small image that is pushed and removed. May run beside a server.
 */
import { dataLayout } from '../../storage/layout.ts'
import type { Settings } from '../config/settings.ts'
import { checkAccounting, checkContent, checkDatabase, checkKeys, checkPush } from './database-checks.ts'
import { fault, warning, wordsOf, type Finding } from './finding.ts'
import { checkCertificate, checkServer } from './network-checks.ts'
import {
  checkClock,
  checkDisk,
  checkFolder,
  checkPermissions,
  checkPresence,
  checkSecrets,
  checkSnapshots,
  checkSync,
} from './storage-checks.ts'

/** @returns at least one finding of each check */
export async function examine(settings: Settings, clock: () => number): Promise<Finding[]> {
  const layout = dataLayout(settings.data)
  const absent = checkPresence(layout)
  if (absent) return [absent, ...checkCertificate(settings, clock())]
  const database = attempt('database', () => checkDatabase(layout))
  const findings = [
    await settled('folder', async () => checkFolder(layout)),
    await settled('permissions', async () => checkPermissions(layout)),
    await settled('secrets', async () => checkSecrets(layout)),
    await settled('disk', () => checkDisk(layout, settings)),
    await settled('sync', () => checkSync(layout)),
    await settled('clock', async () => checkClock(layout, { nowMs: clock(), newestRowMs: database.newestRowMs })),
    database.findings,
    ...(database.isUsable
      ? [await settled('content', async () => checkContent(layout)), await settled('accounting', async () => checkAccounting(layout))]
      : []),
    await settled('snapshots', () => checkSnapshots(layout, settings, clock())),
    await settled('keys', () => checkKeys(layout, clock)),
    await settled('certificate', async () => checkCertificate(settings, clock())),
    await settled('server', () => checkServer(layout, settings)),
  ].flat()
  return [...findings, ...(await pushIfUsable(findings, { settings, clock, isUsable: database.isUsable }))]
}

async function pushIfUsable(
  findings: readonly Finding[],
  of: { settings: Settings; clock: () => number; isUsable: boolean },
): Promise<Finding[]> {
  const { settings, clock, isUsable } = of
  // A push through a damaged database could do harm, and without a key the server that is to make one would find this one's.
  const isSafe = isUsable && !findings.some(({ check, state }) => ['folder', 'permissions', 'keys'].includes(check) && state === 'fault')
  if (isSafe) return checkPush(settings, clock)
  return [warning('push', 'no push was tried', 'repair what else is said here, then ask again')]
}

/** What keeps a check from its work is a finding too. */
async function settled(check: string, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work()
  } catch (error) {
    return [unable(check, error)]
  }
}

function attempt(check: string, work: () => ReturnType<typeof checkDatabase>): ReturnType<typeof checkDatabase> {
  try {
    return work()
  } catch (error) {
    return { findings: [unable(check, error)], newestRowMs: 0, isUsable: false }
  }
}

function unable(check: string, error: unknown): Finding {
  return fault(check, `this could not be looked at: ${wordsOf(error)}`, 'run the doctor as the user that the registry runs as')
}
