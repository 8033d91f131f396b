/** Blobs and links: a blob is seen only through a link, its lease moves with every promise, and what there is in all is counted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  isLinkedSomewhere,
  linkBlob,
  linkedBlob,
  putBlob,
  renewLease,
  totalBlobs,
  unlinkBlob,
  type LinkedBlobRow,
} from '../../../storage/metadata/blobs.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import type { RepositoryFilter, Visibility } from '../../../storage/metadata/repositories.ts'
import { addBlob, addRepository, sha256Of } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const digest = sha256Of('a blob')
const put = (database: Database, nowMs: number): Promise<void> => database.write((tx) => putBlob(tx, { digest, sizeBytes: 6, nowMs }))
const through = (database: Database, repositoryId: number): Promise<LinkedBlobRow | undefined> =>
  linkedBlob.first(database.read, { repositoryId, digest })

export function blobTests(create: MetadataFactory): void {
  test('a blob is seen through a link, and through no other repository', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    await put(database, 5)
    assert.equal(await through(database, app), undefined)
    assert.equal(await database.write((tx) => linkBlob(tx, { repositoryId: app, digest, nowMs: 7 })), true)
    assert.deepEqual(await through(database, app), { size_bytes: 6, stored_at_ms: 5, leased_at_ms: 7 })
    assert.equal(await through(database, other), undefined)
  })

  test('a blob that is not there cannot be linked, and no link to nothing is left', async (t) => {
    const { database } = await create(t)
    const app = await addRepository(database, 'team/app')
    assert.equal(await database.write((tx) => linkBlob(tx, { repositoryId: app, digest, nowMs: 7 })), false)
    assert.deepEqual(await database.read.selectFrom('blob_link').selectAll().execute(), [])
  })

  test('storing a blob again renews its lease and keeps the time when it was first stored', async (t) => {
    const { database } = await create(t)
    await put(database, 5)
    await put(database, 9)
    assert.deepEqual(await database.read.selectFrom('blob').selectAll().execute(), [
      { digest, size_bytes: 6, stored_at_ms: 5, leased_at_ms: 9 },
    ])
  })

  test('linking again renews the lease and keeps the link', async (t) => {
    const { database } = await create(t)
    const app = await addRepository(database, 'team/app')
    await put(database, 5)
    for (const nowMs of [7, 9]) assert.equal(await database.write((tx) => linkBlob(tx, { repositoryId: app, digest, nowMs })), true)
    assert.deepEqual(await through(database, app), { size_bytes: 6, stored_at_ms: 5, leased_at_ms: 9 })
    const links = await database.read.selectFrom('blob_link').select(['repository_id', 'digest', 'linked_at_ms']).execute()
    assert.deepEqual(links, [{ repository_id: app, digest, linked_at_ms: 7 }])
  })

  test('a lease is renewed for the blob, whoever links it, and for no other', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    for (const repositoryId of [app, other]) await addBlob(database, repositoryId, 'a blob')
    const another = await addBlob(database, app, 'another')
    const renew = (lease: Parameters<typeof renewLease>[1]) => database.writeRelaxed((tx) => renewLease(tx, lease))
    assert.equal(await renew({ repositoryId: app, digest, nowMs: 50 }), true)
    assert.equal(await renew({ repositoryId: other, digest: another, nowMs: 60 }), false, 'it is not linked there')
    assert.equal(await renew({ repositoryId: app, digest: sha256Of('nothing'), nowMs: 60 }), false)
    assert.equal((await through(database, other))?.leased_at_ms, 50)
    assert.equal((await linkedBlob.first(database.read, { repositoryId: app, digest: another }))?.leased_at_ms, 1)
  })

  test('unlinking takes the link of one repository only, and says whether there was one', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    for (const repositoryId of [app, other]) await addBlob(database, repositoryId, 'a blob')
    assert.equal(await database.write((tx) => unlinkBlob(tx, app, digest)), true)
    assert.equal(await database.write((tx) => unlinkBlob(tx, app, digest)), false)
    assert.equal(await through(database, app), undefined)
    assert.ok(await through(database, other))
    assert.deepEqual(await totalBlobs(database.read), { blobs: 1, bytes: 6 })
  })

  test('a blob that is linked cannot be deleted, one that is not can', async (t) => {
    const { database } = await create(t)
    const app = await addRepository(database, 'team/app')
    await addBlob(database, app, 'a blob')
    const remove = () => database.write((tx) => tx.deleteFrom('blob').where('digest', '=', digest).execute())
    await assert.rejects(remove(), /foreign key/i)
    await database.write((tx) => unlinkBlob(tx, app, digest))
    await remove()
    assert.deepEqual(await totalBlobs(database.read), { blobs: 0, bytes: 0 })
  })

  test('a repository that goes takes its links, not its blobs', async (t) => {
    const { database } = await create(t)
    const app = await addRepository(database, 'team/app')
    await addBlob(database, app, 'a blob')
    await database.write((tx) => tx.deleteFrom('repository').where('id', '=', app).execute())
    assert.deepEqual(await database.read.selectFrom('blob_link').selectAll().execute(), [])
    assert.deepEqual(await totalBlobs(database.read), { blobs: 1, bytes: 6 })
  })

  test('the total is the number of blobs and of their bytes after any changes', async (t) => {
    const { database } = await create(t)
    const step = fc.record({ content: fc.constantFrom('a', 'bb', 'ccc', 'dddd'), isRemoved: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        for (const { content, isRemoved } of steps) {
          await database.writeRelaxed(async (tx) => {
            if (isRemoved) await tx.deleteFrom('blob').where('digest', '=', sha256Of(content)).execute()
            else await putBlob(tx, { digest: sha256Of(content), sizeBytes: content.length, nowMs: 1 })
          })
        }
        const rows = await database.read.selectFrom('blob').select('size_bytes').execute()
        const bytes = rows.reduce((sum, row) => sum + row.size_bytes, 0)
        assert.deepEqual(await totalBlobs(database.read), { blobs: rows.length, bytes })
      }),
      { numRuns: 40 },
    )
  })

  const where: readonly (readonly [filter: RepositoryFilter, found: boolean])[] = [
    [{ kind: 'all' }, true],
    [{ kind: 'some', namespaces: ['team'], visibilities: [] }, true],
    [{ kind: 'some', namespaces: ['alice', 'team'], visibilities: ['public'] }, true],
    [{ kind: 'some', namespaces: [], visibilities: ['internal'] }, true],
    [{ kind: 'some', namespaces: ['alice'], visibilities: ['public'] }, false],
    [{ kind: 'some', namespaces: ['tea', 'team/app', 'TEAM'], visibilities: ['private'] }, false],
    [{ kind: 'some', namespaces: [], visibilities: [] }, false],
    [{ kind: 'all', within: [] }, false],
    [{ kind: 'all', within: [{ from: 'team/', before: 'team/~' }] }, true],
    [
      {
        kind: 'all',
        within: [
          { from: 'team/ap', before: 'team/ap!' },
          { from: 'team/app', before: 'team/app!' },
        ],
      },
      true,
    ],
    [{ kind: 'some', namespaces: ['team'], visibilities: ['internal'], within: [{ from: 'team/b', before: 'team/b~' }] }, false],
  ]
  for (const [filter, found] of where) {
    const sees = filter.kind === 'all' ? 'everything' : JSON.stringify([filter.namespaces, filter.visibilities])
    const described = filter.within ? `${sees} within ${JSON.stringify(filter.within)}` : sees
    test(`a blob of an internal repository of a team is ${found ? 'found' : 'not found'} by who sees ${described}`, async (t) => {
      const { database } = await create(t)
      const app = await addRepository(database, 'team/app', 'internal')
      await addRepository(database, 'alice/app', 'public')
      await addBlob(database, app, 'a blob')
      assert.equal(await isLinkedSomewhere(database.read, digest, filter), found)
      assert.equal(await isLinkedSomewhere(database.read, sha256Of('another'), filter), false)
    })
  }

  test('one visible link among many hidden ones is enough', async (t) => {
    const { database } = await create(t)
    const visibilities: Visibility[] = ['private', 'private', 'public', 'private']
    for (const [index, visibility] of visibilities.entries()) {
      await addBlob(database, await addRepository(database, `n${index}/app`, visibility), 'a blob')
    }
    assert.equal(await isLinkedSomewhere(database.read, digest, { kind: 'some', namespaces: [], visibilities: ['public'] }), true)
  })
}
