/**
 * What every BlobStore must do, whatever keeps its bytes. A store passes by calling this with a factory.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { digestOf, type SupportedDigest } from '../../oci/digest.ts'
import type { BlobReader, BlobStore, PartialBlob } from '../../storage/blobs/blob-store.ts'
import { assertRejected, failureOf } from '../support/refusal.ts'

export type BlobStoreFactory = (t: TestContext) => Promise<BlobStore>

/** Stores a blob as an upload does. */
export async function store(
  blobs: BlobStore,
  content: Uint8Array | string,
  { id = 'upload', algorithm = 'sha256' as const }: { id?: string; algorithm?: 'sha256' | 'sha512' } = {},
): Promise<SupportedDigest> {
  const bytes = Buffer.from(content)
  const digest = digestOf(algorithm, bytes)
  const partial = await blobs.openPartial(id)
  await partial.write([bytes], 0)
  await partial.commit(digest, bytes.length)
  await partial.close()
  return digest
}

/** The whole content of a blob. */
export async function contentOf(blobs: BlobStore, digest: SupportedDigest, sizeBytes: number): Promise<Buffer> {
  const reader = await blobs.openBlob(digest, sizeBytes)
  try {
    return await readAll(reader, sizeBytes)
  } finally {
    await reader.close()
  }
}

/** Reads `length` bytes from `position`, however many reads it takes; less when the end comes first. */
export async function readAll(source: BlobReader | PartialBlob, length: number, position = 0): Promise<Buffer> {
  const target = Buffer.alloc(length)
  let filled = 0
  for (let read = -1; read !== 0 && filled < length; filled += read) read = await source.read(target.subarray(filled), position + filled)
  return target.subarray(0, filled)
}

export async function idsOf(blobs: BlobStore): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of blobs.listPartials()) ids.push(id)
  return ids.toSorted()
}

/** Declares the suite. */
export function blobStoreSuite(name: string, create: BlobStoreFactory): void {
  suite(`${name} keeps the bytes of uploads`, () => partialTests(create))
  suite(`${name} makes uploads into blobs`, () => commitTests(create))
  suite(`${name} reads blobs`, () => readTests(create))
  suite(`${name} lets blobs go`, () => collectionTests(create))
}

