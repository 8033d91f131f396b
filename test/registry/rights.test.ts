/** The look-up of rights: what it finds, that it sees every change at once, and that it is spared where no grant could matter. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Account, Caller, Identity } from '../../auth/identity.ts'
import type { PolicySettings, Request } from '../../auth/policy.ts'
import { accountDirectory, addAccount } from '../../registry/accounts.ts'
import { addNamespace, grantRole, revokeRole } from '../../registry/namespaces.ts'
import { Rights } from '../../registry/rights.ts'
import { addTeam, addToTeam, dropFromTeam } from '../../registry/teams.ts'
import type { Database, PreparedRead } from '../../storage/metadata/database.ts'
import { addRepository, repositoryName } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor } from '../support/registry-floor.ts'

const nowMs = 5
const anonymous: Identity = { kind: 'anonymous' }

async function setStage(t: TestContext): Promise<{ database: Database; identityOf: (name: string) => Promise<Identity> }> {
  const { database } = await openFloor(t)
  for (const name of ['root', 'alice', 'bob']) await addAccount(database, { name, passwordHash: '', isAdmin: name === 'root', nowMs })
  await addNamespace(database, { name: 'team', owner: 'alice', by: null, nowMs })
  const directory = accountDirectory(database, { note: () => undefined })
  return { database, identityOf: async (name) => ({ kind: 'account', account: (await directory.findAccountByName(name)) as Account }) }
}

/** A database that notes every look-up of rows that is prepared on it. */
function counting(database: Database): { database: Database; count: () => number } {
  let looked = 0
  const watched = new Proxy(database, {
    get: (target, key) => {
      if (key !== 'prepare') {
        if (key === 'read') looked++
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === 'function' ? value.bind(target) : value
      }
      return (...args: Parameters<Database['prepare']>): PreparedRead<object, unknown> => {
        const read = target.prepare(...args)
        return (values) => {
          looked++
          return read(values)
        }
      }
    },
  })
  return { database: watched, count: () => looked }
}

const on = (name: string, action: 'pull' | 'push' | 'delete', visibility?: 'private' | 'internal' | 'public'): Request => ({
  kind: 'repository',
  action,
  name: repositoryName(name),
  visibility,
})
const basic = (identity: Identity): Caller => ({ identity, via: 'basic', access: undefined })

suite('no row is looked at', () => {
  const free: readonly (readonly [string, string | undefined, Request, PolicySettings?])[] = [
    ['an administrator', 'root', on('team/app', 'delete', 'private')],
    ['the owner of the name', 'alice', on('alice/app', 'push')],
    ['a pull of what is internal', 'bob', on('team/app', 'pull', 'internal')],
    ['a pull of what is public', 'bob', on('team/app', 'pull', 'public')],
    ['nobody, who may', undefined, on('team/app', 'pull', 'public')],
    ['nobody, who may not', undefined, on('team/app', 'push', 'public')],
    ['the base', 'bob', { kind: 'base' }],
    ['the catalog', 'bob', { kind: 'catalog' }],
    ['an open registry', 'bob', on('team/app', 'push', 'private'), { isOpen: true }],
  ]
  for (const [title, name, request, settings = { isOpen: false }] of free) {
    test(`for ${title}`, async (t) => {
      const stage = await setStage(t)
      const { database, count } = counting(stage.database)
      const rights = new Rights(database, settings)
      const identity = name === undefined ? anonymous : await stage.identityOf(name)
      const isAllowed = await rights.isAllowed(identity, request)
      await rights.authorize({ ...basic(identity), access: undefined }, request).catch(() => undefined)
      assert.equal(isAllowed, title !== 'nobody, who may not')
      assert.equal(count(), 0)
    })
  }

  test('for the lists of administrators, of nobody, and of an open registry', async (t) => {
    const stage = await setStage(t)
    const { database, count } = counting(stage.database)
    for (const [identity, isOpen] of [
      [await stage.identityOf('root'), false],
      [anonymous, false],
      [await stage.identityOf('bob'), true],
    ] as const)
      await new Rights(database, { isOpen }).listingFor(identity)
    assert.equal(count(), 0)
    await new Rights(database, { isOpen: false }).listingFor(await stage.identityOf('bob'))
    assert.equal(count(), 1, 'the count sees a look')
  })
})

