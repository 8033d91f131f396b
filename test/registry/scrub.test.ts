/** The scrub: what it finds, what it leaves alone, what it removes, and that it goes on where it stopped. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { openBlob, statBlob } from '../../registry/read-blob.ts'
import { resolveForHead, resolveManifest } from '../../registry/read-manifest.ts'
import { continueScrub, type ScrubParts } from '../../registry/scrub.ts'
import { getScrubStatus, isAnythingDamaged, noteStart, openDueScrub, requestScrub } from '../../registry/scrub-status.ts'
import { blobPath } from '../../storage/layout.ts'
import type { ScrubRunRow } from '../../storage/metadata/scrubs.ts'
import { everyDamage, flipBit, remove } from '../support/damage.ts'
import { repositoryName, sha256Of, tagOf } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { getRepository, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

const day = 24 * 3_600_000
const name = 'team/app'

async function scrub(
  floor: Floor,
  parts: Partial<ScrubParts> = {},
  signal = new AbortController().signal,
): Promise<ScrubRunRow | undefined> {
  await requestScrub(floor.registry)
  const usual = { registry: floor.registry, bytesPerSecond: Infinity, monotonic: () => performance.now() }
  return continueScrub({ ...usual, ...parts }, signal)
}

const damagedIn = async ({ registry }: Floor) => (await getScrubStatus(registry, 7)).blobs.map(({ digest, fault }) => ({ digest, fault }))
const actions = async ({ database }: Floor) =>
  (await database.read.selectFrom('audit_event').select(['action', 'target']).orderBy('id').execute()).map(
    ({ action, target }) => `${action} ${target}`,
  )

/** Sets the clock to the disk's, because files are as old as the disk says. */
function now(floor: Floor, laterMs = 0): void {
  floor.advance(Date.now() + laterMs - floor.now())
}

function place(floor: Floor, content: string): string {
  const path = blobPath(floor.layout, sha256Of(content))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return path
}

async function pushImage(floor: Floor, content = 'a config'): Promise<{ digest: ReturnType<typeof sha256Of>; bytes: Buffer }> {
  const config = await pushBlob(floor.registry, name, content)
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: content.length },
      layers: [],
    }),
  )
  await putImage(floor, bytes)
  return { digest: digestOf('sha256', bytes), bytes }
}

async function putImage(floor: Floor, bytes: Buffer): Promise<void> {
  const contentType = 'application/vnd.oci.image.manifest.v1+json'
  const reference = { kind: 'tag' as const, tag: tagOf('v1') }
  await pushManifest(floor.registry, { repository: repositoryName(name), reference, extraTags: [], contentType, bytes, by: null })
}

