/**
 * Costs grow with the answer, not with the store: no query reads a table from end to end or sorts what an index could give in order.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, before, suite, test, mock } from 'node:test'
import Sqlite from 'better-sqlite3'
import { Database } from '../../storage/metadata/database.ts'
import * as manifests from '../../storage/metadata/manifests.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { Statement } from '../../storage/metadata/statement.ts'
import { emptyDataFolder } from '../support/data-folder.ts'
import { everyQuery, fillStore, queryModules } from './metadata/every-query.ts'

/** Why a query may read everything after all. One whose plan has become better is to be taken off this list. */
const allowed: Readonly<Record<string, string>> = {
  'repositories.searchRepositories': 'a part of a name has no index; it is asked for by people, and names are short',
  'manifests.contentSize': 'it goes through what it gathered itself, which has a limit',
  'scrubs.damagedNeed': 'it goes through what it gathered itself, which has a limit, and through no more than one of what is damaged',
  'audit.listAuditEvents': 'it sorts rows of which it has made sure that there are few; it scans none, which a test below looks at',
  'accounts.hasAccounts': 'it has no condition: the first row ends it',
  'trash.queueWaiting': 'it takes the first of an index that holds nothing else, as many as it is told to',
  'uploads.releaseWriters': 'once at a start and once when a worker died; an index on the writer would cost every upload two writes',
  'usage.totalLinkedBytes':
    'for whoever asks for metrics, over one small row for each repository: a sum in one row would cost every push a write',
  'uploads.forgetDigests': 'once at a start, over the unfinished uploads alone',
}

/** Modules of storage/metadata that have no query of their own. */
const withoutQueries = ['database', 'log-sync', 'migrate', 'repository-filter', 'schema', 'schema-file', 'statement']

/** The plan's steps that cost more than the answer. A list that is bound as one value is read from end to end, and no table. */
function expensiveSteps(sqlite: Sqlite.Database, sql: string): string[] {
  const parameters = sql.split('?').length - 1
  const plan = sqlite
    .prepare<unknown[], { detail: string }>(`explain query plan ${sql}`)
    .all(...Array.from({ length: parameters }, () => null))
  return plan.map((step) => step.detail).filter((detail) => /^SCAN (?!CONSTANT ROW|\w+ (?:EXISTS )?VIRTUAL TABLE)|TEMP B-TREE/.test(detail))
}

suite('query plans', () => {
  const ends: (() => unknown)[] = []
  /** `module.export` → its expensive steps, and how many queries it ran. */
  const found = new Map<string, { queries: number; expensive: string[] }>()
  let sqlite: Sqlite.Database

  before(async () => {
    const layout = emptyDataFolder({ after: (end) => void ends.push(end as () => unknown) })
    await migrate(layout, 0)
    sqlite = new Sqlite(layout.database)
    const filling = Database.open(layout.database)
    await fillStore(filling)
    await filling.close()
    for (const [name, call] of Object.entries(everyQuery)) {
      // A handle of its own for each, because a handle prepares a text only once.
      const database = Database.open(layout.database)
      const texts = await preparedBy(() => call(database))
      await database.close()
      const queries = [...new Set(texts)].filter((text) => /^(?:with|select|insert|update|delete)\b/i.test(text))
      found.set(name, { queries: queries.length, expensive: queries.flatMap((text) => expensiveSteps(sqlite, text)) })
    }
  })

  after(() => {
    sqlite.close()
    for (const end of ends) end()
  })

  test('every module, function and statement that asks for rows is looked at', () => {
    const files = readdirSync(new URL('../../storage/metadata/', import.meta.url)).map((file) => file.replace('.ts', ''))
    assert.deepEqual(files.filter((file) => !withoutQueries.includes(file)).toSorted(), Object.keys(queryModules).toSorted())
    const exports = Object.entries(queryModules).flatMap(([module, values]) =>
      Object.entries(values).flatMap(([name, value]) =>
        typeof value === 'function' || value instanceof Statement ? `${module}.${name}` : [],
      ),
    )
    assert.deepEqual(Object.keys(everyQuery).toSorted(), exports.toSorted())
  })

  for (const name of Object.keys(everyQuery)) {
    const reason = allowed[name]
    test(reason === undefined ? `${name} reads by an index what it answers` : `${name} may read everything: ${reason}`, () => {
      const { queries, expensive } = found.get(name) ?? { queries: 0, expensive: [] }
      assert.ok(queries > 0, 'it ran a query')
      if (reason === undefined) assert.deepEqual(expensive, [])
      else assert.notDeepEqual(expensive, [], 'it does not, so it needs no permission')
    })
  }

  test('the references of a manifest are found by it, not among all of the repository', () => {
    const reading = Database.open(sqlite.name)
    const { sql, names } = manifests.contentSize.textFor(reading.read)
    const plan = sqlite
      .prepare<unknown[], { detail: string }>(`explain query plan ${sql}`)
      .all(...names.map(() => null))
      .map(({ detail }) => detail)
    assert.ok(plan.includes('SEARCH reference USING PRIMARY KEY (repository_id=? AND manifest_digest=?)'), plan.join('\n'))
    return reading.close()
  })

  test('a list of the audit log sorts where it may, and scans nothing', () => {
    const { expensive = [] } = found.get('audit.listAuditEvents') ?? {}
    assert.deepEqual([...new Set(expensive)], ['USE TEMP B-TREE FOR ORDER BY'])
  })

  test('a scan and a sort would be noticed', () => {
    assert.deepEqual(expensiveSteps(sqlite, 'select * from tag where set_by = ?'), ['SCAN tag'])
    assert.deepEqual(expensiveSteps(sqlite, 'select * from tag where repository_id = ? order by set_by'), ['USE TEMP B-TREE FOR ORDER BY'])
  })

  test('what a deleted row takes with it is found by an index', () => {
    const tables = sqlite.prepare<[], string>("select name from sqlite_schema where type = 'table'").pluck().all()
    const missing: string[] = []
    for (const table of tables) {
      for (const columns of foreignKeysOf(sqlite, table))
        if (!isIndexed(sqlite, table, columns)) missing.push(`${table} (${columns.join(', ')})`)
    }
    assert.deepEqual(missing, [])
  })
})

