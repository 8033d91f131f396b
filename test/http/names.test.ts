/** Repository names, tags and digests as they stand in paths: what is routed where, and what is refused before it reaches anything. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { basic, Client, expectStatus, sha256, sha512 } from '../support/client.ts'
import { codeOf, rawRequest, type RawAnswer } from '../support/raw-request.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const authorization = `Authorization: ${basic('admin')}`
const hex = 'ab'.repeat(32)

test('repository names may hold the words of the protocol', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const names = `
    blobs uploads manifests tags list referrers v2 token catalog
    a/blobs a/uploads a/manifests a/tags a/list a/referrers a/v2 a/token
    a/blobs/uploads blobs/uploads x/manifests/y foo/tags/list tags/list a/referrers/b manifests/blobs/uploads/tags
    a/blobs/uploads/blobs/uploads a/tags/list/tags/list v2/v2 healthz api/v1/repositories`
    .trim()
    .split(/\s+/)
  for (const name of names) {
    await t.test(`${name} is pushed, read, listed and deleted like any other`, async () => {
      const image = await client.pushImage(name, 'latest', [`the layer of ${name}`])
      const at = `/v2/${name}`
      const [layer = ''] = image.layers
      await checkRow(registry, { rule: '', path: `${at}/blobs/${layer}`, status: 200, content: `the layer of ${name}` })
      await checkRow(registry, { rule: '', path: `${at}/manifests/latest`, status: 200, content: image.text })
      await checkRow(registry, { rule: '', path: `${at}/manifests/${image.digest}`, status: 200, content: image.text })
      await checkRow(registry, { rule: '', path: `${at}/tags/list`, status: 200, json: { name, tags: ['latest'] } })
      await checkRow(registry, { rule: '', path: `${at}/referrers/${image.digest}`, status: 200 })
      await checkRow(registry, { rule: '', method: 'DELETE', path: `${at}/manifests/${image.digest}`, status: 202 })
      await checkRow(registry, { rule: '', path: `${at}/manifests/latest`, status: 404, code: 'MANIFEST_UNKNOWN' })
    })
  }

  await t.test('tags may be the words of the protocol too', async () => {
    const { text } = await client.pushImage('team/words', 'latest')
    const tags = ['blobs', 'list', 'manifests', 'referrers', 'tags', 'uploads', '_catalog', `sha256-${hex}`, 'v1_build.5-rc']
    for (const tag of tags) await expectStatus(await client.putManifest('team/words', tag, text), 201)
    for (const tag of tags) await checkRow(registry, { rule: '', path: `/v2/team/words/manifests/${tag}`, status: 200, content: text })
    const json = { name: 'team/words', tags: [...tags, 'latest'].toSorted() }
    await checkRow(registry, { rule: '', path: '/v2/team/words/tags/list', status: 200, json })
  })

  const longNames: readonly (readonly [what: string, name: string])[] = [
    ['of 255 characters', 'a'.repeat(255)],
    ['of 100 components', Array.from({ length: 100 }, () => 'a').join('/')],
    ['of one long run of dashes', `a${'-'.repeat(253)}a`],
    ['of every separator', 'a.b_c__d---e/f'],
  ]
  for (const [what, name] of longNames) {
    await t.test(`a name ${what} is good`, async () => {
      const image = await client.pushImage(name, 'v1')
      await checkRow(registry, { rule: '', path: `/v2/${name}/manifests/v1`, status: 200, content: image.text })
    })
  }
})

/** Every read that a name stands in. */
const readsOf = (name: string): string[] => [
  `/v2/${name}/manifests/v1`,
  `/v2/${name}/blobs/sha256:${hex}`,
  `/v2/${name}/tags/list`,
  `/v2/${name}/referrers/sha256:${hex}`,
]

