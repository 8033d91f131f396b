/** Undoing deletions: what the trash holds, what comes back and how, what stays out of everybody's reach, and how room is given back. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseReference } from '../../oci/reference.ts'
import { removeRepository } from '../../registry/change-repository.ts'
import { reviewBlobs, reviewLinks } from '../../registry/collect-blobs.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { deleteByReference, resolveManifest } from '../../registry/read-manifest.ts'
import type { RegistryRules } from '../../registry/registry.ts'
import { emptyTrash, purgeFromTrash, restoreFromTrash, trashFor } from '../../registry/trash.ts'
import { updateNamespace } from '../../registry/namespaces.ts'
import { isLinkedSomewhere } from '../../storage/metadata/blobs.ts'
import { emptyManifest } from '../../storage/metadata/scrubs.ts'
import { listRepositories, searchRepositories } from '../../storage/metadata/repositories.ts'
import { sha256Of, repositoryName } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { getRepository, openFloor, pushBlob, type Floor } from '../support/registry-floor.ts'

const day = 86_400_000
const app = repositoryName('team/app')
const indexType = 'application/vnd.oci.image.index.v1+json'
const imageType = 'application/vnd.oci.image.manifest.v1+json'

/** An image of one layer under a reference. @returns its digest. */
async function pushImage(floor: Floor, name: string, { content, reference }: { content: string; reference?: string }): Promise<Digest> {
  const layer = { mediaType: 'a/layer', digest: await pushBlob(floor.registry, name, content), size: content.length }
  const config = { mediaType: 'a/config', digest: await pushBlob(floor.registry, name, '{}'), size: 2 }
  return push(floor, name, { body: { schemaVersion: 2, mediaType: imageType, config, layers: [layer] }, reference })
}

async function pushIndex(floor: Floor, name: string, { children, reference }: { children: Digest[]; reference?: string }): Promise<Digest> {
  const rows = await floor.database.read.selectFrom('manifest').select(['digest', 'size_bytes']).execute()
  const manifests = children.map((digest) => ({
    mediaType: imageType,
    digest,
    size: rows.find((row) => row.digest === digest)?.size_bytes,
  }))
  return push(floor, name, { body: { schemaVersion: 2, mediaType: indexType, manifests }, reference })
}

async function push(
  floor: Floor,
  name: string,
  { body, reference }: { body: { mediaType: string } & Record<string, unknown>; reference: string | undefined },
): Promise<Digest> {
  const text = JSON.stringify(body)
  const { digest } = await pushManifest(floor.registry, {
    repository: repositoryName(name),
    reference: parseReference(reference ?? sha256Of(text)),
    extraTags: [],
    contentType: body.mediaType,
    bytes: Buffer.from(text),
    by: 'alice',
  })
  return digest
}

const remove = async (floor: Floor, reference: string, name = 'team/app') =>
  deleteByReference(floor.registry, await getRepository(floor.registry, name), { reference: parseReference(reference), by: 'bob' })
const resolve = async (floor: Floor, reference: string, name = 'team/app') =>
  (await resolveManifest(floor.registry, await getRepository(floor.registry, name), parseReference(reference))).digest
const itemsOf = async ({ registry }: Floor) => (await trashFor(registry, { of: undefined, before: undefined, limit: 100 })).items
const restore = async (floor: Floor) => restoreFromTrash(floor.registry, { id: (await itemsOf(floor))[0]?.id ?? 0, by: 'carol' })
const count = async ({ database }: Floor, table: 'blob' | 'manifest' | 'repository' | 'trash_item' | 'blob_link' | 'reference' | 'tag') =>
  (await database.read.selectFrom(table).selectAll().execute()).length

async function collect({ registry }: Floor): Promise<void> {
  for (const step of [emptyTrash, reviewLinks, reviewBlobs]) while ((await step(registry)).seen > 0);
}

const open = (t: TestContext, rules: Partial<RegistryRules> = {}) => openFloor(t, { leaseMs: 60_000, ...rules })