/** The texts that were prepared on any connection while `call` ran. */
async function preparedBy(call: () => Promise<unknown>): Promise<string[]> {
  const texts: string[] = []
  const { prototype } = Sqlite as unknown as { prototype: { prepare: (this: Sqlite.Database, text: string) => unknown } }
  const { prepare } = prototype
  const watched = mock.method(prototype, 'prepare', function watch(this: Sqlite.Database, text: string) {
    texts.push(text)
    return prepare.call(this, text)
  })
  try {
    await call()
    return texts
  } finally {
    watched.mock.restore()
  }
}

function foreignKeysOf(sqlite: Sqlite.Database, table: string): string[][] {
  const rows = sqlite
    .prepare<[string], { id: number; from: string }>('select id, "from" from pragma_foreign_key_list(?) order by id, seq')
    .all(table)
  // With the number of a repository, whatever else a key has is found among the rows of that one repository.
  const findable = (columns: string[]) => (columns.includes('repository_id') && table === 'blob_link' ? ['repository_id'] : columns)
  return [...Map.groupBy(rows, (row) => row.id).values()].map((key) => findable(key.map((row) => row.from)))
}

/** Whether the columns are the first ones of an index over all rows, or over all where one of them is not null: null refers to nothing. */
function isIndexed(sqlite: Sqlite.Database, table: string, columns: readonly string[]): boolean {
  const indexes = sqlite
    .prepare<[string], { name: string; partial: number; sql: string | null }>(
      'select list.name, partial, sql from pragma_index_list(?) as list left join sqlite_schema on sqlite_schema.name = list.name',
    )
    .all(table)
    .filter(({ partial, sql }) => partial === 0 || columns.includes(/ where (\w+) is not null$/.exec(sql ?? '')?.[1] ?? ''))
    .map(({ name }) => name)
  const rowId = sqlite
    .prepare<[string], string>("select name from pragma_table_info(?) where pk = 1 and type = 'INTEGER' collate nocase")
    .pluck()
    .get(table)
  if (columns.length === 1 && columns[0] === rowId && indexes.every((name) => !name.startsWith('sqlite_autoindex'))) return true
  return indexes.some((index) => {
    const first = sqlite.prepare<[string], string>('select name from pragma_index_info(?) order by seqno').pluck().all(index)
    return columns.every((column) => first.slice(0, columns.length).includes(column))
  })
}
