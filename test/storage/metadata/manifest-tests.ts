/** Manifests: the exact bytes, what they reference, and who refers to them, a page at a time. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { digestOf, type Digest } from '../../../oci/digest.ts'
import {
  deleteManifest,
  findManifestSize,
  isReferenced,
  listReferrers,
  manifestByDigest,
  type ReferrerPage,
} from '../../../storage/metadata/manifests.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { addManifest, addRepository, sha256Of } from '../../support/metadata-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

const references = (database: Database) =>
  database.read.selectFrom('reference').select(['manifest_digest', 'digest', 'role']).orderBy('digest').orderBy('role').execute()

export function manifestTests(create: MetadataFactory): void {
  test('a manifest has exactly the bytes that were pushed, whatever they are', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    for (const content of [Buffer.alloc(0), Buffer.from('{"a": 1}\n '), Buffer.from([0, 255, 0, 13, 10]), randomBytes(4 * 1024 * 1024)]) {
      const digest = digestOf('sha512', content)
      await addManifest(database, repositoryId, { text: '', digest, content, size_bytes: content.length, media_type: 'a/b' })
      const found = await manifestByDigest.first(database.read, { repositoryId, digest })
      assert.ok(found && Buffer.from(found.content).equals(content))
      assert.deepEqual([found.digest, found.media_type], [digest, 'a/b'])
      assert.equal(await findManifestSize(database.read, { repositoryId, digest }), content.length)
    }
  })

  test('a manifest is found in its own repository only', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    const digest = await addManifest(database, app, { text: 'one' })
    for (const key of [
      { repositoryId: other, digest },
      { repositoryId: app, digest: sha256Of('two') },
    ]) {
      assert.equal(await manifestByDigest.first(database.read, key), undefined)
      assert.equal(await findManifestSize(database.read, key), undefined)
    }
  })

  test('pushing a manifest again changes nothing of it, its time and its references included', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const layer = { digest: sha256Of('layer'), role: 'layer' as const }
    const digest = await addManifest(database, repositoryId, { text: 'one', pushed_at_ms: 5, pushed_by: 'alice', references: [layer] })
    await addManifest(database, repositoryId, {
      text: 'one',
      pushed_at_ms: 9,
      pushed_by: 'bob',
      references: [{ digest: sha256Of('other'), role: 'layer' }],
    })
    const row = await database.read.selectFrom('manifest').select(['pushed_at_ms', 'pushed_by']).execute()
    assert.deepEqual(row, [{ pushed_at_ms: 5, pushed_by: 'alice' }])
    assert.deepEqual(await references(database), [{ manifest_digest: digest, ...layer }])
  })

  test('what a manifest references twice is recorded once, in each of its roles', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const empty = sha256Of('{}')
    await addManifest(database, repositoryId, {
      text: 'one',
      references: [
        { digest: empty, role: 'config' },
        { digest: empty, role: 'layer' },
        { digest: empty, role: 'layer' },
      ],
    })
    assert.deepEqual(
      (await references(database)).map((row) => row.role),
      ['config', 'layer'],
    )
  })

  test('a manifest with thousands of references keeps them all', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const many = Array.from({ length: 3000 }, (_, index) => ({ digest: sha256Of(`${index}`), role: 'layer' as const }))
    await addManifest(database, repositoryId, { text: 'one', references: many })
    assert.equal((await references(database)).length, 3000)
    assert.equal(await isReferenced(database.read, repositoryId, sha256Of('2999')), true)
  })

  test('content is in use while a manifest of the same repository references it', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    const layer = sha256Of('layer')
    const uses = { references: [{ digest: layer, role: 'layer' as const }] }
    const one = await addManifest(database, app, { text: 'one', ...uses })
    const two = await addManifest(database, app, { text: 'two', ...uses })
    assert.equal(await isReferenced(database.read, app, layer), true)
    assert.equal(await isReferenced(database.read, other, layer), false)
    assert.equal(await isReferenced(database.read, app, one), false)
    await database.write((tx) => deleteManifest(tx, app, one))
    assert.equal(await isReferenced(database.read, app, layer), true)
    await database.write((tx) => deleteManifest(tx, app, two))
    assert.equal(await isReferenced(database.read, app, layer), false)
    assert.deepEqual(await references(database), [])
  })

  test('deleting a manifest leaves that of another repository, and says whether there was one', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    const digest = await addManifest(database, app, { text: 'one' })
    await addManifest(database, other, { text: 'one' })
    assert.equal(await database.write((tx) => deleteManifest(tx, app, digest)), true)
    assert.equal(await database.write((tx) => deleteManifest(tx, app, digest)), false)
    assert.ok(await manifestByDigest.first(database.read, { repositoryId: other, digest }))
  })

  referrerTests(create)
}

function referrerTests(create: MetadataFactory): void {
  const subject = sha256Of('the subject')

  /** The texts of a page's manifests. */
  async function page(database: Database, repositoryId: number, more: Partial<ReferrerPage> = {}) {
    const asked = { repositoryId, subject, artifactTypes: [], after: undefined, limit: 100, ...more }
    return listReferrers(database.read, asked)
  }

  test('a referrer is listed with what its descriptor needs, and without its bytes', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const digest = await addManifest(database, repositoryId, {
      text: 'a signature',
      subject_digest: subject,
      artifact_type: 'application/x.signature',
      annotations: '{"by":"alice"}',
      pushed_at_ms: 5,
    })
    assert.deepEqual(await page(database, repositoryId), [
      {
        digest,
        media_type: 'application/vnd.oci.image.manifest.v1+json',
        artifact_type: 'application/x.signature',
        size_bytes: 11,
        annotations: '{"by":"alice"}',
        pushed_at_ms: 5,
      },
    ])
  })

  test('only manifests of this repository with this subject are listed', async (t) => {
    const { database } = await create(t)
    const [app, other] = [await addRepository(database, 'team/app'), await addRepository(database, 'team/other')]
    await addManifest(database, app, { text: 'no subject' })
    await addManifest(database, app, { text: 'another subject', subject_digest: sha256Of('another') })
    await addManifest(database, other, { text: 'another repository', subject_digest: subject })
    assert.deepEqual(await page(database, app), [])
    const digest = await addManifest(database, app, { text: 'this one', subject_digest: subject })
    assert.deepEqual(
      (await page(database, app)).map((row) => row.digest),
      [digest],
    )
    await database.write((tx) => deleteManifest(tx, app, digest))
    assert.deepEqual(await page(database, app), [])
  })

  test('several artifact types are a union, and a referrer without one belongs to none', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const types = ['a/signature', 'a/sbom', 'a/other', null]
    for (const [index, artifact_type] of types.entries()) {
      await addManifest(database, repositoryId, { text: `${index}`, subject_digest: subject, artifact_type, pushed_at_ms: index })
    }
    const typesOf = async (artifactTypes: string[]) =>
      (await page(database, repositoryId, { artifactTypes })).map((row) => row.artifact_type)
    assert.deepEqual(await typesOf([]), types)
    assert.deepEqual(await typesOf(['a/sbom']), ['a/sbom'])
    assert.deepEqual(await typesOf(['a/other', 'a/signature', 'a/unknown']), ['a/signature', 'a/other'])
    assert.deepEqual(await typesOf(['a/SBOM', '']), [])
  })

  test('pages follow each other by push time, then digest, and leave nothing out when many were pushed at once', async (t) => {
    const { database } = await create(t)
    const repositoryId = await addRepository(database, 'team/app')
    const all: { at: number; digest: Digest; type: string }[] = []
    for (let index = 0; index < 40; index++) {
      const [at, type] = [Math.floor((40 - index) / 7), index % 3 === 0 ? 'a/x' : 'a/y']
      const facts = { text: `${index}`, subject_digest: subject, pushed_at_ms: at, artifact_type: type }
      all.push({ at, type, digest: await addManifest(database, repositoryId, facts) })
    }
    const sorted = all.toSorted((a, b) => a.at - b.at || (a.digest < b.digest ? -1 : 1))
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 45 }), fc.subarray(['a/x', 'a/y']), async (limit, artifactTypes) => {
        const listed: string[] = []
        for (let after: ReferrerPage['after']; ;) {
          const rows = await page(database, repositoryId, { after, limit, artifactTypes })
          listed.push(...rows.map((row) => row.digest))
          const last = rows.at(-1)
          if (!last || rows.length < limit) break
          after = { pushedAtMs: last.pushed_at_ms, digest: last.digest }
        }
        const expected = sorted.filter(({ type }) => artifactTypes.length === 0 || artifactTypes.includes(type))
        assert.deepEqual(
          listed,
          expected.map((each) => each.digest),
        )
      }),
      { numRuns: 60 },
    )
  })
}
