/**
 * Copies of a database that is in use, and the proof that they are whole.
 *
 * Invariant: a copy is what was committed at one moment, whatever is written meanwhile, and no writer waits for it: it is made within
 * one read transaction, which the log lets everybody write past.
 */
import Sqlite from 'better-sqlite3'

const pagesPerStep = 1000

/** Copies the database at `from` to the new file `to`, which holds everything by itself: no log lies beside it. Not synced yet. */
export async function copyDatabase(from: string, to: string): Promise<void> {
  const source = new Sqlite(from, { readonly: true, timeout: 10_000 })
  try {
    source.exec('begin')
    // Only what is read begins the transaction; without one the copy would start anew with every commit of another process.
    source.prepare('select count(*) from sqlite_schema').get()
    await source.backup(to, { progress: () => pagesPerStep })
  } finally {
    source.close()
  }
  const copy = new Sqlite(to)
  try {
    copy.pragma('journal_mode = delete')
  } finally {
    copy.close()
  }
}

export interface DatabaseFacts {
  /** Of the newest migration it has taken. */
  readonly schema: number
  readonly repositories: number
  readonly manifests: number
  /** Current ones. */
  readonly tags: number
  readonly blobs: number
  /** Of all blobs together. */
  readonly bytes: number
}

/** What a database holds. @throws when it is none of Lanyard's, or damaged where that is read */
export function readFacts(path: string): DatabaseFacts {
  return withSqlite(path, (sqlite) => {
    const count = (sql: string) => sqlite.prepare<[], number>(sql).pluck().get() ?? 0
    return {
      schema: count('select max(version) from migration'),
      repositories: count('select count(*) from repository'),
      manifests: count('select count(*) from manifest'),
      tags: count('select count(*) from tag where until_ms is null'),
      blobs: count('select count(*) from blob'),
      bytes: count('select sum(size_bytes) from blob'),
    }
  })
}

/** How many blobs and manifests are known to be damaged. Needs the newest schema. */
export function countDamaged(path: string): { blobs: number; manifests: number } {
  return withSqlite(path, (sqlite) => {
    const count = (sql: string) => sqlite.prepare<[], number>(sql).pluck().get() ?? 0
    return {
      blobs: count('select count(*) from quarantine'),
      manifests: count('select count(*) from manifest where length(content) = 0'),
    }
  })
}

/** The latest time that any of its rows was written at, as far as an index or a single row tells, in ms since 1970; 0 without any. */
export function newestTimeIn(path: string): number {
  const questions = [
    'select max(at_ms) from audit_event',
    'select seen_ms from collection where id = 1',
    'select max(updated_at_ms) from upload_session',
  ]
  return withSqlite(path, (sqlite) => {
    const tables = new Set(sqlite.prepare<[], string>('select name from sqlite_schema').pluck().all())
    const known = questions.filter((sql) => tables.has(/from (\w+)/.exec(sql)?.[1] ?? ''))
    return Math.max(0, ...known.map((sql) => sqlite.prepare<[], number | null>(sql).pluck().get() ?? 0))
  })
}

/**
 * What SQLite finds wrong with a database, as sentences; none: it is whole.
 * @param depth `quick` leaves out the comparison of each index with its table
 */
export function findDamage(path: string, depth: 'full' | 'quick' = 'full'): string[] {
  try {
    return withSqlite(path, (sqlite) => {
      const check = depth === 'full' ? 'pragma integrity_check(20)' : 'pragma quick_check(20)'
      const problems = sqlite.prepare<[], string>(check).pluck().all()
      const damage = problems.filter((text) => text !== 'ok').map((text) => text.replaceAll(/\s+/g, ' '))
      const broken = sqlite.prepare<[], { table: string; parent: string }>('pragma foreign_key_check').all()
      const rows = broken.slice(0, 20).map(({ table, parent }) => `a row of ${table} refers to nothing in ${parent}`)
      return [...damage, ...new Set(rows)]
    })
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)]
  }
}

function withSqlite<T>(path: string, read: (sqlite: Sqlite.Database) => T): T {
  const sqlite = new Sqlite(path, { readonly: true, fileMustExist: true })
  try {
    return read(sqlite)
  } finally {
    sqlite.close()
  }
}

export interface BlobFact {
  readonly digest: string
  readonly sizeBytes: number
}

/** Every blob that a database names, in the order of the digests; the file stays open meanwhile. */
export function* blobsIn(path: string): Generator<BlobFact, void, undefined> {
  const sqlite = new Sqlite(path, { readonly: true, fileMustExist: true })
  try {
    yield* sqlite.prepare<[], BlobFact>('select digest, size_bytes as sizeBytes from blob order by digest').iterate()
  } finally {
    sqlite.close()
  }
}

/** Answers for many digests whether any of some databases names them. */
export class BlobQuestions {
  readonly #databases: { sqlite: Sqlite.Database; statement: Sqlite.Statement<[string]> }[] = []

  /** @throws when one cannot be read: nobody may act on half an answer */
  constructor(paths: readonly string[]) {
    try {
      for (const path of paths) {
        const sqlite = new Sqlite(path, { readonly: true, fileMustExist: true })
        this.#databases.push({ sqlite, statement: sqlite.prepare<[string]>('select 1 from blob where digest = ?') })
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  isNamed(digest: string): boolean {
    return this.#databases.some(({ statement }) => statement.get(digest) !== undefined)
  }

  close(): void {
    for (const { sqlite } of this.#databases) sqlite.close()
  }
}
