/** Accounts over the API, and who the caller is: for administrators, without secrets, effective on the next request. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { compareBytes } from '../../oci/paging.ts'
import { adminPassword } from '../support/start-registry.ts'
import { giveRobot, giveToken } from '../support/access-tokens.ts'
import { basic, Client, expectStatus, type Answer } from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'

suite('accounts', () => {
  const registry = shareRegistry()
  const admin = () => new Client(registry())
  const json = (answer: Answer) => JSON.parse(answer.bytes.toString('utf8')) as Record<string, unknown>
  const send = (...[method, path, body, headers = {}]: [string, string, object?, object?]) =>
    admin().call(method, `/api/v1/accounts${path}`, {
      headers: { ...(body && { 'Content-Type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    })
  const canSignIn = async (name: string, password: string) =>
    (await new Client(registry(), basic(name, password)).call('GET', '/v2/')).status === 200
  const create = (name: string, more: object = {}) => send('POST', '', { name, password: adminPassword, ...more })

  test('one is made, found, changed and removed; every answer holds its name, role, status and time, and no secret', async () => {
    const made = await expectStatus(await create('alice'), 201)
    const { createdAt, ...account } = json(made)
    assert.deepEqual(account, { name: 'alice', kind: 'person', role: 'user', disabled: false, secondFactor: false })
    assert.equal(made.headers.get('Location'), '/api/v1/accounts/alice')
    assert.ok(Math.abs(Date.parse(String(createdAt)) - Date.now()) < 60_000)
    assert.ok(await canSignIn('alice', adminPassword))
    const changed = await expectStatus(await send('PATCH', '/alice', { role: 'admin', password: 'another password' }), 200)
    assert.deepEqual(json(changed), { ...json(made), role: 'admin' })
    assert.deepEqual([await canSignIn('alice', adminPassword), await canSignIn('alice', 'another password')], [false, true])
    assert.equal(json(await send('PATCH', '/alice', { disabled: true }))['disabled'], true)
    assert.equal(await canSignIn('alice', 'another password'), false)
    assert.deepEqual(json(await send('GET', '/alice')), { ...json(made), role: 'admin', disabled: true })
    const removed = await expectStatus(await send('DELETE', '/alice'), 204)
    for (const answer of [made, changed, removed]) assert.doesNotMatch(answer.bytes.toString(), /password|hash|\$2[aby]\$/)
    assert.equal((await send('GET', '/alice')).status, 404)
  })

  test('what cannot be is refused, says why and changes nothing', async () => {
    await expectStatus(await create('bob'), 201)
    const refusals: readonly (readonly [Answer, number, string])[] = [
      [await create('bob'), 409, 'nameTaken'],
      [await create('Bob'), 400, 'requestInvalid'],
      [await create('bob/app'), 400, 'requestInvalid'],
      [await create('carol', { password: 'short' }), 400, 'parameterInvalid'],
      [await create('carol', { password: 'x'.repeat(73) }), 400, 'parameterInvalid'],
      [await create('carol', { isAdmin: true }), 400, 'requestInvalid'],
      [await create('carol', { role: 'owner' }), 400, 'requestInvalid'],
      [await send('PATCH', '/bob', {}), 400, 'requestInvalid'],
      [await send('PATCH', '/bob', { name: 'carol' }), 400, 'requestInvalid'],
      [await send('PATCH', '/admin', { disabled: true }), 400, 'parameterInvalid'],
      [await send('PATCH', '/admin', { password: 'another password' }), 403, 'denied'],
      [await send('PATCH', '/admin', { role: 'user' }), 400, 'parameterInvalid'],
      [await send('DELETE', '/admin'), 400, 'parameterInvalid'],
      [await send('PATCH', '/nobody', { disabled: true }), 404, 'accountUnknown'],
      [await send('DELETE', '/nobody'), 404, 'accountUnknown'],
      [await send('GET', '/%00'), 404, 'accountUnknown'],
    ]
    for (const [answer, status, reason] of refusals)
      assert.deepEqual([answer.status, json(answer)['reason']], [status, reason], answer.bytes.toString())
    assert.equal((await send('GET', '/carol')).status, 404)
    assert.ok(await canSignIn('bob', adminPassword))
  })

  test('a change that expects another version is refused', async () => {
    const etag = (await expectStatus(await create('dave'), 201)).headers.get('ETag') ?? ''
    const next = await expectStatus(await send('PATCH', '/dave', { role: 'admin' }, { 'If-Match': etag }), 200)
    assert.notEqual(next.headers.get('ETag'), etag)
    assert.equal((await send('PATCH', '/dave', { role: 'user' }, { 'If-Match': etag })).status, 412)
    assert.equal((await send('DELETE', '/dave', undefined, { 'If-Match': etag })).status, 412)
    assert.equal(json(await send('GET', '/dave'))['role'], 'admin')
  })

  test('are listed in pages by name', async () => {
    for (const name of ['list-b', 'list-a']) await expectStatus(await create(name), 201)
    const names: string[] = []
    for (let query: string | undefined = '?limit=2'; query !== undefined;) {
      const page = json(await expectStatus(await send('GET', query), 200)) as unknown as { items: { name: string }[]; next: string | null }
      assert.ok(page.items.length <= 2)
      names.push(...page.items.map(({ name }) => name))
      query = page.next === null ? undefined : `?limit=2&cursor=${page.next}`
    }
    assert.deepEqual(names, names.toSorted(compareBytes))
    for (const name of ['admin', 'list-a', 'list-b']) assert.ok(names.includes(name), name)
    await giveRobot(registry(), { namespace: 'admin', name: 'list-robot' }, 'pull admin/*')
    const found = async (query: string) => json(await send('GET', query))['items'] as { name: string }[]
    assert.deepEqual(
      (await found('?q=list-')).map(({ name }) => name),
      ['admin.list-robot', 'list-a', 'list-b'],
    )
    assert.deepEqual(
      (await found('?q=list-&kind=robot')).map(({ name }) => name),
      ['admin.list-robot'],
    )
    assert.equal((await found('?q=list-&kind=person')).length, 2)
  })

  test('me tells who asks, how they showed it and what they may do', async () => {
    await expectStatus(await create('erin'), 201)
    const me = async (authorization: string) =>
      json(await expectStatus(await new Client(registry(), authorization).call('GET', '/api/v1/me'), 200))
    assert.deepEqual(await me(basic('admin')), {
      name: 'admin',
      kind: 'person',
      role: 'admin',
      via: 'basic',
      may: { administer: true, readMetrics: true },
      scopes: null,
    })
    assert.deepEqual(await me(basic('erin', adminPassword)), {
      name: 'erin',
      kind: 'person',
      role: 'user',
      via: 'basic',
      may: { administer: false, readMetrics: false },
      scopes: null,
    })
    const answer = await admin().call('GET', '/token?service=lanyard&scope=repository:erin/app:pull')
    assert.deepEqual(await me(`Bearer ${String(json(answer)['token'])}`), {
      name: 'admin',
      kind: 'person',
      role: 'admin',
      via: 'bearer',
      may: { administer: false, readMetrics: false },
      scopes: [{ type: 'repository', name: 'erin/app', actions: ['pull'] }],
    })
  })

  test('me tells what an access token covers, and of a robot that it is one', async () => {
    const me = async (authorization: string) =>
      json(await expectStatus(await new Client(registry(), authorization).call('GET', '/api/v1/me'), 200))
    const narrow = await giveToken(registry(), { account: 'admin', name: 'narrow' }, 'pull,admin team/*')
    const scopes = [{ type: 'repository', name: 'team/*', actions: ['pull', 'admin'] }]
    const may = { administer: false, readMetrics: false }
    assert.deepEqual(await me(basic('admin', narrow)), { name: 'admin', kind: 'person', role: 'admin', via: 'basic', may, scopes })
    const whole = await giveToken(registry(), { account: 'admin', name: 'whole' }, 'admin *')
    assert.deepEqual((await me(`Bearer ${whole}`))['may'], { administer: true, readMetrics: true })
    const { kind, name } = await me(basic('admin.ci', await giveRobot(registry(), { namespace: 'admin', name: 'ci' }, 'pull admin/*')))
    assert.deepEqual([kind, name], ['robot', 'admin.ci'])
    assert.equal(json(await expectStatus(await send('GET', '/admin.ci'), 200))['kind'], 'robot')
  })
})
