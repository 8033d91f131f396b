/** The HTTP server of one process: TLS and its reload, what an address that cannot be had is told, and an orderly end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { request as requestHttps } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultSettings } from '../../server/config/settings.ts'
import { Listener, ListenerError } from '../../server/listener.ts'
import { createSilentLogger } from '../../server/log.ts'
import { basic, Client, sha256 } from '../support/client.ts'
import { makeCertificate, showsCertificate, writeCertificate } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { startRegistry } from '../support/start-registry.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const answerNothing = () => Promise.resolve()

function listenerWith(files: { TLS_CERTIFICATE: string; TLS_KEY: string }): Listener {
  const settings = defaultSettings({ 'tls.certificate': files.TLS_CERTIFICATE, 'tls.key': files.TLS_KEY })
  return new Listener(settings, createSilentLogger(), answerNothing)
}

async function refusalOf(act: () => unknown): Promise<string> {
  try {
    await act()
  } catch (error) {
    assert.ok(error instanceof ListenerError, String(error))
    assert.doesNotMatch(error.message, /\n/)
    return error.message
  }
  throw new Error('it was not refused')
}

test('a port in use is told by its address', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const listener = new Listener(defaultSettings(), createSilentLogger(), answerNothing)
  assert.equal(
    await refusalOf(() => listener.listen({ host: '127.0.0.1', port })),
    `cannot listen on 127.0.0.1:${port} (the listen setting): another program uses it: stop that one, or choose another port`,
  )
})

for (const [host, message] of [
  ['192.0.2.1', /^cannot listen on 192\.0\.2\.1:0 \(the listen setting\): it is not an address of this machine$/],
  ['2001:db8::1', /^cannot listen on \[2001:db8::1\]:0 \(the listen setting\): /],
  ['registry.invalid', /^cannot listen on registry\.invalid:0 \(the listen setting\): /],
] as const) {
  test(`an address that cannot be had is told: ${host}`, async () => {
    const listener = new Listener(defaultSettings(), createSilentLogger(), answerNothing)
    assert.match(await refusalOf(() => listener.listen({ host, port: 0 })), message)
  })
}

test('a certificate or a key that cannot be read is told by its setting and path', async (t) => {
  const folder = temporaryFolder(t)
  const files = writeCertificate(folder, await makeCertificate())
  for (const [setting, missing] of [
    ['tls.key', files.TLS_KEY],
    ['tls.certificate', files.TLS_CERTIFICATE],
  ] as const) {
    rmSync(missing)
    assert.equal(await refusalOf(() => listenerWith(files)), `${setting} ${missing} cannot be read (ENOENT)`)
  }
})

test('a key of another certificate, or a file that is none, is told by both paths', async (t) => {
  const [one, two] = [await makeCertificate(), await makeCertificate()]
  for (const pair of [
    { cert: one.cert, key: two.key },
    { cert: 'no certificate', key: one.key },
    { cert: one.cert, key: 'no key' },
  ]) {
    const files = writeCertificate(temporaryFolder(t), pair)
    const message = await refusalOf(() => listenerWith(files))
    assert.ok(
      message.startsWith(`tls.certificate ${files.TLS_CERTIFICATE} and tls.key ${files.TLS_KEY} cannot be used together: `),
      message,
    )
  }
})

test('with a certificate the registry speaks https and nothing else, and is known as https', async (t) => {
  const certificate = await makeCertificate()
  const registry = await startRegistry(t, { settings: writeCertificate(temporaryFolder(t), certificate) })
  assert.ok(await showsCertificate(registry.port, certificate))
  assert.ok(!(await showsCertificate(registry.port, await makeCertificate())), 'who trusts another one is not satisfied')
  const request = requestHttps(`${registry.url}/v2/`, { ca: certificate.cert, agent: false }).end()
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  response.resume()
  assert.equal(response.statusCode, 401)
  assert.match(response.headers['www-authenticate'] ?? '', new RegExp(`realm="https://127\\.0\\.0\\.1:${registry.port}/token"`))
  await assert.rejects(fetch(`http://127.0.0.1:${registry.port}/v2/`))
})

test('a new certificate is served without a restart; one that cannot be used changes nothing and is told once', async (t) => {
  const [old, renewed] = [await makeCertificate(), await makeCertificate()]
  const files = writeCertificate(temporaryFolder(t), old)
  const logged: string[] = []
  const log = Object.assign(createSilentLogger(), {
    info: (message: string) => logged.push(message),
    error: (_fields: object, message: string) => logged.push(message),
  })
  t.mock.timers.enable({ apis: ['setInterval'] })
  const registry = await startRegistry(t, { settings: files, log })
  const look = (): string[] => {
    logged.length = 0
    t.mock.timers.tick(2_000)
    t.mock.timers.tick(2_000)
    return [...logged]
  }
  assert.deepEqual(look(), [], 'nothing changed')
  writeFileSync(files.TLS_CERTIFICATE, renewed.cert)
  assert.deepEqual(look(), ['the new TLS certificate cannot be used, the old one stays'])
  rmSync(files.TLS_KEY)
  assert.deepEqual(look(), ['the new TLS certificate cannot be used, the old one stays'])
  assert.ok(await showsCertificate(registry.port, old))
  writeFileSync(files.TLS_KEY, renewed.key)
  assert.deepEqual(look(), ['the TLS certificate was loaded again'])
  assert.ok(await showsCertificate(registry.port, renewed))
  assert.ok(!(await showsCertificate(registry.port, old)))
})

test('an end closes idle connections at once and takes no new ones', async (t) => {
  const registry = await startRegistry(t)
  const idle = await RawConnection.open(registry)
  assert.equal((await idle.exchange({ method: 'GET', path: '/healthz' })).status, 200)
  await registry.close()
  await idle.closedByServer()
  await assert.rejects(RawConnection.open(registry), { code: 'ECONNREFUSED' })
})

/** A registry whose listener is under the test's hand. */
async function startListener(answer: Parameters<typeof acceptWith>[0]): Promise<{ listener: Listener; port: number }> {
  const listener = acceptWith(answer)
  await listener.listen({ host: '127.0.0.1', port: 0 })
  return { listener, port: (listener.server.address() as AddressInfo).port }
}

