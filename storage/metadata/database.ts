/**
 * The metadata database: one read connection, one write connection, the same two on any engine.
 *
 * Owns connections, transactions and durability; knows no table. Invariants: a write transaction begins IMMEDIATE and
 * holds no network or file I/O; what `write` returned from is on disk; `read` never sees what is not committed.
 */
import { setImmediate, setTimeout } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { Kysely, SqliteAdapter, SqliteDialect } from 'kysely'
import { systemCode, translateFault } from '../faults.ts'
import type { Journal } from '../recovery/journal.ts'
import { LogSync } from './log-sync.ts'
import type { Reader, Schema, Writer } from './schema.ts'
import type { DirectAdapter, Statement } from './statement.ts'

/** How long a write waits for another process's write before it fails; ordinary ones take well under a millisecond. */
const busyTimeoutMs = 10_000
/** How often a write that finds another's looks again at once, on the next turn of the event loop, before it waits a millisecond. */
const eagerTries = 50

export class Database {
  /** For every read outside a transaction. */
  readonly read: Reader
  readonly #write: Kysely<Schema>
  readonly #readConnection: Sqlite.Database
  readonly #writeConnection: Sqlite.Database
  /** Of the write connection. */
  readonly #statements: StatementCache
  readonly #logSync: LogSync
  readonly #journal: Journal | undefined
  /** Settled when the last write transaction that asked for its turn is over: there is one connection, and so one at a time. */
  #lastWrite: Promise<unknown> = Promise.resolve()

  private constructor(readConnection: Sqlite.Database, writeConnection: Sqlite.Database, journal: Journal | undefined) {
    this.#readConnection = readConnection
    this.#writeConnection = writeConnection
    this.#journal = journal
    journal?.attach(writeConnection)
    this.#statements = new StatementCache(writeConnection)
    this.read = new Kysely<Schema>({ dialect: new LanyardSqliteDialect(new StatementCache(readConnection)) })
    this.#write = new Kysely<Schema>({ dialect: new LanyardSqliteDialect(this.#statements) })
    this.#logSync = new LogSync(writeConnection.name)
  }

  /** Opens a migrated database file (see migrate.ts). @param journal is told what is changed, for the day on which the file is lost */
  static open(path: string, journal?: Journal): Database {
    return new Database(openSqlite(path, { readonly: true }), openForWriting(path), journal)
  }

  /** A read that goes past the query builder altogether: for what stands on the path of every request. */
  prepare<V extends object, Row>(statement: Statement<V, Row>): PreparedRead<V, Row> {
    const { sql, names } = statement.textFor(this.read)
    const prepared = this.#readConnection.prepare<unknown[], Row>(sql)
    return async (values) => prepared.get(...names.map((name) => values[name]))
  }

  /**
   * Runs `work` in one transaction that is durable when this returns.
   * @throws {RegistryError} storageFull, storageFailed
   */
  async write<T>(work: (tx: Writer) => Promise<T>): Promise<T> {
    const result = await this.writeRelaxed(work)
    await this.#logSync.sync()
    return result
  }

  /**
   * Like `write`, but a power cut may undo it (a crash of the process does not): for upload sessions and leases, whose
   * loss costs a retry. Saves the fsync, so that starting an upload costs none.
   */
  async writeRelaxed<T>(work: (tx: Writer) => Promise<T>): Promise<T> {
    this.#logSync.requireHealthy()
    try {
      const turn = this.#lastWrite.then(() => this.#inTransaction(work))
      this.#lastWrite = turn.catch(leaveToCaller)
      return await turn
    } catch (error) {
      throw translateFault(error)
    }
  }

