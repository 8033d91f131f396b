/** The version of all rights grows with whatever can change what a grant gives: or a role would be remembered that is gone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { removeAccount } from '../../registry/accounts.ts'
import { addNamespace, grantRole, removeNamespace, revokeRole, updateNamespace } from '../../registry/namespaces.ts'
import { addTeam, addToTeam, dropFromTeam, removeTeam } from '../../registry/teams.ts'
import { removeRepository } from '../../registry/change-repository.ts'
import { repositoryAndVersion } from '../../storage/metadata/repositories.ts'
import { Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

test('every change of rights is another version, and nothing else is', async (t) => {
  const running = await startRegistry(t)
  const { registry } = running.services
  const { database } = registry
  for (const name of ['alice', 'bob', 'carol']) await running.addUser(name)
  await new Client(running).pushImage('admin/app', 'v1')
  await new Client(running).pushImage('team/app', 'v1')
  const asked = database.prepare(repositoryAndVersion)
  const version = async (): Promise<number> => (await asked({ name: parseRepositoryName('admin/app') }))?.rights_version ?? Number.NaN
  const bob = { namespace: 'team', member: { account: 'bob' } }
  const app = parseRepositoryName('team/app')
  const given = { by: null, nowMs: 1 }
  const changes: Readonly<Record<string, () => Promise<unknown>>> = {
    'a role': () => grantRole(database, { ...bob, ...given, role: 'reader' }),
    'another role': () => grantRole(database, { ...bob, ...given, role: 'writer' }),
    'an exception': () => grantRole(database, { ...bob, ...given, repository: app, role: 'none' }),
    'an exception taken back': () => revokeRole(database, { ...bob, repository: app }),
    'a role taken away': () => revokeRole(database, bob),
    'a member': () => addToTeam(database, 'crew', { account: 'bob', nowMs: 1 }),
    'a member who manages': () => addToTeam(database, 'crew', { account: 'bob', isManager: true, nowMs: 1 }),
    'the role of a team': () => grantRole(database, { namespace: 'team', member: { team: 'crew' }, ...given, role: 'reader' }),
    'a member less': () => dropFromTeam(database, 'crew', { account: 'bob' }),
    'a team less': () => removeTeam(database, 'crew'),
    'the exception of a repository that goes': async () => {
      await grantRole(database, { ...bob, ...given, repository: app, role: 'reader' })
      const before = await version()
      await removeRepository(registry, app)
      assert.ok((await version()) > before)
    },
    'an account that had a role': async () => {
      await grantRole(database, { namespace: 'team', member: { account: 'carol' }, ...given, role: 'reader' })
      const before = await version()
      await removeAccount(database, 'carol')
      assert.ok((await version()) > before)
    },
    'a namespace of another name': () => updateNamespace(database, 'team', { name: 'band' }),
    'a namespace less': () => removeNamespace(registry, 'band', { withRepositories: true }),
  }
  await addTeam(database, { name: 'crew', nowMs: 1 })
  for (const [what, change] of Object.entries(changes)) {
    const before = await version()
    await change()
    assert.ok((await version()) > before, what)
  }
  const others: Readonly<Record<string, () => Promise<unknown>>> = {
    'a push': () => new Client(running).pushImage('admin/app', 'v2'),
    'a namespace that nobody owns': () => addNamespace(database, { name: 'other', by: null, nowMs: 1 }),
    'a team without members': () => addTeam(database, { name: 'club', nowMs: 1 }),
    'a description': () => updateNamespace(database, 'other', { description: 'else' }),
  }
  for (const [what, change] of Object.entries(others)) {
    const before = await version()
    await change()
    assert.equal(await version(), before, what)
  }
})
