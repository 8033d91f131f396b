/** How large a manifest may be, whatever its length says, and what becomes of a body that is refused before it is read. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { mediaTypes } from '../../oci/media-types.ts'
import { basic, Client, descriptorOf, expectStatus, sha256 } from '../support/client.ts'
import { codeOf, exchangeBytes, headerOf, parseAnswer, rawRequest, type RawAnswer } from '../support/raw-request.ts'
import { checkRow } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const limit = 4 * 1024 * 1024
const authorization = `Authorization: ${basic('admin')}`
const type = `Content-Type: ${mediaTypes.ociIndex}`
const path = '/v2/team/app/manifests/v1'

/** An index of exactly so many bytes. */
function indexOf(bytes: number): string {
  const [head, tail] = ['{"schemaVersion":2,"manifests":[],"annotations":{"filler":"', '"}}']
  return `${head}${'x'.repeat(bytes - head.length - tail.length)}${tail}`
}

/** The body in chunks of `size` bytes, as chunked transfer sends them. */
function chunked(body: string, size: number): string {
  const chunks: string[] = []
  for (let at = 0; at < body.length; at += size) {
    const piece = body.slice(at, at + size)
    chunks.push(`${piece.length.toString(16)}\r\n${piece}\r\n`)
  }
  return `${chunks.join('')}0\r\n\r\n`
}

const put = (registry: TestRegistry, headers: readonly string[], body: string): Promise<RawAnswer> =>
  rawRequest(registry.port, { method: 'PUT', path, headers: [authorization, type, ...headers], body })

function assertTooLarge(answer: RawAnswer): void {
  assert.deepEqual([answer.status, codeOf(answer)], [413, 'SIZE_INVALID'], answer.body.toString().slice(0, 300))
  assert.equal(answer.body.length, Number(headerOf(answer, 'Content-Length')))
}

test('the limit on the size of a manifest', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const full = indexOf(limit)

  await t.test('4 MiB are accepted and come back unchanged', async () => {
    const answer = await put(registry, [`Content-Length: ${limit}`], full)
    assert.equal(answer.status, 201)
    assert.equal(headerOf(answer, 'Docker-Content-Digest'), sha256(full))
    await checkRow(registry, { rule: '', path, status: 200, content: full, gives: { 'Content-Length': String(limit) } })
    await checkRow(registry, { rule: '', method: 'HEAD', path, status: 200, gives: { 'Content-Length': String(limit) } })
  })

  await t.test('4 MiB in chunks too', async () => {
    assert.equal((await put(registry, ['Transfer-Encoding: chunked'], chunked(full, 100_000))).status, 201)
  })

  await t.test('one byte more is 413, with a length or in chunks', async () => {
    assertTooLarge(await put(registry, [`Content-Length: ${limit + 1}`], `${full} `))
    assertTooLarge(await put(registry, ['Transfer-Encoding: chunked'], chunked(`${full} `, 100_000)))
    await checkRow(registry, { rule: '', path: `/v2/team/app/manifests/${sha256(`${full} `)}`, status: 404 })
  })

  await t.test('the limit is a setting', async (t) => {
    const small = new Client(await startRegistry(t, { settings: { MANIFESTS_MAX_BYTES: '2KiB' } }))
    await expectStatus(await small.putManifest('team/app', 'v1', indexOf(2048)), 201)
    const refused = await expectStatus(await small.putManifest('team/app', 'v2', indexOf(2049)), 413)
    assert.deepEqual(refused.errors[0]?.detail, { limitBytes: 2048, announcedBytes: 2049 })
  })

  await t.test('an image of a thousand different layers is stored whole and comes back unchanged', async () => {
    const layers = Array.from({ length: 1000 }, (_, index) => `layer ${index}`)
    const image = await client.pushImage('team/layers', 'v1', layers)
    assert.equal(new Set(image.layers).size, 1000)
    assert.equal((await client.call('GET', '/v2/team/layers/manifests/v1')).bytes.toString(), image.text)
  })

  await t.test('more than a thousand references are 413, however short they are', async () => {
    const entry = descriptorOf('{}', 'a/b')
    const index = (count: number) => ({ schemaVersion: 2, manifests: Array.from({ length: count }, () => entry) })
    await client.pushBlob('team/app', '{}')
    await expectStatus(await client.putManifest('team/app', 'thousand', index(1000)), 201)
    for (const count of [1001, 35_000]) {
      const answer = await expectStatus(await client.putManifest('team/app', 'more', index(count)), 413)
      assert.equal(answer.errors[0]?.code, 'SIZE_INVALID')
    }
  })
})

