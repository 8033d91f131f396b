/**
 * Signing in with a browser, over the wire: the cookie and its flags, fixation, forged requests, what ends a session, and that the
 * registry protocol takes no cookies (threats 38, 40, 42, 43).
 */
import assert from 'node:assert/strict'
import bcrypt from 'bcrypt'
import { test, type TestContext } from 'node:test'
import { removeAccount, updateAccount } from '../../registry/accounts.ts'
import { changePassword } from '../../registry/change-password.ts'
import { startJobs } from '../../server/jobs.ts'
import { createLogger } from '../../server/log.ts'
import { accountByName } from '../../storage/metadata/accounts.ts'
import { confirmTotp, setTotpSecret } from '../../storage/metadata/second-factors.ts'
import { giveRobot, giveToken } from '../support/access-tokens.ts'
import { basic, Client } from '../support/client.ts'
import { assertRejected } from '../support/refusal.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer } from './callers.ts'
import { jsonOf, lookOf, send, until, valuesOf, type Reply, type Server } from './wire.ts'

const json = { 'Content-Type': 'application/json' }

interface SessionAnswer {
  readonly account: { readonly name: string; readonly isAdmin: boolean; readonly hasSecondFactor: boolean }
  readonly csrfToken: string
  readonly createdAt: string
  readonly expiresAt: string
}

/** A browser as far as this matters: its cookie, and the token that its pages hold. */
interface Page {
  readonly cookie: string
  readonly csrfToken: string
}

const post = (server: Server, body: object | string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
  send(server, 'POST /api/v1/session', { body: typeof body === 'string' ? body : JSON.stringify(body), headers: { ...json, ...headers } })

async function signIn(server: Server, name = 'alice', headers: Readonly<Record<string, string>> = {}): Promise<Page> {
  const reply = await post(server, { name, password: adminPassword }, headers)
  assert.equal(reply.status, 200, reply.text)
  return { cookie: cookieOf(reply), csrfToken: (jsonOf(reply) as SessionAnswer).csrfToken }
}

/** What the browser sends back: `name=value`. */
function cookieOf(reply: Reply): string {
  const cookies = valuesOf(reply, 'Set-Cookie')
  assert.equal(cookies.length, 1)
  return cookies[0]?.split(';')[0] ?? ''
}

const look = (server: Server, cookie: string) => send(server, 'GET /api/v1/session', { headers: { Cookie: cookie } })
const statusOf = async (server: Server, cookie: string) => (await look(server, cookie)).status
const reasonOf = (reply: Reply) => (jsonOf(reply) as { reason: string }).reason

async function setStage(t: TestContext, settings: Readonly<Record<string, string>> = {}): Promise<TestRegistry> {
  const registry = await startRegistry(t, { settings })
  for (const name of ['alice', 'bob']) await registry.addUser(name)
  return registry
}

test('name and password make a session, which says whose it is until it is signed out', async (t) => {
  const registry = await setStage(t)
  const reply = await post(registry, { name: 'alice', password: adminPassword })
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['cache-control'], 'no-store')
  const { csrfToken, createdAt, expiresAt, ...rest } = jsonOf(reply) as SessionAnswer
  assert.deepEqual(rest, { account: { name: 'alice', isAdmin: false, hasSecondFactor: false } })
  assert.equal(Date.parse(expiresAt) - Date.parse(createdAt), 12 * 3_600_000)
  const cookie = cookieOf(reply)
  const again = await look(registry, cookie)
  assert.deepEqual([again.status, (jsonOf(again) as SessionAnswer).csrfToken], [200, csrfToken])
  const headers = { Cookie: cookie, Origin: registry.url, 'X-CSRF-Token': csrfToken }
  const out = await send(registry, 'DELETE /api/v1/session', { headers })
  assert.equal(out.status, 204)
  assert.match(valuesOf(out, 'Set-Cookie')[0] ?? '', /^lanyard-session=; Path=\/; Max-Age=0; HttpOnly; SameSite=Lax$/)
  assert.equal(await statusOf(registry, cookie), 401)
  assert.equal((await send(registry, 'DELETE /api/v1/session', { headers })).status, 401)
})

