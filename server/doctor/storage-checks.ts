/**
 * The doctor on what lies on the disk: the folder, who may read it, room, syncs, the clock, snapshots.
 */
import { existsSync, statSync } from 'node:fs'
import type { DataLayout } from '../../storage/layout.ts'
import {
  exposedFiles,
  foreignFolders,
  missingFolders,
  newestFileMs,
  refusedPaths,
  roomOf,
  trySync,
  type Room,
} from '../../storage/recovery/examine-folder.ts'
import { listSnapshotFiles } from '../../storage/recovery/snapshot-database.ts'
import type { Settings } from '../config/settings.ts'
import { fault, ok, warning, wordsOf, type Finding } from './finding.ts'

const minuteMs = 60_000
const slowSyncMs = 1000
/** No clock that is right says less: this program is newer. */
const earliestMs = Date.UTC(2026, 0, 1)

/** @returns undefined: there is a data folder, and more can be asked */
export function checkPresence(layout: DataLayout): Finding | undefined {
  if (!existsSync(layout.root))
    return fault('folder', `there is no folder ${layout.root}`, 'name it with --data or LANYARD_DATA; "lanyard serve" makes a new one')
  if (!statSync(layout.root).isDirectory()) return fault('folder', `${layout.root} is a file`, 'name a folder with --data or LANYARD_DATA')
  return undefined
}

export function checkFolder(layout: DataLayout): Finding[] {
  const missing = missingFolders(layout)
  const foreign = foreignFolders(layout)
  const findings: Finding[] = []
  if (missing.length > 0) {
    const what = `${missing.length} folders are missing, such as ${missing[0]}`
    findings.push(fault('folder', what, 'start the server again: it makes them'))
  }
  if (foreign.length > 0) {
    const what = `${foreign[0]} is on another file system than ${layout.root}, so that no upload can be finished there`
    findings.push(fault('folder', what, 'mount one file system over the whole data folder'))
  }
  return findings.length > 0 ? findings : [ok('folder', `${layout.root} is complete`)]
}

export function checkPermissions(layout: DataLayout): Finding[] {
  const refused = refusedPaths(layout).map(({ path, code }) =>
    fault(
      'permissions',
      `this user may not read and write ${path} (${code})`,
      `give it to the user that the registry runs as, such as with "chown -R lanyard ${layout.root}"; run the doctor as that user`,
    ),
  )
  return refused.length > 0 ? refused : [ok('permissions', 'this user may read and write everything')]
}

export function checkSecrets(layout: DataLayout): Finding[] {
  const exposed = exposedFiles(layout).map(({ path, mode }) =>
    fault('secrets', `others may read ${path} (its permissions are ${mode}), and there are secrets in it`, `chmod 600 ${path}`),
  )
  return exposed.length > 0 ? exposed : [ok('secrets', 'nobody else may read what is secret')]
}

export async function checkDisk(layout: DataLayout, { storage }: Pick<Settings, 'storage'>): Promise<Finding[]> {
  return [judgeRoom(await roomOf(layout), storage.reserveBytes)]
}

export function judgeRoom({ freeBytes, totalBytes, freeFiles }: Room, reserveBytes: number): Finding {
  const free = `${megabytes(freeBytes)} of ${megabytes(totalBytes)} are free`
  const advice = 'free some space: delete what is not needed, lower trash.days, or move the folder to a larger disk'
  if (freeBytes < reserveBytes)
    return fault('disk', `${free}, less than the reserve of ${megabytes(reserveBytes)}: pushes are refused`, advice)
  if (freeFiles !== undefined && freeFiles < 1000) return fault('disk', `the file system takes only ${freeFiles} more files`, advice)
  return freeBytes < totalBytes / 20 ? warning('disk', free, advice) : ok('disk', free)
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 ** 2)} MiB`
}

export async function checkSync(layout: DataLayout): Promise<Finding[]> {
  try {
    return [judgeSync(Math.ceil(await trySync(layout)))]
  } catch (error) {
    const advice =
      'look into the system log for errors of the disk, and whether it is full or mounted read-only; until this works nothing can be pushed'
    return [fault('sync', `the disk does not keep what it is given: ${wordsOf(error)}`, advice)]
  }
}

export function judgeSync(tookMs: number): Finding {
  if (tookMs < slowSyncMs) return ok('sync', `the disk keeps what it is given, after ${tookMs} ms`)
  const advice = 'look what else writes to it; a network disk or a worn SD card makes pushes slow'
  return warning('sync', `the disk needs ${tookMs} ms to keep a small file`, advice)
}

/** @param of.newestRowMs the latest time in the database; 0 if it cannot be read */
export function checkClock(layout: DataLayout, of: { nowMs: number; newestRowMs: number }): Finding[] {
  const { nowMs, newestRowMs } = of
  const advice = 'set the clock right (timedatectl, chrony); while it is behind, tokens are refused and nothing is collected'
  const now = new Date(nowMs).toISOString()
  if (nowMs < earliestMs) return [fault('clock', `the clock says ${now}`, advice)]
  const newestMs = Math.max(newestRowMs, newestFileMs(layout))
  if (newestMs <= nowMs + minuteMs) return [ok('clock', `the clock says ${now}, and nothing comes from later`)]
  const where = newestRowMs > nowMs + minuteMs ? 'a row' : 'a file'
  return [
    fault(
      'clock',
      `the clock says ${now}, and ${where} comes from ${new Date(newestMs).toISOString()}: it is behind, or was ahead`,
      advice,
    ),
  ]
}

export async function checkSnapshots(layout: DataLayout, { snapshots }: Pick<Settings, 'snapshots'>, nowMs: number): Promise<Finding[]> {
  if (snapshots.everyHours === 0)
    return [warning('snapshots', 'no snapshots of the database are taken', 'set snapshots.everyHours, unless backups are made often')]
  const newest = (await listSnapshotFiles(layout)).findLast(({ kind }) => kind === 'scheduled')
  const advice = 'look into the log of the server for why none is taken: they are while it runs'
  if (!newest) return [warning('snapshots', 'there is no snapshot of the database', advice)]
  const ageHours = Math.floor((nowMs - newest.takenAtMs) / 3_600_000)
  if (ageHours > 2 * snapshots.everyHours)
    return [warning('snapshots', `the newest snapshot of the database is ${ageHours} hours old`, advice)]
  return [ok('snapshots', `the newest snapshot of the database is ${Math.max(0, ageHours)} hours old`)]
}
