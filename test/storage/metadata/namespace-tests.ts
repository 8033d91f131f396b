/** Namespaces: made with the first repository, renamed with everything that carries the name, listed to those who have a role. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Database } from '../../../storage/metadata/database.ts'
import { grantedRole } from '../../../storage/metadata/grants.ts'
import {
  changeNamespace,
  createNamespace,
  ensureNamespace,
  listNamespaces,
  listNamespacesOf,
  measureNamespace,
  namespaceByName,
  renameNamespace,
} from '../../../storage/metadata/namespaces.ts'
import { ensureRepository, repositoryByName } from '../../../storage/metadata/repositories.ts'
import { addGrants, addPerson, addRobot, addTeamOf } from '../../support/grant-rows.ts'
import { addBlob, addManifest, addRepository, repositoryName } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

async function roleIn(database: Database, accountId: number, namespace: string) {
  return (await grantedRole.first(database.read, { namespace, repository: '', accountId }))?.role
}

const fresh = { description: '', visibility: null, by: null, nowMs: 5 } as const

export function namespaceTests(create: MetadataFactory): void {
  test('the first repository of a namespace makes it, and whoever pushes it owns it', async (t) => {
    const { database } = await create(t)
    const [alice, bob] = [await addPerson(database, 'alice'), await addPerson(database, 'bob')]
    const push = (name: string, accountId: number | null) =>
      database.write((tx) => ensureRepository(tx, { name: repositoryName(name), visibility: 'private', accountId, nowMs: 7 }))
    await push('team/app', alice)
    await push('team/other', bob)
    assert.deepEqual(await namespaceByName.first(database.read, { name: 'team' }), {
      id: 1,
      name: 'team',
      description: '',
      visibility: null,
      created_at_ms: 7,
      created_by: 'alice',
    })
    assert.deepEqual([await roleIn(database, alice, 'team'), await roleIn(database, bob, 'team')], ['owner', null])
  })

  test('nobody is granted a namespace of their own name, a robot is granted none, nor is nobody', async (t) => {
    const { database } = await create(t)
    const alice = await addPerson(database, 'alice')
    const robot = await addRobot(database, 'robot', 'ci')
    for (const [name, accountId] of [
      ['alice', alice],
      ['made-by-robot', robot],
      ['made-by-nobody', null],
    ] as const)
      await database.write((tx) => ensureNamespace(tx, { name, accountId, nowMs: 1 }))
    assert.deepEqual(await database.read.selectFrom('role_grant').select('id').execute(), [])
  })

  test('a new repository is as visible as its namespace says, and else as the setting does', async (t) => {
    const { database } = await create(t)
    await database.write((tx) => createNamespace(tx, { name: 'open', ...fresh, visibility: 'public' }))
    await database.write((tx) => createNamespace(tx, { name: 'plain', ...fresh }))
    for (const name of ['open/app', 'plain/app', 'new/app']) await addRepository(database, name, 'internal')
    await database.write((tx) => changeNamespace(tx, 'open', { visibility: 'private' }))
    await addRepository(database, 'open/later', 'internal')
    const visibilities = await Promise.all(
      ['open/app', 'open/later', 'plain/app', 'new/app'].map(
        async (name) => (await repositoryByName.first(database.read, { name: repositoryName(name) }))?.visibility,
      ),
    )
    assert.deepEqual(visibilities, ['public', 'private', 'internal', 'internal'])
  })

  test('a name is taken once; a change of what is not there is told', async (t) => {
    const { database } = await create(t)
    assert.equal(await database.write((tx) => createNamespace(tx, { name: 'team', ...fresh })), 1)
    assert.equal(await database.write((tx) => createNamespace(tx, { name: 'team', ...fresh })), undefined)
    assert.equal(await database.write((tx) => changeNamespace(tx, 'team', {})), true)
    assert.equal(await database.write((tx) => changeNamespace(tx, 'team', { description: 'ours' })), true)
    assert.equal(await database.write((tx) => changeNamespace(tx, 'none', { description: 'ours' })), false)
    assert.equal((await namespaceByName.first(database.read, { name: 'team' }))?.description, 'ours')
  })

  test('a renaming takes repositories and exceptions with it, and nothing of a neighbour', async (t) => {
    const { database } = await create(t)
    const accountId = await addPerson(database, 'alice')
    for (const name of ['team', 'team/app', 'team/app/team', 'team-2/app', 'teams/app']) await addRepository(database, name)
    await addGrants(database, { accountId }, [
      { namespace: 'team', repository: '', role: 'reader' },
      { namespace: 'team', repository: 'team/app', role: 'writer' },
      { namespace: 'team-2', repository: 'team-2/app', role: 'writer' },
    ])
    const id = (await namespaceByName.first(database.read, { name: 'team' }))?.id ?? 0
    await database.write((tx) => renameNamespace(tx, { id, from: 'team', to: 'a.crew' }))
    const rows = await database.read.selectFrom('repository').select(['name', 'namespace']).orderBy('name').execute()
    assert.deepEqual(
      rows.map((row) => `${row.namespace}: ${row.name}`),
      ['a.crew: a.crew', 'a.crew: a.crew/app', 'a.crew: a.crew/app/team', 'team-2: team-2/app', 'teams: teams/app'],
    )
    const role = async (namespace: string, name: string) =>
      (await grantedRole.first(database.read, { namespace, repository: repositoryName(name), accountId }))?.role
    assert.deepEqual(
      [
        await role('a.crew', 'a.crew/app'),
        await role('a.crew', 'a.crew/x'),
        await role('team', 'team/app'),
        await role('team-2', 'team-2/app'),
      ],
      ['writer', 'reader', null, 'writer'],
    )
  })

  test('what a namespace holds is counted: blobs once, those of others not', async (t) => {
    const { database } = await create(t)
    const [app, web, other] = await Promise.all(['team/app', 'team/web', 'other/app'].map((name) => addRepository(database, name)))
    assert.ok(app && web && other)
    for (const id of [app, web, other]) await addBlob(database, id, 'shared')
    await addBlob(database, other, 'of another')
    await addBlob(database, app, 'more')
    await addManifest(database, app, { text: 'a manifest' })
    const accountId = await addPerson(database, 'alice')
    await addGrants(database, { accountId }, [
      { namespace: 'team', repository: '', role: 'reader' },
      { namespace: 'team', repository: 'team/app', role: 'none' },
    ])
    await addGrants(database, { teamId: await addTeamOf(database, 'crew') }, [{ namespace: 'team', repository: '', role: 'writer' }])
    await addRobot(database, 'robot', 'team')
    const row = await namespaceByName.first(database.read, { name: 'team' })
    assert.deepEqual(await measureNamespace(database.read, { id: row?.id ?? 0, name: 'team' }), {
      repositories: 2,
      members: 2,
      exceptions: 1,
      robots: 1,
      longest_name: 8,
      usage: {
        blobs: 2,
        blob_bytes: 'shared'.length + 'more'.length,
        unique_blobs: 1,
        unique_bytes: 'more'.length,
        manifests: 1,
        manifest_bytes: 'a manifest'.length,
      },
    })
  })

  test('namespaces are paged by name, all of them or those in which an account has a role, by itself or a team', async (t) => {
    const { database } = await create(t)
    const accountId = await addPerson(database, 'carol')
    const names = ['a', 'a-b', 'b', 'carol', 'd', 'e']
    for (const name of names) await database.write((tx) => createNamespace(tx, { name, ...fresh }))
    await addGrants(database, { accountId }, [
      { namespace: 'd', repository: '', role: 'reader' },
      { namespace: 'e', repository: 'e/app', role: 'owner' },
    ])
    await addGrants(database, { teamId: await addTeamOf(database, 'crew', accountId) }, [
      { namespace: 'a-b', repository: '', role: 'owner' },
    ])
    const account = { id: accountId, name: 'carol' }
    const walk = async (read: (page: { after: string | undefined; limit: number }) => Promise<{ name: string }[]>) => {
      const found: string[] = []
      for (let after: string | undefined; ; after = found.at(-1)) {
        const page = await read({ after, limit: 2 })
        found.push(...page.map((row) => row.name))
        if (page.length < 2) return found
      }
    }
    assert.deepEqual(await walk((page) => listNamespaces(database.read, page)), names)
    assert.deepEqual(await walk((page) => listNamespacesOf(database.read, { account, ...page })), ['a-b', 'carol', 'd'])
  })
}
