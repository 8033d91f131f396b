/**
 * Nobody learns what is there without the right to see it: a repository that is not there answers like a private one, and
 * no list names what may not be pulled (A12; threats 22, 31, 35).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client, descriptorOf, sha256 } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer, repositories, setScene, type Identity, type Scene } from './callers.ts'
import { jsonOf, lookOf, send, type Reply } from './wire.ts'

const session = '0d6b4c5e-6f1e-4c37-9d1b-6a5f2f0c1e77'
const layer = sha256('a layer')

/** Everything one can ask about a repository, of what is in the private one and of what is not. */
const questions: readonly (readonly [string, string?])[] = [
  ['GET /v2/<name>/manifests/v1'],
  ['HEAD /v2/<name>/manifests/v1'],
  ['GET /v2/<name>/manifests/v2'],
  [`GET /v2/<name>/manifests/${sha256('nothing')}`],
  ['GET /v2/<name>/manifests/<digest>'],
  ['GET /v2/<name>/manifests/-no-tag'],
  [`GET /v2/<name>/blobs/${layer}`],
  [`HEAD /v2/<name>/blobs/${layer}`],
  [`HEAD /v2/<name>/blobs/${sha256('nothing')}`],
  ['GET /v2/<name>/blobs/no-digest'],
  ['GET /v2/<name>/tags/list'],
  ['GET /v2/<name>/tags/list?n=1&last=a'],
  ['GET /v2/<name>/tags/list?n=x'],
  ['GET /v2/<name>/referrers/<digest>'],
  ['GET /v2/<name>/referrers/no-digest'],
  ['POST /v2/<name>/blobs/uploads/'],
  [`POST /v2/<name>/blobs/uploads/?mount=${layer}&from=${repositories.public}`],
  [`POST /v2/<name>/blobs/uploads/?digest=${layer}`, 'a layer'],
  [`GET /v2/<name>/blobs/uploads/${session}`],
  [`PATCH /v2/<name>/blobs/uploads/${session}`, 'bytes'],
  [`PUT /v2/<name>/blobs/uploads/${session}?digest=${layer}`],
  [`DELETE /v2/<name>/blobs/uploads/${session}`],
  ['PUT /v2/<name>/manifests/v1', '{}'],
  ['PUT /v2/<name>/manifests/v1', 'x'.repeat(100)],
  ['DELETE /v2/<name>/manifests/v1'],
  ['DELETE /v2/<name>/manifests/<digest>'],
  [`DELETE /v2/<name>/blobs/${layer}`],
  ['GET /api/v1/repositories/<name>'],
  ['HEAD /api/v1/repositories/<name>'],
  ['PATCH /api/v1/repositories/<name>', '{"visibility":"public"}'],
  ['PATCH /api/v1/repositories/<name>', 'no JSON'],
  ['DELETE /api/v1/repositories/<name>'],
  ['GET /api/v1/repositories/<encoded>/tags'],
  ['GET /api/v1/repositories/<encoded>/tags?limit=x'],
  ['GET /api/v1/repositories/<encoded>/tags/v1'],
  ['PUT /api/v1/repositories/<encoded>/tags/v2', '{"digest":"sha256:0"}'],
  ['DELETE /api/v1/repositories/<encoded>/tags/v1'],
  ['GET /api/v1/repositories/<encoded>/tags/v1/history'],
  ['GET /api/v1/repositories/<encoded>/manifests/<digest>'],
  ['GET /api/v1/repositories/<encoded>/manifests/<digest>/referrers'],
  ['DELETE /api/v1/repositories/<encoded>/manifests/<digest>'],
]

const strangers = [
  'nobody',
  'empty Basic',
  'other user',
  'anonymous token',
  'other token',
  'token for elsewhere',
  'expired token',
  'forged token',
  'wrong password',
  'disabled account',
] as const satisfies Identity[]

for (const deleting of ['true', 'false']) {
  test(`a private repository and one that is not there are the same to strangers (delete.enabled ${deleting})`, async (t) => {
    const registry = await startRegistry(t, { settings: { DELETE_ENABLED: deleting } })
    const scene = await setScene(registry)
    for (const [question, body] of questions) {
      for (const identity of strangers) {
        const ask = async (name: string): Promise<Reply> => {
          const line = question
            .replace('<name>', name)
            .replace('<encoded>', encodeURIComponent(name))
            .replace('<digest>', scene.images.private.digest)
          return send(registry, line, { authorization: scene.callers[identity], body })
        }
        const [there, absent] = [await ask(repositories.private), await ask(repositories.absent)]
        assert.ok(
          (question.includes('/api/') ? [401, 404] : [401, 403]).includes(there.status),
          `${there.status} for ${identity}: ${question}`,
        )
        assert.equal(withoutName(absent, repositories.absent), withoutName(there, repositories.private), `${identity}: ${question}`)
      }
    }
  })
}

