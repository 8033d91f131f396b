/** The endpoint table and the path parser: routed from the right, decoded once, never normalised. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseDigest } from '../../oci/digest.ts'
import { endpoints, parseTarget, type RequestTarget } from '../../oci/endpoints.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { blobLocation, manifestLocation, uploadLocation } from '../../oci/locations.ts'
import { isRepositoryName, parseRepositoryName } from '../../oci/repository-name.ts'
import { assertRefused } from './assert-refused.ts'

const hex64 = 'a'.repeat(64)
const digest = `sha256:${hex64}`
const named = (text: string) => parseRepositoryName(text)

const paths: readonly (readonly [path: string, target: RequestTarget | undefined])[] = [
  ['/v2', { endpoint: 'base' }],
  ['/v2/', { endpoint: 'base' }],
  ['/v2/_catalog', { endpoint: 'catalog' }],
  ['/v2/_oci/ext/discover', { endpoint: 'extensions' }],
  ['/v2/a/blobs/uploads', { endpoint: 'uploads', name: named('a') }],
  ['/v2/a/b/blobs/uploads/', { endpoint: 'uploads', name: named('a/b') }],
  ['/v2/a/blobs/uploads/0190-x', { endpoint: 'upload', name: named('a'), session: '0190-x' }],
  [`/v2/a/b/c/blobs/${digest}`, { endpoint: 'blob', name: named('a/b/c'), digest }],
  [`/v2/a/blobs/sha256%3A${hex64}`, { endpoint: 'blob', name: named('a'), digest }],
  ['/v2/a/blobs/not-a-digest', { endpoint: 'blob', name: named('a'), digest: 'not-a-digest' }],
  ['/v2/a/manifests/latest', { endpoint: 'manifest', name: named('a'), reference: 'latest' }],
  [`/v2/a/manifests/${digest}`, { endpoint: 'manifest', name: named('a'), reference: digest }],
  ['/v2/a/tags/list', { endpoint: 'tags', name: named('a') }],
  [`/v2/a/referrers/${digest}`, { endpoint: 'referrers', name: named('a'), digest }],
  // names that hold the keywords
  ['/v2/blobs/blobs/uploads', { endpoint: 'uploads', name: named('blobs') }],
  ['/v2/blobs/uploads/blobs/uploads/', { endpoint: 'uploads', name: named('blobs/uploads') }],
  ['/v2/uploads/blobs/uploads/id', { endpoint: 'upload', name: named('uploads'), session: 'id' }],
  ['/v2/a/blobs/uploads/list', { endpoint: 'upload', name: named('a'), session: 'list' }],
  [`/v2/a/blobs/uploads/blobs/${digest}`, { endpoint: 'blob', name: named('a/blobs/uploads'), digest }],
  ['/v2/x/manifests/y/manifests/z', { endpoint: 'manifest', name: named('x/manifests/y'), reference: 'z' }],
  ['/v2/manifests/manifests/manifests', { endpoint: 'manifest', name: named('manifests'), reference: 'manifests' }],
  ['/v2/x/manifests/list', { endpoint: 'manifest', name: named('x'), reference: 'list' }],
  ['/v2/foo/tags/list/tags/list', { endpoint: 'tags', name: named('foo/tags/list') }],
  ['/v2/tags/list/tags/list', { endpoint: 'tags', name: named('tags/list') }],
  ['/v2/x/blobs/tags/list', { endpoint: 'tags', name: named('x/blobs') }],
  [`/v2/foo/tags/list/referrers/${digest}`, { endpoint: 'referrers', name: named('foo/tags/list'), digest }],
  [`/v2/referrers/referrers/${digest}`, { endpoint: 'referrers', name: named('referrers'), digest }],
  // not endpoints
  ['', undefined],
  ['/', undefined],
  ['/v1/_ping', undefined],
  ['/v2x', undefined],
  ['/V2/', undefined],
  ['//v2/', undefined],
  ['/v2//', undefined],
  ['/./v2/', undefined],
  ['/%76%32/', undefined],
  ['/v2/_catalog/', undefined],
  ['/v2/_oci/ext', undefined],
  ['/v2/_oci/ext/other', undefined],
  ['/v2/a', undefined],
  ['/v2/a/', undefined],
  ['/v2/a/manifests', undefined],
  ['/v2/a/manifests/', undefined],
  ['/v2/a/blobs/', undefined],
  ['/v2/a/tags', undefined],
  ['/v2/a/tags/', undefined],
  ['/v2/a/tags/list/', undefined],
  ['/v2/a/tags/other', undefined],
  ['/v2/a/referrers/', undefined],
  ['/v2/a/_oci/x', undefined],
  ['/v2/manifests/latest', undefined],
  ['/v2/blobs/uploads', undefined],
  ['/v2/blobs/uploads/', undefined],
  ['/v2/blobs/uploads/id', undefined],
  ['/v2/tags/list', undefined],
  ['/v2/a/blobs/uploads/id/', undefined],
  ['/v2/a/blobs/uploads//', undefined],
  ['/v2/a/manifests/x/y', undefined],
]

for (const [path, target] of paths) {
  test(`${path.slice(0, 60) || '(empty path)'} is ${target?.endpoint ?? 'no endpoint'}`, () => {
    assert.deepEqual(parseTarget(path), target)
  })
}

const badNames = [
  '/v2/../../etc/passwd/manifests/x',
  '/v2/%2e%2e/%2e%2e/etc/passwd/manifests/x',
  '/v2/..%2f..%2fetc/manifests/x',
  '/v2/a%2fb/manifests/x',
  '/v2/a%2Fb/tags/list',
  '/v2/..%5c..%5cetc/manifests/x',
  '/v2/a%5Cb/manifests/x',
  '/v2/a\\b/manifests/x',
  '/v2/a%00b/manifests/x',
  '/v2/a\0b/manifests/x',
  '/v2/a//b/manifests/x',
  '/v2//manifests/x',
  '/v2//a/manifests/x',
  '/v2/a//blobs/uploads/',
  '/v2/a/./b/manifests/x',
  '/v2/a/../b/manifests/x',
  '/v2/./a/tags/list',
  '/v2/A/manifests/x',
  '/v2/a/_uploads/manifests/x',
  '/v2/_catalog/tags/list',
  '/v2/a%252fb/manifests/x',
  '/v2/a%0d%0aX:y/manifests/x',
  '/v2/%c3%a9/manifests/x',
  '/v2/a%20b/blobs/uploads/id',
  `/v2/${'x'.repeat(256)}/manifests/x`,
  `/v2/${'a/'.repeat(200)}tags/list`,
]

for (const path of badNames) {
  test(`${JSON.stringify(path).slice(0, 60)} has no valid name`, () => {
    assertRefused('nameInvalid', () => parseTarget(path))
  })
}

for (const path of [
  '/v2/%/manifests/x',
  '/v2/a/manifests/%zz',
  '/v2/%c0%ae%c0%ae/manifests/x',
  '/v2/a%ff/tags/list',
  '/v2/a/blobs/%e2%82',
]) {
  test(`${path} is refused for its percent sequence`, () => {
    assertRefused('requestInvalid', () => parseTarget(path))
  })
}

test('a session, reference or digest is handed on as sent, with an encoded slash as one segment', () => {
  assert.deepEqual(parseTarget('/v2/a/blobs/uploads/..%2f..%2fetc'), { endpoint: 'upload', name: 'a', session: '../../etc' })
  assert.deepEqual(parseTarget('/v2/a/manifests/..%2fx'), { endpoint: 'manifest', name: 'a', reference: '../x' })
  assert.deepEqual(parseTarget('/v2/a/blobs/..'), { endpoint: 'blob', name: 'a', digest: '..' })
})

test('a name of a hundred segments is routed', () => {
  const name = `${'a/'.repeat(99)}a`
  assert.deepEqual(parseTarget(`/v2/${name}/tags/list`), { endpoint: 'tags', name })
})

test('a path of 64 KiB of slashes or percent signs is refused quickly', () => {
  const started = performance.now()
  assertRefused('nameInvalid', () => parseTarget(`/v2/${'/'.repeat(65_000)}manifests/x`))
  assertRefused('nameInvalid', () => parseTarget(`/v2/${'a-'.repeat(32_000)}/manifests/x`))
  assertRefused('requestInvalid', () => parseTarget(`/v2/${'%'.repeat(65_000)}/manifests/x`))
  assert.ok(performance.now() - started < 1000)
})

// Every pair of keywords as a name, and deeper mixtures.
const keyword = fc.constantFrom('blobs', 'uploads', 'manifests', 'tags', 'list', 'referrers', 'a', 'x-1', 'v2')
const anyName = fc.array(keyword, { minLength: 1, maxLength: 6 }).map((components) => parseRepositoryName(components.join('/')))

test('whatever keywords a name holds, the paths that the registry writes lead back to it', () => {
  const content = parseDigest(digest)
  fc.assert(
    fc.property(anyName, keyword, (name, session) => {
      assert.deepEqual(parseTarget(blobLocation(name, content)), { endpoint: 'blob', name, digest })
      assert.deepEqual(parseTarget(manifestLocation(name, content)), { endpoint: 'manifest', name, reference: digest })
      assert.deepEqual(parseTarget(uploadLocation(name, session)), { endpoint: 'upload', name, session })
      assert.deepEqual(parseTarget(`/v2/${name}/blobs/uploads/`), { endpoint: 'uploads', name })
      assert.deepEqual(parseTarget(`/v2/${name}/blobs/uploads`), { endpoint: 'uploads', name })
      assert.deepEqual(parseTarget(`/v2/${name}/tags/list`), { endpoint: 'tags', name })
      assert.deepEqual(parseTarget(`/v2/${name}/referrers/${digest}`), { endpoint: 'referrers', name, digest })
      assert.deepEqual(parseTarget(`/v2/${name}/manifests/${session}`), { endpoint: 'manifest', name, reference: session })
    }),
  )
})

test('escaping a path changes nothing about where it leads', () => {
  const escapeAll = (segment: string) => Array.from(Buffer.from(segment), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  fc.assert(
    fc.property(fc.array(keyword, { maxLength: 8 }), (segments) => {
      const escaped = segments.map(escapeAll)
      assert.deepEqual(parseTarget(`/v2/${escaped.join('/')}`), parseTarget(`/v2/${segments.join('/')}`))
    }),
  )
})

test('any path gives an endpoint with a valid name, none, or one of two refusals', () => {
  const piece = fc.oneof(
    keyword,
    fc.constantFrom('..', '.', '', '%2e', '%2f', '%5c', '%00', '%', '%c0%af', '_catalog', '\\', '\0', 'A'),
    fc.string({ unit: 'binary', maxLength: 5 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      try {
        const target = parseTarget(`/v2/${pieces.join('/')}`)
        assert.ok(target === undefined || !('name' in target) || isRepositoryName(target.name))
      } catch (error) {
        assert.ok(isRegistryError(error, 'nameInvalid') || isRegistryError(error, 'requestInvalid'), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

const actions: Readonly<Record<string, string>> = {
  base: 'GET none, HEAD none',
  catalog: 'GET catalog, HEAD catalog',
  extensions: 'GET none, HEAD none',
  uploads: 'POST push',
  upload: 'GET push, HEAD push, PATCH push, PUT push, DELETE push',
  blob: 'GET pull, HEAD pull, DELETE delete',
  manifest: 'GET pull, HEAD pull, PUT push, DELETE delete',
  tags: 'GET pull, HEAD pull',
  referrers: 'GET pull, HEAD pull',
}

for (const [endpoint, row] of Object.entries(endpoints)) {
  test(`${endpoint} needs the rights of the specification's table for every method`, () => {
    const listed = Object.entries(row.methods).map(([method, { action }]) => `${method} ${action}`)
    assert.equal(listed.join(', '), actions[endpoint])
  })

  test(`the documented path of ${endpoint} leads to it`, () => {
    const path = row.path.replace('<name>', 'a/b').replace('<digest>', digest).replace('<reference>', 'latest').replace('<session>', 'id')
    assert.equal(parseTarget(path)?.endpoint, endpoint)
  })
}

test('every endpoint of the specification is in the table once', () => {
  const ids = Object.values(endpoints).flatMap((row) => row.specIds)
  const expected = ['1', '2', '3', '4a', '4b', '4c', '5', '6', '7a', '7b', '8a', '8b', '9', '10', '11', '12a', '12b', '13', '14']
  assert.deepEqual(ids.toSorted(), expected.map((id) => `end-${id}`).toSorted())
})
