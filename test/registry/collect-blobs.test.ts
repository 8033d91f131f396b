/** Collecting blobs: what goes, what a lease keeps, and every way in which an upload, a read or a crash can meet the collector amid a step. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { suite, test, type TestContext } from 'node:test'
import { parseDigest } from '../../oci/digest.ts'
import type { RegistryRules } from '../../registry/registry.ts'
import { appendToUpload, finishUpload, mountBlob } from '../../registry/push-blob.ts'
import { deleteBlob, openBlob, statBlob } from '../../registry/read-blob.ts'
import { recoverCollected, reviewBlobs, reviewLinks, type CollectionHooks } from '../../registry/collect-blobs.ts'
import { blobPath } from '../../storage/layout.ts'
import { deleteManifest } from '../../storage/metadata/manifests.ts'
import { addManifest, repositoryName, sha256Of } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { begin, chunk, ending, getRepository, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000
const digest = sha256Of('content')

/** Both steps until nothing is due. @returns how many blobs went, and the bytes that the file system got back. */
async function collect({ registry }: Pick<Floor, 'registry'>, hooks: CollectionHooks = {}): Promise<{ blobs: number; bytes: number }> {
  while ((await reviewLinks(registry)).seen > 0);
  const sum = { blobs: 0, bytes: 0 }
  for (;;) {
    const step = await reviewBlobs(registry, hooks)
    if (step.seen === 0) return sum
    sum.blobs += step.blobs
    sum.bytes += step.bytes
  }
}

const fileOf = ({ layout }: Floor) => blobPath(layout, digest)
const isServed = async (floor: Floor, name = 'team/app'): Promise<boolean> => {
  try {
    const reader = await openBlob(floor.registry, await getRepository(floor.registry, name), digest)
    await reader.close()
    return true
  } catch {
    return false
  }
}
const queued = async ({ database }: Floor) => [
  await database.read.selectFrom('link_review').select('digest').execute(),
  await database.read.selectFrom('blob_review').select('digest').execute(),
]

/** A blob that nothing references, its lease over. */
async function abandoned(t: TestContext, rules: Partial<RegistryRules> = {}): Promise<Floor> {
  const floor = await openFloor(t, rules)
  await pushBlob(floor.registry, 'team/app', 'content')
  floor.advance(25 * hour)
  return floor
}