suite('a deleted manifest', () => {
  test('is gone at once, and comes back byte for byte with its tags', async (t) => {
    const floor = await open(t)
    const digest = await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' })
    assert.equal(await pushImage(floor, 'team/app', { content: 'layer', reference: 'two' }), digest)
    const before = await resolveManifest(floor.registry, await getRepository(floor.registry, 'team/app'), parseReference('one'))
    await remove(floor, digest)
    for (const reference of ['one', 'two', digest]) await assertRejected('manifestUnknown', resolve(floor, reference))
    floor.advance(6 * day)
    await collect(floor)
    const item = await restore(floor)
    assert.deepEqual([item.kind, item.repository, item.digest, item.deleted_by], ['manifest', 'team/app', digest, 'bob'])
    const after = await resolveManifest(floor.registry, await getRepository(floor.registry, 'team/app'), parseReference('two'))
    assert.deepEqual(after, before)
    assert.deepEqual(await itemsOf(floor), [])
    await collect(floor)
    assert.equal(await count(floor, 'blob'), 2, 'all that it needs is there')
    assert.equal(await count(floor, 'blob_link'), 2)
    assert.equal(await count(floor, 'repository'), 1)
  })

  test('may have been damaged', async (t) => {
    const floor = await open(t)
    const digest = await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' })
    const { content } = await resolveManifest(floor.registry, await getRepository(floor.registry, 'team/app'), parseReference('one'))
    const { id: repositoryId } = await getRepository(floor.registry, 'team/app')
    await floor.database.write((tx) => emptyManifest.run(tx, { repositoryId, digest, content }))
    await assertRejected('manifestDamaged', resolve(floor, 'one'))
    await remove(floor, digest)
    await assertRejected('manifestUnknown', resolve(floor, 'one'))
  })

  test('takes no tag back that was pushed anew', async (t) => {
    const floor = await open(t)
    const digest = await pushImage(floor, 'team/app', { content: 'old', reference: 'latest' })
    await remove(floor, digest)
    const fresh = await pushImage(floor, 'team/app', { content: 'new', reference: 'latest' })
    await restore(floor)
    assert.equal(await resolve(floor, 'latest'), fresh)
    assert.equal(await resolve(floor, digest), digest)
  })

  test('may have been pushed again meanwhile', async (t) => {
    const floor = await open(t)
    const digest = await pushImage(floor, 'team/app', { content: 'x', reference: 'a' })
    await remove(floor, digest)
    await pushImage(floor, 'team/app', { content: 'x', reference: 'b' })
    await restore(floor)
    for (const tag of ['a', 'b']) assert.equal(await resolve(floor, tag), digest)
  })

  test('keeps its blobs from everybody but the collector', async (t) => {
    const floor = await open(t)
    await remove(floor, await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' }))
    floor.advance(day)
    await collect(floor)
    assert.equal(await count(floor, 'blob'), 2)
    assert.equal(await isLinkedSomewhere(floor.database.read, sha256Of('layer'), { kind: 'all' }), false)
    assert.equal((await listRepositories(floor.database.read, { filter: { kind: 'all' }, after: undefined, limit: 10 })).length, 1)
    const found = await searchRepositories(floor.database.read, { text: '', filter: { kind: 'all' }, limit: 10 })
    assert.deepEqual(
      found.map(({ name }) => name),
      ['team/app'],
    )
  })

  test('an index does not come back without what it lists', async (t) => {
    const floor = await open(t)
    const child = await pushImage(floor, 'team/app', { content: 'layer' })
    const index = await pushIndex(floor, 'team/app', { children: [child], reference: 'latest' })
    await remove(floor, index)
    floor.advance(1)
    await remove(floor, child)
    const items = await itemsOf(floor)
    assert.deepEqual(
      items.map(({ digest }) => digest),
      [child, index],
    )
    const [ofChild, ofIndex] = items.map(({ id }) => id)
    const refused = await assertRejected('restoreBlocked', restoreFromTrash(floor.registry, { id: ofIndex ?? 0, by: null }))
    assert.ok(refused instanceof RegistryError)
    await restoreFromTrash(floor.registry, { id: ofChild ?? 0, by: null })
    await restoreFromTrash(floor.registry, { id: ofIndex ?? 0, by: null })
    assert.equal(await resolve(floor, 'latest'), index)
  })

  test('is gone for good when its time is over, and the room with it', async (t) => {
    const floor = await open(t)
    await remove(floor, await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' }))
    const [item] = await itemsOf(floor)
    floor.advance(7 * day)
    assert.deepEqual(await itemsOf(floor), [], 'also before the collector has come to it')
    await assertRejected('trashItemUnknown', restoreFromTrash(floor.registry, { id: item?.id ?? 0, by: null }))
    await collect(floor)
    for (const table of ['blob', 'manifest', 'trash_item', 'blob_link', 'reference'] as const)
      assert.equal(await count(floor, table), 0, table)
    assert.equal(await count(floor, 'repository'), 1)
  })

  test('can be purged before, and with no days to wait goes at once', async (t) => {
    const floor = await open(t)
    await remove(floor, await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' }))
    const [item] = await itemsOf(floor)
    await purgeFromTrash(floor.registry, item?.id ?? 0)
    assert.equal(await count(floor, 'manifest'), 0)
    await assertRejected('trashItemUnknown', purgeFromTrash(floor.registry, item?.id ?? 0))
    const none = await open(t, { trashMs: 0 })
    await remove(none, await pushImage(none, 'team/app', { content: 'layer', reference: 'one' }))
    assert.deepEqual(await itemsOf(none), [])
    await collect(none)
    assert.equal(await count(none, 'manifest'), 0)
  })

  test('waits for its repository when that is in the trash, too', async (t) => {
    const floor = await open(t)
    await remove(floor, await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' }))
    await removeRepository(floor.registry, app)
    const [manifest, repository] = (await itemsOf(floor)).toSorted((a, b) => a.id - b.id)
    await assertRejected('restoreBlocked', restoreFromTrash(floor.registry, { id: manifest?.id ?? 0, by: null }))
    for (const item of [repository, manifest]) await restoreFromTrash(floor.registry, { id: item?.id ?? 0, by: null })
    assert.ok(await resolve(floor, 'one'))
  })
})

suite('a deleted repository', () => {
  test('is gone at once, and comes back with its tags, their history and its manifests', async (t) => {
    const floor = await open(t)
    const old = await pushImage(floor, 'team/app', { content: 'old', reference: 'latest' })
    const digest = await pushImage(floor, 'team/app', { content: 'new', reference: 'latest' })
    await removeRepository(floor.registry, app, { by: 'bob' })
    await assert.rejects(getRepository(floor.registry, 'team/app'))
    assert.equal((await listRepositories(floor.database.read, { filter: { kind: 'all' }, after: undefined, limit: 10 })).length, 0)
    floor.advance(6 * day)
    await collect(floor)
    await restore(floor)
    assert.equal(await resolve(floor, 'latest'), digest)
    assert.equal(await resolve(floor, old), old)
    assert.equal(await count(floor, 'tag'), 2)
    assert.equal(await count(floor, 'blob'), 3)
  })

  test('does not take the place of one that was pushed anew', async (t) => {
    const floor = await open(t)
    await pushImage(floor, 'team/app', { content: 'old', reference: 'latest' })
    await removeRepository(floor.registry, app)
    const digest = await pushImage(floor, 'team/app', { content: 'new', reference: 'latest' })
    await assertRejected('nameTaken', restore(floor))
    assert.equal(await resolve(floor, 'latest'), digest)
    await removeRepository(floor.registry, app)
    assert.equal((await itemsOf(floor)).length, 2)
  })

  test('comes back into its namespace as that is called now', async (t) => {
    const floor = await open(t)
    const digest = await pushImage(floor, 'team/app', { content: 'old', reference: 'latest' })
    await removeRepository(floor.registry, app)
    await updateNamespace(floor.database, 'team', { name: 'crew' })
    assert.equal((await restore(floor)).repository, 'crew/app')
    assert.equal(await resolve(floor, 'latest', 'crew/app'), digest)
  })

  test('a large one goes in many steps, and half of it is nothing to restore', async (t) => {
    const floor = await open(t)
    const { id } = await (async () => {
      await pushImage(floor, 'team/app', { content: 'layer', reference: 'one' })
      return getRepository(floor.registry, 'team/app')
    })()
    await floor.database.write(async (tx) => {
      for (let index = 0; index < 300; index++) {
        const row = { repository_id: id, media_type: 'a/b', artifact_type: null, size_bytes: 1, subject_digest: null, annotations: null }
        const more = { digest: sha256Of(String(index)), pushed_by: null, pushed_at_ms: 1, content: Buffer.from('x') }
        await tx
          .insertInto('manifest')
          .values({ ...row, ...more })
          .execute()
      }
    })
    await removeRepository(floor.registry, app)
    floor.advance(7 * day)
    const first = await emptyTrash(floor.registry)
    assert.ok(first.manifests > 0 && first.manifests <= 100)
    let steps = 1
    while ((await emptyTrash(floor.registry)).seen > 0) steps++
    assert.ok(steps > 5)
    for (const table of ['manifest', 'trash_item', 'repository', 'tag', 'blob_link'] as const)
      assert.equal(await count(floor, table), 0, table)
  })
})
