/** Reading, leasing, mounting and unlinking blobs: always through a repository, each answer a promise that is kept for a while. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseDigest } from '../../oci/digest.ts'
import { mountBlob } from '../../registry/push-blob.ts'
import { deleteBlob, openBlob, statBlob } from '../../registry/read-blob.ts'
import { createRegistry, findRepository } from '../../registry/registry.ts'
import type { RepositoryFilter } from '../../storage/metadata/repositories.ts'
import { addManifest, repositoryName, sha256Of } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { getRepository, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

const minute = 60_000
const digest = sha256Of('content')

async function leaseOf(floor: Floor): Promise<number | undefined> {
  const row = await floor.database.read.selectFrom('blob').select('leased_at_ms').where('digest', '=', digest).executeTakeFirst()
  return row?.leased_at_ms
}

suite('reading a blob', () => {
  test('it is there with its size and its bytes for the repository that has it', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, 'team/app', 'content')
    const repository = await getRepository(registry, 'team/app')
    assert.equal(await statBlob(registry, repository, digest), 7)
    const reader = await openBlob(registry, repository, digest)
    const target = Buffer.alloc(7)
    assert.equal(await reader.read(target, 0), 7)
    assert.equal(target.toString(), 'content')
    await reader.close()
  })

  test('it is unknown to every other repository, and so is one that nobody has', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, 'team/app', 'content')
    await pushBlob(registry, 'team/other', 'other')
    const other = await getRepository(registry, 'team/other')
    const app = await getRepository(registry, 'team/app')
    for (const [repository, asked] of [
      [other, digest],
      [undefined, digest],
      [app, sha256Of('nothing')],
      [app, parseDigest('blake3:aa')],
    ] as const) {
      for (const attempt of [statBlob, openBlob]) {
        const error = await assertRejected('blobUnknown', attempt(registry, repository, asked))
        assert.deepEqual(error.details, [{ digest: asked }])
      }
    }
  })
})

suite('leases', () => {
  for (const [what, ask] of [
    ['asking for its size', statBlob],
    ['opening it', async (...args: Parameters<typeof openBlob>) => (await openBlob(...args)).close()],
  ] as const) {
    test(`${what} renews the lease of a blob when it is older than ten minutes, and not before`, async (t) => {
      const floor = await openFloor(t)
      await pushBlob(floor.registry, 'team/app', 'content')
      const repository = await getRepository(floor.registry, 'team/app')
      const pushed = floor.now()
      floor.advance(10 * minute)
      await ask(floor.registry, repository, digest)
      assert.equal(await leaseOf(floor), pushed)
      floor.advance(1)
      await ask(floor.registry, repository, digest)
      assert.equal(await leaseOf(floor), floor.now())
    })
  }

  test('a popular blob costs one write in ten minutes', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    const repository = await getRepository(floor.registry, 'team/app')
    let writes = 0
    const writeRelaxed = async <T>(work: Parameters<typeof floor.database.writeRelaxed<T>>[0]): Promise<T> => {
      writes++
      return floor.database.writeRelaxed(work)
    }
    const registry = createRegistry({ ...floor.registry, database: withWrites(floor.database, { writeRelaxed }) })
    floor.advance(11 * minute)
    for (let second = 0; second < 60; second++) {
      await statBlob(registry, repository, digest)
      floor.advance(1000)
    }
    assert.equal(writes, 1)
  })

  test('asking through a repository that does not have it renews nothing', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await pushBlob(floor.registry, 'team/other', 'other')
    const before = await leaseOf(floor)
    floor.advance(60 * minute)
    await assertRejected('blobUnknown', statBlob(floor.registry, await getRepository(floor.registry, 'team/other'), digest))
    assert.equal(await leaseOf(floor), before)
  })

  test('mounting and pushing it again renew it at once', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    floor.advance(1)
    await mountBlob(floor.registry, { target: repositoryName('team/other'), digest, source: { kind: 'all' } })
    assert.equal(await leaseOf(floor), floor.now())
    floor.advance(1)
    await mountBlob(floor.registry, { target: repositoryName('team/other'), digest, source: undefined })
    assert.equal(await leaseOf(floor), floor.now(), 'also where it was already')
    floor.advance(1)
    await pushBlob(floor.registry, 'team/third', 'content')
    assert.equal(await leaseOf(floor), floor.now())
  })

  test('a clock that was set back renews nothing and refuses nothing', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    const before = await leaseOf(floor)
    floor.advance(-60 * minute)
    assert.equal(await statBlob(floor.registry, await getRepository(floor.registry, 'team/app'), digest), 7)
    assert.equal(await leaseOf(floor), before)
  })
})

suite('mounting a blob', () => {
  const target = repositoryName('team/new')
  const teamOnly: RepositoryFilter = { kind: 'some', namespaces: ['team'], visibilities: [] }

  test('it takes the blob from a repository that has it, and makes the one that gets it', async (t) => {
    const { registry } = await openFloor(t, { defaultVisibility: 'internal' })
    await pushBlob(registry, 'team/app', 'content')
    assert.equal(await mountBlob(registry, { target, digest, source: await getRepository(registry, 'team/app') }), true)
    const made = await getRepository(registry, 'team/new')
    assert.equal(made.visibility, 'internal')
    assert.equal(await statBlob(registry, made, digest), 7)
  })

  test('it takes nothing from a repository that does not have it, although another does', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, 'team/app', 'content')
    await pushBlob(registry, 'team/other', 'other')
    assert.equal(await mountBlob(registry, { target, digest, source: await getRepository(registry, 'team/other') }), false)
    assert.equal(await mountBlob(registry, { target, digest, source: undefined }), false)
    assert.equal(await findRepository(registry, target), undefined, 'nothing was made')
  })

  test('without a source it looks only where the caller may', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, 'alice/app', 'content')
    assert.equal(await mountBlob(registry, { target, digest, source: teamOnly }), false)
    await pushBlob(registry, 'team/app', 'content')
    assert.equal(await mountBlob(registry, { target, digest, source: teamOnly }), true)
  })

  test('what the target has already needs no source', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, 'team/new', 'content')
    await pushBlob(registry, 'team/other', 'other')
    for (const source of [undefined, await getRepository(registry, 'team/other'), teamOnly]) {
      assert.equal(await mountBlob(registry, { target, digest, source }), true)
    }
  })

  test('a blob that nobody has cannot be mounted', async (t) => {
    const { registry } = await openFloor(t)
    assert.equal(await mountBlob(registry, { target, digest, source: { kind: 'all' } }), false)
  })

  test('a mounted blob stays when its source lets go of it', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, 'team/app', 'content')
    const source = await getRepository(registry, 'team/app')
    await mountBlob(registry, { target, digest, source })
    await deleteBlob(registry, source, digest)
    assert.equal(await statBlob(registry, await getRepository(registry, 'team/new'), digest), 7)
    assert.equal(await mountBlob(registry, { target: repositoryName('team/third'), digest, source }), false)
  })
})

suite('deleting a blob', () => {
  test('the repository lets go of it at once, and the bytes stay', async (t) => {
    const { registry, blobs } = await openFloor(t)
    await pushBlob(registry, 'team/app', 'content')
    const repository = await getRepository(registry, 'team/app')
    await deleteBlob(registry, repository, digest)
    await assertRejected('blobUnknown', statBlob(registry, repository, digest))
    await assertRejected('blobUnknown', deleteBlob(registry, repository, digest))
    assert.equal(await blobs.statBlob(digest), 7)
  })

  test('another repository keeps it', async (t) => {
    const { registry } = await openFloor(t)
    for (const name of ['team/app', 'team/other']) await pushBlob(registry, name, 'content')
    await deleteBlob(registry, await getRepository(registry, 'team/app'), digest)
    assert.equal(await statBlob(registry, await getRepository(registry, 'team/other'), digest), 7)
  })

  test('it is refused while a manifest of the repository uses it, and only then', async (t) => {
    const { registry, database } = await openFloor(t)
    for (const name of ['team/app', 'team/other']) await pushBlob(registry, name, 'content')
    const [app, other] = [await getRepository(registry, 'team/app'), await getRepository(registry, 'team/other')]
    await addManifest(database, app.id, { text: 'a manifest', references: [{ digest, role: 'layer' }] })
    const error = await assertRejected('blobInUse', deleteBlob(registry, app, digest))
    assert.deepEqual(error.details, [{ digest }])
    assert.equal(await statBlob(registry, app, digest), 7)
    await deleteBlob(registry, other, digest)
  })

  test('it is refused where deleting is switched off, before anything is looked at', async (t) => {
    const { registry } = await openFloor(t, { isDeleteEnabled: false })
    await pushBlob(registry, 'team/app', 'content')
    const repository = await getRepository(registry, 'team/app')
    await assertRejected('deleteDisabled', deleteBlob(registry, repository, digest))
    await assertRejected('deleteDisabled', deleteBlob(registry, undefined, sha256Of('nothing')))
    assert.equal(await statBlob(registry, repository, digest), 7)
  })

  test('what is not there cannot be deleted', async (t) => {
    const { registry } = await openFloor(t)
    await assertRejected('blobUnknown', deleteBlob(registry, undefined, digest))
  })
})