/** All that the client sees, with the name that it sent itself left out. The names are of one length, so lengths count too. */
function withoutName(reply: Reply, name: string): string {
  const [namespace = '', rest = ''] = name.split('/')
  return JSON.stringify(lookOf(reply)).replaceAll(name, 'NAME').replaceAll(rest, 'REST').replaceAll(namespace, 'NAMESPACE')
}

/** Signed in as somebody: a refused push tells them who could let them in, and so that there is somebody. */
const known: readonly Identity[] = ['other user', 'other token']

test('a namespace that nobody has answers strangers like that of an account, but for who would let them push', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const line of ['GET /v2/<name>/tags/list', 'POST /v2/<name>/blobs/uploads/', 'GET /api/v1/repositories/<name>']) {
    // One token for elsewhere is alice's own.
    const asking = strangers.filter((each) => each !== 'token for elsewhere' && !(line.startsWith('POST') && known.includes(each)))
    for (const identity of asking) {
      const ask = async (namespace: string) => {
        const reply = await send(registry, line.replace('<name>', `${namespace}/app`), { authorization: callers[identity] })
        return JSON.stringify(lookOf(reply)).replaceAll(namespace, 'NAMESPACE')
      }
      assert.equal(await ask('ghost'), await ask('alice'), `${identity}: ${line}`)
    }
  }
})

/** What a caller may pull, and so what its lists hold; `ghost` is a namespace without an account. */
const visible: Readonly<Partial<Record<Identity, readonly string[]>>> = {
  owner: ['alice/app-inside', 'alice/app-public', 'alice/app-secret', 'bob/inside'],
  'other user': ['alice/app-inside', 'alice/app-public', 'bob/inside', 'bob/secret'],
  administrator: ['alice/app-inside', 'alice/app-public', 'alice/app-secret', 'bob/inside', 'bob/secret', 'ghost/secret'],
  'anonymous token': ['alice/app-public'],
  'owner token': ['alice/app-inside', 'alice/app-public', 'alice/app-secret', 'bob/inside'],
  'other token': ['alice/app-inside', 'alice/app-public', 'bob/inside', 'bob/secret'],
  'administrator token': ['alice/app-inside', 'alice/app-public', 'alice/app-secret', 'bob/inside', 'bob/secret', 'ghost/secret'],
}

interface Listed {
  readonly items?: readonly { readonly name: string }[]
  readonly repositories?: readonly (string | { readonly name: string })[]
  readonly results?: readonly { readonly name: string }[]
}

const listings = [
  'GET /v2/_catalog',
  'GET /v1/search?q=',
  'GET /v1/search?q=e',
  'GET /api/v1/repositories',
  'GET /api/v1/repositories?q=e',
  'GET /v2/_catalog?n=100&last=',
  'GET /v2/_catalog?last=alice/app-inside',
]

async function setLists(registry: TestRegistry): Promise<Scene> {
  const scene = await setScene(registry)
  const bob = new Client(registry, basic('bob'))
  await bob.pushImage('bob/secret', 'v1')
  await bob.pushImage('bob/inside', 'v1')
  await registry.setVisibility('bob/inside', 'internal')
  await new Client(registry).pushImage('ghost/secret', 'v1')
  return scene
}

test('catalog, search and the API name exactly what the caller may pull', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setLists(registry)
  for (const [identity, names] of Object.entries(visible) as [Identity, readonly string[]][]) {
    for (const line of listings) {
      const reply = await send(registry, line, { authorization: callers[identity] })
      assert.equal(reply.status, 200)
      const wanted = names.filter(
        (name) => (!line.includes('q=e') || name.includes('e')) && (!line.includes('last=alice') || name > 'alice/app-inside'),
      )
      assert.deepEqual(namesIn(reply).toSorted(), wanted, `${identity}: ${line}`)
      assert.ok(names.includes('ghost/secret') || !reply.text.includes('ghost'), 'nor anywhere else in the answer')
    }
    for (const name of names) {
      const scope = `repository:${name}:pull`
      const authorization = callers[identity]?.startsWith('Basic')
        ? callers[identity]
        : await bearer(registry, identity === 'anonymous token' ? undefined : callers[tokenOwner(identity)], scope)
      assert.equal((await send(registry, `GET /v2/${name}/manifests/v1`, { authorization })).status, 200, `${identity} pulls ${name}`)
    }
  }
})

