/** Blobs on disk: the suite of every store, and what is the disk's own: folders, odd files, damage. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { blobPath } from '../../storage/layout.ts'
import { blobFolder, emptyDataFolder, shareBlobFolder } from '../support/data-folder.ts'
import { assertRejected } from '../support/refusal.ts'
import { blobStoreSuite, contentOf, idsOf, readAll, store } from './blob-store-suite.ts'

suite('blobs on disk', () => {
  const folder = shareBlobFolder()

  blobStoreSuite('the disk', async () => new DiskBlobStore(folder()))

  suite('the folders of the disk', () => {
    test('a new data folder gets every folder that a blob can lie in, for its owner only', async (t) => {
      const layout = emptyDataFolder(t)
      await DiskBlobStore.prepare(layout)
      const entries = await readdir(layout.blobs, { recursive: true, withFileTypes: true })
      assert.equal(entries.length, 2 + 2 * 256)
      for (const entry of entries) {
        assert.ok(entry.isDirectory(), entry.name)
        assert.equal((await stat(join(entry.parentPath, entry.name))).mode & 0o777, 0o700)
      }
      assert.equal((await stat(layout.uploads)).mode & 0o777, 0o700)
    })

    test('preparing a folder that is in use changes nothing', async (t) => {
      const layout = await blobFolder(t)
      const blobs = new DiskBlobStore(layout)
      const digest = await store(blobs, 'content')
      const partial = await blobs.openPartial('open')
      await DiskBlobStore.prepare(layout)
      assert.equal(await blobs.statBlob(digest), 7)
      assert.deepEqual(await idsOf(blobs), ['open'])
      await partial.close()
    })

    test('folders that a copy left out because they were empty come back, whichever they are', async (t) => {
      const layout = await blobFolder(t)
      const digest = digestOf('sha256', Buffer.from('content'))
      await rm(dirname(blobPath(layout, digest)), { recursive: true })
      await rm(join(layout.blobs, 'sha512'), { recursive: true })
      await rm(layout.uploads, { recursive: true })
      await DiskBlobStore.prepare(layout)
      const blobs = new DiskBlobStore(layout)
      assert.equal(await store(blobs, 'content'), digest)
      await store(blobs, 'content', { algorithm: 'sha512' })
    })

    test('a blob lies where the layout says, readable by its owner only', async () => {
      const layout = folder()
      const digest = await store(new DiskBlobStore(layout), 'content')
      assert.equal(await readFile(blobPath(layout, digest), 'utf8'), 'content')
      assert.equal((await stat(blobPath(layout, digest))).mode & 0o777, 0o600)
    })
  })

  suite('odd files beside the uploads', () => {
    test('only files that can be uploads are listed', async () => {
      const layout = folder()
      await mkdir(join(layout.uploads, 'folder'))
      await mkdir(join(layout.uploads, 'lost+found'))
      await symlink('nowhere', join(layout.uploads, 'dangling'))
      for (const name of ['.probe', '.DS_Store', '..a', 'with blank', 'a.tmp', 'ü', '-rf', 'a'.repeat(65)]) {
        await writeFile(join(layout.uploads, name), 'x')
      }
      await writeFile(Buffer.concat([Buffer.from(`${layout.uploads}/`), Buffer.from([0x61, 0xff, 0xfe])]), 'x')
      await writeFile(join(layout.uploads, '0b9a6c1e-4f0e-4c0a-9d57-3a1a0a5f2f11'), 'x')
      const blobs = new DiskBlobStore(layout)
      assert.deepEqual(await idsOf(blobs), ['0b9a6c1e-4f0e-4c0a-9d57-3a1a0a5f2f11'])
    })

    test('the time of an upload is that of its file', async () => {
      const layout = folder()
      await writeFile(join(layout.uploads, 'a'), 'x')
      await utimes(join(layout.uploads, 'a'), 1_000_000, 1_000_000)
      for await (const found of new DiskBlobStore(layout).listPartials()) assert.deepEqual(found, { id: 'a', modifiedAtMs: 1_000_000_000 })
      assert.deepEqual(await idsOf(new DiskBlobStore(layout)), ['a'])
    })

    test('an upload that disappears while the list is read is left out', async () => {
      const layout = folder()
      const blobs = new DiskBlobStore(layout)
      const names = Array.from({ length: 100 }, (_, index) => `u${index}`)
      for (const name of names) await writeFile(join(layout.uploads, name), 'x')
      const listed: string[] = []
      for await (const { id } of blobs.listPartials()) {
        if (listed.length === 0) for (const name of names.filter((each) => each !== id)) await blobs.removePartial(name)
        listed.push(id)
      }
      assert.equal(listed.length, 1)
    })

    for (const id of ['', '.', '..', '../lanyard.db', 'a/b', '/etc/passwd', 'a\0b', '.probe', 'a'.repeat(65)]) {
      test(`${JSON.stringify(id.slice(0, 20))} is never opened or removed as an upload`, async () => {
        const blobs = new DiskBlobStore(folder())
        await assert.rejects(blobs.openPartial(id), /not the id of an upload session/)
        await assert.rejects(blobs.removePartial(id), /not the id of an upload session/)
      })
    }
  })

  suite('damage on disk', () => {
    const damages: readonly (readonly [what: string, damage: (path: string) => Promise<void>])[] = [
      ['emptied', (path) => writeFile(path, '')],
      ['cut short', (path) => writeFile(path, 'conten')],
      ['longer', (path) => writeFile(path, 'content and more')],
      ['gone', (path) => rm(path)],
    ]
    for (const [what, damage] of damages) {
      test(`a blob whose file is ${what} is not served, and pushing it again heals it`, async () => {
        const layout = folder()
        const blobs = new DiskBlobStore(layout)
        const digest = await store(blobs, 'content')
        await damage(blobPath(layout, digest))
        await assertRejected('blobDamaged', blobs.openBlob(digest, 7))
        await store(blobs, 'content')
        assert.equal((await contentOf(blobs, digest, 7)).toString(), 'content')
      })
    }

    test('healing replaces the file at once: whoever reads the old one keeps it, whoever comes gets the new one', async () => {
      const layout = folder()
      const blobs = new DiskBlobStore(layout)
      const digest = await store(blobs, 'content')
      await writeFile(blobPath(layout, digest), 'cOntent')
      const before = await blobs.openBlob(digest, 7)
      await store(blobs, 'content')
      const after = await blobs.openBlob(digest, 7)
      assert.equal((await readAll(before, 7)).toString(), 'cOntent')
      assert.equal((await readAll(after, 7)).toString(), 'content')
      await before.close()
      await after.close()
    })
  })
})