test('the cookie is out of the reach of scripts and other sites; over TLS it is bound to this host', async (t) => {
  const plain = await setStage(t)
  const [cookie = ''] = valuesOf(await post(plain, { name: 'alice', password: adminPassword }), 'Set-Cookie')
  assert.match(cookie, /^lanyard-session=[\w-]{43}; Path=\/; Max-Age=2592000; HttpOnly; SameSite=Lax$/)
  const secure = await setStage(t, { EXTERNAL_URL: 'https://registry.example' })
  const reply = await post(secure, { name: 'alice', password: adminPassword })
  const [secureCookie = ''] = valuesOf(reply, 'Set-Cookie')
  assert.match(secureCookie, /^__Host-lanyard=[\w-]{43}; Path=\/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure$/)
  assert.equal(await statusOf(secure, cookieOf(reply)), 200)
  assert.equal(await statusOf(secure, cookieOf(reply).replace('__Host-lanyard', 'lanyard-session')), 401, 'a name that others can plant')
})

test('every sign-in gives a new value, ends the session of the old one, and never takes over one that it was sent', async (t) => {
  const registry = await setStage(t)
  const planted = `lanyard-session=${'A'.repeat(43)}`
  const first = await signIn(registry, 'alice', { Cookie: planted })
  assert.notEqual(first.cookie, planted)
  assert.equal(await statusOf(registry, planted), 401)
  const second = await signIn(registry, 'alice', { Cookie: first.cookie })
  assert.notEqual(second.cookie, first.cookie)
  assert.notEqual(second.csrfToken, first.csrfToken)
  assert.deepEqual([await statusOf(registry, first.cookie), await statusOf(registry, second.cookie)], [401, 200])
})

test('two different cookies of the name open nothing: one of them was planted', async (t) => {
  const registry = await setStage(t)
  const { cookie } = await signIn(registry)
  const { cookie: foreign } = await signIn(registry, 'bob')
  assert.equal(await statusOf(registry, `${foreign}; ${cookie}`), 401)
  assert.equal(await statusOf(registry, `other=1; ${cookie}; ${cookie}; last`), 200)
  for (const bad of [
    '',
    ';',
    'lanyard-session',
    'lanyard-session=',
    `x${cookie}`,
    `lanyard-session="${cookie.slice(16)}"`,
    'x'.repeat(8000),
  ])
    assert.equal(await statusOf(registry, bad), 401, bad)
})

test('a request that changes something must show token and origin', async (t) => {
  const registry = await setStage(t)
  const page = await signIn(registry)
  const other = await signIn(registry, 'bob')
  const own = { Cookie: page.cookie, Origin: registry.url, 'X-CSRF-Token': page.csrfToken }
  const { Origin: _origin, ...withoutOrigin } = own
  const { 'X-CSRF-Token': _token, ...withoutToken } = own
  const refused: Readonly<Record<string, Record<string, string>>> = {
    'no origin': withoutOrigin,
    'no token': withoutToken,
    'an empty token': { ...own, 'X-CSRF-Token': '' },
    "another session's token": { ...own, 'X-CSRF-Token': other.csrfToken },
    'a foreign origin': { ...own, Origin: 'https://evil.example' },
    'an origin of no page': { ...own, Origin: 'null' },
    'another port': { ...own, Origin: 'http://127.0.0.1:1' },
    'another scheme': { ...own, Origin: registry.url.replace('http:', 'https:') },
    'a longer name': { ...own, Origin: `${registry.url}.evil.example` },
    'a foreign origin that calls itself own': { ...own, Origin: 'https://evil.example', 'Sec-Fetch-Site': 'same-origin' },
    'another site': { ...withoutOrigin, 'Sec-Fetch-Site': 'cross-site' },
    'the same site': { ...withoutOrigin, 'Sec-Fetch-Site': 'same-site' },
    'the address bar': { ...withoutOrigin, 'Sec-Fetch-Site': 'none' },
  }
  for (const [title, headers] of Object.entries(refused)) {
    const reply = await send(registry, 'DELETE /api/v1/session', { headers })
    assert.deepEqual([reply.status, reasonOf(reply)], [403, 'requestForged'], title)
  }
  assert.equal(await statusOf(registry, page.cookie), 200, 'still signed in')
  const taken = { ...withoutOrigin, 'Sec-Fetch-Site': 'same-origin' }
  assert.equal((await send(registry, 'DELETE /api/v1/session', { headers: taken })).status, 204)
})