test('what is no repository name is refused', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushImage('team/app', 'v1')
  const get = (path: string): Promise<RawAnswer> => rawRequest(registry.port, { path, headers: [authorization] })

  const names: readonly (readonly [what: string, name: string])[] = [
    ['an upper-case letter', 'Team/app'],
    ['a parent folder', '../../etc/passwd'],
    ['a parent folder in the middle', 'team/../team/app'],
    ['an encoded parent folder', '%2e%2e/%2e%2e/etc/passwd'],
    ['half an encoded parent folder', '.%2e/team'],
    ['a parent folder with a backslash', 'team/..%5capp'],
    ['a backslash', 'team\\app'],
    ['this folder', 'team/./app'],
    ['an encoded slash', 'team%2fapp'],
    ['an encoded slash in upper case', 'team%2Fapp'],
    ['an encoded parent folder with an encoded slash', '..%2f..%2fteam%2fapp'],
    ['an empty component', 'team//app'],
    ['a slash in front', '/team/app'],
    ['a slash at the end', 'team/app/'],
    ['an encoded NUL', 'team/app%00'],
    ['a line break', 'team/app%0d%0aX-Evil:%201'],
    ['a space', 'team/my%20app'],
    ['a plus', 'team/a+b'],
    ['a colon', 'team/app:v1'],
    ['an at sign', 'team/app@sha256'],
    ['a letter beyond ASCII', 'team/caf%C3%A9'],
    ['a letter that looks like another', 'te%D0%B0m/app'],
    ['a double-encoded dot', '%252e%252e/app'],
    ['a component that starts with an underscore', '_uploads'],
    ['such a component further on', 'team/_uploads'],
    ['a dot in front', 'team/.app'],
    ['two dots between letters', 'team/a..b'],
    ['three underscores', 'team/a___b'],
    ['a dash at the end', 'team/app-'],
    ['256 characters', 'a'.repeat(256)],
    ['60,000 characters', 'a'.repeat(60_000)],
    ['60,000 dashes', `a${'-'.repeat(60_000)}`],
    ['20,000 components', 'a/'.repeat(20_000).slice(0, -1)],
  ]
  for (const [what, name] of names) {
    await t.test(`a name with ${what} is NAME_INVALID`, async () => {
      for (const path of readsOf(name)) {
        const answer = await get(path)
        assert.equal(answer.status, 400, path.slice(0, 80))
        assert.equal(codeOf(answer), 'NAME_INVALID')
        assert.equal(answer.headers.has('x-evil'), false)
        assert.ok(answer.body.length < 2000, 'the name is repeated only in part')
      }
    })
  }

  const malformed: readonly (readonly [what: string, name: string])[] = [
    ['an overlong dot', 'team/%c0%ae%c0%ae/app'],
    ['an overlong slash', 'team%c0%afapp'],
    ['half a character', 'team/%c3'],
    ['a byte that UTF-8 never has', 'team/%ff'],
    ['a surrogate', 'team/%ed%a0%80'],
    ['a percent sign alone', 'team/%'],
    ['a percent sign before no hex', 'team/%zz'],
    ['a Unicode escape of old', 'team/%u002e'],
  ]
  for (const [what, name] of malformed) {
    await t.test(`a name with ${what} is a bad request`, async () => {
      for (const path of readsOf(name)) {
        const answer = await get(path)
        assert.equal(answer.status, 400)
        assert.equal(codeOf(answer), 'UNSUPPORTED')
      }
    })
  }

  await t.test('a name is refused before anybody is asked who they are', async () => {
    const answer = await rawRequest(registry.port, { path: '/v2/Team/app/manifests/v1' })
    assert.equal(answer.status, 400)
  })

  const elsewhere: readonly (readonly [what: string, path: string])[] = [
    ['a second slash in front', '//v2/team/app/manifests/v1'],
    ['V2 in upper case', '/V2/team/app/manifests/v1'],
    ['a folder up in front', '/../v2/team/app/manifests/v1'],
    ['v2 encoded', '/%76%32/team/app/manifests/v1'],
    ['an encoded slash after v2', '/v2%2fteam/app/manifests/v1'],
    ['a backslash after v2', '/v2\\team/app/manifests/v1'],
    ['no name', '/v2/manifests/v1'],
    ['an empty name', '/v2//manifests/v1'],
    ['an empty reference', '/v2/team/app/manifests/'],
    ['a slash after the reference', '/v2/team/app/manifests/v1/'],
    ['a slash after the list', '/v2/team/app/tags/list/'],
    ['a keyword in upper case', '/v2/team/app/Manifests/v1'],
    ['a way out behind the digest', '/v2/team/app/blobs/sha256:../../x'],
    ['an unknown word', '/v2/team/app/layers/v1'],
    ['an unknown extension', '/v2/_oci/ext/other'],
    ['a longer catalog', '/v2/_catalog/x'],
    ['the address of another server', 'http://evil.example/v2/team/app/manifests/v1'],
    ['no path', '*'],
  ]
  for (const [what, path] of elsewhere) {
    await t.test(`a path with ${what} is no way to a repository`, async () => {
      const answer = await get(path)
      assert.ok(answer.status === 404 || codeOf(answer) === 'NAME_INVALID', `${answer.status} ${answer.body.toString()}`)
      assert.match(codeOf(answer) ?? '', /^(UNSUPPORTED|NAME_INVALID)$/)
    })
  }

  await t.test('whatever the path, the answer is no fault of the server and no content but what the path names', async () => {
    const piece = fc.oneof(
      fc.constantFrom('team', 'app', 'v1', 'manifests', 'blobs', 'tags', 'list', 'uploads', 'referrers', '_catalog', '..', '.', ''),
      fc.constantFrom('%2e%2e', '%2f', '%5c', '%00', '%c0%ae', '%', '\\', ';', `sha256:${hex}`, `sha256:${hex.toUpperCase()}`),
      fc.stringMatching(/^[!-~]{0,12}$/),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        const path = `/v2/${pieces.join('/')}`
        const answer = await get(path)
        assert.ok(answer.status < 500, `${answer.status} for ${path}`)
        const isNamed = /^\/v2\/(?:$|\?|#|_catalog|team\/app\/(?:manifests\/v1|tags\/list)(?:\?|$)|.*\/referrers\/)/.test(path)
        assert.ok(isNamed || answer.status >= 400, `${answer.status} for ${path}`)
      }),
      { numRuns: 300 },
    )
  })
})

