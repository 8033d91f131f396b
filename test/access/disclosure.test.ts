/**
 * What the registry tells strangers besides what they asked for: nothing. No version, no CORS, no detail of its health, no
 * metrics; and what strangers tell it stands in the log as data (threats 43, 57, 58).
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { endpoints } from '../../oci/endpoints.ts'
import { RegistryError } from '../../oci/errors.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { serviceRoutes, v2Routes } from '../../server/app.ts'
import { createLogger, type Logger } from '../../server/log.ts'
import { basic, Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { setScene, type Identity } from './callers.ts'
import { expectations } from './expectations.ts'
import { listRoutes, requestLineOf } from './walk.ts'
import { errorsOf, send, sendBytes, until, valuesOf, type Reply } from './wire.ts'

const routes = listRoutes({ endpoints, v2Routes, serviceRoutes, apiOperations })
const origin = { Origin: 'https://evil.example' }

test('no route allows another origin anything: there is no CORS, not even for a preflight', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const route of routes) {
    const line = requestLineOf(route, expectations[route], 'public')
    const [method = '', path = ''] = line.split(' ')
    const preflight = { ...origin, 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': 'authorization' }
    for (const identity of ['nobody', 'owner', 'anonymous token'] satisfies Identity[]) {
      const authorization = callers[identity]
      const replies = [
        await send(registry, line, {
          authorization,
          headers: { ...origin, ...expectations[route]?.headers },
          body: expectations[route]?.body,
        }),
        await send(registry, `OPTIONS ${path}`, { authorization, headers: preflight }),
      ]
      for (const { rawHeaders } of replies)
        assert.doesNotMatch(rawHeaders.join('\n'), /^(access-control-|cross-origin-|timing-allow)/im, route)
      assert.equal(replies[1]?.status, 405)
    }
  }
})

test('no answer names a product, a version or a machine, nor sets a cookie', async (t) => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const lines = [
    ...routes.map((route) => requestLineOf(route, expectations[route], 'public')),
    'GET /nothing',
    'GET /v2/nothing',
    'GET /v2/A/tags/list',
    'PUT /',
    'GET /%',
  ]
  for (const line of lines) {
    // Who may read the metrics may know the version of the runtime.
    for (const identity of ['nobody', 'empty Basic', 'anonymous token', 'other user', 'wrong password'] satisfies Identity[]) {
      const reply = await send(registry, line, { authorization: callers[identity] })
      const names = reply.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
      for (const name of ['server', 'x-powered-by', 'via', 'set-cookie', 'x-response-time'])
        assert.ok(!names.includes(name), `${name} on ${line}`)
      const whole = `${reply.rawHeaders.join('\n')}\n${reply.text}`
      for (const secret of [version, process.version, process.version.slice(1), registry.data, process.cwd()]) {
        assert.ok(!whole.includes(secret), `${secret} in the answer to ${line}`)
      }
    }
  }
})

test('health and readiness are one word, the same for everyone and whatever is asked', async (t) => {
  const registry = await startRegistry(t)
  for (const query of ['', '?verbose', '?full=true&detail=1']) {
    for (const authorization of [undefined, basic('admin'), 'Bearer nonsense', basic('admin', 'not it at all')]) {
      const health = await send(registry, `GET /healthz${query}`, { authorization })
      const readiness = await send(registry, `GET /readyz${query}`, { authorization })
      assert.deepEqual([health.status, health.text], [200, 'ok\n'])
      assert.deepEqual([readiness.status, readiness.text], [200, 'ready\n'])
    }
  }
})

test('health and readiness are cheap: they touch no row but to read one, and check no password', async (t) => {
  const registry = await startRegistry(t)
  const { passwords, registry: inside } = registry.services
  const check = t.mock.method(passwords, 'check')
  const write = t.mock.method(inside.database, 'write')
  const asks = ['GET /readyz', 'HEAD /readyz', 'GET /healthz', 'HEAD /healthz'].flatMap((line) => Array.from({ length: 20 }, () => line))
  const replies = await Promise.all(asks.map((line) => send(registry, line, { authorization: basic('admin', 'guess') })))
  assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]))
  assert.deepEqual([check.mock.callCount(), write.mock.callCount()], [0, 0])
})

test('a registry that is not ready says so in one sentence without a detail, and is healthy all the same', async (t) => {
  const registry = await startRegistry(t)
  const detail = 'EIO: /srv/hidden/uploads'
  const faults = [
    { fault: new RegistryError('storageFull', { cause: new Error(detail) }), status: 403, says: /no space left on its disk/ },
    { fault: new RegistryError('storageFailed', { cause: new Error(detail) }), status: 503, says: /could not store the data/ },
    { fault: new Error(detail), status: 500, says: /look for this request id in the log: [\w-]+$/ },
  ]
  for (const { fault, status, says } of faults) {
    const probe = t.mock.method(registry.services.registry.blobs, 'probe', () => Promise.reject(fault))
    const reply = await send(registry, 'GET /readyz')
    assert.equal(reply.status, status)
    assert.match(errorsOf(reply)[0]?.message ?? '', says)
    assert.doesNotMatch(reply.text, /EIO|hidden/)
    assert.equal((await send(registry, 'GET /healthz')).text, 'ok\n')
    probe.mock.restore()
  }
  assert.equal((await send(registry, 'GET /readyz')).status, 200, 'and it is again when the fault is over')
})

test('a registry that is stopping is not ready, and still healthy', async (t) => {
  const registry = await startRegistry(t)
  registry.services.startDraining()
  const reply = await send(registry, 'GET /readyz')
  assert.deepEqual([reply.status, errorsOf(reply)[0]?.message], [503, 'the registry is restarting: try again in a moment'])
  assert.equal((await send(registry, 'GET /healthz')).status, 200)
})

const metricsToken = 'a-token-for-prometheus-only'

test('metrics open to an administrator or with their own token, which opens nothing else', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_TOKEN: metricsToken } })
  await new Client(registry).pushImage('admin/app', 'v1')
  const statusOf = async (line: string, authorization: string | undefined) => (await send(registry, line, { authorization })).status
  assert.equal(await statusOf('GET /metrics', `Bearer ${metricsToken}`), 200)
  assert.equal(await statusOf('GET /metrics', `bearer  ${metricsToken}`), 200)
  assert.equal(await statusOf('GET /metrics', basic('admin')), 200)
  for (const wrong of [`${metricsToken}x`, metricsToken.slice(0, -1), metricsToken.toUpperCase(), 'x', '']) {
    assert.equal(await statusOf('GET /metrics', `Bearer ${wrong}`), 401, wrong)
  }
  for (const authorization of [
    undefined,
    basic('', ''),
    basic('admin', metricsToken),
    basic(metricsToken, ''),
    `Basic ${metricsToken}`,
    metricsToken,
  ]) {
    assert.equal(await statusOf('GET /metrics', authorization), 401, authorization)
  }
  for (const line of ['GET /v2/', 'GET /v2/admin/app/tags/list', 'GET /token', 'GET /api/v1/repositories', 'GET /v1/search?q=a']) {
    assert.equal(await statusOf(line, `Bearer ${metricsToken}`), 401, line)
  }
})

test('without a token in the settings no token opens the metrics, not even an empty one', async (t) => {
  const registry = await startRegistry(t)
  for (const token of ['', 'undefined', 'null']) {
    assert.equal((await send(registry, 'GET /metrics', { authorization: `Bearer ${token}` })).status, 401)
  }
})

test('metrics are for anyone only where the operator said so, and then name no repository, account or client', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_ACCESS: 'anyone' } })
  await new Client(registry).pushImage('admin/hidden-name', 'v1')
  await send(registry, 'GET /v2/admin/hidden-name/tags/list', { headers: { 'User-Agent': 'hidden-agent' } })
  await send(registry, 'GET /hidden-path?hidden-query')
  const reply = await send(registry, 'GET /metrics')
  assert.equal(reply.status, 200)
  assert.match(reply.text, /^lanyard_http_requests_total\{/m)
  assert.doesNotMatch(reply.text, /hidden|admin/)
})

/** What goes after `GET `, and more header lines, as bytes. */
const injections: readonly (readonly [string, string, string])[] = [
  ['a line break in the path, escaped', '/v2/a%0A%7B%22level%22%3A%22fatal%22%7D/tags/list', ''],
  ['a carriage return and a line break, escaped twice', '/v2/a%250d%250a/tags/list', ''],
  ['a quote and a brace in the path', '/v2/a"},{"level":"fatal/tags/list', ''],
  ['a backslash in the path', '/v2/a\\n{"level":"fatal"}/tags/list', ''],
  ['an escape sequence of a terminal, escaped', '/v2/%1b%5b2J/tags/list', ''],
  ['bytes beyond ASCII in the path', '/v2/\u0085\u009b2J/tags/list', ''],
  ['line separators of Unicode', '/v2/%E2%80%A8%E2%80%A9/tags/list', ''],
  ['a user agent that looks like a line of the log', '/v2/', 'User-Agent: "}\\n{"level":"fatal","msg":"all is lost"}\r\n'],
  ['a user agent with a tab and a byte that breaks lines', '/v2/', 'User-Agent: a\tb\u0085c\u009bd\r\n'],
  ['a user agent folded over two lines', '/v2/', 'User-Agent: a\r\n {"level":"fatal"}\r\n'],
  ['a user agent with a bare line break', '/v2/', 'User-Agent: a\n{"level":"fatal"}\r\n'],
  ['a user agent with an escape sequence', '/v2/', 'User-Agent: \u001b[2J\r\n'],
  ['a user name that is a line', '/v2/', `Authorization: ${basic('x\n{"level":"fatal"}', 'y')}\r\n`],
  ['a forwarded address that is a line', '/v2/', 'X-Forwarded-For: 1.2.3.4\\n{"level":"fatal"}\r\n'],
  ['a host that is a line', '/v2/', 'X-Forwarded-Host: a\\n{"level":"fatal"}\r\n'],
  ['a very long path', `/v2/${'a/'.repeat(10_000)}tags/list`, ''],
]

