/**
 * A disk without room (F5): pushes are refused before a byte is sent, in words that a person at `docker push` can act on; pulls and
 * deletes go on, at 0 bytes free too; and when there is room again pushes go on without a restart.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { keepReserve, releaseReserve, reserveBytes } from '../../storage/reserve-file.ts'
import { dataLayout } from '../../storage/layout.ts'
import { Client, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { startRegistry } from '../support/start-registry.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const mebibyte = 1024 * 1024

test('below the reserve a push is refused before its first byte, and everything else goes on', async (t) => {
  const data = temporaryFolder(t)
  const before = await startRegistry(t, { data })
  const image = await new Client(before).pushImage('admin/app', 'v1')
  await before.close()

  const registry = await startRegistry(t, { data, settings: { STORAGE_RESERVE_BYTES: '1 TiB' } })
  const admin = new Client(registry)
  for (const refused of [
    await admin.call('POST', '/v2/admin/app/blobs/uploads/'),
    await admin.call('POST', `/v2/admin/app/blobs/uploads/?digest=${sha256('x')}`, { body: 'x' }),
    await admin.putManifest('admin/app', 'v2', image.text),
  ]) {
    assert.equal(refused.status, 403)
    assert.match(refused.errors[0]?.message ?? '', /no space left on its disk: ask its operator/)
  }
  assert.equal((await admin.call('GET', '/v2/admin/app/manifests/v1')).bytes.toString(), image.text)
  assert.equal((await admin.call('GET', `/v2/admin/app/blobs/${image.config}`)).status, 200)
  assert.equal((await admin.call('DELETE', '/v2/admin/app/manifests/v1')).status, 202)
})

test('on a disk with 0 bytes free pulls and deletes go on, and pushes again when there is room', { skip: whyNoMount() }, async (t) => {
  const data = mountInMemory(t, 192)
  const registry = await startRegistry(t, { data, settings: { STORAGE_RESERVE_BYTES: '1 MiB' } })
  const admin = new Client(registry)
  const image = await admin.pushImage('admin/app', 'v1')
  const layout = dataLayout(data)
  await keepReserve(layout)

  fill(data)
  assert.equal(statfsSync(data).bavail, 0)
  assert.equal((await admin.call('POST', '/v2/admin/app/blobs/uploads/')).status, 403)
  assert.equal((await admin.call('GET', `/v2/admin/app/blobs/${image.layers[0]}`)).status, 200)
  // More rows than the log has room for, so that the last of them need the reserve.
  for (let count = 0; count < 200; count++) assert.equal((await admin.call('GET', '/v2/admin/app/manifests/v1')).status, 200)
  assert.equal((await admin.call('DELETE', '/v2/admin/app/manifests/v1')).status, 202)
  assert.equal((await admin.call('DELETE', `/v2/admin/app/manifests/${image.digest}`)).status, 202)
  assert.equal((await admin.call('DELETE', `/v2/admin/app/blobs/${image.layers[0]}`)).status, 202)
  assert.equal((await admin.call('GET', '/v2/admin/app/manifests/v1')).status, 404)

  rmSync(join(data, 'filler'))
  await eventually(async () => (await admin.call('POST', '/v2/admin/app/blobs/uploads/')).status === 202, 'pushes to be taken again')
  await admin.pushImage('admin/app', 'v2')
})

test('the reserve holds real room, is made only where there is plenty, and is given up once', async (t) => {
  const layout = dataLayout(temporaryFolder(t))
  await keepReserve(layout)
  const blocks = Number(execFileSync('stat', ['--format', '%b', layout.reserve], { encoding: 'utf8' }))
  assert.ok(blocks * 512 >= reserveBytes)
  assert.equal(await releaseReserve(layout), true)
  assert.equal(await releaseReserve(layout), false)
})

test('a small disk is not filled by its own reserve', { skip: whyNoMount() }, async (t) => {
  const layout = dataLayout(mountInMemory(t, 64))
  await keepReserve(layout)
  assert.equal(await releaseReserve(layout), false)
})

/** Without the right to mount, as in some containers, the kernel's own refusals cannot be had; the other tests run all the same. */
function whyNoMount(): string | false {
  return process.getuid?.() === 0 ? false : 'only root may mount a small disk'
}

function mountInMemory(t: TestContext, sizeMebibytes: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'lanyard-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMebibytes}m`, 'tmpfs', folder])
  t.after(() => {
    execFileSync('umount', ['--lazy', folder])
    rmSync(folder, { recursive: true })
  })
  return folder
}

/** Takes all the room there is, to the last block. */
function fill(folder: string): void {
  const { bavail, bsize } = statfsSync(folder)
  writeFileSync(join(folder, 'filler'), Buffer.alloc(bavail * bsize))
  assert.ok(bavail * bsize < 192 * mebibyte)
}