function partialTests(create: BlobStoreFactory): void {
  test('an upload that is opened for the first time is empty', async (t) => {
    const partial = await (await create(t)).openPartial('new')
    assert.equal(await partial.sizeBytes(), 0)
    assert.equal(await partial.read(Buffer.alloc(10), 0), 0)
    await partial.close()
  })

  test('chunks are written one behind the other from the position on', async (t) => {
    const partial = await (await create(t)).openPartial('a')
    await partial.write([Buffer.from('ab'), Buffer.from('c'), Buffer.from('def')], 0)
    await partial.write([Buffer.from('gh')], 6)
    assert.equal(await partial.sizeBytes(), 8)
    assert.equal((await readAll(partial, 20)).toString(), 'abcdefgh')
    await partial.close()
  })

  test('a write at an earlier position replaces what an interrupted one left there', async (t) => {
    const partial = await (await create(t)).openPartial('a')
    await partial.write([Buffer.from('0123456789')], 0)
    await partial.write([Buffer.from('abc')], 4)
    assert.equal((await readAll(partial, 20)).toString(), '0123abc789')
    await partial.close()
  })

  test('more chunks than a system call takes arrive whole and in order', async (t) => {
    const chunks = Array.from({ length: 3000 }, (_, index) => Buffer.from(`${index},`))
    const partial = await (await create(t)).openPartial('a')
    await partial.write(chunks, 0)
    assert.ok((await readAll(partial, 20_000)).equals(Buffer.concat(chunks)))
    await partial.close()
  })

  test('empty chunks change nothing and are no fault', async (t) => {
    const partial = await (await create(t)).openPartial('a')
    await partial.write([], 0)
    await partial.write([Buffer.alloc(0), Buffer.alloc(0)], 0)
    await partial.write([Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(0), Buffer.from('y')], 0)
    assert.equal((await readAll(partial, 10)).toString(), 'xy')
    await partial.close()
  })

  test('any division into writes and chunks gives the same bytes', async (t) => {
    const blobs = await create(t)
    const writes = fc.array(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), { maxLength: 6 })
    let count = 0
    await fc.assert(
      fc.asyncProperty(writes, async (parts) => {
        const partial = await blobs.openPartial(`u${count++}`)
        let position = 0
        for (const chunks of parts) {
          await partial.write(chunks, position)
          position += chunks.reduce((sum, chunk) => sum + chunk.length, 0)
        }
        assert.equal(await partial.sizeBytes(), position)
        assert.ok((await readAll(partial, position + 1)).equals(Buffer.concat(parts.flat())))
        await partial.close()
      }),
      { numRuns: 50 },
    )
  })

  test('an upload that is opened again is as it was left', async (t) => {
    const blobs = await create(t)
    const first = await blobs.openPartial('a')
    await first.write([Buffer.from('so far')], 0)
    await first.close()
    const second = await blobs.openPartial('a')
    assert.equal(await second.sizeBytes(), 6)
    await second.write([Buffer.from(', and on')], 6)
    assert.equal((await readAll(second, 30)).toString(), 'so far, and on')
    await second.close()
  })

  test('what lies beyond the bytes that are counted can be given back, and writing goes on from there', async (t) => {
    const partial = await (await create(t)).openPartial('a')
    await partial.write([Buffer.from('counted, and the rest')], 0)
    await partial.truncate(7)
    assert.equal(await partial.sizeBytes(), 7)
    await partial.write([Buffer.from('!')], 7)
    assert.equal((await readAll(partial, 30)).toString(), 'counted!')
    await partial.truncate(0)
    assert.equal(await partial.sizeBytes(), 0)
    await partial.close()
  })

  test('uploads do not see each other', async (t) => {
    const blobs = await create(t)
    const [a, b] = [await blobs.openPartial('a'), await blobs.openPartial('b')]
    await a.write([Buffer.from('of a')], 0)
    await b.write([Buffer.from('of b')], 0)
    assert.equal((await readAll(a, 9)).toString(), 'of a')
    assert.equal((await readAll(b, 9)).toString(), 'of b')
    await a.close()
    await b.close()
  })

  test('the list names every upload that has bytes, with the time of its last write', async (t) => {
    const blobs = await create(t)
    const before = Date.now()
    for (const id of ['one', 'two', 'three']) {
      const partial = await blobs.openPartial(id)
      await partial.write([Buffer.from(id)], 0)
      await partial.close()
    }
    const times: Record<string, number> = {}
    for await (const { id, modifiedAtMs } of blobs.listPartials()) times[id] = modifiedAtMs
    assert.deepEqual(Object.keys(times).toSorted(), ['one', 'three', 'two'])
    // The clock of a store may be coarser than ours.
    for (const time of Object.values(times)) assert.ok(time > before - 5000 && time < Date.now() + 5000, `${time}`)
  })

  test('a removed upload is gone, and removing it again does nothing', async (t) => {
    const blobs = await create(t)
    const partial = await blobs.openPartial('a')
    await partial.write([Buffer.from('bytes')], 0)
    await partial.close()
    await blobs.removePartial('a')
    await blobs.removePartial('a')
    await blobs.removePartial('never-was')
    assert.deepEqual(await idsOf(blobs), [])
    const again = await blobs.openPartial('a')
    assert.equal(await again.sizeBytes(), 0)
    await again.close()
  })

  test('a closed upload refuses to be used, and closing it again does nothing', async (t) => {
    const blobs = await create(t)
    const partial = await blobs.openPartial('a')
    await partial.close()
    const other = await blobs.openPartial('b')
    await partial.close()
    await failureOf(partial.write([Buffer.from('late')], 0))
    await failureOf(partial.read(Buffer.alloc(1), 0))
    await failureOf(partial.truncate(0))
    assert.equal(await other.sizeBytes(), 0, 'nothing reached the upload that was opened next')
    await other.close()
  })

  test('writing works, says the probe, and it leaves nothing behind', async (t) => {
    const blobs = await create(t)
    await blobs.probe()
    await Promise.all([blobs.probe(), blobs.probe()])
    assert.deepEqual(await idsOf(blobs), [])
  })
}

