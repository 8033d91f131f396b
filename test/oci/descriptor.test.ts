/** Descriptors: three checked fields, string annotations, and messages that name the place. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseAnnotations, parseDescriptor } from '../../oci/descriptor.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { assertRefused } from './assert-refused.ts'

const digest = `sha256:${'a'.repeat(64)}`
const valid = { mediaType: 'application/x', digest, size: 3 }

const accepted: readonly (readonly [why: string, value: object])[] = [
  ['only the required fields', valid],
  ['annotations', { ...valid, annotations: { a: 'b' } }],
  ['null where Go writes it', { ...valid, annotations: null, platform: null }],
  ['data, urls, platform and unknown fields', { ...valid, data: 'e30=', urls: ['https://x'], platform: { os: 'linux' }, x: 1 }],
]

for (const [why, value] of accepted) {
  test(`a descriptor with ${why} is read`, () => {
    assert.deepEqual(parseDescriptor(value, 'config'), { mediaType: 'application/x', digest, sizeBytes: 3 })
  })
}

test('a digest of an unsupported algorithm is read', () => {
  assert.equal(parseDescriptor({ ...valid, digest: 'md5:00' }, 'config').digest, 'md5:00')
})

const sizes: readonly (readonly [size: unknown, sizeBytes: number | undefined])[] = [
  [0, 0],
  [-0, 0],
  [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  [-1, undefined],
  [1.5, undefined],
  [Number.MAX_SAFE_INTEGER + 1, undefined],
  [1e300, undefined],
  ['3', undefined],
  [null, undefined],
  [undefined, undefined],
]

for (const [size, sizeBytes] of sizes) {
  test(`the size ${JSON.stringify(size) ?? 'undefined'} (${Object.is(size, -0) ? 'negative zero' : typeof size}) is ${sizeBytes ?? 'refused'}`, () => {
    const parse = () => parseDescriptor({ ...valid, size }, 'layers[3]')
    if (sizeBytes === undefined) assert.match(assertRefused('manifestInvalid', parse).message, /layers\[3\]\.size/)
    else assert.ok(Object.is(parse().sizeBytes, sizeBytes))
  })
}

const refused: readonly (readonly [why: string, value: unknown, place: string])[] = [
  ['is missing', undefined, 'layers[3]'],
  ['is null', null, 'layers[3]'],
  ['is an array', [valid], 'layers[3]'],
  ['is a text', digest, 'layers[3]'],
  ['has no media type', { digest, size: 3 }, 'layers[3].mediaType'],
  ['has an empty media type', { ...valid, mediaType: '' }, 'layers[3].mediaType'],
  ['has a number for a media type', { ...valid, mediaType: 1 }, 'layers[3].mediaType'],
  ['has no digest', { mediaType: 'x/y', size: 3 }, 'layers[3].digest'],
  ['has a path for a digest', { ...valid, digest: 'sha256:../../x' }, 'layers[3].digest'],
  ['has an upper-case digest', { ...valid, digest: digest.toUpperCase() }, 'layers[3].digest'],
  ['has a list of annotations', { ...valid, annotations: [] }, 'layers[3].annotations'],
  ['has an annotation that is no text', { ...valid, annotations: { a: 1 } }, 'layers[3].annotations'],
]

for (const [why, value, place] of refused) {
  test(`a descriptor that ${why} is refused by the name of ${place}`, () => {
    const error = assertRefused('manifestInvalid', () => parseDescriptor(value, 'layers[3]'))
    assert.ok(error.message.includes(`${place} is not`), error.message)
    assert.deepEqual(error.details, [{ field: place }])
  })
}

test('absent annotations are undefined and an empty map is a map', () => {
  assert.equal(parseAnnotations(undefined, 'annotations'), undefined)
  assert.equal(parseAnnotations(null, 'annotations'), undefined)
  assert.deepEqual(parseAnnotations({}, 'annotations'), {})
})

test('any JSON value is a descriptor with a safe size or refused as manifestInvalid', () => {
  const field = fc.oneof(fc.jsonValue(), fc.constant(digest), fc.integer())
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record({ mediaType: field, digest: field, size: field, annotations: field }, { requiredKeys: [] }),
  )
  fc.assert(
    fc.property(value, (input) => {
      try {
        const { sizeBytes } = parseDescriptor(input, 'config')
        assert.ok(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0)
      } catch (error) {
        assert.ok(isRegistryError(error, 'manifestInvalid'), String(error))
      }
    }),
  )
})