function acceptWith(answer: ConstructorParameters<typeof Listener>[2]): Listener {
  return new Listener(defaultSettings(), createSilentLogger(), answer)
}

test('a running request may finish within the grace period, and its connection ends with it', async () => {
  const release = Promise.withResolvers<void>()
  const { listener, port } = await startListener(async (_req, res) => {
    await release.promise
    res.end('done')
  })
  const connection = await RawConnection.open({ port })
  await connection.send(requestHead({ method: 'GET', path: '/' }))
  await once(listener.server, 'request')
  const closing = listener.close(60_000)
  release.resolve()
  const answer = await connection.answer('GET')
  assert.deepEqual([answer.status, answer.body.toString()], [200, 'done'])
  await connection.closedByServer()
  await closing
})

test('a request that comes on a kept connection during the end is answered with Connection: close', async () => {
  const release = Promise.withResolvers<void>()
  const { listener, port } = await startListener(async (req, res) => {
    if (req.url === '/slow') await release.promise
    else await Promise.resolve()
    res.end('done')
  })
  const connection = await RawConnection.open({ port })
  await connection.send(requestHead({ method: 'GET', path: '/slow' }))
  await once(listener.server, 'request')
  const closing = listener.close(60_000)
  await connection.send(requestHead({ method: 'GET', path: '/next' }))
  await once(listener.server, 'request')
  release.resolve()
  assert.equal((await connection.answer('GET')).headers.get('connection'), 'keep-alive')
  assert.equal((await connection.answer('GET')).headers.get('connection'), 'close')
  await connection.closedByServer()
  await closing
})

test('what still runs after the grace period is cut', async () => {
  const { listener, port } = await startListener(() => new Promise(() => undefined))
  const connection = await RawConnection.open({ port })
  await connection.send(requestHead({ method: 'GET', path: '/' }))
  await once(listener.server, 'request')
  await listener.close(0)
  await connection.closedByServer()
  assert.equal(connection.unread, '')
})

test('an upload that is cut by the end keeps what arrived, and another start goes on with it', async (t) => {
  const data = temporaryFolder(t)
  const registry = await startRegistry(t, { data })
  const content = Buffer.alloc(3 * 1024 * 1024, 'lanyard ')
  const location = await new Client(registry).startUpload('admin/app')
  const connection = await RawConnection.open(registry)
  await connection.send(requestHead({ method: 'PATCH', path: location, headers: { 'Content-Length': String(content.length) } }))
  await connection.send(content.subarray(0, 2 * 1024 * 1024))
  const file = join(data, 'uploads', location.split('/').at(-1) ?? '')
  await eventually(() => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0, 'the first bytes to be written')
  await registry.close()
  await connection.closedByServer()

  const next = new Client(await startRegistry(t, { data }))
  const status = await next.call('GET', location)
  const stored = Number(status.headers.get('Range')?.slice('0-'.length)) + 1
  assert.ok(stored >= 1024 * 1024 && stored <= 2 * 1024 * 1024, String(stored))
  const headers = { 'Content-Range': `${stored}-${content.length - 1}` }
  const end = await next.call('PUT', `${location}?digest=${sha256(content)}`, { body: content.subarray(stored), headers })
  assert.equal(end.status, 201)
})

test('the limits are those that real clients need', () => {
  const { server } = new Listener(defaultSettings({ 'http.idleSeconds': 77 }), createSilentLogger(), answerNothing)
  assert.equal(server.requestTimeout, 0, 'a large upload on a slow line is not cut')
  assert.ok(server.keepAliveTimeout > 120_000, 'longer than any client keeps an idle connection')
  assert.equal(server.timeout, 77_000)
  assert.ok(server.headersTimeout > 0 && server.headersTimeout <= 60_000)
})

test('60 KiB of headers are read, as podman sends them; 70 KiB are refused', async (t) => {
  const registry = await startRegistry(t)
  for (const [kib, status] of [
    [60, 200],
    [70, 431],
  ] as const) {
    const connection = await RawConnection.open(registry)
    const answer = await connection.exchange({ method: 'GET', path: '/v2/', headers: { Range: 'x'.repeat(kib * 1024) } })
    assert.equal(answer.status, status)
    connection.cut()
  }
})

for (const [what, bytes] of [
  ['no HTTP at all', 'hello\r\n\r\n'],
  ['a bare line feed', 'GET / HTTP/1.1\nHost: x\n\n'],
  ['a folded header', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n'],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['chunked with a length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
] as const) {
  test(`${what} is answered with 400 in our form, and the connection ends`, async (t) => {
    const registry = await startRegistry(t)
    const connection = await RawConnection.open(registry)
    await connection.send(bytes)
    const answer = await connection.answer('GET')
    assert.equal(answer.status, 400)
    assert.equal(answer.headers.get('connection'), 'close')
    assert.equal(answer.headers.get('content-type'), 'application/json')
    const { errors } = JSON.parse(answer.body.toString('utf8')) as { errors: { code: string }[] }
    assert.equal(errors[0]?.code, 'UNSUPPORTED')
    await connection.closedByServer()
    assert.equal((await new Client(registry, basic('admin')).call('GET', '/healthz')).status, 200)
  })
}