function capture(format: 'json' | 'pretty'): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const settings = { level: 'trace', format, requests: true } as const
  return { lines, log: createLogger(settings, { isTerminal: false, destination: { write: (line) => void lines.push(line) } }) }
}

test('no client writes a line of the log: each is one line of JSON, of our own making', async (t) => {
  const { log, lines } = capture('json')
  const registry = await startRegistry(t, { log, settings: { TRUSTED_PROXIES: '127.0.0.1' } })
  for (const [title, path, headers] of injections) {
    lines.length = 0
    const head = `GET ${path} HTTP/1.1\r\nHost: ${registry.host}\r\nConnection: close\r\n${headers}\r\n`
    const answer = await sendBytes(registry, Buffer.from(head, 'latin1'))
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, title)
    // Node itself refuses what is no HTTP, before there is a request to log.
    const isRequest = /^X-Request-Id: /m.test(answer)
    if (isRequest) await until('the request is logged', () => lines.length > 0)
    for (const line of lines) {
      assert.equal(line.split('\n').length, 2, `${title}: one line break, at the end`)
      assert.ok(!line.includes('\r'), title)
      const { level, msg } = JSON.parse(line) as { level: string; msg: string }
      assert.deepEqual([level, msg], ['info', 'request'], title)
    }
    assert.equal(lines.length, isRequest ? 1 : 0, title)
  }
})

