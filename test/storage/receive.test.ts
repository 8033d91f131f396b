/** Receiving a body: the same bytes and hash however it is cut, nothing lost when it breaks off, never more than two batches held. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { suite, test } from 'node:test'
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import * as fc from 'fast-check'
import { RegistryError } from '../../oci/errors.ts'
import type { PartialBlob } from '../../storage/blobs/blob-store.ts'
import { receive, rehash, type ReceptionTarget } from '../../storage/blobs/receive.ts'
import { assertRejected, failureOf } from '../support/refusal.ts'

const mebibyte = 1024 * 1024

/** An upload's bytes in memory, and how they got there. */
class MemoryPartial {
  bytes = Buffer.alloc(0)
  readonly writes: { readonly chunks: number; readonly bytes: number; readonly position: number }[] = []
  #writing = 0

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    assert.equal(this.#writing++, 0, 'a write began while another was under way')
    const content = Buffer.concat(chunks)
    this.writes.push({ chunks: chunks.length, bytes: content.length, position })
    await this.beforeWrite(this.writes.length)
    assert.ok(position <= this.bytes.length, 'a write left a hole')
    this.bytes = Buffer.concat([this.bytes.subarray(0, position), content, this.bytes.subarray(position + content.length)])
    this.#writing--
  }

  /** For tests that let a write wait or fail. */
  async beforeWrite(_number: number): Promise<void> {}
}

async function* bodyOf(chunks: Iterable<Uint8Array>, breaksOffWith?: Error): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield chunk
  if (breaksOffWith) throw breaksOffWith
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let position = 0
  for (const size of sizes) {
    chunks.push(bytes.subarray(position, position + size))
    position += size
  }
  return [...chunks, bytes.subarray(position)]
}

/** What receiving is given besides the body. */
function into(partial: MemoryPartial, more: Partial<ReceptionTarget> = {}): ReceptionTarget {
  return { partial, position: 0, hash: createHash('sha256'), ...more }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Sizes around what a socket delivers and around a batch, and tiny ones. */
const anySizes = fc.array(fc.oneof(fc.nat(20), fc.nat(200_000), fc.constantFrom(65_536, mebibyte, mebibyte + 1)), { maxLength: 40 })

suite('receiving a body', () => {
  test('any chunking gives the same bytes, the same hash and the same count', async () => {
    const content = randomBytes(3 * mebibyte + 17)
    await fc.assert(
      fc.asyncProperty(anySizes, fc.nat(content.length), async (sizes, length) => {
        const body = content.subarray(0, length)
        const [partial, hash] = [new MemoryPartial(), createHash('sha256')]
        const result = await receive(bodyOf(cut(body, sizes)), into(partial, { hash }))
        assert.deepEqual(result, { receivedBytes: length, interruption: undefined })
        assert.ok(partial.bytes.equals(body))
        assert.equal(hash.digest('hex'), sha256(body))
      }),
      { numRuns: 25 },
    )
  })

  test('a body goes on where the upload stands, and its hash goes on too', async () => {
    const [partial, hash] = [new MemoryPartial(), createHash('sha256')]
    for (const text of ['so far', ', and on', ', and to the end']) {
      await receive(bodyOf([Buffer.from(text)]), into(partial, { position: partial.bytes.length, hash }))
    }
    assert.equal(partial.bytes.toString(), 'so far, and on, and to the end')
    assert.equal(hash.digest('hex'), sha256(partial.bytes))
  })

  test('an empty body writes nothing', async () => {
    const partial = new MemoryPartial()
    const result = await receive(bodyOf([Buffer.alloc(0)]), into(partial))
    assert.deepEqual(result, { receivedBytes: 0, interruption: undefined })
    assert.deepEqual(
      partial.writes.filter((write) => write.bytes > 0),
      [],
    )
  })

  test('what arrived before a body broke off is written, hashed and counted', async () => {
    const content = randomBytes(2 * mebibyte)
    await fc.assert(
      fc.asyncProperty(anySizes, fc.nat(content.length), async (sizes, length) => {
        const broken = new Error('the client left')
        const body = content.subarray(0, length)
        const [partial, hash] = [new MemoryPartial(), createHash('sha256')]
        const result = await receive(bodyOf(cut(body, sizes), broken), into(partial, { hash }))
        assert.equal(result.interruption, broken)
        assert.equal(result.receivedBytes, length)
        assert.ok(partial.bytes.equals(body))
        assert.equal(hash.digest('hex'), sha256(body))
      }),
      { numRuns: 12 },
    )
  })

  test('a body that breaks off before its first byte counts nothing', async () => {
    const result = await receive(bodyOf([], new Error('gone')), into(new MemoryPartial()))
    assert.equal(result.receivedBytes, 0)
    assert.match(String(result.interruption), /gone/)
  })
})

suite('a body of more than is wanted', () => {
  test('is left as soon as it passes the limit, and the count says that it did', async () => {
    const partial = new MemoryPartial()
    let asked = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        asked++
        yield Buffer.from('four')
      }
    }
    const { receivedBytes, interruption } = await receive(endless(), into(partial, { limitBytes: 10 }))
    assert.deepEqual([receivedBytes, interruption, asked], [12, undefined, 3])
    assert.equal(partial.bytes.toString(), 'fourfour')
  })

  test('is received whole when it has exactly as many bytes as the limit', async () => {
    const partial = new MemoryPartial()
    const result = await receive(bodyOf([Buffer.from('1234'), Buffer.from('56')]), into(partial, { limitBytes: 6 }))
    assert.deepEqual(result, { receivedBytes: 6, interruption: undefined })
    assert.equal(partial.bytes.toString(), '123456')
  })
})

