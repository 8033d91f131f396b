/** The rule on untagged manifests: what goes when, what holds a manifest although it has no tag, and that nothing goes before what lists it. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Digest } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { updateRepository } from '../../registry/change-repository.ts'
import { Collector } from '../../registry/collect.ts'
import { verdictOn } from '../../registry/collect-manifests.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { deleteByReference, resolveManifest } from '../../registry/read-manifest.ts'
import type { RegistryRules } from '../../registry/registry.ts'
import { restoreFromTrash, trashFor } from '../../registry/trash.ts'
import { repositoryName, sha256Of } from '../support/metadata-rows.ts'
import { getRepository, openFloor, type Floor } from '../support/registry-floor.ts'

const day = 86_400_000
const app = repositoryName('team/app')
const emptyType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const sizes = new Map<Digest, number>()

interface Content {
  /** Makes it another than the others. */
  readonly text: string
  readonly lists?: readonly Digest[]
  readonly subject?: Digest
  readonly tag?: string
}

/** An index, because that needs no blobs. */
async function push({ registry }: Floor, { text, lists = [], subject, tag }: Content): Promise<Digest> {
  const entry = (digest: Digest) => ({ mediaType: indexType, digest, size: sizes.get(digest) })
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: indexType,
    manifests: lists.map(entry),
    annotations: { text },
    ...(subject && { subject: { ...entry(subject), mediaType: emptyType } }),
  })
  const { digest } = await pushManifest(registry, {
    repository: app,
    reference: parseReference(tag ?? sha256Of(body)),
    extraTags: [],
    contentType: indexType,
    bytes: Buffer.from(body),
    by: null,
  })
  sizes.set(digest, body.length)
  return digest
}

const left = async ({ database }: Floor): Promise<string[]> => {
  const rows = await database.read
    .selectFrom('manifest')
    .innerJoin('repository', 'repository.id', 'repository_id')
    .select('digest')
    .where('name', '=', app)
    .execute()
  return rows.map(({ digest }) => digest).toSorted()
}
const waiting = async ({ database }: Floor) => (await database.read.selectFrom('manifest_review').select('due_ms').execute()).length

async function collect({ registry }: Floor, sweep?: { days: number }): Promise<number> {
  const collector = await Collector.open({ registry, monotonic: registry.clock, startMs: 0 })
  const { manifests, isComplete } = await collector.round(new AbortController().signal, sweep)
  assert.ok(isComplete)
  return manifests
}

const remove = async (floor: Floor, reference: string) =>
  deleteByReference(floor.registry, await getRepository(floor.registry, app), { reference: parseReference(reference), by: null })
const open = (t: TestContext, rules: Partial<RegistryRules> = {}) =>
  openFloor(t, { untaggedDays: 3, trashMs: day, leaseMs: 3_600_000, ...rules })