test('no foreign page signs its visitors in', async (t) => {
  const registry = await setStage(t)
  const body = { name: 'alice', password: adminPassword }
  for (const headers of [{ Origin: 'https://evil.example' }, { Origin: 'null' }, { 'Sec-Fetch-Site': 'cross-site' }]) {
    const reply = await post(registry, body, headers)
    assert.deepEqual([reply.status, reasonOf(reply), valuesOf(reply, 'Set-Cookie')], [403, 'requestForged', []])
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp'])
    assert.equal((await post(registry, body, { 'Content-Type': type })).status, 400, type)
  for (const headers of [{ Origin: registry.url }, { Origin: registry.url.toUpperCase() }, { 'Sec-Fetch-Site': 'same-origin' }, {}])
    assert.equal((await post(registry, body, headers)).status, 200)
})

test('no answer lets a page of another origin read it', async (t) => {
  const registry = await setStage(t)
  const { cookie } = await signIn(registry)
  const replies = [
    await send(registry, 'GET /api/v1/session', { headers: { Cookie: cookie, Origin: 'https://evil.example' } }),
    await send(registry, 'OPTIONS /api/v1/session', {
      headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'POST' },
    }),
    await send(registry, 'GET /v2/', { headers: { Origin: 'https://evil.example' } }),
  ]
  for (const { headers } of replies)
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith('access-control')),
      [],
    )
})

test('below /v2, at the token endpoint and wherever a password is asked for a cookie is nothing', async (t) => {
  const registry = await setStage(t)
  await new Client(registry).pushImage('alice/app', 'v1')
  const { cookie, csrfToken } = await signIn(registry)
  const headers = { Cookie: cookie, Origin: registry.url, 'X-CSRF-Token': csrfToken }
  for (const line of [
    'GET /v2/',
    'GET /v2/alice/app/manifests/v1',
    'POST /v2/alice/app/blobs/uploads/',
    'GET /v2/_catalog',
    'GET /metrics',
  ]) {
    const reply = await send(registry, line, { headers })
    assert.equal(reply.status, 401, line)
    assert.deepEqual(lookOf(reply), lookOf(await send(registry, line)), `${line} as without a cookie`)
  }
  const { token } = jsonOf(await send(registry, 'GET /token?scope=repository:alice/app:pull', { headers })) as { token: string }
  const pulled = await send(registry, 'GET /v2/alice/app/manifests/v1', { authorization: `Bearer ${token}` })
  assert.equal(pulled.status, 401, 'it was a token of nobody')
})

test('credentials beside a cookie count, and the cookie does not', async (t) => {
  const registry = await setStage(t)
  const { cookie } = await signIn(registry)
  for (const authorization of [basic('alice'), basic('bob'), basic('alice', 'wrong'), 'Bearer nonsense'])
    assert.equal((await send(registry, 'GET /api/v1/session', { authorization, headers: { Cookie: cookie } })).status, 401)
})

test('what ends a session stops its very next request, at every worker', async (t) => {
  const registry = await setStage(t)
  const workers = [registry, await registry.startWorker()]
  const { database } = registry.services.registry
  const changes: Readonly<Record<string, () => Promise<unknown>>> = {
    'another password': async () =>
      updateAccount(database, 'alice', { passwordHash: await registry.services.passwords.hash(adminPassword) }),
    'another role': () => updateAccount(database, 'alice', { isAdmin: true }),
    'no role': () => updateAccount(database, 'alice', { isAdmin: false }),
    'its end by an administrator': async () => {
      const session = await registry.services.sessions.find(cookies[0]?.slice('lanyard-session='.length) ?? '')
      assert.ok(session)
      await registry.services.sessions.endAll(session.account)
    },
    'a removed account': () => removeAccount(database, 'alice'),
  }
  let cookies: string[] = []
  for (const [title, change] of Object.entries(changes)) {
    cookies = [(await signIn(registry)).cookie, (await signIn(workers[1] ?? registry)).cookie]
    for (const server of workers) for (const cookie of cookies) assert.equal(await statusOf(server, cookie), 200, title)
    await change()
    for (const server of workers) for (const cookie of cookies) assert.equal(await statusOf(server, cookie), 401, title)
  }
  const { cookie } = await signIn(registry, 'bob')
  await updateAccount(database, 'bob', { isDisabled: true })
  assert.equal(await statusOf(registry, cookie), 401)
  await updateAccount(database, 'bob', { isDisabled: false })
  assert.equal(await statusOf(registry, cookie), 401, 'it does not come back')
})

