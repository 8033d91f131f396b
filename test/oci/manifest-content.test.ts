/** What is shown of manifests and configs: of anything that was stored, without ever a fault. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { platformOf, readImageConfig, readManifestContent } from '../../oci/manifest-content.ts'

const digest = `sha256:${'a'.repeat(64)}`
const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const entry = { mediaType: 'a/b', digest, size: 3 }

test('an image shows its config and layers, an artifact its blobs, an index its manifests with their platforms', () => {
  const shown = { mediaType: 'a/b', digest, sizeBytes: 3 }
  const image = readManifestContent(bytes({ config: entry, layers: [entry, entry], annotations: { a: 'b' } }))
  assert.deepEqual(image, { config: shown, layers: [shown, shown], manifests: [], annotations: { a: 'b' } })
  assert.deepEqual(readManifestContent(bytes({ blobs: [entry] })).layers, [shown])
  const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' }
  const index = readManifestContent(bytes({ manifests: [{ ...entry, platform, annotations: { c: 'd' } }, entry] }))
  assert.deepEqual(index.manifests, [
    { ...shown, platform: 'linux/arm64/v8', annotations: { c: 'd' } },
    { ...shown, platform: undefined, annotations: {} },
  ])
})

test('what is not of the expected form is left out, and nothing is refused', () => {
  const odd = [
    null,
    7,
    'x',
    [],
    {},
    { ...entry, size: -1 },
    { ...entry, size: '3' },
    { ...entry, digest: '../x' },
    { ...entry, mediaType: 1 },
  ]
  const content = readManifestContent(bytes({ config: odd[5], layers: odd, manifests: odd, annotations: { a: 1, b: 'c' } }))
  assert.deepEqual(content, { config: undefined, layers: [], manifests: [], annotations: { b: 'c' } })
  for (const value of ['', 'no JSON', '\u00ff', '[1]', 'null', '{"layers":'])
    assert.deepEqual(readManifestContent(bytes(value)), { config: undefined, layers: [], manifests: [], annotations: undefined })
})

test('a platform has a system and an architecture at least', () => {
  assert.equal(platformOf({ os: 'windows', architecture: 'amd64', 'os.version': '10' }), 'windows/amd64')
  for (const value of [null, {}, { os: 'linux' }, { architecture: 'amd64' }, { os: '', architecture: 'amd64' }, { os: 1, architecture: 2 }])
    assert.equal(platformOf(value), undefined)
})

test('whatever is stored, reading it gives texts and numbers of the right kind', () => {
  const field = fc.constantFrom(
    'config',
    'layers',
    'manifests',
    'blobs',
    'annotations',
    'created',
    'os',
    'architecture',
    '__proto__',
    'Env',
    'Labels',
  )
  const value = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.constant(entry), fc.constant([entry]), fc.constant({ Env: ['A=b', 1] }))
  fc.assert(
    fc.property(fc.oneof(fc.dictionary(field, value), fc.string(), fc.jsonValue()), (stored) => {
      const content = readManifestContent(bytes(stored))
      for (const each of [...content.layers, ...content.manifests]) assert.ok(each.digest.includes(':') && each.sizeBytes >= 0)
      const config = readImageConfig(bytes(stored))
      for (const name of config.environment ?? []) assert.ok(!name.includes('='))
      for (const text of Object.values(config.labels ?? {})) assert.equal(typeof text, 'string')
      assert.match(config.createdAt ?? '2026-01-01T00:00:00.000Z', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      assert.equal(Object.getPrototypeOf(config.labels ?? {}), Object.prototype)
    }),
  )
})
