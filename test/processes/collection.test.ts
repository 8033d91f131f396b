/** The collector in a running server: it begins by itself, tells what it did, and stops with the server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, expectStatus } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { readMetrics } from '../support/metrics-text.ts'
import { blobFilesOf } from '../support/store-contents.ts'
import { startServer } from '../support/spawn-lanyard.ts'

/** Some four seconds: a lease, and so the time after a start in which nothing is collected. */
const leaseHours = '0.001'

test('what is deleted gives its room back by itself, is counted and logged, and a stop does not wait for the next round', async (t) => {
  const server = await startServer(t, { settings: { GC_LEASE_HOURS: leaseHours, TRASH_DAYS: '0', WORKERS: '2' } })
  const admin = new Client(server)
  const { digest } = await admin.pushImage('admin/app', 'v1', ['a layer', 'another'])
  await admin.pushImage('admin/app', 'v2', ['a layer'])
  const files = (await blobFilesOf(server)).length
  await expectStatus(await admin.call('DELETE', `/v2/admin/app/manifests/${digest}`), 202)
  await eventually(async () => (await blobFilesOf(server)).length < files, 'the room to come back')
  await eventually(async () => Number((await readMetrics(admin)).get('lanyard_collected_blobs_total')) > 0, 'that to be counted')
  assert.ok(Number((await readMetrics(admin)).get('lanyard_collected_bytes_total')) > 0)
  const line = server.log().find(({ msg }) => msg === 'what nothing needed was removed')
  assert.ok(Number(line?.['blobs']) > 0)
  await expectStatus(await admin.call('GET', '/v2/admin/app/manifests/v2'), 200)
  const startedMs = performance.now()
  assert.equal(await server.stop(), 0)
  assert.ok(performance.now() - startedMs < 2000, 'at once')
  assert.ok(!server.log().some(({ level }) => level === 'error'), server.stdout())
})