test('a session that nothing is seen of ends after the hours, and every one after the days, that are set', async (t) => {
  const registry = await setStage(t, { AUTH_SESSION_IDLE_HOURS: '2', AUTH_SESSION_DAYS: '1' })
  const { cookie } = await signIn(registry)
  for (let hours = 0; hours < 23; hours++) {
    registry.advance(3_600_000)
    assert.equal(await statusOf(registry, cookie), 200, `after ${hours + 1} hours`)
  }
  registry.advance(3_600_000)
  assert.equal(await statusOf(registry, cookie), 401)
  const idle = await signIn(registry)
  registry.advance(2 * 3_600_000)
  assert.equal(await statusOf(registry, idle.cookie), 401)
})

test('a person who changes the password keeps the session of it, and loses all others', async (t) => {
  const registry = await setStage(t)
  const { services } = registry
  const { database } = services.registry
  const [own, other] = [await signIn(registry), await signIn(registry)]
  const token = await bearer(registry, basic('alice'))
  const found = await services.sessions.find(own.cookie.slice('lanyard-session='.length))
  assert.ok(found)
  const { account, session } = found
  const change = (oldPassword: string, newPassword: string) =>
    changePassword(
      { ...services, database },
      { account, oldPassword, newPassword, source: { address: '10.0.0.1' }, keptSessionId: session.id },
    )
  await assertRejected('credentialsWrong', change('not the password', 'several odd words'))
  for (const weak of ['short', 'password1', 'ALICE', adminPassword]) await assertRejected('parameterInvalid', change(adminPassword, weak))
  assert.deepEqual([await statusOf(registry, own.cookie), await statusOf(registry, other.cookie)], [200, 200], 'nothing was changed')
  await change(adminPassword, 'several odd words')
  assert.deepEqual([await statusOf(registry, own.cookie), await statusOf(registry, other.cookie)], [200, 401])
  assert.equal((await send(registry, 'GET /v2/', { authorization: token })).status, 401)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('alice') })).status, 401)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('alice', 'several odd words') })).status, 200)
})

test('what is left of sessions whose time is over is removed by the clocked work', async (t) => {
  const registry = await setStage(t)
  const count = async () => (await registry.services.registry.database.read.selectFrom('browser_session').select('id').execute()).length
  await signIn(registry)
  await startJobs(registry.services)()
  assert.equal(await count(), 1)
  registry.advance(12 * 3_600_000)
  await startJobs(registry.services)()
  assert.equal(await count(), 0)
})

test('a wrong sign-in costs one hash and is answered the same, whatever is wrong with it, without a window of the browser', async (t) => {
  const registry = await setStage(t)
  await updateAccount(registry.services.registry.database, 'bob', { isDisabled: true })
  const compare = t.mock.method(bcrypt, 'compare')
  const looks = new Set<string>()
  for (const [name, password] of [
    ['alice', 'not the password'],
    ['alice', ''],
    ['zoe', adminPassword],
    ['bob', adminPassword],
    ['bob', 'not the password'],
    ['', ''],
    ['x'.repeat(5000), 'y'],
    ['alice', 'x'.repeat(73)],
    ['alice', `${adminPassword}\0`],
    ['alice', 'na:me'],
  ] as const) {
    compare.mock.resetCalls()
    const reply = await post(registry, { name, password })
    assert.deepEqual([reply.status, valuesOf(reply, 'WWW-Authenticate')], [401, ['Session realm="lanyard"']])
    assert.equal(compare.mock.callCount(), 1, name)
    assert.deepEqual(valuesOf(reply, 'Set-Cookie'), [])
    looks.add(JSON.stringify(lookOf(reply)))
  }
  assert.equal(looks.size, 1)
})

test('what is no sign-in is refused before anything is computed, and is not repeated', async (t) => {
  const registry = await setStage(t)
  const compare = t.mock.method(bcrypt, 'compare')
  const secret = 'open-sesame-4711'
  for (const body of [
    '',
    '{',
    'null',
    '[]',
    '{}',
    '{"name":"alice"}',
    `{"name":"alice","password":7}`,
    `{"password":"${secret}"`,
    `"${secret}"`,
  ]) {
    const reply = await post(registry, body)
    assert.deepEqual([reply.status, reasonOf(reply)], [400, 'requestInvalid'], body)
    assert.ok(!reply.text.includes(secret))
  }
  const more = await post(registry, { name: 'alice', password: adminPassword, isAdmin: true })
  assert.equal(more.status, 400)
  const huge = await post(registry, { name: 'alice', password: 'x'.repeat(1024 * 1024) })
  assert.equal(huge.status, 413)
  assert.equal(compare.mock.callCount(), 0)
})

