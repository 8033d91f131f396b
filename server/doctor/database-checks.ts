/**
 * The doctor on what is read through SQLite and the use cases: the database, the keys, a push.
 */
import { existsSync } from 'node:fs'
import { KeyRing, listSigningKeys } from '../../auth/signing-keys.ts'
import { pushToSelf } from '../../registry/self-push.ts'
import type { DataLayout } from '../../storage/layout.ts'
import { readMigrations } from '../../storage/metadata/migrate.ts'
import { countDamaged, findDamage, newestTimeIn, readFacts } from '../../storage/recovery/copy-database.ts'
import { countMiscounted } from '../../storage/recovery/recount-usage.ts'
import type { Settings } from '../config/settings.ts'
import { createSilentLogger } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { createServices } from '../services.ts'
import { fault, ok, warning, wordsOf, type Finding } from './finding.ts'

export interface DatabaseExamination {
  readonly findings: readonly Finding[]
  /** The latest time in it, ms since 1970; 0 if it cannot be read. */
  readonly newestRowMs: number
  /** Whole and of this version's schema. */
  readonly isUsable: boolean
}

export function checkDatabase(layout: DataLayout): DatabaseExamination {
  const unusable = (finding: Finding): DatabaseExamination => ({ findings: [finding], newestRowMs: 0, isUsable: false })
  const advice = `stop the server, then "lanyard rebuild", or "lanyard restore" from a backup into a new folder`
  if (!existsSync(layout.database)) return unusable(fault('database', `there is no database ${layout.database}`, advice))
  const damage = findDamage(layout.database)
  if (damage.length > 0) return unusable(fault('database', `the database is damaged: ${damage.slice(0, 3).join('; ')}`, advice))
  const newest = readMigrations().length
  const { schema, repositories, manifests, tags } = readFacts(layout.database)
  if (schema > newest)
    return unusable(
      fault(
        'database',
        `the database was written by a newer version (schema ${schema}; this one knows ${newest})`,
        'install that version again',
      ),
    )
  const newestRowMs = newestTimeIn(layout.database)
  if (schema < newest) {
    const old = warning(
      'database',
      `the database has schema ${schema}, this version has ${newest}`,
      'start the server: it takes a snapshot and brings it up to date',
    )
    return { findings: [old], newestRowMs, isUsable: false }
  }
  return {
    findings: [ok('database', `whole: ${repositories} repositories, ${manifests} manifests, ${tags} tags`)],
    newestRowMs,
    isUsable: true,
  }
}

/** What the scrub, or a pull, has found damaged. Asked of a database that is usable. */
export function checkContent(layout: DataLayout): Finding[] {
  const { blobs, manifests } = countDamaged(layout.database)
  if (blobs + manifests === 0) return [ok('content', 'nothing is known to be damaged')]
  const advice =
    '"lanyard scrub status" names them: push them again from where they were built; look into the system log for errors of the disk'
  return [fault('content', `${blobs} blobs and ${manifests} manifests are damaged, and not served`, advice)]
}

/** Whether the accounting says what is there. Asked of a database that is usable. */
export function checkAccounting(layout: DataLayout): Finding[] {
  const wrong = countMiscounted(layout.database)
  if (wrong === 0) return [ok('accounting', 'repositories and namespaces take what is written down of them')]
  return [
    warning(
      'accounting',
      `what ${wrong} repositories and namespaces take is not what is written down of them`,
      '"lanyard doctor --recount" writes it down anew, also beside a server; nothing else depends on it. Then report it: this must not happen',
    ),
  ]
}

/** Reads every key as the server does. */
export async function checkKeys(layout: DataLayout, clock: () => number): Promise<Finding[]> {
  try {
    const keys = await listSigningKeys(layout.keys)
    if (keys.length === 0)
      return [warning('keys', 'there is no key that signs tokens', 'nothing: the server makes one, and everybody logs in again')]
    await KeyRing.open(layout.keys, clock)
    return [ok('keys', `${keys.length} keys sign or verify tokens`)]
  } catch (error) {
    return [
      fault(
        'keys',
        wordsOf(error),
        `if it cannot be restored from a backup, remove it from ${layout.keys}: whoever holds its tokens logs in again`,
      ),
    ]
  }
}

/** Pushes, pulls and removes a small image. */
export async function checkPush(settings: Settings, clock: () => number): Promise<Finding[]> {
  try {
    const services = await createServices(settings, {
      log: createSilentLogger(),
      metrics: createMetrics(),
      clock,
      collectMetrics: async () => '',
    })
    try {
      await pushToSelf(services.registry)
    } finally {
      await services.close()
    }
    return [ok('push', 'a small image was pushed, pulled and removed')]
  } catch (error) {
    return [fault('push', `a push does not work: ${wordsOf(error)}`, 'repair what else is said here, then ask again')]
  }
}
