/** Tags and manifests as the API shows them: sizes, platforms, config, history, who refers to what; and moving and removing tags. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseDigest } from '../../oci/digest.ts'
import {
  basic,
  Client,
  descriptorOf,
  expectStatus,
  imageManifest,
  indexType,
  manifestType,
  sha256,
  type Answer,
} from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'

suite('the content of a repository', () => {
  const registry = shareRegistry()
  const admin = () => new Client(registry())
  const path = (name: string, rest = '') => `/api/v1/repositories/${encodeURIComponent(name)}${rest}`
  const json = (answer: Answer) =>
    JSON.parse(answer.bytes.toString('utf8')) as Record<string, unknown> & { items: Record<string, unknown>[]; next: string | null }
  const get = async (name: string, rest: string) => json(await expectStatus(await admin().call('GET', path(name, rest)), 200))
  const put = (...[name, tag, body, headers = {}]: [string, string, object, object?]) =>
    admin().call('PUT', path(name, `/tags/${tag}`), {
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json', ...headers },
    })

  test('what it takes is told to whoever may pull; what of that others have too, to administrators alone', async () => {
    await registry().addUser('uma')
    await admin().pushBlob('usage/a', 'alone')
    for (const name of ['usage/a', 'usage/b']) await admin().pushBlob(name, 'with another')
    const usage = { bytes: 17, blobs: 2, manifests: 0, manifestBytes: 0, sharing: { uniqueBlobs: 1, uniqueBytes: 5, sharedBytes: 12 } }
    assert.deepEqual((await get('usage/a', ''))['usage'], usage)
    const open = { body: JSON.stringify({ visibility: 'public' }), headers: { 'Content-Type': 'application/json' } }
    await expectStatus(await admin().call('PATCH', path('usage/a'), open), 200)
    const uma = await expectStatus(await new Client(registry(), basic('uma')).call('GET', path('usage/a')), 200)
    assert.deepEqual(json(uma)['usage'], { ...usage, sharing: null })
  })

  /** An index of one image for each architecture. */
  async function pushIndex(name: string, architectures: readonly string[]) {
    const entries: { platform: object; size: number; digest: string; mediaType: string }[] = []
    let bytes = Buffer.byteLength('shared')
    for (const architecture of architectures) {
      const config = JSON.stringify({ architecture, os: 'linux' })
      for (const content of [config, 'shared', architecture]) await admin().pushBlob(name, content)
      const text = JSON.stringify(imageManifest(config, ['shared', architecture]))
      await expectStatus(await admin().putManifest(name, sha256(text), text), 201)
      entries.push({ ...descriptorOf(text, manifestType), platform: { architecture, os: 'linux' } })
      bytes += Buffer.byteLength(config) + Buffer.byteLength(architecture) + Buffer.byteLength(text)
    }
    const attested = { ...entries[0], platform: { architecture: 'unknown', os: 'unknown' } }
    const text = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [...entries, attested] })
    return { text, digest: sha256(text), bytes: bytes + Buffer.byteLength(text), entries }
  }

  test('a tag tells its digest, the bytes of all that it needs, its platform, and who pushed it when', async () => {
    await registry().addUser('alice')
    const alice = new Client(registry(), basic('alice'))
    const before = Date.now()
    const image = await alice.pushImage('alice/app', 'v1', ['one', 'one', 'three'])
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', repository: 'alice/app' })
    const { pushedAt, ...tag } = await get('alice/app', '/tags/v1')
    assert.deepEqual(tag, {
      name: 'v1',
      digest: image.digest,
      mediaType: manifestType,
      artifactType: 'application/vnd.oci.image.config.v1+json',
      sizeBytes: Buffer.byteLength(image.text) + Buffer.byteLength(config) + 'one'.length + 'three'.length,
      platforms: ['linux/amd64'],
      pushedBy: 'alice',
    })
    assert.ok(Date.parse(String(pushedAt)) >= before && Date.parse(String(pushedAt)) <= Date.now())
  })

  test('a tag of an index has the platforms that it names and the bytes of them all, shared ones once', async () => {
    const index = await pushIndex('admin/multi', ['amd64', 'arm64'])
    await expectStatus(await admin().putManifest('admin/multi', 'v1', index.text), 201)
    const { platforms, sizeBytes } = await get('admin/multi', '/tags/v1')
    assert.deepEqual([platforms, sizeBytes], [['linux/amd64', 'linux/arm64'], index.bytes])
    const manifest = await get('admin/multi', `/manifests/${index.digest}`)
    assert.deepEqual([manifest['config'], manifest['layers'], manifest['totalBytes'], manifest['tags']], [null, [], index.bytes, ['v1']])
    assert.deepEqual(
      (manifest['manifests'] as { digest: string; platform: string }[]).map(({ digest, platform }) => [digest, platform]),
      [
        [index.entries[0]?.digest, 'linux/amd64'],
        [index.entries[1]?.digest, 'linux/arm64'],
        [index.entries[0]?.digest, 'unknown/unknown'],
      ],
    )
  })

  test('tags are listed in byte order, by pages and by a part of their name', async () => {
    const { digest } = await admin().pushImage('admin/tags', 'v1')
    for (const tag of ['v10', 'V2', 'a', 'latest']) await expectStatus(await put('admin/tags', tag, { digest }), 200)
    const names = async (query: string) => (await get('admin/tags', `/tags${query}`)).items.map(({ name }) => name)
    assert.deepEqual(await names(''), ['V2', 'a', 'latest', 'v1', 'v10'])
    assert.deepEqual(await names('?q=v1'), ['v1', 'v10'])
    assert.deepEqual(await names('?q=x'), [])
    const first = await get('admin/tags', '/tags?limit=3')
    assert.deepEqual(await names(`?limit=3&cursor=${first.next}`), ['v1', 'v10'])
  })

  test('a tag can be pointed at what is there and at nothing else, and what it was stays in its history', async () => {
    const name = 'admin/moved'
    const [one, two] = [await admin().pushImage(name, 'v1', ['1']), await admin().pushImage(name, 'v2', ['2'])]
    const elsewhere = await admin().pushImage('admin/other', 'v1', ['3'])
    const moved = await expectStatus(await put(name, 'v1', { digest: two.digest }), 200)
    assert.deepEqual([json(moved)['digest'], moved.headers.get('ETag')], [two.digest, `"${two.digest}"`])
    const pulled = await admin().call('GET', `/v2/${name}/manifests/v1`)
    assert.equal(pulled.headers.get('Docker-Content-Digest'), two.digest)
    for (const digest of [elsewhere.digest, one.config, sha256('nothing')])
      assert.equal((await put(name, 'v1', { digest })).status, 404, 'neither of another repository, nor a blob')
    for (const body of [{}, { digest: 'x' }, { digest: one.digest, force: true }]) assert.equal((await put(name, 'v1', body)).status, 400)
    await expectStatus(await admin().call('DELETE', path(name, '/tags/v1')), 204)
    assert.equal((await admin().call('GET', path(name, '/tags/v1'))).status, 404)
    await expectStatus(await put(name, 'v1', { digest: one.digest }), 200)
    const { items } = await get(name, '/tags/v1/history')
    assert.deepEqual(
      items.map(({ digest, until, setBy, endedBy }) => [digest, until === null, setBy, endedBy]),
      [
        [one.digest, true, 'admin', null],
        [two.digest, false, 'admin', 'admin'],
        [one.digest, false, 'admin', 'admin'],
      ],
    )
    assert.equal(items[1]?.['since'], items[2]?.['until'], 'it was never nothing in between')
    const first = await get(name, '/tags/v1/history?limit=2')
    const second = await get(name, `/tags/v1/history?limit=2&cursor=${first.next}`)
    assert.deepEqual([...first.items, ...second.items], items)
    assert.equal(second.next, null)
    assert.equal((await admin().call('GET', path(name, '/tags/never/history'))).status, 404)
  })

  test('a tag is moved and removed only from where the request believes it to be', async () => {
    const name = 'admin/watched'
    const [one, two] = [await admin().pushImage(name, 'v1', ['1']), await admin().pushImage(name, 'v2', ['2'])]
    const move = async (digest: string, condition: string) => (await put(name, 'v1', { digest }, { 'If-Match': condition })).status
    assert.equal(await move(two.digest, `"${two.digest}"`), 412)
    assert.equal(await move(two.digest, `"${one.digest}"`), 200)
    assert.equal((await put(name, 'new', { digest: one.digest }, { 'If-Match': '*' })).status, 412, 'there is no such tag')
    const remove = async (rest: string, condition: string) =>
      (await admin().call('DELETE', path(name, rest), { headers: { 'If-Match': condition } })).status
    assert.equal(await remove('/tags/v1', `"${one.digest}"`), 412)
    assert.equal(await remove('/tags/v1', `"${two.digest}"`), 204)
    assert.equal(await remove(`/manifests/${two.digest}`, '"x"'), 412)
    assert.equal(await remove(`/manifests/${two.digest}`, `"${two.digest}"`), 204)
    assert.deepEqual((await get(name, '/tags')).items, [], 'its tag went with the manifest')
  })

  test('a manifest shows what its config says, but of variables only the names', async () => {
    const config = JSON.stringify({
      created: '2026-01-02T03:04:05+01:00',
      architecture: 'arm64',
      variant: 'v8',
      os: 'linux',
      config: { Env: ['PATH=/bin', 'PASSWORD=mellon', 'EMPTY='], Entrypoint: ['/app'], Cmd: ['serve'], Labels: { 'a.b': 'c', count: 3 } },
    })
    await admin().pushBlob('admin/config', config)
    await admin().pushBlob('admin/config', 'layer')
    const text = JSON.stringify(imageManifest(config, ['layer'], { annotations: { note: 'a note' } }))
    await expectStatus(await admin().putManifest('admin/config', 'v1', text), 201)
    const answer = await expectStatus(await admin().call('GET', path('admin/config', `/manifests/${sha256(text)}`)), 200)
    assert.ok(!answer.bytes.includes('mellon'))
    const { digest: _digest, mediaType: _type, sizeBytes: _size, ...said } = json(answer)['config'] as Record<string, unknown>
    assert.deepEqual(said, {
      createdAt: '2026-01-02T02:04:05.000Z',
      os: 'linux',
      architecture: 'arm64',
      variant: 'v8',
      environment: ['PATH', 'PASSWORD', 'EMPTY'],
      entrypoint: ['/app'],
      command: ['serve'],
      labels: { 'a.b': 'c' },
    })
    assert.deepEqual(json(answer)['annotations'], { note: 'a note' })
    assert.deepEqual((await get('admin/config', '/tags/v1'))['platforms'], ['linux/arm64/v8'])
  })

  test('a config that is no JSON, is too large, or has odd members makes no fault: what cannot be shown is null', async () => {
    const odd = JSON.stringify({
      os: 7,
      architecture: {},
      created: 'yesterday',
      config: { Env: 'PATH', Labels: [1], Entrypoint: 'x', Cmd: [1, 'a'] },
    })
    const large = JSON.stringify({ os: 'linux', architecture: 'amd64', filling: 'x'.repeat(4 * 1024 ** 2) })
    for (const config of ['no JSON', '[]', '\u0000', odd, large, JSON.stringify({ created: '+100000-01-01T00:00:00Z' })]) {
      await admin().pushBlob('admin/odd', config)
      const text = JSON.stringify(imageManifest(config, []))
      await expectStatus(await admin().putManifest('admin/odd', 'v1', text), 201)
      const said = (await get('admin/odd', `/manifests/${sha256(text)}`))['config'] as Record<string, unknown>
      const { os, architecture, createdAt, environment, labels, command } = said
      assert.deepEqual([os, architecture, createdAt, environment, labels], [null, null, null, null, null], config.slice(0, 40))
      assert.deepEqual(command, config === odd ? ['a'] : null)
      assert.deepEqual((await get('admin/odd', '/tags/v1'))['platforms'], [])
    }
  })

  test('a config that only another repository has is not read, whatever was read of it before', async () => {
    const config = JSON.stringify({ os: 'linux', architecture: 'secret' })
    await admin().pushBlob('admin/has', config)
    const text = JSON.stringify(imageManifest(config, []))
    await expectStatus(await admin().putManifest('admin/has', 'v1', text), 201)
    assert.deepEqual((await get('admin/has', '/tags/v1'))['platforms'], ['linux/secret'])
    await admin().pushBlob('admin/lost', config)
    await expectStatus(await admin().putManifest('admin/lost', 'v1', text), 201)
    // As after a repair by hand: a manifest whose config is no longer linked.
    await registry().services.registry.database.write(async (tx) => {
      await tx
        .deleteFrom('blob_link')
        .where('digest', '=', sha256(config))
        .where('repository_id', '=', (query) => query.selectFrom('repository').select('id').where('name', '=', 'admin/lost'))
        .execute()
    })
    const tag = await get('admin/lost', '/tags/v1')
    assert.deepEqual([tag['platforms'], tag['sizeBytes']], [[], Buffer.byteLength(text)])
    const said = (await get('admin/lost', `/manifests/${sha256(text)}`))['config'] as Record<string, unknown>
    assert.equal(said['architecture'], null)
  })

  test('referrers are listed in pages with their annotations, and by type', async () => {
    const name = 'admin/signed'
    const subject = await admin().pushImage(name, 'v1')
    await admin().pushBlob(name, '{}')
    const refer = async (artifactType: string, annotations: object) => {
      const text = JSON.stringify(imageManifest('{}', [], { artifactType, annotations, subject: descriptorOf(subject.text, manifestType) }))
      await expectStatus(await admin().putManifest(name, sha256(text), text), 201)
      return sha256(text)
    }
    const digests = [await refer('a/signature', { by: 'alice' }), await refer('a/sbom', {}), await refer('a/signature', { by: 'bob' })]
    const list = async (query: string) => get(name, `/manifests/${subject.digest}/referrers${query}`)
    const all = await list('')
    assert.deepEqual(new Set(all.items.map(({ digest }) => digest)), new Set(digests))
    assert.deepEqual(all.items.find(({ digest }) => digest === digests[0])?.['annotations'], { by: 'alice' })
    assert.deepEqual(
      (await list('?artifactType=a%2Fsbom')).items.map(({ digest }) => digest),
      [digests[1]],
    )
    const found: unknown[] = []
    for (let query: string | undefined = '?limit=1'; query !== undefined;) {
      const page = await list(query)
      found.push(...page.items)
      query = page.next === null ? undefined : `?limit=1&cursor=${page.next}`
    }
    assert.deepEqual(found, all.items)
    assert.equal((await get(name, `/manifests/${digests[0]}`))['subject'], subject.digest)
  })

  test('references are followed only so far: a manifest of manifests with many layers does not hold the server up', async () => {
    const name = 'admin/wide'
    const entries: object[] = []
    let bytes = Buffer.byteLength('in all')
    for (let at = 0; at < 12; at++) {
      const parts = [JSON.stringify({ at }), `layer ${at}`]
      for (const content of [...parts, 'in all']) await admin().pushBlob(name, content)
      const text = JSON.stringify(imageManifest(parts[0] ?? '', [parts[1] ?? '', 'in all']))
      await expectStatus(await admin().putManifest(name, sha256(text), text), 201)
      entries.push(descriptorOf(text, manifestType))
      bytes += [...parts, text].reduce((sum, part) => sum + Buffer.byteLength(part), 0)
    }
    const text = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: entries })
    await expectStatus(await admin().putManifest(name, 'v1', text), 201)
    const { database, reads } = registry().services.registry
    const row = await database.read.selectFrom('repository').select('id').where('name', '=', name).executeTakeFirstOrThrow()
    const size = (limit: number) => reads.contentSize({ repositoryId: row.id, digest: parseDigest(sha256(text)), limit })
    assert.deepEqual(await size(1000), { entries: 1 + 12 + 12 * 3, bytes: bytes + Buffer.byteLength(text) })
    assert.equal((await size(10))?.entries, 10)
  })
})