suite('a blob is collected', () => {
  test('when its lease is over and nothing references it; the room is counted as the file system does', async (t) => {
    const floor = await abandoned(t)
    const { blocks } = statSync(fileOf(floor))
    assert.deepEqual(await collect(floor), { blobs: 1, bytes: blocks * 512 })
    assert.ok(blocks > 0)
    assert.equal(existsSync(fileOf(floor)), false)
    assert.deepEqual(readdirSync(floor.layout.collected), [])
    assert.deepEqual(await queued(floor), [[], []])
    const app = await getRepository(floor.registry, 'team/app')
    await assertRejected('blobUnknown', statBlob(floor.registry, app, digest))
  })

  test('not a moment before: a push, a HEAD, a pull and a mount each give it a lease anew', async (t) => {
    const tellings: ((floor: Floor) => Promise<unknown>)[] = [
      (floor) => pushBlob(floor.registry, 'team/app', 'content'),
      async (floor) => statBlob(floor.registry, await getRepository(floor.registry, 'team/app'), digest),
      (floor) => isServed(floor),
      async (floor) =>
        mountBlob(floor.registry, {
          target: repositoryName('team/web'),
          digest,
          source: await getRepository(floor.registry, 'team/app'),
        }),
    ]
    for (const tell of tellings) {
      const floor = await abandoned(t)
      await tell(floor)
      floor.advance(24 * hour - 1)
      assert.equal((await collect(floor)).blobs, 0)
      assert.equal(await isServed(floor), true)
      floor.advance(25 * hour)
      assert.equal((await collect(floor)).blobs, 1)
    }
  })

  test('never while a manifest references it; as soon as the last one is gone, also long after', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    const { id } = await getRepository(floor.registry, 'team/app')
    const references = [{ digest, role: 'layer' as const }]
    const manifests = [
      await addManifest(floor.database, id, { text: 'a', references }),
      await addManifest(floor.database, id, { text: 'b', references }),
    ]
    floor.advance(1000 * hour)
    assert.equal((await collect(floor)).blobs, 0)
    assert.deepEqual(await queued(floor), [[], []], 'it is not looked at again')
    for (const [index, manifest] of manifests.entries()) {
      await floor.database.write((tx) => deleteManifest(tx, id, manifest))
      assert.equal((await collect(floor)).blobs, index)
    }
  })

  test('only when no repository links it any more', async (t) => {
    const floor = await openFloor(t)
    for (const name of ['team/app', 'team/web']) await pushBlob(floor.registry, name, 'content')
    const { id } = await getRepository(floor.registry, 'team/web')
    await addManifest(floor.database, id, { text: 'a', references: [{ digest, role: 'layer' as const }] })
    floor.advance(25 * hour)
    assert.equal((await collect(floor)).blobs, 0)
    assert.equal(await isServed(floor, 'team/app'), false, 'this link had no reference')
    assert.equal(await isServed(floor, 'team/web'), true)
  })

  test('when a client deleted it, at the end of its lease', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await deleteBlob(floor.registry, await getRepository(floor.registry, 'team/app'), parseDigest(digest))
    assert.equal((await collect(floor)).blobs, 0)
    floor.advance(24 * hour)
    assert.equal((await collect(floor)).blobs, 1)
  })

  test('although its file is gone already', async (t) => {
    const floor = await abandoned(t)
    await floor.blobs.collected.takeAway(digest, 'other')
    assert.deepEqual(await collect(floor), { blobs: 1, bytes: 0 })
  })

  test('a clock that is too early collects nothing', async (t) => {
    const floor = await abandoned(t)
    floor.advance(-300 * hour)
    assert.equal((await collect(floor)).blobs, 0)
    assert.equal(await isServed(floor), true)
  })
})

