/**
 * Namespaces on the wire: who may push into one that is not there, who owns it then, what a refused push says, and that lists
 * and mounts follow roles and exceptions to the letter.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { addNamespace, describeNamespace, grantRole, updateNamespace } from '../../registry/namespaces.ts'
import { addTeam, addToTeam } from '../../registry/teams.ts'
import { giveRobot } from '../support/access-tokens.ts'
import { basic, Client, sha256 } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer } from './callers.ts'
import { jsonOf, messageOf, send } from './wire.ts'

const grants = { by: null, nowMs: 1 }

test('an administrator who pushes into a namespace that is not there makes it and owns it', async (t) => {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('team/app', 'v1')
  const { owners, created_by: by } = await describeNamespace(registry.services.registry.database, 'team')
  assert.deepEqual([owners, by], [['admin'], 'admin'])
})

for (const create of ['administrators', 'everyone'] as const) {
  test(`with namespaces.create ${create}, a person may ${create === 'everyone' ? '' : 'not '}push into a namespace that is not there`, async (t) => {
    const registry = await startRegistry(t, { settings: { NAMESPACES_CREATE: create } })
    for (const name of ['alice', 'bob']) await registry.addUser(name)
    const token = await bearer(registry, basic('alice'), 'repository:team/app:pull,push')
    const push = (authorization: string) => send(registry, 'POST /v2/team/app/blobs/uploads/', { authorization })
    if (create === 'administrators') {
      const message =
        'account "alice" may not push to team/app, because there is no namespace team and only administrators create one: ' +
        'push to alice/app, or ask an administrator for it'
      for (const [authorization, status] of [
        [basic('alice'), 403],
        [token, 401],
      ] as const) {
        const reply = await push(authorization)
        assert.deepEqual([reply.status, messageOf(reply)], [status, message])
      }
      return
    }
    assert.equal((await push(token)).status, 202)
    assert.equal((await push(basic('bob'))).status, 202, 'a namespace comes to be with its first content')
    await new Client(registry, basic('alice')).pushImage('team/app', 'v1')
    const refused = await push(basic('bob'))
    const message =
      'account "bob" may not push to team/app, which takes the role writer: push to bob/app, or ask alice or an administrator for it'
    assert.deepEqual([refused.status, messageOf(refused)], [403, message])
    assert.deepEqual((await describeNamespace(registry.services.registry.database, 'team')).owners, ['alice'])
    assert.equal((await send(registry, 'GET /v2/team/app/tags/list', { authorization: basic('bob') })).status, 403)
    assert.equal((await send(registry, 'DELETE /v2/team/app/manifests/v1', { authorization: basic('alice') })).status, 202)
  })
}

test('a namespace that a person made by a mount or by a manifest is theirs as well', async (t) => {
  const registry = await startRegistry(t, { settings: { NAMESPACES_CREATE: 'everyone' } })
  await registry.addUser('alice')
  const alice = new Client(registry, basic('alice'))
  const digest = await alice.pushBlob('alice/app', 'a layer')
  const mounted = await send(registry, `POST /v2/one/app/blobs/uploads/?mount=${digest}&from=alice/app`, { authorization: basic('alice') })
  assert.equal(mounted.status, 201)
  const pushed = await send(registry, 'PUT /v2/two/app/manifests/v1', {
    authorization: basic('alice'),
    headers: { 'Content-Type': 'application/vnd.oci.image.index.v1+json' },
    body: '{"schemaVersion":2,"manifests":[]}',
  })
  assert.equal(pushed.status, 201)
  for (const name of ['one', 'two'])
    assert.deepEqual((await describeNamespace(registry.services.registry.database, name)).owners, ['alice'], name)
})

test('a refused push names up to three who could grant it, and a robot is told where it works', async (t) => {
  const registry = await startRegistry(t)
  const { database } = registry.services.registry
  for (const name of ['alice', 'olga', 'otto', 'oskar', 'omar']) await registry.addUser(name)
  await addNamespace(database, { name: 'team', owner: 'olga', by: null, nowMs: 1 })
  await addTeam(database, { name: 'owners', nowMs: 1 })
  for (const account of ['otto', 'oskar', 'omar']) await addToTeam(database, 'owners', { account, isManager: false, nowMs: 1 })
  const member = { account: 'alice' }
  await grantRole(database, { namespace: 'team', member: { team: 'owners' }, role: 'owner', ...grants })
  await grantRole(database, { namespace: 'team', member, role: 'reader', ...grants })
  const push = await send(registry, 'POST /v2/team/app/blobs/uploads/', { authorization: basic('alice') })
  const asked = 'push to alice/app, or ask olga, otto, oskar or an administrator for it'
  assert.equal(messageOf(push), `account "alice" may not push to team/app, which takes the role writer: ${asked}`)

  await addNamespace(database, { name: 'ci', owner: 'omar', by: null, nowMs: 1 })
  const robot = basic('ci.robot', await giveRobot(registry, { namespace: 'ci', name: 'robot' }, 'pull,push *'))
  const refused = await send(registry, 'POST /v2/team/app/blobs/uploads/', { authorization: robot })
  assert.equal(
    messageOf(refused),
    'robot "ci.robot" may not push to team/app, because it works in ci alone: ask olga, otto, oskar or an administrator for it',
  )
  assert.equal((await send(registry, 'POST /v2/ci/app/blobs/uploads/', { authorization: robot })).status, 202)
  assert.equal(
    (await send(registry, 'POST /v2/ci.robot/app/blobs/uploads/', { authorization: robot })).status,
    403,
    'its name is no namespace of its own',
  )
  assert.equal((await send(registry, 'PATCH /api/v1/repositories/ci/app', { authorization: robot })).status, 403, 'it manages nothing')
})

/** bob: reader of team but for two repositories, of which he may push to one; reader of one more elsewhere. */
async function setExceptions(registry: TestRegistry): Promise<void> {
  const { database } = registry.services.registry
  await registry.addUser('bob')
  const admin = new Client(registry)
  for (const name of ['team', 'team/app', 'team/secret', 'team/web', 'team-2/app', 'other/app', 'other/web'])
    await admin.pushBlob(name, name)
  const member = { account: 'bob' }
  const grant = (place: string, role: 'none' | 'reader' | 'writer') => {
    const name = parseRepositoryName(place)
    const [namespace = ''] = place.split('/')
    return grantRole(database, { namespace, ...(place.includes('/') ? { repository: name } : {}), member, role, ...grants })
  }
  await grant('team', 'reader')
  await grant('team/secret', 'none')
  await grant('team/web', 'writer')
  await grant('other/app', 'reader')
}

