/** What the server counts: the table, the recorders, the sum over processes, and every number over HTTP. */
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { before, suite, test } from 'node:test'
import * as fc from 'fast-check'
import { expireUploads } from '../../registry/expire-uploads.ts'
import { endpoints } from '../../oci/endpoints.ts'
import { errorTable } from '../../oci/errors.ts'
import { serviceRoutes } from '../../server/app.ts'
import { startJobs } from '../../server/jobs.ts'
import { aggregateSnapshots, createMetrics, metricTable, type Metrics } from '../../server/metrics.ts'
import { basic, Client, expectStatus, sha256, type Answer } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { parseSamples, readMetrics, samplesOf, type Samples } from '../support/metrics-text.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const request = { endpoint: 'blob', method: 'GET', status: 200, durationMs: 3, receivedBytes: 100, sentBytes: 5000 }

const noUploads = { stored: 0, mounted: 0, cancelled: 0, expired: 0, failed: 0 }

async function sumOf(...processes: Metrics[]): Promise<Samples> {
  return parseSamples(await aggregateSnapshots(await Promise.all(processes.map((each) => each.snapshot()))))
}

for (const [key, row] of Object.entries(metricTable)) {
  test(`${key} is named as Prometheus asks, says what it is, and is there from the first look`, async () => {
    assert.match(row.name, /^lanyard_[a-z_]+[a-z]$/)
    assert.equal(row.type === 'counter', row.name.endsWith('_total'))
    assert.match(row.help, /^[A-Z].*\.$/)
    for (const label of row.labels) assert.match(label, /^[a-z]+$/)
    const text = await aggregateSnapshots([await createMetrics().snapshot()])
    assert.ok(text.includes(`# HELP ${row.name} ${row.help}\n# TYPE ${row.name} ${row.type}\n`))
  })
}

test('every outcome is there at nothing before it happened, so that its first one shows as an increase', async () => {
  const samples = await sumOf(createMetrics())
  assert.deepEqual(samplesOf(samples, 'lanyard_uploads_finished_total'), noUploads)
  assert.deepEqual(samplesOf(samples, 'lanyard_logins_total'), { accepted: 0, refused: 0, busy: 0 })
  assert.deepEqual(samplesOf(samples, 'lanyard_audit_events_total'), { ok: 0, denied: 0, failed: 0 })
})

test('a request is counted by route, method and status, its time by route and method, its bytes as they are', async () => {
  const metrics = createMetrics()
  metrics.recordRequest(request)
  metrics.recordRequest({ ...request, durationMs: 700 })
  metrics.recordRequest({ ...request, status: 404, receivedBytes: 0, sentBytes: 0 })
  const samples = await sumOf(metrics)
  assert.deepEqual(samplesOf(samples, 'lanyard_http_requests_total'), { 'blob GET 200': 2, 'blob GET 404': 1 })
  assert.equal(samples.get('lanyard_http_received_bytes_total'), 200)
  assert.equal(samples.get('lanyard_http_sent_bytes_total'), 10_000)
  const buckets = samplesOf(samples, 'lanyard_http_request_duration_seconds_bucket')
  assert.deepEqual([buckets['0.0025 blob GET'], buckets['0.005 blob GET'], buckets['0.5 blob GET'], buckets['1 blob GET']], [0, 2, 2, 3])
  assert.equal(samplesOf(samples, 'lanyard_http_request_duration_seconds_sum')['blob GET'], 0.706)
})

test('whatever method a client sends, the label is one of a known list', async () => {
  const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'other']
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.string(), fc.constantFrom('TRACE', 'get', 'BREW', 'a"b\n')), { maxLength: 10 }),
      async (methods) => {
        const metrics = createMetrics()
        for (const method of methods) metrics.recordRequest({ ...request, method })
        const counted = samplesOf(await sumOf(metrics), 'lanyard_http_requests_total')
        for (const labels of Object.keys(counted)) assert.ok(known.includes(labels.split(' ')[1] ?? ''), labels)
        assert.equal(
          Object.values(counted).reduce((sum, value) => sum + value, 0),
          methods.length,
        )
      },
    ),
    { numRuns: 20 },
  )
})

