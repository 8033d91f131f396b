/** Teams and who is in them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  createTeam,
  deleteTeam,
  deleteTeamMember,
  findMembership,
  listTeamMembers,
  listTeams,
  listTeamsOf,
  setTeamDescription,
  setTeamMember,
  teamByName,
} from '../../../storage/metadata/teams.ts'
import { addPerson, addTeamOf } from '../../support/grant-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

export function teamTests(create: MetadataFactory): void {
  test('a team has a name that no other has, and a description that can change', async (t) => {
    const { database } = await create(t)
    const make = () => database.write((tx) => createTeam(tx, { name: 'crew', description: 'all hands', nowMs: 3 }))
    assert.deepEqual([await make(), await make()], [true, false])
    assert.equal(await database.write((tx) => setTeamDescription(tx, 'crew', 'some hands')), true)
    assert.equal(await database.write((tx) => setTeamDescription(tx, 'none', '')), false)
    assert.deepEqual(await teamByName.first(database.read, { name: 'crew' }), {
      id: 1,
      name: 'crew',
      description: 'some hands',
      created_at_ms: 3,
    })
    assert.deepEqual(
      [await database.write((tx) => deleteTeam(tx, 'crew')), await database.write((tx) => deleteTeam(tx, 'crew'))],
      [true, false],
    )
    assert.equal(await teamByName.first(database.read, { name: 'crew' }), undefined)
  })

  test('an account is in a team once, as a member or as a manager, until it is taken out', async (t) => {
    const { database } = await create(t)
    const accountId = await addPerson(database, 'alice')
    const teamId = await addTeamOf(database, 'crew', accountId)
    const member = { teamId, accountId }
    assert.deepEqual(await findMembership(database.read, member), { is_manager: 0, added_at_ms: 1 })
    await database.write((tx) => setTeamMember(tx, { ...member, isManager: true, nowMs: 9 }))
    assert.deepEqual(await listTeamMembers(database.read, { teamId, after: undefined, limit: 5 }), [
      { account_id: accountId, name: 'alice', is_manager: 1, added_at_ms: 1 },
    ])
    const remove = () => database.write((tx) => deleteTeamMember(tx, member))
    assert.deepEqual([await remove(), await remove()], [true, false])
    assert.equal(await findMembership(database.read, member), undefined)
  })

  test('teams and members are paged by key, all teams or those of an account', async (t) => {
    const { database } = await create(t)
    const ids: number[] = []
    for (const name of ['x', 'y', 'z']) ids.push(await addPerson(database, name))
    const [first = 0] = ids
    const b = await addTeamOf(database, 'b', ...ids)
    await addTeamOf(database, 'c')
    await addTeamOf(database, 'a', first)
    const teams = (await listTeams(database.read, { after: 'a', limit: 1 })).map((row) => row.name)
    const own = (await listTeamsOf(database.read, { accountId: first, after: undefined, limit: 5 })).map((row) => row.name)
    assert.deepEqual([teams, own], [['b'], ['a', 'b']])
    const page = await listTeamMembers(database.read, { teamId: b, after: first, limit: 1 })
    assert.deepEqual(
      page.map((row) => row.name),
      ['y'],
    )
  })
}