suite('an untagged manifest', () => {
  test('goes when its days are over, and a tagged one never', async (t) => {
    const floor = await open(t)
    await push(floor, { text: 'untagged' })
    const tagged = await push(floor, { text: 'tagged', tag: 'latest' })
    floor.advance(3 * day - 1)
    assert.equal(await collect(floor), 0)
    floor.advance(1)
    assert.equal(await collect(floor), 1)
    assert.deepEqual(await left(floor), [tagged])
    assert.equal(await waiting(floor), 0, 'the tagged one is looked at when its tag ends')
  })

  test('counts from the end of its last tag, and not before that can be undone no more', async (t) => {
    const floor = await open(t, { trashMs: 5 * day })
    await push(floor, { text: 'old', tag: 'latest' })
    floor.advance(10 * day)
    const fresh = await push(floor, { text: 'new', tag: 'latest' })
    floor.advance(4 * day)
    assert.equal(await collect(floor), 0)
    floor.advance(day)
    assert.equal(await collect(floor), 1)
    assert.deepEqual(await left(floor), [fresh])
  })

  test('stays where the repository or the setting keeps it, until that changes', async (t) => {
    const floor = await open(t, { untaggedDays: 0 })
    await push(floor, { text: 'untagged' })
    floor.advance(100 * day)
    assert.equal(await collect(floor), 0)
    await updateRepository(floor.registry, app, { untagged_days: 200 })
    assert.equal(await collect(floor), 0)
    await updateRepository(floor.registry, app, { untagged_days: 0 })
    floor.advance(200 * day)
    assert.equal(await collect(floor), 0)
    await updateRepository(floor.registry, app, { untagged_days: 1 })
    assert.equal(await collect(floor), 1)
  })

  test('goes when the setting that kept it is another after a start', async (t) => {
    const floor = await open(t, { untaggedDays: 0 })
    await push(floor, { text: 'untagged' })
    floor.advance(100 * day)
    assert.equal(await collect(floor), 0)
    const { registry } = floor
    const restarted = { ...floor, registry: { ...registry, rules: { ...registry.rules, untaggedDays: 5 } } }
    assert.equal(await collect(restarted), 1)
  })

  test('stays while an index lists it, and goes after it by its own time', async (t) => {
    const floor = await open(t)
    const child = await push(floor, { text: 'child' })
    const index = await push(floor, { text: 'index', lists: [child], tag: 'latest' })
    floor.advance(10 * day)
    assert.equal(await collect(floor), 0)
    await remove(floor, 'latest')
    floor.advance(2 * day)
    assert.equal(await collect(floor), 0)
    assert.deepEqual(await left(floor), [child, index].toSorted())
    floor.advance(day)
    assert.equal(await collect(floor), 2, 'the index, and then its child, which is older')
    assert.deepEqual(await left(floor), [])
  })

  test('stays while its subject is there, however long that is', async (t) => {
    const floor = await open(t)
    const image = await push(floor, { text: 'image', tag: 'latest' })
    const signature = await push(floor, { text: 'signature', subject: image })
    floor.advance(100 * day)
    assert.equal(await collect(floor), 0)
    assert.deepEqual(await left(floor), [image, signature].toSorted())
  })

  test('stays while what lists it, or what it refers to, can be restored', async (t) => {
    const floor = await open(t, { trashMs: 30 * day })
    const child = await push(floor, { text: 'child' })
    const index = await push(floor, { text: 'index', lists: [child], tag: 'latest' })
    await push(floor, { text: 'signature', subject: index })
    floor.advance(20 * day)
    await remove(floor, index)
    floor.advance(20 * day)
    assert.equal(await collect(floor), 0)
    const [item] = (await trashFor(floor.registry, { of: undefined, before: undefined, limit: 9 })).items
    await restoreFromTrash(floor.registry, { id: item?.id ?? 0, by: null })
    assert.equal((await left(floor)).length, 3)
    await remove(floor, index)
    floor.advance(31 * day)
    await collect(floor)
    assert.deepEqual(await left(floor), [])
  })

  test('stays for a lease when it is pushed again, or asked for by its digest', async (t) => {
    const floor = await open(t, { leaseMs: 2 * day })
    const digest = await push(floor, { text: 'child' })
    floor.advance(3 * day)
    await push(floor, { text: 'child' })
    floor.advance(day)
    assert.equal(await collect(floor), 0)
    floor.advance(day / 2)
    await resolveManifest(floor.registry, await getRepository(floor.registry, app), { kind: 'digest', digest })
    floor.advance(2 * day - 1)
    assert.equal(await collect(floor), 0)
    floor.advance(1)
    assert.equal(await collect(floor), 1)
  })

  test('goes at once in a sweep that says so, with what only it held; a lease still counts', async (t) => {
    const floor = await open(t, { untaggedDays: 0 })
    const child = await push(floor, { text: 'child' })
    await push(floor, { text: 'signature', subject: await push(floor, { text: 'index', lists: [child] }) })
    const tagged = await push(floor, { text: 'tagged', tag: 'latest' })
    assert.equal(await collect(floor, { days: 0 }), 0)
    floor.advance(3_600_000)
    assert.equal(await collect(floor, { days: 0 }), 3)
    assert.deepEqual(await left(floor), [tagged])
  })

  test('is nothing to an archive, where nothing may be deleted', () => {
    const hold = {
      subject_digest: null,
      untagged_days: 1,
      pushed_at_ms: 0,
      leased_at_ms: 0,
      is_deleted: 0,
      is_tagged: 0,
      tag_ended_ms: null,
      is_listed: 0,
      has_subject: 0,
      is_restorable_with: 0,
    }
    const rules = { isDeleteEnabled: false, untaggedDays: 1, leaseMs: 0, trashMs: 0 } as RegistryRules
    assert.equal(verdictOn(hold, rules, { nowMs: 100 * day, days: 0 }), 'kept')
    assert.equal(verdictOn(hold, { ...rules, isDeleteEnabled: true }, { nowMs: 100 * day }), day)
  })
})