test('over several processes counters, histograms and gauges add up; what every process reads alike is taken once', async () => {
  const [primary, first, second] = [createMetrics(), createMetrics(), createMetrics()]
  for (const each of [first, second, second]) each.recordRequest(request)
  for (const each of [first, second]) each.startReceiving()
  first.recordLogin('accepted')
  second.recordLogin('accepted')
  second.recordLogin('busy')
  second.recordUploads('expired', 5)
  first.recordError('blobUnknown')
  primary.recordWorkerRestart()
  primary.setStored({ blobs: 7, bytes: 700, linkedBytes: 1400 })
  second.setStored({ blobs: 6, bytes: 600, linkedBytes: 600 })
  const samples = await sumOf(primary, first, second)
  assert.deepEqual(samplesOf(samples, 'lanyard_http_requests_total'), { 'blob GET 200': 3 })
  assert.equal(samplesOf(samples, 'lanyard_http_request_duration_seconds_count')['blob GET'], 3)
  assert.equal(samples.get('lanyard_uploads_active'), 2)
  assert.deepEqual(samplesOf(samples, 'lanyard_logins_total'), { accepted: 2, refused: 0, busy: 1 })
  assert.deepEqual(samplesOf(samples, 'lanyard_uploads_finished_total'), { ...noUploads, expired: 5 })
  assert.deepEqual(samplesOf(samples, 'lanyard_errors_total'), { blobUnknown: 1 })
  assert.equal(samples.get('lanyard_worker_restarts_total'), 1)
  assert.equal(samples.get('lanyard_blobs_stored'), 7)
  assert.equal(samples.get('lanyard_blob_bytes_stored'), 700)
})

test('an upload that stops twice is active no longer, but counts no less than nothing', async () => {
  const metrics = createMetrics()
  const stop = metrics.startReceiving()
  assert.equal((await sumOf(metrics)).get('lanyard_uploads_active'), 1)
  stop()
  stop()
  assert.equal((await sumOf(metrics)).get('lanyard_uploads_active'), 0)
})

test('looking several times measures the process once and changes no count', async () => {
  const metrics = createMetrics()
  metrics.recordRequest(request)
  for (let look = 0; look < 3; look++) {
    const samples = await sumOf(metrics)
    assert.equal(samplesOf(samples, 'lanyard_http_requests_total')['blob GET 200'], 1)
    assert.ok((samples.get('process_resident_memory_bytes') ?? 0) > 1_000_000)
  }
})

const token = 'scrape-0123456789'
const challenge = 'Basic realm="lanyard", charset="UTF-8"'
const scrape: readonly (readonly [
  settings: Record<string, string>,
  callers: readonly (readonly [who: string, authorization: string, status: number])[],
])[] = [
  [
    {},
    [
      ['nobody', '', 401],
      ['an administrator', basic('admin'), 200],
      ['an account', basic('alice'), 403],
      ['a wrong password', basic('admin', 'wrong password'), 401],
      ['some token', `Bearer ${token}`, 401],
    ],
  ],
  [
    { METRICS_TOKEN: token },
    [
      ['the token', `Bearer ${token}`, 200],
      ['the token, its scheme in lower case', `bearer ${token}`, 200],
      ['another token', `Bearer ${token}x`, 401],
      ['an empty token', 'Bearer ', 401],
      ['the token as a password', basic('admin', token), 401],
      ['an administrator', basic('admin'), 200],
      ['nobody', '', 401],
    ],
  ],
  [{ METRICS_ACCESS: 'anyone' }, [['nobody', '', 200]]],
  [{ ACCESS: 'open' }, [['nobody', '', 401]]],
]

for (const [settings, callers] of scrape) {
  suite(`metrics with ${JSON.stringify(settings)}`, () => {
    const registry = shareRegistry({ settings })
    before(() => registry().addUser('alice'))
    for (const [who, authorization, status] of callers) {
      test(`${who} gets ${status}`, async () => {
        const answer = await new Client(registry(), authorization).call('GET', '/metrics')
        assert.equal(answer.status, status)
        assert.equal(answer.headers.get('WWW-Authenticate'), status === 401 ? challenge : null)
        if (status !== 200) return assert.ok(!answer.bytes.includes('lanyard_'))
        assert.equal(answer.headers.get('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8')
        assert.ok(parseSamples(answer.bytes.toString('utf8')).size > 20)
      })
    }
  })
}

test('the metrics token opens the metrics and nothing else', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_TOKEN: token } })
  const scraper = new Client(registry, `Bearer ${token}`)
  for (const path of ['/v2/', '/v2/_catalog', '/v2/admin/app/tags/list', '/api/v1/repositories', '/token'])
    assert.equal((await scraper.call('GET', path)).status, 401, path)
  assert.equal((await scraper.call('POST', '/metrics')).status, 405)
})

/** An answer's record is written when its connection has taken all of it, a moment after the client has read it. */
async function settled(registry: TestRegistry, requests: number): Promise<Samples> {
  const count = (samples: Samples): number => Object.values(samplesOf(samples, 'lanyard_http_requests_total')).reduce((a, b) => a + b, 0)
  const look = () =>
    registry.services.metrics
      .snapshot()
      .then((snapshot) => aggregateSnapshots([snapshot]))
      .then(parseSamples)
  await eventually(async () => count(await look()) >= requests, `${requests} requests to be counted`)
  return look()
}

