/** The rows in SQLite: the suite of every engine, and what is SQLite's own. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { sql } from 'kysely'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { emptyDataFolder } from '../support/data-folder.ts'
import { failureOf } from '../support/refusal.ts'
import { addRepository } from '../support/metadata-rows.ts'
import { metadataSuite } from './metadata-suite.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'

async function createStore(t: TestContext): Promise<MetadataStore> {
  const layout = emptyDataFolder(t)
  await migrate(layout, 0)
  const open = (): Database => {
    const database = Database.open(layout.database)
    t.after(() => database.close())
    return database
  }
  return { database: open(), openAnother: open, location: layout.database }
}

metadataSuite('SQLite', createStore)

suite("SQLite's own", () => {
  test('the log is written ahead, so that readers never wait for a writer', async (t) => {
    const { database } = await createStore(t)
    const { rows } = await sql<{ journal_mode: string }>`pragma journal_mode`.execute(database.read)
    assert.deepEqual(rows, [{ journal_mode: 'wal' }])
  })

  test('the connection for reading cannot write', async (t) => {
    const { database } = await createStore(t)
    const error = await failureOf(
      database.read.insertInto('blob').values({ digest: 'x', size_bytes: 0, stored_at_ms: 0, leased_at_ms: 0 }).execute(),
    )
    assert.match(String(error), /readonly/)
  })

  test('more different queries than are kept prepared give the same answers', async (t) => {
    const { database } = await createStore(t)
    const id = await addRepository(database, 'team/app')
    for (let count = 1; count <= 1100; count++) {
      const names = Array.from({ length: (count % 550) + 1 }, (_, index) => `n${index}`)
      const row = await database.read
        .selectFrom('repository')
        .select('id')
        .where('name', 'in', ['team/app', ...names])
        .executeTakeFirst()
      assert.equal(row?.id, id)
    }
  })

  test('a database that is not there is not made by opening it', async (t) => {
    const layout = emptyDataFolder(t)
    assert.throws(() => Database.open(layout.database), /unable to open database file|does not exist/)
  })
})