test('a length that lies', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const index = indexOf(200)

  await t.test('a length beyond the limit is 413 before a byte of the body is sent', async () => {
    for (const length of [limit + 1, 2 ** 40, Number.MAX_SAFE_INTEGER])
      assertTooLarge(await put(registry, [`Content-Length: ${length}`], ''))
  })

  await t.test('and a client that waits to be told to go on is not told to', async () => {
    const answer = await put(registry, [`Content-Length: ${limit + 1}`, 'Expect: 100-continue'], '')
    assertTooLarge(answer)
  })

  await t.test('a client that waits is told to go on when its manifest may come', async (t) => {
    const socket = await open(t, registry)
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: a\r\n${authorization}\r\n${type}\r\nContent-Length: 200\r\nExpect: 100-continue\r\n\r\n`)
    assert.match(await readAnswer(socket), /^HTTP\/1\.1 100 Continue\r\n\r\n$/)
    socket.write(index)
    assert.match(await readAnswer(socket), /^HTTP\/1\.1 201 /)
  })

  await t.test('a client that may not push is refused before it is told to go on', async () => {
    const headers = [type, 'Content-Length: 200', 'Expect: 100-continue']
    const answer = await rawRequest(registry.port, { method: 'PUT', path, headers })
    assert.equal(answer.status, 401)
  })

  const impossible: readonly (readonly [what: string, headers: readonly string[]])[] = [
    ['is negative', ['Content-Length: -1']],
    ['is no number', ['Content-Length: many']],
    ['is written with an exponent', ['Content-Length: 2e2']],
    ['is written in hex', ['Content-Length: 0xc8']],
    ['is beyond 64 bits', [`Content-Length: ${'9'.repeat(30)}`]],
    ['comes twice and differs', ['Content-Length: 200', 'Content-Length: 201']],
    ['comes with chunked transfer', ['Content-Length: 200', 'Transfer-Encoding: chunked']],
  ]
  for (const [what, headers] of impossible) {
    await t.test(`a length that ${what} is 400 and ends the connection`, async () => {
      const answer = await put(registry, headers, index)
      assert.equal(answer.status, 400)
      assert.equal(headerOf(answer, 'Connection'), 'close')
    })
  }

  await t.test('a length that is too short cuts the manifest, and what is left over is no request', async () => {
    const request = `PUT ${path} HTTP/1.1\r\nHost: a\r\n${authorization}\r\n${type}\r\nContent-Length: 150\r\n\r\n${index}`
    const bytes = await exchangeBytes(registry.port, request)
    const statuses = [...bytes.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status)
    // Node closes at the garbage; whether the first answer is still written depends on which comes first.
    assert.ok(statuses.length > 0 && statuses.every((status) => status === '400'), statuses.join())
  })

  await t.test('a body that ends too early stores nothing', async (t) => {
    const socket = await open(t, registry)
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: a\r\n${authorization}\r\n${type}\r\nContent-Length: 201\r\n\r\n${index}`)
    socket.end()
    const answer = parseAnswer(Buffer.from(await readAnswer(socket), 'latin1'))
    assert.equal(answer.status, 400)
  })

  await t.test('nothing of all this was stored but what was accepted', async () => {
    await checkRow(registry, { rule: '', path: '/v2/team/app/tags/list', status: 200, json: { name: 'team/app', tags: ['v1'] } })
    const stored = await client.call('GET', path)
    assert.equal(stored.bytes.toString(), index)
  })
})

test('bodies that nobody asked for', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)

  await t.test('a body without an end is cut off', async (t) => {
    const socket = await open(t, registry)
    const answered = readAll(socket)
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: a\r\n${authorization}\r\n${type}\r\nTransfer-Encoding: chunked\r\n\r\n`)
    await writeWithoutEnd(socket, Buffer.from(`10000\r\n${'x'.repeat(65_536)}\r\n`))
    assertTooLarge(parseAnswer(await answered))
  })

  await t.test('so is one behind a refusal for want of credentials', async (t) => {
    const socket = await open(t, registry)
    const answered = readAll(socket)
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: a\r\n${type}\r\nContent-Length: 1000000000000\r\n\r\n`)
    await writeWithoutEnd(socket, Buffer.alloc(65_536))
    assert.equal(parseAnswer(await answered).status, 401)
  })

  await t.test('a short one behind a refusal is read, and the connection lives on without a trace of it', async (t) => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    t.after(() => process.off('warning', note))
    const socket = await open(t, registry)
    for (let time = 0; time < 30; time++) {
      socket.write(`PUT ${path} HTTP/1.1\r\nHost: a\r\n${type}\r\nContent-Length: 5\r\n\r\n`)
      assert.match(await readAnswer(socket), /^HTTP\/1\.1 401 /)
      socket.write('hello')
    }
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${authorization}\r\n\r\n`)
    assert.match(await readAnswer(socket), /^HTTP\/1\.1 404 /)
    // Warnings are emitted a turn later.
    await new Promise(setImmediate)
    assert.deepEqual(
      warnings.filter(({ name }) => name === 'MaxListenersExceededWarning'),
      [],
    )
  })

  await t.test('a body with a GET is passed over', async () => {
    const headers = [authorization, 'Content-Length: 5']
    assert.equal((await rawRequest(registry.port, { path: '/v2/', headers, body: 'hello' })).status, 200)
    assert.equal((await client.call('GET', '/v2/')).status, 200)
  })
})

async function open(t: Pick<TestContext, 'after'>, registry: TestRegistry): Promise<Socket> {
  const socket = connect({ port: registry.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** What has come when the socket next has something to read: an answer without a body, or a short one, is there whole. */
async function readAnswer(socket: Socket): Promise<string> {
  await once(socket, 'readable')
  return String(socket.read() as Buffer)
}

/** Everything until the connection ends, in whichever way. */
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  return Buffer.concat(chunks)
}

/** Writes as fast as it is taken, until the other side ends the connection. */
async function writeWithoutEnd(socket: Socket, piece: Buffer): Promise<void> {
  const ended = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  while (!socket.destroyed) {
    if (!socket.write(piece)) await Promise.race([ended, new Promise<void>((resolve) => void socket.once('drain', () => resolve()))])
  }
}
