/** The list of referrers: always an answer, what each entry says, filters, pages filled by bytes, and who sees what. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes } from '../../oci/media-types.ts'
import { basic, Client, descriptorOf, expectStatus, indexType, sha256, sha512, type Answer } from '../support/client.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const { ociImage, ociIndex, ociArtifact, dockerImage, dockerList } = mediaTypes
const subject = { mediaType: ociImage, digest: sha256('the subject'), size: 11 }
const zeros = `sha256:${'0'.repeat(64)}`
const emptyIndex = { schemaVersion: 2, mediaType: indexType, manifests: [] }

interface Entry {
  readonly digest: string
  readonly artifactType?: string
  readonly annotations?: Record<string, string>
}

const pathOf = (name: string, digest = subject.digest): string => `/v2/${name}/referrers/${digest}`

async function listReferrers(
  client: Client,
  path: string,
): Promise<{ entries: Entry[]; next: string | undefined; bytes: number; answer: Answer }> {
  const answer = await expectStatus(await client.call('GET', path), 200)
  assert.equal(answer.headers.get('Content-Type'), indexType)
  const body = JSON.parse(answer.bytes.toString()) as { schemaVersion: number; mediaType: string; manifests: Entry[] }
  assert.deepEqual([body.schemaVersion, body.mediaType], [2, indexType])
  const next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('Link') ?? '')?.[1]
  return { entries: body.manifests, next, bytes: answer.bytes.length, answer }
}

async function walk(client: Client, from: string): Promise<{ digests: string[]; pages: number[]; bytes: number[] }> {
  const walked = { digests: [] as string[], pages: [] as number[], bytes: [] as number[] }
  for (let next: string | undefined = from; next !== undefined;) {
    const page = await listReferrers(client, next)
    walked.digests.push(...page.entries.map(({ digest }) => digest))
    walked.pages.push(page.entries.length)
    walked.bytes.push(page.bytes)
    next = page.next
  }
  return walked
}

/** Pushes an index that refers to the subject. @returns its digest. */
async function refer(client: Client, name: string, more: object = {}): Promise<string> {
  const text = JSON.stringify({ ...emptyIndex, subject, ...more })
  await expectStatus(await client.putManifest(name, sha256(text), text), 201)
  return sha256(text)
}

test('the list of referrers is always there', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  await client.pushBlob('team/blobs', 'only a blob')
  const none = (rule: string, path: string, more: Partial<Row> = {}): Row => ({
    rule,
    path,
    status: 200,
    json: emptyIndex,
    gives: { 'Content-Type': indexType, Link: null, 'OCI-Filters-Applied': null },
    ...more,
  })
  const bad = (digest: string): Row => ({
    rule: `${digest.slice(0, 30)} is DIGEST_INVALID`,
    path: pathOf('team/app', digest),
    status: 400,
    code: 'DIGEST_INVALID',
  })
  await runTable(t, registry, [
    none('of a manifest that nothing refers to', pathOf('team/app', image.digest)),
    none('of a digest that nobody has seen', pathOf('team/app', zeros)),
    none('of a blob', pathOf('team/app', image.config)),
    none('in a repository that does not exist', pathOf('team/none', zeros)),
    none('in a repository without manifests', pathOf('team/blobs', zeros)),
    none('of sha512', pathOf('team/app', sha512('x'))),
    none('of an algorithm that nobody here computes', pathOf('team/app', 'md5:d41d8cd98f00b204e9800998ecf8427e')),
    none('when none are asked for', `${pathOf('team/app')}?n=0`),
    none('with an empty filter, which is none', `${pathOf('team/app')}?artifactType=`),
    none('with a filter, and says that it was applied', `${pathOf('team/app')}?artifactType=a%2Fb`, {
      gives: { 'OCI-Filters-Applied': 'artifactType', 'Content-Type': indexType },
    }),
    { ...none('on HEAD, with its length', pathOf('team/none'), { method: 'HEAD' }), json: undefined },
    bad('v1'),
    bad('latest'),
    bad('sha256:0'),
    bad(`sha256:${'G'.repeat(64)}`),
    ...['-1', 'x', '1e3', ''].map<Row>((n) => ({
      rule: `n=${n} is UNSUPPORTED`,
      path: `${pathOf('team/app')}?n=${n}`,
      status: 400,
      code: 'UNSUPPORTED',
    })),
    ...['x', '', '1', '.sha256:0', '99999999999999999.a', '1.'].map<Row>((last) => ({
      rule: `last=${last} is no place in the list`,
      path: `${pathOf('team/app')}?last=${last}`,
      status: 400,
      code: 'UNSUPPORTED',
    })),
    none('after a place that is made up', `${pathOf('team/app')}?last=5.anything%00%27`),
  ])
})

