/**
 * A disk whose syncs fail (F4): nothing is acknowledged that may not be there, the store takes no more writes and says why, and
 * pulls go on. A disk that has failed a blob's sync is used again when a probe has passed; a log whose sync failed is not, until the
 * process starts anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { Client, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { startServer } from '../support/spawn-lanyard.ts'
import { temporaryFile } from '../support/temporary-folder.ts'

async function startOnFailingDisk(t: TestContext) {
  const wish = temporaryFile(t, 'wish', '')
  const preload = new URL('../support/failing-sync.mjs', import.meta.url)
  preload.searchParams.set('wish', wish)
  const server = await startServer(t, { nodeOptions: ['--import', preload.href] })
  const admin = new Client(server)
  const content = 'stored before the disk failed'
  const digest = await admin.pushBlob('admin/app', content)
  const pull = async () => (await admin.call('GET', `/v2/admin/app/blobs/${digest}`)).bytes.toString()
  return { server, admin, content, pull, fail: (syncs: string) => writeFileSync(wish, syncs) }
}

async function push(admin: Client, text: string) {
  const started = await admin.call('POST', '/v2/admin/app/blobs/uploads/')
  if (started.status !== 202) return started
  return admin.call('PUT', `${started.headers.get('Location')}?digest=${sha256(text)}`, { body: text })
}

test('a blob whose sync failed is not acknowledged, and pushes are refused until the disk has passed a probe', async (t) => {
  const { admin, content, pull, fail } = await startOnFailingDisk(t)
  fail('fsync')
  const lost = await push(admin, 'not acknowledged')
  assert.equal(lost.status, 503)
  assert.equal(lost.errors[0]?.code, 'UNAVAILABLE')
  assert.match(lost.errors[0]?.message ?? '', /ask its operator/)
  assert.equal((await admin.call('HEAD', `/v2/admin/app/blobs/${sha256('not acknowledged')}`)).status, 404)

  assert.equal((await admin.call('POST', '/v2/admin/app/blobs/uploads/')).status, 503, 'refused before a byte is sent')
  assert.equal((await admin.call('GET', '/readyz')).status, 503)
  assert.equal((await admin.call('GET', '/healthz')).status, 200)
  assert.equal(await pull(), content)

  fail('')
  await eventually(async () => (await push(admin, 'not acknowledged')).status === 201, 'the plain retry to pass, without a restart')
  assert.equal((await admin.call('GET', '/readyz')).status, 200)
})

test('after a sync of the log has failed nothing is written any more, not even when the disk says yes again', async (t) => {
  const { server, admin, content, pull, fail } = await startOnFailingDisk(t)
  fail('fdatasync')
  assert.equal((await push(admin, 'its row was not synced')).status, 503)
  fail('')
  assert.equal((await push(admin, 'another')).status, 503)
  assert.equal((await admin.putManifest('admin/app', 'tag', { schemaVersion: 2 })).status >= 400, true)
  assert.equal((await admin.call('GET', '/readyz')).status, 503)
  assert.equal(await pull(), content)
  assert.ok(
    server.log().some((line) => line['level'] === 'error' && JSON.stringify(line).includes('EIO')),
    'the log says why',
  )
  assert.equal(await server.stop(), 0)

  const again = await startServer(t, { data: server.data })
  assert.equal((await push(new Client(again), 'its row was not synced')).status, 201, 'a restart and a plain retry heal it')
  assert.equal((await new Client(again).call('GET', `/v2/admin/app/blobs/${sha256(content)}`)).bytes.toString(), content)
})
