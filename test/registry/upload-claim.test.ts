/** One writer at a time, in any process: who holds an upload session, for how long, and what becomes of those who lost it. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { suite, test, type TestContext } from 'node:test'
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { digestOf } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { releaseSessionsOf } from '../../registry/expire-uploads.ts'
import { appendToUpload, cancelUpload, finishUpload, statUpload } from '../../registry/push-blob.ts'
import { createRegistry } from '../../registry/registry.ts'
import type { SessionKey } from '../../storage/metadata/uploads.ts'
import { sha256Of } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { begin, chunk, ending, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

/** A request whose body is sent piece by piece, when the test says so; `undefined` ends it. */
class SlowBody {
  readonly #pieces: (string | undefined)[] = []
  readonly #begun = Promise.withResolvers<void>()
  #wake: () => void = () => undefined

  /** Resolves when the first piece is asked for. */
  get begun(): Promise<void> {
    return this.#begun.promise
  }

  send(...pieces: (string | undefined)[]): void {
    this.#pieces.push(...pieces)
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    this.#begun.resolve()
    for (;;) {
      while (this.#pieces.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
      const piece = this.#pieces.shift()
      if (piece === undefined) return
      yield Buffer.from(piece)
    }
  }
}

/** A PATCH that is under way. */
async function appending(floor: Floor, key: SessionKey): Promise<{ body: SlowBody; done: Promise<number> }> {
  const body = new SlowBody()
  const done = appendToUpload(floor.registry, key, { body, announcedBytes: undefined, range: undefined })
  done.catch(() => undefined)
  await body.begun
  return { body, done }
}

const row = (floor: Floor, key: SessionKey) =>
  floor.database.read.selectFrom('upload_session').selectAll().where('id', '=', key.id).executeTakeFirst()

suite('holding an upload session', () => {
  test('while one request writes, every other is told so, and where the session stands', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('abc'))
    const { body, done } = await appending(one, key)
    for (const { registry } of [one, two]) {
      for (const attempt of [
        appendToUpload(registry, key, chunk('x')),
        finishUpload(registry, key, ending(sha256Of('abc'))),
        cancelUpload(registry, key),
      ]) {
        const error = await assertRejected('uploadBusy', attempt)
        assert.deepEqual(error.headers, { Location: `/v2/team/app/blobs/uploads/${key.id}`, Range: '0-2', 'Docker-Upload-UUID': key.id })
      }
      assert.equal(await statUpload(registry, key), 3)
    }
    body.send('def', undefined)
    assert.equal(await done, 6)
    await finishUpload(two.registry, key, ending(sha256Of('abcdef')))
  })

  test('a claim names its process, and is gone when the request is over, however it ended', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    const { body, done } = await appending(floor, key)
    assert.match((await row(floor, key))?.writer ?? '', /^first:id-\d+$/)
    assert.equal((await row(floor, key))?.writer_until_ms, floor.now() + 60_000)
    body.send(undefined)
    await done
    assert.equal((await row(floor, key))?.writer, null)
    await assertRejected('uploadOutOfOrder', appendToUpload(floor.registry, key, chunk('x', { range: 'malformed' })))
    assert.equal((await row(floor, key))?.writer, null)
  })

  test('what a dead process held is free as soon as its death is noticed', async (t) => {
    const one = await openFloor(t)
    const two = one.another('second')
    const keys = [await begin(one.registry, 'a'), await begin(one.registry, 'b')] as const
    const dead = await appending(one, keys[0])
    const alive = await appending(two, keys[1])
    await releaseSessionsOf(two.registry, 'first')
    assert.equal(await appendToUpload(two.registry, keys[0], chunk('x')), 1)
    await assertRejected('uploadBusy', appendToUpload(one.registry, keys[1], chunk('x')))
    for (const { body, done } of [dead, alive]) {
      body.send(undefined)
      await done.catch(() => undefined)
    }
  })

  test('a session whose file cannot be opened is free for the retry', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('abc'))
    floor.blobs.failNext('open', new RegistryError('storageFailed'))
    await assertRejected('storageFailed', appendToUpload(floor.registry, key, chunk('x')))
    assert.equal(await appendToUpload(floor.registry, key, chunk('def')), 6)
    await finishUpload(floor.registry, key, ending(sha256Of('abcdef')))
  })

  test('a session whose bytes may be lost, as the close of its file says, is dropped', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    floor.blobs.failNext('close', new RegistryError('storageFailed'))
    await assertRejected('storageFailed', appendToUpload(floor.registry, key, chunk('bytes that are lost')))
    await assertRejected('uploadUnknown', statUpload(floor.registry, key))
    assert.deepEqual(readdirSync(floor.layout.uploads), [])
    await pushBlob(floor.registry, 'team/app', 'bytes that are lost')
  })
})

