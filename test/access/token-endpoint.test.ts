/**
 * The token endpoint: what is asked for, what of it is granted, how the answer looks, and what is refused. Grants are
 * narrowed without a word: asking for too much is no fault (threat 31).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadSettings } from '../../server/config/load.ts'
import { basic } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { repositories, setScene, type Identity, type TokenAnswer } from './callers.ts'
import { partsOf } from './forge.ts'
import { errorsOf, jsonOf, send, valuesOf, type Reply, type Server, type Wish } from './wire.ts'

const { private: secret, internal, public: open, absent } = repositories

/** Who asks, for what (as it stands in the query), and what is granted. */
const grants: readonly (readonly [string, Identity, string, string])[] = [
  ['nothing asked is nothing granted, as docker login asks', 'owner', '', ''],
  ['one scope', 'owner', `scope=repository:${secret}:pull`, `repository:${secret}:pull`],
  ['escaped', 'owner', `scope=repository%3Aalice%2Fx%3Apull%2Cpush`, 'repository:alice/x:pull,push'],
  [
    'the parameter repeated',
    'owner',
    'scope=repository:alice/a:pull&scope=repository:alice/b:push',
    'repository:alice/a:pull repository:alice/b:push',
  ],
  [
    'one value with spaces',
    'owner',
    'scope=repository:alice/a:pull%20repository:alice/b:push',
    'repository:alice/a:pull repository:alice/b:push',
  ],
  [
    'spaces as plus signs',
    'owner',
    'scope=repository:alice/a:pull+repository:alice/b:push',
    'repository:alice/a:pull repository:alice/b:push',
  ],
  [
    'both at once',
    'owner',
    'scope=repository:alice/a:pull+repository:alice/b:push&scope=repository:alice/c:pull',
    'repository:alice/a:pull repository:alice/b:push repository:alice/c:pull',
  ],
  ['the same twice', 'owner', 'scope=repository:alice/a:pull&scope=repository:alice/a:pull', 'repository:alice/a:pull'],
  [
    'overlaps, as containerd sends them',
    'owner',
    `scope=repository:alice/a:pull+repository:alice/a:pull,push+repository:${secret}:pull`,
    `repository:alice/a:pull,push repository:${secret}:pull`,
  ],
  ['empty ones between', 'owner', 'scope=&scope=++repository:alice/a:pull++&scope=', 'repository:alice/a:pull'],
  ['actions in another order', 'owner', 'scope=repository:alice/a:push,pull', 'repository:alice/a:pull,push'],
  ['actions in another order still', 'owner', 'scope=repository:alice/a:push,pull,delete', 'repository:alice/a:pull,push,delete'],
  ["docker's class for plugins", 'owner', 'scope=repository(plugin):alice/a:pull,push', 'repository:alice/a:pull,push'],
  ['* for all that the owner may', 'owner', `scope=repository:${secret}:*`, `repository:${secret}:pull,push,delete`],
  ['* for all that another may, which is to pull', 'other user', `scope=repository:${internal}:*`, `repository:${internal}:pull`],
  ['* for all that nobody may, which is to pull', 'nobody', `scope=repository:${open}:*`, `repository:${open}:pull`],
  ['* for nothing', 'other user', `scope=repository:${secret}:*`, ''],
  ['the catalog', 'owner', 'scope=registry:catalog:*', 'registry:catalog:*'],
  ['the catalog, whose answer is filtered, for nobody', 'nobody', 'scope=registry:catalog:*', 'registry:catalog:*'],
  ['an unknown type', 'owner', 'scope=robot:alice/a:pull', ''],
  ['an unknown type beside a known one', 'owner', 'scope=robot:alice/a:pull+repository:alice/a:pull', 'repository:alice/a:pull'],
  ['an unknown action', 'owner', 'scope=repository:alice/a:fly', ''],
  ['an unknown action beside a known one', 'owner', 'scope=repository:alice/a:fly,pull', 'repository:alice/a:pull'],
  ['another name of the registry', 'owner', 'scope=registry:users:*', ''],
  ['another action on the catalog', 'owner', 'scope=registry:catalog:search', ''],
  ['a name with a host, which is none', 'owner', 'scope=repository:localhost:5000/alice/a:pull', ''],
  ['a name that is none', 'owner', 'scope=repository:alice/../bob:pull', ''],
  ['an upper-case name', 'owner', 'scope=repository:alice/APP:pull', ''],
  ['no actions', 'owner', 'scope=repository:alice/a:', ''],
  ['no name', 'owner', 'scope=repository::pull', ''],
  ['no colons', 'owner', 'scope=repository', ''],
  ['colons alone', 'owner', 'scope=:::', ''],
  ['line breaks and quotes', 'owner', 'scope=repository:alice/a%22%0d%0a:pull', ''],
  ['a repository that is not there yet, for its owner', 'owner', `scope=repository:${absent}:pull,push`, `repository:${absent}:pull,push`],
  ['a repository that is not there, for another', 'other user', `scope=repository:${absent}:pull,push`, ''],
  ['a private one, for another', 'other user', `scope=repository:${secret}:pull,push,delete`, ''],
  ['an internal one, for another', 'other user', `scope=repository:${internal}:pull,push,delete`, `repository:${internal}:pull`],
  ['a public one, for another', 'other user', `scope=repository:${open}:pull,push,delete`, `repository:${open}:pull`],
  ['an internal one, for nobody', 'nobody', `scope=repository:${internal}:pull,push`, ''],
  ['a public one, for nobody', 'nobody', `scope=repository:${open}:pull,push`, `repository:${open}:pull`],
  ['a public one, with empty Basic, as podman asks', 'empty Basic', `scope=repository:${open}:pull,push`, `repository:${open}:pull`],
  [
    'all three at once, for nobody',
    'nobody',
    `scope=repository:${secret}:pull+repository:${internal}:pull+repository:${open}:pull`,
    `repository:${open}:pull`,
  ],
  [
    'anything, for an administrator',
    'administrator',
    `scope=repository:${secret}:*+repository:nowhere:push`,
    `repository:${secret}:pull,push,delete repository:nowhere:push`,
  ],
  [
    'parameters that are not looked at',
    'other user',
    `service=other&client_id=docker&offline_token=true&account=admin&scope=repository:${secret}:pull`,
    '',
  ],
]

