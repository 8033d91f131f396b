/** The scrub amid the work of others: uploads of the same blob, collectors, mounts, pulls and a second scrub, at every moment between its parts. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { Collector } from '../../registry/collect.ts'
import { appendToUpload, finishUpload, mountBlob } from '../../registry/push-blob.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { quarantineBlob } from '../../registry/quarantine.ts'
import { deleteBlob, openBlob, statBlob } from '../../registry/read-blob.ts'
import { resolveManifest } from '../../registry/read-manifest.ts'
import type { Registry } from '../../registry/registry.ts'
import { continueScrub } from '../../registry/scrub.ts'
import { getScrubStatus, requestScrub } from '../../registry/scrub-status.ts'
import { InspectedFiles } from '../../storage/blobs/inspected-files.ts'
import { blobPath } from '../../storage/layout.ts'
import type { Database } from '../../storage/metadata/database.ts'
import { flipBit, remove } from '../support/damage.ts'
import { repositoryName, sha256Of, tagOf } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { begin, chunk, ending, getRepository, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000
const name = 'team/app'
const content = 'content'
const digest = sha256Of(content)

async function scrub(registry: Registry): Promise<number | undefined> {
  await requestScrub(registry)
  const parts = { registry, bytesPerSecond: Infinity, monotonic: () => performance.now() }
  return (await continueScrub(parts, new AbortController().signal))?.found
}

const fileOf = ({ layout }: Floor) => blobPath(layout, digest)
const damaged = async ({ registry }: Floor) => (await getScrubStatus(registry, 7)).blobs.map(({ fault }) => fault)

async function isServed(floor: Floor): Promise<boolean> {
  const reader = await openBlob(floor.registry, await getRepository(floor.registry, name), digest)
  const bytes = Buffer.alloc(content.length)
  await reader.read(bytes, 0)
  await reader.close()
  return bytes.toString() === content
}

/** One blob, damaged, on the store of two processes. */
async function damagedFloor(t: TestContext): Promise<{ floor: Floor; other: Floor }> {
  const floor = await openFloor(t)
  await pushBlob(floor.registry, name, content)
  flipBit()(fileOf(floor))
  return { floor, other: floor.another('other') }
}

/** A registry in whose durable writes something happens first, once. */
function delayed(registry: Registry, first: () => Promise<unknown>): Registry {
  let isDone = false
  const before =
    (write: Database['write']): Database['write'] =>
    async (work) => {
      if (!isDone) {
        isDone = true
        await first()
      }
      return write(work)
    }
  const { database } = registry
  return { ...registry, database: withWrites(database, { write: before(database.write.bind(database)) }) }
}

suite('an upload of the damaged blob', () => {
  test('that ends after it was read and before it is judged is kept', async (t) => {
    const { floor, other } = await damagedFloor(t)
    await requestScrub(floor.registry)
    const racing = delayed(floor.registry, () => pushBlob(other.registry, name, content))
    const parts = { registry: racing, bytesPerSecond: Infinity, monotonic: () => performance.now() }
    assert.equal((await continueScrub(parts, new AbortController().signal))?.found, 0)
    assert.deepEqual(await damaged(floor), [])
    assert.equal(await isServed(floor), true)
    assert.deepEqual(readdirSync(floor.layout.quarantine), [])
  })

  test('whose file has its place before the judgement and whose row comes after is kept', async (t) => {
    const { floor, other } = await damagedFloor(t)
    const key = await begin(other.registry, name)
    await appendToUpload(other.registry, key, chunk(content))
    await finishUpload(
      delayed(other.registry, () => scrub(floor.registry)),
      key,
      ending(digest),
    )
    assert.deepEqual(await damaged(floor), [])
    assert.equal(await isServed(floor), true)
  })

  test('whose file comes between the last look and the move is put back, and its upload succeeds', async (t) => {
    const { floor } = await damagedFloor(t)
    const good = `${floor.layout.uploads}/good`
    writeFileSync(good, content)
    const reader = await floor.blobs.openBlob(digest, content.length)
    const inspection = new InspectedFiles(floor.layout, {
      openBlob: (...of) => floor.blobs.openBlob(...of),
      onLooked: () => renameSync(good, fileOf(floor)),
    })
    assert.equal(await inspection.setAside(digest, { id: 'x', sizeBytes: content.length, copy: reader.copy }), undefined)
    await reader.close()
    assert.equal(await isServed(floor), true)
    assert.deepEqual(readdirSync(floor.layout.quarantine), [])
  })

  test('that came while that one was away is not replaced by it', async (t) => {
    const { floor } = await damagedFloor(t)
    const inspection = new InspectedFiles(floor.layout, {
      openBlob: (...of) => floor.blobs.openBlob(...of),
      onLooked: () => remove(fileOf(floor)),
    })
    const { copy } = await floor.blobs.openBlob(digest, content.length)
    assert.equal(await inspection.setAside(digest, { id: 'x', sizeBytes: content.length, copy }), 'missing')
  })

  test('that ends after the judgement heals it', async (t) => {
    const { floor, other } = await damagedFloor(t)
    const key = await begin(other.registry, name)
    await appendToUpload(other.registry, key, chunk(content))
    assert.equal(await scrub(floor.registry), 1)
    await finishUpload(other.registry, key, ending(digest))
    assert.deepEqual(await damaged(floor), [])
    assert.equal(await isServed(floor), true)
  })

  test('that ended before the damage is not answered as stored when its end is repeated', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, name)
    await appendToUpload(floor.registry, key, chunk(content))
    await finishUpload(floor.registry, key, ending(digest))
    await finishUpload(floor.registry, key, ending(digest))
    flipBit()(fileOf(floor))
    await scrub(floor.registry)
    await assertRejected('uploadUnknown', finishUpload(floor.registry, key, ending(digest)))
  })

  test('fifty times at once while it is found leaves it whole', async (t) => {
    const { floor, other } = await damagedFloor(t)
    const scrubbing = scrub(floor.registry)
    await Promise.all(Array.from({ length: 50 }, () => pushBlob(other.registry, name, content)))
    await scrubbing
    assert.deepEqual(await damaged(floor), [])
    assert.equal(await isServed(floor), true)
  })
})