function commitTests(create: BlobStoreFactory): void {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    test(`a ${algorithm} blob has exactly the bytes of its upload, which is gone`, async (t) => {
      const blobs = await create(t)
      const bytes = randomBytes(300_000)
      const digest = await store(blobs, bytes, { algorithm })
      assert.equal(await blobs.statBlob(digest), bytes.length)
      assert.ok((await contentOf(blobs, digest, bytes.length)).equals(bytes))
      assert.deepEqual(await idsOf(blobs), [])
    })
  }

  test('a blob of no bytes is a blob', async (t) => {
    const blobs = await create(t)
    const digest = await store(blobs, '')
    assert.equal(await blobs.statBlob(digest), 0)
    assert.equal((await contentOf(blobs, digest, 0)).length, 0)
  })

  test('an upload that was opened and never written to can become the blob of no bytes', async (t) => {
    const blobs = await create(t)
    const digest = digestOf('sha256', Buffer.alloc(0))
    const partial = await blobs.openPartial('a')
    await partial.commit(digest, 0)
    await partial.close()
    assert.equal(await blobs.statBlob(digest), 0)
  })

  test('bytes beyond those that were counted are cut off', async (t) => {
    const blobs = await create(t)
    const digest = digestOf('sha256', Buffer.from('counted'))
    const partial = await blobs.openPartial('a')
    await partial.write([Buffer.from('counted, and what an interrupted request left')], 0)
    await partial.commit(digest, 7)
    await partial.close()
    assert.equal((await contentOf(blobs, digest, 7)).toString(), 'counted')
  })

  test('an upload with fewer bytes than were counted is refused and nothing becomes visible', async (t) => {
    const blobs = await create(t)
    const digest = digestOf('sha256', Buffer.from('all of it'))
    const partial = await blobs.openPartial('a')
    await partial.write([Buffer.from('all of')], 0)
    await assertRejected('storageFailed', partial.commit(digest, 9))
    await partial.close()
    assert.equal(await blobs.statBlob(digest), undefined)
  })

  test('a blob that is stored again stays readable, also to those who are reading it', async (t) => {
    const blobs = await create(t)
    const bytes = randomBytes(50_000)
    const digest = await store(blobs, bytes, { id: 'first' })
    const reader = await blobs.openBlob(digest, bytes.length)
    const start = await readAll(reader, 1000)
    await store(blobs, bytes, { id: 'second' })
    const rest = await readAll(reader, bytes.length, 1000)
    await reader.close()
    assert.ok(Buffer.concat([start, rest]).equals(bytes))
    assert.ok((await contentOf(blobs, digest, bytes.length)).equals(bytes))
  })

  test('many uploads of one blob at once all succeed and leave one blob', async (t) => {
    const blobs = await create(t)
    const bytes = randomBytes(10_000)
    const digests = await Promise.all(Array.from({ length: 12 }, (_, index) => store(blobs, bytes, { id: `u${index}` })))
    assert.equal(new Set(digests).size, 1)
    assert.ok((await contentOf(blobs, digests[0] as SupportedDigest, bytes.length)).equals(bytes))
    assert.deepEqual(await idsOf(blobs), [])
  })

  test('blobs whose digests begin alike are kept apart', async (t) => {
    const blobs = await create(t)
    const seen = new Map<string, string[]>()
    for (let count = 0; count < 600; count++) {
      const digest = digestOf('sha256', Buffer.from(`${count}`))
      seen.set(digest.slice(0, 9), [...(seen.get(digest.slice(0, 9)) ?? []), `${count}`])
    }
    const alike = [...seen.values()].find((contents) => contents.length >= 3) ?? []
    assert.ok(alike.length >= 3)
    const digests = await Promise.all(alike.map((content) => store(blobs, content, { id: `u${content}` })))
    for (const [index, content] of alike.entries()) {
      assert.equal((await contentOf(blobs, digests[index] as SupportedDigest, content.length)).toString(), content)
    }
  })
}