test('what is no tag', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  const tags = ['.x', '-x', '%2e%2e%2fx', 'a%2fb', 'a'.repeat(129), 'a%00', 'a%20b', 'a+b', 'a;b', 'caf%C3%A9', 'a%0d%0aX-Evil', '@', '#']
  const send = (method: string, tag: string) =>
    rawRequest(registry.port, {
      method,
      path: `/v2/team/app/manifests/${tag}`,
      headers: [authorization, `Content-Length: ${method === 'PUT' ? Buffer.byteLength(image.text) : 0}`],
      body: method === 'PUT' ? image.text : '',
    })
  for (const tag of tags) {
    await t.test(`${tag.slice(0, 20)} is not found when read and NAME_INVALID when written or deleted`, async () => {
      const [got, put, deleted] = [await send('GET', tag), await send('PUT', tag), await send('DELETE', tag)]
      assert.deepEqual([got.status, codeOf(got)], [404, 'MANIFEST_UNKNOWN'])
      assert.deepEqual([put.status, codeOf(put)], [400, 'NAME_INVALID'])
      assert.deepEqual([deleted.status, codeOf(deleted)], [400, 'NAME_INVALID'])
    })
  }

  await t.test('none of them was stored', async () => {
    await checkRow(registry, { rule: '', path: '/v2/team/app/tags/list', status: 200, json: { name: 'team/app', tags: ['v1'] } })
  })

  await t.test('128 characters are a tag, and case matters', async () => {
    for (const tag of ['a'.repeat(128), 'V1', '_']) await expectStatus(await client.putManifest('team/app', tag, image.text), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/V1', status: 200 })
    await checkRow(registry, { rule: '', path: `/v2/team/app/manifests/${'A'.repeat(128)}`, status: 404 })
  })
})

