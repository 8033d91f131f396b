/**
 * Brings a database file to the newest schema: forward only, each step in one transaction with its version.
 *
 * Before a database that holds anything is changed, a snapshot of it is written. A database from a newer version is
 * left alone. Runs in one process, before any worker opens the file.
 */
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Sqlite from 'better-sqlite3'
import { commitFile } from '../blobs/durable.ts'
import { systemCode } from '../faults.ts'
import { allBlobFolders, snapshotPath, unfinishedSnapshotPath, type DataLayout } from '../layout.ts'
import { openSqlite } from './database.ts'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** A data folder that this version must not touch, with the sentence that says why. */
export class SchemaError extends Error {}

/** The folder is beside the sources, and one level higher when they were compiled into dist/. */
const migrationsFolder = fileURLToPath(new URL('../../migrations/sqlite/', import.meta.url))

/** Generated beside the steps: the schema they lead to, see schema-file.ts. */
const endState = 'schema.sql'

/** All steps in order. @throws when a file is not named NNNN-name.sql or a number is missing. */
export function readMigrations(folder: string = migrationsFolder): Migration[] {
  const files = readdirSync(folder).filter((file) => file !== endState)
  return files.toSorted().map((file, index) => {
    if (!/^\d{4}-[a-z0-9-]+\.sql$/.test(file)) throw new Error(`not a migration: ${file}`)
    const version = Number(file.slice(0, 4))
    if (version !== index + 1) throw new Error(`migrations must be numbered without gaps: ${file}`)
    return { version, name: file.slice(5, -4), sql: readFileSync(join(folder, file), 'utf8') }
  })
}

const migrationTable = `create table migration (
  -- The steps that this database has taken.
  version integer primary key,
  name text not null,
  applied_at_ms integer not null
) strict`

export interface MigrationReport {
  readonly from: number
  readonly to: number
  /** Path of the snapshot, undefined when there was nothing to lose. */
  readonly snapshot: string | undefined
}

/**
 * @throws {SchemaError} the database is newer than this program, or is not one of ours: not one byte was changed then.
 */
export async function migrate(
  layout: DataLayout,
  nowMs: number,
  migrations: readonly Migration[] = readMigrations(),
): Promise<MigrationReport> {
  requireNoOrphanedBlobs(layout)
  const from = readVersion(layout.database)
  const to = migrations.length
  if (from > to) {
    throw new SchemaError(
      `the data folder ${layout.root} was written by a newer version of Lanyard (schema ${from}; this version knows ${to}): install that version again, or restore a snapshot from ${layout.snapshots}. Nothing was changed.`,
    )
  }
  const pending = migrations.slice(from)
  if (pending.length === 0) return { from, to, snapshot: undefined }
  const sqlite = openSqlite(layout.database)
  try {
    const snapshot = from > 0 ? await takeSnapshot(sqlite, layout, { version: from, nowMs }) : undefined
    applyMigrations(sqlite, pending, nowMs)
    return { from, to, snapshot }
  } finally {
    sqlite.close()
  }
}

/** A new database beside old blobs would look like an empty registry, and the next pushes would make that true. */
function requireNoOrphanedBlobs(layout: DataLayout): void {
  if (existsSync(layout.database) || !allBlobFolders(layout).some(holdsFiles)) return
  if (existsSync(layout.restoring))
    throw new SchemaError(`a restore into ${layout.root} did not come to its end: repeat "lanyard restore". Nothing was changed.`)
  throw new SchemaError(
    `the data folder ${layout.root} holds blobs but no database: bring it back with "lanyard rebuild" or from a backup, or move ${layout.blobs} away to start anew. Nothing was changed.`,
  )
}

function holdsFiles(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).length > 0
}

/** Whether the database has exactly the schema that this program knows; asks without a lock and changes nothing. */
export function isMigrated(layout: DataLayout): boolean {
  return readVersion(layout.database) === readMigrations().length
}

/** 0 for a new file. */
function readVersion(path: string): number {
  if (!existsSync(path)) return 0
  try {
    return readOnly(path, versionOf)
  } catch (error) {
    const isDamaged = ['SQLITE_NOTADB', 'SQLITE_CORRUPT'].includes(systemCode(error) ?? '')
    if (!isDamaged) throw error
    throw new SchemaError(
      `${path} is damaged or no database: bring it back with "lanyard rebuild" or from a backup, or point the data setting to another folder. Nothing was changed.`,
    )
  }
}

/** Even asking for the journal mode could change a file that is not ours, so it is opened for reading only. */
function readOnly<T>(path: string, read: (sqlite: Sqlite.Database) => T, options: Sqlite.Options = { readonly: true }): T {
  const sqlite = new Sqlite(path, options)
  try {
    return read(sqlite)
  } catch (error) {
    // A process that was killed while it made the file left its journal: only who may write can roll that back.
    if (systemCode(error) === 'SQLITE_READONLY_ROLLBACK') return readOnly(path, read, {})
    throw error
  } finally {
    sqlite.close()
  }
}

function versionOf(sqlite: Sqlite.Database): number {
  const names = sqlite.prepare<[], string>('select name from sqlite_schema').pluck().all()
  if (names.length === 0) return 0
  if (!names.includes('migration') || !names.includes('repository')) throw notOurs(sqlite.name)
  return sqlite.prepare<[], number>('select max(version) from migration').pluck().get() ?? 0
}

function notOurs(path: string): SchemaError {
  return new SchemaError(`${path} is not a Lanyard database: point the data setting to another folder. Nothing was changed.`)
}

/** A process that is killed meanwhile must not leave half a copy that looks like a snapshot. */
async function takeSnapshot(sqlite: Sqlite.Database, layout: DataLayout, what: { version: number; nowMs: number }): Promise<string> {
  mkdirSync(layout.snapshots, { recursive: true, mode: 0o700 })
  const unfinished = unfinishedSnapshotPath(layout)
  for (const leftover of [unfinished, `${unfinished}-journal`]) rmSync(leftover, { force: true })
  await sqlite.backup(unfinished)
  const path = snapshotPath(layout, what.version, what.nowMs)
  const file = openSync(unfinished, 'r')
  try {
    await commitFile(file, unfinished, { path, folder: layout.snapshots })
  } finally {
    closeSync(file)
  }
  return path
}

/**
 * Takes an open database through the given steps, each in one transaction with its version.
 *
 * Foreign keys are off meanwhile, because a table that a step replaces must not take with it what refers to it; that all
 * references still hold is checked before a step is committed. Names in triggers and views stay as they are for the same reason: else
 * no table that one of them names could be replaced.
 */
export function applyMigrations(sqlite: Sqlite.Database, migrations: readonly Migration[], nowMs: number): void {
  sqlite.pragma('foreign_keys = off')
  sqlite.pragma('legacy_alter_table = on')
  for (const migration of migrations) sqlite.transaction(() => apply(sqlite, migration, nowMs)).immediate()
  sqlite.pragma('legacy_alter_table = off')
  sqlite.pragma('foreign_keys = on')
}

function apply(sqlite: Sqlite.Database, { version, name, sql }: Migration, nowMs: number): void {
  if (version === 1) sqlite.exec(migrationTable)
  sqlite.exec(sql)
  const broken = sqlite.prepare<[], { table: string; parent: string }>('pragma foreign_key_check').get()
  if (broken) throw new Error(`migration ${version} leaves rows of ${broken.table} that refer to nothing in ${broken.parent}`)
  sqlite.prepare('insert into migration (version, name, applied_at_ms) values (?, ?, ?)').run(version, name, nowMs)
}
