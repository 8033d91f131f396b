/** Properties of the whole read side: whatever the query, the headers or the manifest, no fault of the server and no broken answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { mediaTypes } from '../../oci/media-types.ts'
import { basic, Client, descriptorOf, sha256 } from '../support/client.ts'
import { codeOf, headerOf, rawRequest, type RawAnswer } from '../support/raw-request.ts'
import { startRegistry } from '../support/start-registry.ts'

const authorization = `Authorization: ${basic('admin')}`
const runs = { numRuns: 200 }

/** Whatever an answer says, it must say it whole. */
function assertWhole(answer: RawAnswer, method: string): void {
  assert.ok(answer.status < 500, `${answer.status} ${answer.body.toString().slice(0, 300)}`)
  assert.equal(headerOf(answer, 'Docker-Distribution-Api-Version'), 'registry/2.0')
  assert.equal(answer.headers.has('transfer-encoding'), false)
  if (answer.status === 304 || answer.status === 204) return assert.equal(answer.body.length, 0)
  const length = Number(headerOf(answer, 'Content-Length'))
  assert.equal(answer.body.length, method === 'HEAD' ? 0 : length)
  if (answer.status >= 400 && method !== 'HEAD') assert.notEqual(codeOf(answer), undefined)
}

/** What may stand in a header line: no line break, no NUL. Latin-1, as it goes over the wire. */
const headerText = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,40}$/)

test('whatever is asked, the answer is whole', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  const paths = [
    '/v2/',
    '/v2/_catalog',
    '/v2/_oci/ext/discover',
    '/v2/team/app/tags/list',
    '/v2/team/app/manifests/v1',
    `/v2/team/app/manifests/${image.digest}`,
    `/v2/team/app/blobs/${image.config}`,
    `/v2/team/app/referrers/${image.digest}`,
    '/v2/team/none/tags/list',
  ]
  const path = fc.constantFrom(...paths)
  const method = fc.constantFrom('GET', 'HEAD')

  await t.test('with any query', async () => {
    const name = fc.constantFrom('n', 'last', 'artifactType', 'digest', 'ns', 'tag', 'mount', '', 'N', '__proto__')
    const value = fc.oneof(
      fc.constantFrom('0', '1', '-1', '1e9', 'NaN', '9'.repeat(40), '%00', '%ff', '%', '+', 'a/b+c', '1.sha256:x', "' or 1=1"),
      fc.stringMatching(/^[!-~]{0,20}$/).map((text) => text.replaceAll('#', '')),
    )
    const query = fc.array(fc.tuple(name, value), { maxLength: 4 }).map((pairs) => pairs.map((pair) => pair.join('=')).join('&'))
    await fc.assert(
      fc.asyncProperty(method, path, query, async (method, path, query) => {
        const answer = await rawRequest(registry.port, {
          method,
          path: `${path}?${query.replaceAll(' ', '%20')}`,
          headers: [authorization],
        })
        assertWhole(answer, method)
        assert.ok([200, 400, 404].includes(answer.status), `${answer.status} for ${query}`)
      }),
      runs,
    )
  })

  await t.test('with any headers', async () => {
    const name = fc.constantFrom(
      'Accept',
      'Accept-Encoding',
      'If-None-Match',
      'If-Range',
      'If-Match',
      'If-Modified-Since',
      'Cookie',
      'Content-Type',
    )
    const value = fc.oneof(
      headerText,
      fc.constantFrom('*', '""', `"${image.digest}"`, 'gzip;q=1', ',,,', 'W/', 'multipart/mixed; boundary='),
    )
    const headers = fc.array(fc.tuple(name, value), { maxLength: 6 }).map((pairs) => pairs.map((pair) => pair.join(': ')))
    await fc.assert(
      fc.asyncProperty(method, path, headers, async (method, path, headers) => {
        const answer = await rawRequest(registry.port, { method, path, headers: [authorization, ...headers] })
        assertWhole(answer, method)
        assert.ok([200, 304, 404].includes(answer.status), `${answer.status} for ${headers.join()}`)
      }),
      runs,
    )
  })

  await t.test('with any credentials, and none of them opens anything', async () => {
    const base64 = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64'))
    const scheme = fc.constantFrom('Basic ', 'basic ', 'Bearer ', 'BEARER  ', 'Digest ', '', 'Basic', 'Negotiate ')
    const credentials = fc.tuple(scheme, fc.oneof(base64, headerText)).map((pieces) => pieces.join(''))
    await fc.assert(
      fc.asyncProperty(method, path, credentials, async (method, path, credentials) => {
        const answer = await rawRequest(registry.port, { method, path, headers: [`Authorization: ${credentials}`] })
        assertWhole(answer, method)
        assert.equal(answer.status, 401)
        assert.match(
          headerOf(answer, 'WWW-Authenticate'),
          /^Bearer realm="[^"]+",service="[^"]+"(?:,scope="[^"]+")?(?:,error="[a-z_]+",error_description="[^"]+")?$/,
        )
      }),
      runs,
    )
  })
})

test('whatever is pushed as a manifest is refused as a fault of the client, or comes back unchanged', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushBlob('team/app', '{}')
  const content = descriptorOf('{}', 'application/vnd.oci.empty.v1+json')

  const field = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'blobs',
    'subject',
    'artifactType',
    'annotations',
    '__proto__',
  )
  const value = fc.oneof(
    {
      arbitrary: fc.constantFrom<unknown>(2, content, [content], [], {}, null, 'a/b', { a: 'b' }, ...Object.values(mediaTypes)),
      weight: 4,
    },
    fc.jsonValue({ maxDepth: 3 }),
  )
  const image = { schemaVersion: 2, mediaType: mediaTypes.ociImage, config: content, layers: [content] }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [content] }
  const changed = fc
    .tuple(fc.constantFrom<object>(image, index, {}), fc.dictionary(field, value, { maxKeys: 3 }))
    .map(([base, changes]) => JSON.stringify({ ...base, ...changes }))
  const damaged = fc.tuple(changed, fc.nat(), fc.string({ maxLength: 3 })).map(([text, at, piece]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + piece.toWellFormed() + text.slice(place + piece.length)
  })
  const type = fc.constantFrom(undefined, 'application/json', 'text/plain', ...Object.values(mediaTypes))

  let accepted = 0
  await fc.assert(
    fc.asyncProperty(fc.oneof(changed, changed, damaged), type, async (text, type) => {
      const path = `/v2/team/app/manifests/${sha256(text)}`
      const length = `Content-Length: ${Buffer.byteLength(text)}`
      const headers = [authorization, length, ...(type === undefined ? [] : [`Content-Type: ${type}`])]
      const answer = await rawRequest(registry.port, { method: 'PUT', path, headers, body: text })
      assertWhole(answer, 'PUT')
      const stored = await client.call('GET', path)
      if (answer.status !== 201) {
        assert.match(`${answer.status} ${codeOf(answer)}`, /^400 MANIFEST_(?:INVALID|BLOB_UNKNOWN)$/)
        return
      }
      accepted++
      assert.equal(stored.bytes.toString(), text)
      assert.ok((Object.values(mediaTypes) as string[]).includes(stored.headers.get('Content-Type') ?? ''))
    }),
    { numRuns: 400 },
  )
  assert.ok(accepted > 0, 'nothing was accepted: the property says nothing about what is')
})
