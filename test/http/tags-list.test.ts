/** The list of tags: its order, its pages and their links, and parameters that are wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Client, expectStatus } from '../support/client.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const index = '{"schemaVersion":2,"manifests":[]}'
const path = '/v2/team/app/tags/list'

/** In byte order: digits, capitals, underscore, small letters; a shorter one before what continues it. */
const tags = ['0', '1', '1.0', '1.0-rc', '10', '2', 'A', 'B', 'Z', '_a', 'a', 'a-', 'a.', 'a0', 'aA', 'aa', 'b', 'latest', 'v1', 'zz']

interface TagList {
  readonly tags: readonly string[]
  readonly next: string | undefined
}

async function listTags(client: Client, from: string): Promise<TagList> {
  const answer = await expectStatus(await client.call('GET', from), 200)
  const next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('Link') ?? '')?.[1]
  return { tags: (JSON.parse(answer.bytes.toString()) as { tags: string[] }).tags, next }
}

async function walk(client: Client, from: string): Promise<{ tags: string[]; pages: number }> {
  const all: string[] = []
  let pages = 0
  for (let next: string | undefined = from; next !== undefined; pages++) {
    const page = await listTags(client, next)
    all.push(...page.tags)
    next = page.next
  }
  return { tags: all, pages }
}

/** A page: its tags, and the link to the next one if there is one. */
type Page = readonly [tags: readonly string[], link?: string]

const listed = (rule: string, query: string, [expected, link]: Page): Row => ({
  rule,
  path: `${path}${query}`,
  status: 200,
  json: { name: 'team/app', tags: expected },
  gives: { 'Content-Type': 'application/json', Link: link ?? null },
})
const next = (n: number, last: string): string => `<${path}?n=${n}&last=${last}>; rel="next"`
const refused = (n: string): Row => ({
  rule: `n=${n.slice(0, 20)} is UNSUPPORTED`,
  path: `${path}?n=${n}`,
  status: 400,
  code: 'UNSUPPORTED',
})

