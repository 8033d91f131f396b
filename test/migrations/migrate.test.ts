/** Bringing a database to the newest schema: forward, whole steps only, never without a copy, and hands off what is not ours. */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite, test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'
import { isMigrated, migrate, readMigrations, SchemaError, type Migration } from '../../storage/metadata/migrate.ts'
import { bytesBelow } from '../support/bytes-below.ts'
import { emptyDataFolder, type Cleanup } from '../support/data-folder.ts'
import { failureOf } from '../support/refusal.ts'

const shipped = readMigrations()
const now = Date.UTC(2026, 10, 24, 12)

/** Steps that come after the shipped ones. */
function withSteps(...steps: readonly string[]): Migration[] {
  return [...shipped, ...steps.map((sql, index) => ({ version: shipped.length + 1 + index, name: `step-${index}`, sql }))]
}

function look<T>(path: string, sql: string): T[] {
  const sqlite = new Sqlite(path, { readonly: true })
  try {
    return sqlite.prepare<[], T>(sql).all()
  } finally {
    sqlite.close()
  }
}

function versionsIn(path: string): number[] {
  return look<{ version: number }>(path, 'select version from migration order by version').map((row) => row.version)
}

/** The files of a folder, without the two that SQLite makes for everyone who reads: the index of the log, and a log of nothing. */
function contentBelow(folder: string): Record<string, string> {
  const { 'lanyard.db-shm': _index, 'lanyard.db-wal': log, ...files } = bytesBelow(folder)
  return log === undefined || log === hashOfNothing ? files : { ...files, 'lanyard.db-wal': log }
}

const hashOfNothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** A database of the shipped schema with a repository, a blob and the link between them. */
async function usedFolder(t: Cleanup): Promise<DataLayout> {
  const layout = emptyDataFolder(t)
  await migrate(layout, now)
  const sqlite = new Sqlite(layout.database)
  sqlite.exec(`
    insert into repository (id, name, namespace, visibility, created_at_ms) values (7, 'team/app', 'team', 'private', 1);
    insert into blob (digest, size_bytes, stored_at_ms, leased_at_ms) values ('sha256:aa', 5, 1, 1);
    insert into blob_link (repository_id, digest, linked_at_ms, namespace_id) values (7, 'sha256:aa', 1, 0);
  `)
  sqlite.close()
  return layout
}

suite('taking the steps', () => {
  test('a new folder takes all of them and notes when', async (t) => {
    const layout = emptyDataFolder(t)
    const steps = withSteps('create table more (x integer) strict')
    assert.deepEqual(await migrate(layout, now, steps), { from: 0, to: steps.length, snapshot: undefined })
    const rows = look(layout.database, 'select version, name, applied_at_ms from migration order by version')
    assert.deepEqual(
      rows,
      steps.map(({ version, name }) => ({ version, name, applied_at_ms: now })),
    )
    assert.equal(look(layout.database, 'select * from more').length, 0)
    assert.ok(!existsSync(layout.snapshots), 'there was nothing to lose')
  })

  test('an empty file counts as a new database', async (t) => {
    const layout = emptyDataFolder(t)
    writeFileSync(layout.database, '')
    assert.deepEqual(await migrate(layout, now), { from: 0, to: shipped.length, snapshot: undefined })
  })

  test('a database that is current is not touched at all', async (t) => {
    const layout = await usedFolder(t)
    const before = contentBelow(layout.root)
    assert.deepEqual(await migrate(layout, now + 1), { from: shipped.length, to: shipped.length, snapshot: undefined })
    assert.deepEqual(contentBelow(layout.root), before)
  })

  test('a database takes only the steps that it has not taken', async (t) => {
    const layout = await usedFolder(t)
    const steps = withSteps("alter table repository add column note text not null default 'none'")
    const report = await migrate(layout, now + 1, steps)
    assert.deepEqual([report.from, report.to], [shipped.length, steps.length])
    assert.deepEqual(look(layout.database, 'select name, note from repository'), [{ name: 'team/app', note: 'none' }])
    assert.deepEqual(
      look(layout.database, 'select applied_at_ms from migration order by version').map(
        (row) => (row as { applied_at_ms: number }).applied_at_ms,
      ),
      [...shipped.map(() => now), now + 1],
    )
  })

  test('a step may replace a table without losing the rows that refer to it', async (t) => {
    const layout = await usedFolder(t)
    const replace = `
      create table fresh (id integer primary key autoincrement, name text not null unique, namespace text not null,
        visibility text not null, description text not null default '', created_at_ms integer not null, extra text,
        namespace_id integer not null, unique (id, namespace_id)) strict;
      insert into fresh select id, name, namespace, visibility, description, created_at_ms, 'kept', namespace_id from repository;
      drop table repository;
      alter table fresh rename to repository;`
    await migrate(layout, now, withSteps(replace))
    assert.deepEqual(look(layout.database, 'select repository_id, digest from blob_link'), [{ repository_id: 7, digest: 'sha256:aa' }])
    assert.deepEqual(look(layout.database, 'select id, extra from repository'), [{ id: 7, extra: 'kept' }])
    assert.deepEqual(look(layout.database, 'pragma foreign_key_check'), [])
  })
})

