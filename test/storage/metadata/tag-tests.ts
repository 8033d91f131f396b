/** Tags as intervals: the current one, every one before it, and no moment without one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { manifestByTag } from '../../../storage/metadata/manifests.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import {
  endTag,
  endTagsOf,
  findTagRow,
  listTagIntervals,
  listTagRows,
  listTags,
  listTagsOf,
  setTag,
} from '../../../storage/metadata/tags.ts'
import { addManifest, addRepository, sha256Of, tagOf } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const [one, two] = [sha256Of('one'), sha256Of('two')]

interface Move {
  readonly tag?: string
  readonly content: string
  readonly nowMs: number
  readonly by?: string | null
}

async function set(database: Database, repositoryId: number, { tag = 'latest', content, nowMs, by = 'alice' }: Move): Promise<void> {
  await database.write((tx) => setTag(tx, { repositoryId, tag: tagOf(tag), digest: sha256Of(content), nowMs, by }))
}

/** All intervals of a repository, the oldest first. */
async function history(database: Database, repositoryId: number) {
  return database.read
    .selectFrom('tag')
    .select(['name', 'digest', 'since_ms', 'until_ms', 'set_by', 'ended_by'])
    .where('repository_id', '=', repositoryId)
    .orderBy('id')
    .execute()
}

async function current(database: Database, repositoryId: number): Promise<string[]> {
  return listTags(database.read, { repositoryId, after: undefined, limit: 1000 })
}

