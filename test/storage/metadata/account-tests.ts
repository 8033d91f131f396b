/** Accounts: found by name and id, changed so that what was issued before ends, listed in byte order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  accountById,
  accountByName,
  changeAccount,
  countAdministrators,
  createAccount,
  deleteAccount,
  hasAccounts,
  listAccounts,
  type AccountChange,
  type AccountRow,
} from '../../../storage/metadata/accounts.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { createSession } from '../../../storage/metadata/uploads.ts'
import { repositoryName } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const create = (database: Database, name: string, isAdmin = false): Promise<boolean> =>
  database.write((tx) => createAccount(tx, { name, passwordHash: `hash of ${name}`, isAdmin, nowMs: 12 }))

async function get(database: Database, name: string): Promise<AccountRow> {
  const account = await accountByName.first(database.read, { name })
  assert.ok(account, `there is an account ${name}`)
  return account
}

export function accountTests(open: MetadataFactory): void {
  test('a new account is enabled, at its first version, and found by name and by id', async (t) => {
    const { database } = await open(t)
    assert.equal(await create(database, 'alice', true), true)
    const alice = await get(database, 'alice')
    assert.deepEqual(alice, {
      id: alice.id,
      name: 'alice',
      password_hash: 'hash of alice',
      is_admin: 1,
      is_disabled: 0,
      credential_version: 1,
      created_at_ms: 12,
      kind: 'person',
      robot_of: null,
      totp_confirmed: 0,
    })
    assert.deepEqual(await accountById.first(database.read, { id: alice.id }), alice)
  })

  test('a name is found only as it is written', async (t) => {
    const { database } = await open(t)
    await create(database, 'alice')
    for (const name of ['', 'Alice', 'alice ', 'alic', '%', 'bob'])
      assert.equal(await accountByName.first(database.read, { name }), undefined)
    assert.equal(await accountById.first(database.read, { id: 404 }), undefined)
  })

  test('a name that is taken is refused, and its account stays as it is', async (t) => {
    const { database } = await open(t)
    await create(database, 'alice')
    assert.equal(await create(database, 'alice', true), false)
    assert.equal((await get(database, 'alice')).is_admin, 0)
  })

  const changes: readonly (readonly [what: string, change: AccountChange, columns: Partial<AccountRow>])[] = [
    ['a new password', { passwordHash: 'new' }, { password_hash: 'new' }],
    ['the role of an administrator', { isAdmin: true }, { is_admin: 1 }],
    ['being disabled', { isDisabled: true }, { is_disabled: 1 }],
    ['all at once', { passwordHash: 'new', isAdmin: true, isDisabled: true }, { password_hash: 'new', is_admin: 1, is_disabled: 1 }],
    ['what it has already', { isAdmin: false, isDisabled: false }, {}],
    ['nothing at all', {}, {}],
  ]
  for (const [what, change, columns] of changes) {
    test(`an account that gets ${what} is at its next version, and nothing else of it changes`, async (t) => {
      const { database } = await open(t)
      await create(database, 'alice')
      await create(database, 'bob')
      const [alice, bob] = [await get(database, 'alice'), await get(database, 'bob')]
      assert.equal(await database.write((tx) => changeAccount(tx, 'alice', change)), true)
      assert.deepEqual(await get(database, 'alice'), { ...alice, ...columns, credential_version: 2 })
      assert.deepEqual(await get(database, 'bob'), bob)
    })
  }

  test('the version grows with every change, and never comes again', async (t) => {
    const { database } = await open(t)
    await create(database, 'alice')
    const seen = new Set<number>()
    for (const isDisabled of [true, false, true, false]) {
      await database.write((tx) => changeAccount(tx, 'alice', { isDisabled }))
      seen.add((await get(database, 'alice')).credential_version)
    }
    assert.deepEqual([...seen], [2, 3, 4, 5])
  })

  test('an account that is not there can be neither changed nor deleted', async (t) => {
    const { database } = await open(t)
    assert.equal(await database.write((tx) => changeAccount(tx, 'nobody', { isAdmin: true })), false)
    assert.equal(await database.write((tx) => deleteAccount(tx, 'nobody')), false)
  })

  test('a deleted account is gone with its upload sessions, and its id is never used again', async (t) => {
    const { database } = await open(t)
    await create(database, 'alice')
    const { id } = await get(database, 'alice')
    await database.write(async (tx) => {
      const session = { id: 's', repository: repositoryName('a'), accountId: id, algorithm: 'sha256' as const, nowMs: 1 }
      await createSession(tx, session)
      await createSession(tx, { ...session, id: 'anonymous', accountId: null })
    })
    assert.equal(await database.write((tx) => deleteAccount(tx, 'alice')), true)
    assert.equal(await accountByName.first(database.read, { name: 'alice' }), undefined)
    assert.deepEqual(await database.read.selectFrom('upload_session').select('id').execute(), [{ id: 'anonymous' }])
    await create(database, 'alice')
    assert.ok((await get(database, 'alice')).id > id)
  })

  test('whether there are accounts at all', async (t) => {
    const { database } = await open(t)
    assert.equal(await hasAccounts(database.read), false)
    await create(database, 'alice')
    assert.equal(await hasAccounts(database.read), true)
  })

  test('administrators are counted when they are enabled, up to the limit', async (t) => {
    const { database } = await open(t)
    for (const name of ['root', 'second', 'third']) await create(database, name, true)
    await create(database, 'alice')
    await database.write((tx) => changeAccount(tx, 'third', { isDisabled: true }))
    assert.equal(await countAdministrators(database.read, 10), 2)
    assert.equal(await countAdministrators(database.read, 1), 1)
    await database.write((tx) => changeAccount(tx, 'root', { isAdmin: false }))
    await database.write((tx) => deleteAccount(tx, 'second'))
    assert.equal(await countAdministrators(database.read, 10), 0)
  })

  test('accounts are listed in byte order, a page at a time', async (t) => {
    const { database } = await open(t)
    for (const name of ['b', 'a-b', 'B', 'a', 'é', 'a.b', 'a_b', '10', '9']) await create(database, name)
    const names = async (after: string | undefined, limit: number): Promise<string[]> =>
      (await listAccounts(database.read, { after, limit })).map((account) => account.name)
    assert.deepEqual(await names(undefined, 100), ['10', '9', 'B', 'a', 'a-b', 'a.b', 'a_b', 'b', 'é'])
    assert.deepEqual(await names(undefined, 2), ['10', '9'])
    assert.deepEqual(await names('9', 3), ['B', 'a', 'a-b'])
    assert.deepEqual(await names('aa', 1), ['b'])
    assert.deepEqual(await names('é', 5), [])
  })
}
