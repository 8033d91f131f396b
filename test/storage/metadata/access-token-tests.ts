/** Access tokens and robots as rows: found with their accounts, listed by name, gone with them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  changeAccessToken,
  createAccessToken,
  deleteAccessTokensOf,
  deleteEndedAccessTokens,
  findAccessToken,
  holderById,
  holderBySecret,
  listAccessTokens,
  noteTokenUse,
  type NewAccessTokenRow,
} from '../../../storage/metadata/access-tokens.ts'
import { accountByName, createAccount, deleteAccount, listAccounts } from '../../../storage/metadata/accounts.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { ensureNamespace, namespaceByName } from '../../../storage/metadata/namespaces.ts'
import { createRobot, listRobots } from '../../../storage/metadata/robots.ts'
import type { MetadataFactory } from './metadata-store.ts'

const secretOf = (text: string): Buffer => Buffer.from(text.padEnd(32, '.'))

async function addAccount(database: Database, name: string): Promise<number> {
  await database.write((tx) => createAccount(tx, { name, passwordHash: 'h', isAdmin: false, nowMs: 1 }))
  return (await accountByName.first(database.read, { name }))?.id ?? 0
}

async function addToken(database: Database, accountId: number, facts: Partial<NewAccessTokenRow> & { name: string }): Promise<number> {
  const row = {
    account_id: accountId,
    secret_hash: secretOf(`${accountId} ${facts.name}`),
    hint: 'abcd',
    scopes: '[]',
    created_at_ms: 3,
    expires_at_ms: 9,
  }
  return database.write((tx) => createAccessToken(tx, { ...row, ...facts }))
}

/** Of the namespace team, which is made for it. */
async function addRobot(database: Database, name: string): Promise<number | undefined> {
  return database.write(async (tx) => {
    const { id: namespaceId } = await ensureNamespace(tx, { name: 'team', accountId: null, nowMs: 5 })
    return createRobot(tx, { name, namespaceId, passwordHash: '*', description: 'for CI', createdBy: 'alice', nowMs: 6 })
  })
}