suite('a scrub finds', () => {
  for (const [what, { damage, fault }] of Object.entries(everyDamage)) {
    test(`${what}, and keeps what is left of it; a push heals it`, async (t) => {
      const floor = await openFloor(t)
      const content = randomBytes(3 * 1024 * 1024 + 17)
      const digest = await pushBlob(floor.registry, name, content)
      const other = await pushBlob(floor.registry, name, 'other')
      const path = blobPath(floor.layout, digest)
      damage(path)
      const left = existsSync(path) ? readFileSync(path) : undefined
      assert.equal((await scrub(floor))?.found, 1)
      assert.deepEqual(await damagedIn(floor), [{ digest, fault }])
      const kept = readdirSync(floor.layout.quarantine)
      assert.deepEqual(
        kept.map((each) => readFileSync(join(floor.layout.quarantine, each))),
        left === undefined ? [] : [left],
      )
      const app = await getRepository(floor.registry, name)
      await assertRejected('blobDamaged', openBlob(floor.registry, app, digest))
      await assertRejected('blobUnknown', statBlob(floor.registry, app, digest))
      assert.equal(await statBlob(floor.registry, app, other), 5)
      assert.equal((await scrub(floor))?.found, 0, 'it is found once')
      await pushBlob(floor.registry, name, content)
      assert.deepEqual(await damagedIn(floor), [])
      assert.equal(await statBlob(floor.registry, app, digest), content.length)
      assert.ok(readFileSync(path).equals(content))
      assert.deepEqual(await actions(floor), [`damage ${digest}`, `repair ${digest}`])
      assert.equal((await scrub(floor))?.found, 0)
    })
  }

  test('nothing where nothing is damaged, having read every byte of blobs of any size', async (t) => {
    const floor = await openFloor(t)
    const sizes = [0, 1, 4095, 4096, 4097, 1024 * 1024, 1024 * 1024 + 1, 2 * 1024 * 1024 + 4096]
    for (const size of sizes) await pushBlob(floor.registry, name, randomBytes(size))
    const { digest, bytes } = await pushImage(floor)
    const run = await scrub(floor)
    const { blobs, manifests, found, bytes: read } = run ?? {}
    const total = sizes.reduce((sum, size) => sum + size, 0) + 'a config'.length + bytes.length
    assert.deepEqual({ blobs, manifests, found, read }, { blobs: sizes.length + 1, manifests: 1, found: 0, read: total })
    assert.equal(await isAnythingDamaged(floor.database), false)
    assert.deepEqual(
      Buffer.from((await resolveManifest(floor.registry, await getRepository(floor.registry, name), { kind: 'digest', digest })).content),
      bytes,
    )
  })

  test('a manifest with other bytes than its digest has; it is kept as a file, and a push heals it', async (t) => {
    const floor = await openFloor(t)
    const { digest, bytes } = await pushImage(floor)
    const wrong = Buffer.from(bytes)
    wrong[10] = (wrong[10] ?? 0) ^ 1
    await floor.database.write((tx) => tx.updateTable('manifest').set({ content: wrong }).execute())
    assert.equal((await scrub(floor))?.found, 1)
    const app = await getRepository(floor.registry, name)
    for (const reference of [
      { kind: 'digest' as const, digest },
      { kind: 'tag' as const, tag: tagOf('v1') },
    ]) {
      await assertRejected('manifestDamaged', resolveManifest(floor.registry, app, reference))
      await assertRejected('manifestUnknown', resolveForHead(floor.registry, app, { reference, isPushing: false }))
    }
    const { manifests } = await getScrubStatus(floor.registry, 7)
    assert.deepEqual(
      manifests.map(({ repository, digest }) => [repository, digest]),
      [[name, digest]],
    )
    const [kept = ''] = readdirSync(floor.layout.quarantine)
    assert.ok(readFileSync(join(floor.layout.quarantine, kept)).equals(wrong))
    assert.equal((await scrub(floor))?.found, 0, 'it is found once')
    await putImage(floor, bytes)
    assert.deepEqual(Buffer.from((await resolveManifest(floor.registry, app, { kind: 'digest', digest })).content), bytes)
    assert.equal(await isAnythingDamaged(floor.database), false)
    assert.deepEqual(await actions(floor), [`damage ${digest}`, `repair ${digest}`])
  })

  test('that a file is back, and that it is right', async (t) => {
    const floor = await openFloor(t)
    const digest = await pushBlob(floor.registry, name, 'content')
    remove(blobPath(floor.layout, digest))
    await scrub(floor)
    place(floor, 'content')
    writeFileSync(blobPath(floor.layout, digest), 'CONTENT')
    assert.equal((await scrub(floor))?.found, 0)
    assert.deepEqual(await damagedIn(floor), [{ digest, fault: 'missing' }], 'a wrong file heals nothing')
    place(floor, 'content')
    await scrub(floor)
    assert.deepEqual(await damagedIn(floor), [])
    assert.equal(await statBlob(floor.registry, await getRepository(floor.registry, name), digest), 7)
  })

  test('a blob that a killed collector left on its way out, which is no damage', async (t) => {
    const floor = await openFloor(t)
    const digest = await pushBlob(floor.registry, name, 'content')
    await floor.blobs.collected.takeAway(digest, 'killed')
    assert.equal((await scrub(floor))?.found, 0)
    assert.ok(existsSync(blobPath(floor.layout, digest)))
    assert.deepEqual(readdirSync(floor.layout.collected), [])
  })
})

