/**
 * What is known of scrubs and of damage: when the next one is due, how far one has come, what is in quarantine, and how the last server
 * ended.
 */
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { totalBlobs } from '../storage/metadata/blobs.ts'
import type { Database } from '../storage/metadata/database.ts'
import {
  findScrubRun,
  finishScrubRun,
  getServerState,
  listDamagedManifests,
  listQuarantine,
  listRepositoriesOf,
  openScrubRun,
  setServerState,
  type QuarantineRow,
  type ScrubRunRow,
} from '../storage/metadata/scrubs.ts'
import type { Registry } from './registry.ts'

const dayMs = 86_400_000
/** Damage is listed so far; who has more has one trouble, not many. */
const listed = 100
/** Of one blob. */
const repositoriesListed = 10

export interface ScrubStatus {
  /** Under way, or waiting for the server to begin with it. */
  readonly open: ScrubRunRow | undefined
  readonly finished: ScrubRunRow | undefined
  /** When the next one begins by itself; undefined: never, or as soon as a server runs because there has been none. */
  readonly nextAtMs: number | undefined
  /** The last start that found a stop which was none in order, unless everything has been read since. */
  readonly uncleanAtMs: number | null
  /** The first hundred in the order of digests. */
  readonly blobs: readonly (QuarantineRow & { readonly repositories: readonly RepositoryName[] })[]
  /** Likewise. */
  readonly manifests: readonly { readonly repository: string; readonly digest: Digest; readonly size_bytes: number }[]
}

/** @param everyDays between two scrubs; 0: none by itself */
export async function getScrubStatus({ database }: Pick<Registry, 'database'>, everyDays: number): Promise<ScrubStatus> {
  const { read } = database
  const finished = await findScrubRun(read, 'finished')
  const blobs = await listQuarantine(read, { after: '', limit: listed })
  return {
    open: await findScrubRun(read, 'open'),
    finished,
    nextAtMs: everyDays === 0 || finished === undefined ? undefined : finished.started_at_ms + everyDays * dayMs,
    uncleanAtMs: (await getServerState(read)).unclean_at_ms,
    blobs: await Promise.all(
      blobs.map(async (blob) => ({ ...blob, repositories: await listRepositoriesOf(read, blob.digest, repositoriesListed) })),
    ),
    manifests: await listDamagedManifests(read, listed),
  }
}

/** Whether anything is known to be damaged. */
export async function isAnythingDamaged({ read }: Pick<Database, 'read'>): Promise<boolean> {
  return (await listQuarantine(read, { after: '', limit: 1 })).length > 0 || (await listDamagedManifests(read, 1)).length > 0
}

/** Asks the running server for a scrub, or the next one that runs. @returns false when one is under way */
export async function requestScrub({ database, clock }: Pick<Registry, 'database' | 'clock'>): Promise<boolean> {
  return database.write((tx) => openScrubRun(tx, clock()))
}

/** Opens a scrub when its time has come. */
export async function openDueScrub(registry: Registry, everyDays: number): Promise<void> {
  if (everyDays === 0 || (await findScrubRun(registry.database.read, 'open'))) return
  const finished = await findScrubRun(registry.database.read, 'finished')
  if (finished === undefined && (await totalBlobs(registry.database.read)).blobs === 0) return countAsRead(registry)
  if (finished === undefined || finished.started_at_ms + everyDays * dayMs <= registry.clock()) await requestScrub(registry)
}

/** A new store has nothing to read, and its first minutes are for its users. */
async function countAsRead({ database, clock }: Registry): Promise<void> {
  const nowMs = clock()
  await database.writeRelaxed(async (tx) => {
    await openScrubRun(tx, nowMs)
    await finishScrubRun(tx, nowMs)
  })
}

/** Before the workers start. @returns whether the last server did not end in order */
export async function noteStart({ database, clock }: Registry): Promise<boolean> {
  return database.write(async (tx) => {
    const isUnclean = (await getServerState(tx)).is_running === 1
    await setServerState(tx, { is_running: 1, ...(isUnclean ? { unclean_at_ms: clock() } : {}) })
    return isUnclean
  })
}

/** After everything has come to its end in order. */
export async function noteStop({ database }: Registry): Promise<void> {
  await database.write((tx) => setServerState(tx, { is_running: 0 }))
}