test('on a terminal, too, a request is one line without control characters', async (t) => {
  const { log, lines } = capture('pretty')
  const registry = await startRegistry(t, { log })
  for (const [title, path, headers] of injections) {
    lines.length = 0
    const head = `GET ${path} HTTP/1.1\r\nHost: ${registry.host}\r\nConnection: close\r\n${headers}\r\n`
    const answer = await sendBytes(registry, Buffer.from(head, 'latin1'))
    if (/^X-Request-Id: /m.test(answer)) await until('the request is logged', () => lines.length > 0)
    for (const line of lines) assert.match(line, /^[^\p{Cc}\p{Zl}\p{Zp}]+\n$/u, title)
  }
})

test('a request that was refused for its credentials is logged by its reason, without the name that was tried', async (t) => {
  const { log, lines } = capture('json')
  const registry = await startRegistry(t, { log })
  const replies: Reply[] = [await send(registry, 'GET /v2/', { authorization: basic('tried-name', 'tried-password') })]
  await until('the request is logged', () => lines.length === replies.length)
  const { reason, code, status, account } = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  assert.deepEqual([reason, code, status, account], ['credentialsWrong', 'UNAUTHORIZED', 401, undefined])
  assert.ok(!lines.join('').includes('tried-'), 'people type their password where the name belongs')
})

test('a request is logged with the account that it was made by, so that an operator can tell', async (t) => {
  const { log, lines } = capture('json')
  const registry = await startRegistry(t, { log })
  await registry.addUser('alice')
  for (const line of ['GET /v2/', 'GET /token', 'GET /v2/admin/app/tags/list']) {
    lines.length = 0
    const reply = await send(registry, line, { authorization: basic('alice') })
    await until('the request is logged', () => lines.length > 0)
    const { account, requestId } = JSON.parse(lines[0] ?? '') as Record<string, unknown>
    assert.deepEqual([account, requestId], ['alice', valuesOf(reply, 'X-Request-Id')[0]], line)
  }
})