suite('steps that fail', () => {
  test('a step that fails in its middle leaves the database as it was before that step', async (t) => {
    const layout = await usedFolder(t)
    const before = look(layout.database, 'select type, name, sql from sqlite_schema order by name')
    const steps = withSteps("create table more (x integer) strict; update repository set name = 'changed'; insert into nowhere values (1);")
    await assert.rejects(migrate(layout, now, steps), /nowhere/)
    assert.deepEqual(
      versionsIn(layout.database),
      shipped.map((step) => step.version),
    )
    assert.deepEqual(look(layout.database, 'select type, name, sql from sqlite_schema order by name'), before)
    assert.deepEqual(look(layout.database, 'select name from repository'), [{ name: 'team/app' }])
  })

  test('the steps before the one that failed stay, and the next start goes on behind them', async (t) => {
    const layout = await usedFolder(t)
    const good = 'create table second (x integer) strict'
    await assert.rejects(migrate(layout, now, withSteps(good, 'create table third (x integer) strict; nonsense')), /nonsense/)
    assert.deepEqual(versionsIn(layout.database), [...shipped.map((step) => step.version), shipped.length + 1])
    const steps = withSteps(good, 'create table third (x integer) strict')
    const report = await migrate(layout, now, steps)
    assert.equal(report.from, shipped.length + 1)
    assert.equal(look(layout.database, 'select * from third').length, 0)
  })

  test('a first step that fails leaves a database that is still new', async (t) => {
    const layout = emptyDataFolder(t)
    await assert.rejects(
      migrate(layout, now, [{ version: 1, name: 'bad', sql: 'create table a (x integer) strict; nonsense' }]),
      /nonsense/,
    )
    assert.deepEqual(look(layout.database, 'select name from sqlite_schema'), [])
    assert.equal((await migrate(layout, now)).from, 0)
  })

  test('a step that leaves rows referring to nothing is refused and undone', async (t) => {
    const layout = await usedFolder(t)
    const error = await failureOf(migrate(layout, now, withSteps('delete from repository')))
    assert.match(
      String(error),
      new RegExp(`migration ${shipped.length + 1} leaves rows of repository_usage that refer to nothing in repository`),
    )
    assert.deepEqual(look(layout.database, 'select name from repository'), [{ name: 'team/app' }])
  })
})

