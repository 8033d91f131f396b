/**
 * The metadata database: one read connection, one write connection, the same two on any engine.
 *
 * Owns connections, transactions and durability; knows no table. Invariants: a write transaction begins IMMEDIATE and
 * holds no network or file I/O; what `write` returned from is on disk; `read` never sees what is not committed.
 */
import Sqlite from 'better-sqlite3'
import {
  CompiledQuery,
  Kysely,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
  sql,
  type Compilable,
  type DatabaseConnection,
  type Driver,
} from 'kysely'
import { translateFault } from '../faults.ts'
import type { Reader, Schema, Writer } from './schema.ts'

/** How long a write waits for another process's write before it fails; ordinary ones take well under a millisecond. */
const busyTimeoutMs = 10_000

export class Database {
  /** For every read outside a transaction. */
  readonly read: Reader
  readonly #write: Kysely<Schema>

  private constructor(read: Kysely<Schema>, write: Kysely<Schema>) {
    this.read = read
    this.#write = write
  }

  /** Opens a migrated database file (see migrate.ts). */
  static open(path: string): Database {
    return new Database(kyselyOn(path, 'read'), kyselyOn(path, 'write'))
  }

  /**
   * Runs `work` in one transaction that is durable when this returns.
   * @throws {RegistryError} storageFull, storageFailed
   */
  async write<T>(work: (tx: Writer) => Promise<T>): Promise<T> {
    try {
      return await this.#write.transaction().execute(work)
    } catch (error) {
      throw translateFault(error)
    }
  }

  /**
   * Like `write`, but a power cut may undo it (a crash of the process does not): for upload sessions and leases, whose
   * loss costs a retry. Saves the fsync, so that starting an upload costs none.
   */
  async writeRelaxed<T>(work: (tx: Writer) => Promise<T>): Promise<T> {
    try {
      return await this.#write.connection().execute(async (connection) => {
        await sql`pragma synchronous = normal`.execute(connection)
        try {
          return await connection.transaction().execute(work)
        } finally {
          await sql`pragma synchronous = full`.execute(connection)
        }
      })
    } catch (error) {
      throw translateFault(error)
    }
  }

  async close(): Promise<void> {
    await this.read.destroy()
    await this.#write.destroy()
  }
}

/** Opens a file with everything that must hold on every connection. better-sqlite3 would default WAL to NORMAL: see stack.md's trap, FULL is set here. */
export function openSqlite(path: string, options: Sqlite.Options = {}): Sqlite.Database {
  const sqlite = new Sqlite(path, { timeout: busyTimeoutMs, ...options })
  if (!options.readonly) sqlite.pragma('journal_mode = wal')
  sqlite.pragma('synchronous = full')
  sqlite.pragma('foreign_keys = on')
  return sqlite
}

function kyselyOn(path: string, use: 'read' | 'write'): Kysely<Schema> {
  return new Kysely<Schema>({ dialect: new LanyardSqliteDialect(openSqlite(path, { readonly: use === 'read' })) })
}

/** Kysely's SQLite dialect with IMMEDIATE transactions (its DEFERRED ones fail at once when two processes upgrade) and prepared statements that are kept. */
class LanyardSqliteDialect extends SqliteDialect {
  readonly #sqlite: Sqlite.Database

  constructor(sqlite: Sqlite.Database) {
    super({ database: sqlite })
    this.#sqlite = sqlite
  }

  override createDriver(): Driver {
    return new ImmediateDriver({ database: new StatementCache(this.#sqlite) })
  }

  override createAdapter(): SqliteAdapter {
    return new SqliteAdapter()
  }
}

class ImmediateDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }
}

/** Keeps prepared statements by their text. Lists of parameters make new texts, so the cache is emptied when it grows. */
class StatementCache {
  readonly #sqlite: Sqlite.Database
  readonly #statements = new Map<string, Sqlite.Statement>()

  constructor(sqlite: Sqlite.Database) {
    this.#sqlite = sqlite
  }

  prepare(text: string): Sqlite.Statement {
    const known = this.#statements.get(text)
    if (known) return known
    if (this.#statements.size >= 500) this.#statements.clear()
    const statement = this.#sqlite.prepare(text)
    this.#statements.set(text, statement)
    return statement
  }

  close(): void {
    this.#sqlite.close()
  }
}

/**
 * A query built once and run many times with other parameters: for the reads on every request's path, where building
 * costs five times what running does (54,000 against 260,000 a second).
 * @param build gets placeholders in the order in which `run` takes the values.
 */
export class HotQuery<Row, Values extends readonly (string | number | null)[]> {
  readonly #sql: string
  readonly #database: Kysely<Schema>

  constructor(database: Kysely<Schema>, query: Compilable<Row>) {
    this.#database = database
    this.#sql = query.compile().sql
  }

  async run(values: Values): Promise<Row | undefined> {
    const { rows } = await this.#database.executeQuery<Row>(CompiledQuery.raw(this.#sql, [...values]))
    return rows[0]
  }
}
