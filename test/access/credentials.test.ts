/**
 * Passwords over HTTP: what every refusal costs and looks like (threat 38), odd ones (threat 40), and where a secret must
 * not turn up or be taken from.
 */
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test, type TestContext } from 'node:test'
import bcrypt from 'bcrypt'
import { addAccount, updateAccount } from '../../registry/accounts.ts'
import { createLogger } from '../../server/log.ts'
import { basic, Client } from '../support/client.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer } from './callers.ts'
import { errorsOf, lookOf, send, sendBytes, until, type Reply } from './wire.ts'

const wrong = 'not the password'

/** alice, dora who is disabled, and admin; zoe is not there. */
async function setStage(t: TestContext): Promise<TestRegistry> {
  const registry = await startRegistry(t)
  for (const name of ['alice', 'dora']) await registry.addUser(name)
  await updateAccount(registry.services.registry.database, 'dora', { isDisabled: true })
  return registry
}

const failures: readonly (readonly [string, string, string])[] = [
  ['a wrong password', 'alice', wrong],
  ['no password', 'alice', ''],
  ['an unknown account', 'zoe', wrong],
  ['an unknown account with a password that is right elsewhere', 'zoe', adminPassword],
  ['a disabled account with a wrong password', 'dora', wrong],
  ['a disabled account with its password', 'dora', adminPassword],
  ['no name', '', wrong],
  ['a name that no account can have', 'Alice Å "; drop table', wrong],
  ['a very long name', 'a'.repeat(5000), wrong],
  ['a password of 73 bytes', 'alice', 'x'.repeat(73)],
  ['a password of 30 KiB', 'alice', 'x'.repeat(30_000)],
]

const ways: Readonly<Record<string, (registry: TestRegistry, user: string, password: string) => Promise<Reply>>> = {
  'GET /token': (registry, user, password) => send(registry, 'GET /token', { authorization: basic(user, password) }),
  'GET /v2/': (registry, user, password) => send(registry, 'GET /v2/', { authorization: basic(user, password) }),
  'HEAD of a manifest': (registry, user, password) =>
    send(registry, 'HEAD /v2/alice/app/manifests/v1', { authorization: basic(user, password) }),
  'POST /token': (registry, username, password) =>
    send(registry, 'POST /token', { body: new URLSearchParams({ grant_type: 'password', username, password }).toString() }),
  'the API': (registry, user, password) => send(registry, 'GET /api/v1/repositories', { authorization: basic(user, password) }),
  search: (registry, user, password) => send(registry, 'GET /v1/search?q=a', { authorization: basic(user, password) }),
  metrics: (registry, user, password) => send(registry, 'GET /metrics', { authorization: basic(user, password) }),
}

test('whatever is wrong with a login, it costs one hash of the same cost and is answered the same to the last byte', async (t) => {
  const registry = await setStage(t)
  const compare = t.mock.method(bcrypt, 'compare')
  for (const [way, login] of Object.entries(ways)) {
    const looks = new Map<string, string>()
    for (const [title, user, password] of failures) {
      compare.mock.resetCalls()
      const reply = await login(registry, user, password)
      assert.equal(reply.status, 401, `${way}: ${title}`)
      const costs = compare.mock.calls.map(({ arguments: [, hash] }) => bcrypt.getRounds(hash))
      assert.deepEqual(costs, [registry.settings.auth.bcryptCost], `${way}: ${title}`)
      looks.set(title, JSON.stringify(lookOf(reply)))
    }
    assert.equal(new Set(looks.values()).size, 1, `${way}: ${[...looks.values()].join('\n')}`)
  }
})

test('the refusal says what is wrong without saying which of the two it is', async (t) => {
  const registry = await setStage(t)
  const reply = await send(registry, 'GET /token', { authorization: basic('zoe', wrong) })
  assert.deepEqual(errorsOf(reply), [{ code: 'UNAUTHORIZED', message: 'incorrect username or password' }])
})