suite('whoever sends a body', () => {
  for (const [when, more] of [
    ['it is left before its end', { limitBytes: 1 }],
    ['a write failed', {}],
  ] as const) {
    test(`is told that nobody listens any more when ${when}`, async () => {
      let isTold = false
      async function* body(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield Buffer.alloc(65_536)
        } finally {
          isTold = true
        }
      }
      const partial = new MemoryPartial()
      partial.beforeWrite = async () => {
        throw new RegistryError('storageFull')
      }
      await receive(body(), into(partial, more)).catch(() => undefined)
      assert.ok(isTold)
    })
  }
})

suite('writes that fail', () => {
  const chunks = Array.from({ length: 64 }, () => randomBytes(65_536))

  for (const failing of [1, 2, 4]) {
    test(`the fault of write ${failing} is thrown, and no later write is begun`, async () => {
      const partial = new MemoryPartial()
      partial.beforeWrite = async (number) => {
        if (number === failing) throw new RegistryError('storageFull')
      }
      await assertRejected('storageFull', receive(bodyOf(chunks), into(partial)))
      assert.equal(partial.writes.length, failing)
    })
  }

  test('the fault of a write that a broken body left is thrown, not the break', async () => {
    const partial = new MemoryPartial()
    partial.beforeWrite = async () => {
      throw new RegistryError('storageFailed')
    }
    const body = bodyOf([Buffer.from('some')], new Error('the client left'))
    await assertRejected('storageFailed', receive(body, into(partial)))
  })

  test('a fault that arrives while the body is still waited for is no unhandled rejection', async (t) => {
    const unhandled: unknown[] = []
    const note = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', note)
    t.after(() => process.off('unhandledRejection', note))
    const partial = new MemoryPartial()
    const failed = Promise.withResolvers<void>()
    partial.beforeWrite = async () => {
      setImmediate(() => setImmediate(failed.resolve))
      throw new RegistryError('storageFull')
    }
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(mebibyte)
      await failed.promise
      yield Buffer.from('more')
    }
    await assertRejected('storageFull', receive(slow(), into(partial)))
    assert.deepEqual(unhandled, [])
  })
})

