/**
 * The hash of an upload: gone on with where it is known, read again at once where it is not, and never trusted for bytes that it has
 * not seen.
 */
import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { resetSessions } from '../../registry/expire-uploads.ts'
import { appendToUpload, finishUpload, statUpload } from '../../registry/push-blob.ts'
import { createRegistry } from '../../registry/registry.ts'
import { sha256Of } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { begin, chunk, ending, inPieces, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

/** Bytes that both processes have read again so far. */
const reread = (...floors: readonly Floor[]): number => floors.reduce((sum, floor) => sum + floor.blobs.bytesReread, 0)

suite('an upload that stays in one process', () => {
  test('POST, PATCH, PUT reads nothing again', async (t) => {
    const floor = await openFloor(t)
    await pushBlob(floor.registry, 'team/app', 'x'.repeat(100_000))
    assert.equal(reread(floor), 0)
  })

  test('neither do many chunks and last bytes with the PUT', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    for (let count = 0; count < 20; count++) await appendToUpload(floor.registry, key, chunk('0123456789'))
    await finishUpload(floor.registry, key, { ...chunk('end'), digest: sha256Of(`${'0123456789'.repeat(20)}end`) })
    assert.equal(reread(floor), 0)
  })

  test('nor does going on after a connection broke', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    const broken = { body: inPieces(['some'], new Error('gone')), announcedBytes: 9, range: undefined }
    await assertRejected('uploadInterrupted', appendToUpload(floor.registry, key, broken))
    await appendToUpload(floor.registry, key, chunk(' more'))
    await finishUpload(floor.registry, key, ending(sha256Of('some more')))
    assert.equal(reread(floor), 0)
  })

  test('a hash that saw bytes which were refused is not used again', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('good'))
    await assertRejected('uploadSizeMismatch', appendToUpload(floor.registry, key, chunk('bad', { announcedBytes: 7 })))
    await appendToUpload(floor.registry, key, chunk(' end'))
    assert.equal(reread(floor), 4)
    await finishUpload(floor.registry, key, ending(sha256Of('good end')))
    assert.equal(reread(floor), 4)
  })

  test('a digest of another algorithm than was hinted at costs one reading, the hinted one none', async (t) => {
    const floor = await openFloor(t)
    const sha512 = digestOf('sha512', Buffer.from('content'))
    const without = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, without, chunk('content'))
    await finishUpload(floor.registry, without, ending(sha512))
    assert.equal(reread(floor), 7)
    const hinted = await begin(floor.registry, 'team/app', { algorithm: 'sha512' })
    await appendToUpload(floor.registry, hinted, chunk('con'))
    await finishUpload(floor.registry, hinted, { ...chunk('tent'), digest: sha512 })
    assert.equal(reread(floor), 7)
  })

  test('a digest of another algorithm with the last bytes is right too', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('con'))
    await finishUpload(floor.registry, key, { ...chunk('tent'), digest: digestOf('sha512', Buffer.from('content')) })
    assert.equal(await floor.blobs.statBlob(digestOf('sha512', Buffer.from('content'))), 7)
  })
})

