/**
 * PUT <location>?digest=<digest>: the last bytes, if any, and the blob becomes visible, or nothing does.
 * Spec: distribution-spec v1.1.1, "Pushing a blob monolithically" and "in chunks" (end-6).
 */
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Client, emptyDigest, sha256, sha512, type Answer } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { chunk, RawConnection, requestHead } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { assertBlob, assertNoBlob, assertNoUploads, assertSessionGone } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const content = 'the bytes of a blob, sent in two parts'
const [head, tail] = [content.slice(0, 20), content.slice(20)]
const digest = sha256(content)

function assertCreated(answer: Answer, repository: string, pushed: string): void {
  assert.equal(answer.status, 201, answer.bytes.toString())
  assert.equal(answer.headers.get('Location'), `/v2/${repository}/blobs/${pushed}`)
  assert.equal(answer.headers.get('Docker-Content-Digest'), pushed)
  assert.equal(answer.headers.get('Content-Length'), '0')
  assert.equal(answer.bytes.length, 0)
}

suite('closing an upload', () => {
  const shared = shareRegistry()

  const ways: readonly (readonly [what: string, push: (upload: Upload, pushed: string) => Promise<Answer>])[] = [
    ['the whole blob in the closing request', (upload, pushed) => upload.finish(pushed, { body: content })],
    ['the whole blob in the closing request, chunked transfer', (upload, pushed) => upload.finish(pushed, { body: streamOf(content) })],
    ['one stream and an empty closing request', async (upload, pushed) => afterwards(upload.stream(content), () => upload.finish(pushed))],
    [
      'one stream and the rest in the closing request',
      async (upload, pushed) => afterwards(upload.stream(head), () => upload.finish(pushed, { body: tail })),
    ],
    [
      'two chunks and an empty closing request',
      async (upload, pushed) => {
        await upload.chunk(head, 0)
        return afterwards(upload.chunk(tail, head.length), () => upload.finish(pushed, { body: '' }))
      },
    ],
    [
      'a chunk and the last chunk in the closing request',
      async (upload, pushed) =>
        afterwards(upload.chunk(head, 0), () => upload.finish(pushed, { body: tail, ...rangeOf(tail, head.length) })),
    ],
    ['the only chunk in the closing request', (upload, pushed) => upload.finish(pushed, { body: content, ...rangeOf(content, 0) })],
    [
      'the last chunk in the closing request, chunked transfer',
      async (upload, pushed) =>
        afterwards(upload.stream(head), () => upload.finish(pushed, { body: streamOf(tail), ...rangeOf(tail, head.length) })),
    ],
  ]
  for (const [what, push] of ways) {
    for (const pushed of [digest, sha512(content)]) {
      test(`publishes the blob after ${what} (${pushed.slice(0, 6)})`, async () => {
        const client = new Client(shared())
        const upload = await Upload.start(client, 'finish/ways')
        assertCreated(await push(upload, pushed), 'finish/ways', pushed)
        const location = `/v2/finish/ways/blobs/${pushed}`
        const seen = await client.call('HEAD', location)
        assert.deepEqual([seen.status, seen.headers.get('Content-Length')], [200, String(content.length)])
        assert.equal((await client.call('GET', location)).bytes.toString(), content)
        await assertNoUploads(shared())
        assert.equal((await client.call('DELETE', location)).status, 202)
      })
    }
  }

  for (const pushed of [emptyDigest, sha512('')]) {
    test(`publishes nothing at all as the blob of no bytes (${pushed.slice(0, 6)})`, async () => {
      const client = new Client(shared())
      const upload = await Upload.start(client, 'finish/empty')
      assertCreated(await upload.finish(pushed), 'finish/empty', pushed)
      const got = await client.call('GET', `/v2/finish/empty/blobs/${pushed}`)
      assert.deepEqual([got.status, got.headers.get('Content-Length'), got.bytes.length], [200, '0', 0])
      await assertSessionGone(shared(), upload.id)
    })
  }

  test('takes a digest that is escaped, or beside parameters of others', async () => {
    const client = new Client(shared())
    for (const query of [`?digest=${encodeURIComponent(digest)}`, `?_state=abc&digest=${digest}&ns=docker.io`]) {
      const upload = await Upload.start(client, 'finish/query')
      await upload.stream(content)
      assertCreated(await client.call('PUT', upload.location + query), 'finish/query', digest)
    }
  })

  test('works in the repository of the session and shows the blob there only', async () => {
    const registry = shared()
    const client = new Client(registry)
    const bytes = 'only in one repository'
    await client.pushBlob('finish/here', bytes)
    await client.pushBlob('finish/there', 'something else')
    await assertBlob(registry, 'finish/here', bytes)
    await assertNoBlob(registry, 'finish/there', sha256(bytes))
  })

  test('repairs what is damaged: the same blob pushed again replaces its file', async () => {
    const registry = shared()
    const client = new Client(registry)
    const pushed = await client.pushBlob('finish/again', content)
    const before = await stat(fileOf(pushed))
    await client.pushBlob('finish/again', content)
    assert.notEqual((await stat(fileOf(pushed))).ino, before.ino)
    await assertBlob(registry, 'finish/again', content)
  })

  function fileOf(pushed: string): string {
    const hex = pushed.slice('sha256:'.length)
    return join(shared().data, 'blobs', 'sha256', hex.slice(0, 2), hex)
  }
})