test('neither password, cookie nor token reaches the log', async (t) => {
  const lines: string[] = []
  const settings = { level: 'trace', format: 'json', requests: true } as const
  const log = createLogger(settings, { isTerminal: false, destination: { write: (line) => void lines.push(line) } })
  const registry = await startRegistry(t, { log })
  const page = await signIn(registry, 'admin')
  await post(registry, { name: 'admin', password: 'mistyped-sesame' })
  await send(registry, 'DELETE /api/v1/session', { headers: { Cookie: page.cookie, 'X-CSRF-Token': page.csrfToken } })
  await look(registry, page.cookie)
  await until('all are logged', () => lines.filter((line) => line.includes('"msg":"request"')).length >= 4)
  for (const secret of [adminPassword, 'mistyped-sesame', page.cookie.split('=')[1] ?? '', page.csrfToken])
    assert.ok(!lines.join('').includes(secret))
  assert.ok(lines.some((line) => line.includes('"account":"admin"')))
})

test('a session opens the API as its account does, and changes only what a page of this registry asks for', async (t) => {
  const registry = await setStage(t)
  await new Client(registry).pushImage('alice/app', 'v1')
  const { cookie, csrfToken } = await signIn(registry)
  const me = jsonOf(await send(registry, 'GET /api/v1/me', { headers: { Cookie: cookie } })) as Record<string, unknown>
  assert.deepEqual([me['name'], me['via'], me['scopes']], ['alice', 'session', null])
  const patch = (headers: Readonly<Record<string, string>>) =>
    send(registry, 'PATCH /api/v1/repositories/alice/app', {
      body: '{"visibility":"public"}',
      headers: { ...json, Cookie: cookie, ...headers },
    })
  const own = { Origin: registry.url, 'X-CSRF-Token': csrfToken }
  for (const headers of [{}, { Origin: registry.url }, { ...own, Origin: 'http://evil.example' }]) {
    const reply = await patch(headers)
    assert.deepEqual([reply.status, reasonOf(reply)], [403, 'requestForged'])
  }
  assert.equal((await patch(own)).status, 200)
  assert.equal((await send(registry, 'GET /api/v1/accounts', { headers: { Cookie: cookie } })).status, 403)
})

test('the API opens no window of the browser for a cookie whose session has ended, and asks scripts for Basic', async (t) => {
  const registry = await setStage(t)
  const { cookie } = await signIn(registry)
  await updateAccount(registry.services.registry.database, 'alice', { isDisabled: true })
  const challengesOf = async (headers: Readonly<Record<string, string>>) =>
    valuesOf(await send(registry, 'GET /api/v1/me', { headers }), 'WWW-Authenticate')
  assert.deepEqual(await challengesOf({ Cookie: cookie }), ['Session realm="lanyard"'])
  const asked = ['Basic realm="lanyard", charset="UTF-8"']
  assert.deepEqual(await challengesOf({ Cookie: cookie, Authorization: basic('alice', 'wrong password') }), asked)
  assert.deepEqual(await challengesOf({}), asked)
})

test('a robot has no browser: neither a password nor its token makes a session', async (t) => {
  const registry = await setStage(t)
  const secret = await giveRobot(registry, { namespace: 'alice', name: 'ci' }, 'pull alice/*')
  for (const password of [secret, '', adminPassword]) assert.equal((await post(registry, { name: 'alice.ci', password })).status, 401)
})

test('with a second factor an access token still stands in place of the password, and is no guess at it', async (t) => {
  const registry = await setStage(t)
  const { database } = registry.services.registry
  const id = (await accountByName.first(database.read, { name: 'alice' }))?.id ?? 0
  await database.write((tx) => setTotpSecret(tx, { accountId: id, secret: 's' }))
  await database.write((tx) => confirmTotp(tx, { accountId: id, step: 1 }))
  const secret = await giveToken(registry, { account: 'alice', name: 'ci' }, 'pull alice/*')
  const statusAs = async (password: string) => (await send(registry, 'GET /token', { authorization: basic('alice', password) })).status
  assert.deepEqual([await statusAs(adminPassword), await statusAs(secret)], [401, 200])
  const mistyped = `${secret.slice(0, -1)}${secret.endsWith('a') ? 'b' : 'a'}`
  for (let guess = 0; guess < 100; guess++) assert.equal(await statusAs(mistyped), 401)
  assert.equal(await statusAs(secret), 200)
})
