/** Abandoned uploads go after their time; one that still moves, however slowly, is never touched. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { expireUploads, resetSessions } from '../../registry/expire-uploads.ts'
import { appendToUpload, finishUpload, statUpload } from '../../registry/push-blob.ts'
import { claimSession } from '../../storage/metadata/uploads.ts'
import { sha256Of } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { begin, chunk, ending, inPieces, openFloor, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000
const ttl = 24 * hour

/** A file in the folder of uploads that was last written so long ago, by the registry's clock. */
function leaveFile(floor: Floor, name: string, ageMs: number): void {
  const path = join(floor.layout.uploads, name)
  writeFileSync(path, 'bytes')
  const seconds = (floor.now() - ageMs) / 1000
  utimesSync(path, seconds, seconds)
}

const filesIn = (floor: Floor): string[] => readdirSync(floor.layout.uploads).toSorted()

suite('abandoned uploads', () => {
  test('go with their bytes when nothing moved for longer than their time, and not a moment earlier', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('bytes'))
    floor.advance(ttl)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 0 })
    assert.equal(await statUpload(floor.registry, key), 5)
    floor.advance(1)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 1, files: 0 })
    await assertRejected('uploadUnknown', statUpload(floor.registry, key))
    assert.deepEqual(filesIn(floor), [])
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 0 })
  })

  test('go also when they never got a byte and so have no file', async (t) => {
    const floor = await openFloor(t)
    await begin(floor.registry, 'team/app')
    floor.advance(ttl + 1)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 1, files: 0 })
  })

  test('go however many they are', async (t) => {
    const floor = await openFloor(t, { maxUploadsPerAccount: 1000 })
    for (let count = 0; count < 250; count++) await begin(floor.registry, 'team/app')
    floor.advance(ttl + 1)
    const young = await begin(floor.registry, 'team/app')
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 250, files: 0 })
    assert.equal(await statUpload(floor.registry, young), 0)
  })

  test('make room for new ones', async (t) => {
    const floor = await openFloor(t, { maxUploadsPerAccount: 1 })
    await begin(floor.registry, 'team/app')
    await assertRejected('tooManyUploads', begin(floor.registry, 'team/app'))
    floor.advance(ttl + 1)
    await expireUploads(floor.registry)
    await begin(floor.registry, 'team/app')
  })
})

suite('uploads that still move', () => {
  test('stay for as long as a chunk comes within each time', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    for (let day = 0; day < 7; day++) {
      await appendToUpload(floor.registry, key, chunk(`${day}`))
      floor.advance(ttl - hour)
      assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 0 })
    }
    await finishUpload(floor.registry, key, ending(sha256Of('0123456')))
  })

  test('stay while a request holds them, however old they are', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    floor.advance(30 * ttl)
    const held = { id: key.id, writer: 'a slow one', nowMs: floor.now(), untilMs: floor.now() + 60_000 }
    await floor.database.writeRelaxed((tx) => claimSession(tx, held))
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 0 })
    floor.advance(60_001)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 1, files: 0 })
  })

  test('stay when their last chunk broke off, for their whole time after it', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    floor.advance(ttl - 1)
    const broken = { body: inPieces(['some'], new Error('gone')), announcedBytes: 9, range: undefined }
    await assertRejected('uploadInterrupted', appendToUpload(floor.registry, key, broken))
    floor.advance(ttl)
    await expireUploads(floor.registry)
    assert.equal(await statUpload(floor.registry, key), 4)
  })
})

suite('files without a session', () => {
  test('go when they are older than any session can be, and those that are younger stay', async (t) => {
    const floor = await openFloor(t)
    leaveFile(floor, 'old', ttl + 1000)
    leaveFile(floor, 'young', ttl - 1000)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 1 })
    assert.deepEqual(filesIn(floor), ['young'])
  })

  test('stay while a session has them, even if the file is old', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    leaveFile(floor, key.id, 10 * ttl)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 0 })
    assert.deepEqual(filesIn(floor), [key.id])
  })

  test('go however many they are', async (t) => {
    const floor = await openFloor(t)
    for (let count = 0; count < 250; count++) leaveFile(floor, `stray-${count}`, 2 * ttl)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 250 })
  })

  test('that no upload can have are nobody else’s business: they stay, and stop nothing', async (t) => {
    const floor = await openFloor(t)
    mkdirSync(join(floor.layout.uploads, 'lost+found'))
    mkdirSync(join(floor.layout.uploads, 'folder'))
    for (const name of ['.DS_Store', 'notes.txt', 'with blank']) leaveFile(floor, name, 100 * ttl)
    leaveFile(floor, 'stray', 100 * ttl)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 1 })
    assert.deepEqual(filesIn(floor), ['.DS_Store', 'folder', 'lost+found', 'notes.txt', 'with blank'])
  })
})

suite('a clock that is wrong', () => {
  test('set back, ends nothing', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('bytes'))
    floor.advance(-365 * ttl)
    assert.deepEqual(await expireUploads(floor.registry), { sessions: 0, files: 0 })
    assert.ok(existsSync(join(floor.layout.uploads, key.id)))
    await appendToUpload(floor.registry, key, chunk(' more'))
    await finishUpload(floor.registry, key, ending(sha256Of('bytes more')))
  })
})

suite('after a start', () => {
  test('no request holds a session, whatever process took it, and the bytes are counted as before', async (t) => {
    const floor = await openFloor(t)
    const keys = [await begin(floor.registry, 'a'), await begin(floor.registry, 'b')]
    for (const [index, { id }] of keys.entries()) {
      const held = { id, writer: `process-${index}:x`, nowMs: floor.now(), untilMs: floor.now() + 60_000 }
      await floor.database.writeRelaxed((tx) => claimSession(tx, held))
    }
    for (const key of keys) await assertRejected('uploadBusy', appendToUpload(floor.registry, key, chunk('x')))
    await resetSessions(floor.registry)
    for (const key of keys) assert.equal(await appendToUpload(floor.registry, key, chunk('x')), 1)
  })
})
