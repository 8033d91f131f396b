/** Writing past the page cache: the same bytes, at the places where it can be done, and told where it cannot. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { digestFromHex } from '../../oci/digest.ts'
import { AlignedBuffers, blockBytes, DirectFile } from '../../storage/blobs/direct-file.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { receive } from '../../storage/blobs/receive.ts'
import { uploadPath } from '../../storage/layout.ts'
import { shareBlobFolder } from '../support/data-folder.ts'
import { temporaryFile } from '../support/temporary-folder.ts'
import { contentOf } from './blob-store-suite.ts'

const mebibyte = 1024 * 1024

/** Chunks as sockets deliver them, none of them at a block's end. */
async function* bodyOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let position = 0, size = 65_001; position < bytes.length; position += size)
    yield Buffer.from(bytes.subarray(position, position + size))
}

function openDirectly(path: string): DirectFile {
  const file = DirectFile.open(path, new AlignedBuffers())
  assert.ok(file, 'the folder for temporary files must be on a file system that knows O_DIRECT')
  return file
}

suite('writing past the page cache', () => {
  const folder = shareBlobFolder()

  for (const startsAt of [0, 3 * mebibyte, 2 * mebibyte + 77]) {
    test(`gives the same blob, for a part that begins at ${startsAt} too`, async () => {
      const layout = folder()
      const blobs = new DiskBlobStore(layout, { directFromBytes: mebibyte })
      const bytes = randomBytes(7 * mebibyte + 123)
      const hash = createHash('sha256')
      const partial = await blobs.openPartial('large')
      for (const [from, to] of [
        [0, startsAt],
        [startsAt, bytes.length],
      ] as const) {
        await receive(bodyOf(bytes.subarray(from, to)), { partial, position: from, hash })
      }
      const digest = digestFromHex('sha256', hash.digest('hex'))
      assert.ok(readFileSync(uploadPath(layout, 'large')).equals(bytes), 'the bytes are there before they are committed')
      await partial.commit(digest, bytes.length)
      await partial.close()
      assert.ok((await contentOf(blobs, digest, bytes.length)).equals(bytes))
    })
  }

  test('a body is cut so that all of it but the ends can go that way', async () => {
    const writes: { position: number; bytes: number }[] = []
    const write = async (chunks: readonly Uint8Array[], position: number) => {
      writes.push({ position, bytes: Buffer.concat(chunks).length })
    }
    await receive(bodyOf(randomBytes(9 * mebibyte)), { partial: { write }, position: 100, hash: createHash('sha256') })
    const inner = writes.slice(1, -1)
    assert.ok(inner.length >= 7)
    for (const { position, bytes } of inner) assert.deepEqual([position % blockBytes, bytes % blockBytes], [0, 0])
  })

  test('what does not begin and end with a block, or is too long, is left to the caller and changes nothing', async (t) => {
    const path = temporaryFile(t, 'file', 'as it was')
    const file = openDirectly(path)
    assert.equal(await file.write([Buffer.alloc(blockBytes)], 1), false)
    assert.equal(await file.write([Buffer.alloc(blockBytes - 1)], 0), false)
    assert.equal(await file.write([Buffer.alloc(16 * mebibyte)], 0), false)
    assert.equal(readFileSync(path, 'utf8'), 'as it was')
    file.close()
  })

  test('of more writes than there are buffers some are left to the caller, and later ones are taken again', async (t) => {
    const path = temporaryFile(t, 'file', '')
    const file = openDirectly(path)
    const writeBlock = (index: number) => file.write([Buffer.alloc(blockBytes, index)], index * blockBytes)
    const taken = await Promise.all(Array.from({ length: 20 }, (_, index) => writeBlock(index)))
    assert.ok(taken.includes(true) && taken.includes(false), String(taken))
    for (const [index, isTaken] of taken.entries()) if (!isTaken) assert.equal(await writeBlock(index), true)
    const written = readFileSync(path)
    for (let index = 0; index < 20; index++)
      assert.ok(written.subarray(index * blockBytes, (index + 1) * blockBytes).every((byte) => byte === index))
    file.close()
  })

  test('a file system that does not know it is no fault', () => {
    assert.equal(DirectFile.open('/proc/self/comm', new AlignedBuffers()), undefined)
  })

  test('a file that is not there is one', () => {
    assert.throws(() => DirectFile.open('/nowhere/file', new AlignedBuffers()), { code: 'ENOENT' })
  })
})