suite('a file without a row', () => {
  test('is removed when it is older than a day, and not a moment before', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, 'content')
    const path = place(floor, 'stray')
    now(floor, day - 60_000)
    assert.equal((await scrub(floor))?.orphans, 0)
    assert.ok(existsSync(path))
    now(floor, day + 60_000)
    const run = await scrub(floor)
    assert.equal(run?.orphans, 1)
    assert.ok((run?.orphan_bytes ?? 0) >= 5)
    assert.equal(existsSync(path), false)
    assert.deepEqual(readdirSync(floor.layout.collected), [])
    assert.equal(await statBlob(floor.registry, await getRepository(floor.registry, name), sha256Of('content')), 7)
    assert.deepEqual(await actions(floor), [`collect ${sha256Of('stray')}`])
  })

  test('is never adopted, and other files are left alone', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, 'content')
    const stray = place(floor, 'stray')
    const foreign = [join(dirname(stray), 'notes'), join(dirname(stray), 'f'.repeat(64)), `${stray}.tmp`]
    for (const path of foreign) writeFileSync(path, 'not ours')
    now(floor, 2 * day)
    await scrub(floor)
    assert.deepEqual(
      foreign.filter((path) => !existsSync(path)),
      [],
    )
    await assertRejected('blobUnknown', statBlob(floor.registry, await getRepository(floor.registry, name), sha256Of('stray')))
  })

  test('stays where more have no row than have one: that is another database', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, 'content')
    const strays = ['a', 'b', 'c'].map((content) => place(floor, content))
    now(floor, 2 * day)
    assert.equal((await scrub(floor))?.orphans, 1)
    assert.equal(strays.filter((path) => existsSync(path)).length, 2)
  })
})

suite('a scrub that is stopped', () => {
  test('ends at once, and the next one goes on behind the last blob, reading none twice', async (t) => {
    const floor = await openFloor(t)
    for (let count = 0; count < 20; count++) await pushBlob(floor.registry, name, `content ${count}`)
    await pushImage(floor)
    let read = 0
    for (let runs = 1; ; runs++) {
      const stop = new AbortController()
      const onRead = () => {
        if (++read % 5 === 0) stop.abort()
      }
      const run = await scrub(floor, { onRead }, stop.signal)
      const { open } = await getScrubStatus(floor.registry, 7)
      if (!run) {
        assert.ok(open, 'it is still open')
        continue
      }
      assert.ok(runs > 3)
      assert.deepEqual([run.blobs, run.manifests], [21, 1])
      assert.equal(open, undefined)
      break
    }
    // The one amid which it is stopped is read again.
    assert.ok(read <= 22 + 5, `${read} reads`)
  })

  test('waits for its rate no longer', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, randomBytes(1024 * 1024))
    const stop = new AbortController()
    const startedMs = performance.now()
    // A megabyte would take a week.
    await scrub(floor, { bytesPerSecond: 1, onRead: () => setImmediate(() => stop.abort()) }, stop.signal)
    assert.ok(performance.now() - startedMs < 1000)
  })

  test('reads no faster than it may', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, randomBytes(1024 * 1024))
    const startedMs = performance.now()
    await scrub(floor, { bytesPerSecond: 4 * 1024 * 1024 })
    assert.ok(performance.now() - startedMs >= 245, `${performance.now() - startedMs} ms`)
  })
})

suite('a scrub is due', () => {
  const isOpen = async ({ registry }: Floor) => (await getScrubStatus(registry, 7)).open !== undefined

  test('at the first start, then so many days after the last one began, with 0 never', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, name, 'content')
    await openDueScrub(floor.registry, 0)
    assert.equal(await isOpen(floor), false)
    await openDueScrub(floor.registry, 7)
    assert.equal(await isOpen(floor), true)
    await scrub(floor)
    for (const [laterMs, isDue] of [
      [7 * day - 1, false],
      [1, true],
    ] as const) {
      floor.advance(laterMs)
      await openDueScrub(floor.registry, 7)
      assert.equal(await isOpen(floor), isDue)
    }
  })

  test('on a new store, which has nothing to read, not at the first start', async (t) => {
    const floor = await openFloor(t)
    await openDueScrub(floor.registry, 7)
    assert.equal(await isOpen(floor), false)
    assert.equal((await getScrubStatus(floor.registry, 7)).nextAtMs, floor.now() + 7 * day)
  })

  test('when it is asked for, and one at a time', async (t) => {
    const floor = await openFloor(t)
    assert.equal(await requestScrub(floor.registry), true)
    assert.equal(await requestScrub(floor.registry), false)
    await scrub(floor)
    assert.equal(await requestScrub(floor.registry), true)
  })

  test('one that began after an unclean stop ends the suspicion, one that began before does not', async (t) => {
    const floor = await openFloor(t)
    const unclean = async () => (await getScrubStatus(floor.registry, 7)).uncleanAtMs
    assert.equal(await noteStart(floor.registry), false)
    await requestScrub(floor.registry)
    floor.advance(1)
    assert.equal(await noteStart(floor.registry), true)
    await scrub(floor)
    assert.notEqual(await unclean(), null)
    await scrub(floor)
    assert.equal(await unclean(), null)
  })
})