test('digests in paths', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  const malformed: readonly (readonly [what: string, digest: string])[] = [
    ['upper-case hex', `sha256:${hex.toUpperCase()}`],
    ['an upper-case algorithm', `SHA256:${hex}`],
    ['63 digits', `sha256:${hex.slice(1)}`],
    ['65 digits', `sha256:${hex}a`],
    ['a letter that is no digit', `sha256:${hex.slice(1)}g`],
    ['no digits', 'sha256:'],
    ['sha512 with 64 digits', `sha512:${hex}`],
    ['two colons', `sha256:${hex.slice(0, 32)}:${hex.slice(33)}`],
    ['a colon at the end', `sha256:${hex}:`],
    ['no algorithm', `:${hex}`],
    ['a way out of a folder', 'sha256:..%2f..%2fx'],
    ['a NUL at the end', `sha256:${hex}%00`],
    ['a line break at the end', `sha256:${hex}%0a`],
    ['a space in front', `%20sha256:${hex}`],
    ['300 characters', `other:${'a'.repeat(300)}`],
  ]
  const rows = (digest: string): [method: string, path: string][] => [
    ['GET', `blobs/${digest}`],
    ['HEAD', `blobs/${digest}`],
    ['HEAD', `manifests/${digest}`],
    ['HEAD', `referrers/${digest}`],
    ['GET', `manifests/${digest}`],
    ['GET', `referrers/${digest}`],
    ['DELETE', `blobs/${digest}`],
    ['DELETE', `manifests/${digest}`],
    ['PUT', `manifests/${digest}`],
  ]
  const send = (method: string, path: string, name = 'team/app') =>
    rawRequest(registry.port, { method, path: `/v2/${name}/${path}`, headers: [authorization, 'Content-Length: 0'] })

  for (const [what, digest] of malformed) {
    await t.test(`a digest with ${what} is DIGEST_INVALID wherever it stands`, async () => {
      for (const [method, path] of rows(digest)) {
        for (const name of ['team/app', 'team/none']) {
          const answer = await send(method, path, name)
          assert.deepEqual([answer.status, codeOf(answer)], [400, method === 'HEAD' ? undefined : 'DIGEST_INVALID'], `${method} ${path}`)
        }
      }
    })
  }

  const row = (method: Row['method'], path: string, rest: Omit<Row, 'path' | 'rule'>): Row => ({
    rule: `${method} ${path.slice(0, 24)} of an algorithm that nobody here computes is ${rest.status}`,
    ...(method === undefined ? {} : { method }),
    path: `/v2/team/app/${path}`,
    ...rest,
  })
  const foreign = ['md5:d41d8cd98f00b204e9800998ecf8427e', `blake3:${hex}`, 'a+b.c_d-e:Zm9v=_-']
  await runTable(
    t,
    registry,
    foreign.flatMap((digest) => [
      row('GET', `blobs/${digest}`, { status: 404, code: 'BLOB_UNKNOWN' }),
      row('HEAD', `blobs/${digest}`, { status: 404 }),
      row('GET', `manifests/${digest}`, { status: 404, code: 'MANIFEST_UNKNOWN' }),
      row('GET', `referrers/${digest}`, { status: 200 }),
      row('DELETE', `blobs/${digest}`, { status: 404, code: 'BLOB_UNKNOWN' }),
      row('DELETE', `manifests/${digest}`, { status: 404, code: 'MANIFEST_UNKNOWN' }),
      row('PUT', `manifests/${digest}`, {
        status: 400,
        code: 'DIGEST_INVALID',
        body: image.text,
        headers: { 'Content-Type': image.manifest.mediaType },
      }),
    ]),
  )

  await t.test('the same bytes under two algorithms are two entries', async () => {
    const content = 'bytes with two names'
    await client.pushBlob('team/two', content, sha256(content))
    await checkRow(registry, { rule: '', path: `/v2/team/two/blobs/${sha512(content)}`, status: 404, code: 'BLOB_UNKNOWN' })
    await client.pushBlob('team/two', content, sha512(content))
    for (const digest of [sha256(content), sha512(content)]) {
      const gives = { 'Docker-Content-Digest': digest, ETag: `"${digest}"` }
      await checkRow(registry, { rule: '', path: `/v2/team/two/blobs/${digest}`, status: 200, content, gives })
    }
  })
})
