/** Robots as the owners of a namespace handle them: with a name that nobody else gets, a token, and no password. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { hashAccessToken, type TokenScope } from '../../auth/access-token.ts'
import type { FoundToken } from '../../auth/identity.ts'
import { makeToken, TokenUses, type MadeToken } from '../../registry/access-tokens.ts'
import { accountDirectory, addAccount, updateAccount } from '../../registry/accounts.ts'
import {
  changeRobot,
  makeRobot,
  removeRobot,
  robotsOf,
  rotateRobot,
  robotNamed,
  type RobotFacts,
  type RobotWish,
} from '../../registry/robots.ts'
import { RegistryError } from '../../oci/errors.ts'
import { createAccount } from '../../storage/metadata/accounts.ts'
import { addRepository } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor, type Floor } from '../support/registry-floor.ts'

const scopes: readonly TokenScope[] = [{ actions: ['pull'], repositories: 'team/app*' }]
const ci = { namespace: 'team', name: 'ci' }

interface Stage extends Floor {
  readonly make: (facts?: Partial<RobotWish>) => Promise<MadeToken & { fullName: string }>
  readonly find: (made: MadeToken) => Promise<FoundToken | undefined>
  readonly list: () => Promise<RobotFacts[]>
}

/** The namespace team, which has a repository, and the administrator root. */
async function setStage(t: TestContext): Promise<Stage> {
  const floor = await openFloor(t)
  const { database, registry, now } = floor
  await addAccount(database, { name: 'root', passwordHash: 'h', isAdmin: true, nowMs: 5 })
  await addRepository(database, 'team/app')
  const directory = accountDirectory(database, new TokenUses(registry))
  return {
    ...floor,
    make: (facts = {}) => makeRobot(database, { ...ci, scopes, expiresAtMs: now() + 1000, by: 'root', nowMs: now(), ...facts }),
    find: ({ secret }) => directory.findTokenBySecret(hashAccessToken(secret)),
    list: async () => [...(await robotsOf(database, { namespace: 'team', after: undefined, limit: 10, nowMs: now() })).items],
  }
}

suite('making a robot', () => {
  test('it is an account of the namespace, without rights of its own and with one token', async (t) => {
    const { make, find, list, now } = await setStage(t)
    const made = await make({ description: 'pulls for CI' })
    assert.equal(made.fullName, 'team.ci')
    assert.ok(made.secret.startsWith('lyr_'))
    const account = (await find(made))?.account
    assert.deepEqual([account?.kind, account?.robotOf, account?.isAdmin, account?.name], ['robot', 'team', false, 'team.ci'])
    assert.doesNotMatch(account?.passwordHash ?? '', /^\$2/, 'no password fits it')
    const [robot] = await list()
    assert.deepEqual(
      { ...robot, tokens: robot?.tokens.map(({ name, status }) => [name, status]) },
      {
        fullName: 'team.ci',
        name: 'ci',
        namespace: 'team',
        description: 'pulls for CI',
        isDisabled: false,
        createdAtMs: now(),
        createdBy: 'root',
        tokens: [['ci', 'active']],
      },
    )
  })

  const refused: readonly (readonly [string, Partial<RobotWish>, RegExp])[] = [
    ['a dot in its name', { name: 'c.i' }, /^the name of a robot has no dot/],
    ['no name', { name: '' }, /^an account name has/],
    ['capitals', { name: 'CI' }, /^an account name has/],
    ['what a shell would read', { name: '$ci' }, /^an account name has/],
    ['a slash', { name: 'a/b' }, /^an account name has/],
    ['a name that is too long with its namespace', { name: 'x'.repeat(60) }, /together at most 64 characters/],
    ['the right to administer', { scopes: [{ actions: ['admin'], repositories: '*' }] }, /^a robot administers nothing/],
    [
      'a push elsewhere',
      { scopes: [{ actions: ['push'], repositories: 'other/*' }] },
      /pushes and deletes in team\/ alone, not on other\/\*/,
    ],
    [
      'a push to all that begins so',
      { scopes: [{ actions: ['push'], repositories: 'team*' }] },
      /pushes and deletes in team\/ alone, not on team\*/,
    ],
    ['a description of several lines', { description: 'a\nb' }, /^a description is one line of at most 255 characters$/],
    ['a long description', { description: 'x'.repeat(256) }, /^a description is one line of at most 255 characters$/],
    ['a time that is over', { expiresAtMs: 1 }, /^a token must expire later than now$/],
  ]
  for (const [title, facts, message] of refused) {
    test(`it is refused with ${title}, and nothing is left of it`, async (t) => {
      const { make, database } = await setStage(t)
      assert.match((await assertRejected('parameterInvalid', make(facts))).message, message)
      const accounts = await database.read.selectFrom('account').select('name').execute()
      assert.deepEqual(accounts, [{ name: 'root' }])
    })
  }

  test('it is refused in a namespace that is not there, such as the name of another robot', async (t) => {
    const { make } = await setStage(t)
    for (const namespace of ['nobody', 'team.x'])
      assert.equal((await assertRejected('namespaceUnknown', make({ namespace }))).message, `there is no namespace "${namespace}"`)
  })

  test('pulling what is public elsewhere can be among its scopes, and everything of its own', async (t) => {
    const { make } = await setStage(t)
    for (const [name, scopes] of [
      ['one', [{ actions: ['pull'], repositories: 'base/*' }]],
      ['two', [{ actions: ['pull', 'push', 'delete'], repositories: '*' }]],
      ['three', [{ actions: ['push'], repositories: 'team/app' }]],
    ] as const)
      await make({ name, scopes })
  })

  test('it is refused where a person has the name', async (t) => {
    const { make, database } = await setStage(t)
    // As one could be that was there before the namespace.
    await database.write((tx) => createAccount(tx, { name: 'team.ci', passwordHash: 'h', isAdmin: false, nowMs: 5 }))
    assert.equal((await assertRejected('nameTaken', make())).message, 'there is an account "team.ci" already')
  })

  test('no person gets its name, nor any that a robot of the namespace could have', async (t) => {
    const { make, database } = await setStage(t)
    await make()
    for (const name of ['team.ci', 'team.other']) {
      const error = await assertRejected('parameterInvalid', addAccount(database, { name, passwordHash: 'h', isAdmin: false, nowMs: 5 }))
      assert.equal(error.message, 'names that begin with "team." are for the robots of team')
    }
    for (const name of ['john.doe', 'teams.ci', 'team-ci'])
      await addAccount(database, { name, passwordHash: 'h', isAdmin: false, nowMs: 5 })
  })
})

