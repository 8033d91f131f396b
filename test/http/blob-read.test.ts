/** GET and HEAD of a blob: the table of answers, conditions, and what a repository does not serve. Ranges have a file of their own. */
import assert from 'node:assert/strict'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { dataLayout, blobPath } from '../../storage/layout.ts'
import type { SupportedDigest } from '../../oci/digest.ts'
import { basic, Client, descriptorOf, emptyDigest, expectStatus, indexType, sha256, sha512 } from '../support/client.ts'
import { headerOf, rawRequest } from '../support/raw-request.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const content = 'the content of a blob, é included'
const digest = sha256(content)
const blob = `/v2/team/app/blobs/${digest}`
const absent = `sha256:${'0'.repeat(64)}`
const nowhere = `/v2/team/app/blobs/${absent}`

const promised = {
  'Docker-Content-Digest': digest,
  ETag: `"${digest}"`,
  'Accept-Ranges': 'bytes',
  'Cache-Control': 'private, max-age=31536000, immutable',
  'X-Content-Type-Options': 'nosniff',
}
const whole = { ...promised, 'Content-Type': 'application/octet-stream', 'Content-Length': String(Buffer.byteLength(content)) }

const get = (rule: string, rest: Omit<Row, 'rule' | 'path' | 'status'> & { path?: string; status?: number } = {}): Row => ({
  rule,
  path: blob,
  status: 200,
  ...rest,
})
const ifNoneMatch = (value: string) => ({ 'If-None-Match': value })

test('reading a blob', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushBlob('team/app', content)
  await client.pushBlob('team/app', content, sha512(content))
  await client.pushBlob('team/app', '')
  await client.pushBlob('team/other', 'only in the other repository')
  const elsewhere = `/v2/team/app/blobs/${sha256('only in the other repository')}`

  await runTable(t, registry, [
    get('GET gives the bytes and every header that clients read', { content, gives: whole }),
    get('HEAD gives the same headers, the length included', { method: 'HEAD', gives: whole }),
    get('a blob is served under the algorithm it was pushed with', {
      path: `/v2/team/app/blobs/${sha512(content)}`,
      content,
      gives: { 'Docker-Content-Digest': sha512(content), ETag: `"${sha512(content)}"` },
    }),
    get('Accept is of no interest to a blob', { headers: { Accept: 'application/json' }, content, gives: whole }),
    get('a blob of zero bytes is content like any other', {
      path: `/v2/team/app/blobs/${emptyDigest}`,
      content: '',
      gives: { 'Content-Length': '0', 'Content-Type': 'application/octet-stream', 'Docker-Content-Digest': emptyDigest },
    }),
    get('HEAD of a blob of zero bytes says 0', {
      method: 'HEAD',
      path: `/v2/team/app/blobs/${emptyDigest}`,
      gives: { 'Content-Length': '0', 'Content-Type': 'application/octet-stream' },
    }),
    get('If-None-Match with the digest is 304 without a body', {
      headers: ifNoneMatch(`"${digest}"`),
      status: 304,
      gives: { ...promised, 'Content-Type': null },
    }),
    get('HEAD with it too', { method: 'HEAD', headers: ifNoneMatch(`"${digest}"`), status: 304, gives: promised }),
    get('without quotes too', { headers: ifNoneMatch(digest), status: 304, gives: promised }),
    get('as a weak tag too', { headers: ifNoneMatch(`W/"${digest}"`), status: 304 }),
    get('in a list of tags too', { headers: ifNoneMatch(`"${absent}", "${digest}"`), status: 304 }),
    get('as a star too', { headers: ifNoneMatch('*'), status: 304 }),
    get('If-None-Match wins over a range', { headers: { ...ifNoneMatch(`"${digest}"`), Range: 'bytes=0-1' }, status: 304 }),
    get('If-None-Match with another digest gives the bytes', { headers: ifNoneMatch(`"${absent}"`), content }),
    get('If-None-Match with half the digest gives the bytes', { headers: ifNoneMatch(`"${digest.slice(0, 30)}"`), content }),
    get('If-Modified-Since is not looked at: content has no date', {
      headers: { 'If-Modified-Since': new Date(Date.now() + 60_000).toUTCString() },
      content,
    }),
    get('an absent blob is 404', {
      path: nowhere,
      status: 404,
      code: 'BLOB_UNKNOWN',
      gives: { ETag: null, 'Docker-Content-Digest': null },
    }),
    get('HEAD of an absent blob is 404', { method: 'HEAD', path: nowhere, status: 404 }),
    get('an absent blob is 404 under any condition', { path: nowhere, headers: ifNoneMatch('*'), status: 404, code: 'BLOB_UNKNOWN' }),
    get('in a repository that does not exist it is 404', {
      path: `/v2/team/none/blobs/${digest}`,
      status: 404,
      code: 'BLOB_UNKNOWN',
    }),
    get('a blob of another repository is 404 here', { path: elsewhere, status: 404, code: 'BLOB_UNKNOWN' }),
    get('HEAD of it too', { method: 'HEAD', path: elsewhere, status: 404 }),
    get('a range of it too', { path: elsewhere, headers: { Range: 'bytes=0-0' }, status: 404, code: 'BLOB_UNKNOWN' }),
    get('a condition on it too', { path: elsewhere, headers: ifNoneMatch('*'), status: 404, code: 'BLOB_UNKNOWN' }),
  ])

  await t.test('the answer about a blob of another repository is that about one that nobody has', async () => {
    const other = await client.call('GET', elsewhere)
    const nobodys = await client.call('GET', nowhere)
    const plain = (answer: { bytes: Buffer }, own: string): string => answer.bytes.toString().replace(own, '')
    assert.equal(plain(other, sha256('only in the other repository')), plain(nobodys, absent))
  })

  await t.test('HEAD sends no byte after its header block', async () => {
    for (const path of [blob, nowhere, `/v2/team/app/blobs/${emptyDigest}`]) {
      const answer = await rawRequest(registry.port, { method: 'HEAD', path, headers: [`Authorization: ${basic('admin')}`] })
      assert.equal(answer.body.length, 0)
      assert.ok(Number(headerOf(answer, 'Content-Length')) >= 0)
    }
  })
})

