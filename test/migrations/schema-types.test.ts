/** The tables as types, in storage/metadata/schema.ts, say what the database says: columns, what may be absent, what is made by itself. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { applyMigrations, readMigrations } from '../../storage/metadata/migrate.ts'

const source = readFileSync(new URL('../../storage/metadata/schema.ts', import.meta.url), 'utf8')

/** The members of an interface: name → type, as they are written. */
function membersOf(name: string): Record<string, string> {
  const body = new RegExp(`export interface ${name} \\{\\n(.*?)\\n\\}`, 's').exec(source)?.[1]
  assert.ok(body, `schema.ts has an interface ${name}`)
  return Object.fromEntries([...body.matchAll(/^ {2}(\w+): (.*)$/gm)].map(([, member, type]) => [member, type]))
}

interface Column {
  readonly name: string
  readonly type: string
  readonly notnull: number
  readonly dflt_value: string | null
  readonly pk: number
}

const sqlite = new Sqlite(':memory:')
applyMigrations(sqlite, readMigrations(), 0)
const tables = sqlite
  .prepare<[], { name: string; sql: string }>(
    "select name, sql from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by rowid",
  )
  .all()
  .filter(({ name }) => name !== 'migration')
const columnsOf = new Map(
  tables.map(({ name }) => [
    name,
    sqlite.prepare<[string], Column>('select name, type, "notnull", dflt_value, pk from pragma_table_info(?)').all(name),
  ]),
)
sqlite.close()

/** The type that a column must have. */
function typeOf(column: Column, sql: string): string {
  const plain = { integer: 'number', text: 'string', blob: 'Uint8Array' }[column.type.toLowerCase()]
  assert.ok(plain, `${column.name} is of a type that this test knows`)
  const values = new RegExp(`(?:^ +|, )${column.name} text [^,]*check \\(${column.name} in \\(([^)]*)\\)\\)`, 'm').exec(sql)?.[1]
  const type = values === undefined ? plain : values.split(', ').join(' | ')
  const isRowId = column.pk === 1 && column.type.toLowerCase() === 'integer' && !/\bprimary key \(/.test(sql)
  const isOptional = column.notnull === 0 && column.pk === 0
  if (isRowId || column.dflt_value !== null) return `Generated<${type}>`
  return isOptional ? `${type} | null` : type
}

suite('the types of the rows', () => {
  test('there is one for every table and none for another', () => {
    const schema = membersOf('Schema')
    assert.deepEqual(Object.keys(schema).toSorted(), tables.map(({ name }) => name).toSorted())
    for (const [table, type] of Object.entries(schema)) {
      const pascal = table.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())
      assert.equal(type, `${pascal}Table`)
    }
  })

  for (const { name, sql } of tables) {
    test(`the type of ${name} has its columns, in its order, with what may be absent or is made by itself`, () => {
      const expected = (columnsOf.get(name) ?? []).map((column) => [column.name, typeOf(column, sql)])
      assert.deepEqual(Object.entries(membersOf(membersOf('Schema')[name] ?? '')), expected)
    })
  }

  test('every table is strict, so that a column holds what its type says', () => {
    for (const { name, sql } of tables) assert.match(sql, /\) strict(?:, without rowid)?$/, name)
  })

  test('sizes and times have their unit in their name', () => {
    for (const [table, columns] of columnsOf) {
      for (const { name, type } of columns) {
        const isMeasure = type === 'integer' && /(?:^|_)(?:at|since|until|size|stored|time)(?:_|$)/.test(name)
        if (isMeasure) assert.match(name, /_ms$|^size_bytes$|^bytes_stored$/, `${table}.${name}`)
      }
    }
  })
})