test('GET /token grants what of the wish the caller may, and says which', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [title, identity, query, granted] of grants) {
    await t.test(`${identity} is granted: ${title}`, async () => {
      const reply = await send(registry, `GET /token?${query}`, { authorization: callers[identity] })
      assert.equal(reply.status, 200, reply.text)
      const { token, scope } = jsonOf(reply) as TokenAnswer
      assert.equal(scope, granted)
      assert.equal(formatAccess(partsOf(token).claims['access']), granted, 'the token says the same')
    })
  }
})

function formatAccess(access: unknown): string {
  assert.ok(Array.isArray(access))
  return access
    .map(({ type, name, actions }: { type: string; name: string; actions: string[] }) => `${type}:${name}:${actions.join(',')}`)
    .join(' ')
}

test('the answer holds the token under both names, its life and its scope, and nothing else', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const wishes: Readonly<Record<string, Promise<Reply>>> = {
    'GET with a password': send(registry, 'GET /token?offline_token=true&scope=repository:alice/a:pull', { authorization: basic('alice') }),
    'GET without': send(registry, 'GET /token?offline_token=true'),
    POST: post(registry, { grant_type: 'password', username: 'alice', password: 'correct horse battery', access_type: 'offline' }),
  }
  for (const [title, asked] of Object.entries(wishes)) {
    const reply = await asked
    assert.equal(reply.status, 200, title)
    assert.deepEqual(valuesOf(reply, 'Content-Type'), ['application/json'], title)
    assert.deepEqual(valuesOf(reply, 'Cache-Control'), ['no-store'], title)
    const answer = jsonOf(reply) as TokenAnswer
    // No issued_at: clients would compare it with their own clock. No refresh_token: docker would store it instead of the password.
    assert.deepEqual(Object.keys(answer).toSorted(), ['access_token', 'expires_in', 'scope', 'token'], title)
    assert.equal(answer.token, answer.access_token)
    assert.equal(answer.expires_in, 900)
  }
})

