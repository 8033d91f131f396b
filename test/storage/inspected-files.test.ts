/** Looking for damage among the files: every byte is read, whatever way the file system allows, and every blob's file is seen. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { blobPath, digestOfBlobFile } from '../../storage/layout.ts'
import { countOpenFiles } from '../support/open-files.ts'
import { blobFolder } from '../support/data-folder.ts'
import { assertRejected } from '../support/refusal.ts'
import { readAll, store } from './blob-store-suite.ts'

suite('reading from the disk', () => {
  test('gives every byte of blobs of any size, and closes what it opened', async (t) => {
    const layout = await blobFolder(t)
    const blobs = new DiskBlobStore(layout)
    for (const size of [0, 1, 511, 4095, 4096, 4097, 1_048_576, 1_048_577, 3_000_000]) {
      const bytes = randomBytes(size)
      const digest = await store(blobs, bytes)
      const reader = await blobs.inspection.openOnDisk(digest, size)
      const parts: Buffer[] = []
      const slice = Buffer.alloc(1_048_576)
      for (let at = 0, read = 1; read > 0 && at < size; at += read) {
        read = await reader.read(slice.subarray(0, Math.min(slice.length, size - at)), at)
        parts.push(Buffer.from(slice.subarray(0, read)))
      }
      assert.ok(Buffer.concat(parts).equals(bytes), `${size} bytes`)
      assert.ok((await readAll(reader, 100, 7)).equals(bytes.subarray(7, 107)), 'also where no block begins')
      await reader.close()
      await reader.close()
      assert.equal(await countOpenFiles(layout.blobs), 0)
    }
  })

  test('more readers at once than there are buffers all read the same', async (t) => {
    const blobs = new DiskBlobStore(await blobFolder(t))
    const bytes = randomBytes(100_000)
    const digest = await store(blobs, bytes)
    const readers = await Promise.all(Array.from({ length: 20 }, () => blobs.inspection.openOnDisk(digest, bytes.length)))
    for (const reader of readers) assert.ok((await readAll(reader, bytes.length)).equals(bytes))
    for (const reader of readers) await reader.close()
  })

  test('a blob of another size, or none, is damaged', async (t) => {
    const blobs = new DiskBlobStore(await blobFolder(t))
    const digest = await store(blobs, 'content')
    await assertRejected('blobDamaged', blobs.inspection.openOnDisk(digest, 6))
    await assertRejected('blobDamaged', blobs.inspection.openOnDisk(digestOf('sha256', Buffer.from('none')), 4))
  })
})

suite('setting aside', () => {
  test('keeps a file of another size, leaves one that nothing is known of, and tells when there is none', async (t) => {
    const layout = await blobFolder(t)
    const { inspection } = new DiskBlobStore(layout)
    const digest = await store(new DiskBlobStore(layout), 'content')
    const bad = { id: 'x', sizeBytes: 7, copy: undefined }
    assert.equal(await inspection.setAside(digest, bad), undefined)
    assert.equal(await inspection.setAside(digest, { ...bad, copy: 'another' }), undefined)
    assert.ok(existsSync(blobPath(layout, digest)))
    writeFileSync(blobPath(layout, digest), 'short')
    assert.equal(await inspection.setAside(digest, bad), 'size')
    assert.equal(existsSync(blobPath(layout, digest)), false)
    const [kept = ''] = readdirSync(layout.quarantine)
    assert.equal(readFileSync(join(layout.quarantine, kept), 'utf8'), 'short')
    assert.equal(await inspection.setAside(digest, bad), 'missing')
  })
})

suite('the shelves', () => {
  test('hold every blob of both algorithms once, and nothing else', async (t) => {
    const layout = await blobFolder(t)
    const blobs = new DiskBlobStore(layout)
    const stored = []
    for (let count = 0; count < 20; count++) stored.push(await store(blobs, `content ${count}`))
    stored.push(await store(blobs, 'content', { algorithm: 'sha512' }))
    writeFileSync(`${blobPath(layout, stored[0] ?? assert.fail())}.tmp`, 'not ours')
    const found = []
    for (let shelf = 0; shelf < blobs.inspection.shelves; shelf++) found.push(...(await blobs.inspection.listShelf(shelf)))
    assert.deepEqual(found.toSorted(), stored.toSorted())
    assert.deepEqual(await blobs.inspection.listShelf(blobs.inspection.shelves), [])
  })

  test('only a name in its own folder is a blob', () => {
    const hex = 'ab'.repeat(32)
    assert.equal(digestOfBlobFile('/data/blobs/sha256/ab', hex), `sha256:${hex}`)
    for (const [folder, name] of [
      ['/data/blobs/sha256/cd', hex],
      ['/data/blobs/sha512/ab', hex],
      ['/data/blobs/md5/ab', hex],
      ['/data/blobs/sha256/ab', hex.toUpperCase()],
      ['/data/blobs/sha256/ab', `${hex}0`],
      ['/data/blobs/sha256/ab', `${hex.slice(1)}x`],
    ] as const)
      assert.equal(digestOfBlobFile(folder, name), undefined, `${folder}/${name}`)
  })

  test('tell when a blob got its place', async (t) => {
    const blobs = new DiskBlobStore(await blobFolder(t))
    const beforeMs = Date.now()
    const digest = await store(blobs, 'content')
    const placedAtMs = (await blobs.inspection.placedAtMs(digest)) ?? 0
    // The kernel's clock for files is coarser than the other.
    assert.ok(placedAtMs >= beforeMs - 50 && placedAtMs <= Date.now() + 50)
    assert.equal(await blobs.inspection.placedAtMs(digestOf('sha256', Buffer.from('none'))), undefined)
  })
})
