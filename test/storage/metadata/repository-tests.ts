/** Repositories: made with their first content, listed and searched by what the caller may see. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compareBytes } from '../../../oci/paging.ts'
import {
  changeRepository,
  deleteRepository,
  ensureRepository,
  listRepositories,
  repositoryByName,
  searchRepositories,
  setVisibility,
  type RepositoryFilter,
  type Visibility,
} from '../../../storage/metadata/repositories.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { addManifest, addRepository, repositoryName } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const everything: RepositoryFilter = { kind: 'all' }
const some = (namespaces: readonly string[], visibilities: readonly Visibility[]): RepositoryFilter => ({
  kind: 'some',
  namespaces,
  visibilities,
})

/** Name → visibility. The names sort differently by bytes than by letters, by length or by component. */
const cast: Readonly<Record<string, Visibility>> = {
  alice: 'private',
  'alice/app': 'private',
  'alice/app/web': 'public',
  'alice-2/app': 'private',
  'bob/app': 'internal',
  'bob/app10': 'private',
  'bob/app9': 'public',
  'carol/a_b': 'private',
  'carol/a__b': 'internal',
  'carol/a-b': 'private',
  'team/alice': 'private',
}

async function fill(database: Database): Promise<void> {
  for (const [name, visibility] of Object.entries(cast).toReversed()) await addRepository(database, name, visibility)
}

/** What a filter admits, by the plainest reading of it. */
function admitted(filter: RepositoryFilter): string[] {
  const isWithin = (name: string) => filter.within?.some(({ from, before }) => from <= name && name < before) ?? true
  const names = Object.keys(cast).filter(isWithin).toSorted(compareBytes)
  if (filter.kind === 'all') return names
  const { namespaces, visibilities, repositories = [], without = [] } = filter
  return names.filter(
    (name) =>
      (namespaces.includes(name.split('/')[0] ?? '') && !without.includes(name)) ||
      repositories.includes(name) ||
      visibilities.includes(cast[name] as Visibility),
  )
}

/** Ranges that are apart, as those of a token's patterns are: all that begins with a text, or one name. */
const anyRanges = fc
  .subarray(['alice/', 'alice-2/app', 'bob/app1', 'bob/app9', 'carol/a_', 'team/alice', 'zoe'])
  .chain((texts) => fc.tuple(...texts.map((from) => fc.constantFrom('~', '!').map((end) => ({ from, before: `${from}${end}` })))))

const anyFilter: fc.Arbitrary<RepositoryFilter> = fc
  .tuple(fc.oneof(fc.constant(everything), anySome()), fc.option(anyRanges, { nil: undefined }))
  .map(([filter, within]) => (within === undefined ? filter : { ...filter, within }))

function anySome(): fc.Arbitrary<RepositoryFilter> {
  return fc
    .record({
      namespaces: fc.subarray(['alice', 'alice-2', 'bob', 'carol', 'nobody', 'team']),
      visibilities: fc.oneof(fc.constant([]), fc.subarray<Visibility>(['private', 'internal', 'public'])),
      repositories: fc.subarray([...Object.keys(cast), 'alice/none', 'team']),
      without: fc.subarray([...Object.keys(cast), 'bob']),
    })
    .map((filter) => ({ kind: 'some' as const, ...filter }))
}

