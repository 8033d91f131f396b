/** Accounts as an administrator changes them: there is always one who can, and every change ends what was issued before. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import {
  accountDirectory,
  addAccount,
  addFirstAdministrator,
  allAccounts,
  removeAccount,
  updateAccount,
  type NewAccount,
} from '../../registry/accounts.ts'
import type { Database } from '../../storage/metadata/database.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor } from '../support/registry-floor.ts'

const account = (name: string, isAdmin = false): NewAccount => ({ name, passwordHash: `hash of ${name}`, isAdmin, nowMs: 5 })

async function withRoot(t: TestContext): Promise<Database> {
  const { database } = await openFloor(t)
  await addAccount(database, account('root', true))
  return database
}

async function namesOf(database: Database): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of allAccounts(database)) names.push(name)
  return names
}

suite('the directory of accounts', () => {
  test('an account is found by name and by id with everything that signing in needs', async (t) => {
    const database = await withRoot(t)
    await addAccount(database, account('alice'))
    const directory = accountDirectory(database, { note: () => undefined })
    const alice = await directory.findAccountByName('alice')
    assert.ok(alice)
    assert.deepEqual(
      { ...alice, id: 0 },
      {
        id: 0,
        name: 'alice',
        isAdmin: false,
        isDisabled: false,
        hasSecondFactor: false,
        passwordHash: 'hash of alice',
        credentialVersion: 1,
        kind: 'person',
        robotOf: undefined,
      },
    )
    assert.deepEqual(await directory.findAccountById(alice.id), alice)
    assert.equal(await directory.findAccountByName('bob'), undefined)
    assert.equal(await directory.findAccountById(404), undefined)
  })

  test('a change is seen by the next look, and raises the version of what was issued', async (t) => {
    const database = await withRoot(t)
    await addAccount(database, account('alice'))
    const directory = accountDirectory(database, { note: () => undefined })
    await updateAccount(database, 'alice', { isDisabled: true, passwordHash: 'new' })
    const alice = await directory.findAccountByName('alice')
    assert.deepEqual([alice?.isDisabled, alice?.passwordHash, alice?.credentialVersion], [true, 'new', 2])
    await removeAccount(database, 'alice')
    assert.equal(await directory.findAccountByName('alice'), undefined)
  })

  test('all accounts are listed by name, however many', async (t) => {
    const database = await withRoot(t)
    const names = Array.from({ length: 1203 }, (_, index) => `u${index}`)
    await database.write(async (tx) => {
      for (const name of names) await tx.insertInto('account').values({ name, password_hash: '', is_admin: 0, created_at_ms: 1 }).execute()
    })
    assert.deepEqual(await namesOf(database), ['root', ...names].toSorted())
  })
})

suite('the first administrator', () => {
  test('is made when there is no account, as an administrator whatever was asked', async (t) => {
    const { database } = await openFloor(t)
    assert.equal(await addFirstAdministrator(database, account('admin', false)), true)
    assert.equal((await accountDirectory(database, { note: () => undefined }).findAccountByName('admin'))?.isAdmin, true)
  })

  test('is not made when there is any account', async (t) => {
    const database = await withRoot(t)
    assert.equal(await addFirstAdministrator(database, account('admin')), false)
    assert.deepEqual(await namesOf(database), ['root'])
  })

  test('is one of many that are asked for at once', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const made = await Promise.all(
      [one, two, one, two].map((floor, index) => addFirstAdministrator(floor.database, account(`admin-${index}`))),
    )
    assert.equal(made.filter(Boolean).length, 1)
    assert.equal((await namesOf(one.database)).length, 1)
  })
})

suite('there is always an enabled administrator', () => {
  const sentence = 'this is the last enabled administrator: make another account one first'
  const endings: readonly (readonly [what: string, end: (database: Database) => Promise<void>])[] = [
    ['lose its role', (database) => updateAccount(database, 'root', { isAdmin: false })],
    ['be disabled', (database) => updateAccount(database, 'root', { isDisabled: true })],
    ['be removed', (database) => removeAccount(database, 'root')],
  ]
  for (const [what, end] of endings) {
    test(`the last one cannot ${what}, and nothing of the change is kept`, async (t) => {
      const database = await withRoot(t)
      await addAccount(database, account('alice'))
      await addAccount(database, account('disabled', true))
      await updateAccount(database, 'disabled', { isDisabled: true })
      const before = await accountDirectory(database, { note: () => undefined }).findAccountByName('root')
      const error = await assertRejected('parameterInvalid', end(database))
      assert.equal(error.message, sentence)
      assert.deepEqual(await accountDirectory(database, { note: () => undefined }).findAccountByName('root'), before)
    })

    test(`one of two can ${what}`, async (t) => {
      const database = await withRoot(t)
      await addAccount(database, account('second', true))
      await end(database)
    })
  }

  test('of two that end each other at once, one stays', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    await addAccount(one.database, account('root', true))
    await addAccount(one.database, account('second', true))
    const results = await Promise.allSettled([removeAccount(one.database, 'root'), removeAccount(two.database, 'second')])
    assert.deepEqual(results.map((result) => result.status).toSorted(), ['fulfilled', 'rejected'])
    assert.equal((await namesOf(one.database)).length, 1)
  })

  test('the first account must be one', async (t) => {
    const { database } = await openFloor(t)
    const error = await assertRejected('parameterInvalid', addAccount(database, account('alice')))
    assert.equal(error.message, 'there is no administrator yet: the first account must be one')
    assert.deepEqual(await namesOf(database), [])
  })
})

suite('names', () => {
  test('one that is taken is refused, and its account stays as it is', async (t) => {
    const database = await withRoot(t)
    const error = await assertRejected('nameTaken', addAccount(database, account('root')))
    assert.equal(error.message, 'there is an account "root" already')
    assert.equal((await accountDirectory(database, { note: () => undefined }).findAccountByName('root'))?.isAdmin, true)
  })

  test('one that nobody has is refused by name', async (t) => {
    const database = await withRoot(t)
    for (const attempt of [updateAccount(database, 'bob', { isAdmin: true }), removeAccount(database, 'bob')]) {
      assert.equal((await assertRejected('accountUnknown', attempt)).message, 'there is no account "bob"')
    }
  })
})
