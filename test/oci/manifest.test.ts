/** Manifests: the type decides the meaning, two meanings are refused, and every reference is found with its role. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isRegistryError } from '../../oci/errors.ts'
import { type Manifest, type ManifestRules, parseManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { assertRefused } from './assert-refused.ts'

const { ociImage, ociIndex, ociArtifact, dockerImage, dockerList } = mediaTypes
const schema1 = 'application/vnd.docker.distribution.manifest.v1+json'
const digest = (char: string) => `sha256:${char.repeat(64)}`
const descriptor = (mediaType: string, char: string, size = 2) => ({ mediaType, digest: digest(char), size })

const config = descriptor('application/vnd.oci.image.config.v1+json', '0')
const layer = descriptor('application/vnd.oci.image.layer.v1.tar+gzip', '1')
const image = { schemaVersion: 2, config, layers: [layer] }
const index = { schemaVersion: 2, manifests: [descriptor(ociImage, '2')] }
const artifact = { mediaType: ociArtifact, artifactType: 'application/x', blobs: [layer] }

const strict: ManifestRules = { maxReferences: 1000, allowUnknownTypes: false }
const open: ManifestRules = { ...strict, allowUnknownTypes: true }

interface Pushed {
  readonly body: unknown
  readonly type?: string
  readonly rules?: ManifestRules
}

function parse({ body, type, rules = strict }: Pushed): Manifest {
  return parseManifest(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), type, rules)
}

const typed: readonly (readonly [why: string, pushed: Pushed, mediaType: string])[] = [
  ['an image sent as one', { body: image, type: ociImage }, ociImage],
  ['an image that repeats its type', { body: { ...image, mediaType: ociImage }, type: ociImage }, ociImage],
  ['a type with parameters and capitals', { body: image, type: ' Application/VND.oci.image.manifest.v1+JSON ; charset=utf-8' }, ociImage],
  ['no header and a type in the body', { body: { ...image, mediaType: dockerImage } }, dockerImage],
  ['application/json and a type in the body', { body: { ...index, mediaType: dockerList }, type: 'application/json' }, dockerList],
  ['octet-stream and no type at all', { body: image, type: 'application/octet-stream' }, ociImage],
  ['no type at all and config and layers', { body: image }, ociImage],
  ['no type at all and manifests', { body: index }, ociIndex],
  ['an empty header', { body: index, type: '' }, ociIndex],
  ['a Docker image', { body: { ...image, mediaType: dockerImage }, type: dockerImage }, dockerImage],
  ['a Docker list without platforms', { body: { ...index, mediaType: dockerList }, type: dockerList }, dockerList],
  ['an artifact manifest', { body: artifact, type: ociArtifact }, ociArtifact],
  ['an artifact manifest without blobs', { body: { artifactType: 'a/b' }, type: ociArtifact }, ociArtifact],
  ['an empty list of layers', { body: { ...image, layers: [] }, type: ociImage }, ociImage],
  ['an empty index', { body: { ...index, manifests: [] }, type: ociIndex }, ociIndex],
  [
    'a null list, as Go writes an empty one',
    { body: { ...image, layers: null, subject: null, annotations: null }, type: ociImage },
    ociImage,
  ],
  ['unknown fields', { body: { ...image, 'org.example': [1, { a: null }], blobs: 3 }, type: ociImage }, ociImage],
  ['a line end behind it', { body: `${JSON.stringify(image)}\n`, type: ociImage }, ociImage],
]

for (const [why, pushed, mediaType] of typed) {
  test(`a manifest with ${why} is accepted as ${mediaType}`, () => {
    assert.equal(parse(pushed).mediaType, mediaType)
  })
}

const refused: readonly (readonly [why: string, pushed: Pushed, message: RegExp])[] = [
  ['the type of schema 1', { body: {}, type: schema1 }, /schema 1 are no longer accepted/],
  ['the signed type of schema 1', { body: {}, type: `${schema1.slice(0, -4)}prettyjws` }, /schema 1/],
  ['schema 1 where unknown types are allowed', { body: {}, type: schema1, rules: open }, /schema 1/],
  ['schema 1 by its body', { body: { schemaVersion: 1, fsLayers: [] }, type: 'application/json' }, /schema 1/],
  ['schemaVersion 1 under a newer type', { body: { ...image, schemaVersion: 1 }, type: ociImage }, /schema 1/],
  ['an unknown type', { body: image, type: 'application/x+json' }, /type application\/x\+json are not accepted/],
  ['an unknown type in the body', { body: { ...image, mediaType: 'a/b' } }, /type a\/b/],
  ['a header that is no type', { body: image, type: 'json' }, /not a media type/],
  ['a header injected by its body', { body: { mediaType: 'a/b\r\nX: y' }, rules: open }, /not a media type/],
  ['a type of which nothing is known', { body: { schemaVersion: 2 } }, /what kind of manifest/],
  ['a mediaType that is no text', { body: { ...image, mediaType: 3 } }, /mediaType is not a string/],
  ['a mediaType that is no text under a type', { body: { ...image, mediaType: null }, type: ociImage }, /its mediaType is not a string/],
  ['another mediaType than its header', { body: { ...image, mediaType: dockerImage }, type: ociImage }, /was sent as .* but its mediaType/],
  ['an index sent as an image', { body: { ...index, mediaType: ociIndex }, type: ociImage }, /was sent as/],
  ['a Docker type but no mediaType', { body: image, type: dockerImage }, /mediaType is missing/],
  ['no schemaVersion', { body: { config, layers: [] }, type: ociImage }, /schemaVersion/],
  ['schemaVersion "2"', { body: { ...image, schemaVersion: '2' }, type: ociImage }, /schemaVersion/],
  ['manifests and layers', { body: { ...index, layers: [] }, type: ociIndex }, /fields of an index/],
  ['manifests and config', { body: { ...index, config }, type: ociIndex }, /fields of an index/],
  ['manifests in an image', { body: { ...image, manifests: [] }, type: ociImage }, /fields of an index/],
  ['manifests that are null in an image', { body: { ...image, manifests: null } }, /fields of an index/],
  ['layers in an artifact manifest', { body: { ...artifact, layers: [] }, type: ociArtifact }, /artifact manifest has blobs/],
  ['no config', { body: { schemaVersion: 2, layers: [] }, type: ociImage }, /config is not an object/],
  ['no layers', { body: { schemaVersion: 2, config }, type: ociImage }, /layers is missing/],
  ['layers that are no array', { body: { ...image, layers: {} }, type: ociImage }, /layers is not an array/],
  ['only manifests under the type of an image', { body: index, type: ociImage }, /config/],
  ['only layers under the type of an index', { body: image, type: ociIndex }, /manifests is missing/],
  ['a bad layer', { body: { ...image, layers: [layer, { ...layer, digest: 'sha256:x' }] }, type: ociImage }, /layers\[1\]\.digest/],
  ['a negative size', { body: { ...image, config: { ...config, size: -1 } }, type: ociImage }, /config\.size/],
  ['a bad entry', { body: { ...index, manifests: [null] }, type: ociIndex }, /manifests\[0\] is not/],
  ['a bad subject', { body: { ...image, subject: { ...layer, digest: 'x' } }, type: ociImage }, /subject\.digest/],
  ['annotations that are no text', { body: { ...image, annotations: { a: 1 } }, type: ociImage }, /annotations/],
  ['an artifactType that is no text', { body: { ...image, artifactType: 1 }, type: ociImage }, /artifactType/],
  ['a body that is an array', { body: [], type: ociImage }, /not a JSON object/],
  ['a body that is null', { body: null }, /not a JSON object/],
  ['a body that is no JSON', { body: 'x', type: ociImage }, /not JSON/],
  ['no body', { body: '', type: ociImage }, /not JSON/],
  ['a byte order mark', { body: `\ufeff${JSON.stringify(image)}`, type: ociImage }, /byte order mark/],
  ['duplicate keys', { body: `{"schemaVersion":2,"schemaVersion":2}`, type: ociImage }, /twice/],
  ['a depth of ten thousand', { body: '[['.repeat(5000), type: ociImage }, /levels deep/],
]

for (const [why, pushed, message] of refused) {
  test(`a manifest with ${why} is refused with a message that says so`, () => {
    const error = assertRefused('manifestInvalid', () => parse(pushed))
    assert.match(error.message, message)
    assert.doesNotMatch(error.message, /tag invalid/i)
  })
}

const rolesOf = (manifest: Manifest) => manifest.references.map(({ role, isRequired }) => `${role} ${isRequired ? 'required' : 'optional'}`)

test('an image refers to its config and its layers, in this order', () => {
  const manifest = parse({ body: { ...image, layers: [layer, { ...layer, digest: digest('3') }] }, type: ociImage })
  assert.deepEqual(rolesOf(manifest), ['config required', 'layer required', 'layer required'])
  assert.deepEqual(
    manifest.references.map((reference) => reference.descriptor.digest),
    [digest('0'), digest('1'), digest('3')],
  )
  assert.deepEqual(manifest.references[0]?.descriptor, { mediaType: config.mediaType, digest: config.digest, sizeBytes: 2 })
})

test('a layer that is never pushed is not required, whatever its urls', () => {
  const foreign = { ...descriptor('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', '4'), urls: ['http://169.254.169.254/'] }
  assert.deepEqual(rolesOf(parse({ body: { ...image, layers: [foreign, layer] }, type: ociImage })), [
    'config required',
    'layer optional',
    'layer required',
  ])
})

test('a digest of an unsupported algorithm is accepted and not required', () => {
  const layers = [{ ...layer, digest: `blake3:${'a'.repeat(64)}` }]
  assert.deepEqual(rolesOf(parse({ body: { ...image, layers }, type: ociImage })), ['config required', 'layer optional'])
})

test('an index entry of a manifest type is a manifest, any other is content that a blob may satisfy', () => {
  const manifests = [ociImage, ociIndex, dockerImage, dockerList, ociArtifact, layer.mediaType, 'application/vnd.buildkit.cacheconfig.v0']
  const body = { schemaVersion: 2, manifests: manifests.map((type) => ({ ...descriptor(type, '5'), platform: null })) }
  const roles = parse({ body, type: ociIndex }).references.map(({ role }) => role)
  assert.deepEqual(roles, ['manifest', 'manifest', 'manifest', 'manifest', 'manifest', 'content', 'content'])
})

test('an artifact manifest refers to blobs', () => {
  assert.deepEqual(rolesOf(parse({ body: artifact, type: ociArtifact })), ['blob required'])
})

const artifactTypes: readonly (readonly [why: string, pushed: Pushed, artifactType: string | undefined])[] = [
  ['an image with artifactType', { body: { ...image, artifactType: 'a/b' }, type: ociImage }, 'a/b'],
  ['an image without', { body: image, type: ociImage }, config.mediaType],
  ['an image with an empty one', { body: { ...image, artifactType: '' }, type: ociImage }, config.mediaType],
  ['an index with artifactType', { body: { ...index, artifactType: 'a/b' }, type: ociIndex }, 'a/b'],
  ['an index without', { body: index, type: ociIndex }, undefined],
  ['an artifact manifest', { body: artifact, type: ociArtifact }, 'application/x'],
]

for (const [why, pushed, artifactType] of artifactTypes) {
  test(`${why} is listed as ${artifactType ?? 'no artifact type'}`, () => {
    assert.equal(parse(pushed).artifactType, artifactType)
  })
}

test('subject and annotations are read in every kind of manifest and the subject is no reference', () => {
  const extra = { subject: descriptor(ociImage, '9', 7), annotations: { constructor: 'x', b: '' } }
  const bodies: readonly Pushed[] = [
    { body: { ...image, ...extra }, type: ociImage },
    { body: { ...index, ...extra, mediaType: dockerList }, type: dockerList },
    { body: { ...artifact, ...extra }, type: ociArtifact },
  ]
  for (const pushed of bodies) {
    const manifest = parse(pushed)
    assert.deepEqual(manifest.subject, { mediaType: ociImage, digest: digest('9'), sizeBytes: 7 })
    assert.deepEqual(manifest.annotations, extra.annotations)
    assert.ok(manifest.references.every((reference) => reference.descriptor.digest !== digest('9')))
  }
  assert.equal(parse({ body: image, type: ociImage }).subject, undefined)
  assert.equal(parse({ body: image, type: ociImage }).annotations, undefined)
})

test('where unknown types are allowed they are kept unread, JSON or not', () => {
  const nothing = { artifactType: undefined, subject: undefined, references: [], annotations: undefined }
  const png = parse({ body: '\u0089PNG', type: 'Image/PNG; a=b', rules: open })
  assert.deepEqual(png, { mediaType: 'image/png', ...nothing })
  const stated = parse({ body: { mediaType: 'application/x', layers: 3 }, rules: open })
  assert.deepEqual(stated, { mediaType: 'application/x', ...nothing })
})

test('where unknown types are allowed the known ones are read all the same', () => {
  assert.equal(parse({ body: image, type: ociImage, rules: open }).references.length, 2)
  assertRefused('manifestInvalid', () => parse({ body: {}, type: ociImage, rules: open }))
})

test('a list may have as many entries as the rules say and not one more', () => {
  const rules = { maxReferences: 3, allowUnknownTypes: false }
  const layers = (count: number) => ({ body: { ...image, layers: Array.from({ length: count }, () => layer) }, type: ociImage, rules })
  const manifests = (count: number) => ({
    body: { ...index, manifests: Array.from({ length: count }, () => config) },
    type: ociIndex,
    rules,
  })
  assert.equal(parse(layers(3)).references.length, 4)
  assert.equal(parse(manifests(3)).references.length, 3)
  assert.match(assertRefused('manifestTooLarge', () => parse(layers(4))).message, /4 layers.*at most 3/)
  assertRefused('manifestTooLarge', () => parse(manifests(4)))
})

test('a manifest with almost four mebibytes of annotations is read in less than a second', () => {
  const annotations = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`org.example.${at}`, 'x'.repeat(180)]))
  const started = performance.now()
  assert.deepEqual(parse({ body: { ...image, annotations }, type: ociImage }).annotations, annotations)
  assert.ok(performance.now() - started < 1000)
})

test('the bytes that were read are not changed', () => {
  const bytes = Buffer.from(JSON.stringify(image, undefined, 3))
  const before = Buffer.from(bytes)
  assert.equal(parseManifest(bytes, ociImage, strict).references.length, 2)
  assert.deepEqual(bytes, before)
})

const field = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(2, config, [layer], [descriptor(ociImage, '6')], { a: 'b' }, 'a/b'))
const anyBody = fc.record(
  {
    schemaVersion: fc.oneof({ weight: 4, arbitrary: fc.constant(2) }, fc.jsonValue()),
    mediaType: fc.oneof(fc.constantFrom(ociImage, ociIndex, dockerImage, ociArtifact, 'x/y'), field),
    config: field,
    layers: field,
    manifests: field,
    blobs: field,
    subject: field,
    artifactType: field,
    annotations: field,
  },
  { requiredKeys: ['schemaVersion'] },
)
const anyType = fc.option(fc.oneof(fc.constantFrom(ociImage, ociIndex, dockerList, ociArtifact, 'application/json'), fc.string()), {
  nil: undefined,
})

test('any body under any type is read without two meanings or refused, never with another fault', () => {
  fc.assert(
    fc.property(anyBody, anyType, fc.boolean(), (body, type, allowUnknownTypes) => {
      try {
        const manifest = parseManifest(Buffer.from(JSON.stringify(body)), type, { maxReferences: 10, allowUnknownTypes })
        assert.match(manifest.mediaType, /^[\x21-\x7e]+\/[\x21-\x7e]+$/)
        const kinds = new Set(manifest.references.map(({ role }) => (role === 'content' ? 'manifest' : role === 'config' ? 'layer' : role)))
        assert.ok(kinds.size <= 1)
      } catch (error) {
        assert.ok(isRegistryError(error, 'manifestInvalid') || isRegistryError(error, 'manifestTooLarge'), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

test('any bytes under any type are read or refused, never with another fault', () => {
  fc.assert(
    fc.property(fc.uint8Array(), anyType, fc.boolean(), (bytes, type, allowUnknownTypes) => {
      try {
        assert.deepEqual(parseManifest(bytes, type, { maxReferences: 10, allowUnknownTypes }).references, [])
      } catch (error) {
        assert.ok(isRegistryError(error, 'manifestInvalid'), String(error))
      }
    }),
  )
})
