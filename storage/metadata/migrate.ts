/**
 * Brings a database file to the newest schema: forward only, each step in one transaction with its version.
 *
 * Before a database that holds anything is changed, a snapshot of it is written. A database from a newer version is
 * left alone. Runs in one process, before any worker opens the file.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type Sqlite from 'better-sqlite3'
import { snapshotPath, type DataLayout } from '../layout.ts'
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

/** All steps in order. @throws when a file is not named NNNN-name.sql or a number is missing. */
export function readMigrations(folder: string = migrationsFolder): Migration[] {
  const files = readdirSync(folder)
    .filter((file) => /^\d{4}-[a-z0-9-]+\.sql$/.test(file))
    .toSorted()
  return files.map((file, index) => {
    const version = Number(file.slice(0, 4))
    if (version !== index + 1) throw new Error(`migrations must be numbered without gaps: ${file}`)
    return { version, name: file.slice(5, -4), sql: readFileSync(`${folder}/${file}`, 'utf8') }
  })
}

export interface MigrationReport {
  readonly from: number
  readonly to: number
  /** Path of the snapshot, undefined when there was nothing to lose. */
  readonly snapshot: string | undefined
}

/**
 * @throws {SchemaError} the database is newer than this program, or is not one of ours.
 */
export async function migrate(
  layout: DataLayout,
  nowMs: number,
  migrations: readonly Migration[] = readMigrations(),
): Promise<MigrationReport> {
  const sqlite = openSqlite(layout.database)
  try {
    const from = schemaVersion(sqlite)
    const to = migrations.length
    if (from > to) {
      throw new SchemaError(
        `the data folder ${layout.root} was written by a newer version of Lanyard (schema ${from}; this version knows ${to}): install that version again, or restore a snapshot from ${layout.snapshots}. Nothing was changed.`,
      )
    }
    const pending = migrations.slice(from)
    const snapshot = from > 0 && pending.length > 0 ? await takeSnapshot(sqlite, layout, { version: from, nowMs }) : undefined
    for (const migration of pending) apply(sqlite, migration, nowMs)
    return { from, to, snapshot }
  } finally {
    sqlite.close()
  }
}

/** 0 for a new file. */
function schemaVersion(sqlite: Sqlite.Database): number {
  const tables = sqlite.prepare<[], { name: string }>("select name from sqlite_schema where type = 'table'").all()
  if (tables.length === 0) return 0
  if (!tables.some((table) => table.name === 'migration'))
    throw new SchemaError(`${sqlite.name} is not a Lanyard database: point the data setting to another folder. Nothing was changed.`)
  return sqlite.prepare<[], { version: number }>('select max(version) as version from migration').get()?.version ?? 0
}

async function takeSnapshot(sqlite: Sqlite.Database, layout: DataLayout, what: { version: number; nowMs: number }): Promise<string> {
  mkdirSync(layout.snapshots, { recursive: true, mode: 0o700 })
  const path = snapshotPath(layout, what.version, what.nowMs)
  await sqlite.backup(path)
  return path
}

function apply(sqlite: Sqlite.Database, migration: Migration, nowMs: number): void {
  const step = sqlite.transaction(() => {
    sqlite.exec(
      'create table if not exists migration (version integer primary key, name text not null, applied_at_ms integer not null) strict',
    )
    sqlite.exec(migration.sql)
    sqlite.prepare('insert into migration (version, name, applied_at_ms) values (?, ?, ?)').run(migration.version, migration.name, nowMs)
  })
  step.immediate()
}
