/** Several workers on one port: they share the work, one that dies is replaced, and without their primary they end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { makeCertificate, showsCertificate, writeCertificate } from '../support/certificate.ts'
import { childrenOf } from '../support/child-processes.ts'
import { Client, expectStatus, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { parseSamples, readMetrics, samplesOf, type Samples } from '../support/metrics-text.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { startServer, type LanyardServer } from '../support/spawn-lanyard.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const two = { settings: { WORKERS: '2' } }

/** A connection and the process id of the worker that serves it, by the line that its first request leaves in the log. */
async function connectToWorker(server: LanyardServer): Promise<{ connection: RawConnection; pid: number }> {
  const connection = await RawConnection.open(server)
  const answer = await connection.exchange({ method: 'GET', path: '/healthz' })
  const id = answer.headers.get('x-request-id')
  const line = () => server.log().find((each) => each['requestId'] === id)
  await eventually(() => line() !== undefined, 'the line of the request')
  return { connection, pid: Number(line()?.['pid']) }
}

/** One connection to each of two workers. */
async function connectToBoth(server: LanyardServer) {
  const found = new Map<number, RawConnection>()
  await eventually(async () => {
    const { connection, pid } = await connectToWorker(server)
    if (found.has(pid)) connection.cut()
    else found.set(pid, connection)
    return found.size === 2
  }, 'both workers to serve')
  return [...found].map(([pid, connection]) => ({ pid, connection }))
}

test('two workers share one port: connections reach both, and any of them serves what the other took', async (t) => {
  const server = await startServer(t, two)
  const [one, other] = await connectToBoth(server)
  assert.ok(one && other)
  assert.ok(![one.pid, other.pid].includes(server.pid), 'the primary serves nothing itself')
  const start = await one.connection.exchange({ method: 'POST', path: '/v2/admin/app/blobs/uploads/' })
  const path = start.headers.get('location') ?? ''
  const patch = { method: 'PATCH', path, headers: { 'Content-Length': '5' }, body: 'half ' }
  assert.equal((await other.connection.exchange(patch)).status, 202)
  const put = { method: 'PUT', path: `${path}?digest=${sha256('half whole')}`, headers: { 'Content-Length': '5' }, body: 'whole' }
  assert.equal((await one.connection.exchange(put)).status, 201)
  const get = await other.connection.exchange({ method: 'GET', path: `/v2/admin/app/blobs/${sha256('half whole')}` })
  assert.equal(get.body.toString(), 'half whole')
})

test('a killed worker is replaced, what it was receiving is free at once, and the other one serves on', async (t) => {
  const server = await startServer(t, two)
  const admin = new Client(server)
  const [doomed, other] = await connectToBoth(server)
  assert.ok(doomed && other)
  const path = await admin.startUpload('admin/app')
  await doomed.connection.send(requestHead({ method: 'PATCH', path, headers: { 'Content-Length': '9000000' } }))
  await doomed.connection.send(Buffer.alloc(2_000_000))
  const file = join(server.data, 'uploads', path.split('/').at(-1) ?? '')
  await eventually(() => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0, 'the upload to be under way')
  const busy = await other.connection.exchange({ method: 'PATCH', path, headers: { 'Content-Length': '1' }, body: 'x' })
  assert.equal(busy.status, 416, 'one writer at a time')

  process.kill(doomed.pid, 'SIGKILL')
  await doomed.connection.closedByServer()
  assert.equal((await other.connection.exchange({ method: 'GET', path: '/v2/' })).status, 200, 'requests go on')
  // A claim would last a minute; that it is taken within the twenty seconds of `eventually` shows that it was let go.
  await eventually(async () => (await admin.call('PATCH', path, { body: 'x' })).status === 202, 'the upload to be free')

  const samples = await readMetrics(admin)
  assert.equal(samples.get('lanyard_worker_restarts_total'), 1)
  const died = server.log().find((line) => line['msg'] === 'a worker died, another takes its place')
  assert.deepEqual([died?.['worker'], died?.['signal'], died?.['pid']], [doomed.pid, 'SIGKILL', server.pid])
  const again = await connectToBoth(server)
  assert.ok(again.some(({ pid }) => pid !== doomed.pid && pid !== other.pid))
})