test('what an entry says', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushBlob('team/app', '{}')
  const config = descriptorOf('{}', 'application/vnd.example.config.v1+json')
  const annotations = { 'org.example.a': 'é "quoted"', 'org.example.b': '' }
  const pushes: readonly (readonly [what: string, body: object, type: string, entry: object])[] = [
    [
      'an image with an artifactType has it',
      { schemaVersion: 2, artifactType: 'a/b', config, layers: [] },
      ociImage,
      { artifactType: 'a/b' },
    ],
    ['an image without one has its config’s type', { schemaVersion: 2, config, layers: [] }, ociImage, { artifactType: config.mediaType }],
    [
      'an image with an empty one too',
      { schemaVersion: 2, artifactType: '', config, layers: [] },
      ociImage,
      { artifactType: config.mediaType },
    ],
    ['an index with an artifactType has it', { ...emptyIndex, artifactType: 'c/d' }, ociIndex, { artifactType: 'c/d' }],
    ['an index without one has none', emptyIndex, ociIndex, {}],
    [
      'an image of Docker’s is one',
      { schemaVersion: 2, mediaType: dockerImage, config, layers: [] },
      dockerImage,
      { artifactType: config.mediaType },
    ],
    ['a list of Docker’s is one', { schemaVersion: 2, mediaType: dockerList, manifests: [] }, dockerList, {}],
    ['an artifact manifest is one', { mediaType: ociArtifact, artifactType: 'e/f' }, ociArtifact, { artifactType: 'e/f' }],
    ['all annotations are there', { ...emptyIndex, annotations }, ociIndex, { annotations }],
    ['annotations of nothing are there too', { ...emptyIndex, annotations: {} }, ociIndex, { annotations: {} }],
  ]
  for (const [place, [what, body, type, entry]] of pushes.entries()) {
    await t.test(what, async () => {
      const of = { ...subject, digest: sha256(`subject ${place}`) }
      const text = JSON.stringify({ ...body, subject: of })
      await expectStatus(await client.call('PUT', '/v2/team/app/manifests/v1', { body: text, headers: { 'Content-Type': type } }), 201)
      const { entries } = await listReferrers(client, pathOf('team/app', of.digest))
      assert.deepEqual(entries, [{ mediaType: type, digest: sha256(text), size: Buffer.byteLength(text), ...entry }])
    })
  }

  await t.test('a manifest pushed under sha512 is listed under it', async () => {
    const text = JSON.stringify({ ...emptyIndex, subject: { ...subject, digest: sha512('wide') } })
    await expectStatus(await client.putManifest('team/app', sha512(text), text), 201)
    const { entries } = await listReferrers(client, pathOf('team/app', sha512('wide')))
    assert.deepEqual(entries, [{ mediaType: ociIndex, digest: sha512(text), size: text.length }])
  })
})