suite('a reader', () => {
  test('that finds no file gets the blob if it is there again by then', async (t) => {
    const { floor, other } = await damagedFloor(t)
    remove(fileOf(floor))
    const racing = delayed(floor.registry, () => pushBlob(other.registry, name, content))
    const reader = await openBlob(racing, await getRepository(floor.registry, name), digest)
    await reader.close()
    assert.deepEqual(await damaged(floor), [])
  })

  test('that finds no file because the blob was collected is told that there is none', async (t) => {
    const { floor } = await damagedFloor(t)
    const app = await getRepository(floor.registry, name)
    remove(fileOf(floor))
    const racing = delayed(floor.registry, () => collect(floor))
    await deleteBlobLater(floor)
    await assertRejected('blobUnknown', openBlob(racing, app, digest))
  })

  test('that asks by HEAD and found the row before is told that there is none', async (t) => {
    const { floor, other } = await damagedFloor(t)
    floor.advance(25 * hour)
    const app = await getRepository(floor.registry, name)
    const database = withWrites(other.database, {
      writeRelaxed: async (work) => {
        await scrub(floor.registry)
        return other.database.writeRelaxed(work)
      },
    })
    await assertRejected('blobUnknown', statBlob({ ...other.registry, database }, app, digest))
  })
})

test('a mount that found the source before mounts nothing after', async (t) => {
  const { floor, other } = await damagedFloor(t)
  const source = await getRepository(floor.registry, name)
  const racing = delayed(other.registry, () => scrub(floor.registry))
  assert.equal(await mountBlob(racing, { target: repositoryName('team/web'), digest, source }), false)
})

test('a manifest that is pushed again after it was read and before it is judged is kept', async (t) => {
  const floor = await openFloor(t)
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }))
  const reference = { kind: 'tag' as const, tag: tagOf('v1') }
  const push = () =>
    pushManifest(floor.registry, { repository: repositoryName(name), reference, extraTags: [], contentType: mediaType, bytes, by: null })
  await push()
  await floor.database.write((tx) =>
    tx
      .updateTable('manifest')
      .set({ content: Buffer.from('wrong') })
      .execute(),
  )
  await requestScrub(floor.registry)
  const parts = { registry: delayed(floor.registry, push), bytesPerSecond: Infinity, monotonic: () => performance.now() }
  assert.equal((await continueScrub(parts, new AbortController().signal))?.found, 0)
  const manifest = await resolveManifest(floor.registry, await getRepository(floor.registry, name), reference)
  assert.deepEqual(Buffer.from(manifest.content), bytes)
})

