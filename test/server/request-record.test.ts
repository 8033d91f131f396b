/** What stays of a request: an id that the client gets and the log names, one line, and never a secret (threat 40). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegistryError } from '../../oci/errors.ts'
import { basic, Client, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { captureLog, type LogCapture, type LogLine } from '../support/log-capture.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { adminPassword, startRegistry } from '../support/start-registry.ts'

/** The line of one request, which is written when the connection has taken the answer. */
async function lineFor(capture: LogCapture, requestId: string | null): Promise<LogLine> {
  const find = (): LogLine | undefined => capture.lines().find((line) => line['requestId'] === requestId && line['msg'] === 'request')
  await eventually(() => find() !== undefined, `the line of request ${requestId}`)
  return find() ?? {}
}

test('every answer has an id of its own, whatever it is', async (t) => {
  const registry = await startRegistry(t)
  const ids: (string | null)[] = []
  for (const [method, path] of [
    ['GET', '/'],
    ['GET', '/v2/'],
    ['GET', '/nowhere'],
    ['POST', '/v2/'],
    ['GET', '/v2/UPPER/tags/list'],
    ['GET', '/readyz'],
  ] as const)
    ids.push((await new Client(registry).call(method, path)).headers.get('X-Request-Id'))
  for (const id of ids) assert.match(id ?? '', /^[0-9a-f]{8}-[0-9a-z]+$/)
  assert.equal(new Set(ids).size, ids.length)
})

test('an id that a client brings is not taken: it could be anything', async (t) => {
  const registry = await startRegistry(t)
  const answer = await new Client(registry).call('GET', '/v2/', { headers: { 'X-Request-Id': 'mine' } })
  assert.notEqual(answer.headers.get('X-Request-Id'), 'mine')
})

test('processes that serve the same port give different ids', async (t) => {
  const registry = await startRegistry(t)
  const worker = await registry.startWorker()
  const [one, other] = [await new Client(registry).call('GET', '/'), await new Client(worker).call('GET', '/')]
  assert.notEqual(one.headers.get('X-Request-Id')?.slice(0, 8), other.headers.get('X-Request-Id')?.slice(0, 8))
})

test('a request leaves one line with its id, what was asked, by whom, from where and how long it took', async (t) => {
  const capture = captureLog()
  const registry = await startRegistry(t, { log: capture.log })
  const answer = await new Client(registry).call('GET', '/v2/admin/app/tags/list?n=5', { headers: { 'User-Agent': 'docker/28' } })
  const { time, durationMs, ...line } = await lineFor(capture, answer.headers.get('X-Request-Id'))
  assert.deepEqual(line, {
    level: 'info',
    pid: process.pid,
    requestId: answer.headers.get('X-Request-Id'),
    method: 'GET',
    path: '/v2/admin/app/tags/list',
    status: 404,
    endpoint: 'tags',
    client: '127.0.0.1',
    agent: 'docker/28',
    account: 'admin',
    reason: 'nameUnknown',
    code: 'NAME_UNKNOWN',
    msg: 'request',
  })
  assert.ok(typeof durationMs === 'number' && durationMs >= 0)
  assert.equal(typeof time, 'string')
  assert.equal(capture.lines().length, 1)
})

test('behind a trusted proxy the line names the client', async (t) => {
  const capture = captureLog()
  const registry = await startRegistry(t, { log: capture.log, settings: { TRUSTED_PROXIES: '127.0.0.1' } })
  const answer = await new Client(registry).call('GET', '/', { headers: { 'X-Forwarded-For': '198.51.100.7' } })
  assert.equal((await lineFor(capture, answer.headers.get('X-Request-Id')))['client'], '198.51.100.7')
})

test('without log.requests only faults leave a line', async (t) => {
  const capture = captureLog()
  const registry = await startRegistry(t, { log: capture.log, settings: { LOG_REQUESTS: 'false' } })
  assert.equal((await new Client(registry).call('GET', '/nowhere')).status, 404)
  Object.assign(registry.services, { checkReady: () => Promise.reject(new RegistryError('storageFailed')) })
  assert.equal((await new Client(registry).call('GET', '/readyz')).status, 503)
  assert.deepEqual(
    capture.lines().map((line) => [line['level'], line['reason']]),
    [['error', 'storageFailed']],
  )
})

test('an answer of 503 that is no fault leaves its line but no stack: a flood of logins must not fill the log', async (t) => {
  const capture = captureLog()
  const registry = await startRegistry(t, { log: capture.log })
  registry.services.startDraining()
  const draining = await new Client(registry, '').call('GET', '/readyz')
  Object.assign(registry.services.passwords, { check: () => Promise.reject(new RegistryError('loginBusy')) })
  const busy = await new Client(registry).call('GET', '/v2/')
  for (const [answer, reason] of [
    [draining, 'shuttingDown'],
    [busy, 'loginBusy'],
  ] as const) {
    assert.equal(answer.status, 503)
    const line = await lineFor(capture, answer.headers.get('X-Request-Id'))
    assert.deepEqual([line['level'], line['reason']], ['warn', reason])
  }
  assert.equal(capture.lines().length, 2)
})

test('a client that leaves in the middle leaves a line that says so, and no fault', async (t) => {
  const capture = captureLog('debug')
  const registry = await startRegistry(t, { log: capture.log })
  const path = await new Client(registry).startUpload('admin/app')
  const connection = await RawConnection.open(registry)
  await connection.send(requestHead({ method: 'PATCH', path, headers: { 'Content-Length': '10' } }))
  await eventually(() => registry.services.registry.writing.count === 1, 'the upload to be under way')
  connection.reset()
  const aborted = (): LogLine | undefined => capture.lines().find((line) => line['aborted'] === true)
  await eventually(() => aborted() !== undefined, 'the line of the request that broke off')
  assert.equal(aborted()?.['method'], 'PATCH')
  await registry.services.registry.writing.whenIdle()
  assert.ok(!capture.lines().some((line) => line['level'] === 'error' || line['level'] === 'warn'), capture.text())
})