test('what one may do with a team follows from the membership as it is now', async (t) => {
  const { database, identityOf } = await setStage(t)
  await addTeam(database, { name: 'crew', nowMs })
  const rights = new Rights(database, { isOpen: false })
  const mayOf = async (name: string) => {
    const identity = await identityOf(name)
    const isAllowed = await Promise.all(
      (['see', 'members', 'manage'] as const).map((action) => rights.isAllowed(identity, { kind: 'team', action, team: 'crew' })),
    )
    return isAllowed.map(Number).join('')
  }
  assert.deepEqual([await mayOf('root'), await mayOf('bob')], ['111', '000'])
  await addToTeam(database, 'crew', { account: 'bob', nowMs })
  assert.equal(await mayOf('bob'), '100')
  await addToTeam(database, 'crew', { account: 'bob', isManager: true, nowMs })
  assert.equal(await mayOf('bob'), '110')
  await dropFromTeam(database, 'crew', { account: 'bob' })
  assert.equal(await mayOf('bob'), '000')
})

test('one look-up decides for whom grants decide, and it sees each change at once', async (t) => {
  const stage = await setStage(t)
  const { database, count } = counting(stage.database)
  const rights = new Rights(database, { isOpen: false })
  const bob = await stage.identityOf('bob')
  const grant = { namespace: 'team', member: { account: 'bob' }, by: null, nowMs }
  const can = async (): Promise<string> => {
    const actions = (['pull', 'push', 'delete'] as const).map(async (action) =>
      (await rights.isAllowed(bob, on('team/app', action, 'private'))) ? action : '',
    )
    return (await Promise.all(actions)).filter(Boolean).join(' ')
  }
  assert.equal(await can(), '')
  for (const [role, actions] of [
    ['reader', 'pull'],
    ['writer', 'pull push'],
    ['maintainer', 'pull push delete'],
    ['owner', 'pull push delete'],
  ] as const) {
    await grantRole(stage.database, { ...grant, role })
    const before = count()
    assert.equal(await can(), actions)
    assert.equal(count() - before, 3, 'one for each question')
    await assert.doesNotReject(rights.authorize(basic(bob), on('team/app', 'pull', 'private')))
  }
  await grantRole(stage.database, { ...grant, role: 'none', repository: repositoryName('team/app') })
  assert.equal(await can(), 'pull push delete', 'an owner is never lowered')
  await grantRole(stage.database, { ...grant, role: 'writer' })
  assert.equal(await can(), '')
  await revokeRole(stage.database, { ...grant, repository: repositoryName('team/app') })
  assert.equal(await can(), 'pull push')
  await revokeRole(stage.database, grant)
  assert.equal(await can(), '')
})

test('namespaces and settings are managed by owners, seen by members', async (t) => {
  const { database, identityOf } = await setStage(t)
  const rights = new Rights(database, { isOpen: false })
  const [alice, bob] = [await identityOf('alice'), await identityOf('bob')]
  const see: Request = { kind: 'namespace', action: 'see', namespace: 'team' }
  const manage: Request = { kind: 'namespace', action: 'manage', namespace: 'team' }
  const settings: Request = { kind: 'settings', name: repositoryName('team/app') }
  const may = async (identity: Identity) => Promise.all([see, manage, settings].map((request) => rights.isAllowed(identity, request)))
  assert.deepEqual(await may(alice), [true, true, true])
  assert.deepEqual(await may(bob), [false, false, false])
  await grantRole(database, { namespace: 'team', member: { account: 'bob' }, role: 'maintainer', by: null, nowMs })
  assert.deepEqual(await may(bob), [true, false, false])
  const app = repositoryName('team/app')
  await grantRole(database, { namespace: 'team', repository: app, member: { account: 'bob' }, role: 'owner', by: null, nowMs })
  assert.deepEqual(await may(bob), [true, false, true], 'the owner of one repository is not that of its namespace')
  const refused = await assertRejected('denied', rights.authorize(basic(bob), manage))
  assert.equal(
    refused.message,
    'account "bob" may not manage the namespace team, which takes the role owner: ask alice or an administrator for it',
  )
})

test('a namespace that is not there is told from one where one has no role, only where that matters', async (t) => {
  const { database, identityOf } = await setStage(t)
  await addRepository(database, 'team/app')
  const bob = await identityOf('bob')
  for (const [namespaceCreation, mayCreate] of [
    ['everyone', true],
    ['administrators', false],
  ] as const) {
    const rights = new Rights(database, { isOpen: false, namespaceCreation })
    assert.equal(await rights.isAllowed(bob, on('new/app', 'push')), mayCreate)
    assert.equal(await rights.isAllowed(bob, on('team/app', 'push', 'private')), false)
    assert.equal(await rights.isAllowed(bob, on('team/other', 'push')), false)
    assert.equal(await rights.isAllowed(bob, { kind: 'settings', name: repositoryName('new/app') }), false)
    const pull = async (name: string) => (await assertRejected('denied', rights.authorize(basic(bob), on(name, 'pull')))).message
    if (!mayCreate) assert.equal((await pull('new/app')).replaceAll('new', 'team'), await pull('team/app'), 'pulls tell nothing of it')
  }
})