test('every upload is counted by how it ended, and one that can still go on is not', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  const statusOf = async (...call: Parameters<Client['call']>): Promise<number> => (await admin.call(...call)).status

  await admin.pushBlob('admin/one', 'stored by POST and PUT')
  const digest = sha256('in one POST')
  assert.equal(await statusOf('POST', `/v2/admin/one/blobs/uploads/?digest=${digest}`, { body: 'in one POST' }), 201)
  const chunked = await admin.startUpload('admin/one')
  assert.equal(await statusOf('PATCH', chunked, { body: 'in chunks' }), 202)
  assert.equal(await statusOf('PUT', `${chunked}?digest=${sha256('in chunks')}`), 201)

  assert.equal(await statusOf('POST', `/v2/admin/two/blobs/uploads/?mount=${digest}&from=admin/one`), 201)
  assert.equal(await statusOf('POST', `/v2/admin/two/blobs/uploads/?mount=${sha256('nowhere')}&from=admin/one`), 202)

  assert.equal(await statusOf('DELETE', await admin.startUpload('admin/one')), 204)

  const wrong = await admin.startUpload('admin/one')
  assert.equal(await statusOf('PUT', `${wrong}?digest=${digest}`, { body: 'something else' }), 400)
  assert.equal(await statusOf('POST', `/v2/admin/one/blobs/uploads/?digest=${digest}`, { body: 'something else' }), 400)

  const ongoing = await admin.startUpload('admin/one')
  assert.equal(await statusOf('PATCH', ongoing, { body: 'x', headers: { 'Content-Range': '5-5' } }), 416)
  assert.equal(await statusOf('PUT', `${ongoing}?digest=not-a-digest`), 400)
  assert.equal(await statusOf('PUT', `/v2/admin/one/blobs/uploads/${'0'.repeat(36)}?digest=${sha256('nowhere')}`), 404)

  const outcomes = samplesOf(await readMetrics(admin), 'lanyard_uploads_finished_total')
  assert.deepEqual(outcomes, { stored: 3, mounted: 1, cancelled: 1, expired: 0, failed: 2 })
})

test('uploads that expire are counted by the clocked job', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  for (let count = 0; count < 3; count++) await admin.startUpload('admin/one')
  registry.advance(25 * 3_600_000)
  await startJobs(registry.services)()
  assert.deepEqual(samplesOf(await readMetrics(admin), 'lanyard_uploads_finished_total'), { ...noUploads, expired: 3 })
  assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 0 })
})

test('an upload is active while its bytes arrive, and no longer when they end or break off', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  const active = async (): Promise<number | undefined> => (await readMetrics(admin)).get('lanyard_uploads_active')
  assert.equal(await active(), 0)
  const [first, second] = [await RawConnection.open(registry), await RawConnection.open(registry)]
  for (const connection of [first, second]) {
    const path = await admin.startUpload('admin/one')
    await connection.send(requestHead({ method: 'PATCH', path, headers: { 'Content-Length': '10' } }))
    await connection.send('half ')
  }
  await eventually(async () => (await active()) === 2, 'two active uploads')
  await first.send('whole')
  assert.equal((await first.answer()).status, 202)
  await eventually(async () => (await active()) === 1, 'one active upload')
  second.reset()
  await eventually(async () => (await active()) === 0, 'no active upload')
  first.cut()
})

test('a request without a body is no active upload, whatever it is for', async (t) => {
  const registry = await startRegistry(t)
  const seen: string[] = []
  const { metrics } = registry.services
  const { startReceiving } = metrics
  Object.assign(metrics, {
    startReceiving: () => {
      seen.push('started')
      return startReceiving()
    },
  })
  const admin = new Client(registry)
  const location = await admin.startUpload('admin/one')
  await expectStatus(await admin.call('PATCH', location, { body: 'bytes' }), 202)
  await expectStatus(await admin.call('PUT', `${location}?digest=${sha256('bytes')}`), 201)
  assert.deepEqual(seen, ['started'])
})

test('passwords are counted by what became of them, by either way they come; tokens and nobody are no logins', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_TOKEN: token } })
  const scraper = new Client(registry, `Bearer ${token}`)
  const form = (password: string) => ({
    body: new URLSearchParams({ grant_type: 'password', username: 'admin', password, service: 'lanyard' }).toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  })
  const nobody = new Client(registry, '')
  const steps: readonly (readonly [Promise<Answer>, number])[] = [
    [new Client(registry).call('GET', '/token'), 200],
    [new Client(registry).call('GET', '/v2/'), 200],
    [nobody.call('POST', '/token', form('correct horse battery')), 200],
    [nobody.call('POST', '/token', form('wrong password')), 401],
    [new Client(registry, basic('admin', 'wrong password')).call('GET', '/v2/'), 401],
    [new Client(registry, basic('nobody')).call('GET', '/v2/'), 401],
    [nobody.call('GET', '/v2/'), 401],
    [new Client(registry, 'Bearer x.y.z').call('GET', '/v2/'), 401],
    [new Client(registry, 'Basic %%%').call('GET', '/v2/'), 401],
  ]
  for (const [answer, status] of steps) assert.equal((await answer).status, status)
  assert.deepEqual(samplesOf(await readMetrics(scraper), 'lanyard_logins_total'), { accepted: 3, refused: 3, busy: 0 })
})

