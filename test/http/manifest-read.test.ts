/** GET and HEAD of a manifest: the table of answers, conditions, and that Accept changes nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes } from '../../oci/media-types.ts'
import { Client, expectStatus, sha256, sha512 } from '../support/client.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const { ociImage, ociIndex, dockerList } = mediaTypes
const absent = `sha256:${'0'.repeat(64)}`
const index = '{"schemaVersion":2,"manifests":[]}'
const list = `{"schemaVersion":2,"mediaType":"${dockerList}","manifests":[]}`
const digest = sha256(index)
const byTag = '/v2/team/app/manifests/v1'
const byDigest = `/v2/team/app/manifests/${digest}`

const promised = {
  'Docker-Content-Digest': digest,
  ETag: `"${digest}"`,
  'X-Content-Type-Options': 'nosniff',
}
const immutable = 'private, max-age=31536000, immutable'

const get = (rule: string, rest: Omit<Row, 'rule' | 'path' | 'status'> & { path?: string; status?: number } = {}): Row => ({
  rule,
  path: byTag,
  status: 200,
  ...rest,
})

test('reading a manifest', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  for (const reference of ['v1', 'V1']) await expectStatus(await client.putManifest('team/app', reference, index), 201)
  await expectStatus(await client.call('PUT', '/v2/team/app/manifests/list', { body: list, headers: { 'Content-Type': dockerList } }), 201)
  await expectStatus(await client.putManifest('team/other', 'only-there', `${index} `), 201)

  const whole = { ...promised, 'Content-Type': ociIndex, 'Content-Length': String(index.length) }
  const etag = (value: string) => ({ 'If-None-Match': value })
  await runTable(t, registry, [
    get('by tag: the bytes, their exact type, and a copy that must be asked for again', {
      content: index,
      gives: { ...whole, 'Cache-Control': 'no-cache' },
    }),
    get('by digest: the same, to be kept for ever', { path: byDigest, content: index, gives: { ...whole, 'Cache-Control': immutable } }),
    get('HEAD by tag: the same headers', { method: 'HEAD', gives: { ...whole, 'Cache-Control': 'no-cache' } }),
    get('HEAD by digest: the same headers', { method: 'HEAD', path: byDigest, gives: { ...whole, 'Cache-Control': immutable } }),
    get('a type of Docker’s is served as one', {
      path: '/v2/team/app/manifests/list',
      content: list,
      gives: { 'Content-Type': dockerList },
    }),
    get('If-None-Match with the digest is 304', {
      headers: etag(`"${digest}"`),
      status: 304,
      gives: { ...promised, 'Cache-Control': 'no-cache', 'Content-Type': null },
    }),
    get('without quotes too', { headers: etag(digest), status: 304, gives: promised }),
    get('as a weak tag too', { headers: etag(`W/"${digest}"`), status: 304 }),
    get('in a list too', { headers: etag(`"${absent}",  "${digest}"`), status: 304 }),
    get('on HEAD too', { method: 'HEAD', headers: etag(`"${digest}"`), status: 304, gives: promised }),
    get('by digest too', { path: byDigest, headers: etag(`"${digest}"`), status: 304, gives: { ...promised, 'Cache-Control': immutable } }),
    get('If-None-Match with another digest gives the bytes', { headers: etag(`"${absent}"`), content: index }),
    get('a range is passed over', {
      headers: { Range: 'bytes=0-3' },
      content: index,
      gives: { 'Content-Range': null, 'Accept-Ranges': null },
    }),
    get('an absent tag is MANIFEST_UNKNOWN', {
      path: '/v2/team/app/manifests/none',
      status: 404,
      code: 'MANIFEST_UNKNOWN',
      gives: { ETag: null },
    }),
    get('an absent digest is MANIFEST_UNKNOWN', { path: `/v2/team/app/manifests/${absent}`, status: 404, code: 'MANIFEST_UNKNOWN' }),
    get('an absent tag is 404 under any condition', {
      path: '/v2/team/app/manifests/none',
      headers: etag('*'),
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    }),
    get('HEAD of an absent tag is 404', { method: 'HEAD', path: '/v2/team/app/manifests/none', status: 404 }),
    get('an absent repository is NAME_UNKNOWN', { path: '/v2/team/none/manifests/v1', status: 404, code: 'NAME_UNKNOWN' }),
    get('a tag of another case is another tag', { path: '/v2/team/app/manifests/LIST', status: 404, code: 'MANIFEST_UNKNOWN' }),
    get('a manifest of another repository is not here', {
      path: `/v2/team/app/manifests/${sha256(`${index} `)}`,
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    }),
    get('nor is its tag', { path: '/v2/team/app/manifests/only-there', status: 404, code: 'MANIFEST_UNKNOWN' }),
    get('nor is it under another algorithm', { path: `/v2/team/app/manifests/${sha512(index)}`, status: 404, code: 'MANIFEST_UNKNOWN' }),
  ])

  const accepts: readonly (readonly [who: string, accept: string | undefined])[] = [
    ['nobody in particular', undefined],
    ['a client that wants an image', ociImage],
    ['a client that wants Docker’s types only', `application/vnd.docker.distribution.manifest.v2+json, ${dockerList}`],
    ['a client that wants schema 1', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['a browser', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['a client that refuses what is here', `${ociIndex};q=0`],
    ['a client that wants nothing', ''],
    ['a client that cannot write the header', ';;,q=x, /'],
  ]
  await runTable(
    t,
    registry,
    accepts.map(([who, accept]) =>
      get(`what is stored is what ${who} gets`, {
        headers: accept === undefined ? {} : { Accept: accept },
        content: index,
        gives: { 'Content-Type': ociIndex },
      }),
    ),
  )

  await t.test('an index is never taken apart: no platform is picked from it', async () => {
    const image = await client.pushImage('team/multi', 'v1')
    const entry = { mediaType: ociImage, digest: image.digest, size: image.text.length, platform: { os: 'linux', architecture: 'amd64' } }
    const multi = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [entry] })
    await expectStatus(await client.putManifest('team/multi', 'all', multi), 201)
    await checkRow(
      registry,
      get('', { path: '/v2/team/multi/manifests/all', headers: { Accept: ociImage }, content: multi, gives: { 'Content-Type': ociIndex } }),
    )
  })

  await t.test('the copy that a client keeps of a tag is out of date when the tag moves', async () => {
    const keep = etag(`"${digest}"`)
    const path = '/v2/team/app/manifests/moving'
    await expectStatus(await client.putManifest('team/app', 'moving', index), 201)
    await checkRow(registry, get('', { path, headers: keep, status: 304 }))
    await expectStatus(await client.putManifest('team/app', 'moving', `${index}\n`), 201)
    await checkRow(registry, get('', { path, headers: keep, content: `${index}\n`, gives: { ETag: `"${sha256(`${index}\n`)}"` } }))
    await expectStatus(await client.putManifest('team/app', 'moving', index), 201)
    await checkRow(registry, get('', { path, headers: keep, status: 304 }))
  })

  await t.test('while a tag moves back and forth, a reader sees the one or the other, whole', async () => {
    const [first, second] = [index, `${index}\n\n`]
    await expectStatus(await client.putManifest('team/app', 'busy', first), 201)
    const move = async (): Promise<void> => {
      for (let time = 0; time < 20; time++) {
        await expectStatus(await client.putManifest('team/app', 'busy', time % 2 === 0 ? second : first), 201)
      }
    }
    const read = async (): Promise<void> => {
      for (let time = 0; time < 40; time++) {
        const answer = await expectStatus(await client.call('GET', '/v2/team/app/manifests/busy'), 200)
        assert.equal(sha256(answer.bytes), answer.headers.get('Docker-Content-Digest'))
        assert.ok([first, second].includes(answer.bytes.toString()))
      }
    }
    await Promise.all([move(), read(), read()])
  })

  await t.test('what one worker pushed, deleted or moved is so for the other at once', async () => {
    const other = new Client(await registry.startWorker())
    const path = '/v2/team/app/manifests/shared'
    for (const text of [index, `${index}\t`]) {
      await expectStatus(await client.putManifest('team/app', 'shared', text), 201)
      assert.equal((await other.call('GET', path)).bytes.toString(), text)
    }
    await expectStatus(await other.call('DELETE', path), 202)
    assert.equal((await client.call('GET', path)).status, 404)
  })
})
