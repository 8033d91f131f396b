/**
 * POST /v2/<name>/blobs/uploads/: a session, a whole blob at once, or a refusal, decided in this order. Mounts have their own file.
 * Spec: distribution-spec v1.1.1, "Pushing blobs" (end-4a, end-4b) and main, "digest-algorithm" (end-4c).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { basic, Client, emptyDigest, sha256, sha512, type Call } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { chunk, RawConnection, requestHead } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoBlob, assertNoUploads, assertSessionGone, sessionsOf } from '../support/store-contents.ts'
import { assertRefused, Upload, uuid } from '../support/upload.ts'

const content = 'the bytes of a whole blob'
const digest = sha256(content)
const blake3 = `blake3:${'a'.repeat(64)}`

suite('a POST that starts a session', () => {
  const shared = shareRegistry()

  const starts: readonly (readonly [what: string, query: string, call: Call])[] = [
    ['without anything', '', {}],
    ['with a Content-Type and an empty body, as crane sends it', '', { headers: { 'Content-Type': 'application/json' }, body: '' }],
    ['with parameters that nobody knows', '?ns=docker.io&origin=a/b&state=xyz', {}],
    ['with a digest but no body', `?digest=${digest}`, {}],
    ['with a sha512 digest but no body', `?digest=${sha512(content)}`, {}],
    ['with the hint that sha256 will be used', '?digest-algorithm=sha256', {}],
    ['with the hint that sha512 will be used', '?digest-algorithm=sha512', {}],
    ['with a body but no digest', '', { body: content }],
  ]
  for (const [what, query, call] of starts) {
    test(`${what} is answered with an empty session`, async () => {
      const client = new Client(shared())
      const answer = await client.call('POST', `/v2/start/session/blobs/uploads/${query}`, call)
      assert.equal(answer.status, 202)
      const location = answer.headers.get('Location') ?? ''
      assert.match(location, /^\/v2\/start\/session\/blobs\/uploads\/[^/?]+$/)
      const upload = new Upload(client, location)
      assert.match(upload.id, uuid)
      assert.equal(answer.headers.get('Docker-Upload-UUID'), upload.id)
      assert.equal(answer.headers.get('Range'), '0-0')
      assert.equal(answer.headers.get('Content-Length'), '0')
      assert.equal(answer.headers.get('OCI-Chunk-Min-Length'), null)
      assert.equal(answer.headers.get('Docker-Distribution-Api-Version'), 'registry/2.0')
      assert.equal(answer.bytes.length, 0)
      assert.equal(await upload.range(), '0-0', 'a body without a digest is not part of it')
    })
  }

  test('works with and without the slash at the end, and is never redirected', async () => {
    const client = new Client(shared())
    for (const path of ['/v2/start/slash/blobs/uploads', '/v2/start/slash/blobs/uploads/']) {
      assert.equal((await client.call('POST', path)).status, 202)
    }
  })

  test('works in repositories whose names hold the words of the paths', async () => {
    const client = new Client(shared())
    for (const name of ['a/blobs', 'x/blobs/uploads', 'x/manifests/y', 'foo/tags/list', 'uploads']) {
      assert.equal(await client.pushBlob(name, content), digest)
      await assertBlob(shared(), name, content)
    }
  })

  test('gives every session another id', async () => {
    const client = new Client(shared())
    const locations = await Promise.all(Array.from({ length: 20 }, () => client.startUpload('start/ids')))
    assert.equal(new Set(locations).size, 20)
  })

  test('does not make the repository: that takes content', async () => {
    const client = new Client(shared())
    await client.startUpload('start/nothing-yet')
    assertRefused(await client.call('GET', '/v2/start/nothing-yet/tags/list'), 404, 'NAME_UNKNOWN')
  })

  test('gives a location that does not repeat what the client calls the registry', async () => {
    const connection = await RawConnection.open(shared())
    const forwarded = {
      'X-Forwarded-Host': 'evil.test',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Prefix': '/evil',
      Forwarded: 'host=evil.test',
    }
    const answer = await connection.exchange({
      method: 'POST',
      path: '/v2/start/host/blobs/uploads/',
      headers: { Host: 'evil.test', 'Content-Length': '0', ...forwarded },
    })
    connection.cut()
    assert.equal(answer.status, 202)
    assert.match(answer.headers.get('location') ?? '', /^\/v2\/start\/host\/blobs\/uploads\/[0-9a-f-]{36}$/)
    assert.ok(![...answer.headers.values()].some((value) => value.includes('evil')), 'no header repeats the host')
  })
})

suite('a POST with a digest and a body', () => {
  const shared = shareRegistry()

  const whole: readonly (readonly [what: string, digest: string, bytes: string])[] = [
    ['sha256', digest, content],
    ['sha512', sha512(content), content],
    ['sha256 of nothing, without a body', emptyDigest, ''],
    ['sha512 of nothing, without a body', sha512(''), ''],
  ]
  for (const [what, pushed, bytes] of whole) {
    test(`stores the whole blob: ${what}`, async () => {
      const client = new Client(shared())
      const call = bytes === '' ? {} : { body: bytes }
      const answer = await client.call('POST', `/v2/start/whole/blobs/uploads/?digest=${pushed}`, call)
      assert.equal(answer.status, 201)
      assert.equal(answer.headers.get('Location'), `/v2/start/whole/blobs/${pushed}`)
      assert.equal(answer.headers.get('Docker-Content-Digest'), pushed)
      assert.equal(answer.headers.get('Content-Length'), '0')
      const got = await client.call('GET', answer.headers.get('Location') ?? '')
      assert.equal(got.bytes.toString(), bytes)
      await assertNoUploads(shared())
    })
  }

  test('takes the body with chunked transfer as well, and a digest that is escaped', async () => {
    const client = new Client(shared())
    const body = new Blob([content]).stream()
    const answer = await client.call('POST', `/v2/start/chunked/blobs/uploads/?digest=${encodeURIComponent(digest)}`, { body })
    assert.equal(answer.status, 201)
    await assertBlob(shared(), 'start/chunked', content)
  })

  test('ignores what kind the body says it is', async () => {
    const client = new Client(shared())
    for (const type of ['application/octet-stream', 'application/json', 'multipart/form-data; boundary=x', 'nonsense']) {
      const answer = await client.call('POST', `/v2/start/types/blobs/uploads/?digest=${digest}`, {
        body: content,
        headers: { 'Content-Type': type },
      })
      assert.equal(answer.status, 201, type)
    }
  })

  const refused: readonly (readonly [what: string, digest: string, call: Call])[] = [
    ['of other bytes', sha256('other bytes'), { body: content }],
    ['of nothing', emptyDigest, { body: content }],
    ['of an algorithm that cannot be checked', blake3, { body: content }],
    ['that is no digest', 'sha256:baddigeststring', { body: content }],
    ['in capitals', digest.toUpperCase(), { body: content }],
    ['that is empty', '', { body: content }],
    ['that is none, without a body', 'sha256:../../etc/passwd', {}],
  ]
  for (const [what, wrong, call] of refused) {
    test(`is refused and leaves nothing when the digest is one ${what}`, async () => {
      const registry = shared()
      const client = new Client(registry)
      assertRefused(await client.call('POST', `/v2/start/refused/blobs/uploads/?digest=${wrong}`, call), 400, 'DIGEST_INVALID')
      await assertNoBlob(registry, 'start/refused', digest)
      await assertNoUploads(registry)
    })
  }

  test('is refused when the body turns out to be empty but the digest is not that of nothing', async () => {
    const connection = await RawConnection.open(shared())
    const answer = await connection.exchange({
      method: 'POST',
      path: `/v2/start/refused/blobs/uploads/?digest=${digest}`,
      headers: { 'Transfer-Encoding': 'chunked' },
      body: chunk(''),
    })
    connection.cut()
    assert.equal(answer.status, 400)
    assert.match(answer.body.toString(), /"DIGEST_INVALID"/)
    await assertNoUploads(shared())
  })

  test('that breaks off leaves nothing, and the same request then succeeds', async () => {
    const registry = shared()
    const path = `/v2/start/broken/blobs/uploads/?digest=${digest}`
    const connection = await RawConnection.open(registry)
    await connection.send(requestHead({ method: 'POST', path, headers: { 'Transfer-Encoding': 'chunked' } }))
    await connection.send(chunk(content.slice(0, 10)))
    await eventually(async () => (await sessionsOf(registry)).length === 1, 'the upload to begin')
    connection.cut()
    await eventually(async () => (await sessionsOf(registry)).length === 0, 'the upload to be given up')
    await registry.services.registry.writing.whenIdle()
    await assertNoUploads(registry)
    const client = new Client(registry)
    assert.equal((await client.call('POST', path, { body: content })).status, 201)
    await assertBlob(registry, 'start/broken', content)
  })
})

suite('the hint of the digest algorithm', () => {
  const shared = shareRegistry()

  for (const hint of ['sha256', 'sha512']) {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      test(`is only a hint: ${hint} may end as ${algorithm}`, async () => {
        const client = new Client(shared())
        const upload = await Upload.start(client, 'start/hint', `?digest-algorithm=${hint}`)
        assert.equal((await upload.stream(content)).status, 202)
        const wanted = algorithm === 'sha256' ? digest : sha512(content)
        const answer = await upload.finish(wanted)
        assert.equal(answer.status, 201)
        assert.equal(answer.headers.get('Docker-Content-Digest'), wanted)
        await assertSessionGone(shared(), upload.id)
      })
    }
  }

  for (const algorithm of ['md5', 'blake3', 'SHA256', 'sha256:', '', '__proto__']) {
    test(`is refused when it is ${JSON.stringify(algorithm)}`, async () => {
      const answer = await new Client(shared()).call('POST', `/v2/start/hint/blobs/uploads/?digest-algorithm=${algorithm}`)
      assertRefused(answer, 400, 'DIGEST_INVALID')
      assert.equal(answer.headers.get('Location'), null)
    })
  }
})

suite('who may start an upload', () => {
  test('an owner and an administrator, but no stranger and nobody without a login', async (t) => {
    const registry = await startRegistry(t)
    await registry.addUser('alice')
    await registry.addUser('bob')
    const start = (client: Client) => client.call('POST', '/v2/alice/app/blobs/uploads/')
    assert.equal((await start(new Client(registry))).status, 202)
    assert.equal((await start(new Client(registry, basic('alice')))).status, 202)
    assertRefused(await start(new Client(registry, basic('bob'))), 403, 'DENIED')
    const challenged = await start(new Client(registry, ''))
    assertRefused(challenged, 401, 'UNAUTHORIZED')
    assert.match(challenged.headers.get('WWW-Authenticate') ?? '', /scope="repository:alice\/app:pull,push"$/)
  })
})