test('a token lives a minute at least, to which clients round up, and as long as it was set', async (t) => {
  const registry = await startRegistry(t, { settings: { AUTH_TOKEN_SECONDS: '60' } })
  const { token, expires_in: life } = jsonOf(await send(registry, 'GET /token', { authorization: basic('admin') })) as TokenAnswer
  const { iat, exp } = partsOf(token).claims
  assert.deepEqual([life, Number(exp) - Number(iat)], [60, 60])
  assert.throws(() => loadSettings({ env: { LANYARD_AUTH_TOKEN_SECONDS: '59' }, flags: {} }), /auth\.tokenSeconds/)
})

test('a token says who and what in the claims of the protocol, and the account of the query is not believed', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const { token } = jsonOf(
    await send(registry, 'GET /token?account=admin&scope=repository:alice/a:pull', { authorization: basic('alice') }),
  ) as TokenAnswer
  const { header, claims } = partsOf(token)
  assert.deepEqual(Object.keys(header).toSorted(), ['alg', 'kid', 'typ'])
  assert.deepEqual(Object.keys(claims).toSorted(), ['access', 'aud', 'exp', 'iat', 'iss', 'jti', 'name', 'nbf', 'sub', 'use', 'ver'])
  assert.equal(claims['name'], 'alice')
  assert.deepEqual(claims['access'], [{ type: 'repository', name: 'alice/a', actions: ['pull'] }])
})

test('a token for a hundred scopes fits into a header, and works', async (t) => {
  const registry = await startRegistry(t)
  const long = Array.from({ length: 100 }, (_, index) => `admin/${'x'.repeat(150)}${index}`)
  for (const [names, least] of [
    [Array.from({ length: 120 }, (_, index) => `admin/a${index}`), 60],
    [long, 10],
  ] as const) {
    const query = names.map((name) => `scope=repository:${name}:pull,push,delete`).join('&')
    const { token, scope } = jsonOf(await send(registry, `GET /token?${query}`, { authorization: basic('admin') })) as TokenAnswer
    assert.ok(token.length < 8192, `${token.length} characters`)
    const granted = scope.split(' ')
    assert.ok(granted.length >= least && granted.length <= 100, `${granted.length} scopes`)
    assert.equal(formatAccess(partsOf(token).claims['access']), scope, 'the answer promises no more than the token holds')
    assert.deepEqual(
      granted,
      names.slice(0, granted.length).map((name) => `repository:${name}:pull,push,delete`),
      'the first ones, in order',
    )
    const authorization = `Bearer ${token}`
    assert.equal((await send(registry, `GET /v2/${names[0]}/tags/list`, { authorization })).status, 404)
    assert.equal((await send(registry, `POST /v2/${names[granted.length - 1]}/blobs/uploads/`, { authorization })).status, 202)
  }
})

test('a scope of 8 KiB, or thousands of them, is answered with less and not with a fault', async (t) => {
  const registry = await startRegistry(t)
  for (const query of [
    `scope=repository:admin/${'x'.repeat(8000)}:pull`,
    'scope=repository:admin/a:pull&'.repeat(1500),
    `scope=${'%20'.repeat(10_000)}`,
  ]) {
    const reply = await send(registry, `GET /token?${query}`, { authorization: basic('admin') })
    assert.equal(reply.status, 200)
  }
})

const refusals: readonly (readonly [string, string | undefined])[] = [
  ['a wrong password', basic('admin', 'something else')],
  ['an unknown account', basic('zoe')],
  ['an empty password', basic('admin', '')],
  ['an empty name', basic('', 'correct horse battery')],
  ['no base64', 'Basic $$$'],
  ['another scheme', 'Digest username="admin"'],
  ['a token', 'Bearer abc'],
]

test('GET /token answers wrong credentials with 401 and a JSON error: that is how docker login fails', async (t) => {
  const registry = await startRegistry(t)
  for (const [title, authorization] of refusals) {
    for (const query of ['', '?scope=repository:admin/a:pull']) {
      const reply = await send(registry, `GET /token${query}`, { authorization })
      assert.equal(reply.status, 401, title)
      assert.equal(errorsOf(reply)[0]?.code, 'UNAUTHORIZED')
      assert.deepEqual(valuesOf(reply, 'WWW-Authenticate'), ['Basic realm="lanyard", charset="UTF-8"'])
      assert.ok(!reply.text.includes('token":'), 'no token beside it')
    }
  }
})