test('when the primary is killed its workers end, and the next start goes on with everything that was acknowledged', async (t) => {
  const server = await startServer(t, two)
  const admin = new Client(server)
  const image = await admin.pushImage('admin/app', 'latest')
  const path = await admin.startUpload('admin/app')
  await expectStatus(await admin.call('PATCH', path, { body: 'half ' }), 202)
  assert.equal(await server.stop('SIGKILL'), null)
  assert.ok(existsSync(join(server.data, 'server.json')), 'nobody had time to remove the note')

  const next = new Client(await startServer(t, { ...two, data: server.data }))
  const pulled = await expectStatus(await next.call('GET', '/v2/admin/app/manifests/latest'), 200)
  assert.equal(sha256(pulled.bytes), image.digest)
  assert.equal((await expectStatus(await next.call('GET', path), 204)).headers.get('Range'), '0-4')
  await expectStatus(await next.call('PUT', `${path}?digest=${sha256('half whole')}`, { body: 'whole' }), 201)
})

function withoutScrapes(samples: Samples): Record<string, number> {
  const requests = Object.entries(samplesOf(samples, 'lanyard_http_requests_total'))
  return Object.fromEntries(requests.filter(([labels]) => !labels.startsWith('metrics ') && !labels.startsWith('health ')))
}

test('the metrics are those of all workers together, exactly', async (t) => {
  const server = await startServer(t, two)
  const connections = await connectToBoth(server)
  const digests: string[] = []
  for (const { connection, pid } of connections) {
    for (const content of [`first of ${pid}`, `second of ${pid}`]) {
      const digest = sha256(content)
      digests.push(digest)
      const path = `/v2/admin/app/blobs/uploads/?digest=${digest}`
      const headers = { 'Content-Length': String(content.length) }
      assert.equal((await connection.exchange({ method: 'POST', path, headers, body: content })).status, 201)
    }
    assert.equal((await connection.exchange({ method: 'GET', path: `/v2/admin/app/blobs/${digests[0]}` })).status, 200)
    assert.equal(
      (await connection.exchange({ method: 'GET', path: '/v2/admin/app/tags/list', headers: { Authorization: 'Basic eDp5' } })).status,
      401,
    )
  }
  const samples = await readMetrics(new Client(server))
  assert.deepEqual(withoutScrapes(samples), { 'uploads POST 201': 4, 'blob GET 200': 2, 'tags GET 401': 2 })
  assert.equal(samplesOf(samples, 'lanyard_uploads_finished_total')['stored'], 4)
  assert.equal(samplesOf(samples, 'lanyard_logins_total')['refused'], 2)
  assert.deepEqual(samplesOf(samples, 'lanyard_errors_total'), { credentialsWrong: 2 })
  assert.equal(samples.get('lanyard_blobs_stored'), 4)
  assert.equal(samples.get('lanyard_worker_restarts_total'), 0)
  assert.equal(samplesOf(samples, 'lanyard_http_request_duration_seconds_count')['uploads POST'], 4)
})

test('metrics are told, and everything is served, although the rows cannot be counted', async (t) => {
  const server = await startServer(t)
  const sqlite = new Sqlite(join(server.data, 'lanyard.db'))
  sqlite.exec('alter table blob_total rename to blob_total_elsewhere')
  sqlite.close()
  const admin = new Client(server)
  for (let look = 0; look < 2; look++) {
    const answer = await expectStatus(await admin.call('GET', '/metrics'), 200)
    assert.ok(parseSamples(answer.bytes.toString('utf8')).has('lanyard_worker_restarts_total'))
  }
  const isTold = () => server.log().some((line) => line['level'] === 'error' && line['msg'] === 'the store could not be measured')
  await eventually(isTold, 'the fault to be logged')
  await expectStatus(await admin.call('GET', '/v2/'), 200)
})

test('a worker that cannot serve after a restart ends and is tried again, until it can', async (t) => {
  const certificate = await makeCertificate()
  const files = writeCertificate(temporaryFolder(t), certificate)
  // The only worker of a server on port 0 would come back on another port.
  const server = await startServer(t, { settings: { ...files, LISTEN: `127.0.0.1:${await freePort()}` } })
  rmSync(files.TLS_KEY)
  const [worker] = childrenOf(server.pid)
  assert.ok(worker)
  process.kill(worker, 'SIGKILL')
  const failure = `tls.key ${files.TLS_KEY} cannot be read (ENOENT)`
  await eventually(() => server.log().filter((line) => line['msg'] === failure).length >= 2, 'two attempts to fail')
  assert.ok(!(await showsCertificate(server.port, certificate)))
  writeFileSync(files.TLS_KEY, certificate.key)
  await eventually(() => showsCertificate(server.port, certificate), 'a worker to serve again')
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
