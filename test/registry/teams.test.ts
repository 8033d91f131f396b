/** Teams as administrators and managers change them. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { RegistryError } from '../../oci/errors.ts'
import { addAccount } from '../../registry/accounts.ts'
import { grantRole } from '../../registry/namespaces.ts'
import {
  addTeam,
  addToTeam,
  describeTeam,
  dropFromTeam,
  membershipIn,
  removeTeam,
  rolesOfTeam,
  teamMembers,
  teamsFor,
  updateTeam,
} from '../../registry/teams.ts'
import type { Database } from '../../storage/metadata/database.ts'
import { addRobot } from '../support/grant-rows.ts'
import { repositoryName } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor } from '../support/registry-floor.ts'

const nowMs = 5

/** The accounts root, alice and bob, a robot, and the team crew. */
async function setStage(t: TestContext): Promise<Database> {
  const { database } = await openFloor(t)
  for (const name of ['root', 'alice', 'bob']) await addAccount(database, { name, passwordHash: '', isAdmin: name === 'root', nowMs })
  await addRobot(database, 'robot', 'ci')
  await addTeam(database, { name: 'crew', description: 'all hands', nowMs })
  return database
}

const idOf = async (database: Database, name: string): Promise<number> =>
  (await database.read.selectFrom('account').select('id').where('name', '=', name).executeTakeFirstOrThrow()).id

test('a team is described with its roles, by place', async (t) => {
  const database = await setStage(t)
  const grant = { member: { team: 'crew' }, by: null, nowMs } as const
  await grantRole(database, { ...grant, namespace: 'bob', role: 'writer' })
  await grantRole(database, { ...grant, namespace: 'alice', repository: repositoryName('alice/app'), role: 'none' })
  await grantRole(database, { ...grant, namespace: 'alice', role: 'reader' })
  assert.equal((await describeTeam(database, 'crew')).description, 'all hands')
  for (const limit of [1, 2, 9]) {
    const found: string[] = []
    for (let after: { namespaceId: number; repository: string } | undefined, hasMore = true; hasMore;) {
      const page = await rolesOfTeam(database, 'crew', { after, limit })
      found.push(...page.items.map(({ namespace, repository, role }) => `${role} in ${repository || namespace}`))
      const last = page.items.at(-1)
      after = last && { namespaceId: last.namespace_id, repository: last.repository }
      hasMore = page.hasMore
    }
    assert.deepEqual(found, ['reader in alice', 'none in alice/app', 'writer in bob'], `${limit} at a time`)
  }
})

test('a team needs a name that is one and that is free', async (t) => {
  const database = await setStage(t)
  await assertRejected('nameInvalid', addTeam(database, { name: 'The Crew', nowMs }))
  assert.equal((await assertRejected('nameTaken', addTeam(database, { name: 'crew', nowMs }))).message, 'there is a team "crew" already')
})

test('people are put in, made managers, and taken out; others are not', async (t) => {
  const database = await setStage(t)
  const alice = await idOf(database, 'alice')
  const standing = () => membershipIn(database, 'crew', alice)
  assert.equal(await standing(), undefined)
  await addToTeam(database, 'crew', { account: 'alice', isManager: false, nowMs })
  assert.equal(await standing(), 'member')
  await addToTeam(database, 'crew', { account: 'alice', isManager: true, nowMs })
  assert.equal(await standing(), 'manager')
  assert.equal(await membershipIn(database, 'none', alice), undefined)
  const { items, hasMore } = await teamMembers(database, 'crew', { after: undefined, limit: 5 })
  assert.deepEqual([items.map((row) => row.name), hasMore], [['alice'], false])
  for (const account of ['nobody', 'robot'])
    await assertRejected('parameterInvalid', addToTeam(database, 'crew', { account, isManager: false, nowMs }))
  await dropFromTeam(database, 'crew', { account: 'alice' })
  assert.equal(
    (await assertRejected('memberUnknown', dropFromTeam(database, 'crew', { account: 'alice' }))).message,
    '"alice" is not in the team "crew"',
  )
  assert.equal(await standing(), undefined)
})

test('teams are listed to who is in them, and to administrators all', async (t) => {
  const database = await setStage(t)
  await addTeam(database, { name: 'band', nowMs })
  await addToTeam(database, 'crew', { account: 'bob', isManager: false, nowMs })
  const namesOf = async (account: { id: number } | 'all') =>
    (await teamsFor(database, account, { after: undefined, limit: 9 })).items.map((row) => row.name)
  assert.deepEqual(await namesOf('all'), ['band', 'crew'])
  assert.deepEqual(await namesOf({ id: await idOf(database, 'bob') }), ['crew'])
  assert.deepEqual(await namesOf({ id: await idOf(database, 'alice') }), [])
})

test('a member stays what it is when nothing is said of it, and what a check says no to does not happen', async (t) => {
  const database = await setStage(t)
  const add = (more: Partial<Parameters<typeof addToTeam>[2]> = {}) => addToTeam(database, 'crew', { account: 'bob', nowMs, ...more })
  assert.deepEqual([(await add()).is_manager, (await add({ isManager: true })).is_manager, (await add({ nowMs: 9 })).is_manager], [0, 1, 1])
  assert.equal((await add({ nowMs: 9 })).added_at_ms, nowMs)
  const seen: unknown[] = []
  const refuse = (current: unknown): never => {
    seen.push(current)
    throw new RegistryError('denied')
  }
  await assertRejected('denied', add({ isManager: false, check: refuse }))
  await assertRejected('denied', add({ account: 'alice', check: refuse }))
  await assertRejected('denied', dropFromTeam(database, 'crew', { account: 'bob', check: refuse }))
  assert.deepEqual(seen, [{ isManager: true }, undefined, { isManager: true }])
  const { items } = await teamMembers(database, 'crew', { after: undefined, limit: 5 })
  assert.deepEqual(
    items.map(({ name, is_manager: isManager }) => [name, isManager]),
    [['bob', 1]],
  )
  await assertRejected('denied', updateTeam(database, 'crew', { description: 'others', check: refuse }))
  await assertRejected('denied', removeTeam(database, 'crew', refuse))
  assert.equal((await describeTeam(database, 'crew')).description, 'all hands')
})

test('what is asked of a team that is not there is refused', async (t) => {
  const database = await setStage(t)
  await updateTeam(database, 'crew', { description: 'some hands' })
  assert.equal((await describeTeam(database, 'crew')).description, 'some hands')
  await removeTeam(database, 'crew')
  const asked = [
    () => describeTeam(database, 'crew'),
    () => updateTeam(database, 'crew', { description: '' }),
    () => removeTeam(database, 'crew'),
    () => rolesOfTeam(database, 'crew', { after: undefined, limit: 1 }),
    () => teamMembers(database, 'crew', { after: undefined, limit: 1 }),
    () => addToTeam(database, 'crew', { account: 'bob', isManager: false, nowMs }),
    () => dropFromTeam(database, 'crew', { account: 'bob' }),
  ]
  for (const ask of asked) await assertRejected('teamUnknown', ask())
})