test('blobs and manifests are not each other', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  const [layer = ''] = image.layers
  await client.pushBlob('team/app', JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [] }))
  await runTable(t, registry, [
    get('a layer is not served as a manifest', { path: `/v2/team/app/manifests/${layer}`, status: 404, code: 'MANIFEST_UNKNOWN' }),
    get('nor is a blob that reads like one', {
      path: `/v2/team/app/manifests/${sha256(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [] }))}`,
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    }),
    get('a manifest is not served as a blob', { path: `/v2/team/app/blobs/${image.digest}`, status: 404, code: 'BLOB_UNKNOWN' }),
  ])

  await t.test('a manifest that was also pushed as a blob is a stranger’s bytes there', async () => {
    await client.pushBlob('team/app', image.text)
    const gives = { 'Content-Type': 'application/octet-stream', 'X-Content-Type-Options': 'nosniff' }
    await checkRow(registry, get('', { path: `/v2/team/app/blobs/${image.digest}`, content: image.text, gives }))
    await checkRow(
      registry,
      get('', { path: `/v2/team/app/manifests/${image.digest}`, content: image.text, gives: { 'Content-Type': image.manifest.mediaType } }),
    )
  })

  await t.test('an index entry of another type is found as a blob', async () => {
    const cache = descriptorOf('a cached layer', 'application/vnd.oci.image.layer.v1.tar')
    await client.pushBlob('team/cache', 'a cached layer')
    await expectStatus(await client.putManifest('team/cache', 'cache', { schemaVersion: 2, mediaType: indexType, manifests: [cache] }), 201)
    await checkRow(registry, get('', { path: `/v2/team/cache/blobs/${cache.digest}`, content: 'a cached layer' }))
  })
})

const pathOf = (registry: TestRegistry, of: string): string => blobPath(dataLayout(registry.data), of as SupportedDigest)

test('a file that is not what its row says is never served', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const ways: readonly (readonly [what: string, damage: (path: string) => Promise<void>])[] = [
    ['emptied', (path) => truncate(path, 0)],
    ['cut', (path) => truncate(path, 5)],
    ['removed', (path) => rm(path)],
    ['grown', (path) => writeFile(path, 'and more', { flag: 'a' })],
  ]
  for (const [what, damage] of ways) {
    await t.test(`a file that was ${what}`, async () => {
      const pushed = await client.pushBlob('team/app', `to be ${what}`)
      await damage(pathOf(registry, pushed))
      for (const headers of [{}, { Range: 'bytes=0-3' }, { Range: 'bytes=0-1,2-3' }]) {
        const gives = { ETag: null, 'Docker-Content-Digest': null, 'Content-Range': null, 'Cache-Control': null }
        await checkRow(registry, get('', { path: `/v2/team/app/blobs/${pushed}`, headers, status: 500, code: 'UNKNOWN', gives }))
      }
    })

    await t.test(`and pushing the blob again heals the file that was ${what}`, async () => {
      const pushed = await client.pushBlob('team/app', `to be ${what}`)
      await checkRow(registry, get('', { path: `/v2/team/app/blobs/${pushed}`, content: `to be ${what}` }))
    })
  }
})
