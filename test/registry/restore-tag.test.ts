/** Making a tag again what it was: by one of its digests or by what it was before, with manifests that are in the trash. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Digest } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { deleteByReference, resolveManifest } from '../../registry/read-manifest.ts'
import { restoreTag } from '../../registry/restore-tag.ts'
import { pointTag } from '../../registry/set-tag.ts'
import { addManifest, addRepository, tagOf } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { getRepository, openFloor, type Floor } from '../support/registry-floor.ts'

const day = 86_400_000
const tag = tagOf('latest')

/** A tag that was three manifests, one after the other. */
async function moved(t: TestContext): Promise<{ floor: Floor; digests: readonly [Digest, Digest, Digest] }> {
  const floor = await openFloor(t)
  const id = await addRepository(floor.database, 'team/app')
  const digests: Digest[] = []
  for (const text of ['one', 'two', 'three']) {
    const digest = await addManifest(floor.database, id, { text, pushed_at_ms: floor.now() })
    digests.push(digest)
    await pointTag(floor.registry, await getRepository(floor.registry, 'team/app'), { tag, digest, by: 'alice' })
    floor.advance(1000)
  }
  return { floor, digests: digests as never }
}

const restore = async ({ registry }: Floor, digest?: Digest, check?: (current: Digest | undefined) => void) =>
  restoreTag(registry, await getRepository(registry, 'team/app'), { tag, digest, by: 'bob', ...(check && { check }) })
const current = async ({ registry }: Floor) =>
  (await resolveManifest(registry, await getRepository(registry, 'team/app'), { kind: 'tag', tag })).digest
const remove = async ({ registry }: Floor, reference: string) =>
  deleteByReference(registry, await getRepository(registry, 'team/app'), { reference: parseReference(reference), by: null })

suite('a tag', () => {
  test('is what it was before, and again: that is an undo of the undo', async (t) => {
    const { floor, digests } = await moved(t)
    assert.equal(await restore(floor), digests[1])
    assert.equal(await current(floor), digests[1])
    floor.advance(1)
    assert.equal(await restore(floor), digests[2])
  })

  test('is any digest of its history, and no other', async (t) => {
    const { floor, digests } = await moved(t)
    assert.equal(await restore(floor, digests[0]), digests[0])
    assert.equal(await restore(floor, digests[0]), digests[0], 'it is that already')
    const other = await addManifest(floor.database, (await getRepository(floor.registry, 'team/app')).id, { text: 'other' })
    await assertRejected('manifestUnknown', restore(floor, other))
  })

  test('comes back after it was removed', async (t) => {
    const { floor, digests } = await moved(t)
    await remove(floor, 'latest')
    assert.equal(await restore(floor), digests[2])
  })

  test('brings its manifest back from the trash, while that is there', async (t) => {
    const { floor, digests } = await moved(t)
    await remove(floor, digests[2])
    await assertRejected('manifestUnknown', current(floor))
    assert.equal(await restore(floor), digests[2])
    await remove(floor, digests[0])
    floor.advance(7 * day)
    const gone = await assertRejected('manifestUnknown', restore(floor, digests[0]))
    assert.match(gone.message, /gone for good/)
    assert.equal(await current(floor), digests[2])
  })

  test('that never was anything else cannot be restored, and a check is asked about what it is', async (t) => {
    const { floor, digests } = await moved(t)
    const id = (await getRepository(floor.registry, 'team/app')).id
    await pointTag(floor.registry, await getRepository(floor.registry, 'team/app'), { tag: tagOf('once'), digest: digests[0], by: null })
    const once = restoreTag(floor.registry, await getRepository(floor.registry, 'team/app'), {
      tag: tagOf('once'),
      digest: undefined,
      by: null,
    })
    assert.match((await assertRejected('manifestUnknown', once)).message, /was nothing else before/)
    const asked: (Digest | undefined)[] = []
    await restore(floor, undefined, (digest) => void asked.push(digest))
    assert.deepEqual(asked, [digests[2]])
    const rows = await floor.database.read
      .selectFrom('tag')
      .select('set_by')
      .where('repository_id', '=', id)
      .where('until_ms', 'is', null)
      .execute()
    assert.deepEqual(new Set(rows.map(({ set_by: by }) => by)), new Set([null, 'bob']))
  })
})
