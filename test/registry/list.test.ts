/** Lists, a page at a time: what a page holds, whether another follows, and where referrers end. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { referrersOf, repositoriesFor, searchFor, tagsOf, type ReferrersPage, type ReferrersRequest } from '../../registry/list.ts'
import type { Registry } from '../../registry/registry.ts'
import { changeVisibility } from '../../registry/visibility.ts'
import { setTag } from '../../storage/metadata/tags.ts'
import { addManifest, addRepository, repositoryName, sha256Of, tagOf } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { getRepository, openFloor } from '../support/registry-floor.ts'

suite('pages', () => {
  const names = ['a', 'b', 'c', 'd', 'e']

  for (const [limit, after, items, hasMore] of [
    [2, undefined, ['a', 'b'], true],
    [2, 'b', ['c', 'd'], true],
    [2, 'd', ['e'], false],
    [3, 'b', ['c', 'd', 'e'], false],
    [5, undefined, names, false],
    [9, undefined, names, false],
    [2, 'e', [], false],
    [2, 'aa', ['b', 'c'], true],
    [0, undefined, [], false],
    [0, 'a', [], false],
  ] as const) {
    test(`${limit} after ${after ?? 'the beginning'} are ${items.join(', ') || 'none'}, ${hasMore ? 'and more follow' : 'and that is all'}`, async (t) => {
      const { registry, database } = await openFloor(t)
      const id = await addRepository(database, 'team/app')
      for (const name of names) {
        await addRepository(database, name)
        await database.writeRelaxed((tx) => setTag(tx, { repositoryId: id, tag: tagOf(name), digest: sha256Of('x'), nowMs: 1, by: null }))
      }
      const repository = await getRepository(registry, 'team/app')
      assert.deepEqual(await tagsOf(registry, repository, { after, limit }), { items, hasMore })
      const page = await repositoriesFor(registry, { kind: 'some', namespaces: names, visibilities: [] }, { after, limit })
      assert.deepEqual({ ...page, items: page.items.map((row) => row.name) }, { items, hasMore })
    })
  }

  test('a repository without tags has none, one that is not there is unknown', async (t) => {
    const { registry, database } = await openFloor(t)
    await addRepository(database, 'team/app')
    assert.deepEqual(await tagsOf(registry, await getRepository(registry, 'team/app'), { after: undefined, limit: 5 }), {
      items: [],
      hasMore: false,
    })
    await assertRejected('nameUnknown', tagsOf(registry, undefined, { after: undefined, limit: 5 }))
  })

  test('a search finds what its filter admits', async (t) => {
    const { registry, database } = await openFloor(t)
    for (const name of ['team/app', 'alice/app', 'team/other']) await addRepository(database, name)
    const found = await searchFor(registry, { kind: 'some', namespaces: ['team'], visibilities: [] }, { text: 'app', limit: 5 })
    assert.deepEqual(
      found.map((row) => row.name),
      ['team/app'],
    )
  })
})

suite('who may see a repository', () => {
  test('changes with the next request, and only for one that is there', async (t) => {
    const { registry, database } = await openFloor(t)
    await addRepository(database, 'team/app')
    await changeVisibility(database, repositoryName('team/app'), 'public')
    assert.equal((await getRepository(registry, 'team/app')).visibility, 'public')
    const error = await assertRejected('nameUnknown', changeVisibility(database, repositoryName('team/none'), 'public'))
    assert.equal(error.message, 'there is no repository team/none: it comes to be with the first push')
  })
})

suite('referrers', () => {
  const subject = sha256Of('the subject')
  const mebibyte = 1024 * 1024

  async function page(registry: Registry, more: Partial<ReferrersRequest> = {}): Promise<ReferrersPage> {
    const request = { subject, artifactTypes: [], cursor: undefined, limit: 10_000, ...more }
    return referrersOf(registry, await getRepository(registry, 'team/app'), request)
  }

  /** Every page from the first to the last. */
  async function walk(registry: Registry, more: Partial<ReferrersRequest> = {}): Promise<readonly string[][]> {
    const pages: string[][] = []
    for (let cursor: ReferrersRequest['cursor']; ;) {
      const { descriptors, next } = await page(registry, { ...more, cursor })
      pages.push([...descriptors])
      if (!next) return pages
      cursor = next
    }
  }

  test('a repository that is not there has none, and one that nobody refers to in has none either', async (t) => {
    const { registry, database } = await openFloor(t)
    await addRepository(database, 'team/app')
    assert.deepEqual(await page(registry), { descriptors: [], next: undefined })
    const request = { subject, artifactTypes: [], cursor: undefined, limit: 5 }
    assert.deepEqual(await referrersOf(registry, undefined, request), { descriptors: [], next: undefined })
  })

  test('a descriptor has what its manifest has, and no field for what it has not', async (t) => {
    const { registry, database } = await openFloor(t)
    const id = await addRepository(database, 'team/app')
    const digests = [
      await addManifest(database, id, {
        text: 'full',
        subject_digest: subject,
        artifact_type: 'a/b',
        annotations: '{"key":"value"}',
        pushed_at_ms: 1,
      }),
      await addManifest(database, id, { text: 'bare', subject_digest: subject, media_type: 'c/d', pushed_at_ms: 2 }),
    ]
    const { descriptors } = await page(registry)
    assert.deepEqual(
      descriptors.map((text) => JSON.parse(text) as unknown),
      [
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: digests[0],
          size: 4,
          artifactType: 'a/b',
          annotations: { key: 'value' },
        },
        { mediaType: 'c/d', digest: digests[1], size: 4 },
      ],
    )
  })

  test('pages of any size hold all of them once, in the order of the pushes', async (t) => {
    const { registry, database } = await openFloor(t)
    const id = await addRepository(database, 'team/app')
    const digests: string[] = []
    for (let count = 0; count < 30; count++) {
      digests.push(await addManifest(database, id, { text: `${count}`, subject_digest: subject, pushed_at_ms: count }))
    }
    for (const limit of [1, 7, 29, 30, 31]) {
      const pages = await walk(registry, { limit })
      assert.ok(pages.every((each) => each.length <= limit))
      assert.deepEqual(
        pages.flat().map((text) => (JSON.parse(text) as { digest: string }).digest),
        digests,
      )
    }
  })

  test('more of them than are read at once are one page when they fit', async (t) => {
    const { registry, database } = await openFloor(t)
    const id = await addRepository(database, 'team/app')
    for (let count = 0; count < 1203; count++)
      await addManifest(database, id, { text: `${count}`, subject_digest: subject, pushed_at_ms: count })
    assert.deepEqual(
      (await walk(registry)).map((each) => each.length),
      [1203],
    )
  })

  test('a page is less than four mebibytes, which is what clients read', async (t) => {
    const { registry, database } = await openFloor(t)
    const id = await addRepository(database, 'team/app')
    for (let count = 0; count < 20; count++) {
      const annotations = JSON.stringify({ note: 'ü'.repeat(200_000) })
      const facts = { text: `${count}`, subject_digest: subject, pushed_at_ms: count, annotations, size_bytes: annotations.length }
      await addManifest(database, id, facts)
    }
    const pages = await walk(registry)
    assert.equal(pages.flat().length, 20)
    for (const descriptors of pages) assert.ok(Buffer.byteLength(descriptors.join(',')) < 4 * mebibyte)
    assert.ok(
      pages.slice(0, -1).every((descriptors) => Buffer.byteLength(descriptors.join(',')) > 2.5 * mebibyte),
      'they are filled',
    )
  })

  test('one that is larger than a page has a page of its own', async (t) => {
    const { registry, database } = await openFloor(t)
    const id = await addRepository(database, 'team/app')
    for (const [text, length] of [
      ['small', 1],
      ['large', 3.8 * mebibyte],
      ['last', 1],
    ] as const) {
      const annotations = JSON.stringify({ note: 'x'.repeat(length) })
      const pushed_at_ms = ['small', 'large', 'last'].indexOf(text)
      await addManifest(database, id, { text, subject_digest: subject, pushed_at_ms, annotations, size_bytes: annotations.length })
    }
    assert.deepEqual(
      (await walk(registry)).map((descriptors) => descriptors.length),
      [1, 1, 1],
    )
  })

  test('a filter applies to every page', async (t) => {
    const { registry, database } = await openFloor(t)
    const id = await addRepository(database, 'team/app')
    for (let count = 0; count < 20; count++) {
      const facts = { text: `${count}`, subject_digest: subject, pushed_at_ms: count, artifact_type: count % 2 === 0 ? 'a/even' : 'a/odd' }
      await addManifest(database, id, facts)
    }
    const pages = await walk(registry, { artifactTypes: ['a/odd'], limit: 3 })
    assert.deepEqual(
      pages.map((each) => each.length),
      [3, 3, 3, 1],
    )
  })
})
