/**
 * An upload session: whose it is, where it stands, how it ends. Status and cancelling are here as well.
 * Spec: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-13) and main, "Cancelling" (end-14).
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import { expireUploads } from '../../registry/expire-uploads.ts'
import { basic, Client, sha256, type Answer } from '../support/client.ts'
import { RawConnection } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { assertNoUploads, assertSessionGone, sessionsOf } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const content = 'the bytes of a blob'
const digest = sha256(content)

suite('the status of an upload', () => {
  const shared = shareRegistry()

  test('is 0-0 while nothing is stored, and then the last byte', async () => {
    const upload = await Upload.start(new Client(shared()), 'status/range')
    assert.equal(await upload.range(), '0-0')
    await upload.stream('x')
    assert.equal(await upload.range(), '0-0')
    await upload.stream('y')
    assert.equal(await upload.range(), '0-1')
    await upload.stream('z'.repeat(100_000))
    assert.equal(await upload.range(), '0-100001')
  })

  for (const method of ['GET', 'HEAD']) {
    test(`is told on ${method} by headers alone`, async () => {
      const client = new Client(shared())
      const upload = await Upload.start(client, 'status/headers')
      await upload.stream(content)
      const answer = await client.call(method, upload.location)
      assert.equal(answer.status, 204)
      assert.equal(answer.headers.get('Location'), upload.location)
      assert.equal(answer.headers.get('Range'), `0-${content.length - 1}`)
      assert.equal(answer.headers.get('Docker-Upload-UUID'), upload.id)
      assert.equal(answer.headers.get('Content-Length'), null)
      assert.equal(answer.headers.get('Content-Type'), null)
      assert.equal(answer.bytes.length, 0)
    })
  }

  test('is what the server stored, whatever the address pretends', async () => {
    const client = new Client(shared())
    const upload = await Upload.start(client, 'status/tampered')
    await upload.stream(content)
    for (const query of ['?_state=eyJvZmZzZXQiOjB9', '?offset=0', '?digest=sha256:nonsense', `?digest=${digest}`, '?', '?&&=']) {
      assert.equal(await new Upload(client, upload.location + query).range(), `0-${content.length - 1}`, query)
    }
    assert.equal((await new Upload(client, `${upload.location}?_state=eyJvZmZzZXQiOjB9`).chunk('!', content.length)).status, 202)
    assert.equal((await upload.finish(sha256(`${content}!`))).status, 201)
  })

  test('is found under every location that the session was ever given', async () => {
    const client = new Client(shared())
    const first = await Upload.start(client, 'status/old')
    const patched = await first.stream(content)
    const second = new Upload(client, patched.headers.get('Location') ?? '')
    assert.equal((await first.chunk('late', 0)).status, 416)
    for (const upload of [first, second]) assert.equal(await upload.range(), `0-${content.length - 1}`)
    assert.equal((await first.finish(digest)).status, 201)
  })
})

suite('cancelling an upload', () => {
  const shared = shareRegistry()

  test('removes it without a trace, and needs no more than the right to push', async () => {
    const registry = shared()
    await registry.addUser('alice')
    const admin = new Client(registry)
    const { token } = JSON.parse(
      (await new Client(registry, basic('alice')).call('GET', '/token?scope=repository:alice/app:push')).bytes.toString(),
    ) as { token: string }
    const upload = await Upload.start(new Client(registry, `Bearer ${token}`), 'alice/app')
    await upload.stream(content)
    const answer = await upload.cancel()
    assert.equal(answer.status, 204)
    assert.equal(answer.bytes.length, 0)
    assert.equal(answer.headers.get('Content-Length'), null)
    assertRefused(await upload.status(), 404, 'BLOB_UPLOAD_UNKNOWN')
    assertRefused(await upload.cancel(), 404, 'BLOB_UPLOAD_UNKNOWN')
    assert.equal((await admin.call('HEAD', `/v2/alice/app/blobs/${digest}`)).status, 404)
    await assertNoUploads(registry)
  })

  test('works before anything was sent, and where deleting is switched off', async (t) => {
    const registry = await startRegistry(t, { settings: { DELETE_ENABLED: 'false' } })
    const upload = await Upload.start(new Client(registry), 'cancel/early')
    assert.equal((await upload.cancel()).status, 204)
    await assertNoUploads(registry)
  })
})

suite('an upload that does not exist', () => {
  const shared = shareRegistry()

  /** Every way not to exist for alice in alice/app, as the last part of the path. */
  const absent: readonly (readonly [what: string, id: (registry: TestRegistry) => Promise<string>])[] = [
    ['that never was', async () => randomUUID()],
    ['of another account, which may do more', async (registry) => (await begun(registry, basic('admin'), 'alice/app')).id],
    ['of another account, which may do as much', async (registry) => (await begun(registry, basic('carol'), 'alice/app')).id],
    ['of another repository', async (registry) => (await begun(registry, basic('alice'), 'alice/other')).id],
    ['that was finished', finished],
    ['that was cancelled', cancelled],
    ['that has expired', expired],
    ['whose id is in capitals', async (registry) => (await begun(registry, basic('alice'), 'alice/app')).id.toUpperCase()],
    ['whose id leads elsewhere', async () => '..%2f..%2flanyard.db'],
    ['whose id is a name in the folder', async () => '..'],
    ['whose id holds a NUL', async () => 'a%00b'],
    ['whose id holds a line break', async () => 'a%0d%0aX-Injected:%20yes'],
    ['whose id has quotes', async () => "'%20or%20'1'='1"],
    ['whose id is long', async () => 'a'.repeat(8000)],
  ]

  for (const [what, idOf] of absent) {
    test(`is refused alike by every method when it is one ${what}`, async () => {
      const registry = shared()
      await ensureUsers(registry)
      const id = await idOf(registry)
      const bystanders = await sessionsOf(registry)
      const expected = await outcome(registry, 'GET', randomUUID())
      assert.match(expected, /^404 .*"BLOB_UPLOAD_UNKNOWN"/)
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) assert.equal(await outcome(registry, method, id), expected, method)
      assert.equal(await outcome(registry, 'HEAD', id), await outcome(registry, 'HEAD', randomUUID()))
      assert.deepEqual(await sessionsOf(registry), bystanders, 'no session of somebody else was ended')
    })
  }

  test('was not touched by those who have no business with it', async () => {
    const registry = shared()
    await ensureUsers(registry)
    const upload = await begun(registry, basic('alice'), 'alice/app')
    for (const stranger of [basic('admin'), basic('carol')]) {
      const foreign = upload.as(new Client(registry, stranger))
      for (const answer of [await foreign.stream('spoilt'), await foreign.finish(sha256('spoilt')), await foreign.cancel()]) {
        assert.equal(answer.status, 404)
      }
    }
    assert.equal(await upload.range(), `0-${content.length - 1}`)
    assert.equal((await upload.finish(digest)).status, 201)
  })

  test('is not told apart from one that does by an account that may not push there', async () => {
    const registry = shared()
    await ensureUsers(registry)
    const upload = await begun(registry, basic('alice'), 'alice/app')
    for (const authorization of [basic('bob'), '']) {
      const client = new Client(registry, authorization)
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const real = await client.call(method, upload.location)
        const unreal = await client.call(method, `/v2/alice/app/blobs/uploads/${randomUUID()}`)
        assert.deepEqual(visible(real), visible(unreal), method)
        assert.equal(real.status, authorization === '' ? 401 : 403)
      }
    }
  })

  async function finished(registry: TestRegistry): Promise<string> {
    const upload = await begun(registry, basic('alice'), 'alice/app')
    assert.equal((await upload.finish(digest)).status, 201)
    return upload.id
  }

  async function cancelled(registry: TestRegistry): Promise<string> {
    const upload = await begun(registry, basic('alice'), 'alice/app')
    assert.equal((await upload.cancel()).status, 204)
    return upload.id
  }

  async function expired(registry: TestRegistry): Promise<string> {
    const upload = await begun(registry, basic('alice'), 'alice/app')
    registry.advance(24 * 3_600_000 + 1)
    assert.ok((await expireUploads(registry.services.registry)).sessions > 0)
    await assertSessionGone(registry, upload.id)
    return upload.id
  }

  async function begun(registry: TestRegistry, authorization: string, repository: string): Promise<Upload> {
    const upload = await Upload.start(new Client(registry, authorization), repository)
    assert.equal((await upload.stream(content)).status, 202)
    return upload
  }

  /** carol may do all that alice may in alice/app, as an administrator. */
  async function ensureUsers(registry: TestRegistry): Promise<void> {
    if ((await new Client(registry, basic('carol')).call('GET', '/v2/')).status === 200) return
    for (const name of ['alice', 'bob']) await registry.addUser(name)
    await registry.addUser('carol', { isAdmin: true })
  }

  /** What alice is told, byte for byte. Sent raw: fetch would make another path of some of these. */
  async function outcome(registry: TestRegistry, method: string, id: string): Promise<string> {
    const connection = await RawConnection.open(registry)
    const query = method === 'PUT' ? `?digest=${sha256('bytes that nobody pushed')}` : ''
    const answer = await connection.exchange({
      method,
      path: `/v2/alice/app/blobs/uploads/${id}${query}`,
      headers: { Authorization: basic('alice'), 'Content-Length': method === 'PATCH' ? '5' : '0' },
      ...(method === 'PATCH' ? { body: 'bytes' } : {}),
    })
    connection.cut()
    const headers = [...answer.headers].filter(([name]) => !['date', 'x-request-id'].includes(name))
    return `${answer.status} ${JSON.stringify(headers)} ${answer.body.toString()}`
  }

  function visible(answer: Answer): unknown {
    const headers = [...answer.headers].filter(([name]) => !['date', 'x-request-id'].includes(name))
    return { status: answer.status, headers, body: answer.bytes.toString() }
  }
})