test('a fault of ours tells the client its id and nothing else, and the log the rest', async (t) => {
  const capture = captureLog()
  const registry = await startRegistry(t, { log: capture.log })
  Object.assign(registry.services, { checkReady: () => Promise.reject(new TypeError('the secret inside')) })
  const answer = await new Client(registry).call('GET', '/readyz')
  const id = answer.headers.get('X-Request-Id')
  assert.equal(answer.status, 500)
  assert.deepEqual(answer.errors, [
    { code: 'UNKNOWN', message: `the registry failed: ask its operator to look for this request id in the log: ${id}` },
  ])
  assert.ok(!answer.bytes.includes('secret inside'))
  const fault = capture.lines().find((line) => line['level'] === 'error')
  assert.equal(fault?.['requestId'], id)
  assert.match(JSON.stringify(fault?.['err']), /TypeError: the secret inside/)
  assert.equal((await lineFor(capture, id))['level'], 'warn')
})

test('paths and headers that hold escapes, quotes and line breaks stay within their line', async (t) => {
  const capture = captureLog()
  const registry = await startRegistry(t, { log: capture.log })
  const connection = await RawConnection.open(registry)
  const agent = 'evil" \u009b2J \u0085 {"level":"fatal"}'
  const paths = ['/v2/a%0a{"level":"fatal"}/tags/list', '/"%1b[2J', '/x?access_token=hunter2']
  for (const path of paths) {
    await connection.send(Buffer.from(requestHead({ method: 'GET', path, headers: { 'User-Agent': agent } }), 'latin1'))
    const answer = await connection.answer('GET')
    await lineFor(capture, answer.headers.get('x-request-id') ?? null)
  }
  connection.cut()
  const lines = capture.text().trimEnd().split('\n')
  assert.equal(lines.length, paths.length)
  for (const [index, text] of lines.entries()) {
    assert.doesNotMatch(text, /\p{Cc}/u)
    const line = JSON.parse(text) as LogLine
    assert.deepEqual([line['level'], line['path'], line['agent']], ['info', paths[index]?.split('?')[0], agent])
  }
})

test('a whole login, push and pull leave no password, token or Authorization in the log, at any level', async (t) => {
  const capture = captureLog('trace')
  const registry = await startRegistry(t, { log: capture.log, settings: { METRICS_TOKEN: 'scrape-0123456789' } })
  const scope = 'scope=repository%3Aadmin%2Fapp%3Apull%2Cpush'
  const got = await new Client(registry).call('GET', `/token?service=lanyard&${scope}`)
  const { token } = JSON.parse(got.bytes.toString('utf8')) as { token: string }
  const form = new URLSearchParams({ grant_type: 'password', username: 'admin', password: adminPassword, service: 'lanyard' })
  const posted = await new Client(registry, '').call('POST', '/token', {
    body: form.toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  })
  assert.equal(posted.status, 200)
  const bearer = new Client(registry, `Bearer ${token}`)
  await bearer.pushImage('admin/app', 'latest')
  assert.equal((await bearer.call('GET', '/v2/admin/app/manifests/latest')).status, 200)
  const wrong = 'a wrong password'
  assert.equal((await new Client(registry, basic('admin', wrong)).call('GET', '/v2/')).status, 401)
  assert.equal((await new Client(registry, '').call('GET', `/v2/?access_token=${token}`)).status, 401)
  assert.equal((await new Client(registry, 'Bearer scrape-0123456789').call('GET', '/metrics')).status, 200)
  assert.equal((await bearer.call('PUT', '/v2/admin/app/manifests/x', { body: '{', headers: { Cookie: 'sid=hunter2' } })).status, 400)
  await eventually(() => capture.lines().filter((line) => line['msg'] === 'request').length >= 12, 'all lines')
  const { text } = capture
  assert.ok(text().includes('/v2/admin/app/manifests/latest'))
  const [, claims = '', signature = ''] = token.split('.')
  for (const secret of [
    token,
    claims,
    signature,
    adminPassword,
    wrong,
    basic('admin').slice(6),
    basic('admin', wrong).slice(6),
    'scrape-0123456789',
    'hunter2',
  ])
    assert.ok(!text().includes(secret) && !text().includes(encodeURIComponent(secret)), secret)
  assert.ok(!/authorization|bearer/i.test(text()))
})

test('readiness follows the store and the end, health only the process', async (t) => {
  const registry = await startRegistry(t)
  const nobody = new Client(registry, '')
  const look = async (path: string) => {
    const { status, bytes } = await nobody.call('GET', path)
    return [status, bytes.toString('utf8')]
  }
  assert.deepEqual(await look('/readyz'), [200, 'ready\n'])
  assert.deepEqual(await look('/healthz'), [200, 'ok\n'])
  registry.services.startDraining()
  const answer = await nobody.call('GET', '/readyz')
  assert.equal(answer.status, 503)
  assert.deepEqual(answer.errors, [{ code: 'UNAVAILABLE', message: 'the registry is restarting: try again in a moment' }])
  assert.deepEqual(await look('/healthz'), [200, 'ok\n'])
  assert.equal((await new Client(registry).pushBlob('admin/app', 'still served')).length, sha256('').length)
})