export function accessTokenTests(open: MetadataFactory): void {
  test('a token is found by its secret and by its id, with everything of its account', async (t) => {
    const { database } = await open(t)
    const id = await addToken(database, await addAccount(database, 'alice'), { name: 'ci', scopes: '[1]' })
    const found = await holderBySecret.first(database.read, { secretHash: secretOf('1 ci') })
    const account = await accountByName.first(database.read, { name: 'alice' })
    const token = { token_id: id, token_name: 'ci', scopes: '[1]', expires_at_ms: 9, last_used_at_ms: null, revoked_at_ms: null }
    assert.deepEqual({ ...found }, { ...token, ...account })
    assert.deepEqual(await holderById.first(database.read, { id }), found)
    assert.equal(await holderById.first(database.read, { id: 404 }), undefined)
    for (const secret of ['1 c', '1 ci ', ''])
      assert.equal(await holderBySecret.first(database.read, { secretHash: Buffer.from(secret) }), undefined)
  })

  test('the token of a robot is found with the namespace that owns it', async (t) => {
    const { database } = await open(t)
    const id = await addToken(database, (await addRobot(database, 'team.ci')) ?? 0, { name: 'ci' })
    const found = await holderById.first(database.read, { id })
    assert.deepEqual([found?.name, found?.kind, found?.robot_of, found?.password_hash], ['team.ci', 'robot', 'team', '*'])
  })

  test('an account has one token of a name; another may have one too', async (t) => {
    const { database } = await open(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    const id = await addToken(database, alice, { name: 'ci' })
    await assert.rejects(addToken(database, alice, { name: 'ci', secret_hash: secretOf('other') }), /UNIQUE/)
    await assert.rejects(addToken(database, bob, { name: 'same secret', secret_hash: secretOf(`${alice} ci`) }), /UNIQUE/)
    await addToken(database, bob, { name: 'ci' })
    assert.equal((await findAccessToken(database.read, alice, 'ci'))?.id, id)
    assert.equal(await findAccessToken(database.read, alice, 'CI'), undefined)
  })

  test('a change changes what it names, of this token alone', async (t) => {
    const { database } = await open(t)
    const alice = await addAccount(database, 'alice')
    const [id, other] = [await addToken(database, alice, { name: 'ci' }), await addToken(database, alice, { name: 'other' })]
    const before = await findAccessToken(database.read, alice, 'other')
    const change = { name: 'ci~1', scopes: '[2]', expires_at_ms: null, revoked_at_ms: 7 }
    assert.equal(await database.write((tx) => changeAccessToken(tx, id, change)), true)
    const changed = await findAccessToken(database.read, alice, 'ci~1')
    assert.deepEqual(changed, { ...before, id, ...change })
    assert.deepEqual(await findAccessToken(database.read, alice, 'other'), before)
    assert.equal(await database.write((tx) => changeAccessToken(tx, other + 100, change)), false)
  })

  test('a use is noted unless another was a short time ago', async (t) => {
    const { database } = await open(t)
    const alice = await addAccount(database, 'alice')
    const id = await addToken(database, alice, { name: 'ci' })
    const note = (nowMs: number, from: string) => database.write((tx) => noteTokenUse.run(tx, { id, nowMs, from, beforeMs: nowMs - 60 }))
    const used = async () => {
      const row = await findAccessToken(database.read, alice, 'ci')
      return [row?.last_used_at_ms, row?.last_used_from]
    }
    assert.equal(await note(100, 'a'), 1)
    assert.equal(await note(159, 'b'), 0)
    assert.deepEqual(await used(), [100, 'a'])
    assert.equal(await note(160, 'c'), 1)
    assert.deepEqual(await used(), [160, 'c'])
  })

  test('tokens are listed by name, a page at a time, of one account', async (t) => {
    const { database } = await open(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    for (const name of ['b', 'a', 'B', 'a~1', 'a.b']) await addToken(database, alice, { name })
    await addToken(database, bob, { name: 'bobs' })
    const names = async (after: string | undefined, limit: number): Promise<string[]> =>
      (await listAccessTokens(database.read, { accountId: alice, after, limit })).map(({ name }) => name)
    assert.deepEqual(await names(undefined, 10), ['B', 'a', 'a.b', 'a~1', 'b'])
    assert.deepEqual(await names('a', 2), ['a.b', 'a~1'])
    assert.deepEqual(await names('b', 2), [])
  })

  test('those that ended are forgotten, and the others are not; all go with a word, or with the account', async (t) => {
    const { database } = await open(t)
    const [alice, bob] = [await addAccount(database, 'alice'), await addAccount(database, 'bob')]
    const never = { expires_at_ms: null }
    for (const [name, facts] of [
      ['old', { expires_at_ms: 50 }],
      ['new', { expires_at_ms: 51 }],
      ['never', never],
      ['revoked', never],
    ] as const)
      await addToken(database, alice, { name, ...facts })
    await addToken(database, bob, { name: 'old', expires_at_ms: 1 })
    await database.write(async (tx) => {
      await changeAccessToken(tx, (await findAccessToken(tx, alice, 'revoked'))?.id ?? 0, { revoked_at_ms: 50 })
      await deleteEndedAccessTokens(tx, alice, 50)
    })
    const left = async (accountId: number) =>
      (await listAccessTokens(database.read, { accountId, after: undefined, limit: 9 })).map(({ name }) => name)
    assert.deepEqual(await left(alice), ['never', 'new'])
    assert.deepEqual(await left(bob), ['old'])
    await database.write((tx) => deleteAccessTokensOf(tx, alice))
    assert.deepEqual(await left(alice), [])
    await database.write((tx) => deleteAccount(tx, 'bob'))
    assert.deepEqual(await left(bob), [])
  })

  test('robots are listed by their namespace, a page at a time, and are accounts like others; a taken name is refused', async (t) => {
    const { database } = await open(t)
    const ids = [await addRobot(database, 'team.b'), await addRobot(database, 'team.a')]
    await addAccount(database, 'team.person')
    const namespaceId = (await namespaceByName.first(database.read, { name: 'team' }))?.id ?? 0
    const [first, ...others] = await listRobots(database.read, { namespaceId, after: undefined, limit: 9 })
    assert.deepEqual(
      [others.length, first?.id, first?.name, first?.description, first?.created_by],
      [1, ids[1], 'team.a', 'for CI', 'alice'],
    )
    assert.deepEqual(
      (await listRobots(database.read, { namespaceId, after: 'team.a', limit: 1 })).map(({ name }) => name),
      ['team.b'],
    )
    assert.deepEqual(await listRobots(database.read, { namespaceId: namespaceId + 1, after: undefined, limit: 9 }), [])
    assert.equal(await addRobot(database, 'team.person'), undefined)
    const kinds = (await listAccounts(database.read, { after: undefined, limit: 9 })).map(({ name, kind }) => `${name} ${kind}`)
    assert.deepEqual(kinds, ['team.a robot', 'team.b robot', 'team.person person'])
    await database.write((tx) => tx.deleteFrom('namespace').where('id', '=', namespaceId).execute())
    assert.equal(await accountByName.first(database.read, { name: 'team.a' }), undefined, 'a robot goes with its namespace')
  })
}