  /**
   * Begins and ends on the connection itself: Kysely's transactions are DEFERRED, so that two processes that upgrade at once fail
   * whatever the timeout, and their layers of promises cost more than a small transaction's own work.
   */
  async #inTransaction<T>(work: (tx: Writer) => Promise<T>): Promise<T> {
    await this.#begin()
    let isWritten = false
    try {
      // What Writer says is true from here on: what goes through this handle is within the transaction.
      const result = await work(this.#write as Writer)
      this.#journal?.append()
      isWritten = true
      this.#statements.prepare('commit').run()
      return result
    } catch (error) {
      this.#journal?.forget({ isWritten: isWritten && this.#writeConnection.inTransaction })
      // After some faults, a full disk among them, SQLite has rolled back already; to ask again would be the error that is seen.
      if (this.#writeConnection.inTransaction) this.#statements.prepare('rollback').run()
      throw error
    }
  }

  /** Waits for another process's write without stopping the event loop; after busyTimeoutMs its lock is thrown as the error it is. */
  async #begin(): Promise<void> {
    const giveUpMs = performance.now() + busyTimeoutMs
    for (let tries = 1; ; tries++) {
      try {
        this.#statements.prepare('begin immediate').run()
        return
      } catch (error) {
        if (!systemCode(error)?.startsWith('SQLITE_BUSY') || performance.now() >= giveUpMs) throw error
      }
      await (tries < eagerTries ? setImmediate() : setTimeout(1))
    }
  }

  /** @throws {RegistryError} storageFailed: a sync has failed, so that nothing is written any more until the process starts anew */
  requireWritable(): void {
    this.#logSync.requireHealthy()
  }

  async close(): Promise<void> {
    this.#journal?.close()
    await this.#logSync.close()
    // The query builder closes only what went through it. The writer is last: only then is the log folded into the database.
    await this.read.destroy()
    this.#readConnection.close()
    await this.#write.destroy()
    this.#writeConnection.close()
  }
}

/** Finds the first row, undefined when there is none. */
export type PreparedRead<V, Row> = (values: V) => Promise<Row | undefined>

/** Opens a file with everything that must hold on every connection: a commit is synced to disk before it returns. */
export function openSqlite(path: string, options: Sqlite.Options = {}): Sqlite.Database {
  const sqlite = new Sqlite(path, { timeout: busyTimeoutMs, ...options })
  if (!options.readonly) sqlite.pragma('journal_mode = wal')
  // What undoes half of a large statement would otherwise be a file, for which a read-only container has no folder.
  sqlite.pragma('temp_store = memory')
  // better-sqlite3 is compiled so that WAL would mean NORMAL.
  sqlite.pragma('synchronous = full')
  sqlite.pragma('foreign_keys = on')
  return sqlite
}

/**
 * The connection of `write`: its commits are in the log but not yet on disk, which LogSync brings them to, for many at once and
 * without stopping the event loop. Other syncs (before a checkpoint, after it) stay SQLite's own. A lock that another process
 * holds is waited for by Database, again without stopping the loop.
 */
function openForWriting(path: string): Sqlite.Database {
  const sqlite = openSqlite(path)
  sqlite.pragma('synchronous = normal')
  sqlite.pragma('busy_timeout = 0')
  return sqlite
}

/** Kysely's SQLite dialect with prepared statements that are kept, and a way past it for those that are built once. */
class LanyardSqliteDialect extends SqliteDialect {
  readonly #statements: StatementCache

  constructor(statements: StatementCache) {
    super({ database: statements })
    this.#statements = statements
  }

  override createAdapter(): SqliteAdapter {
    return new DirectSqliteAdapter(this.#statements)
  }
}

/** Runs statements on the connection itself: within a transaction they are the transaction's, because it holds the only one there is. */
class DirectSqliteAdapter extends SqliteAdapter implements DirectAdapter {
  readonly #statements: StatementCache

  constructor(statements: StatementCache) {
    super()
    this.#statements = statements
  }

  first(text: string, parameters: readonly unknown[]): unknown {
    return this.#statements.prepare(text).get(...parameters)
  }

  run(text: string, parameters: readonly unknown[]): number {
    return this.#statements.prepare(text).run(...parameters).changes
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

/** A transaction that fails is its caller's business; the next one begins all the same. */
function leaveToCaller(): void {}
