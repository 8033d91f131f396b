/** What a manifest refers to must be in its repository: what is asked for, what is not, and the setting that says how strictly. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { mediaTypes } from '../../oci/media-types.ts'
import { Client, descriptorOf, expectStatus, imageManifest, sha256, sha512, type Answer } from '../support/client.ts'
import { checkRow } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const { ociImage, ociIndex, ociArtifact } = mediaTypes
const tar = 'application/vnd.oci.image.layer.v1.tar'
const config = '{"os":"linux"}'
const layer = 'a layer that is here'
const image = JSON.stringify(imageManifest(config, [layer]))
const absentBlob = { mediaType: tar, digest: `sha256:${'0'.repeat(64)}`, size: 7 }
const absentManifest = { ...absentBlob, mediaType: ociImage }

const withLayers = (...layers: readonly object[]): object => imageManifest(config, [], { layers })
const indexOf = (...manifests: readonly object[]): object => ({ schemaVersion: 2, mediaType: ociIndex, manifests })

interface Case {
  readonly what: string
  readonly push: object
  /** Digests that the answer names as missing; undefined: it is accepted. */
  readonly missing?: readonly string[]
}

const cases: readonly Case[] = [
  { what: 'a config and layers that are here', push: withLayers(descriptorOf(layer, tar)) },
  { what: 'the same layer twice', push: withLayers(descriptorOf(layer, tar), descriptorOf(layer, tar)) },
  { what: 'a layer that is not here', push: withLayers(absentBlob), missing: [absentBlob.digest] },
  { what: 'a config that is not here', push: imageManifest('{"none":1}', [layer]), missing: [sha256('{"none":1}')] },
  {
    what: 'several that are not here, one of them twice',
    push: withLayers(absentBlob, { ...absentBlob, digest: sha256('x') }, absentBlob),
    missing: [absentBlob.digest, sha256('x')],
  },
  {
    what: 'a layer that only another repository has',
    push: withLayers(descriptorOf('of another repository', tar)),
    missing: [sha256('of another repository')],
  },
  {
    what: 'a layer that is here under sha256 only',
    push: withLayers({ ...descriptorOf(layer, tar), digest: sha512(layer) }),
    missing: [sha512(layer)],
  },
  { what: 'a manifest where a layer must be', push: withLayers(descriptorOf(image, tar)), missing: [sha256(image)] },
  { what: 'a layer of an algorithm that nobody here computes', push: withLayers({ ...absentBlob, digest: 'blake3:abcd' }) },
  ...['', '+gzip', '+zstd'].map((suffix) => ({
    what: `an absent layer that may not be distributed${suffix}`,
    push: withLayers({ ...absentBlob, mediaType: `application/vnd.oci.image.layer.nondistributable.v1.tar${suffix}` }),
  })),
  ...['', '.gzip'].map((suffix) => ({
    what: `an absent foreign layer of Docker’s${suffix}`,
    push: withLayers({ ...absentBlob, mediaType: `application/vnd.docker.image.rootfs.foreign.diff.tar${suffix}` }),
  })),
  {
    what: 'an absent layer with urls but of an ordinary type',
    push: withLayers({ ...absentBlob, urls: ['https://example.com/layer'] }),
    missing: [absentBlob.digest],
  },
  {
    what: 'an absent config that claims not to be distributed',
    push: { ...withLayers(), config: { ...absentBlob, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' } },
  },
  { what: 'an index whose manifests are here', push: indexOf(descriptorOf(image, ociImage)) },
  {
    what: 'an index with a manifest that is not here',
    push: indexOf(descriptorOf(image, ociImage), absentManifest),
    missing: [absentManifest.digest],
  },
  { what: 'an index with a blob where a manifest must be', push: indexOf(descriptorOf(layer, ociImage)), missing: [sha256(layer)] },
  {
    what: 'an index with blobs of types that are no manifests, as buildkit’s cache',
    push: indexOf(descriptorOf(layer, tar), descriptorOf(config, 'application/vnd.buildkit.cacheconfig.v0')),
  },
  { what: 'an index with a manifest under a type that is none', push: indexOf(descriptorOf(image, 'application/x-anything')) },
  {
    what: 'an index with absent content of a type that is no manifest',
    push: indexOf({ ...absentBlob, mediaType: 'application/x-anything' }),
    missing: [absentBlob.digest],
  },
  {
    what: 'an artifact manifest with a blob that is not here',
    push: { mediaType: ociArtifact, blobs: [absentBlob] },
    missing: [absentBlob.digest],
  },
  { what: 'a subject that nobody has', push: { ...indexOf(), subject: absentManifest } },
  {
    what: 'a subject that another repository has',
    push: { ...indexOf(), subject: descriptorOf('{"schemaVersion":2,"manifests":[]}', ociIndex) },
  },
  {
    what: 'a subject of an algorithm that nobody here computes',
    push: { ...indexOf(), subject: { ...absentManifest, digest: 'md5:abcd' } },
  },
]

async function fill(client: Client): Promise<void> {
  for (const content of [config, layer]) await client.pushBlob('team/app', content)
  await client.pushBlob('team/other', 'of another repository')
  await expectStatus(await client.putManifest('team/other', 'v1', '{"schemaVersion":2,"manifests":[]}'), 201)
  await expectStatus(await client.putManifest('team/app', 'base', image), 201)
}

async function put(client: Client, push: object): Promise<Answer> {
  const type = 'mediaType' in push ? String(push.mediaType) : ociImage
  return client.call('PUT', '/v2/team/app/manifests/tested', { body: JSON.stringify(push), headers: { 'Content-Type': type } })
}

function assertMissing(answer: Answer, digests: readonly string[]): void {
  assert.equal(answer.status, 400, answer.bytes.toString())
  assert.deepEqual(
    answer.errors.map(({ code, detail }) => ({ code, detail })),
    digests.map((digest) => ({ code: 'MANIFEST_BLOB_UNKNOWN', detail: { digest } })),
  )
}

test('a manifest is refused for content that is not in its repository', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await fill(client)

  for (const { what, push, missing } of cases) {
    await t.test(`${what} is ${missing ? 'MANIFEST_BLOB_UNKNOWN, with one entry for each' : 'accepted'}`, async () => {
      const answer = await put(client, push)
      if (missing) assertMissing(answer, missing)
      else await expectStatus(answer, 201)
      const path = `/v2/team/app/manifests/${sha256(JSON.stringify(push))}`
      await checkRow(registry, { rule: '', path, status: missing ? 404 : 200 })
    })
  }

  await t.test('a blob of another repository and one that nobody has are refused in the same words', async () => {
    const theirs = await put(client, withLayers(descriptorOf('of another repository', tar)))
    const nobodys = await put(client, withLayers(absentBlob))
    const plain = (answer: Answer): string => answer.bytes.toString().replaceAll(/sha256:[0-9a-f]{64}/g, 'digest')
    assert.equal(plain(theirs), plain(nobodys))
  })

  await t.test('a push that was refused succeeds unchanged once the content is there', async () => {
    const push = withLayers(descriptorOf('comes later', tar))
    assertMissing(await put(client, push), [sha256('comes later')])
    await client.pushBlob('team/app', 'comes later')
    await expectStatus(await put(client, push), 201)
  })

  await t.test('a thousand references, all missing, are all named', async () => {
    const layers = Array.from({ length: 1000 }, (_, index) => ({ ...absentBlob, digest: sha256(`missing ${index}`) }))
    assertMissing(
      await put(client, withLayers(...layers)),
      layers.map(({ digest }) => digest),
    )
  })

  await t.test('addresses in a manifest are kept and never called', async () => {
    let calls = 0
    const server = createServer((socket) => {
      calls++
      socket.destroy()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/layer`
    const foreign = { ...absentBlob, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar', urls: [url] }
    const text = JSON.stringify({
      ...withLayers(foreign),
      subject: { ...absentManifest, urls: [url] },
      annotations: { 'org.opencontainers.image.url': url },
    })
    await expectStatus(await client.putManifest('team/app', 'foreign', text), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/foreign', status: 200, content: text })
    await checkRow(registry, { rule: '', path: `/v2/team/app/blobs/${absentBlob.digest}`, status: 404, code: 'BLOB_UNKNOWN' })
    await new Promise((resolve) => server.close(resolve))
    assert.equal(calls, 0)
  })
})

/** Whether a case is accepted under `index`: what an index lists may be missing, the rest may not. */
const isIndexCase = ({ push }: Case): boolean => 'manifests' in push

test('with manifests.missing = index an index may miss some of its entries, an image none', async (t) => {
  const registry = await startRegistry(t, { settings: { MANIFESTS_MISSING: 'index' } })
  const client = new Client(registry)
  await fill(client)
  for (const each of cases.filter(({ missing }) => missing !== undefined)) {
    await t.test(`${each.what} is ${isIndexCase(each) ? 'accepted' : 'refused'}`, async () => {
      const answer = await put(client, each.push)
      if (isIndexCase(each)) await expectStatus(answer, 201)
      else assertMissing(answer, each.missing ?? [])
    })
  }
})

test('with manifests.missing = off nothing is looked for', async (t) => {
  const registry = await startRegistry(t, { settings: { MANIFESTS_MISSING: 'off' } })
  const client = new Client(registry)
  await fill(client)
  for (const { what, push } of cases) {
    await t.test(`${what} is accepted`, async () => void (await expectStatus(await put(client, push), 201)))
  }

  await t.test('an index that claims to list itself and its parent is stored, and nobody walks in circles', async () => {
    const claim = { mediaType: ociIndex, digest: sha256('parent'), size: 1 }
    const child = JSON.stringify(indexOf(claim, { ...claim, digest: sha256('child') }))
    await expectStatus(await client.putManifest('team/app', 'child', child), 201)
    const parent = JSON.stringify(indexOf({ ...claim, digest: sha256(child) }))
    await expectStatus(await client.putManifest('team/app', 'parent', parent), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/parent', status: 200, content: parent })
    await checkRow(registry, { rule: '', method: 'DELETE', path: `/v2/team/app/manifests/${sha256(child)}`, status: 202 })
  })
})

test('with manifests.allowUnknownTypes a manifest of any type is kept as it is', async (t) => {
  const registry = await startRegistry(t, { settings: { MANIFESTS_ALLOW_UNKNOWN_TYPES: 'true' } })
  const client = new Client(registry)
  const send = async (body: string, type: string) =>
    client.call('PUT', '/v2/team/app/manifests/any', { body, headers: { 'Content-Type': type } })

  await t.test('it may be no JSON at all', async () => {
    await expectStatus(await send('anything\0', 'application/x-mine'), 201)
    const gives = { 'Content-Type': 'application/x-mine', 'X-Content-Type-Options': 'nosniff' }
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/any', status: 200, content: 'anything\0', gives })
  })

  for (const type of ['no type', 'a/b/c', 'application/vnd.docker.distribution.manifest.v1+json']) {
    await t.test(`${type} is refused all the same`, async () => {
      const answer = await send('{}', type)
      assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 'MANIFEST_INVALID'])
    })
  }
})