suite('how many uploads an account may have open (threat 55)', () => {
  test('is limited, with a word on when to come back, and each that ends makes room', async (t) => {
    const registry = await startRegistry(t, { settings: { UPLOADS_MAX_PER_ACCOUNT: '3' } })
    await registry.addUser('alice')
    const alice = new Client(registry, basic('alice'))
    const uploads = [await Upload.start(alice, 'alice/a'), await Upload.start(alice, 'alice/b'), await Upload.start(alice, 'alice/a')]
    const refused = await alice.call('POST', '/v2/alice/c/blobs/uploads/')
    assertRefused(refused, 429, 'TOOMANYREQUESTS')
    assert.match(refused.headers.get('Retry-After') ?? '', /^[1-9]\d*$/)
    assertRefused(await alice.call('POST', `/v2/alice/c/blobs/uploads/?digest=${digest}`, { body: content }), 429, 'TOOMANYREQUESTS')
    await Upload.start(new Client(registry), 'alice/a')
    assert.equal((await uploads[0]?.cancel())?.status, 204)
    uploads.push(await Upload.start(alice, 'alice/c'))
    assert.equal((await uploads[1]?.finish(sha256('')))?.status, 201)
    await Upload.start(alice, 'alice/c')
    assertRefused(await alice.call('POST', '/v2/alice/c/blobs/uploads/'), 429, 'TOOMANYREQUESTS')
  })

  test('holds also for requests that arrive at once, on several workers', async (t) => {
    const registry = await startRegistry(t, { settings: { UPLOADS_MAX_PER_ACCOUNT: '5' } })
    const [one, other] = [new Client(registry), new Client(await registry.startWorker())]
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? one : other).call('POST', '/v2/team/app/blobs/uploads/')),
    )
    const statuses = answers.map(({ status }) => status)
    assert.deepEqual([statuses.filter((status) => status === 202).length, statuses.filter((status) => status === 429).length], [5, 35])
    assert.equal((await sessionsOf(registry)).length, 5)
  })

  test('is shared by all where nobody signs in', async (t) => {
    const registry = await startRegistry(t, { settings: { ACCESS: 'open', UPLOADS_MAX_PER_ACCOUNT: '2' } })
    const client = new Client(registry, '')
    const upload = await Upload.start(client, 'lab/app')
    await Upload.start(client, 'lab/app')
    assertRefused(await client.call('POST', '/v2/lab/app/blobs/uploads/'), 429, 'TOOMANYREQUESTS')
    assert.equal((await upload.as(new Client(registry)).stream(content)).status, 202, 'credentials mean nothing here')
    assert.equal((await upload.finish(digest)).status, 201)
  })
})