export function repositoryTests(create: MetadataFactory): void {
  test('a repository is made with its namespace, once', async (t) => {
    const { database } = await create(t)
    const name = repositoryName('team/app/web')
    const id = await database.write((tx) => ensureRepository(tx, { name, visibility: 'internal', nowMs: 7 }))
    const again = await database.write((tx) => ensureRepository(tx, { name, visibility: 'public', nowMs: 9 }))
    assert.equal(again, id)
    assert.deepEqual(await repositoryByName.first(database.read, { name }), {
      id,
      name,
      visibility: 'internal',
      description: '',
      created_at_ms: 7,
      untagged_days: null,
    })
    const row = await database.read.selectFrom('repository').select('namespace').executeTakeFirst()
    assert.equal(row?.namespace, 'team')
  })

  test('a repository is found by its whole name only', async (t) => {
    const { database } = await create(t)
    await addRepository(database, 'team/app')
    for (const name of ['team', 'team/app/web', 'team/ap', 'app']) {
      assert.equal(await repositoryByName.first(database.read, { name: repositoryName(name) }), undefined)
    }
  })

  test('its visibility can be changed, that of a repository that is not there cannot', async (t) => {
    const { database } = await create(t)
    await addRepository(database, 'team/app', 'private')
    await addRepository(database, 'team/other', 'private')
    assert.equal(await database.write((tx) => setVisibility(tx, repositoryName('team/app'), 'public')), true)
    assert.equal(await database.write((tx) => setVisibility(tx, repositoryName('team/none'), 'public')), false)
    const rows = await listRepositories(database.read, { filter: everything, after: undefined, limit: 10 })
    assert.deepEqual(
      rows.map(({ name, visibility }) => [name, visibility]),
      [
        ['team/app', 'public'],
        ['team/other', 'private'],
      ],
    )
  })

  test('a visibility that does not exist is refused by the database too', async (t) => {
    const { database } = await create(t)
    await addRepository(database, 'team/app')
    await assert.rejects(
      database.write((tx) => setVisibility(tx, repositoryName('team/app'), 'secret' as Visibility)),
      /constraint/i,
    )
  })

  test('a list holds exactly what its filter admits, in byte order, each once, whatever the size of the pages', async (t) => {
    const { database } = await create(t)
    await fill(database)
    await fc.assert(
      fc.asyncProperty(anyFilter, fc.integer({ min: 1, max: 13 }), async (filter, limit) => {
        const listed: string[] = []
        for (let after: string | undefined; ; after = listed.at(-1)) {
          const page = await listRepositories(database.read, { filter, after, limit })
          assert.ok(page.length <= limit)
          listed.push(...page.map((row) => row.name))
          if (page.length < limit) break
        }
        assert.deepEqual(listed, admitted(filter))
      }),
      { numRuns: 150 },
    )
  })

  test('a page begins strictly behind any text, be it a name or not', async (t) => {
    const { database } = await create(t)
    await fill(database)
    const after = fc.oneof(
      fc.constantFrom(...Object.keys(cast)),
      fc.string(),
      fc.constantFrom('', 'alice/', 'b', 'zz', 'ALICE', '\u{10ffff}'),
    )
    await fc.assert(
      fc.asyncProperty(anyFilter, after, async (filter, text) => {
        const page = await listRepositories(database.read, { filter, after: text, limit: 50 })
        assert.deepEqual(
          page.map((row) => row.name),
          admitted(filter).filter((name) => Buffer.compare(Buffer.from(name), Buffer.from(text.toWellFormed())) > 0),
        )
      }),
      { numRuns: 150 },
    )
  })

  test('a filter that admits nothing lists and finds nothing', async (t) => {
    const { database } = await create(t)
    await fill(database)
    assert.deepEqual(await listRepositories(database.read, { filter: some([], []), after: undefined, limit: 10 }), [])
    assert.deepEqual(await searchRepositories(database.read, { filter: some([], []), text: 'app', limit: 10 }), [])
  })

  test('a search finds what contains the text among what the filter admits, the shortest first', async (t) => {
    const { database } = await create(t)
    await fill(database)
    await fc.assert(
      fc.asyncProperty(
        anyFilter,
        fc.constantFrom('', 'a', 'app', '/', 'alice', 'a_b', '%', '_', 'APP', 'nothing'),
        async (filter, text) => {
          const found = await searchRepositories(database.read, { filter, text, limit: 50 })
          const expected = admitted(filter).filter((name) => name.includes(text))
          assert.deepEqual(
            found.map((row) => row.name),
            expected.toSorted((a, b) => a.length - b.length || compareBytes(a, b)),
          )
        },
      ),
      { numRuns: 150 },
    )
  })

  test('a search gives at most what was asked for', async (t) => {
    const { database } = await create(t)
    await fill(database)
    const found = await searchRepositories(database.read, { filter: everything, text: 'app', limit: 2 })
    assert.deepEqual(
      found.map((row) => row.name),
      ['bob/app', 'bob/app9'],
    )
  })

  test('a list of what was asked for is what the filter admits of it, in byte order', async (t) => {
    const { database } = await create(t)
    await fill(database)
    const wish = fc.record(
      {
        namespace: fc.constantFrom('alice', 'bob', 'alice-2', 'nobody'),
        visibility: fc.constantFrom<Visibility>('private', 'internal', 'public'),
        text: fc.constantFrom('', 'a', 'app', '/', '_', '%', 'APP'),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(anyFilter, wish, fc.integer({ min: 1, max: 20 }), async (filter, only, limit) => {
        const found = await listRepositories(database.read, { filter, only, after: undefined, limit })
        const expected = admitted(filter)
          .filter((name) => only.namespace === undefined || name.split('/')[0] === only.namespace)
          .filter((name) => only.visibility === undefined || cast[name] === only.visibility)
          .filter((name) => name.includes(only.text ?? ''))
        assert.deepEqual(
          found.map((row) => row.name),
          expected.toSorted(compareBytes).slice(0, limit),
        )
      }),
      { numRuns: 150 },
    )
  })

  test('a change touches the repository that is meant, and what is removed takes what was in it along', async (t) => {
    const { database } = await create(t)
    const [one, two] = [await addRepository(database, 'team/one'), await addRepository(database, 'team/two')]
    for (const id of [one, two]) await addManifest(database, id, { text: '{}' })
    const change = (id: number) => database.write((tx) => changeRepository(tx, id, { description: 'changed', visibility: 'public' }))
    assert.deepEqual([await change(one), await change(99)], [true, false])
    const rows = await listRepositories(database.read, { filter: everything, after: undefined, limit: 10 })
    assert.deepEqual(
      rows.map(({ name, description, visibility }) => [name, description, visibility]),
      [
        ['team/one', 'changed', 'public'],
        ['team/two', '', 'private'],
      ],
    )
    const remove = (id: number) => database.write((tx) => deleteRepository(tx, id))
    assert.deepEqual([await remove(one), await remove(one)], [true, false])
    assert.deepEqual(await database.read.selectFrom('manifest').select('repository_id').execute(), [{ repository_id: two }])
  })
}
