/** Downloads as clients do them: dropped half-way, many at once, resumed, in parallel; and a server that lets go of what nobody reads. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rm, truncate } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { SupportedDigest } from '../../oci/digest.ts'
import { blobPath, dataLayout } from '../../storage/layout.ts'
import { basic, Client, sha256 } from '../support/client.ts'
import { countOpenFiles, untilFilesAreClosed } from '../support/open-files.ts'
import { checkRow } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

/** More than the socket buffers of both ends hold, so that the server has to wait for its reader. */
const large = randomBytes(16 * 1024 * 1024)
const digest = sha256(large)
const path = `/v2/team/app/blobs/${digest}`

async function withLargeBlob(t: TestContext): Promise<{ registry: TestRegistry; client: Client; blobs: string }> {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushBlob('team/app', large)
  return { registry, client, blobs: dataLayout(registry.data).blobs }
}

/** Asks for the blob and reads no more than the first bytes of the answer. */
async function startDownload(t: Pick<TestContext, 'after'>, registry: TestRegistry, header = 'Accept: */*'): Promise<Socket> {
  const socket = connect(registry.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${registry.host}\r\nAuthorization: ${basic('admin')}\r\n${header}\r\n\r\n`)
  await once(socket, 'readable')
  assert.match(String(socket.read(20)), /^HTTP\/1\.1 20[06] /)
  return socket
}

test('a client that leaves', async (t) => {
  const { registry, client, blobs } = await withLargeBlob(t)
  const ways: readonly (readonly [what: string, header: string, leave: (socket: Socket) => void])[] = [
    ['resets the connection', 'Accept: */*', (socket) => socket.resetAndDestroy()],
    ['closes the connection', 'Accept: */*', (socket) => socket.destroy()],
    ['resets while it reads a range', 'Range: bytes=1000-', (socket) => socket.resetAndDestroy()],
    ['resets while it reads several ranges', 'Range: bytes=0-99,5000-9000000,10000000-', (socket) => socket.resetAndDestroy()],
  ]
  for (const [what, header, leave] of ways) {
    await t.test(`one that ${what} leaves no file open`, async (t) => {
      const sockets = await Promise.all(Array.from({ length: 5 }, () => startDownload(t, registry, header)))
      assert.equal(await countOpenFiles(blobs), 5)
      for (const socket of sockets) leave(socket)
      await untilFilesAreClosed(blobs)
    })
  }

  await t.test('after all of that the server answers as before', async () => {
    const answer = await client.call('GET', path)
    assert.equal(sha256(answer.bytes), digest)
  })

  await t.test('thirty that leave at once break nothing for one that stays', async (t) => {
    const staying = client.call('GET', path)
    const leaving = await Promise.all(Array.from({ length: 30 }, () => startDownload(t, registry)))
    for (const socket of leaving) socket.resetAndDestroy()
    assert.equal(sha256((await staying).bytes), digest)
    await untilFilesAreClosed(blobs)
  })

  await t.test('one that has sent its next request and leaves during the first answer is forgotten with both', async (t) => {
    const socket = await startDownload(t, registry)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${registry.host}\r\nAuthorization: ${basic('admin')}\r\n\r\n`)
    assert.ok((await countOpenFiles(blobs)) > 0, 'the download has ended already')
    socket.resetAndDestroy()
    await untilFilesAreClosed(blobs)
  })
})

test('what is no request, sent behind one, never gets into the answer to it', async (t) => {
  const { registry, blobs } = await withLargeBlob(t)
  const socket = await startDownload(t, registry)
  socket.on('error', () => undefined)
  socket.write('this is no HTTP\r\n\r\n')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => void socket.once('close', resolve))
  const received = Buffer.concat(chunks)
  const body = received.subarray(received.indexOf('\r\n\r\n') + 4)
  assert.ok(body.length < large.length && body.equals(large.subarray(0, body.length)), 'other bytes than the blob’s')
  await untilFilesAreClosed(blobs)
})

test('downloads that go on', async (t) => {
  const { registry, client, blobs } = await withLargeBlob(t)

  await t.test('one that broke off is resumed with a range from where it stood', async (t) => {
    const socket = await startDownload(t, registry)
    socket.resetAndDestroy()
    const half = large.length / 2
    const rest = await client.call('GET', path, { headers: { Range: `bytes=${half}-`, 'If-Range': `"${digest}"` } })
    assert.equal(rest.status, 206)
    assert.equal(rest.headers.get('Content-Range'), `bytes ${half}-${large.length - 1}/${large.length}`)
    assert.equal(sha256(Buffer.concat([large.subarray(0, half), rest.bytes])), digest)
  })

  await t.test('a reader that pauses gets every byte all the same', async (t) => {
    const socket = await startDownload(t, registry)
    const chunks: Buffer[] = []
    let received = 0
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      received += chunk.length
      const end = Buffer.concat(chunks.slice(0, 1)).indexOf('\r\n\r\n') + 4
      if (received >= end + large.length) break
      // Reading nothing for a turn of the event loop lets the buffers on both sides fill.
      await new Promise(setImmediate)
    }
    const all = Buffer.concat(chunks)
    assert.equal(sha256(all.subarray(all.indexOf('\r\n\r\n') + 4)), digest)
  })

  await t.test('four at once each get the whole blob', async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => client.call('GET', path)))
    for (const { bytes } of answers) assert.equal(sha256(bytes), digest)
    await untilFilesAreClosed(blobs)
  })

  await t.test('a blob that is deleted while it is read is read to its end', async (t) => {
    const socket = await startDownload(t, registry)
    await checkRow(registry, { rule: '', method: 'DELETE', path, status: 202 })
    await checkRow(registry, { rule: '', path, status: 404, code: 'BLOB_UNKNOWN' })
    let received = 0
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received += chunk.length
      if (received >= large.length) break
    }
    assert.ok(received >= large.length)
  })
})

test('a file that changes under a download', async (t) => {
  const { registry, blobs } = await withLargeBlob(t)
  const file = blobPath(dataLayout(registry.data), digest as SupportedDigest)

  await t.test('one that loses its end breaks the connection rather than send less as if it were all', async (t) => {
    const socket = await startDownload(t, registry)
    await truncate(file, 8 * 1024 * 1024)
    let received = 0
    await assert.rejects(
      async () => {
        for await (const chunk of socket as AsyncIterable<Buffer>) received += chunk.length
        if (received < large.length) throw new Error('the connection ended early')
      },
      { message: /ended early|ECONNRESET/ },
    )
    assert.ok(received < large.length)
    await untilFilesAreClosed(blobs)
  })

  await t.test('and one that is gone from the folder is a fault of the server, for every client anew', async () => {
    await rm(file)
    for (let time = 0; time < 3; time++) await checkRow(registry, { rule: '', path, status: 500, code: 'UNKNOWN' })
    assert.equal(await countOpenFiles(blobs), 0)
  })
})
