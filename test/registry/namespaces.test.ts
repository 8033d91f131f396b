/** Namespaces as their owners change them: what is refused, what a preview says, what goes along. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { addAccount, removeAccount } from '../../registry/accounts.ts'
import {
  addNamespace,
  contentOf,
  describeNamespace,
  grantRole,
  membersOf,
  namespacesFor,
  parseRole,
  previewRemoval,
  previewRename,
  removeNamespace,
  revokeRole,
  updateNamespace,
} from '../../registry/namespaces.ts'
import type { Registry, RegistryRules } from '../../registry/registry.ts'
import { addTeam } from '../../registry/teams.ts'
import { addRobot } from '../support/grant-rows.ts'
import { addBlob, addManifest, addRepository, repositoryName } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor } from '../support/registry-floor.ts'

const by = 'root'
const nowMs = 5

/** Three accounts, a team, a robot and the namespace team, which alice owns. */
async function setStage(t: TestContext, rules: Partial<RegistryRules> = {}): Promise<Registry> {
  const { registry, database } = await openFloor(t, rules)
  for (const name of ['root', 'alice', 'bob']) await addAccount(database, { name, passwordHash: '', isAdmin: name === 'root', nowMs })
  await addTeam(database, { name: 'crew', nowMs })
  await addNamespace(database, { name: 'team', description: 'ours', owner: 'alice', by, nowMs })
  await addRobot(database, 'robot', 'team')
  return registry
}

suite('a new namespace', () => {
  test('is owned by whom it is said to be, and told with what it holds', async (t) => {
    const { database } = await setStage(t)
    const { id: _id, ...described } = await describeNamespace(database, 'team')
    assert.deepEqual(described, {
      name: 'team',
      description: 'ours',
      visibility: null,
      created_at_ms: nowMs,
      created_by: by,
      owners: ['alice'],
    })
    assert.deepEqual(await contentOf(database, 'team'), {
      repositories: 0,
      members: 1,
      exceptions: 0,
      robots: 1,
      longest_name: 0,
      usage: { blobs: 0, blob_bytes: 0, unique_blobs: 0, unique_bytes: 0, manifests: 0, manifest_bytes: 0 },
    })
    assert.deepEqual((await describeNamespace(database, 'bob')).owners, ['bob'], 'that of an account is the account’s')
  })

  test('needs a name that is one and that is free, and an owner who is a person', async (t) => {
    const { database } = await setStage(t)
    const add = (name: string, owner?: string) => addNamespace(database, { name, by, nowMs, ...(owner === undefined ? {} : { owner }) })
    for (const name of ['', 'Team', 'a/b', '-a', 'x'.repeat(65)]) await assertRejected('nameInvalid', add(name))
    assert.equal((await assertRejected('nameTaken', add('team'))).message, 'there is a namespace "team" already')
    assert.match((await assertRejected('nameTaken', add('bob'))).message, /of the account of that name/)
    for (const owner of ['nobody', 'robot']) await assertRejected('parameterInvalid', add('fresh', owner))
    await assertRejected('namespaceUnknown', describeNamespace(database, 'fresh'))
  })

  test('whose name an account wants is the account’s only if nobody owns it', async (t) => {
    const { database } = await setStage(t)
    const add = (name: string) => addAccount(database, { name, passwordHash: '', isAdmin: false, nowMs })
    assert.match((await assertRejected('parameterInvalid', add('team'))).message, /^there is a namespace "team" that others own/)
    await addNamespace(database, { name: 'crews', by, nowMs })
    await grantRole(database, { namespace: 'crews', member: { team: 'crew' }, role: 'owner', by, nowMs })
    await assertRejected('parameterInvalid', add('crews'))
    await addNamespace(database, { name: 'free', owner: 'root', by, nowMs })
    await add('free')
    await removeAccount(database, 'free')
    await add('free')
    assert.deepEqual((await describeNamespace(database, 'free')).owners, ['free', 'root'])
  })
})

test('namespaces are listed to who has a role in them, and to administrators all', async (t) => {
  const { database } = await setStage(t)
  const row = await database.read.selectFrom('account').select(['id', 'name']).where('name', '=', 'alice').executeTakeFirstOrThrow()
  const namesOf = async (account: typeof row | 'all', limit: number) => {
    const { items, hasMore } = await namespacesFor(database, account, { after: undefined, limit })
    return [...items.map(({ name }) => name), ...(hasMore ? ['...'] : [])]
  }
  assert.deepEqual(await namesOf('all', 2), ['alice', 'bob', '...'])
  assert.deepEqual(await namesOf('all', 9), ['alice', 'bob', 'root', 'team'])
  assert.deepEqual(await namesOf(row, 9), ['alice', 'team'])
})