suite('an upload that goes on in another process', () => {
  test('an end without bytes reads nothing again, in any process', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('content'))
    await finishUpload(two.registry, key, ending(sha256Of('content')))
    assert.equal(reread(one, two), 0)
  })

  test('more bytes are read again once, before the first of the new ones is taken', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('first '))
    let rereadBefore = -1
    async function* body(): AsyncGenerator<Uint8Array> {
      rereadBefore = reread(two)
      yield Buffer.from('second ')
    }
    await appendToUpload(two.registry, key, { body: body(), announcedBytes: 7, range: undefined })
    assert.equal(rereadBefore, 6)
    await appendToUpload(two.registry, key, chunk('third'))
    await finishUpload(two.registry, key, ending(sha256Of('first second third')))
    assert.deepEqual([reread(one), reread(two)], [0, 6])
  })

  test('a process that has the hash of an earlier state reads again instead of using it', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    let content = ''
    for (const [floor, text] of [
      [one, 'a'],
      [two, 'b'],
      [one, 'c'],
      [two, 'd'],
    ] as const) {
      await appendToUpload(floor.registry, key, chunk(text))
      content += text
    }
    await finishUpload(one.registry, key, ending(sha256Of(content)))
    assert.deepEqual([reread(one), reread(two)], [2, 1 + 3])
  })

  test('a hash whose progress could not be recorded is not found again by the number of its bytes', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    let writes = 0
    // The claim is recorded, the release is not.
    const writeRelaxed = async <T>(work: Parameters<typeof one.database.writeRelaxed<T>>[0]): Promise<T> => {
      if (++writes === 2) throw new RegistryError('storageFull')
      return one.database.writeRelaxed(work)
    }
    const failing = createRegistry({ ...one.registry, database: withWrites(one.database, { writeRelaxed }) })
    await assertRejected('storageFull', appendToUpload(failing, key, chunk('lost')))
    one.advance(61_000)
    await appendToUpload(two.registry, key, chunk('kept'))
    await appendToUpload(failing, key, chunk('!'))
    await finishUpload(failing, key, ending(sha256Of('kept!')))
  })
})

suite('a hash of a process that lost the session', () => {
  test('is not kept, although another process has stored as many bytes since', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    // The first stands still between its last write and the moment when it lets go.
    one.blobs.before = async (call) => {
      if (call !== 'close') return
      one.blobs.before = () => undefined
      one.advance(60_001)
      await appendToUpload(two.registry, key, chunk('kept'))
    }
    await appendToUpload(one.registry, key, chunk('lost'))
    await appendToUpload(one.registry, key, chunk('!'))
    await finishUpload(one.registry, key, ending(sha256Of('kept!')))
  })
})

suite('an upload that goes on after a restart', () => {
  test('its bytes are read again from the disk, also for an end without bytes', async (t) => {
    const one = await openFloor(t)
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('content'))
    const two = one.another('after the restart')
    await resetSessions(two.registry)
    assert.equal(await statUpload(two.registry, key), 7)
    await finishUpload(two.registry, key, ending(sha256Of('content')))
    assert.equal(reread(two), 7)
  })

  test('bytes that a power cut changed are noticed, and never served', async (t) => {
    const one = await openFloor(t)
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('content that a power cut changes'))
    writeFileSync(join(one.layout.uploads, key.id), Buffer.alloc(32))
    const two = one.another('after the restart')
    await resetSessions(two.registry)
    await assertRejected('digestMismatch', finishUpload(two.registry, key, ending(sha256Of('content that a power cut changes'))))
    assert.equal(await two.blobs.statBlob(sha256Of('content that a power cut changes')), undefined)
  })

  test('bytes that a power cut took make the session unknown, so that the client starts again', async (t) => {
    const one = await openFloor(t)
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('content'))
    truncateSync(join(one.layout.uploads, key.id), 3)
    const two = one.another('after the restart')
    await resetSessions(two.registry)
    await assertRejected('uploadUnknown', appendToUpload(two.registry, key, chunk('more')))
    await assertRejected('uploadUnknown', statUpload(two.registry, key))
    await pushBlob(two.registry, 'team/app', 'content')
  })

  test('bytes that a crash left uncounted are written over', async (t) => {
    const one = await openFloor(t)
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('counted'))
    writeFileSync(join(one.layout.uploads, key.id), 'counted and more than was ever acknowledged')
    const two = one.another('after the restart')
    await resetSessions(two.registry)
    await appendToUpload(two.registry, key, chunk('!'))
    await finishUpload(two.registry, key, ending(sha256Of('counted!')))
    assert.equal(await two.blobs.statBlob(sha256Of('counted!')), 8)
  })
})
