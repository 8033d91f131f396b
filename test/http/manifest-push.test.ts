/** PUT of a manifest: what is accepted and what the answer says, and every check in its order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes } from '../../oci/media-types.ts'
import { basic, Client, descriptorOf, expectStatus, sha256, type Answer } from '../support/client.ts'
import { codeOf, rawRequest } from '../support/raw-request.ts'
import { checkRow } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const { ociImage, ociIndex, ociArtifact, dockerImage, dockerList, ociEmpty } = mediaTypes
const config = '{"architecture":"amd64"}'
const layer = 'a layer'
const empty = '{}'
const absent = `sha256:${'0'.repeat(64)}`

const image = {
  schemaVersion: 2,
  config: descriptorOf(config, 'application/vnd.oci.image.config.v1+json'),
  layers: [descriptorOf(layer, 'application/vnd.oci.image.layer.v1.tar')],
}
const emptyDescriptor = descriptorOf(empty, ociEmpty)
const child = JSON.stringify({ ...image, annotations: { role: 'child' } })
const childDescriptor = { ...descriptorOf(child, ociImage), platform: { os: 'linux', architecture: 'amd64' } }
const index = { schemaVersion: 2, manifests: [childDescriptor] }

interface Pushed {
  readonly body: unknown
  /** undefined: no Content-Type at all. */
  readonly type: string | undefined
}

/** The bytes of a body: text as it is, anything else as JSON. */
const textOf = (body: unknown): string => (typeof body === 'string' ? body : JSON.stringify(body))

/** Through a raw socket: every other client would add a Content-Type where there is none. */
async function put(registry: TestRegistry, path: string, { body, type }: Pushed): Promise<ReturnType<typeof rawRequest>> {
  const text = textOf(body)
  const headers = [`Authorization: ${basic('admin')}`, `Content-Length: ${Buffer.byteLength(text)}`]
  return rawRequest(registry.port, {
    method: 'PUT',
    path,
    headers: type === undefined ? headers : [...headers, `Content-Type: ${type}`],
    body: text,
  })
}

/** A repository that has the blobs and the child that the bodies here refer to. */
async function fill(client: Client, name: string): Promise<void> {
  for (const content of [config, layer, empty]) await client.pushBlob(name, content)
  await expectStatus(await client.putManifest(name, sha256(child), child), 201)
}

const accepted: readonly (readonly [what: string, pushed: Pushed, type: string])[] = [
  ['an OCI image', { body: { ...image, mediaType: ociImage }, type: ociImage }, ociImage],
  ['an OCI image without mediaType', { body: image, type: ociImage }, ociImage],
  ['an OCI index', { body: { ...index, mediaType: ociIndex }, type: ociIndex }, ociIndex],
  ['an OCI index without mediaType', { body: index, type: ociIndex }, ociIndex],
  ['a Docker image', { body: { ...image, mediaType: dockerImage }, type: dockerImage }, dockerImage],
  ['a Docker list', { body: { ...index, mediaType: dockerList }, type: dockerList }, dockerList],
  [
    'an artifact manifest of old',
    { body: { mediaType: ociArtifact, artifactType: 'a/b', blobs: [descriptorOf(layer, 'a/b')] }, type: ociArtifact },
    ociArtifact,
  ],
  ['parameters behind the type', { body: image, type: `${ociImage}; charset=utf-8` }, ociImage],
  ['the type in capitals', { body: image, type: ociImage.toUpperCase() }, ociImage],
  ['no Content-Type, but a mediaType', { body: { ...image, mediaType: dockerImage }, type: undefined }, dockerImage],
  ['no Content-Type and config and layers', { body: image, type: undefined }, ociImage],
  ['no Content-Type and manifests', { body: index, type: undefined }, ociIndex],
  ['application/json', { body: { ...index, mediaType: dockerList }, type: 'application/json' }, dockerList],
  ['application/octet-stream', { body: image, type: 'application/octet-stream' }, ociImage],
  ['no layers', { body: { ...image, layers: [] }, type: ociImage }, ociImage],
  ['an index of nothing', { body: { schemaVersion: 2, manifests: [] }, type: ociIndex }, ociIndex],
  [
    'the empty descriptor as config and layer',
    { body: { schemaVersion: 2, artifactType: 'a/b', config: emptyDescriptor, layers: [emptyDescriptor] }, type: ociImage },
    ociImage,
  ],
  [
    'a type of config that nobody knows',
    { body: { ...image, config: descriptorOf(config, 'application/x-mine') }, type: ociImage },
    ociImage,
  ],
  ['fields that nobody knows', { body: { ...image, 'org.example.new': { deep: [1, null] } }, type: ociImage }, ociImage],
  ['data in a descriptor', { body: { ...image, config: { ...emptyDescriptor, data: 'e30=' } }, type: ociImage }, ociImage],
  [
    'platform null in an index',
    { body: { schemaVersion: 2, manifests: [{ ...childDescriptor, platform: null }] }, type: ociIndex },
    ociIndex,
  ],
  [
    'no platform in a Docker list',
    { body: { schemaVersion: 2, mediaType: dockerList, manifests: [descriptorOf(child, ociImage)] }, type: dockerList },
    dockerList,
  ],
  [
    'annotations',
    { body: { ...image, annotations: { 'org.opencontainers.image.title': 'é "quoted" \u0000 \u2028' } }, type: ociImage },
    ociImage,
  ],
  ['unusual white space', { body: ` {\n\t"schemaVersion" : 2 ,"manifests":[ ] }\r\n`, type: ociIndex }, ociIndex],
  [
    'numbers and escapes as they were written',
    { body: '{"schemaVersion":2.0,"manifests":[],"x":1e2,"y":"\\u00e9\\/"}', type: ociIndex },
    ociIndex,
  ],
]

