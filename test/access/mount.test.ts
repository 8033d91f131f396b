/**
 * Mounting from other repositories: what works, what asks for a wider token, and that a mount which cannot be done tells
 * nothing about what the caller may not see (threats 25, 26).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client, sha256 } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer, repositories, setScene } from './callers.ts'
import { challengeOf, lookOf, send, type Reply } from './wire.ts'

const layer = sha256('a layer')
const nowhere = sha256('nobody has this')
const target = 'bob/copy'
const pushScope = `repository:${target}:pull,push`

/** What bob may not see, and what is not there: from which repository, which blob. */
const hopeless: readonly (readonly [string, string])[] = [
  ['a private repository that has the blob', `mount=${layer}&from=${repositories.private}`],
  ['the same, escaped', `mount=${encodeURIComponent(layer)}&from=${encodeURIComponent(repositories.private)}`],
  ['a private repository that has not', `mount=${nowhere}&from=${repositories.private}`],
  ['a repository that is not there', `mount=${layer}&from=${repositories.absent}`],
  ['a namespace that is not there', `mount=${layer}&from=zoe/app`],
  ['a name that is none', `mount=${layer}&from=../etc/passwd`],
  ['an upper-case name', `mount=${layer}&from=ALICE/app`],
  ['a name that is too long', `mount=${layer}&from=${'x/'.repeat(200)}x`],
  ['an empty name', `mount=${layer}&from=`],
  ['no name, a blob that only a private repository has', `mount=${sha256('only private')}`],
  ['no name, a blob that is nowhere', `mount=${nowhere}`],
  ['another algorithm', `mount=sha1:abc&from=${repositories.private}`],
  ['a readable repository that has not the blob', `mount=${nowhere}&from=${repositories.internal}`],
]

/** The id of an upload is new each time; all else must be the same. */
function withoutId(reply: Reply) {
  const look = lookOf(reply)
  const id = String(reply.headers['docker-upload-uuid'])
  assert.match(id, /^[0-9a-f-]{36}$/)
  return JSON.parse(JSON.stringify(look).replaceAll(id, 'ID')) as typeof look
}

test('mounts that cannot be done look alike to the last header, whatever the reason', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  await new Client(registry, basic('alice')).pushBlob(repositories.private, 'only private')
  const wide = `${pushScope} repository:${repositories.private}:pull repository:${repositories.internal}:pull repository:${repositories.absent}:pull`
  const ways = { Basic: callers['other user'], Bearer: await bearer(registry, callers['other user'], ...wide.split(' ')) }
  for (const [way, authorization] of Object.entries(ways)) {
    const plain = await send(registry, `POST /v2/${target}/blobs/uploads/`, { authorization })
    assert.equal(plain.status, 202)
    for (const [title, query] of hopeless) {
      await t.test(`${way}: ${title}`, async () => {
        const reply = await send(registry, `POST /v2/${target}/blobs/uploads/?${query}`, { authorization })
        assert.deepEqual(withoutId(reply), withoutId(plain))
        assert.match(reply.headers.location ?? '', new RegExp(`^/v2/${target}/blobs/uploads/`))
      })
    }
  }
})

test('a mount that became an upload is one: it takes the bytes', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const authorization = callers['other user']
  const { headers } = await send(registry, `POST /v2/${target}/blobs/uploads/?mount=${layer}&from=${repositories.private}`, {
    authorization,
  })
  assert.equal((await send(registry, `HEAD /v2/${target}/blobs/${layer}`, { authorization })).status, 404)
  const finished = await send(registry, `PUT ${headers.location}?digest=${layer}`, { authorization, body: 'a layer' })
  assert.equal(finished.status, 201)
  assert.equal((await send(registry, `GET /v2/${target}/blobs/${layer}`, { authorization })).text, 'a layer')
})

const possible: readonly (readonly [string, string])[] = [
  ['a public repository', `mount=${layer}&from=${repositories.public}`],
  ['an internal repository', `mount=${layer}&from=${repositories.internal}`],
  ['any repository that the caller may pull, when none is named', `mount=${layer}`],
]

test('a blob that the caller may pull is mounted, and served from then on', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const authorization = callers['other user']
  for (const [index, [title, query]] of possible.entries()) {
    await t.test(title, async () => {
      const into = `bob/copy-${index}`
      const reply = await send(registry, `POST /v2/${into}/blobs/uploads/?${query}`, { authorization })
      assert.equal(reply.status, 201)
      assert.equal(reply.headers.location, `/v2/${into}/blobs/${layer}`)
      assert.equal(reply.headers['docker-content-digest'], layer)
      assert.equal((await send(registry, `GET /v2/${into}/blobs/${layer}`, { authorization })).text, 'a layer')
    })
  }
})