suite('amid a collection', () => {
  test('an upload that was published before the file left is told to try again, and can; nothing was acknowledged', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    const key = await begin(other.registry, 'team/app')
    await appendToUpload(other.registry, key, chunk('content'))
    // The upload's file is at its place, and its transaction waits for the collector's.
    const taken = Promise.withResolvers<void>()
    const committed = Promise.withResolvers<void>()
    const waiting = withWrites(other.database, {
      write: async (work) => {
        committed.resolve()
        await taken.promise
        return other.database.write(work)
      },
    })
    const finishing = finishUpload({ ...other.registry, database: waiting }, key, ending(digest))
    const refused = assertRejected('blobCollected', finishing)
    await committed.promise
    const collected = await collect(floor, { onTaken: async () => taken.resolve() })
    assert.equal(collected.blobs, 1)
    await refused
    assert.equal(await isServed(floor), false)
    assert.deepEqual(await floor.database.read.selectFrom('upload_session').select('id').execute(), [], 'nothing is left of it')
    await pushBlob(other.registry, 'team/app', 'content')
    assert.equal(await isServed(floor), true)
  })

  test('an upload whose file comes after the old one left is kept', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    const key = await begin(other.registry, 'team/app')
    await appendToUpload(other.registry, key, chunk('content'))
    // A session is claimed in a transaction: that must be over before the collector's begins.
    const claimed = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    other.blobs.before = async (call) => {
      if (call !== 'commit') return
      claimed.resolve()
      await go.promise
    }
    const finishing = finishUpload(other.registry, key, ending(digest))
    await claimed.promise
    const collected = await collect(floor, {
      onTaken: async () => {
        go.resolve()
        await untilThere(fileOf(floor))
      },
    })
    assert.equal(collected.blobs, 1)
    await finishing
    assert.equal(await isServed(floor), true)
    assert.deepEqual(readdirSync(floor.layout.collected), [])
    assert.equal((await collect(floor)).blobs, 0)
  })

  test('an upload after the commit is kept, although the old file is removed only then', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    await collect(floor, { onCommitted: async () => void (await pushBlob(other.registry, 'team/app', 'content')) })
    assert.equal(await isServed(floor), true)
    assert.deepEqual(readdirSync(floor.layout.collected), [])
  })

  test('a HEAD that found the row before is answered as unknown after', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    const repository = await getRepository(other.registry, 'team/app')
    const delayed = withWrites(other.database, {
      writeRelaxed: async (work) => {
        await collect(floor)
        return other.database.writeRelaxed(work)
      },
    })
    await assertRejected('blobUnknown', statBlob({ ...other.registry, database: delayed }, repository, digest))
  })

  test('a HEAD that renewed the lease before is a promise kept', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    await statBlob(other.registry, await getRepository(other.registry, 'team/app'), digest)
    assert.equal((await collect(floor)).blobs, 0)
  })

  test('a mount that found the source before mounts nothing after', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    const delayed = withWrites(other.database, {
      write: async (work) => {
        await collect(floor)
        return other.database.write(work)
      },
    })
    const source = await getRepository(other.registry, 'team/app')
    assert.equal(await mountBlob({ ...other.registry, database: delayed }, { target: repositoryName('team/web'), digest, source }), false)
  })

  test('two collectors at once remove it once', async (t) => {
    const floor = await abandoned(t)
    const other = floor.another('other')
    const [one, two] = await Promise.all([collect(floor), collect(other)])
    assert.equal(one.blobs + two.blobs, 1)
    assert.ok(one.bytes + two.bytes > 0)
  })

  test('what fails before the commit puts the file back, and the next round takes it', async (t) => {
    const floor = await abandoned(t)
    const failing = collect(floor, { onTaken: () => Promise.reject(new Error('broken')) })
    await assert.rejects(failing, /broken/)
    assert.ok(existsSync(fileOf(floor)))
    assert.deepEqual(readdirSync(floor.layout.collected), [])
    floor.advance(25 * hour)
    assert.equal((await collect(floor)).blobs, 1)
  })

  test('a commit that fails puts the file back', async (t) => {
    const floor = await abandoned(t)
    await collectLinks(floor)
    const database = withWrites(floor.database, {
      write: async (work) => {
        await floor.database.write(async (tx) => {
          await work(tx)
          throw new Error('no commit')
        })
        throw new Error('not reached')
      },
    })
    await assert.rejects(reviewBlobs({ ...floor.registry, database }), /no commit/)
    assert.ok(existsSync(fileOf(floor)))
    assert.equal((await collect(floor)).blobs, 1)
  })
})

suite('after a collector that was killed', () => {
  test('a blob whose row is still there gets back to its place', async (t) => {
    const floor = await abandoned(t)
    await floor.blobs.collected.takeAway(digest, 'killed')
    assert.deepEqual(await recoverCollected(floor.registry), { putBack: 1, removed: 0, bytes: 0 })
    assert.equal(await isServed(floor), true)
    assert.deepEqual(readdirSync(floor.layout.collected), [])
  })

  test('one without a row is removed, and so is one whose place is taken again', async (t) => {
    const floor = await abandoned(t)
    await floor.blobs.collected.takeAway(digest, 'killed')
    await pushBlob(floor.registry, 'team/app', 'content')
    writeFileSync(`${floor.layout.collected}/sha256-${'0'.repeat(64)}.killed`, 'of no row')
    writeFileSync(`${floor.layout.collected}/notes`, 'not ours')
    const { putBack, removed, bytes } = await recoverCollected(floor.registry)
    assert.deepEqual([putBack, removed], [0, 2])
    assert.ok(bytes > 0)
    assert.equal(await isServed(floor), true)
    assert.deepEqual(readdirSync(floor.layout.collected), ['notes'])
  })
})

async function collectLinks({ registry }: Floor): Promise<void> {
  while ((await reviewLinks(registry)).seen > 0);
}

async function untilThere(path: string): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setImmediate(resolve))
}