test('logins that are turned away are counted as busy', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_TOKEN: token, AUTH_LOGIN_QUEUE: '1', AUTH_BCRYPT_COST: '8' } })
  const count = availableParallelism() + 30
  const attempts = Array.from({ length: count }, (_, index) =>
    new Client(registry, basic('admin', `wrong password ${index}`)).call('GET', '/v2/'),
  )
  const statuses = (await Promise.all(attempts)).map((answer) => answer.status)
  const busy = statuses.filter((status) => status === 503 || status === 429).length
  assert.ok(busy > 0, 'the queue of one was full at least once')
  assert.deepEqual(samplesOf(await readMetrics(new Client(registry, `Bearer ${token}`)), 'lanyard_logins_total'), {
    accepted: 0,
    refused: count - busy,
    busy,
  })
})

test('every byte of every connection is counted once, headers and small bodies included', async (t) => {
  const registry = await startRegistry(t)
  const content = 'x'.repeat(300_000)
  const digest = await new Client(registry).pushBlob('admin/one', content)
  const before = await settled(registry, 2)
  const connection = await RawConnection.open(registry)
  let received = 0
  const small = 'a small body, in the same packet as its headers'
  const upload = await new Client(registry, basic('admin')).startUpload('admin/one')
  const middle = await settled(registry, 3)
  for (const ask of [
    { method: 'GET', path: `/v2/admin/one/blobs/${digest}` },
    { method: 'PATCH', path: upload, headers: { 'Content-Length': String(small.length) }, body: small },
    { method: 'GET', path: '/v2/' },
  ]) {
    await connection.send(`${requestHead(ask)}${ask.body ?? ''}`)
    const answer = await connection.answer(ask.method)
    received += answer.body.length
  }
  const after = await settled(registry, 6)
  const grown = (name: string): number => (after.get(name) ?? 0) - (middle.get(name) ?? 0)
  assert.equal(grown('lanyard_http_received_bytes_total'), connection.bytesSent)
  assert.ok(grown('lanyard_http_sent_bytes_total') > received)
  assert.ok(grown('lanyard_http_sent_bytes_total') < received + 3 * 1024, 'beside the bodies only headers')
  assert.ok((before.get('lanyard_http_received_bytes_total') ?? 0) > content.length)
  connection.cut()
})

test('the labels of requests and errors come from the tables of the server, whatever is asked for', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  await admin.pushImage('admin/app', 'latest')
  for (const [method, path] of [
    ['GET', '/v2/admin/app/manifests/latest'],
    ['HEAD', '/v2/admin/app/blobs/sha256:zz'],
    ['GET', '/v2/UPPER/tags/list'],
    ['GET', '/v2/nobody%22%0a/tags/list'],
    ['GET', '/whatever/%22'],
    ['OPTIONS', '/v2/'],
    ['PROPFIND', '/v2/'],
    ['DELETE', '/metrics'],
    ['GET', '/api/v1/repositories/admin/app'],
    ['GET', '/v1/search?q=app'],
    ['GET', '/readyz'],
  ] as const)
    assert.ok((await admin.call(method, path)).status < 500)
  const samples = await readMetrics(admin)
  const routes = new Set([...Object.keys(endpoints), ...serviceRoutes.map(([, , name]) => name), 'api', 'unknown'])
  const counted = samplesOf(samples, 'lanyard_http_requests_total')
  assert.ok(Object.keys(counted).length > 10)
  for (const labels of Object.keys(counted)) assert.ok(routes.has(labels.split(' ')[0] ?? ''), labels)
  const reasons = Object.keys(samplesOf(samples, 'lanyard_errors_total'))
  assert.ok(reasons.length >= 4)
  for (const reason of reasons) assert.ok(Object.hasOwn(errorTable, reason), reason)
})

test('blobs and their bytes are those of the store, each once however many repositories hold it', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  for (const repository of ['admin/one', 'admin/two']) await admin.pushBlob(repository, 'twelve bytes')
  await admin.pushBlob('admin/one', 'five.')
  await registry.services.measureStore()
  const samples = await readMetrics(admin)
  assert.equal(samples.get('lanyard_blobs_stored'), 2)
  assert.equal(samples.get('lanyard_blob_bytes_stored'), 17)
})
