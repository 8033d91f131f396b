/** Statements that are built once: their values by name, their text remembered, nothing in them that belongs to one database. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { Statement } from '../../storage/metadata/statement.ts'
import { emptyDataFolder } from '../support/data-folder.ts'
import { addRepository } from '../support/metadata-rows.ts'

async function open(t: TestContext): Promise<Database> {
  const layout = emptyDataFolder(t)
  await migrate(layout, 0)
  const database = Database.open(layout.database)
  t.after(() => database.close())
  return database
}

const between = new Statement<{ low: string; high: string }, { name: string }>((db, value) =>
  db
    .selectFrom('repository')
    .select('name')
    .where('name', '>', value('low'))
    .where('name', '<', value('high'))
    .where('name', '!=', value('low'))
    .orderBy('name'),
)

const renameAll = new Statement<{ text: string }>((db, value) => db.updateTable('repository').set({ description: value('text') }))

suite('statements', () => {
  test('values are taken by name, also one that stands twice', async (t) => {
    const database = await open(t)
    for (const name of ['a', 'b', 'c']) await addRepository(database, name)
    assert.deepEqual(await between.first(database.read, { high: 'c', low: 'a' }), { name: 'b' })
    assert.equal(await between.first(database.read, { low: 'b', high: 'c' }), undefined)
    assert.deepEqual(await database.prepare(between)({ high: 'd', low: 'b' }), { name: 'c' })
  })

  test('running one tells how many rows it changed', async (t) => {
    const database = await open(t)
    for (const name of ['a', 'b', 'c']) await addRepository(database, name)
    assert.equal(await database.write((tx) => renameAll.run(tx, { text: 'new' })), 3)
  })

  test('the same statement serves several databases, each with its own rows', async (t) => {
    const [one, two] = [await open(t), await open(t)]
    await addRepository(one, 'only-in-one')
    await addRepository(two, 'only-in-two')
    const values = { low: 'a', high: 'z' }
    assert.deepEqual(await between.first(one.read, values), { name: 'only-in-one' })
    assert.deepEqual(await between.first(two.read, values), { name: 'only-in-two' })
  })

  test('its text is built once', async (t) => {
    const database = await open(t)
    let built = 0
    const counted = new Statement<{ name: string }, { id: number }>((db, value) => {
      built++
      return db.selectFrom('repository').select('id').where('name', '=', value('name'))
    })
    for (const name of ['a', 'b', 'c']) await counted.first(database.read, { name })
    await database.write((tx) => counted.first(tx, { name: 'a' }))
    assert.equal(built, 1)
  })

  test('a value without a name is refused, because it would stay what it was the first time', async (t) => {
    const database = await open(t)
    const careless = new Statement<object, object>((db) => db.selectFrom('repository').select('id').where('name', '=', 'fixed'))
    assert.throws(() => database.prepare(careless), /a statement's values must be named, this one is not: select "id"/)
  })
})