function readTests(create: BlobStoreFactory): void {
  const absent = digestOf('sha256', Buffer.from('never stored'))

  test('a blob that was never stored has no size', async (t) => {
    assert.equal(await (await create(t)).statBlob(absent), undefined)
  })

  test('opening a blob whose bytes are missing says that it is damaged', async (t) => {
    const error = await assertRejected('blobDamaged', (await create(t)).openBlob(absent, 12))
    assert.deepEqual(error.details, [{ digest: absent }])
  })

  for (const [what, sizeBytes] of [
    ['shorter', 8],
    ['longer', 10],
    ['emptier', 0],
  ] as const) {
    test(`a blob that should be ${what} than it is, is never served`, async (t) => {
      const blobs = await create(t)
      const digest = await store(blobs, 'nine byte')
      await assertRejected('blobDamaged', blobs.openBlob(digest, sizeBytes))
    })
  }

  test('every part of a blob can be read, and never more than there is', async (t) => {
    const blobs = await create(t)
    const bytes = randomBytes(5000)
    const digest = await store(blobs, bytes)
    const reader = await blobs.openBlob(digest, bytes.length)
    assert.equal(reader.sizeBytes, bytes.length)
    await fc.assert(
      fc.asyncProperty(fc.nat(6000), fc.nat(6000), async (position, length) => {
        const part = await readAll(reader, length, position)
        assert.ok(part.equals(bytes.subarray(position, position + length)))
      }),
    )
    await reader.close()
  })

  test('readers of one blob do not disturb each other', async (t) => {
    const blobs = await create(t)
    const bytes = randomBytes(200_000)
    const digest = await store(blobs, bytes)
    const contents = await Promise.all(Array.from({ length: 8 }, () => contentOf(blobs, digest, bytes.length)))
    for (const content of contents) assert.ok(content.equals(bytes))
  })

  test('a closed reader refuses to read, and closing it again does nothing', async (t) => {
    const blobs = await create(t)
    const [one, two] = [await store(blobs, 'one', { id: 'a' }), await store(blobs, 'two', { id: 'b' })]
    const reader = await blobs.openBlob(one, 3)
    await reader.close()
    const next = await blobs.openBlob(two, 3)
    await reader.close()
    await failureOf(reader.read(Buffer.alloc(3), 0))
    assert.equal((await readAll(next, 3)).toString(), 'two')
    await next.close()
  })
}

function collectionTests(create: BlobStoreFactory): void {
  test('a blob that is taken away is served no more, and is counted when it is removed', async (t) => {
    const blobs = await create(t)
    const digest = await store(blobs, randomBytes(10_000))
    const name = await blobs.collected.takeAway(digest, 'id-1')
    assert.ok(name !== undefined)
    assert.equal(await blobs.statBlob(digest), undefined)
    assert.deepEqual(await blobs.collected.list(), [{ name, digest }])
    assert.ok((await blobs.collected.remove(name)) >= 10_000)
    assert.deepEqual(await blobs.collected.list(), [])
    assert.equal(await blobs.collected.remove(name), 0)
  })

  test('one that is put back is there as before; again, or after it was removed, that does nothing', async (t) => {
    const blobs = await create(t)
    const digest = await store(blobs, 'content', { algorithm: 'sha512' })
    const name = (await blobs.collected.takeAway(digest, 'id-1')) ?? ''
    await blobs.collected.putBack(name)
    await blobs.collected.putBack(name)
    assert.equal((await contentOf(blobs, digest, 7)).toString(), 'content')
    assert.deepEqual(await blobs.collected.list(), [])
  })

  test('what was stored anew meanwhile stays when the old one is put back, or removed', async (t) => {
    const blobs = await create(t)
    const digest = await store(blobs, 'content')
    const first = (await blobs.collected.takeAway(digest, 'id-1')) ?? ''
    await store(blobs, 'content')
    await blobs.collected.putBack(first)
    assert.equal(await blobs.statBlob(digest), 7)
    const second = (await blobs.collected.takeAway(digest, 'id-2')) ?? ''
    await store(blobs, 'content')
    await blobs.collected.remove(second)
    assert.equal(await blobs.statBlob(digest), 7)
  })

  test('taking away what was never stored takes nothing', async (t) => {
    const blobs = await create(t)
    assert.equal(await blobs.collected.takeAway(digestOf('sha256', Buffer.from('never stored')), 'id-1'), undefined)
    assert.deepEqual(await blobs.collected.list(), [])
  })

  test('an upload sees whether what it published is still there, or another copy of it', async (t) => {
    const blobs = await create(t)
    const bytes = Buffer.from('content')
    const digest = digestOf('sha256', bytes)
    const partial = await blobs.openPartial('a')
    await partial.write([bytes], 0)
    await partial.commit(digest, 7)
    assert.equal(await partial.isStillThere(digest, 7), true)
    assert.equal(await partial.isStillThere(digest, 8), false)
    await blobs.collected.takeAway(digest, 'id-1')
    assert.equal(await partial.isStillThere(digest, 7), false)
    await store(blobs, bytes, { id: 'b' })
    assert.equal(await partial.isStillThere(digest, 7), true)
    await partial.close()
  })
}