function tokenOwner(identity: Identity): Identity {
  if (identity === 'owner token') return 'owner'
  return identity === 'other token' ? 'other user' : 'administrator'
}

function namesIn(reply: Reply): string[] {
  const { repositories: listed, results, items } = jsonOf(reply) as Listed
  return [...(listed ?? []), ...(results ?? []), ...(items ?? [])].map((entry) => (typeof entry === 'string' ? entry : entry.name))
}

test('search without credentials finds what is public and nothing else', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setLists(registry)
  for (const identity of ['nobody', 'empty Basic'] as const) {
    const reply = await send(registry, 'GET /v1/search?q=s', { authorization: callers[identity] })
    assert.deepEqual(namesIn(reply), [], identity)
    assert.deepEqual(namesIn(await send(registry, 'GET /v1/search?q=app', { authorization: callers[identity] })), ['alice/app-public'])
  }
})

test('pages hold and link only what the caller may pull: not even their number tells of others', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setLists(registry)
  for (const [path, size] of [
    ['/v2/_catalog', 'n=1'],
    ['/api/v1/repositories', 'limit=1'],
  ] as const) {
    for (const [identity, names] of Object.entries(visible) as [Identity, readonly string[]][]) {
      const found: string[] = []
      let pages = 0
      for (let next: string | undefined = `${path}?${size}`; next !== undefined; pages++) {
        const reply = await send(registry, `GET ${next}`, { authorization: callers[identity] })
        found.push(...namesIn(reply))
        next = /^<([^>]+)>; rel="next"$/.exec(String(reply.headers['link'] ?? ''))?.[1]
      }
      assert.deepEqual(found, names, `${identity}: ${path}`)
      assert.equal(pages, names.length, `${identity}: ${path}`)
    }
  }
})

test('anonymous has nothing at all until something is public, and then that alone', async (t) => {
  const registry = await startRegistry(t)
  const { digest } = await new Client(registry).pushImage('admin/app', 'v1')
  const token = await bearer(registry, undefined, 'registry:catalog:*', 'repository:admin/app:pull,push,delete')
  const lists = async () => {
    const authorization = token
    return [namesIn(await send(registry, 'GET /v2/_catalog', { authorization })), namesIn(await send(registry, 'GET /v1/search?q='))]
  }
  assert.deepEqual(await lists(), [[], []])
  assert.equal((await send(registry, `GET /v2/admin/app/manifests/${digest}`, { authorization: token })).status, 401)
  await registry.setVisibility('admin/app', 'internal')
  assert.deepEqual(await lists(), [[], []])
  await registry.setVisibility('admin/app', 'public')
  assert.deepEqual(await lists(), [['admin/app'], ['admin/app']])
  const reader = await bearer(registry, undefined, 'repository:admin/app:pull,push,delete')
  assert.equal((await send(registry, `GET /v2/admin/app/manifests/${digest}`, { authorization: reader })).status, 200)
  for (const line of [
    `DELETE /v2/admin/app/manifests/${digest}`,
    'POST /v2/admin/app/blobs/uploads/',
    'PATCH /api/v1/repositories/admin/app',
  ]) {
    assert.equal((await send(registry, line, { authorization: reader })).status, 401, line)
  }
})

test('referrers are those of one repository: another one that refers to the same digest stays unseen', async (t) => {
  const registry = await startRegistry(t)
  const { callers, images } = await setScene(registry)
  const bob = new Client(registry, basic('bob'))
  const config = '{}'
  await bob.pushBlob('bob/app', config)
  const subject = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: images.internal.digest,
    size: Buffer.byteLength(images.internal.text),
  }
  const manifest = {
    schemaVersion: 2,
    config: descriptorOf(config, 'application/vnd.oci.empty.v1+json'),
    layers: [],
    subject,
    annotations: { note: 'hidden' },
  }
  assert.equal((await bob.putManifest('bob/app', 'v1', manifest)).status, 201)
  const mine = await send(registry, `GET /v2/bob/app/referrers/${images.internal.digest}`, { authorization: callers['other user'] })
  assert.match(mine.text, /hidden/)
  const theirs = await send(registry, `GET /v2/${repositories.internal}/referrers/${images.internal.digest}`, {
    authorization: callers['other user'],
  })
  assert.deepEqual([theirs.status, (jsonOf(theirs) as { manifests: unknown[] }).manifests], [200, []])
  const closed = await send(registry, `GET /v2/bob/app/referrers/${images.internal.digest}`, { authorization: callers.owner })
  assert.equal(closed.status, 403)
})
