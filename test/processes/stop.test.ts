/** Stopping: what runs may finish, what is cut can be resumed, and nothing stays behind (F21). */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client, expectStatus, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { readMetrics } from '../support/metrics-text.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { startServer, type LanyardServer } from '../support/spawn-lanyard.ts'

const mebibyte = 1024 * 1024

async function isRefused(server: LanyardServer): Promise<boolean> {
  try {
    const connection = await RawConnection.open(server)
    connection.cut()
    return false
  } catch {
    return true
  }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends an idle server with status 0, and the folder is free`, async (t) => {
    const server = await startServer(t, { settings: { WORKERS: '2' } })
    const kept = await RawConnection.open(server)
    assert.equal((await kept.exchange({ method: 'GET', path: '/v2/' })).status, 200)
    assert.equal(await server.stop(signal), 0)
    await kept.closedByServer()
    assert.ok(!existsSync(join(server.data, 'server.json')))
    // A worker and the primary write to the same pipe: the order of their lines is not told, but none is lost at the end.
    const messages = server.log().map((line) => line['msg'])
    assert.equal(messages.length, 3)
    assert.deepEqual(new Set(messages), new Set(['request', 'stopping: running requests may finish', 'stopped']))
    assert.equal(await (await startServer(t, { data: server.data })).stop(), 0)
  })
}

test('a stop right after the start ends the workers too that were still starting', async (t) => {
  // With this grace period one that is not told would outlast the test.
  const server = await startServer(t, { settings: { WORKERS: '6', SHUTDOWN_GRACE_SECONDS: '3600' } })
  assert.equal(await server.stop(), 0)
  assert.ok(!server.log().some((line) => line['level'] === 'error'), server.stdout())
})

test('a request that runs when the signal comes finishes; the server is not ready any more and takes no connections', async (t) => {
  const server = await startServer(t)
  const admin = new Client(server)
  const content = 'sent around the signal'
  const path = await admin.startUpload('admin/app')
  const connection = await RawConnection.open(server)
  await connection.send(
    requestHead({ method: 'PUT', path: `${path}?digest=${sha256(content)}`, headers: { 'Content-Length': String(content.length) } }),
  )
  await connection.send(content.slice(0, 5))
  await eventually(async () => (await readMetrics(admin)).get('lanyard_uploads_active') === 1, 'the upload to be under way')

  process.kill(server.pid, 'SIGTERM')
  await eventually(() => server.log().some((line) => line['msg'] === 'stopping: running requests may finish'), 'the signal to be noticed')
  await eventually(() => isRefused(server), 'no new connections')
  // The rest of the body, and in the same breath what a load balancer asks on a connection that it keeps.
  await connection.send(`${content.slice(5)}${requestHead({ method: 'GET', path: '/readyz' })}`)
  assert.equal((await connection.answer('PUT')).status, 201)
  const readiness = await connection.answer('GET')
  assert.deepEqual([readiness.status, readiness.headers.get('connection')], [503, 'close'])
  assert.match(readiness.body.toString(), /"the registry is restarting: try again in a moment"/)
  await connection.closedByServer()
  assert.equal(await server.gone, 0)

  const next = new Client(await startServer(t, { data: server.data }))
  const blob = await expectStatus(await next.call('GET', `/v2/admin/app/blobs/${sha256(content)}`), 200)
  assert.equal(blob.bytes.toString(), content)
})

test('20 uploads that the end cuts can be resumed where the next start says they stand (F21)', async (t) => {
  const settings = { WORKERS: '2', SHUTDOWN_GRACE_SECONDS: '0' }
  const server = await startServer(t, { settings })
  const before = new Client(server)
  const uploads = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const content = Buffer.alloc(2 * mebibyte + index, `upload ${index} `)
      const path = await before.startUpload('admin/app')
      const connection = await RawConnection.open(server)
      await connection.send(requestHead({ method: 'PATCH', path, headers: { 'Content-Length': String(content.length) } }))
      await connection.send(content.subarray(0, 1.5 * mebibyte))
      return { content, path, connection }
    }),
  )
  const folder = join(server.data, 'uploads')
  const arrived = () => readdirSync(folder).filter((name) => statSync(join(folder, name)).size >= mebibyte)
  await eventually(() => arrived().length === uploads.length, 'a mebibyte of each upload to be written')
  assert.equal(await server.stop(), 0)
  for (const { connection } of uploads) await connection.closedByServer()

  const after = new Client(await startServer(t, { data: server.data, settings }))
  await Promise.all(
    uploads.map(async ({ content, path }) => {
      const status = await expectStatus(await after.call('GET', path), 204)
      const stored = Number(/^0-(\d+)$/.exec(status.headers.get('Range') ?? '')?.[1]) + 1
      assert.ok(stored >= mebibyte && stored <= 1.5 * mebibyte, `stands at ${stored}`)
      const headers = { 'Content-Range': `${stored}-${content.length - 1}` }
      await expectStatus(await after.call('PATCH', path, { body: content.subarray(stored), headers }), 202)
      await expectStatus(await after.call('PUT', `${path}?digest=${sha256(content)}`), 201)
      const blob = await expectStatus(await after.call('GET', `/v2/admin/app/blobs/${sha256(content)}`), 200)
      assert.ok(blob.bytes.equals(content))
    }),
  )
})

test('a second signal while it stops changes nothing, and a request that never ends is cut after the grace period', async (t) => {
  const server = await startServer(t, { settings: { SHUTDOWN_GRACE_SECONDS: '1' } })
  const path = await new Client(server).startUpload('admin/app')
  const connection = await RawConnection.open(server)
  await connection.send(requestHead({ method: 'PATCH', path, headers: { 'Content-Length': '10' } }))
  await eventually(async () => (await readMetrics(new Client(server))).get('lanyard_uploads_active') === 1, 'the upload to be under way')
  process.kill(server.pid, 'SIGTERM')
  process.kill(server.pid, 'SIGINT')
  process.kill(server.pid, 'SIGTERM')
  assert.equal(await server.gone, 0)
  await connection.closedByServer()
  assert.equal(server.log().filter((line) => line['msg'] === 'stopped').length, 1)
  assert.ok(!server.log().some((line) => line['level'] === 'error'), server.stdout())
})
