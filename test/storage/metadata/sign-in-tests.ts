/** Browser sessions and second factors as rows: found by digests, ended one by one or together, and no code taken twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accountByName, changeAccount, createAccount, deleteAccount } from '../../../storage/metadata/accounts.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import {
  clearSecondFactor,
  confirmTotp,
  countRecoveryCodes,
  findSecondFactor,
  setRecoveryCodes,
  setTotpSecret,
  takeRecoveryCode,
  takeTotpStep,
} from '../../../storage/metadata/second-factors.ts'
import {
  createSession,
  deleteExpiredSessions,
  deleteOldestSessions,
  deleteSession,
  deleteSessionBySecret,
  deleteSessionsOf,
  listSessions,
  markSeen,
  renewSession,
  sessionBySecret,
  type SessionRow,
} from '../../../storage/metadata/sessions.ts'
import type { MetadataFactory } from './metadata-store.ts'

/** @returns the account's id. */
async function addAccount(database: Database, name: string): Promise<number> {
  await database.write((tx) => createAccount(tx, { name, passwordHash: '', isAdmin: false, nowMs: 1 }))
  return (await accountByName.first(database.read, { name }))?.id ?? 0
}

const hashOf = (text: string): Buffer => Buffer.from(text.padEnd(32))

async function addSession(
  database: Database,
  accountId: number,
  { secret, expiresAtMs = 100 }: { secret: string; expiresAtMs?: number },
): Promise<SessionRow> {
  const session = { accountId, csrfToken: 'token', credentialVersion: 1, agent: 'browser', address: '10.0.0.1', nowMs: 5, expiresAtMs }
  return database.write((tx) => createSession(tx, { ...session, secretHash: hashOf(secret) }))
}

const find = (database: Database, secret: string) => database.prepare(sessionBySecret)({ secretHash: hashOf(secret) })
const idsOf = async (database: Database, accountId: number) => (await listSessions(database.read, accountId)).map(({ id }) => id)