suite('the copy that is taken before', () => {
  test('it is a whole database of the old schema with everything that was in it', async (t) => {
    const layout = await usedFolder(t)
    const { snapshot = '' } = await migrate(layout, now, withSteps('drop table tag; alter table repository add column note text'))
    assert.equal(snapshot, join(layout.snapshots, `schema-${shipped.length}-2026-11-24T12-00-00-000Z.db`))
    assert.equal(statSync(layout.snapshots).mode & 0o777, 0o700)
    assert.deepEqual(look(snapshot, 'pragma integrity_check'), [{ integrity_check: 'ok' }])
    assert.deepEqual(
      versionsIn(snapshot),
      shipped.map((step) => step.version),
    )
    assert.deepEqual(look(snapshot, 'select name from repository'), [{ name: 'team/app' }])
    assert.equal(look(snapshot, 'select * from tag').length, 0)
    assert.deepEqual(
      look<{ name: string }>(snapshot, 'pragma table_info(repository)').filter((column) => column.name === 'note'),
      [],
    )
  })

  test('what stands only in the log is in it too', async (t) => {
    const layout = await usedFolder(t)
    const open = new Sqlite(layout.database)
    open.pragma('journal_mode = wal')
    open.pragma('wal_autocheckpoint = 0')
    open.exec("insert into account (name, password_hash, is_admin, created_at_ms) values ('only in the log', '', 0, 1)")
    const { snapshot = '' } = await migrate(layout, now, withSteps('select 1'))
    open.close()
    assert.deepEqual(look(snapshot, 'select name from account'), [{ name: 'only in the log' }])
  })

  test('the old program can go on with it', async (t) => {
    const layout = await usedFolder(t)
    const { snapshot = '' } = await migrate(layout, now, withSteps('drop table tag'))
    const older = emptyDataFolder(t)
    copyFileSync(snapshot, older.database)
    assert.deepEqual(await migrate(older, now), { from: shipped.length, to: shipped.length, snapshot: undefined })
  })

  test('half a copy, left by a process that was killed, never has its name and is gone after the next', async (t) => {
    const layout = await usedFolder(t)
    mkdirSync(layout.snapshots)
    writeFileSync(join(layout.snapshots, 'unfinished'), 'half a copy')
    writeFileSync(join(layout.snapshots, 'unfinished-journal'), 'and its journal')
    const { snapshot = '' } = await migrate(layout, now, withSteps('drop table tag'))
    assert.deepEqual(readdirSync(layout.snapshots), [basename(snapshot)])
    assert.deepEqual(look(snapshot, 'pragma integrity_check'), [{ integrity_check: 'ok' }])
  })

  test('it is there also when the step fails', async (t) => {
    const layout = await usedFolder(t)
    await assert.rejects(migrate(layout, now, withSteps('nonsense')))
    assert.equal(readdirSync(layout.snapshots).length, 1)
  })
})

/** A folder as a crash leaves it: the database and its log, copied while they are in use. */
function crashed(t: Cleanup, layout: DataLayout, use: (sqlite: Sqlite.Database) => void): DataLayout {
  const sqlite = new Sqlite(layout.database)
  use(sqlite)
  const copy = emptyDataFolder(t)
  for (const end of ['', '-wal', '-journal'])
    if (existsSync(layout.database + end)) copyFileSync(layout.database + end, copy.database + end)
  sqlite.close()
  return copy
}