suite('signs of life', () => {
  /** The beat of a heart is a timer; the tests turn it, so that no one waits. */
  async function beat(t: TestContext): Promise<void> {
    t.mock.timers.tick(20_000)
    for (let turn = 0; turn < 20; turn++) await turnOfTheLoop()
  }

  test('a request that is still at work keeps its claim for as long as it takes', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    const { body, done } = await appending(one, key)
    for (let minute = 0; minute < 5; minute++) {
      for (let beats = 0; beats < 3; beats++) {
        one.advance(20_000)
        await beat(t)
      }
      await assertRejected('uploadBusy', appendToUpload(two.registry, key, chunk('x')))
    }
    const { updated_at_ms, writer_until_ms } = (await row(one, key)) ?? {}
    assert.deepEqual([updated_at_ms, writer_until_ms], [one.now(), one.now() + 60_000])
    body.send('slowly', undefined)
    assert.equal(await done, 6)
  })

  test('when the request is over, its heart beats no more', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('x'))
    const before = await row(floor, key)
    floor.advance(20_000)
    await beat(t)
    assert.deepEqual(await row(floor, key), before)
  })

  test('a beat that fails ends neither the request nor the process', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const unhandled: unknown[] = []
    const note = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', note)
    t.after(() => process.off('unhandledRejection', note))
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    let beats = 0
    let isFull = false
    const writeRelaxed = async <T>(work: Parameters<typeof floor.database.writeRelaxed<T>>[0]): Promise<T> => {
      if (!isFull) return floor.database.writeRelaxed(work)
      beats++
      throw new RegistryError('storageFull')
    }
    const registry = createRegistry({ ...floor.registry, database: withWrites(floor.database, { writeRelaxed }) })
    const { body, done } = await appending({ ...floor, registry }, key)
    isFull = true
    await beat(t)
    await beat(t)
    isFull = false
    assert.equal(beats, 2)
    assert.deepEqual(unhandled, [])
    body.send('x', undefined)
    assert.equal(await done, 1)
  })
})

/**
 * A process that stood still (stopped, or its machine suspended) while the clock went on: its heart did not beat, and another request
 * took its session. Here the heart stands still because nobody turns its timer.
 */
suite('a writer that stood still', () => {
  async function stalled(t: TestContext): Promise<{ one: Floor; two: Floor; key: SessionKey; body: SlowBody; done: Promise<number> }> {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const one = await openFloor(t)
    const key = await begin(one.registry, 'team/app')
    const { body, done } = await appending(one, key)
    one.advance(60_001)
    return { one, two: one.another('second'), key, body, done }
  }

  test('goes on when nobody took its session', async (t) => {
    const { one, key, body, done } = await stalled(t)
    body.send('late', undefined)
    assert.equal(await done, 4)
    await finishUpload(one.registry, key, ending(sha256Of('late')))
  })

  test('writes nothing into a session that was taken over', async (t) => {
    const { two, key, body, done } = await stalled(t)
    await appendToUpload(two.registry, key, chunk('of the second'))
    body.send('OF THE FIRST!', undefined)
    await assertRejected('uploadBusy', done)
    assert.equal(await statUpload(two.registry, key), 13)
    await finishUpload(two.registry, key, ending(sha256Of('of the second')))
    assert.equal(await two.blobs.statBlob(sha256Of('of the second')), 13)
  })

  test('writes nothing into a blob that was published meanwhile', async (t) => {
    const { two, key, body, done } = await stalled(t)
    await finishUpload(two.registry, key, { ...chunk('published meanwhile'), digest: sha256Of('published meanwhile') })
    body.send('PUBLISHED', undefined)
    await assertRejected('uploadBusy', done)
    const reader = await two.blobs.openBlob(sha256Of('published meanwhile'), 19)
    const target = Buffer.alloc(19)
    await reader.read(target, 0)
    await reader.close()
    assert.equal(target.toString(), 'published meanwhile')
  })

  test('publishes nothing when another is writing now, whose bytes stay as they are', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    const body = new SlowBody()
    const finishing = finishUpload(one.registry, key, { body, announcedBytes: undefined, range: undefined, digest: sha256Of('one') })
    finishing.catch(() => undefined)
    await body.begun
    body.send('one')
    await turnOfTheLoop()
    one.advance(60_001)
    const second = await appending(two, key)
    body.send(undefined)
    await assertRejected('uploadBusy', finishing)
    assert.equal(await one.blobs.statBlob(sha256Of('one')), undefined)
    second.body.send('two', undefined)
    assert.equal(await second.done, 3)
    await finishUpload(two.registry, key, ending(sha256Of('two')))
  })

  test('publishes nothing when its session was taken over while it looked at the bytes', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const one = await openFloor(t)
    const two = one.another('second')
    const key = await begin(one.registry, 'team/app')
    await appendToUpload(one.registry, key, chunk('bytes'))
    let second: { body: SlowBody; done: Promise<number> } | undefined
    one.blobs.before = async (call) => {
      if (call !== 'read' || second) return
      one.advance(60_001)
      second = await appending(two, key)
    }
    const sha512 = digestOf('sha512', Buffer.from('bytes'))
    await assertRejected('uploadBusy', finishUpload(one.registry, key, ending(sha512)))
    assert.equal(await one.blobs.statBlob(sha512), undefined)
    second?.body.send(' and more', undefined)
    assert.equal(await second?.done, 14)
    await finishUpload(two.registry, key, ending(sha256Of('bytes and more')))
  })

  test('does not say that it ended what another goes on with', async (t) => {
    const { two, key, body, done } = await stalled(t)
    const second = await appending(two, key)
    body.send(undefined)
    assert.equal(await done, 0)
    assert.match((await row(two, key))?.writer ?? '', /^second:/)
    second.body.send('x', undefined)
    assert.equal(await second.done, 1)
  })
})