test('who refers to what', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)

  await t.test('a referrer is listed as soon as its push is answered, and gone as soon as its delete is', async () => {
    const digest = await refer(client, 'team/life')
    assert.deepEqual((await walk(client, pathOf('team/life'))).digests, [digest])
    await expectStatus(await client.call('DELETE', `/v2/team/life/manifests/${digest}`), 202)
    assert.deepEqual((await walk(client, pathOf('team/life'))).digests, [])
  })

  await t.test('deleting only its tag keeps it in the list', async () => {
    const text = JSON.stringify({ ...emptyIndex, subject, annotations: { tagged: 'yes' } })
    await expectStatus(await client.putManifest('team/tagged', 'v1', text), 201)
    await expectStatus(await client.call('DELETE', '/v2/team/tagged/manifests/v1'), 202)
    assert.deepEqual((await walk(client, pathOf('team/tagged'))).digests, [sha256(text)])
  })

  await t.test('a referrer may come before its subject, and outlives it', async () => {
    const target = JSON.stringify({ ...emptyIndex, annotations: { the: 'subject' } })
    const digest = await refer(client, 'team/early', { subject: descriptorOf(target, ociIndex) })
    await expectStatus(await client.putManifest('team/early', 'v1', target), 201)
    assert.deepEqual((await walk(client, pathOf('team/early', sha256(target)))).digests, [digest])
    await expectStatus(await client.call('DELETE', `/v2/team/early/manifests/${sha256(target)}`), 202)
    assert.deepEqual((await walk(client, pathOf('team/early', sha256(target)))).digests, [digest])
  })

  await t.test('pushing the same twice, or under two tags, lists it once', async () => {
    const digest = await refer(client, 'team/once')
    for (const tag of ['a', 'b'])
      await expectStatus(await client.putManifest('team/once', tag, JSON.stringify({ ...emptyIndex, subject })), 201)
    assert.deepEqual((await walk(client, pathOf('team/once'))).digests, [digest])
  })

  await t.test('a referrer of a referrer is listed under that one only', async () => {
    const first = await refer(client, 'team/chain')
    const second = await refer(client, 'team/chain', { subject: { ...subject, mediaType: ociIndex, digest: first } })
    assert.deepEqual((await walk(client, pathOf('team/chain'))).digests, [first])
    assert.deepEqual((await walk(client, pathOf('team/chain', first))).digests, [second])
  })

  await t.test('each repository has its own', async () => {
    await refer(client, 'team/ours')
    assert.deepEqual((await walk(client, pathOf('team/theirs'))).digests, [])
  })

  await t.test('a fallback tag is a tag like any other, and nothing makes one', async () => {
    await refer(client, 'team/fallback')
    const tag = subject.digest.replace(':', '-')
    await checkRow(registry, { rule: '', path: '/v2/team/fallback/tags/list', status: 200, json: { name: 'team/fallback', tags: [] } })
    await expectStatus(await client.putManifest('team/fallback', tag, JSON.stringify(emptyIndex)), 201)
    await checkRow(registry, { rule: '', path: `/v2/team/fallback/manifests/${tag}`, status: 200, content: JSON.stringify(emptyIndex) })
  })

  await t.test('who may not pull sees nothing, and not even whether there is something', async () => {
    await registry.addUser('mine')
    await registry.addUser('other')
    const digest = await refer(new Client(registry, basic('mine')), 'mine/app')
    await checkRow(registry, { rule: '', path: pathOf('mine/app'), as: null, status: 401, code: 'UNAUTHORIZED' })
    await checkRow(registry, { rule: '', path: pathOf('mine/app'), as: basic('other'), status: 403, code: 'DENIED' })
    await checkRow(registry, { rule: '', path: pathOf('mine/none'), as: basic('other'), status: 403, code: 'DENIED' })
    await registry.setVisibility('mine/app', 'internal')
    assert.deepEqual((await walk(new Client(registry, basic('other')), pathOf('mine/app'))).digests, [digest])
  })
})

/** Referrers of known types, each pushed a second after the one before. */
async function pushTyped(registry: TestRegistry, client: Client, types: readonly string[]): Promise<string[]> {
  const digests: string[] = []
  for (const [place, artifactType] of types.entries()) {
    digests.push(await refer(client, 'team/app', { artifactType, annotations: { place: String(place) } }))
    registry.advance(1000)
  }
  return digests
}

test('filters and pages', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const plus = 'application/vnd.example.sbom.v1+json'
  const types = ['a/b', plus, 'c/d', 'a/b', plus, 'a/b', 'c/d$&']
  const digests = await pushTyped(registry, client, types)
  const ofTypes = (...wanted: string[]): string[] => digests.filter((_, place) => wanted.includes(types[place] ?? ''))

  const filters: readonly (readonly [what: string, query: string, wanted: readonly string[], applied: string | null])[] = [
    ['no filter gives all, in the order of their push', '', types, null],
    ['a type', '?artifactType=c%2Fd', ['c/d'], 'artifactType'],
    ['a type that came unescaped', '?artifactType=c/d', ['c/d'], 'artifactType'],
    ['a plus that came escaped', `?artifactType=${encodeURIComponent(plus)}`, [plus], 'artifactType'],
    ['a plus that came as it is', `?artifactType=${plus}`, [plus], 'artifactType'],
    ['two types are a union', '?artifactType=a%2Fb&artifactType=c%2Fd', ['a/b', 'c/d'], 'artifactType'],
    ['an empty one beside another counts for nothing', '?artifactType=&artifactType=a%2Fb', ['a/b'], 'artifactType'],
    ['a type in another case is another', '?artifactType=A%2FB', [], 'artifactType'],
    ['a part of a type is none', '?artifactType=a', [], 'artifactType'],
    ['quotes and wild cards are text', `?artifactType=${encodeURIComponent(`a/b' or 1=1 --`)}&artifactType=%25`, [], 'artifactType'],
  ]
  for (const [what, query, wanted, applied] of filters) {
    await t.test(what, async () => {
      const { answer, entries } = await listReferrers(client, `${pathOf('team/app')}${query}`)
      assert.deepEqual(
        entries.map(({ digest }) => digest),
        ofTypes(...wanted),
      )
      assert.equal(answer.headers.get('OCI-Filters-Applied'), applied)
    })
  }

  await t.test('n bounds a page, and the links lead through all of them in the order of their push', async () => {
    for (const n of [1, 2, 3, 6, 7, 8]) {
      const walked = await walk(client, `${pathOf('team/app')}?n=${n}`)
      assert.deepEqual(walked.digests, digests)
      assert.equal(walked.pages.length, Math.ceil(digests.length / n))
    }
  })

  await t.test('a link keeps the filter, whatever is in it', async () => {
    for (const wanted of [['a/b'], ['a/b', plus], ['c/d$&', 'a/b']]) {
      const query = wanted.map((type) => `&artifactType=${encodeURIComponent(type)}`).join('')
      const walked = await walk(client, `${pathOf('team/app')}?n=1${query}`)
      assert.deepEqual(walked.digests, ofTypes(...wanted))
    }
  })

  await t.test('a line break in a filter stays in the link, escaped', async () => {
    const { answer } = await listReferrers(client, `${pathOf('team/app')}?n=1&artifactType=a%2Fb&artifactType=x%0d%0aX-Evil:1`)
    assert.match(answer.headers.get('Link') ?? '', /artifactType=x%0D%0AX-Evil%3A1>; rel="next"$/)
    assert.equal(answer.headers.has('X-Evil'), false)
  })

  await t.test('those that were pushed in the same millisecond are told apart by their digests', async (t) => {
    const still = await startRegistry(t)
    const other = new Client(still)
    const pushed = await Promise.all(
      Array.from({ length: 40 }, (_, place) => refer(other, 'team/app', { annotations: { place: String(place) } })),
    )
    const walked = await walk(other, `${pathOf('team/app')}?n=3`)
    assert.deepEqual(walked.digests.toSorted(), pushed.toSorted())
    assert.equal(walked.pages.length, 14)
  })

  await t.test('a walk goes on when the one where it stands is deleted', async () => {
    const first = await listReferrers(client, `${pathOf('team/app')}?n=3`)
    await expectStatus(await client.call('DELETE', `/v2/team/app/manifests/${digests[2]}`), 202)
    assert.deepEqual((await walk(client, first.next ?? '')).digests, digests.slice(3))
  })
})