suite('databases that are not for this program', () => {
  test('one of a newer version is refused with a sentence that says what to do, and not a byte of it changes', async (t) => {
    const layout = await usedFolder(t)
    await migrate(layout, now, withSteps('create table future (x integer) strict', 'select 1'))
    const before = contentBelow(layout.root)
    const error = await failureOf(migrate(layout, now))
    assert.ok(error instanceof SchemaError)
    assert.equal(
      error.message,
      `the data folder ${layout.root} was written by a newer version of Lanyard (schema ${shipped.length + 2}; this version knows ${shipped.length}): install that version again, or restore a snapshot from ${layout.snapshots}. Nothing was changed.`,
    )
    assert.deepEqual(contentBelow(layout.root), before)
  })

  test('one of a newer version that a crash left keeps its log too', async (t) => {
    const used = await usedFolder(t)
    const steps = withSteps('create table future (x integer) strict')
    const layout = crashed(t, used, (sqlite) => {
      sqlite.pragma('journal_mode = wal')
      sqlite.exec(`${steps.at(-1)?.sql}; insert into migration values (${steps.length}, 'future', 1)`)
    })
    const before = contentBelow(layout.root)
    assert.ok('lanyard.db-wal' in before)
    assert.ok((await failureOf(migrate(layout, now))) instanceof SchemaError)
    assert.deepEqual(contentBelow(layout.root), before)
  })

  const another = 'is not a Lanyard database: point the data setting to another folder. Nothing was changed.'
  const damaged =
    'is damaged or no database: bring it back with "lanyard rebuild" or from a backup, or point the data setting to another folder. Nothing was changed.'
  const foreign: readonly (readonly [what: string, make: (path: string) => void, sentence: string])[] = [
    ['a database of another program', (path) => makeDatabase(path, 'create table notes (text)'), another],
    ['a database that has only a view', (path) => makeDatabase(path, 'create view v as select 1'), another],
    ['a database of another program that has migrations too', (path) => makeDatabase(path, 'create table migration (name)'), another],
    ['a text', (path) => writeFileSync(path, 'a text that is longer than the header of a database. '.repeat(20)), damaged],
    ['a short text', (path) => writeFileSync(path, 'not a database\n'), damaged],
    ['a database whose first page is overwritten', (path) => overwrite(path), damaged],
  ]
  for (const [what, make, sentence] of foreign) {
    test(`${what} is refused, and not a byte of it changes`, async (t) => {
      const layout = emptyDataFolder(t)
      make(layout.database)
      const before = bytesBelow(layout.root)
      const error = await failureOf(migrate(layout, now))
      assert.ok(error instanceof SchemaError, String(error))
      assert.equal(error.message, `${layout.database} ${sentence}`)
      assert.deepEqual(bytesBelow(layout.root), before)
    })
  }

  test('whether a database has the schema of this program can be asked without changing it', async (t) => {
    const layout = emptyDataFolder(t)
    assert.equal(isMigrated(layout), false)
    assert.ok(!existsSync(layout.database))
    await migrate(layout, now)
    assert.equal(isMigrated(layout), true)
    const newer = await usedFolder(t)
    await migrate(newer, now, withSteps('select 1'))
    const before = contentBelow(newer.root)
    assert.equal(isMigrated(newer), false)
    assert.deepEqual(contentBelow(newer.root), before)
  })

  test('a process that was killed while it made the file does not stop the next', async (t) => {
    const begun = emptyDataFolder(t)
    const layout = crashed(t, begun, (sqlite) => {
      sqlite.pragma('cache_size = 1')
      sqlite.exec('begin; create table t (x)')
      const insert = sqlite.prepare('insert into t values (?)')
      for (let count = 0; count < 300; count++) insert.run('x'.repeat(500))
    })
    assert.ok(existsSync(`${layout.database}-journal`))
    assert.deepEqual(await migrate(layout, now), { from: 0, to: shipped.length, snapshot: undefined })
  })
})

function makeDatabase(path: string, sql: string): void {
  const sqlite = new Sqlite(path)
  sqlite.exec(sql)
  sqlite.close()
}

function overwrite(path: string): void {
  makeDatabase(path, 'create table a (x); create table b (x)')
  const bytes = readFileSync(path)
  writeFileSync(path, bytes.fill(0xff, 100, 4000))
}

suite('the files of a folder of steps', () => {
  const read = (t: Cleanup, files: readonly string[]): Migration[] => {
    const { root } = dataLayout(join(emptyDataFolder(t).root, 'steps'))
    mkdirSync(root)
    for (const file of files) writeFileSync(join(root, file), `-- ${file}`)
    return readMigrations(root)
  }

  test('are taken by number, whatever their names', (t) => {
    assert.deepEqual(read(t, ['0002-a.sql', '0001-b.sql', '0003-c-d-1.sql']), [
      { version: 1, name: 'b', sql: '-- 0001-b.sql' },
      { version: 2, name: 'a', sql: '-- 0002-a.sql' },
      { version: 3, name: 'c-d-1', sql: '-- 0003-c-d-1.sql' },
    ])
  })

  test('may have the generated end state beside them', (t) => {
    assert.equal(read(t, ['0001-a.sql', 'schema.sql']).length, 1)
  })

  for (const [what, files] of [
    ['a gap', ['0001-a.sql', '0003-c.sql']],
    ['a number that is there twice', ['0001-a.sql', '0001-b.sql', '0002-c.sql']],
    ['no first one', ['0002-b.sql']],
    ['a zeroth one', ['0000-a.sql', '0001-b.sql']],
  ] as const) {
    test(`${what} is refused`, (t) => assert.throws(() => read(t, files), /migrations must be numbered without gaps: \d{4}-[a-c]\.sql/))
  }

  for (const file of ['0002_b.sql', '2-b.sql', '0002-B.sql', '0002-b.sql.orig', 'notes.txt', '0002-.sql']) {
    test(`${file} is refused instead of being skipped`, (t) => {
      assert.throws(() => read(t, ['0001-a.sql', file]), new RegExp(`not a migration: ${file.replaceAll('.', '\\.')}`))
    })
  }
})
