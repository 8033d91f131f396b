/**
 * POST /v2/<name>/blobs/uploads/?mount=<digest>[&from=<name>]: a blob that is elsewhere already, without sending it again.
 * What cannot be mounted becomes an ordinary upload, and the answer tells nothing about why.
 * Spec: distribution-spec v1.1.1, "Mounting a blob from another repository" (end-11).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { basic, Client, sha256, sha512, type Answer } from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoBlob, assertSessionGone, blobFilesOf, sessionsOf } from '../support/store-contents.ts'
import { assertRefused, Upload, uuid } from '../support/upload.ts'

const absent = sha256('bytes that nobody pushed')

interface Cast {
  readonly registry: TestRegistry
  readonly alice: Client
  readonly bob: Client
  /** Bytes that no other test pushed, and their digest. */
  readonly content: string
  readonly digest: string
  /** A repository of bob's that does not exist yet. */
  readonly target: string
}

/** alice owns a repository of each visibility that holds the blob. @returns what sets the scene for one test. */
function shareCast(): () => Promise<Cast> {
  const shared = shareRegistry()
  let scenes = 0
  return async () => {
    const registry = shared()
    if (scenes === 0) for (const name of ['alice', 'bob']) await registry.addUser(name)
    const content = `a layer that several images share, in scene ${++scenes}`
    const alice = new Client(registry, basic('alice'))
    for (const visibility of ['private', 'internal', 'public'] as const) {
      await alice.pushBlob(`alice/${visibility}`, content)
      await registry.setVisibility(`alice/${visibility}`, visibility)
    }
    const bob = new Client(registry, basic('bob'))
    return { registry, alice, bob, content, digest: sha256(content), target: `bob/app-${scenes}` }
  }
}

function mount(client: Client, repository: string, query: string): Promise<Answer> {
  return client.call('POST', `/v2/${repository}/blobs/uploads/?${query}`)
}

function assertMounted(answer: Answer, repository: string, mounted: string): void {
  assert.equal(answer.status, 201, answer.bytes.toString())
  assert.equal(answer.headers.get('Location'), `/v2/${repository}/blobs/${mounted}`)
  assert.equal(answer.headers.get('Docker-Content-Digest'), mounted)
  assert.equal(answer.headers.get('Content-Length'), '0')
}

/** An ordinary session, and not a word about the mount. */
function assertUploadInstead(answer: Answer, repository: string): void {
  assert.equal(answer.status, 202, answer.bytes.toString())
  const location = answer.headers.get('Location') ?? ''
  assert.ok(location.startsWith(`/v2/${repository}/blobs/uploads/`))
  assert.match(location.slice(location.lastIndexOf('/') + 1), uuid)
  assert.equal(answer.headers.get('Range'), '0-0')
  assert.equal(answer.headers.get('Docker-Content-Digest'), null)
  assert.equal(answer.bytes.length, 0)
}

