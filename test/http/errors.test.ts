/** Errors as clients and operators get them: the body, the request's id in both, the reason in the log, and no more than that. */
import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { test } from 'node:test'
import Sqlite from 'better-sqlite3'
import type { SupportedDigest } from '../../oci/digest.ts'
import { errorTable, type ErrorReason } from '../../oci/errors.ts'
import { blobPath, dataLayout } from '../../storage/layout.ts'
import { basic, Client, indexType, sha256 } from '../support/client.ts'
import { LogLines } from '../support/log-lines.ts'
import { checkRow, type Row } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const absent = `sha256:${'0'.repeat(64)}`
const index = '{"schemaVersion":2,"manifests":[]}'

type Provocation = Omit<Row, 'rule' | 'status' | 'code'> & {
  /** What the entry's detail is; undefined: there is none. */
  readonly detail?: unknown
}

/** Everything that a row of the table needs to go wrong. */
async function fill(registry: TestRegistry, client: Client) {
  const image = await client.pushImage('team/app', 'v1')
  const damaged = await client.pushBlob('team/app', 'to be damaged')
  await truncate(blobPath(dataLayout(registry.data), damaged as SupportedDigest), 0)
  await registry.addUser('stranger')
  const scoped = await new Client(registry, basic('stranger')).call('GET', '/token?scope=repository:team/app:pull')
  const { token } = JSON.parse(scoped.bytes.toString()) as { token: string }
  return { image, damaged, token }
}

/** As a program of another version would: the rows are not those that this one reads. */
function breakTags(registry: TestRegistry): void {
  const database = new Sqlite(dataLayout(registry.data).database)
  database.exec('alter table tag rename to mark')
  database.close()
}

const pushed = (body: string): Pick<Row, 'method' | 'body' | 'headers'> => ({ method: 'PUT', body, headers: { 'Content-Type': indexType } })

function provocations({ image, damaged, token }: Awaited<ReturnType<typeof fill>>): Partial<Record<ErrorReason, Provocation>> {
  return {
    nameInvalid: { path: '/v2/Team/app/tags/list', detail: { name: 'Team/app' } },
    tagInvalid: { path: '/v2/team/app/manifests/.x', ...pushed(index), detail: { tag: '.x' } },
    nameUnknown: { path: '/v2/team/none/tags/list' },
    digestInvalid: { path: '/v2/team/app/blobs/sha256:0', detail: { digest: 'sha256:0' } },
    digestUnsupported: { path: '/v2/team/app/manifests/md5:abcd', ...pushed(index), detail: { digest: 'md5:abcd' } },
    digestMismatch: { path: `/v2/team/app/manifests/${absent}`, ...pushed(index), detail: { expected: absent, received: sha256(index) } },
    blobUnknown: { path: `/v2/team/app/blobs/${absent}`, detail: { digest: absent } },
    blobInUse: { method: 'DELETE', path: `/v2/team/app/blobs/${image.config}`, detail: { digest: image.config } },
    blobDamaged: { path: `/v2/team/app/blobs/${damaged}`, detail: { digest: damaged } },
    rangeNotSatisfiable: { path: `/v2/team/app/blobs/${image.config}`, headers: { Range: 'bytes=9999-' } },
    manifestUnknown: { path: '/v2/team/app/manifests/none', detail: { tag: 'none' } },
    manifestInvalid: { path: '/v2/team/app/manifests/v2', ...pushed('{}') },
    manifestTooLarge: {
      path: '/v2/team/app/manifests/v2',
      ...pushed(' '.repeat(5000)),
      detail: { limitBytes: 4096, announcedBytes: 5000 },
    },
    manifestBlobUnknown: {
      path: '/v2/team/app/manifests/v2',
      ...pushed(JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: 'a/b', digest: absent, size: 1 }] })),
      detail: { digest: absent },
    },
    tooManyTags: { path: `/v2/team/app/manifests/${sha256(index)}?tag=a&tag=b&tag=c`, ...pushed(index), detail: { limit: 2 } },
    unauthenticated: { path: '/v2/team/app/tags/list', as: null },
    credentialsWrong: { path: '/v2/team/app/tags/list', as: basic('admin', 'wrong') },
    tokenInvalid: { path: '/v2/team/app/tags/list', as: 'Bearer junk' },
    scopeInsufficient: { path: '/v2/team/app/tags/list', as: `Bearer ${token}` },
    denied: { path: '/v2/team/app/tags/list', as: basic('stranger') },
    parameterInvalid: { path: '/v2/team/app/tags/list?n=x', detail: { n: 'x' } },
    requestInvalid: { path: '/v2/team/%ff/tags/list' },
    requestTooLarge: { method: 'POST', path: '/token', body: 'x'.repeat(100_000), detail: { limitBytes: 65_536, announcedBytes: 100_000 } },
    hostInvalid: { path: '/v2/', headers: { Host: 'no host' } },
    endpointUnknown: { path: '/v2/team/app/nothing' },
    methodNotAllowed: { method: 'POST', path: '/v2/team/app/tags/list' },
  }
}

interface ErrorBody {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail?: unknown }[]
}

