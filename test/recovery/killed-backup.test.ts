/** kill -9 at every stage of a backup: the earlier ones stay whole, the collector goes on, and the next backup clears up. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { suite, test } from 'node:test'
import { reviewBlobs, reviewLinks } from '../../registry/collect-blobs.ts'
import { verifyBackup } from '../../storage/recovery/verify-backup.ts'
import { blobPath } from '../../storage/layout.ts'
import { listSnapshots } from '../../storage/recovery/backup-folder.ts'
import type { BackupHooks } from '../../storage/recovery/back-up.ts'
import { assertBlob, openBackedUp, pushImage } from '../support/backup.ts'
import { startChild } from '../support/child.ts'
import { pushBlob } from '../support/registry-floor.ts'

/** How many snapshots there are after the kill. */
const moments: Readonly<Record<keyof BackupHooks, number>> = { onRows: 1, onBlob: 1, onCopied: 1, onNamed: 2, onRemoved: 1 }

suite('a backup that is killed', () => {
  for (const [moment, snapshots] of Object.entries(moments))
    test(`at ${moment} leaves the others whole, and the next one works`, async (t) => {
      const { floor, folder, backUp, restore } = await openBackedUp(t)
      const first = await pushImage(floor.registry, { repository: 'team/app', tag: '1', layer: 'first' })
      const { snapshot } = await backUp()
      await pushImage(floor.registry, { repository: 'team/app', tag: '2', layer: 'second' })
      const nowMs = floor.now() + 10 * 60_000
      const child = startChild(t, new URL('backup-child.ts', import.meta.url), floor.layout.root, folder.root, moment, String(nowMs))
      assert.equal(await child.nextLine(), 'there')
      await assert.rejects(backUp({ nowMs: nowMs + 1 }), /under way/)
      await child.kill()

      const ids = await listSnapshots(folder)
      assert.equal(ids.length, snapshots)
      assert.deepEqual((await verifyBackup(folder)).faults, [])
      if (moment !== 'onRemoved') {
        assert.equal(ids[0], snapshot)
        const { layout, description } = await restore({ snapshot })
        assert.equal(description.tags, 1)
        assertBlob(blobPath(layout, first.layer), 'first')
      }
      // What nobody needs is collected again: the dead hold nothing.
      await pushBlob(floor.registry, 'team/app', 'abandoned')
      floor.advance(25 * 3_600_000)
      while ((await reviewLinks(floor.registry)).seen > 0);
      assert.equal((await reviewBlobs(floor.registry)).blobs, 1)

      assert.equal((await backUp({ keep: 1 })).description.tags, 2)
      const proof = await verifyBackup(folder)
      assert.deepEqual([proof.faults, proof.superfluous, proof.snapshots.length], [[], 0, 1])
      assert.deepEqual(readdirSync(folder.unfinished), [])
    })
})