test('a NUL in name or password is refused like any other wrong one', async (t) => {
  const registry = await setStage(t)
  const plain = lookOf(await send(registry, 'GET /token', { authorization: basic('alice', wrong) }))
  for (const [user, password] of [
    ['alice', `${adminPassword}\0`],
    ['alice', `${adminPassword}\0more`],
    ['alice', `\0${adminPassword}`],
    ['alice\0', adminPassword],
    ['alice', '\0'],
  ] as const) {
    assert.deepEqual(lookOf(await send(registry, 'GET /token', { authorization: basic(user, password) })), plain)
    const body = new URLSearchParams({ grant_type: 'password', username: user, password }).toString()
    const posted = await send(registry, 'POST /token', { body })
    assert.deepEqual(lookOf(posted), plain)
  }
})

test('no more of a password counts than bcrypt reads: 72 bytes pass, the same and one more do not', async (t) => {
  const registry = await startRegistry(t)
  const { database } = registry.services.registry
  const longest = '🔑'.repeat(18)
  assert.equal(Buffer.byteLength(longest), 72)
  const passwordHash = await registry.services.passwords.hash(longest)
  await addAccount(database, { name: 'alice', passwordHash, isAdmin: false, nowMs: Date.now() })
  const statusOf = async (password: string) => (await send(registry, 'GET /v2/', { authorization: basic('alice', password) })).status
  assert.equal(await statusOf(longest), 200)
  for (const other of [`${longest}x`, longest.slice(0, -2), `${longest}${longest}`]) assert.equal(await statusOf(other), 401)
})

test('the first colon ends the name: a password may hold more of them', async (t) => {
  const registry = await startRegistry(t)
  const passwordHash = await registry.services.passwords.hash('na:me:and more')
  await addAccount(registry.services.registry.database, { name: 'user', passwordHash, isAdmin: false, nowMs: Date.now() })
  const encoded = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  assert.equal((await send(registry, 'GET /v2/', { authorization: encoded('user:na:me:and more') })).status, 200)
  assert.equal((await send(registry, 'GET /v2/', { authorization: encoded('user:na:me') })).status, 401)
  assert.equal((await send(registry, 'GET /v2/', { authorization: encoded('user:na') })).status, 401)
})

test('a password of a mebibyte is turned away before anything is computed', async (t) => {
  const registry = await startRegistry(t)
  const compare = t.mock.method(bcrypt, 'compare')
  const huge = 'x'.repeat(1024 * 1024)
  const head = `GET /v2/ HTTP/1.1\r\nHost: ${registry.host}\r\nConnection: close\r\n`
  const answer = await sendBytes(registry, `${head}Authorization: ${basic('admin', huge)}\r\n\r\n`).catch(() => 'HTTP/1.1 431 reset')
  assert.match(answer, /^HTTP\/1\.1 431 /)
  const body = new URLSearchParams({ grant_type: 'password', username: 'admin', password: huge.slice(0, 512 * 1024) }).toString()
  assert.equal((await send(registry, 'POST /token', { body })).status, 413)
  assert.equal(compare.mock.callCount(), 0)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin') })).status, 200, 'others are served as before')
})

test('the same wrong login many times at once is one hash, and a right one beside it passes', async (t) => {
  const registry = await setStage(t)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('alice') })).status, 200)
  const gate = Promise.withResolvers<boolean>()
  const compare = t.mock.method(bcrypt, 'compare', () => gate.promise)
  const check = t.mock.method(registry.services.passwords, 'check')
  const flood = Array.from({ length: 40 }, () => send(registry, 'GET /v2/', { authorization: basic('alice', wrong) }))
  await until('all are being checked', () => check.mock.callCount() === flood.length)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('alice') })).status, 200, 'remembered, so without any hash')
  gate.resolve(false)
  assert.deepEqual(new Set((await Promise.all(flood)).map(({ status }) => status)), new Set([401]))
  assert.equal(compare.mock.callCount(), 1)
})

