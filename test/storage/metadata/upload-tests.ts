/** Upload sessions: one account's, one writer's at a time, never ended while anything moves on them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  claimSession,
  createSession,
  deleteExpiredSession,
  deleteSession,
  findSession,
  forgetDigests,
  hasSessions,
  keepSession,
  knownSessions,
  listExpiredSessions,
  releaseSession,
  releaseWriters,
  type SessionKey,
} from '../../../storage/metadata/uploads.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { repositoryName, sha256Of } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const key: SessionKey = { id: 's1', repository: repositoryName('team/app'), accountId: null }

async function start(database: Database, { id = 's1', nowMs = 100, accountId = null as number | null } = {}): Promise<void> {
  await database.writeRelaxed((tx) => createSession(tx, { ...key, id, accountId, algorithm: 'sha256', nowMs }))
}

async function addAccount(database: Database, name: string): Promise<number> {
  const row = { name, password_hash: '', is_admin: 0, created_at_ms: 1 }
  const { id } = await database.write((tx) => tx.insertInto('account').values(row).returning('id').executeTakeFirstOrThrow())
  return id
}

const claim = (database: Database, writer: string, nowMs: number): Promise<boolean> =>
  database.writeRelaxed((tx) => claimSession(tx, { id: 's1', writer, nowMs, untilMs: nowMs + 60 }))
const keep = (database: Database, writer: string, nowMs: number): Promise<boolean> =>
  database.writeRelaxed((tx) => keepSession(tx, { id: 's1', writer, nowMs, untilMs: nowMs + 60 }))
const release = (database: Database, writer: string, nowMs: number): Promise<boolean> =>
  database.writeRelaxed((tx) => releaseSession(tx, { id: 's1', writer, nowMs, bytesStored: 42, digestSoFar: sha256Of('so far') }))
const row = (database: Database) => database.read.selectFrom('upload_session').selectAll().where('id', '=', 's1').executeTakeFirstOrThrow()
const expired = (database: Database, beforeMs: number, nowMs: number): Promise<string[]> =>
  listExpiredSessions(database.read, { beforeMs, nowMs, limit: 10 })

export function uploadTests(create: MetadataFactory): void {
  test('a new session is empty and held by nobody', async (t) => {
    const { database } = await create(t)
    await start(database)
    assert.deepEqual(await findSession(database.read, key), {
      id: 's1',
      repository: 'team/app',
      account_id: null,
      bytes_stored: 0,
      algorithm: 'sha256',
      digest_so_far: null,
    })
    const { writer, writer_until_ms, started_at_ms, updated_at_ms } = await row(database)
    assert.deepEqual([writer, writer_until_ms, started_at_ms, updated_at_ms], [null, 0, 100, 100])
  })

  test('a session is found only with its own repository and its own account', async (t) => {
    const { database } = await create(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    await start(database, { accountId: alice })
    await start(database, { id: 'anonymous' })
    assert.ok(await findSession(database.read, { ...key, accountId: alice }))
    assert.ok(await findSession(database.read, { ...key, id: 'anonymous' }))
    for (const other of [
      { ...key, accountId: bob },
      { ...key, accountId: null },
      { ...key, accountId: alice, repository: repositoryName('team/other') },
      { ...key, accountId: alice, id: 's2' },
      { ...key, id: 'anonymous', accountId: alice },
    ]) {
      assert.equal(await findSession(database.read, other), undefined)
    }
  })

  test('whether an account has so many sessions, counted for each account and for nobody apart', async (t) => {
    const { database } = await create(t)
    const alice = await addAccount(database, 'alice')
    for (const id of ['a', 'b', 'c']) await start(database, { id, accountId: alice })
    await start(database, { id: 'd' })
    assert.deepEqual(await Promise.all([1, 3, 4].map((count) => hasSessions(database.read, alice, count))), [true, true, false])
    assert.deepEqual(await Promise.all([1, 2].map((count) => hasSessions(database.read, null, count))), [true, false])
    assert.equal(await hasSessions(database.read, alice + 1, 1), false)
  })

  test('one writer holds a session, until it lets go', async (t) => {
    const { database } = await create(t)
    await start(database)
    assert.equal(await claim(database, 'one', 200), true)
    assert.equal(await claim(database, 'two', 210), false)
    assert.equal(await claim(database, 'one', 210), false, 'not even for another request of the same name')
    assert.equal(await release(database, 'one', 220), true)
    assert.equal(await claim(database, 'two', 221), true)
    assert.equal(await database.writeRelaxed((tx) => claimSession(tx, { id: 'none', writer: 'x', nowMs: 1, untilMs: 2 })), false)
  })

  test('what a writer says when it lets go is what the next one finds', async (t) => {
    const { database } = await create(t)
    await start(database)
    await claim(database, 'one', 200)
    await release(database, 'one', 220)
    const session = await findSession(database.read, key)
    assert.deepEqual([session?.bytes_stored, session?.digest_so_far], [42, sha256Of('so far')])
    const { writer, writer_until_ms, updated_at_ms } = await row(database)
    assert.deepEqual([writer, writer_until_ms, updated_at_ms], [null, 0, 220])
  })

  test('a claim that ran out can be taken over, not a moment earlier', async (t) => {
    const { database } = await create(t)
    await start(database)
    await claim(database, 'one', 200)
    assert.equal(await claim(database, 'two', 260), false)
    assert.equal(await claim(database, 'two', 261), true)
  })

  test('a writer that shows signs of life keeps its claim and the session', async (t) => {
    const { database } = await create(t)
    await start(database)
    await claim(database, 'one', 200)
    assert.equal(await keep(database, 'one', 250), true)
    assert.equal(await claim(database, 'two', 300), false)
    assert.equal((await row(database)).updated_at_ms, 250)
  })

  test('a writer whose session was taken over changes nothing any more', async (t) => {
    const { database } = await create(t)
    await start(database)
    await claim(database, 'one', 200)
    await claim(database, 'two', 300)
    const before = await row(database)
    assert.equal(await keep(database, 'one', 310), false)
    assert.equal(await release(database, 'one', 310), false)
    assert.deepEqual(await row(database), before)
  })

  test('of two handles that claim at once, exactly one gets the session', async (t) => {
    const { database, openAnother } = await create(t)
    const other = openAnother()
    for (let round = 0; round < 20; round++) {
      await database.writeRelaxed((tx) => deleteSession(tx, 's1'))
      await start(database)
      const claims = await Promise.all([claim(database, 'one', 200), claim(other, 'two', 200), claim(database, 'three', 200)])
      assert.equal(claims.filter(Boolean).length, 1)
    }
  })

  test('a session can be deleted once', async (t) => {
    const { database } = await create(t)
    await start(database)
    assert.equal(await database.writeRelaxed((tx) => deleteSession(tx, 's1')), true)
    assert.equal(await database.writeRelaxed((tx) => deleteSession(tx, 's1')), false)
    assert.equal(await findSession(database.read, key), undefined)
  })

  test('sessions on which nothing moved are expired, those that were touched since are not', async (t) => {
    const { database } = await create(t)
    for (const [id, nowMs] of [
      ['newer', 120],
      ['oldest', 90],
      ['older', 100],
    ] as const) {
      await start(database, { id, nowMs })
    }
    assert.deepEqual(await expired(database, 120, 500), ['oldest', 'older'])
    assert.deepEqual(await listExpiredSessions(database.read, { beforeMs: 500, nowMs: 500, limit: 2 }), ['oldest', 'older'])
    assert.deepEqual(await expired(database, 90, 500), [])
  })

  test('a session that a request holds is never expired, however old', async (t) => {
    const { database } = await create(t)
    await start(database)
    await claim(database, 'one', 1000)
    assert.deepEqual(await expired(database, 5000, 1050), [])
    const end = { id: 's1', beforeMs: 5000, nowMs: 1050 }
    assert.equal(await database.writeRelaxed((tx) => deleteExpiredSession(tx, end)), false)
    assert.deepEqual(await expired(database, 5000, 1061), ['s1'])
  })

  test('a session that moved after it was listed is not deleted', async (t) => {
    const { database } = await create(t)
    await start(database)
    assert.deepEqual(await expired(database, 200, 300), ['s1'])
    await claim(database, 'one', 290)
    await release(database, 'one', 295)
    const end = (beforeMs: number) => database.writeRelaxed((tx) => deleteExpiredSession(tx, { id: 's1', beforeMs, nowMs: 300 }))
    assert.equal(await end(200), false)
    assert.equal(await end(296), true)
    assert.equal(await end(296), false)
  })

  test('which ids are sessions', async (t) => {
    const { database } = await create(t)
    for (const id of ['a', 'b', 'c']) await start(database, { id })
    assert.deepEqual(await knownSessions(database.read, ['a', 'c', 'x', 'A']), new Set(['a', 'c']))
    assert.deepEqual(await knownSessions(database.read, []), new Set())
  })

  test('what a process held when it died is free at once, and only that', async (t) => {
    const { database } = await create(t)
    for (const [id, writer] of [
      ['a', 'p1:x'],
      ['b', 'p1:y'],
      ['c', 'p10:x'],
      ['d', undefined],
    ] as const) {
      await start(database, { id })
      if (writer) await database.writeRelaxed((tx) => claimSession(tx, { id, writer, nowMs: 200, untilMs: 260 }))
    }
    const writers = async () =>
      (await database.read.selectFrom('upload_session').select(['writer', 'writer_until_ms']).orderBy('id').execute()).map(
        (each) => `${each.writer ?? 'nobody'} ${each.writer_until_ms}`,
      )
    await database.writeRelaxed((tx) => releaseWriters(tx, 'p1:'))
    assert.deepEqual(await writers(), ['nobody 0', 'nobody 0', 'p10:x 260', 'nobody 0'])
    await database.writeRelaxed((tx) => releaseWriters(tx, ''))
    assert.deepEqual(await writers(), ['nobody 0', 'nobody 0', 'nobody 0', 'nobody 0'])
  })

  test('the digests of unfinished uploads can be forgotten, and nothing else with them', async (t) => {
    const { database } = await create(t)
    await start(database)
    await claim(database, 'one', 200)
    await release(database, 'one', 220)
    await database.writeRelaxed((tx) => forgetDigests(tx))
    const session = await findSession(database.read, key)
    assert.deepEqual([session?.bytes_stored, session?.digest_so_far], [42, null])
    assert.equal((await row(database)).updated_at_ms, 220)
  })
}
