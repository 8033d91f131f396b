/**
 * Snapshots of the database within the data folder, by the clock: what `lanyard rebuild` begins with when the database is lost.
 *
 * Invariants: a snapshot has its name only when it is whole and durable; a damaged database makes none, and costs none of those that are
 * there. The journal reaches back to the oldest snapshot that is kept.
 */
import { chmod, mkdir, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { commitFile, syncFolder } from '../blobs/durable.ts'
import {
  copyingSnapshotPath,
  finishedJournalPath,
  parseSnapshotName,
  scheduledSnapshotPath,
  type DataLayout,
  type SnapshotFile,
} from '../layout.ts'
import type { Database } from '../metadata/database.ts'
import { finishJournal, listJournal, removeJournal } from './journal.ts'
import { copyInThread } from './snapshot-thread.ts'
import { sizeOf } from './file-size.ts'

export interface SnapshotRule {
  readonly nowMs: number
  readonly everyMs: number
  /** How many stay, at least 1. */
  readonly keep: number
  /** Ends it at once. */
  readonly signal?: AbortSignal
}

export interface TakenSnapshot {
  readonly path: string
  readonly bytes: number
  /** Older ones. */
  readonly removed: number
}

interface Store {
  readonly database: Database
  readonly layout: DataLayout
}

/** All snapshots in the data folder, of both kinds, the oldest first. */
export async function listSnapshotFiles(layout: DataLayout): Promise<SnapshotFile[]> {
  const names = await readdir(layout.snapshots).catch(() => [])
  return names.flatMap((name) => parseSnapshotName(layout, name) ?? []).toSorted((a, b) => a.takenAtMs - b.takenAtMs)
}

/** @returns undefined: the newest is not old enough. @throws when none can be taken: the database is damaged, or there is no room */
export async function snapshotIfDue(store: Store, rule: SnapshotRule): Promise<TakenSnapshot | undefined> {
  const { layout } = store
  const newest = (await scheduled(layout)).at(-1)
  // A clock that was set back makes one that seems to come from the future; waiting for it would be waiting for nothing.
  if (newest && Math.abs(rule.nowMs - newest.takenAtMs) < rule.everyMs) return undefined
  return takeSnapshot(store, rule)
}

async function takeSnapshot({ database, layout }: Store, { nowMs, keep, signal }: SnapshotRule): Promise<TakenSnapshot> {
  await mkdir(layout.snapshots, { recursive: true, mode: 0o700 })
  await mkdir(layout.journal, { recursive: true, mode: 0o700 })
  await requireRoom(layout)
  // Also those whose files are not needed any more: no number is given twice.
  const numbers = [...(await listJournal(layout)), ...(await scheduled(layout)).map((each) => each.journal)]
  const journal = await database.writeRelaxed(async () => finishJournal(layout, numbers))
  await syncJournal(layout, journal)
  const copying = copyingSnapshotPath(layout)
  for (const leftover of [copying, `${copying}-journal`]) await rm(leftover, { force: true })
  const { damage, schema } = await copyInThread({ from: layout.database, to: copying }, signal)
  if (damage.length > 0) throw new Error(`the database is damaged: ${damage.join('; ')}`)
  const path = scheduledSnapshotPath(layout, { version: schema, journal, takenAtMs: nowMs })
  await chmod(copying, 0o600)
  const file = await open(copying, 'r')
  try {
    await commitFile(file.fd, copying, { path, folder: layout.snapshots })
  } finally {
    await file.close()
  }
  return { path, bytes: (await stat(path)).size, removed: await prune(layout, { newest: path, keep }) }
}

async function scheduled(layout: DataLayout): Promise<SnapshotFile[]> {
  return (await listSnapshotFiles(layout)).filter(({ kind }) => kind === 'scheduled')
}

/** A snapshot must not be what fills the disk. */
async function requireRoom(layout: DataLayout): Promise<void> {
  const { bavail, bsize } = await statfs(layout.snapshots)
  const needed = 2 * ((await sizeOf(layout.database)) ?? 0)
  if (bavail * bsize < needed) throw new Error(`${bavail * bsize} bytes are free, and a snapshot is taken when ${needed} are`)
}

async function syncJournal(layout: DataLayout, number: number): Promise<void> {
  if (number > 0) {
    const file = await open(finishedJournalPath(layout, number), 'r').catch(() => undefined)
    await file?.sync()
    await file?.close()
  }
  await syncFolder(layout.journal)
}

/** The one that was just taken stays, whatever the clock says of the others. @returns how many snapshots went */
async function prune(layout: DataLayout, { newest, keep }: { newest: string; keep: number }): Promise<number> {
  const others = (await scheduled(layout)).filter(({ path }) => path !== newest)
  const removed = others.slice(0, Math.max(0, others.length + 1 - keep))
  for (const { path } of removed) await rm(path, { force: true })
  const reachesBackTo = Math.min(...(await scheduled(layout)).map(({ journal }) => journal))
  for (const number of await listJournal(layout)) if (number <= reachesBackTo) await removeJournal(layout, number)
  return removed.length
}
