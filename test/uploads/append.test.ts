/**
 * PATCH <location>: a stream that goes on where the session stands, or a chunk that says where it belongs.
 * Spec: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-5).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Client, sha256, type Answer } from '../support/client.ts'
import { chunk, RawConnection, type RawAnswer } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { assertBlob, assertNoUploads } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const first = 'a'.repeat(100)
const second = 'b'.repeat(50)

function assertAppended(answer: Answer, upload: Upload, bytesStored: number): void {
  assert.equal(answer.status, 202, answer.bytes.toString())
  assert.equal(answer.headers.get('Location'), upload.location)
  assert.equal(answer.headers.get('Range'), `0-${Math.max(0, bytesStored - 1)}`)
  assert.equal(answer.headers.get('Docker-Upload-UUID'), upload.id)
  assert.equal(answer.headers.get('Content-Length'), '0')
  assert.equal(answer.bytes.length, 0)
}

suite('a stream', () => {
  const shared = shareRegistry()

  test('is appended wherever the session stands, with a length or with chunked transfer', async () => {
    const upload = await Upload.start(new Client(shared()), 'append/stream')
    assertAppended(await upload.stream(first), upload, 100)
    assertAppended(await upload.stream(new Blob([second]).stream()), upload, 150)
    assertAppended(await upload.stream(first), upload, 250)
    assert.equal((await upload.finish(sha256(first + second + first))).status, 201)
    await assertBlob(shared(), 'append/stream', first + second + first)
  })

  test('needs no Content-Type, as docker 20.10 sends none, and minds none', async () => {
    const upload = await Upload.start(new Client(shared()), 'append/types')
    const connection = await RawConnection.open(shared())
    for (const headers of [
      {},
      { 'Content-Type': 'application/octet-stream' },
      { 'Content-Type': 'application/json' },
      { 'Content-Type': '' },
    ]) {
      const answer = await connection.exchange({
        method: 'PATCH',
        path: upload.location,
        headers: { 'Content-Length': '100', ...headers },
        body: first,
      })
      assert.equal(answer.status, 202)
    }
    connection.cut()
    assert.equal((await upload.finish(sha256(first.repeat(4)))).status, 201)
  })

  test('of no bytes leaves the session where it stands', async () => {
    const client = new Client(shared())
    const upload = await Upload.start(client, 'append/nothing')
    assertAppended(await upload.stream(''), upload, 0)
    assertAppended(await upload.stream(first), upload, 100)
    assertAppended(await upload.stream(''), upload, 100)
    assertAppended(await client.call('PATCH', upload.location), upload, 100)
    const connection = await RawConnection.open(shared())
    const empty = await connection.exchange({
      method: 'PATCH',
      path: upload.location,
      headers: { 'Transfer-Encoding': 'chunked' },
      body: chunk(''),
    })
    connection.cut()
    assert.deepEqual([empty.status, empty.headers.get('range')], [202, '0-99'])
    assert.equal((await upload.finish(sha256(first))).status, 201)
  })

  test('of many megabytes arrives whole, however the transfer cuts it into pieces', async () => {
    const content = Buffer.alloc(5 * 1024 * 1024 + 7, 'many megabytes of bytes')
    const upload = await Upload.start(new Client(shared()), 'append/large')
    assertAppended(await upload.stream(content), upload, content.length)
    const pieces = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let start = 0; start < content.length; start += 100_003) controller.enqueue(content.subarray(start, start + 100_003))
        controller.close()
      },
    })
    assertAppended(await upload.stream(pieces), upload, 2 * content.length)
    const whole = Buffer.concat([content, content])
    assert.equal((await upload.finish(sha256(whole))).status, 201)
    await assertBlob(shared(), 'append/large', whole)
  })
})

suite('a chunk that says where it belongs', () => {
  const shared = shareRegistry()

  const forms = ['0-99', 'bytes 0-99/*', 'bytes=0-99', 'bytes 0-99/100', 'bytes 0-99/5000', 'Bytes 0-99/*']
  for (const form of forms) {
    test(`is read in the form ${form}`, async () => {
      const upload = await Upload.start(new Client(shared()), 'append/forms')
      assertAppended(await upload.patch(first, form), upload, 100)
      const next = form.replace('0-99', '100-149').replace('/100', '/150')
      assertAppended(await upload.patch(second, next), upload, 150)
      assert.equal((await upload.finish(sha256(first + second))).status, 201)
    })
  }

  test('may come with chunked transfer, and after and before a stream', async () => {
    const upload = await Upload.start(new Client(shared()), 'append/mixed')
    assertAppended(await upload.patch(new Blob([first]).stream(), '0-99'), upload, 100)
    assertAppended(await upload.stream(second), upload, 150)
    assertAppended(await upload.chunk(first, 150), upload, 250)
    assert.equal((await upload.finish(sha256(first + second + first))).status, 201)
  })

  const outOfOrder: readonly (readonly [what: string, contentRange: string])[] = [
    ['that leaves a gap', '101-150'],
    ['that overlaps', '99-148'],
    ['that was sent before', '0-99'],
    ['from the beginning', '0-49'],
    ['from far away', '5000000000-5000000049'],
    ['from beyond all counting', '9007199254740993-9007199254741042'],
    ['whose end stands first', '149-100'],
    ['with a negative start', '-100-149'],
    ['with a negative end', '100--149'],
    ['without an end', '100-'],
    ['without a start', '-149'],
    ['in words', 'one-two'],
    ['with a sign', '+100-149'],
    ['in hexadecimal', '0x64-0x95'],
    ['with an exponent', '1e2-149'],
    ['of another unit', 'items 100-149/*'],
    ['outside its own total', 'bytes 100-149/149'],
    ['of unknown place', 'bytes */150'],
    ['twice', '100-149, 100-149'],
    ['with decimals', '100.0-149.0'],
  ]
  for (const [what, contentRange] of outOfOrder) {
    test(`is refused when it is one ${what} (${contentRange}), and the session is as before`, async () => {
      const upload = await Upload.start(new Client(shared()), 'append/order')
      assertAppended(await upload.chunk(first, 0), upload, 100)
      for (const body of [second, new Blob([second]).stream()]) {
        const refused = await upload.patch(body, contentRange)
        assertRefused(refused, 416, 'BLOB_UPLOAD_INVALID')
        assert.equal(refused.headers.get('Range'), '0-99')
        assert.equal(refused.headers.get('Location'), upload.location)
      }
      assert.equal(await upload.range(), '0-99')
      assertAppended(await upload.chunk(second, 100), upload, 150)
      assert.equal((await upload.finish(sha256(first + second))).status, 201)
    })
  }

  test('is refused on an empty session with a range that docker can read', async () => {
    const upload = await Upload.start(new Client(shared()), 'append/order')
    const refused = await upload.chunk(second, 100)
    assertRefused(refused, 416, 'BLOB_UPLOAD_INVALID')
    assert.equal(refused.headers.get('Range'), '0-0')
    assertAppended(await upload.chunk(first, 0), upload, 100)
  })

  test('with an empty Content-Range is no chunk that can be placed', async () => {
    const upload = await Upload.start(new Client(shared()), 'append/order')
    assertRefused(await upload.patch(first, ''), 416, 'BLOB_UPLOAD_INVALID')
    assert.equal(await upload.range(), '0-0')
  })
})

