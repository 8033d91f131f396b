/**
 * Answers that are decided before the body has arrived: the client gets to read them, the server does not read gigabytes of
 * what it refused, and a client that asks first (Expect: 100-continue) is told before it sends anything.
 * Source: RFC 9110, 10.1.1.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { suite, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { basic, Client, sha256 } from '../support/client.ts'
import { chunk, RawConnection, requestHead } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { assertBlob, assertNoBlob, assertNoUploads } from '../support/store-contents.ts'
import { Upload } from '../support/upload.ts'

const mebibyte = 1024 * 1024
const content = 'the bytes of a blob'
const digest = sha256(content)

suite('a client that asks before it sends', () => {
  const shared = shareRegistry()

  test('is told to go on when it may, for each request that has a body', async () => {
    const client = new Client(shared())
    const upload = await Upload.start(client, 'expect/allowed')
    const requests: readonly (readonly [method: string, path: string, status: number])[] = [
      ['PATCH', upload.location, 202],
      ['PUT', `${upload.location}?digest=${sha256(content + content)}`, 201],
      ['POST', `/v2/expect/allowed/blobs/uploads/?digest=${digest}`, 201],
    ]
    for (const [method, path, status] of requests) {
      const connection = await RawConnection.open(shared())
      await connection.send(requestHead({ method, path, headers: { Expect: '100-continue', 'Content-Length': String(content.length) } }))
      assert.equal((await connection.answer()).status, 100)
      await connection.send(content)
      assert.equal((await connection.answer()).status, status)
      assert.equal((await connection.exchange({ method: 'GET', path: '/v2/' })).status, 200, 'the connection can be used again')
      connection.cut()
    }
    await assertBlob(shared(), 'expect/allowed', content + content)
    await assertBlob(shared(), 'expect/allowed', content)
  })

  test('is told the end at once when there is nothing to send', async () => {
    const upload = await Upload.start(new Client(shared()), 'expect/nothing')
    assert.equal((await upload.stream(content)).status, 202)
    const connection = await RawConnection.open(shared())
    const path = `${upload.location}?digest=${digest}`
    const answer = await connection.exchange({ method: 'PUT', path, headers: { Expect: '100-continue', 'Content-Length': '0' } })
    connection.cut()
    assert.equal(answer.status, 201)
  })

  const refusals: readonly (readonly [what: string, status: number, path: (upload: Upload) => string, headers: Record<string, string>])[] =
    [
      ['is not signed in', 401, ({ location }) => location, { Authorization: '' }],
      ['has the wrong password', 401, ({ location }) => location, { Authorization: basic('admin', 'wrong password') }],
      ['may not push there', 403, ({ location }) => location, { Authorization: basic('bob') }],
      ['names no session', 404, () => '/v2/expect/refused/blobs/uploads/0123', {}],
      ['sends a chunk out of order', 416, ({ location }) => location, { 'Content-Range': '5-23' }],
      ['sends another length than its range', 400, ({ location }) => location, { 'Content-Range': '0-99' }],
    ]
  for (const [what, status, pathOf, headers] of refusals) {
    test(`is refused without being told to go on when it ${what}`, async () => {
      const registry = shared()
      if ((await new Client(registry, basic('bob')).call('GET', '/v2/')).status !== 200) await registry.addUser('bob')
      const upload = await Upload.start(new Client(registry), 'expect/refused')
      const connection = await RawConnection.open(registry)
      const answer = await connection.exchange({
        method: 'PATCH',
        path: pathOf(upload),
        headers: { Expect: '100-continue', 'Content-Length': String(content.length), ...headers },
      })
      assert.equal(answer.status, status)
      assert.equal(answer.headers.get('connection'), 'close', 'the body that was promised will not come')
      await connection.closedByServer()
      assert.equal(await upload.range(), '0-0')
      assert.equal((await upload.cancel()).status, 204)
    })
  }
})

suite('an answer that comes before the body', () => {
  const shared = shareRegistry()

  /** Sends `total` bytes of body piece by piece, until the server ends it. */
  async function sendBody(connection: RawConnection, total: number): Promise<void> {
    const piece = Buffer.alloc(64 * 1024, 'x')
    for (let sent = 0; sent < total && !connection.isOver; sent += piece.length) await connection.send(piece)
  }

  const bodies: readonly (readonly [what: string, headers: Record<string, string>])[] = [
    ['of 200 MiB', { 'Content-Length': String(200 * mebibyte) }],
    ['without end, in chunked transfer', { 'Transfer-Encoding': 'chunked' }],
  ]
  for (const [what, headers] of bodies) {
    test(`can be read, and then the connection is closed long before a body ${what} is over`, async () => {
      const registry = shared()
      const connection = await RawConnection.open(registry)
      await connection.send(requestHead({ method: 'PATCH', path: '/v2/early/app/blobs/uploads/none', headers }))
      if ('Transfer-Encoding' in headers) await connection.send(`${(1024 * mebibyte).toString(16)}\r\n`)
      const sending = sendBody(connection, 200 * mebibyte)
      const answer = await connection.answer()
      assert.equal(answer.status, 404)
      assert.match(answer.body.toString(), /"BLOB_UPLOAD_UNKNOWN"/)
      assert.equal(answer.headers.get('connection'), 'close', 'or the client would send its next request into it')
      await connection.endedByServer()
      // What lies in the buffers of both kernels counts as sent, though nobody read it.
      assert.ok(connection.bytesSent < 50 * mebibyte, `${connection.bytesSent} bytes went out`)
      connection.cut()
      await sending
      await assertNoUploads(registry)
    })
  }

  test('leaves the connection usable when the body is small', async () => {
    const connection = await RawConnection.open(shared())
    const body = Buffer.alloc(256 * 1024, 'x')
    const path = '/v2/early/app/blobs/uploads/none'
    for (let round = 0; round < 3; round++) {
      const answer = await connection.exchange({ method: 'PATCH', path, headers: { 'Content-Length': String(body.length) }, body })
      assert.equal(answer.status, 404)
      assert.notEqual(answer.headers.get('connection'), 'close')
    }
    assert.equal((await connection.exchange({ method: 'GET', path: '/v2/' })).status, 200)
    connection.cut()
  })

  test('reaches a client that sends everything first and looks then', async () => {
    const client = new Client(shared(), basic('admin', 'wrong password'))
    for (const body of [Buffer.alloc(900 * 1024, 'x'), Buffer.alloc(100, 'x')]) {
      assert.equal((await client.call('PATCH', '/v2/early/app/blobs/uploads/none', { body })).status, 401)
    }
  })

  test('reaches one that sends more than is read, too, because its connection is not reset under it', async () => {
    const total = 16 * mebibyte
    const socket = connect(shared().port, '127.0.0.1').pause()
    const errors: Error[] = []
    socket.on('error', (error) => errors.push(error))
    await once(socket, 'connect')
    socket.write(requestHead({ method: 'PATCH', path: '/v2/early/app/blobs/uploads/none', headers: { 'Content-Length': String(total) } }))
    socket.write(Buffer.alloc(total))
    // Long after the answer: whatever the server does at once to the connection behind it has been done.
    await pause(500)
    assert.deepEqual(errors, [])
    const received: Buffer[] = []
    socket.on('data', (bytes) => received.push(bytes)).resume()
    await once(socket, 'end')
    assert.match(Buffer.concat(received).toString(), /^HTTP\/1.1 404 [^]*"BLOB_UPLOAD_UNKNOWN"/)
    socket.destroy()
  })

  test('ends the reading too for a client that goes on sending whatever it is told', async () => {
    const total = 500 * mebibyte
    const socket = connect({ port: shared().port, host: '127.0.0.1', allowHalfOpen: true }).resume()
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(requestHead({ method: 'PATCH', path: '/v2/early/app/blobs/uploads/none', headers: { 'Content-Length': String(total) } }))
    socket.write(Buffer.alloc(total))
    await once(socket, 'end')
    await pause(1000)
    const taken = socket.bytesWritten - socket.writableLength
    assert.ok(taken < 50 * mebibyte, `${taken} bytes went out`)
    socket.destroy()
  })
})

suite('a body that comes slowly', () => {
  const shared = shareRegistry()

  test('byte by byte is as good as any other, with a length or with chunked transfer', async () => {
    const upload = await Upload.start(new Client(shared()), 'slow/app')
    const patch = await RawConnection.open(shared())
    await patch.send(requestHead({ method: 'PATCH', path: upload.location, headers: { 'Transfer-Encoding': 'chunked' } }))
    for (const byte of content) for (const part of chunk(byte)) await patch.send(Uint8Array.of(part))
    await patch.send(chunk(''))
    assert.equal((await patch.answer()).status, 202)
    const path = `${upload.location}?digest=${sha256(content + content)}`
    for (const byte of requestHead({ method: 'PUT', path, headers: { 'Content-Length': String(content.length) } })) await patch.send(byte)
    for (const byte of content) {
      await patch.send(byte)
      await assertNoBlob(shared(), 'slow/app', sha256(content + content))
    }
    assert.equal((await patch.answer()).status, 201)
    patch.cut()
    await assertBlob(shared(), 'slow/app', content + content)
  })
})