test('manifests that are accepted', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await fill(client, 'team/app')

  for (const [what, pushed, type] of accepted) {
    await t.test(`${what}: stored as ${type}, and its bytes come back unchanged`, async () => {
      const content = textOf(pushed.body)
      const digest = sha256(content)
      const answer = await put(registry, '/v2/team/app/manifests/the-tag', pushed)
      assert.equal(answer.status, 201, answer.body.toString())
      assert.deepEqual(answer.headers.get('location'), [`/v2/team/app/manifests/${digest}`])
      assert.deepEqual(answer.headers.get('docker-content-digest'), [digest])
      assert.deepEqual(answer.headers.get('content-length'), ['0'])
      for (const absent of ['oci-subject', 'oci-tag', 'content-type']) assert.equal(answer.headers.has(absent), false, absent)
      const gives = { 'Content-Type': type, 'Docker-Content-Digest': digest }
      for (const reference of ['the-tag', digest]) {
        await checkRow(registry, { rule: '', path: `/v2/team/app/manifests/${reference}`, status: 200, content, gives })
      }
    })
  }

  await t.test('pushing the same again is 201 again and changes nothing', async () => {
    const history = async () => client.call('GET', '/v2/team/app/tags/list')
    const before = (await history()).bytes
    for (let time = 0; time < 3; time++) await expectStatus(await client.putManifest('team/app', 'the-tag', child), 201)
    assert.deepEqual((await history()).bytes, before)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/the-tag', status: 200, content: child })
  })

  await t.test('a tag moves to what it was pushed with last, and the manifest it had stays', async () => {
    const next = JSON.stringify({ ...image, annotations: { version: '2' } })
    await expectStatus(await client.putManifest('team/app', 'moving', child), 201)
    await expectStatus(await client.putManifest('team/app', 'moving', next), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/moving', status: 200, content: next })
    await checkRow(registry, { rule: '', path: `/v2/team/app/manifests/${sha256(child)}`, status: 200, content: child })
  })

  await t.test('an index of indexes fifty deep is pushed and read', async () => {
    let text = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [] })
    for (let depth = 0; depth < 50; depth++) {
      await expectStatus(await client.putManifest('team/deep', sha256(text), text), 201)
      text = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [descriptorOf(text, ociIndex)] })
    }
    await expectStatus(await client.putManifest('team/deep', 'top', text), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/deep/manifests/top', status: 200, content: text })
  })

  await t.test('bytes that are not ASCII come back as they were', async () => {
    const text = '{"schemaVersion":2,"manifests":[],"annotations":{"a":"日本語 🐳"}}'
    const answer = await put(registry, '/v2/team/app/manifests/unicode', { body: text, type: ociIndex })
    assert.equal(answer.status, 201)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/unicode', status: 200, content: text })
  })
})