suite('a chunk whose length is not what it says', () => {
  const shared = shareRegistry()

  const lies: readonly (readonly [what: string, contentRange: string, body: string, transfer: 'length' | 'chunked'])[] = [
    ['one byte less than its range, with a length', '0-100', first, 'length'],
    ['one byte more than its range, with a length', '0-98', first, 'length'],
    ['nothing, with a length', '0-99', '', 'length'],
    ['one byte less than its range, with chunked transfer', '0-100', first, 'chunked'],
    ['one byte more than its range, with chunked transfer', '0-98', first, 'chunked'],
    ['nothing, with chunked transfer', '0-99', '', 'chunked'],
    ['megabytes more than its range, with chunked transfer', '0-99', first.repeat(30_000), 'chunked'],
  ]
  for (const [what, contentRange, body, transfer] of lies) {
    test(`is refused when it has ${what}, and the session is as before`, async () => {
      const registry = shared()
      const upload = await Upload.start(new Client(registry), 'append/length')
      const answer = await patchRaw(upload, { contentRange, body, transfer })
      assert.equal(answer.status, 400)
      assert.match(answer.body.toString(), /"SIZE_INVALID"/)
      assert.equal(await upload.range(), '0-0')
      assertAppended(await upload.chunk(first, 0), upload, 100)
      assert.equal((await upload.finish(sha256(first))).status, 201)
      await assertBlob(registry, 'append/length', first)
    })
  }

  test('is refused for its place before its length is looked at', async () => {
    const upload = await Upload.start(new Client(shared()), 'append/length')
    const answer = await patchRaw(upload, { contentRange: '7-9', body: first, transfer: 'chunked' })
    assert.deepEqual([answer.status, answer.headers.get('range')], [416, '0-0'])
    assert.equal((await upload.cancel()).status, 204)
    await assertNoUploads(shared())
  })

  async function patchRaw(
    upload: Upload,
    { contentRange, body, transfer }: { contentRange: string; body: string; transfer: 'length' | 'chunked' },
  ): Promise<RawAnswer> {
    const connection = await RawConnection.open(shared())
    const how = transfer === 'length' ? { 'Content-Length': String(body.length) } : { 'Transfer-Encoding': 'chunked' }
    const coded = transfer === 'length' ? body : Buffer.concat(body === '' ? [chunk('')] : [chunk(body), chunk('')])
    try {
      return await connection.exchange({
        method: 'PATCH',
        path: upload.location,
        headers: { 'Content-Range': contentRange, ...how },
        body: coded,
      })
    } finally {
      connection.cut()
    }
  }
})