test('catalog, search, the API, pulls, pushes and mounts follow roles and exceptions to the letter', async (t) => {
  const registry = await startRegistry(t)
  await setExceptions(registry)
  const authorization = basic('bob')
  const visible = ['other/app', 'team', 'team/app', 'team/web']
  const all = ['other/app', 'other/web', 'team', 'team-2/app', 'team/app', 'team/secret', 'team/web']
  const catalog = await send(registry, 'GET /v2/_catalog', { authorization })
  assert.deepEqual((jsonOf(catalog) as { repositories: string[] }).repositories, visible)
  const search = await send(registry, 'GET /v1/search?q=', { authorization })
  assert.deepEqual((jsonOf(search) as { results: { name: string }[] }).results.map(({ name }) => name).toSorted(), visible)
  const api = await send(registry, 'GET /api/v1/repositories', { authorization })
  assert.deepEqual(
    (jsonOf(api) as { items: { name: string }[] }).items.map(({ name }) => name),
    visible,
  )
  const token = await bearer(registry, authorization, ...all.map((name) => `repository:${name}:pull,push`))
  for (const name of all) {
    const isVisible = visible.includes(name)
    const pull = await send(registry, `GET /v2/${name}/blobs/${sha256(name)}`, { authorization })
    assert.equal(pull.status, isVisible ? 200 : 403, name)
    assert.equal((await send(registry, `GET /v2/${name}/blobs/${sha256(name)}`, { authorization: token })).status, isVisible ? 200 : 401)
    const push = await send(registry, `POST /v2/${name}/blobs/uploads/`, { authorization })
    assert.equal(push.status, name === 'team/web' ? 202 : 403, name)
    for (const from of [`&from=${name}`, '']) {
      const mount = await send(registry, `POST /v2/bob/app/blobs/uploads/?mount=${sha256(name)}${from}`, { authorization })
      assert.equal(mount.status, isVisible ? 201 : 202, `a mount of what is in ${name}`)
    }
  }
})

test('a new repository is as visible as its namespace says', async (t) => {
  const registry = await startRegistry(t)
  const { database } = registry.services.registry
  await registry.addUser('bob')
  await addNamespace(database, { name: 'shared', visibility: 'internal', by: null, nowMs: 1 })
  await new Client(registry).pushImage('shared/app', 'v1')
  await updateNamespace(database, 'shared', { visibility: null })
  await new Client(registry).pushImage('shared/later', 'v1')
  const statuses = await Promise.all(
    ['shared/app', 'shared/later'].map(
      async (name) => (await send(registry, `GET /v2/${name}/tags/list`, { authorization: basic('bob') })).status,
    ),
  )
  assert.deepEqual(statuses, [200, 403])
})