test('pages are filled by bytes, because clients read four mebibytes', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const pageBytes = 3.5 * 1024 * 1024
  /** Three bytes each in UTF-8, one to JavaScript. */
  const fillers: readonly (readonly [what: string, filler: string])[] = [
    ['ASCII', 'x'.repeat(900_000)],
    ['three-byte characters', '語'.repeat(300_000)],
  ]
  for (const [place, [what, filler]] of fillers.entries()) {
    await t.test(`ten referrers with 900 kB of annotations in ${what}`, async () => {
      const of = { ...subject, digest: sha256(what) }
      const pushed: string[] = []
      for (let number = 0; number < 10; number++) {
        pushed.push(await refer(client, `team/app${place}`, { subject: of, annotations: { number: String(number), filler } }))
        registry.advance(1000)
      }
      const walked = await walk(client, pathOf(`team/app${place}`, of.digest))
      assert.deepEqual(walked.digests, pushed)
      assert.deepEqual(walked.pages, [4, 4, 2])
      for (const bytes of walked.bytes) assert.ok(bytes <= pageBytes + 1000, `${bytes} bytes`)
    })
  }

  await t.test('one that alone is larger than a page has a page for itself', async () => {
    const huge = { filler: 'x'.repeat(4_100_000) }
    const pushed: string[] = []
    for (const annotations of [{ small: '1' }, huge, { small: '2' }, { ...huge, more: '' }]) {
      pushed.push(await refer(client, 'team/huge', { annotations }))
      registry.advance(1000)
    }
    const walked = await walk(client, pathOf('team/huge'))
    assert.deepEqual(walked.digests, pushed)
    assert.deepEqual(walked.pages, [1, 1, 1, 1])
  })

  await t.test('more of them than are read at once, none lost and none twice', async () => {
    const numbers = Array.from({ length: 501 }, (_, number) => number)
    const pushed = new Set<string>()
    for (let start = 0; start < numbers.length; start += 50) {
      const some = numbers.slice(start, start + 50)
      for (const digest of await Promise.all(
        some.map((number) => refer(client, 'team/many', { annotations: { number: String(number) } })),
      )) {
        pushed.add(digest)
      }
    }
    const walked = await walk(client, pathOf('team/many'))
    assert.deepEqual(walked.pages, [501])
    assert.deepEqual(new Set(walked.digests), pushed)
    for (const n of [499, 500]) {
      const paged = await walk(client, `${pathOf('team/many')}?n=${n}`)
      assert.deepEqual(paged.pages, [n, 501 - n])
      assert.deepEqual(new Set(paged.digests), pushed)
    }
  })
})
