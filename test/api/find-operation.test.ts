/** From paths to operations, and versions of what is edited. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { findPath, methodsOf, pathsOf } from '../../server/api/find-operation.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { requireVersion, versionOf } from '../../server/api/version.ts'
import { assertRefused } from '../oci/assert-refused.ts'

const paths = pathsOf(apiOperations)

/** A path below /api/v1, the template that it means, and its parameters; undefined: none. */
const found: readonly (readonly [string, string | undefined, Readonly<Record<string, string>>?])[] = [
  ['me', '/me', {}],
  ['me/', undefined],
  ['', undefined],
  ['Me', undefined],
  ['repositories', '/repositories', {}],
  ['repositories/', undefined],
  ['repositories//a', undefined],
  ['repositories/a', '/repositories/{name}', { name: 'a' }],
  ['repositories/a%2Fb', '/repositories/{name}', { name: 'a/b' }],
  ['repositories/a/b', '/repositories/{name}', { name: 'a/b' }],
  ['repositories/a/b%2Fc/d', '/repositories/{name}', { name: 'a/b/c/d' }],
  ['repositories/a/', '/repositories/{name}', { name: 'a/' }],
  ['repositories/a/tags', '/repositories/{name}/tags', { name: 'a' }],
  ['repositories/a%2Ftags', '/repositories/{name}', { name: 'a/tags' }],
  ['repositories/a%2Fb/tags', '/repositories/{name}/tags', { name: 'a/b' }],
  ['repositories/a/b/tags', '/repositories/{name}', { name: 'a/b/tags' }],
  ['repositories/a/tags/v1', '/repositories/{name}/tags/{tag}', { name: 'a', tag: 'v1' }],
  ['repositories/a/tags/', '/repositories/{name}', { name: 'a/tags/' }],
  ['repositories/a/tags/v1/history', '/repositories/{name}/tags/{tag}/history', { name: 'a', tag: 'v1' }],
  ['accounts/a%2Fb', '/accounts/{account}', { account: 'a/b' }],
  ['accounts/a/b', undefined],
]

test('a path means the operations that are longest and most literal; the rest of a path is a name only where nothing follows', () => {
  for (const [path, template, parameters] of found) {
    const result = findPath(paths, `/api/v1/${path}`)
    assert.deepEqual([result?.path.template, result?.parameters], [template, parameters], path)
  }
  for (const path of ['/api/v1', '/api/v2/me', '/api/v1me', '/API/v1/me', '//api/v1/me'])
    assert.equal(findPath(paths, path), undefined, path)
})

test('a percent sequence that is none is a fault of the request', () => {
  for (const path of ['%', '%zz', 'a%ff', 'a/b%']) assertRefused('requestInvalid', () => findPath(paths, `/api/v1/repositories/${path}`))
})

test('a repository whatever its name is reached with its slashes escaped', () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,4}(?:\/(?:tags|manifests|history|v1|[a-z]{1,3})){0,4}$/)
  fc.assert(
    fc.property(name, fc.constantFrom('', '/tags', '/tags/v1', '/tags/v1/history'), (name, rest) => {
      const result = findPath(paths, `/api/v1/repositories/${encodeURIComponent(name)}${rest}`)
      assert.equal(result?.path.template, `/repositories/{name}${rest.replace('v1', '{tag}')}`)
      assert.equal(result.parameters['name'], name)
    }),
  )
})

test('Allow names the methods of the path, HEAD with GET', () => {
  const allowOf = (path: string): string[] => methodsOf(findPath(paths, `/api/v1/${path}`)?.path ?? assert.fail(path))
  assert.deepEqual(allowOf('repositories/a'), ['GET', 'HEAD', 'PATCH', 'DELETE'])
  assert.deepEqual(allowOf('accounts'), ['GET', 'HEAD', 'POST'])
})

test('a version is demanded by the tags of If-Match, compared as they are; without the header nothing is demanded', () => {
  const isAdmitted: readonly (readonly [string | undefined, string | undefined, boolean])[] = [
    [undefined, 'a', true],
    [undefined, undefined, true],
    ['', 'a', true],
    ['"a"', 'a', true],
    ['"x", "a"', 'a', true],
    ['*', 'a', true],
    ['*', undefined, false],
    ['"a"', undefined, false],
    ['"a"', 'b', false],
    ['a', 'a', false],
    ['W/"a"', 'a', false],
    ['"A"', 'a', false],
  ]
  for (const [header, version, admitted] of isAdmitted) {
    if (admitted) requireVersion(header, version)
    else assertRefused('versionChanged', () => requireVersion(header, version))
  }
})

test('a version is the same for what looks the same, and another for anything else', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      assert.equal(versionOf(one) === versionOf(other), JSON.stringify(one) === JSON.stringify(other))
      assert.match(versionOf(one), /^[\w-]{22}$/)
    }),
  )
})
