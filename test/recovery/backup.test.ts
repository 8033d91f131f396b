/** Backups: what is in them, what a second one copies, what is kept, and that what a backup needs is there until it is done. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { reviewBlobs, reviewLinks } from '../../registry/collect-blobs.ts'
import { appendToUpload } from '../../registry/push-blob.ts'
import { emptyTrash } from '../../registry/trash.ts'
import { deleteByReference, resolveManifest } from '../../registry/read-manifest.ts'
import { parseReference } from '../../oci/reference.ts'
import { verifyBackup } from '../../storage/recovery/verify-backup.ts'
import { blobPath, dataLayout } from '../../storage/layout.ts'
import { holdBlobs } from '../../storage/blobs/hold.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { lockBackup, listSnapshots, snapshotParts } from '../../storage/recovery/backup-folder.ts'
import { BackupError } from '../../storage/recovery/backup-folder.ts'
import { assertBlob, openBackedUp, pushImage } from '../support/backup.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { sha256Of } from '../support/metadata-rows.ts'
import { begin, chunk, getRepository, pushBlob, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000

async function collect({ registry }: Floor): Promise<number> {
  for (const step of [emptyTrash, reviewLinks]) while ((await step(registry)).seen > 0);
  let blobs = 0
  for (;;) {
    const step = await reviewBlobs(registry)
    blobs += step.blobs
    if (step.seen === 0) return blobs
  }
}

async function dropImage(floor: Floor, repository: string, manifest: string): Promise<void> {
  const row = await getRepository(floor.registry, repository)
  await deleteByReference(floor.registry, row, { reference: parseReference(manifest), by: null })
}

suite('a backup', () => {
  test('restored elsewhere has every row, every blob and every key, byte for byte, and no unfinished upload', async (t) => {
    const { floor, backUp, restore } = await openBackedUp(t)
    const image = await pushImage(floor.registry, { repository: 'team/app', tag: '1.0', layer: 'layer' })
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('half'))
    const report = await backUp()
    assert.deepEqual(report.copied, { blobs: 2, bytes: 7 })
    const { repositories, manifests, tags, blobs, bytes, damaged } = report.description
    assert.deepEqual(
      { repositories, manifests, tags, blobs, bytes, damaged },
      { repositories: 1, manifests: 1, tags: 1, blobs: 2, bytes: 7, damaged: [] },
    )

    const { layout, missing } = await restore()
    assert.deepEqual(missing, [])
    assertBlob(blobPath(layout, image.layer), 'layer')
    assert.deepEqual(readdirSync(layout.keys), readdirSync(floor.layout.keys))
    for (const name of readdirSync(layout.keys))
      assert.deepEqual(readFileSync(join(layout.keys, name)), readFileSync(join(floor.layout.keys, name)))
    assert.deepEqual(readdirSync(layout.uploads), [])
    const database = Database.open(layout.database)
    t.after(() => database.close())
    assert.deepEqual(await database.read.selectFrom('upload_session').select('id').execute(), [])
    const [manifest] = await database.read.selectFrom('manifest').select(['digest', 'content']).execute()
    assert.deepEqual(manifest, { digest: image.manifest, content: image.bytes })
    assert.equal(statSync(layout.database).mode & 0o77, 0, 'nobody else reads it')
  })

  test('copies only what is new', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    await pushImage(floor.registry, { repository: 'team/app', tag: '1', layer: 'first' })
    await backUp()
    const before = statSync(blobPath(folder, sha256Of('first')))
    await pushImage(floor.registry, { repository: 'team/app', tag: '2', layer: 'second one' })
    const { copied, present } = await backUp()
    assert.deepEqual(
      [copied, present],
      [
        { blobs: 1, bytes: 10 },
        { blobs: 2, bytes: 7 },
      ],
    )
    const after = statSync(blobPath(folder, sha256Of('first')))
    assert.deepEqual([after.ino, after.ctimeMs], [before.ino, before.ctimeMs], 'it was not touched')
  })

  test('copies again what has another size in the backup', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await backUp()
    writeFileSync(blobPath(folder, sha256Of('content')), 'cont')
    assert.equal((await backUp()).copied.blobs, 1)
    assertBlob(blobPath(folder, sha256Of('content')), 'content')
  })

  test('links blobs where it may, reading them all the same', async (t) => {
    const { floor, folder, backUp, restore } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await pushBlob(floor.registry, 'team/app', 'rotten')
    writeFileSync(blobPath(floor.layout, sha256Of('rotten')), 'rotted')
    const { linked, copied, description } = await backUp({ mayLink: true })
    assert.deepEqual([linked.blobs, copied.blobs, description.damaged], [1, 0, [sha256Of('rotten')]])
    const inode = (layout: { blobs: string }) => statSync(blobPath(layout, sha256Of('content'))).ino
    assert.equal(inode(folder), inode(floor.layout))
    assert.equal(existsSync(blobPath(folder, sha256Of('rotten'))), false)
    const { layout } = await restore()
    assert.notEqual(inode(layout), inode(folder), 'what is restored stands by itself')
  })

  test('of a store with a damaged and a missing blob has everything else, and says so', async (t) => {
    const { floor, folder, backUp, restore } = await openBackedUp(t)
    for (const content of ['whole', 'rotten', 'lost']) await pushBlob(floor.registry, 'team/app', content)
    writeFileSync(blobPath(floor.layout, sha256Of('rotten')), 'rotted')
    rmSync(blobPath(floor.layout, sha256Of('lost')))
    const damaged = [sha256Of('rotten'), sha256Of('lost')].toSorted()
    assert.deepEqual((await backUp()).description.damaged, damaged)
    const proof = await verifyBackup(folder)
    assert.deepEqual([proof.faults, proof.damagedBefore], [[], damaged])
    const { layout, missing } = await restore()
    assert.deepEqual(missing, damaged)
    assertBlob(blobPath(layout, sha256Of('whole')), 'whole')
  })

  test('takes a blob that a killed collector has left on its way out', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await floor.blobs.collected.takeAway(sha256Of('content'), 'killed')
    assert.deepEqual((await backUp()).description.damaged, [])
    assertBlob(blobPath(folder, sha256Of('content')), 'content')
  })

  test('of a damaged database is refused before anything is removed', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await backUp()
    await floor.database.close()
    const file = readFileSync(floor.layout.database)
    writeFileSync(floor.layout.database, file.fill(0x5a, 4096, 3 * 4096))
    await assert.rejects(backUp({ keep: 1 }), (error: Error) => error instanceof BackupError || /malformed/.test(error.message))
    assert.equal((await listSnapshots(folder)).length, 1)
    assert.deepEqual((await verifyBackup(folder)).faults, [])
  })
})

suite('what is kept', () => {
  test('the newest so many; blobs that only older ones need are removed, all others stay', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t, { trashMs: 0 })
    const kept: string[] = []
    for (const content of ['one', 'two', 'three']) {
      const { manifest } = await pushImage(floor.registry, { repository: 'team/app', tag: 'latest', layer: content })
      kept.push((await backUp({ keep: 2 })).snapshot)
      await dropImage(floor, 'team/app', manifest)
      floor.advance(25 * hour)
      assert.ok((await collect(floor)) > 0)
    }
    assert.deepEqual(await listSnapshots(folder), kept.slice(1))
    const isThere = (content: string) => existsSync(blobPath(folder, sha256Of(content)))
    assert.deepEqual(['one', 'two', 'three'].map(isThere), [false, true, true])
    const { faults, superfluous } = await verifyBackup(folder)
    assert.deepEqual([faults, superfluous], [[], 0])
    assert.deepEqual(readdirSync(folder.unfinished), [])
  })

  test('all blobs, when a snapshot that may need them cannot be read', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t, { trashMs: 0 })
    const { manifest } = await pushImage(floor.registry, { repository: 'team/app', tag: 'latest', layer: 'one' })
    const { snapshot } = await backUp()
    writeFileSync(snapshotParts(folder, snapshot).database, 'no database')
    await dropImage(floor, 'team/app', manifest)
    floor.advance(25 * hour)
    await collect(floor)
    const { objection, removedBlobs } = await backUp()
    assert.match(objection ?? '', /not a database/)
    assert.equal(removedBlobs.blobs, 0)
    assertBlob(blobPath(folder, sha256Of('one')), 'one')
  })
})

suite('while a backup is made', () => {
  test('no blob is collected that its rows name, however the store changes; afterwards it is', async (t) => {
    const { floor, folder, backUp, restore } = await openBackedUp(t, { trashMs: 0 })
    const { manifest, layer } = await pushImage(floor.registry, { repository: 'team/app', tag: '1', layer: 'layer' })
    await backUp({
      hooks: {
        onRows: async () => {
          await dropImage(floor, 'team/app', manifest)
          floor.advance(25 * hour)
          assert.equal(await collect(floor), 0)
          assert.equal(await collect(floor.another('other')), 0)
          assert.ok(existsSync(blobPath(floor.layout, layer)))
          await pushBlob(floor.registry, 'team/app', 'comes later')
        },
      },
    })
    assert.equal(existsSync(blobPath(folder, sha256Of('comes later'))), false)
    assert.equal(await collect(floor), 2)
    const { layout } = await restore()
    const database = Database.open(layout.database)
    t.after(() => database.close())
    assert.equal((await database.read.selectFrom('manifest').select('digest').execute()).length, 1)
    assertBlob(blobPath(layout, layer), 'layer')
  })

  test('a transaction of the collector is over before the rows are copied', async (t) => {
    const { floor, backUp } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    floor.advance(25 * hour)
    while ((await reviewLinks(floor.registry)).seen > 0);
    let isRefused = false
    await reviewBlobs(floor.registry, {
      // The lock waits without giving the event loop back: a moment is enough to see that it is not given.
      onTaken: async () => assert.throws(() => holdAtOnce(floor), { code: 'SQLITE_BUSY' }, String((isRefused = true))),
    })
    assert.equal(isRefused, true)
    assert.equal((await backUp()).description.blobs, 0)
  })

  test('another one into the same folder is refused, and the collector waits for the last of several', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await backUp({
      hooks: {
        onRows: async () => assert.rejects(backUp(), (error: Error) => error instanceof BackupError && /under way/.test(error.message)),
      },
    })
    lockBackup(folder)()
    floor.advance(25 * hour)
    const [one, two] = [holdBlobs(floor.layout), holdBlobs(floor.layout)]
    one()
    assert.equal(await collect(floor), 0)
    two()
    assert.equal(await collect(floor), 1)
  })

  test('reading, pushing and tagging go on', async (t) => {
    const { floor, backUp } = await openBackedUp(t)
    await pushImage(floor.registry, { repository: 'team/app', tag: '1', layer: 'layer' })
    const during = async (): Promise<void> => {
      await pushImage(floor.registry, { repository: 'team/app', tag: '2', layer: 'another' })
      await resolveManifest(floor.registry, await getRepository(floor.registry, 'team/app'), parseReference('2'))
    }
    const { description } = await backUp({ hooks: { onRows: during, onCopied: during } })
    assert.equal(description.tags, 1)
  })
})

suite('a backup folder', () => {
  test('is refused where it would be inside the data folder, and where something else is', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    const inside = { ...folder, root: join(floor.layout.root, 'backup') }
    await assert.rejects(backUp({ folder: inside }), /inside the data folder/)
    mkdirSync(folder.root)
    writeFileSync(join(folder.root, 'letters'), 'not ours')
    await assert.rejects(backUp(), /holds letters and is no backup folder/)
    assert.deepEqual(readdirSync(folder.root), ['letters'])
  })

  test('of a newer format is left alone', async (t) => {
    const { folder, backUp } = await openBackedUp(t)
    await backUp()
    writeFileSync(folder.marker, '{"lanyardBackup":2}\n')
    await assert.rejects(backUp(), /newer version/)
  })

  test('gets no backup that would look older than one that is there', async (t) => {
    const { floor, folder, backUp } = await openBackedUp(t)
    await backUp()
    await assert.rejects(backUp({ nowMs: floor.now() }), /the clock says/)
    assert.equal((await listSnapshots(folder)).length, 1)
  })

  test('whose restore was killed is restored by the same command again, unless a server may have run there since', async (t) => {
    const { floor, backUp, restore } = await openBackedUp(t)
    const image = await pushImage(floor.registry, { repository: 'team/app', tag: '1', layer: 'layer' })
    await backUp()
    const layout = dataLayout(temporaryFolder(t))
    await restore({ layout })
    // As it is when the last step is missing.
    rmSync(layout.database)
    for (const path of [layout.restoring, layout.rebuilt, join(layout.uploads, '.restored-0')]) writeFileSync(path, 'half')
    await assert.rejects(migrate(layout, 1), /a restore into .* did not come to its end: repeat "lanyard restore"/)
    await restore({ layout })
    assertBlob(blobPath(layout, image.layer), 'layer')
    assert.deepEqual([existsSync(layout.restoring), readdirSync(layout.uploads)], [false, []])
    writeFileSync(layout.restoring, '')
    await assert.rejects(restore({ layout }), /is not empty/)
    assertBlob(blobPath(layout, image.layer), 'layer')
  })

  test('can be moved', async (t) => {
    const { floor, folder, backUp, restore } = await openBackedUp(t)
    await pushBlob(floor.registry, 'team/app', 'content')
    await backUp()
    const moved = `${folder.root}-moved`
    renameSync(folder.root, moved)
    const { backupFolder } = await import('../../storage/recovery/backup-folder.ts')
    const { layout } = await restore({ folder: backupFolder(moved) })
    assertBlob(blobPath(layout, sha256Of('content')), 'content')
  })
})

function holdAtOnce(floor: Floor): () => void {
  return holdBlobs(floor.layout, 0)
}