test('many blobs in a row without a file are rather a disk that is not mounted: the scrub stops, and can go on', async (t) => {
  const floor = await openFloor(t)
  const digests = []
  for (let count = 0; count < 8; count++) digests.push(await pushBlob(floor.registry, name, `content ${count}`))
  for (const digest of digests) remove(blobPath(floor.layout, digest))
  const error = await assertRejected('storageFailed', scrub(floor, { missingInARow: 5 }))
  assert.match(String(error.cause), /5 blobs in a row have no file: is the disk mounted/)
  assert.equal((await damagedIn(floor)).length, 5)
  assert.equal((await scrub(floor, { missingInARow: 5 }))?.found, 8)
  for (let count = 0; count < 8; count++) place(floor, `content ${count}`)
  await scrub(floor)
  assert.deepEqual(await damagedIn(floor), [], 'and takes all back when it is')
})

test('a judge that was killed with the file in his hands leaves a blob that is missing, and nothing is thrown away', async (t) => {
  const floor = await openFloor(t)
  const digest = await pushBlob(floor.registry, name, 'content')
  flipBit()(blobPath(floor.layout, digest))
  const { copy } = await floor.blobs.openBlob(digest, 7)
  await floor.blobs.inspection.setAside(digest, { id: 'killed', sizeBytes: 7, copy })
  assert.equal((await scrub(floor))?.found, 1)
  assert.deepEqual(await damagedIn(floor), [{ digest, fault: 'missing' }])
  assert.equal(readdirSync(floor.layout.quarantine).length, 1)
  await pushBlob(floor.registry, name, 'content')
  assert.deepEqual(await damagedIn(floor), [])
})

test('a disk that takes no rows serves nothing damaged either, and says that it is damaged', async (t) => {
  const floor = await openFloor(t)
  const { digest: manifest } = await pushImage(floor)
  const [missing, flipped] = [await pushBlob(floor.registry, name, 'missing'), await pushBlob(floor.registry, name, 'flipped')]
  remove(blobPath(floor.layout, missing))
  flipBit()(blobPath(floor.layout, flipped))
  await floor.database.write((tx) =>
    tx
      .updateTable('manifest')
      .set({ content: Buffer.from('wrong') })
      .execute(),
  )
  for (let starts = 0; starts < 2; starts++) await noteStart(floor.registry)
  await floor.registry.suspects.refresh(floor.database.read)
  const full = { write: () => Promise.reject(new RegistryError('storageFull')) }
  const registry = { ...floor.registry, database: withWrites(floor.database, full) }
  const app = await getRepository(floor.registry, name)
  await assertRejected('blobDamaged', openBlob(registry, app, missing))
  const reader = await openBlob(registry, app, flipped)
  await assertRejected('blobDamaged', reader.read(Buffer.alloc(7), 0))
  await reader.close()
  await assertRejected('manifestDamaged', resolveManifest(registry, app, { kind: 'digest', digest: manifest }))
  assert.deepEqual(await damagedIn(floor), [], 'nothing could be noted')
})

test('a disk that fails as a whole condemns nothing; one place of it that cannot be read is damage', async (t) => {
  const floor = await openFloor(t)
  const digest = await pushBlob(floor.registry, name, 'content')
  const { copy } = await floor.blobs.openBlob(digest, 7)
  const fault = new RegistryError('storageFailed', { cause: Object.assign(new Error('EIO'), { code: 'EIO' }) })
  const reader = { sizeBytes: 7, copy, read: () => Promise.reject(fault), close: async () => undefined }
  t.mock.method(floor.blobs.inspection, 'openOnDisk', async () => reader)
  const probe = t.mock.method(floor.blobs, 'probe', () => Promise.reject(fault))
  await assertRejected('storageFailed', scrub(floor))
  assert.deepEqual(await damagedIn(floor), [])
  probe.mock.restore()
  await scrub(floor)
  assert.deepEqual(await damagedIn(floor), [{ digest, fault: 'unreadable' }])
})

test('a flipped bit in any place of a small blob is found', async (t) => {
  const floor = await openFloor(t)
  for (const at of [0, 0.25, 0.5, 0.75, 1]) {
    const digest = await pushBlob(floor.registry, name, randomBytes(5000))
    flipBit(at)(blobPath(floor.layout, digest))
    assert.equal((await scrub(floor))?.found, 1)
  }
})