suite('a collector', () => {
  test('that removes the blob after it was read and before it is judged leaves nothing to quarantine', async (t) => {
    const { floor } = await damagedFloor(t)
    await deleteBlobLater(floor)
    await requestScrub(floor.registry)
    const parts = {
      registry: delayed(floor.registry, () => collect(floor)),
      bytesPerSecond: Infinity,
      monotonic: () => performance.now(),
    }
    assert.equal((await continueScrub(parts, new AbortController().signal))?.found, 0)
    assert.deepEqual(await damaged(floor), [])
    assert.deepEqual(readdirSync(floor.layout.quarantine), [])
  })

  test('removes a damaged blob that nothing needs, and the note of its damage; the bytes stay for the operator', async (t) => {
    const { floor } = await damagedFloor(t)
    await scrub(floor.registry)
    await deleteBlobLater(floor)
    assert.equal(await collect(floor), 1)
    assert.deepEqual(await damaged(floor), [])
    assert.equal(readdirSync(floor.layout.quarantine).length, 1)
    await pushBlob(floor.registry, name, content)
    assert.equal(await isServed(floor), true)
  })
})

test('two scrubs of two processes find it once', async (t) => {
  const { floor, other } = await damagedFloor(t)
  const bad = async ({ registry, blobs }: Floor) => {
    const { copy } = await blobs.openBlob(digest, content.length)
    return quarantineBlob(registry, { digest, sizeBytes: content.length, read: { copy, fault: 'content' } })
  }
  const verdicts = await Promise.all([bad(floor), bad(other)])
  assert.equal(verdicts.filter((verdict) => verdict.kind === 'damaged' && verdict.isNew).length, 1)
  assert.equal(readdirSync(floor.layout.quarantine).length, 1)
  assert.equal((await floor.database.read.selectFrom('audit_event').select('id').execute()).length, 1)
})

suite('a file whose row is about to come', () => {
  /** An upload of `stray` whose file has its place, and what happens before its row is written. */
  async function finishing(floor: Floor, between: () => Promise<unknown>): Promise<unknown> {
    const other = floor.another('other')
    const key = await begin(other.registry, name)
    await appendToUpload(other.registry, key, chunk('stray'))
    return finishUpload(delayed(other.registry, between), key, ending(sha256Of('stray')))
  }

  async function withOneBlob(t: TestContext): Promise<Floor> {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, content)
    floor.advance(Date.now() - floor.now())
    return floor
  }

  test('stays, and the upload succeeds', async (t) => {
    const floor = await withOneBlob(t)
    await finishing(floor, () => scrub(floor.registry))
    assert.ok(existsSync(blobPath(floor.layout, sha256Of('stray'))))
  })

  test('is removed only if the upload stood still for a day, which is then told so, and succeeds when it is repeated', async (t) => {
    const floor = await withOneBlob(t)
    await assertRejected(
      'blobCollected',
      finishing(floor, () => {
        floor.advance(25 * hour)
        return scrub(floor.registry)
      }),
    )
    await pushBlob(floor.registry, name, 'stray')
    assert.equal(await statBlob(floor.registry, await getRepository(floor.registry, name), sha256Of('stray')), 5)
  })

  test('stays when another copy takes its place after it was found old', async (t) => {
    const floor = await withOneBlob(t)
    writeBlob(floor, 'stray')
    floor.advance(25 * hour)
    const placed = [0, floor.now()]
    t.mock.method(floor.blobs.inspection, 'placedAtMs', async () => placed.shift())
    await scrub(floor.registry)
    assert.deepEqual(placed, [], 'it was looked at twice')
    assert.ok(existsSync(blobPath(floor.layout, sha256Of('stray'))))
  })

  test('stays when the row comes after it was found without one and before it is removed', async (t) => {
    const floor = await withOneBlob(t)
    const other = floor.another('other')
    await pushBlob(floor.registry, name, 'stray')
    const stray = sha256Of('stray')
    await floor.database.write((tx) => tx.deleteFrom('blob_link').where('digest', '=', stray).execute())
    await floor.database.write((tx) => tx.deleteFrom('blob').where('digest', '=', stray).execute())
    floor.advance(25 * hour)
    await requestScrub(floor.registry)
    const parts = {
      registry: delayed(floor.registry, () => pushBlob(other.registry, name, 'stray')),
      bytesPerSecond: Infinity,
      monotonic: () => performance.now(),
    }
    assert.equal((await continueScrub(parts, new AbortController().signal))?.orphans, 0)
    assert.ok(existsSync(blobPath(floor.layout, stray)))
  })
})

function writeBlob({ layout }: Floor, text: string): void {
  const path = blobPath(layout, sha256Of(text))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** Nothing needs it any more, and its lease is over. */
async function deleteBlobLater(floor: Floor): Promise<void> {
  await deleteBlob({ ...floor.registry }, await getRepository(floor.registry, name), digest)
  floor.advance(25 * hour)
}

/** @returns how many blobs went. */
async function collect(floor: Floor): Promise<number> {
  const { registry } = floor.another('collector')
  const collector = await Collector.open({ registry, startMs: 0, monotonic: () => performance.now() })
  return (await collector.round(new AbortController().signal)).blobs
}