/** Bodies that are refused as MANIFEST_INVALID, with what the message says of them. */
const invalid: readonly (readonly [what: string, pushed: Pushed, message: RegExp])[] = [
  ['the type of schema 1', { body: {}, type: 'application/vnd.docker.distribution.manifest.v1+json' }, /schema 1/],
  ['the signed type of schema 1', { body: {}, type: 'application/vnd.docker.distribution.manifest.v1+prettyjws' }, /schema 1/],
  ['schema 1 by its body', { body: { schemaVersion: 1 }, type: undefined }, /schema 1/],
  ['an unknown type', { body: image, type: 'application/x.mine+json' }, /not accepted/],
  ['text/html', { body: image, type: 'text/html' }, /not accepted/],
  ['an unknown mediaType', { body: { ...image, mediaType: 'application/x.mine+json' }, type: undefined }, /not accepted/],
  ['no sign of its type', { body: { schemaVersion: 2 }, type: undefined }, /what kind of manifest/],
  ['another mediaType than the header', { body: { ...image, mediaType: dockerImage }, type: ociImage }, /mediaType/],
  ['an index under the type of an image', { body: { ...index, mediaType: ociIndex }, type: ociImage }, /mediaType/],
  ['no mediaType under a Docker type', { body: image, type: dockerImage }, /mediaType is missing/],
  ['nothing', { body: '', type: ociImage }, /not JSON/],
  ['an array', { body: [], type: ociImage }, /not a JSON object/],
  ['null', { body: 'null', type: ociImage }, /not a JSON object/],
  ['text that is not JSON', { body: 'hello', type: ociImage }, /not JSON/],
  ['a body that was cut', { body: child.slice(0, -1), type: ociImage }, /not JSON/],
  ['bytes behind the end', { body: `${child}{}`, type: ociImage }, /not JSON/],
  ['a NUL behind the end', { body: `${child}\0`, type: ociImage }, /not JSON/],
  ['a byte order mark', { body: `\ufeff${child}`, type: ociImage }, /byte order mark/],
  ['a duplicate key', { body: `${child.slice(0, -1)},"schemaVersion":2}`, type: ociImage }, /twice/],
  ['a duplicate key written with an escape', { body: `${child.slice(0, -1)},"schemaV\\u0065rsion":2}`, type: ociImage }, /twice/],
  ['the key __proto__', { body: `${child.slice(0, -1)},"__proto__":{"layers":[]}}`, type: ociImage }, /__proto__/],
  ['a number beyond every double', { body: `${child.slice(0, -1)},"x":1e400}`, type: ociImage }, /too large/],
  [
    '10,000 arrays in each other',
    { body: `${child.slice(0, -1)},"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, type: ociImage },
    /nested/,
  ],
  ['a million arrays that nobody closes', { body: '['.repeat(1_000_000), type: ociImage }, /nested/],
  ['schemaVersion 1', { body: { ...image, schemaVersion: 1 }, type: ociImage }, /schema 1/],
  ['schemaVersion 3', { body: { ...image, schemaVersion: 3 }, type: ociImage }, /schemaVersion/],
  ['schemaVersion as a string', { body: { ...image, schemaVersion: '2' }, type: ociImage }, /schemaVersion/],
  ['no schemaVersion', { body: { config: image.config, layers: [] }, type: ociImage }, /schemaVersion/],
  ['manifests and layers', { body: { ...image, ...index }, type: ociImage }, /fields of an index/],
  ['manifests and layers, as an index', { body: { ...image, ...index }, type: ociIndex }, /fields of an index/],
  ['manifests and config', { body: { ...index, config: image.config }, type: ociIndex }, /fields of an index/],
  ['manifests and an empty list of layers', { body: { ...index, layers: [] }, type: ociIndex }, /fields of an index/],
  ['no config', { body: { schemaVersion: 2, layers: [] }, type: ociImage }, /config/],
  ['no layers', { body: { schemaVersion: 2, config: image.config }, type: ociImage }, /layers is missing/],
  ['layers that are no list', { body: { ...image, layers: {} }, type: ociImage }, /layers is not an array/],
  ['a layer that is a string', { body: { ...image, layers: ['x'] }, type: ociImage }, /layers\[0\]/],
  ['a negative size', { body: { ...image, layers: [{ ...image.layers[0], size: -1 }] }, type: ociImage }, /layers\[0\]\.size/],
  ['a fractional size', { body: { ...image, layers: [{ ...image.layers[0], size: 1.5 }] }, type: ociImage }, /layers\[0\]\.size/],
  ['a size beyond 2^53', { body: { ...image, layers: [{ ...image.layers[0], size: 2 ** 53 }] }, type: ociImage }, /layers\[0\]\.size/],
  ['a size as a string', { body: { ...image, layers: [{ ...image.layers[0], size: '7' }] }, type: ociImage }, /layers\[0\]\.size/],
  [
    'a digest that is none',
    { body: { ...image, layers: [{ ...image.layers[0], digest: 'sha256:../../x' }] }, type: ociImage },
    /layers\[0\]\.digest/,
  ],
  [
    'a digest in capitals',
    { body: { ...image, config: { ...image.config, digest: image.config.digest.toUpperCase() } }, type: ociImage },
    /config\.digest/,
  ],
  [
    'a descriptor without mediaType',
    { body: { ...image, config: { ...image.config, mediaType: undefined } }, type: ociImage },
    /config\.mediaType/,
  ],
  ['an annotation that is a number', { body: { ...image, annotations: { a: 1 } }, type: ociImage }, /annotations/],
  [
    'an annotation of a layer that is a list',
    { body: { ...image, layers: [{ ...image.layers[0], annotations: { a: [] } }] }, type: ociImage },
    /layers\[0\]\.annotations/,
  ],
  ['a subject that is a string', { body: { ...image, subject: absent }, type: ociImage }, /subject/],
  ['a subject whose digest is none', { body: { ...image, subject: { ...image.config, digest: 'x' } }, type: ociImage }, /subject\.digest/],
  ['an artifactType that is a number', { body: { ...image, artifactType: 1 }, type: ociImage }, /artifactType/],
  [
    'another size of a layer than it has',
    { body: { ...image, layers: [{ ...image.layers[0], size: 8 }] }, type: ociImage },
    /says .* has 8 bytes, stored are 7/,
  ],
  [
    'another size of a manifest than it has',
    { body: { ...index, manifests: [{ ...childDescriptor, size: 1 }] }, type: ociIndex },
    /has 1 bytes/,
  ],
]

test('manifests that are refused', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await fill(client, 'team/app')

  for (const [what, pushed, message] of invalid) {
    await t.test(`${what} is MANIFEST_INVALID, and nothing is stored`, async () => {
      const answer = await put(registry, '/v2/team/app/manifests/refused', pushed)
      assert.deepEqual([answer.status, codeOf(answer)], [400, 'MANIFEST_INVALID'], answer.body.toString())
      assert.match((JSON.parse(answer.body.toString()) as { errors: { message: string }[] }).errors[0]?.message ?? '', message)
      const digest = sha256(textOf(pushed.body))
      await checkRow(registry, { rule: '', path: `/v2/team/app/manifests/${digest}`, status: 404 })
      await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/refused', status: 404 })
    })
  }

  await t.test('bytes that are not UTF-8 are refused', async () => {
    const body = Buffer.concat([Buffer.from(`${child.slice(0, -1)},"x":"`), Buffer.from([0xff]), Buffer.from('"}')])
    const answer = await client.call('PUT', '/v2/team/app/manifests/refused', { body, headers: { 'Content-Type': ociImage } })
    assert.equal(answer.errors[0]?.code, 'MANIFEST_INVALID')
  })

  await t.test('a refused push does not make a repository', async () => {
    await put(registry, '/v2/team/new/manifests/v1', { body: image, type: ociImage })
    await checkRow(registry, { rule: '', path: '/v2/team/new/tags/list', status: 404, code: 'NAME_UNKNOWN' })
  })
})