test('more logins than may wait are turned away with 503 and Retry-After, not with 401', async (t) => {
  const registry = await startRegistry(t, { settings: { AUTH_LOGIN_QUEUE: '1' } })
  const gate = Promise.withResolvers<boolean>()
  t.mock.method(bcrypt, 'compare', () => gate.promise)
  const many = Array.from({ length: availableParallelism() + 10 }, (_, index) =>
    send(registry, 'GET /token', { authorization: basic('admin', `guess ${index}`) }),
  )
  const first = await Promise.race(many)
  assert.deepEqual([first.status, first.headers['retry-after'], errorsOf(first)[0]?.code], [503, '1', 'UNAVAILABLE'])
  gate.resolve(false)
  const statuses = (await Promise.all(many)).map(({ status }) => status)
  assert.deepEqual(new Set(statuses), new Set([401, 503]))
})

test('credentials are taken from Authorization and from nowhere else', async (t) => {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('admin/app', 'v1')
  const authorization = await bearer(registry, basic('admin'), 'repository:admin/app:pull')
  const token = authorization.slice('Bearer '.length)
  const password = encodeURIComponent(adminPassword)
  const queries = [
    `access_token=${token}`,
    `token=${token}`,
    `authorization=Bearer+${token}`,
    `account=admin&password=${password}`,
    `username=admin&password=${password}`,
  ]
  const headers: readonly Record<string, string>[] = [
    { Cookie: `token=${token}; access_token=${token}; session=${token}; Authorization=Bearer ${token}` },
    { 'Proxy-Authorization': authorization },
    { 'X-Authorization': authorization },
    { 'X-Registry-Auth': Buffer.from(JSON.stringify({ username: 'admin', password: adminPassword })).toString('base64') },
    { 'X-Forwarded-User': 'admin', 'X-Remote-User': 'admin', 'X-Forwarded-Access-Token': token },
  ]
  const line = 'GET /v2/admin/app/manifests/v1'
  assert.equal((await send(registry, line, { authorization })).status, 200)
  for (const query of queries) {
    for (const each of [`${line}?${query}`, `GET /v2/?${query}`, `GET /metrics?${query}`, `GET /api/v1/repositories?${query}`]) {
      assert.equal((await send(registry, each)).status, 401, each)
    }
  }
  for (const each of headers) assert.equal((await send(registry, line, { headers: each })).status, 401, Object.keys(each).join())
})

test('credentials in the address of a request are not read either', async (t) => {
  const registry = await startRegistry(t)
  const target = `http://admin:${adminPassword.replaceAll(' ', '%20')}@${registry.host}/v2/`
  const answer = await sendBytes(registry, `GET ${target} HTTP/1.1\r\nHost: ${registry.host}\r\nConnection: close\r\n\r\n`)
  assert.match(answer, /^HTTP\/1\.1 40[014] /)
  assert.ok(!answer.includes('horse'))
})

/** A piece of each secret that no other text holds. */
interface Secrets {
  readonly [title: string]: string
}

