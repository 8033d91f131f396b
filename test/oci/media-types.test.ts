/** Media types: what is accepted as a manifest, what is never pushed, what may stand in a header. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findManifestShape, isManifestType, isMediaType, isNonDistributable, isSchema1Type, mediaTypes } from '../../oci/media-types.ts'

const shapes: readonly (readonly [mediaType: string, shape: string | undefined])[] = [
  ['application/vnd.oci.image.manifest.v1+json', 'image'],
  ['application/vnd.oci.image.index.v1+json', 'index'],
  ['application/vnd.docker.distribution.manifest.v2+json', 'image'],
  ['application/vnd.docker.distribution.manifest.list.v2+json', 'index'],
  ['application/vnd.oci.artifact.manifest.v1+json', 'artifact'],
  ['application/vnd.docker.distribution.manifest.v1+json', undefined],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', undefined],
  ['application/vnd.oci.image.config.v1+json', undefined],
  ['application/json', undefined],
  ['toString', undefined],
  ['', undefined],
]

for (const [mediaType, shape] of shapes) {
  test(`${mediaType || '(empty)'} is ${shape === undefined ? 'no accepted manifest' : `built as ${shape}`}`, () => {
    assert.equal(findManifestShape(mediaType), shape)
    assert.equal(isManifestType(mediaType), shape !== undefined)
    assert.equal(isSchema1Type(mediaType), mediaType.includes('manifest.v1+') && mediaType.includes('docker'))
  })
}

for (const [mediaType, expected] of [
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', true],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', true],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', true],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar', true],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', true],
  ['application/vnd.oci.image.layer.v1.tar+gzip', false],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', false],
] as const) {
  test(`${mediaType} ${expected ? 'is never pushed' : 'is pushed like any blob'}`, () => {
    assert.equal(isNonDistributable(mediaType), expected)
  })
}

test('every well-known name may stand in a header', () => {
  for (const mediaType of Object.values(mediaTypes)) assert.equal(isMediaType(mediaType), true, mediaType)
})

test('what is no media type may not stand in a header', () => {
  const bad = ['', 'a', '/', 'a/', '/b', 'a/b/c', 'A/B', 'a/b; c=d', 'a/b\r\nX: y', 'a /b', 'a/b\n', 'é/b', `a/${'b'.repeat(128)}`, '*/*']
  for (const text of bad) assert.equal(isMediaType(text), false, JSON.stringify(text))
})
