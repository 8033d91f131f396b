/** Namespaces and the roles in them over the API: what is told to whom, what a change asks for, and what it does at once. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { grantRole } from '../../registry/namespaces.ts'
import { giveToken } from '../support/access-tokens.ts'
import { basic, Client, expectStatus, type Answer } from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

type Json = Record<string, unknown>
const json = (answer: Answer) => JSON.parse(answer.bytes.toString('utf8')) as Json

/** Calls in the name of one account. */
function caller(registry: TestRegistry, authorization: string) {
  const client = new Client(registry, authorization)
  return (...[method, path, body, headers = {}]: [string, string, object?, object?]) =>
    client.call(method, `/api/v1${path}`, {
      headers: { ...(body && { 'Content-Type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    })
}

type Call = ReturnType<typeof caller>

/** Every entry of a list, in pages of one size. */
async function pages(send: Call, path: string, limit: number): Promise<Json[]> {
  const found: Json[] = []
  for (let cursor = ''; ;) {
    const { items, next } = json(await expectStatus(await send('GET', `${path}?limit=${limit}${cursor}`), 200)) as {
      items: Json[]
      next: string | null
    }
    assert.ok(items.length <= limit)
    found.push(...items)
    if (next === null) return found
    cursor = `&cursor=${next}`
  }
}

async function assertRefused(answer: Answer, status: number, reason: string): Promise<string> {
  assert.deepEqual([answer.status, json(answer)['reason']], [status, reason], answer.bytes.toString())
  return String(json(answer)['detail'])
}

suite('namespaces', () => {
  const registry = shareRegistry()
  const as = (account: string) => caller(registry(), basic(account))
  const admin: Call = (...sent) => as('admin')(...sent)
  const people = async (...names: string[]) => {
    for (const name of names) await registry().addUser(name)
  }
  const create = (name: string, more: object = {}) => admin('POST', '/namespaces', { name, ...more })
  const grant = (...[namespace, account, role, query = '']: [string, string, string, string?]) =>
    admin('PUT', `/namespaces/${namespace}/members/${account}${query}`, { role })

  test('one is made, described, changed, renamed and removed', async () => {
    await people('anna')
    const made = await expectStatus(await create('made', { owner: 'anna', description: 'ours', visibility: 'internal' }), 201)
    const { createdAt, ...namespace } = json(made)
    assert.deepEqual(namespace, { name: 'made', description: 'ours', visibility: 'internal', createdBy: 'admin' })
    assert.ok(Math.abs(Date.parse(String(createdAt)) - Date.now()) < 60_000)
    assert.equal(made.headers.get('Location'), '/api/v1/namespaces/made')
    const usage = { bytes: 0, blobs: 0, manifests: 0, manifestBytes: 0, sharing: null }
    const content = { repositories: 0, members: 1, exceptions: 0, robots: 0, usage }
    assert.deepEqual(json(await as('anna')('GET', '/namespaces/made')), { ...json(made), owners: ['anna'], content })
    const changed = await expectStatus(await as('anna')('PATCH', '/namespaces/made', { visibility: null, description: 'yours' }), 200)
    assert.deepEqual(json(changed), { ...json(made), visibility: null, description: 'yours' })
    await new Client(registry(), basic('anna')).pushBlob('made/app', 'a layer')
    const held = { ...content, repositories: 1, usage: { ...usage, blobs: 1, bytes: 7 } }
    const sharing = { uniqueBlobs: 1, uniqueBytes: 7, sharedBytes: 0 }
    assert.deepEqual(json(await expectStatus(await admin('GET', '/namespaces/made/rename?to=remade'), 200)), {
      ...held,
      usage: { ...held.usage, sharing },
    })
    assert.deepEqual(json(await expectStatus(await as('anna')('GET', '/namespaces/made/removal'), 200)), held)
    const renamed = await expectStatus(await admin('PATCH', '/namespaces/made', { name: 'remade', visibility: 'private' }), 200)
    assert.deepEqual(json(renamed), { ...json(changed), name: 'remade', visibility: 'private' })
    await assertRefused(await admin('GET', '/namespaces/made'), 404, 'namespaceUnknown')
    assert.equal((await as('anna')('GET', '/repositories/remade%2Fapp')).status, 200)
    for (const query of ['', '?repositories=false'])
      assert.match(
        await assertRefused(await as('anna')('DELETE', `/namespaces/remade${query}`), 409, 'namespaceInUse'),
        /holds 1 repositor/,
      )
    await expectStatus(await as('anna')('DELETE', '/namespaces/remade?repositories=true'), 204)
    await assertRefused(await admin('GET', '/repositories/remade%2Fapp'), 404, 'nameUnknown')
    await assertRefused(await admin('DELETE', '/namespaces/remade'), 404, 'namespaceUnknown')
  })

  test('what cannot be is refused, says why and changes nothing', async () => {
    await people('berta')
    await expectStatus(await create('plain'), 201)
    const refusals: readonly (readonly [Answer, number, string])[] = [
      [await create('plain'), 409, 'nameTaken'],
      [await create('berta'), 409, 'nameTaken'],
      [await create('Plain'), 400, 'requestInvalid'],
      [await create('plain/app'), 400, 'requestInvalid'],
      [await create('fresh', { owner: 'nobody' }), 400, 'parameterInvalid'],
      [await create('fresh', { visibility: 'secret' }), 400, 'requestInvalid'],
      [await create('fresh', { members: [] }), 400, 'requestInvalid'],
      [await admin('PATCH', '/namespaces/plain', {}), 400, 'requestInvalid'],
      [await admin('PATCH', '/namespaces/plain', { name: 'berta', description: 'x' }), 409, 'nameTaken'],
      [await admin('PATCH', '/namespaces/berta', { name: 'bertha' }), 409, 'namespaceInUse'],
      [await admin('DELETE', '/namespaces/berta?repositories=true'), 409, 'namespaceInUse'],
      [await admin('DELETE', '/namespaces/plain?repositories=yes'), 400, 'parameterInvalid'],
      [await admin('GET', '/namespaces/plain/rename'), 400, 'parameterInvalid'],
      [await admin('GET', '/namespaces/plain/rename?to=berta'), 409, 'nameTaken'],
      [await admin('GET', '/namespaces/fresh'), 404, 'namespaceUnknown'],
      [await admin('PATCH', '/namespaces/fresh', { description: 'x' }), 404, 'namespaceUnknown'],
      [await admin('GET', '/namespaces/%00'), 404, 'namespaceUnknown'],
      [await grant('plain', 'nobody', 'reader'), 400, 'parameterInvalid'],
      [await grant('plain', 'berta', 'none'), 400, 'parameterInvalid'],
      [await grant('plain', 'berta', 'king'), 400, 'requestInvalid'],
      [await grant('plain', 'berta', 'reader', '?repository=other/app'), 400, 'parameterInvalid'],
      [await grant('plain', 'berta', 'reader', '?repository=A'), 400, 'nameInvalid'],
      [await grant('fresh', 'berta', 'reader'), 404, 'namespaceUnknown'],
      [await admin('PUT', '/namespaces/plain/teams/nobodies', { role: 'reader' }), 404, 'teamUnknown'],
      [await admin('DELETE', '/namespaces/plain/members/berta'), 404, 'memberUnknown'],
    ]
    for (const [answer, status, reason] of refusals) await assertRefused(answer, status, reason)
    const { description, owners } = json(await admin('GET', '/namespaces/plain'))
    assert.deepEqual([description, owners, await pages(admin, '/namespaces/plain/members', 9)], ['', [], []])
  })

  test('a change or a removal that expects another version is refused', async () => {
    const etag = (await expectStatus(await create('versioned'), 201)).headers.get('ETag') ?? ''
    assert.equal((await admin('GET', '/namespaces/versioned')).headers.get('ETag'), etag)
    const next = await expectStatus(await admin('PATCH', '/namespaces/versioned', { description: 'x' }, { 'If-Match': etag }), 200)
    assert.notEqual(next.headers.get('ETag'), etag)
    for (const [method, body] of [
      ['PATCH', { description: 'y' }],
      ['DELETE', undefined],
    ] as const)
      assert.equal((await admin(method, '/namespaces/versioned', body, { 'If-Match': etag })).status, 412)
    assert.equal(json(await admin('GET', '/namespaces/versioned'))['description'], 'x')
    await expectStatus(await admin('DELETE', '/namespaces/versioned', undefined, { 'If-Match': next.headers.get('ETag') ?? '' }), 204)
  })

  test('roles are granted again and again, listed in pages of any size, and revoked; the next request knows', async () => {
    await people('cora', 'carl')
    await expectStatus(await create('roles', { owner: 'cora' }), 201)
    await expectStatus(await admin('POST', '/teams', { name: 'roles-team' }), 201)
    const cora = as('cora')
    const push = async (name: string) => (await new Client(registry(), basic('carl')).call('POST', `/v2/${name}/blobs/uploads/`)).status
    assert.equal(await push('roles/app'), 403)
    const path = '/namespaces/roles/members/carl'
    for (const role of ['reader', 'writer', 'writer']) {
      const { grantedAt, ...member } = json(await expectStatus(await cora('PUT', path, { role }), 200))
      assert.deepEqual(member, { account: 'carl', team: null, role, repository: null, grantedBy: 'cora' })
      assert.ok(Math.abs(Date.parse(String(grantedAt)) - Date.now()) < 60_000)
    }
    const secret = json(await expectStatus(await cora('PUT', `${path}?repository=roles%2Fsecret`, { role: 'none' }), 200))
    assert.deepEqual([secret['role'], secret['repository']], ['none', 'roles/secret'])
    await expectStatus(await cora('PUT', '/namespaces/roles/teams/roles-team?repository=roles/app', { role: 'maintainer' }), 200)
    assert.deepEqual([await push('roles/app'), await push('roles/secret')], [202, 403])
    for (const limit of [1, 2, 9]) {
      const found = await pages(cora, '/namespaces/roles/members', limit)
      assert.deepEqual(
        found.map(({ account, team, role, repository }) => [account ?? team, role, repository]),
        [
          ['cora', 'owner', null],
          ['carl', 'writer', null],
          ['roles-team', 'maintainer', 'roles/app'],
          ['carl', 'none', 'roles/secret'],
        ],
      )
    }
    const { items } = json(await cora('GET', '/namespaces/roles/members?repository=roles/secret')) as { items: Json[] }
    assert.deepEqual(items, [secret])
    await expectStatus(await cora('DELETE', path), 204)
    assert.equal(await push('roles/app'), 403)
    await assertRefused(await cora('DELETE', path), 404, 'memberUnknown')
    await expectStatus(await cora('DELETE', `${path}?repository=roles/secret`), 204)
    await expectStatus(await cora('DELETE', '/namespaces/roles/teams/roles-team?repository=roles/app'), 204)
    await expectStatus(await admin('DELETE', '/namespaces/roles/members/cora'), 204)
    await assertRefused(await cora('GET', '/namespaces/roles'), 404, 'namespaceUnknown')
  })

  test('members see who has a role in all of it; exceptions and counts, which tell of repositories, are for owners', async () => {
    await people('dana', 'dirk')
    await expectStatus(await create('inside', { owner: 'dana' }), 201)
    await grant('inside', 'dirk', 'maintainer')
    await grant('inside', 'dirk', 'none', '?repository=inside/secret')
    const dirk = as('dirk')
    const { owners, content } = json(await expectStatus(await dirk('GET', '/namespaces/inside'), 200))
    assert.deepEqual([owners, content], [['dana'], null])
    assert.deepEqual(
      (await pages(dirk, '/namespaces/inside/members', 1)).map(({ account, role }) => [account, role]),
      [
        ['dana', 'owner'],
        ['dirk', 'maintainer'],
      ],
    )
    const hidden = await expectStatus(await dirk('GET', '/namespaces/inside/members?repository=inside/secret'), 200)
    assert.deepEqual(json(hidden), { items: [], next: null })
    assert.equal((await pages(as('dana'), '/namespaces/inside/members', 9)).length, 3)
    for (const answer of [
      await dirk('PATCH', '/namespaces/inside', { description: 'mine' }),
      await dirk('DELETE', '/namespaces/inside'),
      await dirk('GET', '/namespaces/inside/removal'),
      await dirk('PUT', '/namespaces/inside/members/dirk', { role: 'owner' }),
      await dirk('DELETE', '/namespaces/inside/members/dana'),
    ])
      assert.match(await assertRefused(answer, 403, 'denied'), /takes the role owner: ask dana or an administrator for it$/)
  })

  test('a namespace that the caller may not see is answered like one that is not there, whatever is asked', async () => {
    await people('emil')
    await expectStatus(await create('there'), 201)
    await new Client(registry()).pushBlob('there/app', 'a layer')
    await registry().setVisibility('there/app', 'public')
    await grant('there', 'emil', 'reader', '?repository=there/app')
    const emil = as('emil')
    for (const [method, rest, body] of [
      ['GET', ''],
      ['PATCH', '', { description: 'x' }],
      ['PATCH', '', { name: 'emil-2' }],
      ['PATCH', '', { bad: true }],
      ['DELETE', ''],
      ['GET', '/removal'],
      ['GET', '/rename?to=fresh'],
      ['GET', '/members'],
      ['PUT', '/members/emil', { role: 'owner' }],
      ['DELETE', '/members/emil'],
      ['PUT', '/teams/x', { role: 'owner' }],
      ['DELETE', '/teams/x'],
    ] as const) {
      const [seen, absent] = [await emil(method, `/namespaces/there${rest}`, body), await emil(method, `/namespaces/other${rest}`, body)]
      assert.equal(seen.status, 404)
      assert.equal(seen.bytes.toString(), absent.bytes.toString().replace('other', 'there'), `${method} ${rest}`)
    }
  })

  test('each account is told of the namespaces in which it has a role, administrators of all', async () => {
    await people('fred')
    for (const name of ['list-b', 'list-a', 'list-c']) await expectStatus(await create(name), 201)
    await grant('list-a', 'fred', 'reader')
    await grant('list-b', 'fred', 'owner')
    await grant('list-c', 'fred', 'writer', '?repository=list-c/app')
    const names = async (send: Call, limit: number) => (await pages(send, '/namespaces', limit)).map(({ name }) => String(name))
    for (const limit of [1, 2, 9]) assert.deepEqual(await names(as('fred'), limit), ['fred', 'list-a', 'list-b'])
    const all = await names(admin, 2)
    assert.deepEqual(all, all.toSorted())
    for (const name of ['admin', 'fred', 'list-a', 'list-b', 'list-c']) assert.ok(all.includes(name), name)
  })

  test('an access token opens this only if it is one for administration of everything', async () => {
    await people('gina')
    await expectStatus(await create('tokens', { owner: 'gina' }), 201)
    const whole = `Bearer ${await giveToken(registry(), { account: 'gina', name: 'whole' }, 'admin *')}`
    const part = `Bearer ${await giveToken(registry(), { account: 'gina', name: 'part' }, 'admin tokens/*')}`
    for (const path of ['/namespaces', '/namespaces/tokens', '/namespaces/tokens/members', '/teams']) {
      assert.equal((await caller(registry(), whole)('GET', path)).status, 200, path)
      assert.match(await assertRefused(await caller(registry(), part)('GET', path), 403, 'denied'), /^the access token "part" covers/)
    }
    await assertRefused(await caller(registry(), part)('GET', '/namespaces/none'), 403, 'denied')
    await assertRefused(await caller(registry(), whole)('GET', '/namespaces/none'), 404, 'namespaceUnknown')
  })

  test('another name takes the right to create a namespace, so that owners do not take any they like', async () => {
    await people('hans')
    await expectStatus(await create('hers', { owner: 'hans' }), 201)
    await assertRefused(await as('hans')('PATCH', '/namespaces/hers', { name: 'his' }), 403, 'denied')
    await expectStatus(await as('hans')('PATCH', '/namespaces/hers', { name: 'hers', description: 'his' }), 200)
    await assertRefused(await admin('GET', '/namespaces/his'), 404, 'namespaceUnknown')
  })
})

test('where everyone creates namespaces, who does owns it, gives it another name, and makes none for others', async (t) => {
  const registry = await startRegistry(t, { settings: { NAMESPACES_CREATE: 'everyone' } })
  for (const name of ['alice', 'bob']) await registry.addUser(name)
  const alice = caller(registry, basic('alice'))
  for (const [name, owner] of [
    ['one', undefined],
    ['two', 'alice'],
  ] as const) {
    await expectStatus(await alice('POST', '/namespaces', { name, owner }), 201)
    assert.deepEqual(json(await alice('GET', `/namespaces/${name}`))['owners'], ['alice'])
  }
  await assertRefused(await alice('POST', '/namespaces', { name: 'three', owner: 'bob' }), 403, 'denied')
  await assertRefused(await caller(registry, basic('admin'))('GET', '/namespaces/three'), 404, 'namespaceUnknown')
  await expectStatus(await alice('PATCH', '/namespaces/one', { name: 'first' }), 200)
  await assertRefused(await alice('PATCH', '/namespaces/first', { name: 'bob' }), 409, 'nameTaken')
})

test('where deleting is switched off, a namespace with repositories stays', async (t) => {
  const registry = await startRegistry(t, { settings: { DELETE_ENABLED: 'false' } })
  await new Client(registry).pushBlob('team/app', 'a layer')
  const admin = caller(registry, basic('admin'))
  await assertRefused(await admin('DELETE', '/namespaces/team?repositories=true'), 405, 'deleteDisabled')
  assert.equal((await admin('GET', '/repositories/team%2Fapp')).status, 200)
})

test('without logins the API tells nobody of namespaces and teams, and accounts of no more than theirs', async (t) => {
  const registry = await startRegistry(t, { settings: { ACCESS: 'open' } })
  for (const name of ['alice', 'bob']) await registry.addUser(name)
  const { database } = registry.services.registry
  await grantRole(database, { namespace: 'bob', member: { account: 'alice' }, role: 'reader', by: null, nowMs: 1 })
  for (const path of ['/namespaces', '/namespaces/bob', '/namespaces/bob/members', '/teams', '/teams/crew'])
    assert.equal((await fetch(`${registry.url}/api/v1${path}`)).status, 401, path)
  const names = (await pages(caller(registry, basic('alice')), '/namespaces', 9)).map(({ name }) => name)
  assert.deepEqual(names, ['alice', 'bob'])
})