suite('a closing request that is refused', () => {
  const shared = shareRegistry()

  test('for its digest drops the session and leaves nothing', async () => {
    for (const wrong of [sha256('other bytes'), sha512('other bytes'), emptyDigest]) {
      for (const body of [undefined, tail]) {
        const upload = await Upload.start(new Client(shared()), 'refused/digest')
        await upload.stream(head)
        assertRefused(await upload.finish(wrong, { body }), 400, 'DIGEST_INVALID')
        assertRefused(await upload.status(), 404, 'BLOB_UPLOAD_UNKNOWN')
        for (const each of [wrong, digest, sha256(head)]) await assertNoBlob(shared(), 'refused/digest', each)
        await assertNoUploads(shared())
      }
    }
  })

  const unusable: readonly (readonly [what: string, query: string])[] = [
    ['no digest', ''],
    ['an empty digest', '?digest='],
    ['no digest at all', '?digest=latest'],
    ['a malformed digest', '?digest=sha256:baddigeststring'],
    ['a digest in capitals', `?digest=${digest.toUpperCase()}`],
    ['a digest that leads elsewhere', '?digest=sha256:../../lanyard.db'],
    ['a digest with a line break', `?digest=${digest}%0d%0aX-Injected:%20yes`],
    ['an algorithm that cannot be checked', `?digest=blake3:${'a'.repeat(64)}`],
    ['a weak algorithm', `?digest=md5:${'a'.repeat(32)}`],
    ['a sha512 digest that is too short', `?digest=sha512:${'a'.repeat(64)}`],
  ]
  for (const [what, query] of unusable) {
    test(`for ${what} leaves the session as it is, so that the right one still closes it`, async () => {
      const client = new Client(shared())
      const upload = await Upload.start(client, 'refused/query')
      await upload.stream(head)
      const refused = await client.call('PUT', upload.location + query, { body: tail })
      assertRefused(refused, 400, 'DIGEST_INVALID')
      assert.equal(refused.headers.get('X-Injected'), null)
      assert.equal(await upload.bytesStored(), head.length)
      assertCreated(await upload.finish(digest, { body: tail }), 'refused/query', digest)
    })
  }

  test('for its place keeps the session open, whose status is then found under the same URL', async () => {
    const client = new Client(shared())
    const upload = await Upload.start(client, 'refused/order')
    await upload.chunk(head, 0)
    for (const start of [0, head.length - 1, head.length + 1]) {
      const refused = await upload.finish(digest, { body: tail, ...rangeOf(tail, start) })
      assertRefused(refused, 416, 'BLOB_UPLOAD_INVALID')
      assert.equal(refused.headers.get('Range'), `0-${head.length - 1}`)
      assert.equal(refused.headers.get('Location'), upload.location)
      assert.equal(await new Upload(client, `${upload.location}?digest=${digest}`).range(), `0-${head.length - 1}`)
    }
    assertCreated(await upload.finish(digest, { body: tail, ...rangeOf(tail, head.length) }), 'refused/order', digest)
  })

  test('for its length keeps the session open', async () => {
    const upload = await Upload.start(new Client(shared()), 'refused/length')
    await upload.chunk(head, 0)
    const short = { body: tail, headers: { 'Content-Range': `${head.length}-${content.length}` } }
    assertRefused(await upload.finish(digest, short), 400, 'SIZE_INVALID')
    assertRefused(await upload.finish(digest, { ...short, body: streamOf(tail) }), 400, 'SIZE_INVALID')
    assertRefused(await upload.finish(digest, { body: streamOf(content), ...rangeOf(tail, head.length) }), 400, 'SIZE_INVALID')
    assert.equal(await upload.bytesStored(), head.length)
    assertCreated(await upload.finish(digest, { body: tail }), 'refused/length', digest)
  })

  test('by the network keeps what arrived, so that the rest still closes it', async () => {
    const registry = shared()
    const upload = await Upload.start(new Client(registry), 'refused/broken')
    await upload.stream(head)
    const connection = await RawConnection.open(registry)
    await connection.send(
      requestHead({ method: 'PUT', path: `${upload.location}?digest=${digest}`, headers: { 'Content-Length': String(tail.length) } }),
    )
    await connection.send(tail.slice(0, 5))
    await eventually(() => registry.services.registry.writing.count === 1, 'the closing request to arrive')
    connection.cut()
    await eventually(() => registry.services.registry.writing.count === 0, 'the server to notice')
    await assertNoBlob(registry, 'refused/broken', digest)
    const bytesStored = await upload.bytesStored()
    assert.ok(bytesStored >= head.length && bytesStored <= head.length + 5)
    assertCreated(await upload.finish(digest, { body: content.slice(bytesStored) }), 'refused/broken', digest)
  })
})

