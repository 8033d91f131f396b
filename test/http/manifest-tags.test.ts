/** Pushing by digest: tags set beside it, other algorithms than sha256, and what the answer says about the subject. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes } from '../../oci/media-types.ts'
import { basic, Client, descriptorOf, expectStatus, imageManifest, sha256, sha512, type Answer } from '../support/client.ts'
import { codeOf, rawRequest } from '../support/raw-request.ts'
import { checkRow } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const { ociImage, ociIndex, ociArtifact, dockerImage, dockerList } = mediaTypes
const index = '{"schemaVersion":2,"manifests":[]}'
const digest = sha256(index)
const subject = { mediaType: ociImage, digest: `sha256:${'0'.repeat(64)}`, size: 7 }

const query = (tags: readonly string[]): string => tags.map((tag) => `tag=${tag}`).join('&')

async function tagsOf(client: Client, name: string): Promise<unknown> {
  const answer = await client.call('GET', `/v2/${name}/tags/list`)
  return answer.status === 404 ? undefined : (JSON.parse(answer.bytes.toString()) as { tags: string[] }).tags
}

test('tags set together with a push by digest', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const push = (name: string, tags: readonly string[], reference = digest): Promise<Answer> =>
    client.call('PUT', `/v2/${name}/manifests/${reference}?${query(tags)}`, { body: index, headers: { 'Content-Type': ociIndex } })

  await t.test('each of them is set, and named in the answer in a header of its own', async () => {
    const headers = [`Authorization: ${basic('admin')}`, `Content-Type: ${ociIndex}`, `Content-Length: ${index.length}`]
    const path = `/v2/team/three/manifests/${digest}?tag=1.2&tag=1&tag=latest`
    const answer = await rawRequest(registry.port, { method: 'PUT', path, headers, body: index })
    assert.equal(answer.status, 201)
    assert.deepEqual(answer.headers.get('oci-tag'), ['1.2', '1', 'latest'])
    assert.deepEqual(answer.headers.get('location'), [`/v2/team/three/manifests/${digest}`])
    assert.deepEqual(answer.headers.get('docker-content-digest'), [digest])
    assert.deepEqual(await tagsOf(client, 'team/three'), ['1', '1.2', 'latest'])
    for (const reference of ['1', '1.2', 'latest', digest]) {
      const gives = { 'Docker-Content-Digest': digest }
      await checkRow(registry, { rule: '', path: `/v2/team/three/manifests/${reference}`, status: 200, content: index, gives })
    }
  })

  await t.test('without any the answer names none, and none is set', async () => {
    const answer = await expectStatus(await client.putManifest('team/none', digest, index), 201)
    assert.equal(answer.headers.has('OCI-Tag'), false)
    assert.deepEqual(await tagsOf(client, 'team/none'), [])
  })

  await t.test('a tag that is there moves, the others stay', async () => {
    await expectStatus(await client.putManifest('team/move', 'a', `${index} `), 201)
    await expectStatus(await client.putManifest('team/move', 'b', `${index} `), 201)
    await expectStatus(await push('team/move', ['b', 'c']), 201)
    const seen = await Promise.all(
      ['a', 'b', 'c'].map(async (tag) => (await client.call('GET', `/v2/team/move/manifests/${tag}`)).bytes.toString()),
    )
    assert.deepEqual(seen, [`${index} `, index, index])
  })

  await t.test('one that is named twice is set once', async () => {
    const answer = await expectStatus(await push('team/twice', ['a', 'b', 'a']), 201)
    assert.equal(answer.headers.get('OCI-Tag'), 'a, b')
  })

  await t.test('a tag may come percent-encoded', async () => {
    const answer = await expectStatus(await push('team/encoded', ['v1%2E0', '%61']), 201)
    assert.equal(answer.headers.get('OCI-Tag'), 'v1.0, a')
  })

  const refused: readonly (readonly [what: string, tags: readonly string[], status: number, code: string])[] = [
    ['an empty tag', ['good', ''], 400, 'NAME_INVALID'],
    ['a tag with a slash', ['good', 'a%2Fb'], 400, 'NAME_INVALID'],
    ['a tag with a plus, which is a space', ['good', 'a+b'], 400, 'NAME_INVALID'],
    ['a tag that starts with a dot', ['.good'], 400, 'NAME_INVALID'],
    ['a tag of 129 characters', ['good', 'a'.repeat(129)], 400, 'NAME_INVALID'],
    ['a tag with a line break and a header behind it', ['a%0d%0aX-Evil:%201'], 400, 'NAME_INVALID'],
    ['a digest for a tag', [digest], 400, 'NAME_INVALID'],
    ['101 tags', Array.from({ length: 101 }, (_, number) => `v${number}`), 414, 'UNSUPPORTED'],
    ['101 times the same tag', Array.from({ length: 101 }, () => 'v1'), 414, 'UNSUPPORTED'],
  ]
  for (const [what, tags, status, code] of refused) {
    await t.test(`${what} is ${status} ${code}, and nothing is stored`, async () => {
      const headers = [`Authorization: ${basic('admin')}`, `Content-Type: ${ociIndex}`, `Content-Length: ${index.length}`]
      const path = `/v2/team/refused/manifests/${digest}?${query(tags)}`
      const answer = await rawRequest(registry.port, { method: 'PUT', path, headers, body: index })
      assert.deepEqual([answer.status, codeOf(answer)], [status, code])
      assert.equal(answer.headers.has('x-evil'), false)
      assert.equal(await tagsOf(client, 'team/refused'), undefined)
    })
  }

  await t.test('tags beside a tag are refused: which of them would be meant', async () => {
    const answer = await push('team/refused', ['v2'], 'v1')
    assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 'UNSUPPORTED'])
    assert.equal(await tagsOf(client, 'team/refused'), undefined)
  })

  await t.test('a manifest that is refused sets none of them', async () => {
    const text = JSON.stringify(imageManifest('{"absent":true}', []))
    const path = `/v2/team/refused/manifests/${sha256(text)}?${query(['a', 'b'])}`
    const answer = await client.call('PUT', path, { body: text, headers: { 'Content-Type': ociImage } })
    assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 'MANIFEST_BLOB_UNKNOWN'])
    assert.equal(await tagsOf(client, 'team/refused'), undefined)
  })

  await t.test('a hundred are set at once, and how many may be is a setting', async (t) => {
    const tags = Array.from({ length: 100 }, (_, number) => `v${number}`)
    await expectStatus(await push('team/hundred', tags), 201)
    assert.deepEqual(await tagsOf(client, 'team/hundred'), tags.toSorted())
    const few = new Client(await startRegistry(t, { settings: { MANIFESTS_MAX_TAGS_PER_PUSH: '2' } }))
    const path = `/v2/team/few/manifests/${digest}`
    const call = { body: index, headers: { 'Content-Type': ociIndex } }
    await expectStatus(await few.call('PUT', `${path}?tag=a&tag=b`, call), 201)
    const answer = await expectStatus(await few.call('PUT', `${path}?tag=a&tag=b&tag=c`, call), 414)
    assert.deepEqual(answer.errors[0]?.detail, { limit: 2 })
  })
})

test('manifests under sha512', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const wide = sha512(index)

  await t.test('one is served under the digest it was pushed with, and so is the tag that was set through it', async () => {
    const answer = await client.call('PUT', `/v2/team/wide/manifests/${wide}?tag=v1`, {
      body: index,
      headers: { 'Content-Type': ociIndex },
    })
    await expectStatus(answer, 201)
    assert.equal(answer.headers.get('Docker-Content-Digest'), wide)
    assert.equal(answer.headers.get('Location'), `/v2/team/wide/manifests/${wide}`)
    for (const reference of [wide, 'v1']) {
      const gives = { 'Docker-Content-Digest': wide, ETag: `"${wide}"` }
      await checkRow(registry, { rule: '', path: `/v2/team/wide/manifests/${reference}`, status: 200, content: index, gives })
      await checkRow(registry, { rule: '', method: 'HEAD', path: `/v2/team/wide/manifests/${reference}`, status: 200, gives })
    }
    await checkRow(registry, { rule: '', path: `/v2/team/wide/manifests/${digest}`, status: 404, code: 'MANIFEST_UNKNOWN' })
  })

  await t.test('a push by tag always means sha256, and moves the tag there', async () => {
    await expectStatus(await client.putManifest('team/wide', 'v1', index), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/wide/manifests/v1', status: 200, gives: { 'Docker-Content-Digest': digest } })
    await checkRow(registry, { rule: '', path: `/v2/team/wide/manifests/${wide}`, status: 200, content: index })
  })

  await t.test('each of the two is deleted by itself', async () => {
    await checkRow(registry, { rule: '', method: 'DELETE', path: `/v2/team/wide/manifests/${wide}`, status: 202 })
    await checkRow(registry, { rule: '', path: `/v2/team/wide/manifests/${wide}`, status: 404, code: 'MANIFEST_UNKNOWN' })
    await checkRow(registry, { rule: '', path: '/v2/team/wide/manifests/v1', status: 200, content: index })
  })

  await t.test('a whole tree is pushed under it: blobs, image, index', async () => {
    const layer = 'a layer under sha512'
    const wideDescriptor = (content: string, mediaType: string) => ({ ...descriptorOf(content, mediaType), digest: sha512(content) })
    for (const content of ['{}', layer]) await client.pushBlob('team/tree', content, sha512(content))
    const image = JSON.stringify({ schemaVersion: 2, config: wideDescriptor('{}', 'a/b'), layers: [wideDescriptor(layer, 'c/d')] })
    await expectStatus(await client.putManifest('team/tree', sha512(image), image), 201)
    const top = JSON.stringify({ schemaVersion: 2, manifests: [wideDescriptor(image, ociImage)] })
    await expectStatus(
      await client.call('PUT', `/v2/team/tree/manifests/${sha512(top)}?tag=all`, { body: top, headers: { 'Content-Type': ociIndex } }),
      201,
    )
    await checkRow(registry, {
      rule: '',
      path: '/v2/team/tree/manifests/all',
      status: 200,
      content: top,
      gives: { 'Docker-Content-Digest': sha512(top) },
    })
    await checkRow(registry, { rule: '', path: `/v2/team/tree/manifests/${sha512(image)}`, status: 200, content: image })
  })

  for (const [what, claimed] of [
    ['sha512', sha512('other')],
    ['sha256', sha256('other')],
  ] as const) {
    await t.test(`bytes that do not have the ${what} they are pushed by are DIGEST_INVALID`, async () => {
      const answer = await client.putManifest('team/wrong', claimed, index)
      assert.deepEqual([answer.status, answer.errors[0]?.code], [400, 'DIGEST_INVALID'])
      assert.deepEqual(answer.errors[0]?.detail, { expected: claimed, received: what === 'sha256' ? digest : wide })
      await checkRow(registry, { rule: '', path: `/v2/team/wrong/manifests/${claimed}`, status: 404 })
    })
  }
})

test('a push that names a subject', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushBlob('team/app', '{}')
  const config = descriptorOf('{}', 'application/vnd.oci.empty.v1+json')
  const bodies: readonly (readonly [type: string, body: object])[] = [
    [ociImage, { schemaVersion: 2, config, layers: [] }],
    [ociIndex, { schemaVersion: 2, manifests: [] }],
    [ociArtifact, { mediaType: ociArtifact, artifactType: 'a/b' }],
    [dockerImage, { schemaVersion: 2, mediaType: dockerImage, config, layers: [] }],
    [dockerList, { schemaVersion: 2, mediaType: dockerList, manifests: [] }],
  ]
  for (const [type, body] of bodies) {
    await t.test(`${type} is told so in OCI-Subject, by tag and by digest`, async () => {
      const text = JSON.stringify({ ...body, subject })
      for (const reference of ['v1', sha256(text)]) {
        const answer = await client.call('PUT', `/v2/team/app/manifests/${reference}`, { body: text, headers: { 'Content-Type': type } })
        await expectStatus(answer, 201)
        assert.equal(answer.headers.get('OCI-Subject'), subject.digest)
      }
    })

    await t.test(`${type} without a subject, or with null for one, is told nothing`, async () => {
      for (const text of [JSON.stringify(body), JSON.stringify({ ...body, subject: null })]) {
        const answer = await client.call('PUT', '/v2/team/app/manifests/v1', { body: text, headers: { 'Content-Type': type } })
        await expectStatus(answer, 201)
        assert.equal(answer.headers.has('OCI-Subject'), false)
      }
    })
  }
})