export function sessionTests(open: MetadataFactory): void {
  test('a session is found by the digest of its secret and by nothing else', async (t) => {
    const { database } = await open(t)
    const accountId = await addAccount(database, 'alice')
    const row = await addSession(database, accountId, { secret: 'one' })
    assert.deepEqual(row, {
      id: row.id,
      account_id: accountId,
      csrf_token: 'token',
      credential_version: 1,
      agent: 'browser',
      address: '10.0.0.1',
      created_at_ms: 5,
      last_seen_at_ms: 5,
      expires_at_ms: 100,
    })
    assert.deepEqual(await find(database, 'one'), row)
    assert.equal(await find(database, 'two'), undefined)
  })

  test('what was seen last moves its end with it', async (t) => {
    const { database } = await open(t)
    const row = await addSession(database, await addAccount(database, 'alice'), { secret: 'one' })
    await database.write((tx) => markSeen(tx, { id: row.id, nowMs: 50, expiresAtMs: 150 }))
    assert.deepEqual(await find(database, 'one'), { ...row, last_seen_at_ms: 50, expires_at_ms: 150 })
  })

  test('an account ends one of its sessions, all but one, or all, and never those of another', async (t) => {
    const { database } = await open(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    const own = [
      await addSession(database, alice, { secret: 'a' }),
      await addSession(database, alice, { secret: 'b' }),
      await addSession(database, alice, { secret: 'c' }),
    ]
    const [first = 0, second = 0, third = 0] = own.map(({ id }) => id)
    const other = await addSession(database, bob, { secret: 'd' })
    assert.equal(await database.write((tx) => deleteSession(tx, { id: other.id, accountId: alice })), false)
    assert.equal(await database.write((tx) => deleteSession(tx, { id: first, accountId: alice })), true)
    assert.deepEqual(await idsOf(database, alice), [third, second], 'the newest first')
    assert.equal(await database.write((tx) => deleteSessionsOf(tx, { accountId: alice, exceptId: second })), 1)
    assert.deepEqual(await idsOf(database, alice), [second])
    assert.equal(await database.write((tx) => deleteSessionsOf(tx, { accountId: alice, exceptId: undefined })), 1)
    await database.write((tx) => deleteSessionBySecret(tx, hashOf('nobody has this')))
    assert.deepEqual([await idsOf(database, alice), await idsOf(database, bob)], [[], [other.id]])
    await database.write((tx) => deleteSessionBySecret(tx, hashOf('d')))
    assert.deepEqual(await idsOf(database, bob), [])
  })

  test('the oldest make room, the expired are removed, and those of an account go with it', async (t) => {
    const { database } = await open(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    const rows: SessionRow[] = []
    for (let index = 0; index < 5; index++) rows.push(await addSession(database, alice, { secret: `a${index}`, expiresAtMs: 100 + index }))
    const other = await addSession(database, bob, { secret: 'b', expiresAtMs: 102 })
    await database.write((tx) => deleteOldestSessions(tx, { accountId: alice, keep: 5 }))
    assert.equal((await idsOf(database, alice)).length, 5)
    await database.write((tx) => deleteOldestSessions(tx, { accountId: alice, keep: 3 }))
    assert.deepEqual(
      await idsOf(database, alice),
      rows
        .slice(2)
        .map(({ id }) => id)
        .toReversed(),
    )
    assert.equal(await database.write((tx) => deleteExpiredSessions(tx, 102)), 2)
    assert.deepEqual([(await idsOf(database, alice)).length, await idsOf(database, bob)], [2, []])
    assert.ok(other.id > 0)
    await database.write((tx) => deleteAccount(tx, 'alice'))
    assert.deepEqual(await idsOf(database, alice), [])
  })

  test('a session that is kept gets the version of its account', async (t) => {
    const { database } = await open(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    const row = await addSession(database, alice, { secret: 'a' })
    await database.write((tx) => changeAccount(tx, 'alice', { isAdmin: true }))
    await database.write((tx) => renewSession(tx, { id: row.id, accountId: bob }))
    assert.equal((await find(database, 'a'))?.credential_version, 1)
    await database.write((tx) => renewSession(tx, { id: row.id, accountId: alice }))
    assert.equal((await find(database, 'a'))?.credential_version, 2)
  })
}

export function secondFactorTests(open: MetadataFactory): void {
  const versionOf = async (database: Database) => (await accountByName.first(database.read, { name: 'alice' }))?.credential_version

  test('a secret counts once it is confirmed, and is not replaced then', async (t) => {
    const { database } = await open(t)
    const accountId = await addAccount(database, 'alice')
    assert.equal(await database.write((tx) => confirmTotp(tx, { accountId, step: 5 })), false, 'there is none')
    for (const secret of ['one', 'two']) assert.equal(await database.write((tx) => setTotpSecret(tx, { accountId, secret })), true)
    assert.deepEqual(await findSecondFactor(database.read, accountId), { totp_secret: 'two', totp_confirmed: 0, totp_last_step: 0 })
    assert.equal(await database.write((tx) => takeTotpStep(tx, { accountId, step: 7 })), false, 'not confirmed')
    assert.equal(await versionOf(database), 1)
    assert.equal(await database.write((tx) => confirmTotp(tx, { accountId, step: 5 })), true)
    assert.equal(await versionOf(database), 2)
    assert.equal(await database.write((tx) => confirmTotp(tx, { accountId, step: 6 })), false)
    assert.equal(await database.write((tx) => setTotpSecret(tx, { accountId, secret: 'three' })), false)
    assert.deepEqual(await findSecondFactor(database.read, accountId), { totp_secret: 'two', totp_confirmed: 1, totp_last_step: 5 })
    assert.equal(await findSecondFactor(database.read, 404), undefined)
  })

  test('a step is taken once, from whichever handle, and none before it any more', async (t) => {
    const { database, openAnother } = await open(t)
    const accountId = await addAccount(database, 'alice')
    await database.write((tx) => setTotpSecret(tx, { accountId, secret: 'one' }))
    await database.write((tx) => confirmTotp(tx, { accountId, step: 5 }))
    const handles = [database, openAnother(), database, openAnother()]
    const taken = await Promise.all(handles.map((each) => each.write((tx) => takeTotpStep(tx, { accountId, step: 6 }))))
    assert.equal(taken.filter(Boolean).length, 1)
    for (const step of [5, 6]) assert.equal(await database.write((tx) => takeTotpStep(tx, { accountId, step })), false)
    assert.equal(await database.write((tx) => takeTotpStep(tx, { accountId, step: 8 })), true)
  })

  test('a recovery code is taken once; new ones take the place of the old; all go with the second factor', async (t) => {
    const { database } = await open(t)
    const [accountId, other] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    await database.write((tx) => setTotpSecret(tx, { accountId, secret: 'one' }))
    await database.write((tx) => setRecoveryCodes(tx, { accountId, hashes: [hashOf('old')] }))
    await database.write((tx) => setRecoveryCodes(tx, { accountId, hashes: [hashOf('a'), hashOf('b')] }))
    const take = (id: number, text: string) => database.write((tx) => takeRecoveryCode(tx, { accountId: id, hash: hashOf(text) }))
    assert.deepEqual(
      [await take(accountId, 'old'), await take(other, 'a'), await take(accountId, 'a'), await take(accountId, 'a')],
      [false, false, true, false],
    )
    assert.equal(await countRecoveryCodes(database.read, accountId), 1)
    assert.equal(await database.write((tx) => clearSecondFactor(tx, accountId)), true)
    assert.equal(await countRecoveryCodes(database.read, accountId), 0)
    assert.equal(await versionOf(database), 2)
    assert.equal(await database.write((tx) => clearSecondFactor(tx, accountId)), false)
    assert.equal(await versionOf(database), 2)
  })
}