suite('a closing request whose answer was lost', () => {
  const shared = shareRegistry()

  test('succeeds again, empty or with all its bytes', async () => {
    const upload = await Upload.start(new Client(shared()), 'lost/answer')
    for (let attempt = 0; attempt < 3; attempt++) assertCreated(await upload.finish(digest, { body: content }), 'lost/answer', digest)
    assertCreated(await upload.finish(digest), 'lost/answer', digest)
    assertCreated(await upload.finish(digest, { body: tail, ...rangeOf(tail, head.length) }), 'lost/answer', digest)
    await assertNoUploads(shared())
  })

  test('is not believed for a blob that only another repository has', async () => {
    const client = new Client(shared())
    const upload = await Upload.start(client, 'lost/here')
    await upload.cancel()
    await client.pushBlob('lost/there', content)
    assertRefused(await upload.finish(digest), 404, 'BLOB_UPLOAD_UNKNOWN')
  })

  test('is not believed for another digest than the one that was stored', async () => {
    const upload = await Upload.start(new Client(shared()), 'lost/other')
    assertCreated(await upload.finish(digest, { body: content }), 'lost/other', digest)
    assertRefused(await upload.finish(sha512(content)), 404, 'BLOB_UPLOAD_UNKNOWN')
  })

  test('is answered before its body has arrived, and the connection can be used again after it', async () => {
    const upload = await Upload.start(new Client(shared()), 'lost/body')
    assertCreated(await upload.finish(digest, { body: content }), 'lost/body', digest)
    const connection = await RawConnection.open(shared())
    await connection.send(
      requestHead({ method: 'PUT', path: `${upload.location}?digest=${digest}`, headers: { 'Transfer-Encoding': 'chunked' } }),
    )
    assert.equal((await connection.answer()).status, 201)
    for (const part of [chunk(content), chunk('')]) await connection.send(part)
    assert.equal((await connection.exchange({ method: 'GET', path: '/v2/' })).status, 200)
    connection.cut()
  })
})

function rangeOf(part: string, start: number): { headers: Record<string, string> } {
  return { headers: { 'Content-Range': `${start}-${start + part.length - 1}` } }
}

function streamOf(bytes: string): ReadableStream<Uint8Array> {
  return new Blob([bytes]).stream()
}

async function afterwards(append: Promise<Answer>, finish: () => Promise<Answer>): Promise<Answer> {
  assert.equal((await append).status, 202)
  return finish()
}