test('each fault of reading and of manifests', async (t) => {
  const log = new LogLines()
  const settings = { MANIFESTS_MAX_BYTES: '4096', MANIFESTS_MAX_TAGS_PER_PUSH: '2' }
  const registry = await startRegistry(t, { log: log.logger, settings })
  const table = provocations(await fill(registry, new Client(registry)))

  for (const [reason, { detail, ...row }] of Object.entries(table) as [ErrorReason, Provocation][]) {
    const { status, code } = errorTable[reason]
    await t.test(`${reason} is ${status} ${code} to the client and its own name in the log`, async () => {
      const answer = await checkRow(registry, { rule: '', status, code, ...row })
      const body = JSON.parse(answer.bytes.toString()) as ErrorBody
      assert.deepEqual(Object.keys(body), ['errors'])
      assert.equal(body.errors.length, 1)
      assert.deepEqual(body.errors[0]?.detail, detail)
      assert.deepEqual(Object.keys(body.errors[0] ?? {}), detail === undefined ? ['code', 'message'] : ['code', 'message', 'detail'])

      const requestId = answer.headers['x-request-id']
      const line = await log.find(`for ${requestId}`, (each) => each['msg'] === 'request' && each['requestId'] === requestId)
      assert.deepEqual([line['reason'], line['code'], line['status']], [reason, code, status])
      assert.equal(line['level'], status >= 500 ? 'warn' : 'info')
    })
  }

  await t.test('no answer tells where things lie on the server', async () => {
    for (const row of Object.values(table)) {
      const response = await new Client(registry).call(row.method ?? 'GET', row.path)
      assert.ok(!response.bytes.includes(registry.data), row.path)
    }
  })

  await t.test('every request has an id of its own', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => checkRow(registry, { rule: '', path: '/v2/', status: 200 })))
    assert.equal(new Set(answers.map(({ headers }) => headers['x-request-id'])).size, 50)
  })

  await t.test('an error is JSON whatever the client would rather have', async () => {
    for (const accept of ['text/html', 'application/xml', indexType, 'image/*;q=0.1']) {
      await checkRow(registry, {
        rule: '',
        path: '/v2/team/app/manifests/none',
        headers: { Accept: accept },
        status: 404,
        code: 'MANIFEST_UNKNOWN',
      })
    }
  })

  await t.test('markup in what a client sent comes back as JSON text, under a type that nobody renders', async () => {
    const answer = await checkRow(registry, {
      rule: '',
      path: '/v2/%3Cscript%3Ealert(1)%3C%2Fscript%3E/tags/list',
      status: 400,
      code: 'NAME_INVALID',
    })
    assert.equal(answer.headers['content-type'], 'application/json')
  })
})

test('a fault of the server', async (t) => {
  const log = new LogLines()
  const registry = await startRegistry(t, { log: log.logger })
  await new Client(registry).pushImage('team/app', 'v1')
  breakTags(registry)
  const path = '/v2/team/app/tags/list'

  await t.test('tells the client its request’s id and nothing else', async () => {
    const answer = await checkRow(registry, { rule: '', path, status: 500, code: 'UNKNOWN' })
    const requestId = answer.headers['x-request-id'] ?? ''
    const message = `${errorTable.internal.message}: ${requestId}`
    assert.deepEqual(JSON.parse(answer.bytes.toString()), { errors: [{ code: 'UNKNOWN', message }] })
    const line = await log.find('of the request', (each) => each['msg'] === 'request' && each['requestId'] === requestId)
    assert.deepEqual([line['reason'], line['level']], ['internal', 'warn'])
    await checkRow(registry, { rule: '', method: 'HEAD', path, status: 500 })
  })

  await t.test('tells the operator, under that id, what happened and where', async () => {
    const answer = await checkRow(registry, { rule: '', path, status: 500 })
    const requestId = answer.headers['x-request-id']
    const line = await log.find('with a stack', (each) => each['level'] === 'error' && each['requestId'] === requestId)
    const { stack } = line['err'] as { stack: string }
    assert.match(stack, /^SqliteError: no such table: tag\n/)
    assert.match(stack, /storage\/metadata\//)
  })

  await t.test('leaves the next request alone', async () => {
    await checkRow(registry, { rule: '', path: '/v2/_catalog', status: 200, json: { repositories: ['team/app'] } })
  })
})

test('a switched-off delete', async (t) => {
  const log = new LogLines()
  const registry = await startRegistry(t, { log: log.logger, settings: { DELETE_ENABLED: 'false' } })
  const answer = await checkRow(registry, {
    rule: '',
    method: 'DELETE',
    path: `/v2/team/app/blobs/${absent}`,
    status: 405,
    code: 'UNSUPPORTED',
  })
  const line = await log.find('of the delete', (each) => each['requestId'] === answer.headers['x-request-id'])
  assert.equal(line['reason'], 'deleteDisabled')
})

test('a client that leaves is no fault: one line at debug level', async (t) => {
  const log = new LogLines('debug')
  const registry = await startRegistry(t, { log: log.logger })
  const client = new Client(registry)
  const digest = await client.pushBlob('team/app', Buffer.alloc(16 * 1024 * 1024))
  const controller = new AbortController()
  const response = await fetch(`${registry.url}/v2/team/app/blobs/${digest}`, {
    headers: { Authorization: basic('admin') },
    signal: controller.signal,
  })
  const requestId = response.headers.get('X-Request-Id')
  controller.abort()
  const line = await log.find('that the client left', ({ msg }) => msg === 'the client left')
  assert.equal(line['level'], 'debug')
  assert.equal(line['requestId'], requestId)
  const request = await log.find('of the request', (each) => each['msg'] === 'request' && each['requestId'] === requestId)
  assert.equal(request['aborted'], true)
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
  )
})