test('a mount writes nothing where the caller may not push, whatever the source', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [identity, status] of [
    ['other user', 403],
    ['other token', 401],
    ['pull token', 401],
    ['anonymous token', 401],
    ['nobody', 401],
  ] as const) {
    const line = `POST /v2/${repositories.absent}/blobs/uploads/?mount=${layer}&from=${repositories.public}`
    assert.equal((await send(registry, line, { authorization: callers[identity] })).status, status, identity)
  }
  const authorization = callers.administrator
  assert.equal((await send(registry, `HEAD /v2/${repositories.absent}/blobs/${layer}`, { authorization })).status, 404)
})

const askedAgain: readonly (readonly [string, string, number])[] = [
  ['one that may be pulled', repositories.internal, 201],
  ['one that anyone may pull', repositories.public, 201],
  ['one of its own that is not there', 'bob/none', 202],
]

test('a token without the scope for the source is asked for a wider one, once, when its account may pull there', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [index, [title, from, then]] of askedAgain.entries()) {
    await t.test(`from ${title}`, async () => {
      const into = `bob/into-${index}`
      const line = `POST /v2/${into}/blobs/uploads/?mount=${layer}&from=${from}`
      const narrow = await bearer(registry, callers['other user'], `repository:${into}:pull,push`)
      const first = await send(registry, line, { authorization: narrow })
      assert.equal(first.status, 401)
      const { error, scope = '' } = challengeOf(first)
      assert.deepEqual([error, scope], ['insufficient_scope', `repository:${into}:pull,push repository:${from}:pull`])
      const wider = await bearer(registry, callers['other user'], scope)
      assert.equal((await send(registry, line, { authorization: wider })).status, then)
    })
  }
})

test('a token is not asked for a wider one when its account may not pull there: that would tell that it is there', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const narrow = await bearer(registry, callers['other user'], pushScope)
  const mountFrom = (from: string) =>
    send(registry, `POST /v2/${target}/blobs/uploads/?mount=${layer}&from=${from}`, { authorization: narrow })
  for (const from of [repositories.private, repositories.absent, 'zoe/app']) assert.equal((await mountFrom(from)).status, 202, from)
})

test('a repository that becomes private is no source any more with the next request', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const from = repositories.internal
  const wide = await bearer(registry, callers['other user'], pushScope, `repository:${from}:pull`)
  await registry.setVisibility(from, 'private')
  await registry.setVisibility(repositories.public, 'private')
  for (const authorization of [wide, callers['other user']]) {
    for (const query of [`mount=${layer}&from=${from}`, `mount=${layer}`]) {
      assert.equal((await send(registry, `POST /v2/${target}/blobs/uploads/?${query}`, { authorization })).status, 202, query)
    }
  }
})

const onlyElsewhere: readonly string[] = ['GET', 'HEAD', 'GET with Range', 'DELETE']

test('a blob that only another repository has is not found, also by range, also by its owner', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const digest = await new Client(registry, basic('alice')).pushBlob(repositories.private, 'only private')
  const looks = new Map<string, unknown>()
  for (const what of onlyElsewhere) {
    const headers: Record<string, string> = what.includes('Range') ? { Range: 'bytes=0-1' } : {}
    for (const each of [digest, nowhere]) {
      const reply = await send(registry, `${what.split(' ')[0]} /v2/${repositories.internal}/blobs/${each}`, {
        authorization: callers.owner,
        headers,
      })
      assert.equal(reply.status, 404, what)
      const look = JSON.stringify(lookOf(reply)).replaceAll(each, 'DIGEST')
      assert.equal(look, looks.get(what) ?? look, 'there elsewhere or nowhere: the same answer')
      looks.set(what, look)
    }
  }
  await pushNothingBy(registry, digest)
})

/** A manifest cannot be used to find out either. */
async function pushNothingBy(registry: TestRegistry, digest: string): Promise<void> {
  const bob = new Client(registry, basic('bob'))
  const manifestWith = (each: string) => ({
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: each, size: 'only private'.length },
    layers: [],
  })
  const [there, not] = [
    await bob.putManifest('bob/app', 'v1', manifestWith(digest)),
    await bob.putManifest('bob/app', 'v1', manifestWith(nowhere)),
  ]
  assert.deepEqual([there.status, there.errors[0]?.code], [400, 'MANIFEST_BLOB_UNKNOWN'])
  assert.equal(there.bytes.toString('utf8').replaceAll(digest, 'DIGEST'), not.bytes.toString('utf8').replaceAll(nowhere, 'DIGEST'))
}