suite('what receiving holds', () => {
  test('while a write waits, one more batch is taken from the body and then nothing', async () => {
    const partial = new MemoryPartial()
    const written = Promise.withResolvers<void>()
    partial.beforeWrite = () => written.promise
    let taken = 0
    async function* sixteenMebibytes(): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 256; count++) {
        taken += 65_536
        yield Buffer.alloc(65_536)
      }
    }
    const receiving = receive(sixteenMebibytes(), into(partial))
    for (let before = -1; before !== taken; await turnOfTheLoop()) before = taken
    assert.equal(taken, 2 * (partial.writes[0]?.bytes ?? 0))
    assert.ok(taken <= 2 * mebibyte, `${taken} bytes are held`)
    written.resolve()
    assert.equal((await receiving).receivedBytes, 16 * mebibyte)
  })

  test('what a socket delivers is gathered into few writes, one behind the other', async () => {
    const partial = new MemoryPartial()
    await receive(bodyOf(Array.from({ length: 40 }, () => Buffer.alloc(65_536))), into(partial))
    assert.ok(partial.writes.length <= 5, `${partial.writes.length} writes`)
    let position = 0
    for (const write of partial.writes) {
      assert.equal(write.position, position)
      position += write.bytes
    }
    assert.equal(position, 40 * 65_536)
  })

  test('every chunk is released once, when it is written and not before', async () => {
    const partial = new MemoryPartial()
    const chunks = Array.from({ length: 40 }, (_, index) => Buffer.alloc(65_536, index))
    const released: Uint8Array[] = []
    let writtenBefore = 0
    partial.beforeWrite = async () => {
      assert.equal(released.length, writtenBefore, 'nothing of this write is released yet')
      writtenBefore += partial.writes.at(-1)?.chunks ?? 0
    }
    await receive(bodyOf(chunks), into(partial, { release: (chunk) => void released.push(chunk) }))
    assert.deepEqual(released, chunks)
  })

  test('chunks whose write failed are not released', async () => {
    const partial = new MemoryPartial()
    partial.beforeWrite = async () => {
      throw new RegistryError('storageFull')
    }
    let released = 0
    await assertRejected('storageFull', receive(bodyOf([Buffer.from('x')]), into(partial, { release: () => released++ })))
    assert.equal(released, 0)
  })

  test('a body of tiny chunks is written before their number grows', async () => {
    const partial = new MemoryPartial()
    const tiny = Buffer.from('x')
    const result = await receive(bodyOf(Array.from({ length: 10_000 }, () => tiny)), into(partial))
    assert.equal(result.receivedBytes, 10_000)
    assert.equal(partial.bytes.toString(), 'x'.repeat(10_000))
    for (const write of partial.writes) assert.ok(write.chunks <= 1024, `${write.chunks} chunks`)
  })
})

/** A partial of which a read gives at most `step` bytes. */
function readable(content: Buffer, step: number): PartialBlob {
  const read = async (target: Uint8Array, position: number): Promise<number> =>
    content.copy(target, 0, position, Math.min(content.length, position + Math.min(step, target.length)))
  return { read } as unknown as PartialBlob
}

suite('reading an upload again', () => {
  test('the hash is that of the first bytes, however many a read gives', async () => {
    const content = randomBytes(2 * mebibyte + 5)
    await fc.assert(
      fc.asyncProperty(fc.nat(content.length), fc.integer({ min: 1000, max: 3 * mebibyte }), async (sizeBytes, step) => {
        const hash = createHash('sha512')
        await rehash(readable(content, step), sizeBytes, hash)
        assert.equal(hash.digest('hex'), createHash('sha512').update(content.subarray(0, sizeBytes)).digest('hex'))
      }),
      { numRuns: 20 },
    )
  })

  test('a file that ends before the bytes that were counted is a fault', async () => {
    const error = await failureOf(rehash(readable(Buffer.from('short'), 10), 6, createHash('sha256')))
    assert.match(String(error), /ends at 5, 6 bytes were counted/)
  })
})
