/**
 * What backups and the collector have to do with each other: a backup holds every blob file, the collector takes files away, never both
 * at once. The lock is the operating system's, held by SQLite on hold.db, so that it ends with its process however that dies.
 *
 * Invariant: a backup that holds begins its snapshot of the rows after the last transaction that took a file away was over, and none
 * takes one until it lets go. Any number of backups hold at the same time. Files are still added, and rows removed.
 */
import { closeSync, openSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { systemCode } from '../faults.ts'
import type { DataLayout } from '../layout.ts'

/** Far more than one transaction of the collector. */
const patienceMs = 10_000

/** Makes the file, so that collecting on a disk that has become full does not have to. */
export function makeHold({ hold }: Pick<DataLayout, 'hold'>): void {
  closeSync(openSync(hold, 'a', 0o600))
}

/** Keeps every blob file where it is. Waits for the collector's transaction. @returns what lets go */
export function holdBlobs(layout: Pick<DataLayout, 'hold'>, waitMs = patienceMs): () => void {
  // A lock to read is one that others may have, too.
  return lock(layout, waitMs, 'begin; select count(*) from sqlite_schema')
}

/** @returns what ends it; undefined: a backup holds the files */
export function keepBackupsOut(layout: Pick<DataLayout, 'hold'>): (() => void) | undefined {
  try {
    return lock(layout, 0, 'begin exclusive')
  } catch (error) {
    if (systemCode(error)?.startsWith('SQLITE_BUSY')) return undefined
    throw error
  }
}

function lock({ hold }: Pick<DataLayout, 'hold'>, timeout: number, sql: string): () => void {
  const sqlite = new Sqlite(hold, { timeout })
  try {
    // Nothing is ever written; a journal beside the file would be.
    sqlite.pragma('journal_mode = memory')
    sqlite.exec(sql)
  } catch (error) {
    sqlite.close()
    throw error
  }
  return () => sqlite.close()
}