suite('a robot', () => {
  test('gets no password and is never an administrator', async (t) => {
    const { make, database } = await setStage(t)
    await make()
    for (const change of [{ passwordHash: 'h' }, { isAdmin: true }]) {
      const error = await assertRejected('parameterInvalid', updateAccount(database, 'team.ci', change))
      assert.equal(error.message, '"team.ci" is a robot: it has no password but a token, and administers nothing')
    }
  })

  test('has one token: no other is made for it', async (t) => {
    const { make, database, list, now } = await setStage(t)
    await make()
    const error = await assertRejected(
      'parameterInvalid',
      makeToken(database, { account: 'team.ci', name: 'more', scopes, expiresAtMs: undefined, nowMs: now() }),
    )
    assert.equal(error.message, '"team.ci" is a robot, which has one token: rotate it, or make another robot')
    assert.equal((await list())[0]?.tokens.length, 1)
  })

  test('is disabled and enabled again with the token that it had', async (t) => {
    const { make, find, list, database } = await setStage(t)
    const made = await make()
    await changeRobot(database, { ...ci, isDisabled: true, nowMs: 1 })
    assert.deepEqual([(await find(made))?.account.isDisabled, (await list())[0]?.isDisabled], [true, true])
    await changeRobot(database, { ...ci, isDisabled: false, nowMs: 1 })
    assert.equal((await find(made))?.account.isDisabled, false)
  })

  test('is removed with its tokens, and its name is free', async (t) => {
    const { make, find, list, database } = await setStage(t)
    const made = await make()
    await removeRobot(database, { ...ci, nowMs: 1 })
    assert.deepEqual([await find(made), await list()], [undefined, []])
    await make()
  })

  test('is rotated: the old secret goes on for a while', async (t) => {
    const { make, find, list, database, now } = await setStage(t)
    const old = await make()
    const made = await rotateRobot(database, { ...ci, overlapMs: 500, expiresAtMs: 'same', nowMs: now() })
    assert.deepEqual([made.fullName, (await find(old))?.expiresAtMs], ['team.ci', now() + 500])
    assert.deepEqual(
      (await list())[0]?.tokens.map(({ name }) => name),
      ['ci', `ci~${old.token.id}`],
    )
  })

  test('gets other scopes, which are looked at like its first', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const made = await make()
    const narrow: readonly TokenScope[] = [{ actions: ['pull'], repositories: 'team/app' }]
    await changeRobot(database, { ...ci, scopes: narrow, nowMs: now() })
    assert.deepEqual((await find(made))?.token.scopes, narrow)
    const wide = changeRobot(database, { ...ci, scopes: [{ actions: ['push'], repositories: 'other/*' }], nowMs: now() })
    await assertRejected('parameterInvalid', wide)
  })

  test('is changed in one step or not at all, after a look at what it is', async (t) => {
    const { make, database, now } = await setStage(t)
    await make({ description: 'before' })
    const changed = await changeRobot(database, { ...ci, description: 'after', isDisabled: true, nowMs: now() })
    assert.deepEqual([changed.description, changed.isDisabled, changed.tokens[0]?.scopes], ['after', true, scopes])
    const wide: readonly TokenScope[] = [{ actions: ['push'], repositories: 'other/*' }]
    await assertRejected('parameterInvalid', changeRobot(database, { ...ci, description: 'x', scopes: wide, nowMs: now() }))
    await assertRejected('parameterInvalid', changeRobot(database, { ...ci, description: 'a\nb', isDisabled: false, nowMs: now() }))
    const check = (current: RobotFacts): void => {
      assert.equal(current.description, 'after')
      throw new RegistryError('versionChanged')
    }
    await assertRejected('versionChanged', changeRobot(database, { ...ci, description: 'x', isDisabled: false, nowMs: now(), check }))
    await assertRejected('versionChanged', removeRobot(database, { ...ci, nowMs: now(), check }))
    assert.deepEqual(await robotNamed(database, ci, now()), changed)
  })

  test('is listed with the tokens that it has in use, and described with those that have ended', async (t) => {
    const { make, list, database, now, advance } = await setStage(t)
    await make()
    await rotateRobot(database, { ...ci, overlapMs: 0, expiresAtMs: 'same', nowMs: now() })
    await rotateRobot(database, { ...ci, overlapMs: 500, expiresAtMs: 'same', nowMs: now() })
    const shown = async () => [(await list())[0]?.tokens.length, (await robotNamed(database, ci, now())).tokens.length]
    assert.deepEqual(await shown(), [2, 3])
    advance(500)
    assert.deepEqual(await shown(), [1, 3])
    advance(10_000)
    assert.deepEqual(
      (await list())[0]?.tokens.map(({ name, status }) => [name, status]),
      [['ci', 'expired']],
      'its own is listed in any case',
    )
  })

  test('is found by its namespace and its name only; a person is none', async (t) => {
    const { make, database } = await setStage(t)
    await make()
    await addAccount(database, { name: 'john.doe', passwordHash: 'h', isAdmin: false, nowMs: 5 })
    for (const named of [
      { namespace: 'team', name: 'other' },
      { namespace: 'team', name: 'team.ci' },
      { namespace: 'team', name: '' },
      { namespace: 'john.doe', name: 'doe' },
    ]) {
      for (const work of [
        changeRobot(database, { ...named, isDisabled: true, nowMs: 1 }),
        removeRobot(database, { ...named, nowMs: 1 }),
        rotateRobot(database, { ...named, overlapMs: 0, expiresAtMs: 'same', nowMs: 1 }),
      ]) {
        assert.equal((await assertRejected('robotUnknown', work)).message, `${named.namespace} has no robot "${named.name}"`)
      }
    }
  })

  test('goes on under its name when its namespace gets another, and is found there by its own', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const made = await make()
    await database.write((tx) => tx.updateTable('namespace').set({ name: 'crew' }).where('name', '=', 'team').execute())
    const [robot] = (await robotsOf(database, { namespace: 'crew', after: undefined, limit: 10, nowMs: now() })).items
    assert.deepEqual([robot?.fullName, robot?.name, robot?.namespace, robot?.tokens[0]?.name], ['team.ci', 'ci', 'crew', 'ci'])
    await changeRobot(database, { namespace: 'crew', name: 'ci', isDisabled: true, nowMs: 1 })
    const account = (await find(made))?.account
    assert.deepEqual([account?.name, account?.robotOf, account?.isDisabled], ['team.ci', 'crew', true])
    await assertRejected('namespaceUnknown', removeRobot(database, { ...ci, nowMs: 1 }))
  })

  test('is listed a page at a time', async (t) => {
    const { make, database, now } = await setStage(t)
    for (const name of ['b', 'a', 'c']) await make({ name })
    const page = await robotsOf(database, { namespace: 'team', after: 'team.a', limit: 1, nowMs: now() })
    assert.deepEqual(
      page.items.map(({ name }) => name),
      ['b'],
    )
    assert.ok(page.hasMore)
    await assertRejected('namespaceUnknown', robotsOf(database, { namespace: 'nobody', after: undefined, limit: 1, nowMs: 1 }))
  })
})
