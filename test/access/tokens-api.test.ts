/**
 * Access tokens and robots over the API: whose they are, that a secret is told once, that what is done acts with the next request, and
 * that no token gives out more than it has (threats 39, 41).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { makeAccessToken } from '../../auth/access-token.ts'
import { addNamespace, grantRole } from '../../registry/namespaces.ts'
import { giveRobot, giveToken } from '../support/access-tokens.ts'
import { basic } from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { bearer } from './callers.ts'
import { jsonOf, messageOf, problemOf, send, valuesOf, type Reply } from './wire.ts'

interface Shown {
  readonly name: string
  readonly account: string
  readonly username: string
  readonly hint: string
  readonly secret: string
  readonly status: string
  readonly scopes: readonly object[]
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
  readonly lastUsedFrom: string | null
  readonly description: string
  readonly disabled: boolean
  readonly createdBy: string | null
  readonly tokens: readonly Shown[]
  readonly items: readonly Shown[]
  readonly next: string | null
}

const shown = (reply: Reply): Shown => jsonOf(reply) as Shown
const names = (reply: Reply): string[] => shown(reply).items.map(({ name }) => name)
const pullAll = [{ actions: ['pull'], repositories: '*' }]
const pullTeam = [{ actions: ['pull'], repositories: 'team/*' }]
const secretForm = /ly[pr]_[0-9A-Za-z]{49}/

suite('over the API', () => {
  const registry = shareRegistry()
  const call = (...[authorization, line, body, headers = {}]: [string, string, object?, Readonly<Record<string, string>>?]) =>
    send(registry(), line.replace(' ', ' /api/v1'), {
      authorization,
      headers: { ...(body && { 'Content-Type': 'application/json' }), ...headers },
      body: body && JSON.stringify(body),
    })
  const expect = (reply: Reply, status: number): Reply => {
    assert.equal(reply.status, status, reply.text)
    return reply
  }
  const refused = (reply: Reply): [number, string] => [reply.status, problemOf(reply).reason]
  const opens = async (user: string, secret: string) =>
    (await send(registry(), 'GET /v2/', { authorization: basic(user, secret) })).status === 200

  test('one makes a token for oneself, is told its secret once, sees its use, narrows it and revokes it', async () => {
    await registry().addUser('alice')
    const me = basic('alice')
    const made = expect(await call(me, 'POST /me/tokens', { name: 'ci', scopes: pullAll, lifetimeSeconds: 3600 }), 201)
    const { secret, account, ...facts } = shown(made)
    assert.deepEqual([account, facts.name, facts.status, facts.hint, facts.lastUsedAt], ['alice', 'ci', 'active', secret.slice(-4), null])
    assert.equal(Date.parse(facts.expiresAt ?? '') - Date.parse(facts.createdAt), 3_600_000)
    assert.equal(made.headers['cache-control'], 'no-store')
    const [location = ''] = valuesOf(made, 'Location')
    assert.equal(location, '/api/v1/me/tokens/ci')
    assert.ok(await opens('alice', secret))
    await registry().services.registry.writing.whenIdle()
    const seen = expect(await send(registry(), `GET ${location}`, { authorization: me }), 200)
    assert.deepEqual({ ...shown(seen), lastUsedAt: null, lastUsedFrom: null }, facts)
    assert.equal(shown(seen).lastUsedFrom, '127.0.0.1')
    const listed = expect(await call(me, 'GET /me/tokens'), 200)
    for (const reply of [seen, listed, expect(await call(me, 'PATCH /me/tokens/ci', { scopes: pullTeam }), 200)])
      assert.doesNotMatch(reply.text, secretForm)
    const narrowed = await send(registry(), 'GET /v2/alice/app/tags/list', { authorization: basic('alice', secret) })
    assert.match(messageOf(narrowed), /^the access token "ci" covers pull on team\/\*, not pull on alice\/app/)
    expect(await call(me, 'DELETE /me/tokens/ci'), 204)
    assert.equal(await opens('alice', secret), false)
    assert.equal(shown(await call(me, 'GET /me/tokens/ci')).status, 'revoked')
  })

  test('a rotated one has a new secret; the old one goes on as long as is said', async () => {
    await registry().addUser('rob')
    const me = basic('rob')
    const first = shown(expect(await call(me, 'POST /me/tokens', { name: 'ci', scopes: pullAll }), 201))
    assert.equal(Date.parse(first.expiresAt ?? '') - Date.parse(first.createdAt), 90 * 86_400_000, 'unless said otherwise')
    const second = shown(expect(await call(me, 'POST /me/tokens/ci/rotate', { overlapSeconds: 60, lifetimeSeconds: null }), 200))
    assert.deepEqual([second.name, second.expiresAt, second.scopes], ['ci', null, first.scopes])
    assert.deepEqual([await opens('rob', first.secret), await opens('rob', second.secret)], [true, true])
    const third = shown(expect(await call(me, 'POST /me/tokens/ci/rotate', {}), 200))
    assert.equal(third.expiresAt, null, 'as before')
    assert.deepEqual([await opens('rob', second.secret), await opens('rob', third.secret)], [false, true])
    assert.equal(names(await call(me, 'GET /me/tokens')).length, 3)
  })

  test('tokens are listed in pages, and each page says where to go on', async () => {
    await registry().addUser('paul')
    const me = basic('paul')
    for (const name of ['c', 'a', 'b']) expect(await call(me, 'POST /me/tokens', { name, scopes: pullAll }), 201)
    const first = expect(await call(me, 'GET /me/tokens?limit=2'), 200)
    assert.deepEqual(names(first), ['a', 'b'])
    const rest = expect(await call(me, `GET /me/tokens?limit=2&cursor=${shown(first).next}`), 200)
    assert.deepEqual([names(rest), shown(rest).next], [['c'], null])
    assert.match(valuesOf(first, 'Link')[0] ?? '', /^<\/api\/v1\/me\/tokens\?limit=2&cursor=\w+>; rel="next"$/)
  })

  test('those of an account are its own and an administrator’s affair; to others it looks the same whether it is there or not', async () => {
    for (const name of ['owen', 'otto']) await registry().addUser(name)
    const [own, other, admin] = [basic('owen'), basic('otto'), basic('admin')]
    const made = expect(await call(admin, 'POST /accounts/owen/tokens', { name: 'ci', scopes: pullAll }), 201)
    assert.equal(valuesOf(made, 'Location')[0], '/api/v1/accounts/owen/tokens/ci')
    assert.deepEqual(names(await call(own, 'GET /accounts/owen/tokens')), ['ci'])
    for (const account of ['owen', 'nobody'])
      assert.equal(
        messageOf(await call(other, `GET /accounts/${account}/tokens`)),
        `account "otto" may not see or change the account ${account}: ask an administrator for it`,
      )
    assert.deepEqual(refused(await call(other, 'DELETE /accounts/owen/tokens/ci')), [403, 'denied'])
    assert.deepEqual(refused(await call(admin, 'GET /accounts/nobody/tokens')), [404, 'accountUnknown'])
    assert.deepEqual(refused(await call(admin, 'GET /accounts/owen/tokens/none')), [404, 'accessTokenUnknown'])
    assert.deepEqual(refused(await call(other, 'DELETE /me/tokens/ci')), [404, 'accessTokenUnknown'], 'below /me are one’s own alone')
    assert.ok(await opens('owen', shown(made).secret))
  })

  test('what cannot be is refused and says why', async () => {
    await registry().addUser('nina')
    const me = basic('nina')
    expect(await call(me, 'POST /me/tokens', { name: 'ci', scopes: pullAll }), 201)
    const refusals: readonly (readonly [object, number, string])[] = [
      [{ name: 'ci', scopes: pullAll }, 409, 'nameTaken'],
      [{ name: 'a/b', scopes: pullAll }, 400, 'parameterInvalid'],
      [{ name: 'x', scopes: [] }, 400, 'parameterInvalid'],
      [{ name: 'x', scopes: [{ actions: ['pull'], repositories: 'a**' }] }, 400, 'parameterInvalid'],
      [{ name: 'x', scopes: [{ actions: ['sudo'], repositories: '*' }] }, 400, 'requestInvalid'],
      [{ name: 'x', scopes: pullAll, lifetimeSeconds: 0 }, 400, 'requestInvalid'],
      [{ name: 'x', scopes: pullAll, expiresAt: null }, 400, 'requestInvalid'],
    ]
    for (const [body, ...why] of refusals) assert.deepEqual(refused(await call(me, 'POST /me/tokens', body)), why, JSON.stringify(body))
    expect(await call(me, 'DELETE /me/tokens/ci'), 204)
    for (const [line, body] of [
      ['PATCH /me/tokens/ci', { scopes: pullTeam }],
      ['POST /me/tokens/ci/rotate', {}],
    ] as const)
      assert.deepEqual(refused(await call(me, line, body)), [400, 'parameterInvalid'], line)
  })

  test('a change that expects another version is refused; that a token was used makes none', async () => {
    await registry().addUser('vera')
    const me = basic('vera')
    const { secret } = shown(expect(await call(me, 'POST /me/tokens', { name: 'ci', scopes: pullAll }), 201))
    const version = async () => (await call(me, 'GET /me/tokens/ci')).headers.etag ?? ''
    const before = await version()
    assert.ok(await opens('vera', secret))
    await registry().services.registry.writing.whenIdle()
    assert.equal(await version(), before)
    const headers = { 'If-Match': before }
    expect(await call(me, 'PATCH /me/tokens/ci', { scopes: pullTeam }, headers), 200)
    assert.deepEqual(refused(await call(me, 'PATCH /me/tokens/ci', { scopes: pullAll }, headers)), [412, 'versionChanged'])
    assert.deepEqual(refused(await call(me, 'DELETE /me/tokens/ci', undefined, headers)), [412, 'versionChanged'])
    assert.ok(await opens('vera', secret))
  })

  test('a token without the scope admin manages nothing; one with it gives out no more than it has', async () => {
    await registry().addUser('mia')
    const give = async (name: string, ...scopes: string[]) => `Bearer ${await giveToken(registry(), { account: 'mia', name }, ...scopes)}`
    const narrow = await give('narrow', 'pull,push,delete *')
    assert.deepEqual(refused(await call(narrow, 'GET /me/tokens')), [403, 'denied'])
    assert.deepEqual(refused(await call(await give('below', 'admin mia/*'), 'GET /me/tokens')), [403, 'denied'], 'on all, not on some')
    const holder = await give('holder', 'admin *', 'pull mia/*')
    const make = (name: string, actions: string[], repositories: string) =>
      call(holder, 'POST /me/tokens', { name, scopes: [{ actions, repositories }] })
    expect(await make('a', ['pull'], 'mia/*'), 201)
    expect(await make('b', ['pull'], 'mia/app'), 201)
    expect(await make('c', ['pull'], 'mia/app*'), 201)
    for (const [actions, repositories] of [
      [['pull'], '*'],
      [['pull'], 'mia*'],
      [['pull', 'push'], 'mia/app'],
      [['pull', 'admin'], '*'],
    ] as const)
      assert.deepEqual(refused(await make('wide', [...actions], repositories)), [403, 'denied'], `${actions.join()} ${repositories}`)
    assert.deepEqual(refused(await call(holder, 'PATCH /me/tokens/a', { scopes: pullAll })), [403, 'denied'])
    assert.deepEqual(refused(await call(holder, 'POST /me/tokens/narrow/rotate', {})), [403, 'denied'])
    assert.equal(shown(await call(holder, 'GET /me/tokens/narrow')).status, 'active', 'and nothing came of it')
    expect(await call(holder, 'POST /me/tokens/holder/rotate', {}), 200)
    assert.equal((await call(holder, 'GET /me/tokens')).status, 401)
  })

  test('a token of the registry protocol opens none of it, whatever its account may', async () => {
    const token = await bearer(registry(), basic('admin'), 'repository:team/app:pull,push,delete')
    for (const line of ['GET /me/tokens', 'GET /accounts/admin/tokens', 'GET /me/sessions', 'GET /namespaces/admin/robots'])
      assert.deepEqual(refused(await call(token, line)), [401, 'scopeInsufficient'], line)
  })

  test('a token that leaked is ended by its secret, by administrators, and the secret is repeated nowhere', async () => {
    await registry().addUser('leo')
    const secret = await giveToken(registry(), { account: 'leo', name: 'leaked' }, 'pull *')
    assert.deepEqual(refused(await call(basic('leo'), 'POST /revoked-tokens', { secret })), [403, 'denied'])
    assert.ok(await opens('leo', secret))
    const ended = expect(await call(basic('admin'), 'POST /revoked-tokens', { secret }), 200)
    assert.deepEqual(jsonOf(ended), { account: 'leo', name: 'leaked' })
    assert.equal(await opens('leo', secret), false)
    const mistyped = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`
    for (const [text, ...why] of [
      [makeAccessToken('person'), 404, 'accessTokenUnknown'],
      [mistyped, 400, 'parameterInvalid'],
      ['not a secret', 400, 'parameterInvalid'],
    ] as const) {
      const reply = await call(basic('admin'), 'POST /revoked-tokens', { secret: text })
      assert.deepEqual(refused(reply), why)
      assert.ok(!reply.text.includes(text), reply.text)
    }
  })

  test('owners of a namespace and administrators keep its robots; maintainers, strangers and robots do not', async () => {
    const { database } = registry().services.registry
    for (const name of ['olga', 'mona', 'sven']) await registry().addUser(name)
    await addNamespace(database, { name: 'team', owner: 'olga', by: null, nowMs: 1 })
    await grantRole(database, { namespace: 'team', by: null, nowMs: 1, member: { account: 'mona' }, role: 'maintainer' })
    const made = expect(
      await call(basic('olga'), 'POST /namespaces/team/robots', { name: 'ci', description: 'builds', scopes: pullTeam }),
      201,
    )
    const { secret, ...facts } = shown(made)
    assert.deepEqual([facts.username, facts.description, facts.disabled, facts.createdBy], ['team.ci', 'builds', false, 'olga'])
    assert.equal(valuesOf(made, 'Location')[0], '/api/v1/namespaces/team/robots/ci')
    assert.ok(await opens('team.ci', secret))
    const wide = await giveRobot(registry(), { namespace: 'team', name: 'wide' }, 'pull,push,delete *')
    // To a stranger there is no such namespace.
    for (const [authorization, ...refusal] of [
      [basic('mona'), 403, 'denied'],
      [basic('sven'), 404, 'namespaceUnknown'],
      [basic('team.wide', wide), 403, 'denied'],
    ] as const)
      for (const line of ['GET /namespaces/team/robots', 'GET /namespaces/team/robots/ci', 'DELETE /namespaces/team/robots/ci'])
        assert.deepEqual(refused(await call(authorization, line)), refusal, line)
    assert.match(messageOf(await call(basic('mona'), 'GET /namespaces/team/robots')), /takes the role owner: ask olga or an administrator/)
    assert.deepEqual(names(await call(basic('admin'), 'GET /namespaces/team/robots')), ['ci', 'wide'])
    assert.doesNotMatch((await call(basic('admin'), 'GET /namespaces/team/robots')).text, secretForm)
    assert.deepEqual(refused(await call(basic('admin'), 'GET /namespaces/nothing/robots')), [404, 'namespaceUnknown'])
    assert.deepEqual(refused(await call(basic('olga'), 'GET /namespaces/team/robots/none')), [404, 'robotUnknown'])
  })

  test('a robot is changed, disabled, rotated and removed, each with its next request', async () => {
    await registry().addUser('rita')
    const me = basic('rita')
    const own = [{ actions: ['pull', 'push'], repositories: 'rita/*' }]
    const { secret } = shown(expect(await call(me, 'POST /namespaces/rita/robots', { name: 'ci', scopes: own }), 201))
    const etag = (await call(me, 'GET /namespaces/rita/robots/ci')).headers.etag ?? ''
    const change = (body: object, headers = {}) => call(me, 'PATCH /namespaces/rita/robots/ci', body, headers)
    assert.equal(shown(expect(await change({ disabled: true }, { 'If-Match': etag }), 200)).disabled, true)
    assert.equal(await opens('rita.ci', secret), false)
    assert.deepEqual(refused(await change({ disabled: false }, { 'If-Match': etag })), [412, 'versionChanged'])
    const changed = shown(
      expect(await change({ disabled: false, description: 'tests', scopes: [{ actions: ['pull'], repositories: 'rita/a' }] }), 200),
    )
    assert.deepEqual(
      [changed.disabled, changed.description, changed.tokens[0]?.scopes],
      [false, 'tests', [{ actions: ['pull'], repositories: 'rita/a' }]],
    )
    assert.ok(await opens('rita.ci', secret))
    for (const scopes of [[{ actions: ['push'], repositories: 'other/*' }], [{ actions: ['admin'], repositories: '*' }]])
      assert.deepEqual(refused(await change({ scopes })), [400, 'parameterInvalid'])
    assert.deepEqual(refused(await change({})), [400, 'requestInvalid'])
    assert.deepEqual(refused(await call(basic('admin'), 'PATCH /accounts/rita.ci/tokens/ci', { scopes: pullAll })), [
      400,
      'parameterInvalid',
    ])
    const rotated = shown(expect(await call(me, 'POST /namespaces/rita/robots/ci/rotate', { overlapSeconds: 60 }), 200))
    assert.equal(rotated.tokens.length, 2)
    assert.deepEqual([await opens('rita.ci', secret), await opens('rita.ci', rotated.secret)], [true, true])
    expect(await call(me, 'DELETE /namespaces/rita/robots/ci'), 204)
    assert.equal(await opens('rita.ci', rotated.secret), false)
    assert.deepEqual(refused(await call(me, 'DELETE /namespaces/rita/robots/ci')), [404, 'robotUnknown'])
  })

  test('by an access token no robot is made, widened or renewed that does more than it', async () => {
    await registry().addUser('gus')
    await giveRobot(registry(), { namespace: 'gus', name: 'strong' }, 'pull,push gus/*')
    const holder = `Bearer ${await giveToken(registry(), { account: 'gus', name: 'holder' }, 'admin *', 'pull gus/*')}`
    const scopesOf = (...actions: string[]) => [{ actions, repositories: 'gus/*' }]
    expect(await call(holder, 'POST /namespaces/gus/robots', { name: 'weak', scopes: scopesOf('pull') }), 201)
    for (const [line, body] of [
      ['POST /namespaces/gus/robots', { name: 'more', scopes: scopesOf('pull', 'push') }],
      ['PATCH /namespaces/gus/robots/weak', { scopes: scopesOf('pull', 'push') }],
      ['POST /namespaces/gus/robots/strong/rotate', {}],
    ] as const)
      assert.deepEqual(refused(await call(holder, line, body)), [403, 'denied'], line)
    assert.deepEqual(names(await call(holder, 'GET /namespaces/gus/robots')), ['strong', 'weak'])
    expect(await call(holder, 'DELETE /namespaces/gus/robots/strong'), 204)
  })
})