suite('a mount', () => {
  const scene = shareCast()

  type Row = readonly [who: 'alice' | 'bob' | 'admin', target: string, query: (digests: Cast) => string, isMounted: boolean]
  const rows: readonly Row[] = [
    ['alice', 'alice/new', ({ digest }) => `mount=${digest}&from=alice/private`, true],
    ['alice', 'alice/new', ({ digest }) => `mount=${digest}&from=alice/public`, true],
    ['alice', 'alice/new', ({ digest }) => `mount=${digest}`, true],
    ['alice', 'alice/new', ({ digest }) => `mount=${encodeURIComponent(digest)}&from=alice%2Fprivate`, true],
    ['alice', 'alice/new', ({ digest }) => `from=alice/private&mount=${digest}&origin=x`, true],
    ['alice', 'alice/private', ({ digest }) => `mount=${digest}&from=alice/private`, true],
    ['alice', 'alice/private', ({ digest }) => `mount=${digest}&from=bob/unknown`, true],
    ['alice', 'alice/private', ({ digest }) => `mount=${digest}&from=`, true],
    ['alice', 'alice/new', ({ digest }) => `mount=${digest}&from=alice/new`, false],
    ['alice', 'alice/new', () => `mount=${absent}&from=alice/private`, false],
    ['alice', 'alice/new', () => `mount=${absent}`, false],
    ['alice', 'alice/new', ({ content }) => `mount=${sha512(content)}&from=alice/private`, false],
    ['alice', 'alice/new', ({ digest }) => `mount=${digest}&from=alice/unknown`, false],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=alice/private`, false],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=alice/internal`, true],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=alice/public`, true],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}`, true],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=alice/unknown`, false],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=bob/unknown`, false],
    ['bob', 'bob/new', () => `mount=${absent}&from=alice/public`, false],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=`, false],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=Not/A/Name`, false],
    ['bob', 'bob/new', ({ digest }) => `mount=${digest}&from=..%2f..%2fetc`, false],
    ['bob', 'bob/new', () => `mount=blake3:${'a'.repeat(64)}&from=alice/public`, false],
    ['admin', 'team/new', ({ digest }) => `mount=${digest}&from=alice/private`, true],
    ['admin', 'team/new', ({ digest }) => `mount=${digest}`, true],
  ]
  for (const [who, target, queryOf, isMounted] of rows) {
    const shown = queryOf({ digest: 'DIGEST', content: '' } as Cast).slice(0, 60)
    test(`${isMounted ? 'takes the blob' : 'becomes an upload'}: ${who} to ${target} with ${shown}`, async () => {
      const cast = await scene()
      const { registry, content, digest } = cast
      const client = new Client(registry, basic(who))
      const files = await blobFilesOf(registry)
      const answer = await mount(client, target, queryOf(cast))
      if (!isMounted) return assertUploadInstead(answer, target)
      assertMounted(answer, target, digest)
      await assertBlob(registry, target, content)
      assert.deepEqual(await blobFilesOf(registry), files, 'all share one file')
    })
  }

  test('without a source finds only what the caller may pull', async () => {
    const { registry, alice, bob, digest, target } = await scene()
    await registry.setVisibility('alice/internal', 'private')
    await registry.setVisibility('alice/public', 'private')
    assertUploadInstead(await mount(bob, target, `mount=${digest}`), target)
    assertMounted(await mount(alice, 'alice/other', `mount=${digest}`), 'alice/other', digest)
    await registry.setVisibility('alice/internal', 'internal')
    assertMounted(await mount(bob, target, `mount=${digest}`), target, digest)
    await registry.setVisibility('alice/internal', 'private')
    assertMounted(await mount(bob, `${target}-too`, `mount=${digest}`), `${target}-too`, digest)
  })

  test('that cannot be done tells nothing about a repository that the caller may not see', async () => {
    const { bob, digest, target } = await scene()
    const seen = new Set<string>()
    for (const query of [
      `mount=${digest}&from=alice/private`,
      `mount=${absent}&from=alice/private`,
      `mount=${digest}&from=alice/unknown`,
      `mount=${digest}&from=nobody/unknown`,
      `mount=${absent}&from=alice/public`,
      `mount=${absent}`,
      '',
    ]) {
      const answer = await mount(bob, target, query)
      assertUploadInstead(answer, target)
      seen.add([...answer.headers.keys()].toSorted().join())
    }
    assert.equal(seen.size, 1)
  })

  test('that became an upload goes on as one', async () => {
    const { registry, bob, digest, content, target } = await scene()
    const answer = await mount(bob, target, `mount=${digest}&from=alice/private`)
    const upload = new Upload(bob, answer.headers.get('Location') ?? '')
    assert.equal((await upload.finish(digest, { body: content })).status, 201)
    await assertBlob(registry, target, content)
    const unwanted = new Upload(bob, (await mount(bob, target, `mount=${absent}`)).headers.get('Location') ?? '')
    assert.equal((await unwanted.cancel()).status, 204)
    for (const { id } of [upload, unwanted]) await assertSessionGone(registry, id)
  })

  test('wins over a digest and a body in the same request; when it fails, they make it a whole push', async () => {
    const { registry, bob, digest, target } = await scene()
    const path = `/v2/${target}/blobs/uploads/`
    const body = 'bytes of another blob'
    const before = await sessionsOf(registry)
    assertMounted(await bob.call('POST', `${path}?mount=${digest}&from=alice/public&digest=${sha256(body)}`, { body }), target, digest)
    await assertNoBlob(registry, target, sha256(body))
    assertMounted(await bob.call('POST', `${path}?mount=${absent}&digest=${sha256(body)}`, { body }), target, sha256(body))
    await assertBlob(registry, target, body)
    assert.deepEqual(await sessionsOf(registry), before)
  })

  test('of a malformed digest is refused', async () => {
    const { registry, bob, digest, target } = await scene()
    const before = await sessionsOf(registry)
    for (const wrong of ['', 'latest', 'sha256:short', digest.toUpperCase(), 'sha256:..%2f..%2fetc%2fpasswd']) {
      assertRefused(await mount(bob, target, `mount=${wrong}&from=alice/public`), 400, 'DIGEST_INVALID')
    }
    assert.deepEqual(await sessionsOf(registry), before)
  })

  test('needs the right to push where it goes, whatever may be pulled', async () => {
    const { registry, bob, digest } = await scene()
    const before = await sessionsOf(registry)
    assertRefused(await mount(bob, 'alice/public', `mount=${digest}&from=alice/public`), 403, 'DENIED')
    assertRefused(await mount(bob, 'alice/newer', `mount=${digest}`), 403, 'DENIED')
    assert.deepEqual(await sessionsOf(registry), before)
  })

  test('stays when its source loses the blob, and a blob that was deleted is not mounted', async () => {
    const { registry, alice, digest, content } = await scene()
    assertMounted(await mount(alice, 'alice/copy', `mount=${digest}&from=alice/private`), 'alice/copy', digest)
    assert.equal((await alice.call('DELETE', `/v2/alice/private/blobs/${digest}`)).status, 202)
    await assertBlob(registry, 'alice/copy', content)
    assertUploadInstead(await mount(alice, 'alice/late', `mount=${digest}&from=alice/private`), 'alice/late')
  })

  test('works the same where nobody signs in', async (t) => {
    const registry = await startRegistry(t, { settings: { ACCESS: 'open' } })
    const client = new Client(registry, '')
    const digest = await client.pushBlob('lab/one', 'a layer')
    assertMounted(await mount(client, 'lab/two', `mount=${digest}&from=lab/one`), 'lab/two', digest)
    assertMounted(await mount(client, 'lab/three', `mount=${digest}`), 'lab/three', digest)
    assertUploadInstead(await mount(client, 'lab/four', `mount=${digest}&from=lab/unknown`), 'lab/four')
  })
})