function post(server: Server, fields: Readonly<Record<string, string | readonly string[]>>, more: Wish = {}): Promise<Reply> {
  const form = new URLSearchParams()
  for (const [name, values] of Object.entries(fields)) for (const value of [values].flat()) form.append(name, value)
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
  return send(server, 'POST /token', { headers, body: form.toString(), ...more })
}

const login = {
  grant_type: 'password',
  service: 'lanyard',
  client_id: 'containerd-client',
  username: 'alice',
  password: 'correct horse battery',
}

const posts: readonly (readonly [string, Readonly<Record<string, string | readonly string[]>>, string])[] = [
  ['no scope', login, ''],
  ['one scope', { ...login, scope: 'repository:alice/a:pull' }, 'repository:alice/a:pull'],
  [
    'spaces between',
    { ...login, scope: 'repository:alice/a:pull repository:alice/b:push' },
    'repository:alice/a:pull repository:alice/b:push',
  ],
  [
    'the field repeated, as podman does',
    { ...login, scope: ['repository:alice/a:pull', 'repository:alice/b:push'] },
    'repository:alice/a:pull repository:alice/b:push',
  ],
  ['too much', { ...login, scope: 'repository:admin/a:pull,push repository:alice/a:*' }, 'repository:alice/a:pull,push,delete'],
]

test('POST /token with the password form grants the same as GET', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  for (const [title, fields, granted] of posts) {
    const reply = await post(registry, fields)
    assert.equal(reply.status, 200, title)
    assert.equal((jsonOf(reply) as TokenAnswer).scope, granted, title)
  }
})

test('POST /token is about whom the form names, not whom the header does', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const wish = { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, authorization: basic('admin') }
  const reply = await post(registry, { ...login, scope: 'repository:admin/a:pull' }, wish)
  assert.equal((jsonOf(reply) as TokenAnswer).scope, '')
  const wrong = await post(registry, { ...login, password: 'something else' }, wish)
  assert.equal(wrong.status, 401)
})

const badPosts: readonly (readonly [string, Readonly<Record<string, string>>, number])[] = [
  ['a wrong password', { ...login, password: 'something else' }, 401],
  ['an unknown account', { ...login, username: 'zoe' }, 401],
  ['neither name nor password', { ...login, username: '', password: '' }, 401],
  ['no name and no password at all', { grant_type: 'password' }, 401],
  ['a refresh token, which was never given', { grant_type: 'refresh_token', refresh_token: 'abc', service: 'lanyard' }, 400],
  ['another grant', { ...login, grant_type: 'client_credentials' }, 400],
  ['no grant', { username: 'alice', password: 'correct horse battery' }, 400],
  ['nothing', {}, 400],
]

test('POST /token refuses at once what it does not do, so that containerd goes on with GET', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  for (const [title, fields, status] of badPosts) {
    const reply = await post(registry, fields)
    assert.equal(reply.status, status, title)
    assert.equal(errorsOf(reply)[0]?.code, status === 401 ? 'UNAUTHORIZED' : 'UNSUPPORTED', title)
  }
})

test('POST /token reads a form and nothing else, up to 64 KiB', async (t) => {
  const registry = await startRegistry(t)
  const json = { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ ...login, username: 'admin' }) }
  assert.equal((await send(registry, 'POST /token', json)).status, 400)
  const large = await post(registry, { ...login, password: 'x'.repeat(70_000) })
  assert.deepEqual([large.status, errorsOf(large)[0]?.code], [413, 'SIZE_INVALID'])
})

test('other methods are 405 and other paths 404, as JSON', async (t) => {
  const registry = await startRegistry(t)
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const reply = await send(registry, `${method} /token`, { authorization: basic('admin') })
    assert.deepEqual([reply.status, errorsOf(reply)[0]?.code], [405, 'UNSUPPORTED'], method)
    assert.deepEqual(reply.headers.allow?.split(', ').toSorted(), ['GET', 'HEAD', 'POST'])
  }
  for (const path of ['/token/', '/tokens', '/Token', '/auth/token', '/v2/token', '/v2/token/', '/token/refresh', '/token%2f']) {
    const reply = await send(registry, `GET ${path}`, { authorization: basic('admin') })
    assert.deepEqual([reply.status, errorsOf(reply)[0]?.code], [404, 'UNSUPPORTED'], path)
  }
})
