/** Grants of roles: found by one look-up as the rule in auth/roles.ts has it, listed by key, gone with what they belong to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { roleFrom, type Grant } from '../../../auth/roles.ts'
import { deleteAccount } from '../../../storage/metadata/accounts.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import {
  deleteGrant,
  grantedRole,
  hasGrantedOwner,
  listGrantedOwners,
  listGrantsOf,
  listMembers,
} from '../../../storage/metadata/grants.ts'
import { deleteNamespace, namespaceByName } from '../../../storage/metadata/namespaces.ts'
import { deleteTeam } from '../../../storage/metadata/teams.ts'
import { anyGrants, names } from '../../auth/cast.ts'
import { addGrants, addPerson, addTeamOf } from '../../support/grant-rows.ts'
import { repositoryName } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const everywhere = (namespace: string, role: Grant['role']): Grant => ({ namespace, repository: '', role })

/** A row for each place: a later grant stands in place of an earlier one. */
function lastOfEach(grants: readonly Grant[]): Grant[] {
  return [...new Map(grants.map((grant) => [`${grant.namespace} ${grant.repository}`, grant])).values()]
}

async function roleIn(database: Database, accountId: number, name: string) {
  const repository = repositoryName(name)
  return (await grantedRole.first(database.read, { namespace: name.split('/')[0] ?? '', repository, accountId }))?.role
}