suite('a mount with a token', () => {
  const scene = shareCast()

  async function bearer(registry: TestRegistry, scopes: readonly string[]): Promise<Client> {
    const wanted = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&')
    const answer = await new Client(registry, basic('bob')).call('GET', `/token?service=lanyard&${wanted}`)
    assert.equal(answer.status, 200)
    const { token } = JSON.parse(answer.bytes.toString()) as { token: string }
    return new Client(registry, `Bearer ${token}`)
  }

  function challengeOf(answer: Answer): { scope: string | undefined; error: string | undefined } {
    const header = answer.headers.get('WWW-Authenticate') ?? ''
    return { scope: /scope="([^"]*)"/.exec(header)?.[1], error: /error="([^"]*)"/.exec(header)?.[1] }
  }

  function scopesFor({ target }: Cast, source = 'alice/internal'): [target: string, source: string] {
    return [`repository:${target}:pull,push`, `repository:${source}:pull`]
  }

  test('that does not cover the source is challenged for both, and one that does is enough', async () => {
    const cast = await scene()
    const { registry, digest, target } = cast
    const query = `mount=${digest}&from=alice/internal`
    const before = await sessionsOf(registry)
    const refused = await mount(await bearer(registry, scopesFor(cast).slice(0, 1)), target, query)
    assertRefused(refused, 401, 'UNAUTHORIZED')
    assert.deepEqual(challengeOf(refused), { scope: scopesFor(cast).join(' '), error: 'insufficient_scope' })
    assert.deepEqual(await sessionsOf(registry), before)
    assertMounted(await mount(await bearer(registry, scopesFor(cast)), target, query), target, digest)
  })

  test('that does not cover the push is challenged for both as well', async () => {
    const cast = await scene()
    const wrong = await bearer(cast.registry, scopesFor(cast).slice(1))
    const refused = await mount(wrong, cast.target, `mount=${cast.digest}&from=alice/internal`)
    assertRefused(refused, 401, 'UNAUTHORIZED')
    assert.deepEqual(challengeOf(refused), { scope: scopesFor(cast).join(' '), error: 'insufficient_scope' })
  })

  const asked: readonly (readonly [what: string, query: string, source?: string])[] = [
    ['with both scopes', `mount=${absent}&from=alice/internal`, 'alice/internal'],
    ['with both scopes, for a repository that is not there', `mount=${absent}&from=nobody/unknown`, 'nobody/unknown'],
    ['with both scopes, for one that is private', `mount=${absent}&from=alice/private`, 'alice/private'],
    ['with one scope, without a mount', 'from=alice/internal'],
    ['with one scope, without a source', `mount=${absent}`],
    ['with one scope, for no valid name', `mount=${absent}&from=Alice/App`],
    ['with one scope, for a name with quotes', `mount=${absent}&from=a%22,error=%22x`],
    ['with one scope, for a name with a line break', `mount=${absent}&from=a%0d%0aX-Injected:%20yes`],
  ]
  for (const [what, query, source] of asked) {
    test(`that is missing altogether is asked for ${what}`, async () => {
      const cast = await scene()
      const refused = await mount(new Client(cast.registry, ''), cast.target, query)
      assertRefused(refused, 401, 'UNAUTHORIZED')
      const scope = source === undefined ? scopesFor(cast)[0] : scopesFor(cast, source).join(' ')
      assert.deepEqual(challengeOf(refused), { scope, error: undefined })
      assert.equal(refused.headers.get('X-Injected'), null)
    })
  }

  test('becomes an upload at once where no token could help', async () => {
    const cast = await scene()
    const { registry, digest, target } = cast
    const narrow = await bearer(registry, scopesFor(cast).slice(0, 1))
    for (const from of ['alice/private', 'alice/unknown', 'nobody/unknown']) {
      assertUploadInstead(await mount(narrow, target, `mount=${digest}&from=${from}`), target)
    }
    const useless = await bearer(registry, scopesFor(cast, 'alice/private'))
    assertUploadInstead(await mount(useless, target, `mount=${digest}&from=alice/private`), target)
  })

  test('within the target, or without a source, needs no more than the push', async () => {
    const cast = await scene()
    const { registry, bob, content, digest, target } = cast
    await bob.pushBlob(target, content)
    const narrow = await bearer(registry, scopesFor(cast).slice(0, 1))
    for (const query of [`mount=${digest}&from=${target}`, `mount=${digest}`])
      assertMounted(await mount(narrow, target, query), target, digest)
  })
})