test('the list of tags', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const shuffled = tags.toReversed()
  for (const tag of shuffled) await expectStatus(await client.putManifest('team/app', tag, index), 201)
  await expectStatus(await client.putManifest('team/other', 'elsewhere', index), 201)
  await client.pushBlob('team/blobs', 'only a blob')

  await runTable(t, registry, [
    listed('all of them, in byte order', '', [tags]),
    listed('the first three, and where the next page is', '?n=3', [tags.slice(0, 3), next(3, '1.0')]),
    listed('three after one', '?n=3&last=1.0', [tags.slice(3, 6), next(3, '2')]),
    listed('parameters in the other order', '?last=1.0&n=3', [tags.slice(3, 6), next(3, '2')]),
    listed('as many as there are: no next page', `?n=${tags.length}`, [tags]),
    listed('one fewer than there are', `?n=${tags.length - 1}`, [tags.slice(0, -1), next(tags.length - 1, 'v1')]),
    listed('more than there are: no next page', '?n=1000', [tags]),
    listed('far more than that', '?n=1000000000', [tags]),
    listed('more than any number', `?n=${'9'.repeat(400)}`, [tags]),
    listed('none: no next page either', '?n=0', [[]]),
    listed('none after one', '?n=0&last=a', [[]]),
    listed('the number with zeros in front', '?n=0003', [tags.slice(0, 3), next(3, '1.0')]),
    listed('all after one, without a number', '?last=aa', [['b', 'latest', 'v1', 'zz']]),
    listed('after one that is not there', '?last=c', [['latest', 'v1', 'zz']]),
    listed('after one that is not there, by case', '?last=C', [tags.slice(tags.indexOf('Z'))]),
    listed('after the last', '?last=zz', [[]]),
    listed('after something beyond the last', '?last=~', [[]]),
    listed('after nothing: all', '?last=', [tags]),
    listed('after what is no tag at all', '?last=%2F..%2F%00%ff', [tags]),
    listed('after something beyond ASCII', '?last=%C3%A9', [[]]),
    listed('after something very long', `?last=${'a'.repeat(50_000)}`, [['b', 'latest', 'v1', 'zz']]),
    listed('the last page', '?n=2&last=latest', [['v1', 'zz']]),
    ...['-1', '1.5', '1e3', '0x10', '+5', '%2B5', 'NaN', 'many', '', '1%20', '٣', '1,2', '-0'].map(refused),
    {
      rule: 'a repository with content but no tag has an empty list',
      path: '/v2/team/blobs/tags/list',
      status: 200,
      json: { name: 'team/blobs', tags: [] },
    },
    { rule: 'an absent repository is NAME_UNKNOWN', path: '/v2/team/none/tags/list', status: 404, code: 'NAME_UNKNOWN' },
    { rule: 'so it is when asked for no tags', path: '/v2/team/none/tags/list?n=0', status: 404, code: 'NAME_UNKNOWN' },
    { rule: 'HEAD gives the length and the link', method: 'HEAD', path: `${path}?n=3`, status: 200, gives: { Link: next(3, '1.0') } },
  ])

  await t.test('following the links walks all tags once, whatever the size of a page', async () => {
    for (const n of [1, 2, 3, 7, 19, 20, 21]) {
      const walked = await walk(client, `${path}?n=${n}`)
      assert.deepEqual(walked, { tags, pages: Math.ceil(tags.length / n) })
    }
  })

  await t.test('whatever last is, the list is what comes after it in byte order', async () => {
    const piece = fc.oneof(fc.constantFrom(...tags), fc.string({ maxLength: 5 }), fc.string({ unit: 'binary', maxLength: 5 }))
    await fc.assert(
      fc.asyncProperty(piece, piece, async (first, second) => {
        const last = (first + second).toWellFormed()
        const page = await listTags(client, `${path}?last=${encodeURIComponent(last)}`)
        const after = tags.filter((tag) => Buffer.compare(Buffer.from(tag), Buffer.from(last)) > 0)
        assert.deepEqual(page.tags, after)
      }),
      { numRuns: 150 },
    )
  })

  await t.test('a tag that is pushed or deleted is in or out of the list at once', async () => {
    await expectStatus(await client.putManifest('team/app', 'a1', index), 201)
    assert.ok((await listTags(client, path)).tags.includes('a1'))
    await expectStatus(await client.call('DELETE', '/v2/team/app/manifests/a1'), 202)
    assert.deepEqual((await listTags(client, path)).tags, tags)
  })

  await t.test('a walk goes on when the tag where it stands is deleted', async () => {
    const page = await listTags(client, `${path}?n=5`)
    await expectStatus(await client.call('DELETE', `/v2/team/app/manifests/${page.tags.at(-1)}`), 202)
    const rest = await walk(client, page.next ?? '')
    assert.deepEqual(rest.tags, tags.slice(5))
    await expectStatus(await client.putManifest('team/app', page.tags.at(-1) ?? '', index), 201)
  })

  await t.test('a tag that moves stays in the list once', async () => {
    await expectStatus(await client.putManifest('team/app', 'v1', `${index} `), 201)
    assert.deepEqual((await listTags(client, path)).tags, tags)
  })

  await t.test('only tags are listed: no digest of a manifest without one', async () => {
    await expectStatus(await client.call('DELETE', '/v2/team/other/manifests/elsewhere'), 202)
    await checkRow(registry, { rule: '', path: '/v2/team/other/tags/list', status: 200, json: { name: 'team/other', tags: [] } })
  })
})

test('the server’s own size of a page', async (t) => {
  const registry = await startRegistry(t, { settings: { LISTS_PAGE_SIZE: '4' } })
  const client = new Client(registry)
  for (const tag of tags) await expectStatus(await client.putManifest('team/app', tag, index), 201)
  await runTable(t, registry, [
    listed('is used when none is asked for', '', [tags.slice(0, 4), next(4, '1.0-rc')]),
    listed('bounds what is asked for', '?n=1000', [tags.slice(0, 4), next(4, '1.0-rc')]),
    listed('does not enlarge it', '?n=2', [tags.slice(0, 2), next(2, '1')]),
    listed('is used after a tag too', '?last=b', [['latest', 'v1', 'zz']]),
  ])

  await t.test('leads to all of them by its links', async () => {
    assert.deepEqual(await walk(client, path), { tags, pages: 5 })
    assert.deepEqual(await walk(client, `${path}?n=1000`), { tags, pages: 5 })
  })
})