test('settings that are given change, the others stay', async (t) => {
  const { database } = await setStage(t)
  await updateNamespace(database, 'team', { visibility: 'public' })
  await updateNamespace(database, 'team', { description: 'yours' })
  const { visibility, description } = await describeNamespace(database, 'team')
  assert.deepEqual([visibility, description], ['public', 'yours'])
  await assertRejected('namespaceUnknown', updateNamespace(database, 'none', { visibility: 'public' }))
})

suite('roles in a namespace', () => {
  const bob = { namespace: 'team', member: { account: 'bob' } } as const
  const app = repositoryName('team/app')

  test('are granted to accounts and teams, changed, listed and revoked', async (t) => {
    const { database } = await setStage(t)
    await grantRole(database, { ...bob, role: 'reader', by: 'alice', nowMs })
    await grantRole(database, { ...bob, role: 'writer', by: 'alice', nowMs })
    await grantRole(database, { ...bob, repository: app, role: 'none', by: null, nowMs })
    await grantRole(database, { namespace: 'team', member: { team: 'crew' }, role: 'maintainer', by: 'alice', nowMs })
    const list = async () => {
      const { items } = await membersOf(database, 'team', { after: undefined, limit: 9 })
      return items.map(({ account, team, role, repository }) => `${account ?? `team ${team}`}: ${role} in ${repository || 'all'}`)
    }
    assert.deepEqual(await list(), ['alice: owner in all', 'bob: writer in all', 'team crew: maintainer in all', 'bob: none in team/app'])
    await revokeRole(database, { ...bob, repository: app })
    await revokeRole(database, { namespace: 'team', member: { team: 'crew' } })
    assert.deepEqual(await list(), ['alice: owner in all', 'bob: writer in all'])
    const gone = await assertRejected('memberUnknown', revokeRole(database, { ...bob, repository: app }))
    assert.equal(gone.message, '"bob" has no role of its own in team/app')
    const crew = await assertRejected('memberUnknown', revokeRole(database, { namespace: 'team', member: { team: 'crew' } }))
    assert.equal(crew.message, 'the team "crew" has no role of its own in team')
  })

  test('are refused to nobody, to robots, elsewhere, and as nothing in all of a namespace', async (t) => {
    const { database } = await setStage(t)
    const grant = (more: Partial<Parameters<typeof grantRole>[1]>) => grantRole(database, { ...bob, role: 'reader', by, nowMs, ...more })
    for (const account of ['nobody', 'robot']) await assertRejected('parameterInvalid', grant({ member: { account } }))
    await assertRejected('teamUnknown', grant({ member: { team: 'none' } }))
    await assertRejected('namespaceUnknown', grant({ namespace: 'none' }))
    const elsewhere = await assertRejected('parameterInvalid', grant({ repository: repositoryName('team-2/app') }))
    assert.equal(elsewhere.message, 'team-2/app is not in the namespace "team"')
    await assertRejected('parameterInvalid', grant({ role: 'none' }))
    await grant({ role: 'none', repository: app })
    await assertRejected('namespaceUnknown', membersOf(database, 'none', { after: undefined, limit: 1 }))
  })

  test('have the names that a refusal lists', async () => {
    for (const role of ['reader', 'writer', 'maintainer', 'owner', 'none']) assert.equal(parseRole(role), role)
    const refused = await assertRejected(
      'parameterInvalid',
      Promise.resolve().then(() => parseRole('admin')),
    )
    assert.equal(refused.message, 'a role is one of reader, writer, maintainer, owner, or none to take a repository away, not "admin"')
  })
})

