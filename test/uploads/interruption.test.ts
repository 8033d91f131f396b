/**
 * Uploads that break off half way: what arrived is kept, the client learns how much, and goes on from there.
 */
import assert from 'node:assert/strict'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Client, sha256, sha512 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { chunk, RawConnection, requestHead } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoUploads, untilWritten } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const mebibyte = 1024 * 1024
const content = Buffer.from(Array.from({ length: 8 * mebibyte }, (_, index) => (index * 31 + (index >> 12)) & 0xff))
const digest = sha256(content)

async function untilNobodyWrites(registry: TestRegistry): Promise<void> {
  await eventually(() => registry.services.registry.writing.count === 0, 'the server to notice that the client is gone')
}

suite('an upload that breaks off', () => {
  const shared = shareRegistry()

  const endings = ['cut', 'reset'] as const
  const transfers: readonly (readonly [what: string, headers: Record<string, string>, encode: (bytes: Buffer) => Buffer])[] = [
    ['a length', { 'Content-Length': String(content.length) }, (bytes) => bytes],
    ['chunked transfer', { 'Transfer-Encoding': 'chunked' }, (bytes) => chunk(bytes)],
    ['a range', { 'Content-Length': String(content.length), 'Content-Range': `0-${content.length - 1}` }, (bytes) => bytes],
  ]
  for (const ending of endings) {
    for (const [what, headers, encode] of transfers) {
      test(`in a request with ${what} (${ending}) keeps the megabytes that were written, and goes on after them`, async () => {
        const registry = shared()
        const upload = await Upload.start(new Client(registry), 'broken/patch')
        const connection = await RawConnection.open(registry)
        await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers }))
        await connection.send(encode(content.subarray(0, 3 * mebibyte)))
        await untilWritten(registry, upload.id, 2 * mebibyte)
        connection[ending]()
        await untilNobodyWrites(registry)
        const bytesStored = await upload.bytesStored()
        assert.ok(bytesStored >= 2 * mebibyte && bytesStored <= 3 * mebibyte, `${bytesStored} bytes are kept`)
        assert.equal((await stat(join(registry.data, 'uploads', upload.id))).size, bytesStored)
        assert.equal((await upload.chunk(content.subarray(bytesStored), bytesStored)).status, 202)
        assert.equal((await upload.finish(digest)).status, 201)
        await assertBlob(registry, 'broken/patch', content)
        await assertNoUploads(registry)
      })
    }
  }

  test('is never taken for a short one that ended well', async () => {
    const registry = shared()
    const upload = await Upload.start(new Client(registry), 'broken/short')
    const part = content.subarray(0, 2 * mebibyte)
    const connection = await RawConnection.open(registry)
    const path = `${upload.location}?digest=${sha256(part)}`
    await connection.send(requestHead({ method: 'PUT', path, headers: { 'Content-Length': String(part.length + 1) } }))
    await connection.send(part)
    await untilWritten(registry, upload.id, mebibyte)
    connection.cut()
    await untilNobodyWrites(registry)
    assert.equal((await new Client(registry).call('HEAD', `/v2/broken/short/blobs/${sha256(part)}`)).status, 404)
    assert.equal((await upload.cancel()).status, 204)
  })

  test('because the client stops sending but still listens is not answered with success either', async () => {
    const registry = shared()
    const upload = await Upload.start(new Client(registry), 'broken/half')
    const connection = await RawConnection.open(registry)
    const headers = { 'Content-Length': '1000' }
    await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers }))
    await connection.send(content.subarray(0, 500))
    await eventually(() => registry.services.registry.writing.count === 1, 'the request to arrive')
    connection.endSending()
    await connection.closedByServer()
    await untilNobodyWrites(registry)
    assert.doesNotMatch(connection.unread, /HTTP\/1\.1 2/)
    const bytesStored = await upload.bytesStored()
    assert.ok(bytesStored <= 500)
    const rest = content.subarray(bytesStored, 1000)
    assert.equal((await upload.chunk(rest, bytesStored)).status, 202)
    assert.equal((await upload.finish(sha256(content.subarray(0, 1000)))).status, 201)
  })

  test('may be gone on with in another algorithm, after any number of breaks', async () => {
    const registry = shared()
    const upload = await Upload.start(new Client(registry), 'broken/often')
    let bytesStored = 0
    for (let breaks = 0; breaks < 3; breaks++) {
      const connection = await RawConnection.open(registry)
      await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers: { 'Content-Length': String(content.length) } }))
      await connection.send(content.subarray(bytesStored, bytesStored + 2 * mebibyte))
      await untilWritten(registry, upload.id, bytesStored + mebibyte)
      connection.cut()
      await untilNobodyWrites(registry)
      bytesStored = await upload.bytesStored()
    }
    assert.ok(bytesStored >= 3 * mebibyte)
    const pushed = sha512(content)
    const closing = { body: content.subarray(bytesStored), headers: { 'Content-Range': `${bytesStored}-${content.length - 1}` } }
    assert.equal((await upload.finish(pushed, closing)).status, 201)
    assert.ok((await new Client(registry).call('GET', `/v2/broken/often/blobs/${pushed}`)).bytes.equals(content))
  })

  test('while a second request asks: it hears that the first still writes, and where the session stood', async () => {
    const registry = shared()
    const upload = await Upload.start(new Client(registry), 'broken/busy')
    assert.equal((await upload.stream(content.subarray(0, 100))).status, 202)
    const connection = await RawConnection.open(registry)
    await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers: { 'Content-Length': '100' } }))
    await connection.send(content.subarray(100, 150))
    await eventually(() => registry.services.registry.writing.count === 1, 'the first request to arrive')
    for (const answer of [await upload.stream('x'), await upload.chunk('x', 100), await upload.finish(digest), await upload.cancel()]) {
      assertRefused(answer, 416, 'BLOB_UPLOAD_INVALID')
      assert.equal(answer.headers.get('Range'), '0-99')
      assert.equal(answer.headers.get('Location'), upload.location)
    }
    assert.equal(await upload.range(), '0-99')
    await connection.send(content.subarray(150, 200))
    assert.equal((await connection.answer()).status, 202)
    connection.cut()
    assert.equal((await upload.finish(sha256(content.subarray(0, 200)))).status, 201)
  })
})

suite('a server that ends', () => {
  test('keeps what had arrived, and its successor goes on from there', async (t) => {
    const first = await startRegistry({ after: () => undefined })
    t.after(first.close)
    const upload = await Upload.start(new Client(first), 'broken/restart')
    assert.equal((await upload.chunk(content.subarray(0, mebibyte), 0)).status, 202)
    const connection = await RawConnection.open(first)
    await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers: { 'Content-Length': String(4 * mebibyte) } }))
    await connection.send(content.subarray(mebibyte, 3 * mebibyte + 5000))
    await untilWritten(first, upload.id, 2 * mebibyte)
    await first.close()
    connection.cut()
    const second = await startRegistry(t, { data: first.data })
    t.after(() => rm(first.data, { recursive: true }))
    const continued = upload.as(new Client(second))
    const bytesStored = await continued.bytesStored()
    assert.ok(bytesStored >= mebibyte && bytesStored <= 3 * mebibyte + 5000)
    assert.equal((await continued.chunk(content.subarray(bytesStored), bytesStored)).status, 202)
    assert.equal((await continued.finish(digest)).status, 201)
    await assertBlob(second, 'broken/restart', content)
    await assertNoUploads(second)
  })
})
