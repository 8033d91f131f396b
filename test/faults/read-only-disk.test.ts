/**
 * A file system that turns read-only under the registry, and writable again (F25): the kernel says EROFS to whatever would write.
 * Pushes are refused, whatever step meets it, pulls go on, and afterwards pushes go on without a restart.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, sha256 } from '../support/client.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { startRegistry } from '../support/start-registry.ts'
import { assertNoBlob, assertNoUploads } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

for (const work of ['open', 'write', 'commit'] as const) {
  test(`a disk that is read-only at ${work} refuses pushes in words, serves pulls, and heals by itself`, async (t) => {
    const registry = await startRegistry(t)
    const admin = new Client(registry)
    const image = await admin.pushImage('admin/app', 'v1')
    const disk = new FaultyDisk(registry)
    disk.fail(work, 'EROFS')
    const upload = await Upload.start(admin, 'admin/app')
    const refused = await upload.finish(sha256('late'), { body: 'late' })
    assertRefused(refused, 503, 'UNAVAILABLE')
    assert.match(refused.errors[0]?.message ?? '', /operator/)
    await assertNoBlob(registry, 'admin/app', sha256('late'))
    assert.equal((await admin.call('GET', '/v2/admin/app/manifests/v1')).bytes.toString(), image.text)
    assert.equal((await admin.call('GET', `/v2/admin/app/blobs/${image.config}`)).status, 200)
    disk.repair()
    await admin.pushBlob('admin/app', 'late')
    await admin.pushImage('admin/app', 'v2')
    await upload.cancel()
    await assertNoUploads(registry)
  })
}