export function grantTests(create: MetadataFactory): void {
  test('the look-up finds the role that the rule makes of an account’s grants and of those of its teams', async (t) => {
    const { database } = await create(t)
    let count = 0
    await fc.assert(
      fc.asyncProperty(anyGrants, anyGrants, anyGrants, async (own, first, second) => {
        const accountId = await addPerson(database, `person-${++count}`)
        await addGrants(database, { accountId }, own)
        for (const [index, grants] of [first, second].entries())
          await addGrants(database, { teamId: await addTeamOf(database, `team-${count}-${index}`, accountId) }, grants)
        const all = [own, first, second].flatMap(lastOfEach)
        for (const name of names) assert.equal(await roleIn(database, accountId, name), roleFrom(all, repositoryName(name)) ?? null, name)
        const held = await listGrantsOf(database.read, accountId)
        const textOf = (grant: Grant) => `${grant.namespace} ${grant.repository} ${grant.role}`
        assert.deepEqual(held.map(textOf).toSorted(), all.map(textOf).toSorted())
      }),
      { numRuns: 60 },
    )
  })

  test('grants of others, of teams that one is not in, and in places that are not there are none', async (t) => {
    const { database } = await create(t)
    const [alice, bob] = [await addPerson(database, 'alice'), await addPerson(database, 'bob')]
    await addGrants(database, { accountId: bob }, [everywhere('team', 'owner')])
    await addGrants(database, { teamId: await addTeamOf(database, 'crew', bob) }, [everywhere('team', 'owner')])
    assert.equal(await roleIn(database, alice, 'team/app'), null)
    assert.equal(await roleIn(database, bob, 'nowhere/app'), null)
    assert.equal(await roleIn(database, 404, 'team/app'), null)
    assert.equal(await roleIn(database, bob, 'team/app'), 'owner')
  })

  test('a grant takes the place of the one before it, and can be taken away once', async (t) => {
    const { database } = await create(t)
    const accountId = await addPerson(database, 'alice')
    await addGrants(database, { accountId }, [everywhere('team', 'reader'), everywhere('team', 'writer')])
    const namespaceId = (await namespaceByName.first(database.read, { name: 'team' }))?.id ?? 0
    const page = { namespaceId, after: undefined, limit: 10 }
    assert.deepEqual(
      (await listMembers(database.read, page)).map(({ account, team, role }) => [account, team, role]),
      [['alice', null, 'writer']],
    )
    const key = { namespaceId, repository: '', accountId, teamId: null }
    assert.equal(await database.write((tx) => deleteGrant(tx, { ...key, repository: 'team/app' })), false)
    assert.equal(await database.write((tx) => deleteGrant(tx, key)), true)
    assert.equal(await database.write((tx) => deleteGrant(tx, key)), false)
    assert.deepEqual(await listMembers(database.read, page), [])
  })

  for (const [gone, remove] of Object.entries({
    account: (database: Database) => database.write((tx) => deleteAccount(tx, 'alice')),
    namespace: (database: Database) => database.write((tx) => deleteNamespace(tx, 'team')),
    team: (database: Database) => database.write((tx) => deleteTeam(tx, 'crew')),
  })) {
    test(`grants go with their ${gone}`, async (t) => {
      const { database } = await create(t)
      const accountId = await addPerson(database, 'alice')
      const teamId = await addTeamOf(database, 'crew', accountId)
      await addGrants(database, gone === 'team' ? { teamId } : { accountId }, [everywhere('team', 'writer')])
      assert.equal(await roleIn(database, accountId, 'team/app'), 'writer')
      assert.equal(await remove(database), true)
      assert.equal(await roleIn(database, accountId, 'team/app'), null)
      assert.deepEqual(await database.read.selectFrom('role_grant').select('id').execute(), [])
    })
  }

  test('members are paged by key: those of the whole namespace first, then by repository, none twice and none left out', async (t) => {
    const { database } = await create(t)
    const ids = await Promise.all(['a', 'b', 'c'].map((name) => addPerson(database, name)))
    for (const accountId of ids) {
      await addGrants(database, { accountId }, [
        { namespace: 'team', repository: 'team/web', role: 'none' },
        everywhere('team', 'reader'),
        { namespace: 'team', repository: 'team/app', role: 'writer' },
        everywhere('other', 'owner'),
      ])
    }
    const namespaceId = (await namespaceByName.first(database.read, { name: 'team' }))?.id ?? 0
    const whole = await listMembers(database.read, { namespaceId, after: undefined, limit: 100 })
    assert.deepEqual(
      whole.map((row) => row.repository),
      ['', '', '', 'team/app', 'team/app', 'team/app', 'team/web', 'team/web', 'team/web'],
    )
    for (const limit of [1, 2, 4]) {
      const found: typeof whole = []
      for (let after: (typeof whole)[0] | undefined; ; after = found.at(-1)) {
        const page = await listMembers(database.read, { namespaceId, after, limit })
        found.push(...page)
        if (page.length < limit) break
      }
      assert.deepEqual(found, whole)
    }
  })

  test('owners by grant are people who can act, first those who were granted it first, then those of teams, each once', async (t) => {
    const { database } = await create(t)
    const [first, second, third, off] = await Promise.all(['first', 'second', 'third', 'off'].map((name) => addPerson(database, name)))
    assert.ok(first && second && third && off)
    await database.write((tx) => tx.updateTable('account').set({ is_disabled: 1 }).where('id', '=', off).execute())
    for (const accountId of [off, second, first]) await addGrants(database, { accountId }, [everywhere('team', 'owner')])
    await addGrants(database, { teamId: await addTeamOf(database, 'crew', third, second) }, [everywhere('team', 'owner')])
    await addGrants(database, { accountId: third }, [{ namespace: 'team', repository: 'team/app', role: 'owner' }])
    assert.deepEqual(await listGrantedOwners(database.read, { namespace: 'team', limit: 10 }), ['second', 'first', 'third'])
    assert.deepEqual(await listGrantedOwners(database.read, { namespace: 'team', limit: 2 }), ['second', 'first'])
    assert.deepEqual(await listGrantedOwners(database.read, { namespace: 'none', limit: 2 }), [])
    assert.deepEqual([await hasGrantedOwner(database.read, 'team'), await hasGrantedOwner(database.read, 'none')], [true, false])
  })

  test('none for a whole namespace, and a grant to nobody or to two, are refused by the database too', async (t) => {
    const { database } = await create(t)
    const accountId = await addPerson(database, 'alice')
    const teamId = await addTeamOf(database, 'crew')
    await assert.rejects(addGrants(database, { accountId }, [everywhere('team', 'none')]), /constraint/i)
    for (const member of [{ accountId, teamId }, {} as { accountId: number }])
      await assert.rejects(addGrants(database, member, [everywhere('team', 'reader')]), /constraint/i)
  })
}