suite('a removal', () => {
  async function filled(t: TestContext, rules: Partial<RegistryRules> = {}): Promise<Registry> {
    const registry = await setStage(t, rules)
    const { database } = registry
    const id = await addRepository(database, 'team/app')
    await addBlob(database, id, 'a layer')
    await addManifest(database, id, { text: 'a manifest' })
    await addRepository(database, 'team-2/app')
    return registry
  }

  test('is previewed, refused while there are repositories, and takes them along when told to', async (t) => {
    const registry = await filled(t)
    const { database } = registry
    const usage = { blobs: 1, blob_bytes: 7, unique_blobs: 1, unique_bytes: 7, manifests: 1, manifest_bytes: 10 }
    const content = { repositories: 1, usage, members: 1, exceptions: 0, robots: 1, longest_name: 8 }
    assert.deepEqual(await previewRemoval(database, 'team'), content)
    const refused = await assertRejected('namespaceInUse', removeNamespace(registry, 'team', { withRepositories: false }))
    assert.match(refused.message, /holds 1 repositor/)
    assert.deepEqual(await removeNamespace(registry, 'team', { withRepositories: true }), content)
    await assertRejected('namespaceUnknown', describeNamespace(database, 'team'))
    const left = await database.read.selectFrom('repository').select('name').where('name', '<', '~').execute()
    const robots = await database.read.selectFrom('account').select('name').where('kind', '=', 'robot').execute()
    const trash = await database.read.selectFrom('trash_item').select('repository').execute()
    const grants = await database.read.selectFrom('role_grant').select('id').execute()
    assert.deepEqual([left, robots, trash, grants], [[{ name: 'team-2/app' }], [], [{ repository: 'team/app' }], []])
  })

  test('of what holds nothing needs no telling; of an account’s own namespace it is refused', async (t) => {
    const registry = await setStage(t)
    const { database } = registry
    await removeNamespace(registry, 'team', { withRepositories: false })
    await assertRejected('namespaceUnknown', removeNamespace(registry, 'team', { withRepositories: false }))
    for (const refused of [previewRemoval(database, 'bob'), removeNamespace(registry, 'bob', { withRepositories: true })])
      assert.match((await assertRejected('namespaceInUse', refused)).message, /^"bob" is the namespace of the account of that name/)
    await removeAccount(database, 'bob')
    await removeNamespace(registry, 'bob', { withRepositories: false })
  })

  test('takes no repositories along where deleting is switched off', async (t) => {
    const registry = await filled(t, { isDeleteEnabled: false })
    await assertRejected('deleteDisabled', removeNamespace(registry, 'team', { withRepositories: true }))
    assert.equal((await contentOf(registry.database, 'team')).repositories, 1)
    await addNamespace(registry.database, { name: 'empty', by, nowMs })
    await removeNamespace(registry, 'empty', { withRepositories: true })
  })
})

suite('a renaming', () => {
  test('is previewed, and takes repositories, members, exceptions and robots along', async (t) => {
    const { database } = await setStage(t)
    const repository = repositoryName('team/app')
    await addRepository(database, repository)
    await grantRole(database, { namespace: 'team', repository, member: { account: 'bob' }, role: 'writer', by, nowMs })
    const rename = { from: 'team', to: 'band' }
    const preview = await previewRename(database, rename)
    assert.deepEqual([preview.repositories, preview.members, preview.exceptions, preview.robots], [1, 1, 1, 1])
    const { name, description, visibility } = await updateNamespace(database, 'team', { name: 'band', visibility: 'internal' })
    assert.deepEqual([name, description, visibility], ['band', 'ours', 'internal'])
    await assertRejected('namespaceUnknown', describeNamespace(database, 'team'))
    assert.deepEqual((await describeNamespace(database, 'band')).owners, ['alice'])
    assert.deepEqual(await contentOf(database, 'band'), preview)
    const { items } = await membersOf(database, 'band', { after: undefined, limit: 9 })
    assert.deepEqual(
      items.map((row) => row.repository),
      ['', 'band/app'],
    )
  })

  test('is refused to a name that is taken or none, from an account’s own, and where a name would be too long', async (t) => {
    const { database } = await setStage(t)
    await addNamespace(database, { name: 'other', by, nowMs })
    const rename = (from: string, to: string) => updateNamespace(database, from, { name: to, description: 'changed' })
    for (const to of ['other', 'bob']) await assertRejected('nameTaken', rename('team', to))
    for (const to of ['a/b', 'B', '']) await assertRejected('nameInvalid', rename('team', to))
    await assertRejected('namespaceInUse', rename('bob', 'bobby'))
    await assertRejected('namespaceUnknown', rename('none', 'some'))
    await addRepository(database, `team/${'x'.repeat(250)}`)
    await assertRejected('nameInvalid', rename('team', 'teams'))
    assert.equal((await describeNamespace(database, 'team')).description, 'ours', 'all of a change, or nothing')
    await rename('team', 'team')
    await rename('team', 'crew')
  })
})