test('no secret turns up in a log line or an answer, at the most talkative level, whatever happens', async (t) => {
  const lines: string[] = []
  const settings = { level: 'trace', format: 'json', requests: true } as const
  const log = createLogger(settings, { isTerminal: false, destination: { write: (line) => void lines.push(line) } })
  const registry = await startRegistry(t, { log })
  const { database } = registry.services.registry
  const right = 'open-sesame-70c2'
  const mistyped = 'open-sesame-9fd1'
  const passwordHash = await registry.services.passwords.hash(right)
  await addAccount(database, { name: 'alice', passwordHash, isAdmin: false, nowMs: Date.now() })
  const token = (await bearer(registry, basic('alice', right), 'repository:alice/app:pull,push')).slice('Bearer '.length)
  const secrets: Secrets = {
    password: right,
    'mistyped password': mistyped,
    'password in base64': Buffer.from(`alice:${right}`).toString('base64').slice(0, -4),
    'mistyped password in base64': Buffer.from(`alice:${mistyped}`).toString('base64').slice(0, -4),
    'signature of a token': token.split('.')[2] ?? '',
    'claims of a token': token.split('.')[1] ?? '',
    hash: passwordHash,
  }
  const replies = await useSecrets(registry, { right, mistyped, token })
  t.mock.method(bcrypt, 'compare', () => Promise.reject(new Error('the hash could not be computed')))
  replies.push(await send(registry, 'GET /token', { authorization: basic('alice', mistyped) }))
  assert.equal(replies.at(-1)?.status, 500)
  t.mock.method(registry.services.registry.blobs, 'openBlob', () => Promise.reject(new Error('the disk could not be read')))
  const blob = await new Client(registry, `Bearer ${token}`).pushBlob('alice/app', 'a layer')
  replies.push(await send(registry, `GET /v2/alice/app/blobs/${blob}`, { authorization: `Bearer ${token}` }))
  assert.equal(replies.at(-1)?.status, 500)
  await until('every request is logged', () => lines.filter((line) => line.includes('"msg":"request"')).length >= replies.length)
  for (const failure of ['the hash could not be computed', 'the disk could not be read']) {
    assert.ok(lines.join('').includes(failure), `the failure itself is logged: ${failure}`)
  }
  for (const [title, secret] of Object.entries(secrets)) {
    assert.ok(secret.length > 12, title)
    for (const line of lines) assert.ok(!line.includes(secret), `${title} in the log: ${line}`)
    for (const { text, rawHeaders } of replies)
      assert.ok(!text.includes(secret) && !rawHeaders.join().includes(secret), `${title} in an answer`)
  }
})

/** Every way in which a secret reaches a server, rightly and wrongly. */
async function useSecrets(registry: TestRegistry, use: { right: string; mistyped: string; token: string }): Promise<Reply[]> {
  const { right, mistyped, token } = use
  const form = (password: string) => new URLSearchParams({ grant_type: 'password', username: 'alice', password }).toString()
  const wishes: readonly (readonly [string, Parameters<typeof send>[2]])[] = [
    ['GET /v2/', { authorization: basic('alice', right) }],
    ['GET /v2/', { authorization: basic('alice', mistyped) }],
    ['GET /v2/', { authorization: `Bearer ${token}` }],
    ['GET /v2/', { authorization: `Bearer ${token}x` }],
    ['GET /v2/', { authorization: `Basic ${token}` }],
    ['GET /v2/', { authorization: `Negotiate ${token}` }],
    ['GET /v2/', { authorization: right }],
    ['GET /v2/bob/app/tags/list', { authorization: `Bearer ${token}` }],
    ['GET /token', { authorization: basic('alice', mistyped) }],
    ['GET /token', { authorization: `Bearer ${token}` }],
    ['GET /metrics', { authorization: `Bearer ${token}` }],
    [`GET /v2/?access_token=${token}`, {}],
    [`GET /v2/alice/app/manifests/v1?token=${token}&password=${right}`, {}],
    [`GET /nothing?password=${mistyped}`, {}],
    ['POST /token', { body: form(mistyped) }],
    ['POST /token', { body: form(right).replace('grant_type=password', 'grant_type=other') }],
    ['POST /token', { body: `${form(right)}&padding=${'x'.repeat(70_000)}` }],
    ['PATCH /api/v1/repositories/alice/app', { authorization: basic('alice', right), body: `{"password":"${right}"` }],
    ['GET /v2/', { headers: { Cookie: `session=${token}`, 'Proxy-Authorization': basic('alice', right) } }],
  ]
  const replies: Reply[] = []
  for (const [line, wish] of wishes) replies.push(await send(registry, line, wish))
  return replies
}