test('the checks come in their order: the first that fails answers', async (t) => {
  const registry = await startRegistry(t, { settings: { MANIFESTS_MAX_BYTES: '4096' } })
  const client = new Client(registry)
  await fill(client, 'team/app')
  await registry.addUser('stranger')

  interface Attempt {
    readonly as: string
    readonly name: string
    readonly reference: string | undefined
    readonly type: string
    readonly body: string
  }
  /** Each fault is put into an attempt that is right otherwise; the body's faults exclude each other and stand last to first. */
  interface Fault {
    readonly what: string
    readonly spoil: (attempt: Attempt) => Attempt
    readonly answer: readonly [status: number, code: string]
    readonly message: RegExp
  }
  const right: Attempt = { as: 'admin', name: 'team/app', reference: undefined, type: ociImage, body: JSON.stringify(image) }
  const faults: readonly Fault[] = [
    { what: 'an invalid name', spoil: (a) => ({ ...a, name: 'Team' }), answer: [400, 'NAME_INVALID'], message: /repository name/ },
    { what: 'no right to push', spoil: (a) => ({ ...a, as: 'stranger' }), answer: [403, 'DENIED'], message: /may not push/ },
    { what: 'an invalid tag', spoil: (a) => ({ ...a, reference: '.x' }), answer: [400, 'NAME_INVALID'], message: /the tag/ },
    { what: 'too many bytes', spoil: (a) => ({ ...a, body: `${a.body}${' '.repeat(4096)}` }), answer: [413, 'SIZE_INVALID'], message: /too large/ },
    { what: 'an unknown type', spoil: (a) => ({ ...a, type: 'a/b' }), answer: [400, 'MANIFEST_INVALID'], message: /type a\/b/ },
    { what: 'another digest', spoil: (a) => ({ ...a, reference: a.reference ?? absent }), answer: [400, 'DIGEST_INVALID'], message: /does not have the digest/ },
    { what: 'no JSON', spoil: (a) => ({ ...a, body: `x${a.body}` }), answer: [400, 'MANIFEST_INVALID'], message: /not JSON/ },
    { what: 'another mediaType', spoil: (a) => ({ ...a, body: a.body.replace('{', `{"mediaType":"${ociIndex}",`) }), answer: [400, 'MANIFEST_INVALID'], message: /its mediaType/ },
    { what: 'two meanings', spoil: (a) => ({ ...a, body: a.body.replace('{', '{"manifests":[],') }), answer: [400, 'MANIFEST_INVALID'], message: /fields of an index/ },
    { what: 'a bad descriptor', spoil: (a) => ({ ...a, body: a.body.replace('"size":7', '"size":-7') }), answer: [400, 'MANIFEST_INVALID'], message: /layers\[0\]\.size/ },
    { what: 'absent content', spoil: (a) => ({ ...a, body: a.body.replace(image.config.digest, absent) }), answer: [400, 'MANIFEST_BLOB_UNKNOWN'], message: /push that first/ },
    { what: 'a wrong size', spoil: (a) => ({ ...a, body: a.body.replace('"size":24', '"size":25') }), answer: [400, 'MANIFEST_INVALID'], message: /has 25 bytes/ },
  ] // prettier-ignore

  const send = async (attempt: Attempt): Promise<Answer> => {
    const reference = attempt.reference ?? 'v1'
    const headers = { 'Content-Type': attempt.type }
    return new Client(registry, basic(attempt.as)).call('PUT', `/v2/${attempt.name}/manifests/${reference}`, {
      body: attempt.body,
      headers,
    })
  }

  await t.test('without a fault it is 201', async () => {
    assert.equal((await send(right)).status, 201)
  })

  for (const [place, fault] of faults.entries()) {
    await t.test(`${fault.what} is ${fault.answer.join(' ')}, whatever else is wrong after it`, async () => {
      for (const later of [undefined, ...faults.slice(place + 1)]) {
        // The later one first, so that both are there when they touch the same part.
        const answer = await send(fault.spoil(later?.spoil(right) ?? right))
        assert.deepEqual([answer.status, answer.errors[0]?.code], fault.answer, `with ${later?.what}`)
        assert.match(answer.errors[0]?.message ?? '', fault.message, `with ${later?.what}`)
      }
    })
  }
})