export function tagTests(create: MetadataFactory): void {
  test('a new tag is an interval that is open', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    await set(database, repositoryId, { content: 'one', nowMs: 10 })
    assert.deepEqual(await history(database, repositoryId), [
      { name: 'latest', digest: one, since_ms: 10, until_ms: null, set_by: 'alice', ended_by: null },
    ])
  })

  test('a tag that moves closes its interval and opens the next at the same moment', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    await set(database, repositoryId, { content: 'one', nowMs: 10, by: null })
    await set(database, repositoryId, { content: 'two', nowMs: 20, by: 'bob' })
    await set(database, repositoryId, { content: 'one', nowMs: 30, by: 'carol' })
    assert.deepEqual(await history(database, repositoryId), [
      { name: 'latest', digest: one, since_ms: 10, until_ms: 20, set_by: null, ended_by: 'bob' },
      { name: 'latest', digest: two, since_ms: 20, until_ms: 30, set_by: 'bob', ended_by: 'carol' },
      { name: 'latest', digest: one, since_ms: 30, until_ms: null, set_by: 'carol', ended_by: null },
    ])
  })

  test('setting a tag to what it is makes no history', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    await set(database, repositoryId, { content: 'one', nowMs: 10 })
    await set(database, repositoryId, { content: 'one', nowMs: 20, by: 'bob' })
    assert.deepEqual(
      (await history(database, repositoryId)).map((row) => [row.since_ms, row.set_by]),
      [[10, 'alice']],
    )
  })

  test('a tag that ends keeps its history, and can come again', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    await set(database, repositoryId, { content: 'one', nowMs: 10 })
    const end = { repositoryId, tag: tagOf('latest'), nowMs: 20, by: 'bob' }
    assert.equal(await database.write((tx) => endTag(tx, end)), true)
    assert.equal(await database.write((tx) => endTag(tx, end)), false)
    assert.deepEqual(await current(database, repositoryId), [])
    await set(database, repositoryId, { content: 'one', nowMs: 30 })
    assert.deepEqual(await history(database, repositoryId), [
      { name: 'latest', digest: one, since_ms: 10, until_ms: 20, set_by: 'alice', ended_by: 'bob' },
      { name: 'latest', digest: one, since_ms: 30, until_ms: null, set_by: 'alice', ended_by: null },
    ])
  })

  test('all tags of a manifest end together, those of others and of other repositories stay', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    for (const tag of ['1', '1.0', 'latest']) await set(database, app, { tag, content: 'one', nowMs: 10 })
    await set(database, app, { tag: 'next', content: 'two', nowMs: 10 })
    await set(database, app, { tag: 'moved', content: 'one', nowMs: 10 })
    await set(database, app, { tag: 'moved', content: 'two', nowMs: 15 })
    await set(database, other, { content: 'one', nowMs: 10 })
    await database.write((tx) => endTagsOf(tx, { repositoryId: app, digest: one, nowMs: 20, by: 'bob' }))
    assert.deepEqual(await current(database, app), ['moved', 'next'])
    assert.deepEqual(await current(database, other), ['latest'])
    const ended = (await history(database, app)).filter((row) => row.ended_by === 'bob')
    assert.deepEqual(
      ended.map((row) => [row.name, row.until_ms]),
      [
        ['1', 20],
        ['1.0', 20],
        ['latest', 20],
      ],
    )
  })

  test('a tag finds the manifest that it points to, its own repository’s, and nothing when it has ended', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    for (const text of ['one', 'two']) await addManifest(database, app, { text })
    await addManifest(database, other, { text: 'two' })
    const find = async (repositoryId: number, tag = 'latest') =>
      (await manifestByTag.first(database.read, { repositoryId, tag: tagOf(tag) }))?.digest
    await set(database, app, { content: 'one', nowMs: 10 })
    assert.equal(await find(app), one)
    assert.equal(await find(other), undefined)
    await set(database, app, { content: 'two', nowMs: 20 })
    assert.equal(await find(app), two)
    assert.equal(await find(app, 'LATEST'), undefined)
    await database.write((tx) => endTag(tx, { repositoryId: app, tag: tagOf('latest'), nowMs: 30, by: null }))
    assert.equal(await find(app), undefined)
  })

  test('current tags are listed in byte order, each once, whatever the size of the pages', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const tags = ['latest', 'Latest', 'v1', 'v10', 'v9', '1.0', '1-0', '1_0', '10', '_x', 'a', 'B', 'sha256-aa.sig']
    for (const tag of tags) await set(database, repositoryId, { tag, content: 'one', nowMs: 1 })
    for (const tag of tags.slice(0, 3)) await set(database, repositoryId, { tag, content: 'two', nowMs: 2 })
    await set(database, await addRepository(database, 'team/other'), { tag: 'of-another', content: 'one', nowMs: 1 })
    const expected = tags.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 15 }), fc.oneof(fc.constantFrom('', ...tags), fc.string()), async (limit, after) => {
        const listed = [after]
        for (;;) {
          const page = await listTags(database.read, { repositoryId, after: listed.at(-1), limit })
          listed.push(...page)
          if (page.length < limit) break
        }
        assert.deepEqual(
          listed.slice(1),
          expected.filter((tag) => tag > after),
        )
      }),
      { numRuns: 100 },
    )
  })

  test('no two intervals of a tag can be open', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const open = { repository_id: repositoryId, name: 'latest', digest: one, since_ms: 1 }
    await database.write((tx) => tx.insertInto('tag').values(open).execute())
    await assert.rejects(
      database.write((tx) => tx.insertInto('tag').values(open).execute()),
      /constraint/i,
    )
  })

  test('after any sequence of changes the intervals of a tag follow each other without overlap, and the last tells what it is', async (t) => {
    const { database } = await create(t)
    const change = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), content: fc.constantFrom('one', 'two', 'three') }),
      fc.record({ kind: fc.constant('end' as const), content: fc.constant('') }),
    )
    let count = 0
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 12 }), async (changes) => {
        const repositoryId = await addRepository(database, `team/app${count++}`)
        let expected: string | undefined
        for (const [index, { kind, content }] of changes.entries()) {
          const change = { repositoryId, tag: tagOf('latest'), nowMs: index, by: null }
          await database.writeRelaxed(async (tx) => {
            if (kind === 'end') await endTag(tx, change)
            else await setTag(tx, { ...change, digest: sha256Of(content) })
          })
          expected = kind === 'end' ? undefined : sha256Of(content)
        }
        const rows = await history(database, repositoryId)
        for (const [index, row] of rows.entries()) {
          const next = rows[index + 1]
          if (next) assert.ok(row.until_ms !== null && row.until_ms <= next.since_ms, 'an interval ends before the next begins')
          if (next && row.until_ms === next.since_ms) assert.notEqual(row.digest, next.digest)
        }
        const last = rows.at(-1)
        assert.equal(last?.until_ms === null ? last.digest : undefined, expected)
      }),
      { numRuns: 40 },
    )
  })

  test('a tag comes with what its manifest says, by page and by a part of its name', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    await addManifest(database, repositoryId, { text: 'one', artifact_type: 'a/b', media_type: 'c/d' })
    for (const tag of ['v1', 'v2', 'latest']) await set(database, repositoryId, { tag, content: 'one', nowMs: 10 })
    await set(database, await addRepository(database, 'team/other'), { tag: 'v1', content: 'one', nowMs: 10 })
    const row = { digest: one, since_ms: 10, set_by: 'alice', media_type: 'c/d', artifact_type: 'a/b', size_bytes: 3 }
    const list = (page: { text?: string; after?: string; limit?: number }) =>
      listTagRows(database.read, { repositoryId, after: undefined, limit: 10, ...page })
    const rows = ['latest', 'v1', 'v2'].map((name) => ({ name, ...row }))
    assert.deepEqual(await list({}), rows)
    assert.deepEqual(await list({ text: 'v', limit: 1 }), rows.slice(1, 2))
    assert.deepEqual(await list({ after: 'v1' }), rows.slice(2))
    assert.deepEqual(await findTagRow(database.read, { repositoryId, tag: tagOf('v2') }), rows[2])
    assert.equal(await findTagRow(database.read, { repositoryId, tag: tagOf('V2') }), undefined)
    await database.write((tx) => endTag(tx, { repositoryId, tag: tagOf('v1'), nowMs: 20, by: null }))
    assert.deepEqual((await listTagsOf(database.read, { repositoryId, digest: one, limit: 10 })).toSorted(), ['latest', 'v2'])
    assert.equal((await listTagsOf(database.read, { repositoryId, digest: one, limit: 1 })).length, 1)
  })

  test('what a tag was is read back page by page, the newest first, also when two changes fell into one moment', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    for (const [content, nowMs] of [
      ['one', 10],
      ['two', 20],
      ['three', 20],
      ['one', 30],
    ] as const)
      await set(database, repositoryId, { content, nowMs })
    await set(database, repositoryId, { tag: 'other', content: 'one', nowMs: 25 })
    const found: string[] = []
    for (let before: { sinceMs: number; id: number } | undefined; ;) {
      const [row] = await listTagIntervals(database.read, { repositoryId, tag: tagOf('latest'), before, limit: 1 })
      if (!row) break
      found.push(row.digest)
      before = { sinceMs: row.since_ms, id: row.id }
    }
    assert.deepEqual(found, ['one', 'three', 'two', 'one'].map(sha256Of))
  })
}
