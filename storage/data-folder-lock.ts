/**
 * One server per data folder. The lock is the operating system's, held by SQLite on lock.db: it ends with the process
 * however that dies, and a stale file or a reused process id cannot fool it. Who holds it stands in server.json.
 */
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import Sqlite from 'better-sqlite3'
import { systemCode } from './faults.ts'
import type { DataLayout } from './layout.ts'

/** The folder cannot be used; the message says by whom it is held or what is wrong with it. */
export class DataFolderError extends Error {}

export interface Holder {
  readonly pid: number
  readonly host: string
  readonly listen: string
  readonly since: string
}

export class DataFolderLock {
  readonly #sqlite: Sqlite.Database
  readonly #layout: DataLayout

  private constructor(sqlite: Sqlite.Database, layout: DataLayout) {
    this.#sqlite = sqlite
    this.#layout = layout
  }

  /**
   * Makes the folder if it is missing and locks it for this process.
   * @throws {DataFolderError} another process holds it, or it cannot be written.
   */
  static acquire(layout: DataLayout, listen: string): DataFolderLock {
    let sqlite: Sqlite.Database | undefined
    try {
      mkdirSync(layout.root, { recursive: true, mode: 0o700 })
      sqlite = new Sqlite(layout.lock, { timeout: 0 })
      hold(sqlite)
      const holder: Holder = { pid: process.pid, host: hostname(), listen, since: new Date().toISOString() }
      writeFileSync(layout.holder, `${JSON.stringify(holder)}\n`, { mode: 0o600 })
      return new DataFolderLock(sqlite, layout)
    } catch (error) {
      sqlite?.close()
      throw new DataFolderError(explain(error, layout), { cause: error })
    }
  }

  release(): void {
    rmSync(this.#layout.holder, { force: true })
    this.#sqlite.close()
  }
}

/**
 * SQLite takes no lock at all on a file that it can only read, and says nothing. So something is written too, which never
 * reaches the disk: the transaction stays open for as long as the lock is held.
 */
function hold(sqlite: Sqlite.Database): void {
  sqlite.pragma('journal_mode = memory')
  sqlite.exec('begin exclusive; pragma user_version = 1')
}

/** What server.json says, undefined when no server runs or none wrote it yet. */
export function readHolder(layout: DataLayout): Holder | undefined {
  try {
    return JSON.parse(readFileSync(layout.holder, 'utf8')) as Holder
  } catch {
    return undefined
  }
}

function explain(error: unknown, layout: DataLayout): string {
  const code = codeOf(error, layout)
  if (code === 'SQLITE_BUSY') {
    const holder = readHolder(layout)
    const who = holder
      ? `process ${holder.pid} on ${holder.host}, listening on ${holder.listen} since ${holder.since}`
      : 'another Lanyard process'
    return `the data folder ${layout.root} is in use by ${who}: stop it first, or start this one with another LANYARD_DATA`
  }
  const advice: Record<string, string> = {
    EACCES: 'this user may not write there: change its owner or its permissions',
    EPERM: 'this user may not write there: change its owner or its permissions',
    SQLITE_CANTOPEN: 'this user may not open its lock.db: change its owner or its permissions',
    SQLITE_READONLY: 'this user may not write to its lock.db: change its owner or its permissions',
    EROFS: 'its file system is read-only: mount it writable',
    ENOTDIR: 'a part of the path is a file',
    EEXIST: 'a file stands where the folder should be',
    ENOSPC: 'the disk is full: free some space',
    SQLITE_FULL: 'the disk is full: free some space',
    SQLITE_IOERR_LOCK: 'its file system has no locks (NFS without a lock service?): use a local disk',
    SQLITE_NOTADB: 'its lock.db is not a lock file of Lanyard: is it really a Lanyard folder?',
  }
  return `the data folder ${layout.root} cannot be used: ${advice[code] ?? code}`
}

/** These say only that something could not be opened or made; often the nearest folder that is there says why. */
const unclearCodes: ReadonlySet<string> = new Set(['SQLITE_CANTOPEN', 'SQLITE_READONLY', 'ENOENT'])

function codeOf(error: unknown, layout: DataLayout): string {
  const code = systemCode(error) ?? 'unknown error'
  return unclearCodes.has(code) ? (refusalOf(layout.root) ?? code) : code
}

/** Why nothing can be made in a folder, undefined when nothing speaks against it. */
function refusalOf(folder: string): string | undefined {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    const code = systemCode(error)
    return code === 'ENOENT' && dirname(folder) !== folder ? refusalOf(dirname(folder)) : code
  }
}
