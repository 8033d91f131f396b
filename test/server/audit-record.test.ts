/** What requests leave in the audit log, end to end: each kind of event, by whom, from where, what came of it, and never a secret. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { AuditEntry } from '../../registry/read-audit.ts'
import { startJobs } from '../../server/jobs.ts'
import { appendAuditEvents } from '../../storage/metadata/audit.ts'
import { auditedIn, auditOf, auditRow, inWords } from '../support/audit-rows.ts'
import { basic, Client, expectStatus, sha256, type Answer } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { captureLog } from '../support/log-capture.ts'
import { readMetrics, samplesOf } from '../support/metrics-text.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'

const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const nobody = (registry: TestRegistry): Client => new Client(registry, '')

function signIn(registry: TestRegistry, username: string, password = adminPassword): Promise<Answer> {
  const body = new URLSearchParams({ grant_type: 'password', username, password, service: 'lanyard' }).toString()
  return nobody(registry).call('POST', '/token', { body, headers: form })
}

async function tokenFor(registry: TestRegistry, authorization: string, scope: string): Promise<string> {
  const answer = await expectStatus(await new Client(registry, authorization).call('GET', `/token?service=lanyard&scope=${scope}`), 200)
  return (JSON.parse(answer.bytes.toString('utf8')) as { token: string }).token
}

/** What was recorded, without the sign-ins. */
async function deedsOf(registry: TestRegistry): Promise<AuditEntry[]> {
  return (await auditOf(registry)).filter(({ action }) => action !== 'login')
}

async function signInsOf(registry: TestRegistry): Promise<string[]> {
  return (await auditOf(registry)).filter(({ action }) => action === 'login').map(inWords)
}

suite('a sign-in', () => {
  test('at the token endpoint is recorded each time, by header and by form', async (t) => {
    const registry = await startRegistry(t)
    for (let count = 0; count < 2; count++) {
      await tokenFor(registry, basic('admin'), 'repository:admin/app:pull')
      await expectStatus(await signIn(registry, 'admin'), 200)
    }
    const [first, ...others] = await auditOf(registry)
    assert.ok(first && others.length === 3)
    const { id, at, requestId, ...rest } = first
    assert.deepEqual(rest, {
      actor: 'admin',
      via: 'password',
      address: '127.0.0.1',
      action: 'login',
      target: 'admin',
      detail: { endpoint: 'token' },
      outcome: 'ok',
    })
    assert.ok(id > 0 && Math.abs(Date.parse(at) - Date.now()) < 60_000)
    assert.match(requestId ?? '', /^[0-9a-f]{8}-[0-9a-z]+$/)
    assert.deepEqual(others.map(inWords), Array<string>(3).fill('admin by password: login admin: ok'))
  })

  test('by Basic elsewhere is recorded once an hour for an account and an address', async (t) => {
    const registry = await startRegistry(t, { settings: { TRUSTED_PROXIES: '127.0.0.1' } })
    await registry.addUser('bob')
    const look = (user: string, address: string): Promise<Answer> =>
      new Client(registry, basic(user)).call('GET', '/v2/', { headers: { 'X-Forwarded-For': address } })
    for (let count = 0; count < 3; count++) {
      await look('admin', '192.0.2.1')
      await look('admin', '192.0.2.2')
      await look('bob', '192.0.2.1')
    }
    assert.equal((await signInsOf(registry)).length, 3)
    registry.advance(3_600_000 - 60_000)
    await look('admin', '192.0.2.1')
    assert.equal((await signInsOf(registry)).length, 3)
    registry.advance(120_000)
    await look('admin', '192.0.2.1')
    const entries = await auditOf(registry)
    assert.deepEqual(
      entries.map(({ actor, address }) => `${actor} ${address}`),
      ['admin 192.0.2.1', 'admin 192.0.2.2', 'bob 192.0.2.1', 'admin 192.0.2.1'],
    )
  })

  test('that fails is recorded with the name that was tried, shortened and in plain characters', async (t) => {
    const registry = await startRegistry(t)
    const tries = ['admin', 'nobody-here', 'x'.repeat(100), 'a\u001b[2J\u202eb']
    for (const name of tries) assert.equal((await new Client(registry, basic(name, 'wrong password')).call('GET', '/v2/')).status, 401)
    assert.equal((await signIn(registry, 'admin\r\nINFO', 'wrong password')).status, 401)
    assert.equal((await new Client(registry, 'Basic !').call('GET', '/v2/')).status, 401)
    assert.deepEqual(await signInsOf(registry), [
      'nobody by password: login admin: failed',
      'nobody by password: login nobody-here: failed',
      `nobody by password: login ${'x'.repeat(63)}…: failed`,
      'nobody by password: login a\\u{1b}[2J\\u{202e}b: failed',
      'nobody by password: login admin\\u{d}\\u{a}INFO: failed',
      'nobody by nothing: login : failed',
    ])
  })

  test('of nobody is none: neither a challenge nor an anonymous token is an event', async (t) => {
    const registry = await startRegistry(t)
    for (const authorization of ['', basic('', '')]) {
      for (const path of ['/v2/', '/v2/admin/app/manifests/latest', '/token', '/metrics', '/api/v1/repositories', '/'])
        await new Client(registry, authorization).call('GET', path)
    }
    assert.deepEqual(await auditOf(registry), [])
  })
})

suite('a push', () => {
  test('is recorded with its tags and its digest, its blobs are not', async (t) => {
    const registry = await startRegistry(t)
    const client = new Client(registry)
    const { digest, text } = await client.pushImage('admin/app', 'v1')
    const type = { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' }
    await expectStatus(await client.call('PUT', `/v2/admin/app/manifests/${digest}?tag=v2&tag=v3`, { body: text, headers: type }), 201)
    const events = await deedsOf(registry)
    assert.deepEqual(events.map(inWords), Array<string>(2).fill('admin by password: push admin/app: ok'))
    assert.deepEqual(
      events.map(({ detail }) => detail),
      [
        { tag: 'v1', digest },
        { digest, tags: ['v2', 'v3'] },
      ],
    )
  })

  test('that fails is recorded with its reason', async (t) => {
    const registry = await startRegistry(t)
    await new Client(registry).call('PUT', '/v2/admin/app/manifests/v1', { body: '{' })
    const [event] = await deedsOf(registry)
    assert.deepEqual(event && [inWords(event), event.detail], [
      'admin by password: push admin/app: failed',
      { tag: 'v1', reason: 'manifestInvalid' },
    ])
  })

  test('that mounts across namespaces is recorded, within one it is not', async (t) => {
    const registry = await startRegistry(t)
    const client = new Client(registry)
    const digest = await client.pushBlob('team/base', 'shared')
    const mount = (to: string, query: string): Promise<Answer> => client.call('POST', `/v2/${to}/blobs/uploads/?mount=${digest}${query}`)
    await expectStatus(await mount('team/app', '&from=team/base'), 201)
    await expectStatus(await mount('admin/one', '&from=team/base'), 201)
    await expectStatus(await mount('admin/two', ''), 201)
    await expectStatus(await mount('admin/three', '&from=nobody/there'), 202)
    const events = await deedsOf(registry)
    assert.deepEqual(
      events.map((event) => [inWords(event), event.detail]),
      [
        ['admin by password: mount admin/one: ok', { blob: digest, from: 'team/base' }],
        ['admin by password: mount admin/two: ok', { blob: digest, from: null }],
      ],
    )
  })
})

suite('a pull', () => {
  test('is recorded for GET, not for HEAD nor for what is not there, with who pulled and by what', async (t) => {
    const registry = await startRegistry(t)
    const { digest } = await new Client(registry).pushImage('admin/app', 'v1')
    await registry.setVisibility('admin/app', 'public')
    const token = await tokenFor(registry, '', 'repository:admin/app:pull')
    const anonymous = new Client(registry, `Bearer ${token}`)
    await expectStatus(await anonymous.call('GET', '/v2/admin/app/manifests/v1'), 200)
    await expectStatus(await new Client(registry).call('GET', `/v2/admin/app/manifests/${digest}`), 200)
    await expectStatus(await anonymous.call('HEAD', '/v2/admin/app/manifests/v1'), 200)
    await expectStatus(await anonymous.call('GET', '/v2/admin/app/manifests/v9'), 404)
    await expectStatus(await anonymous.call('GET', '/v2/admin/app/tags/list'), 200)
    const events = (await deedsOf(registry)).filter(({ action }) => action !== 'push')
    assert.deepEqual(
      events.map((event) => [inWords(event), event.detail]),
      [
        ['nobody by token: pull admin/app: ok', { tag: 'v1', digest }],
        ['admin by password: pull admin/app: ok', { digest }],
      ],
    )
  })

  test('is not recorded where that is switched off; everything else is', async (t) => {
    const registry = await startRegistry(t, { settings: { AUDIT_PULLS: 'false' } })
    await registry.addUser('bob')
    await new Client(registry).pushImage('admin/app', 'v1')
    await new Client(registry).call('GET', '/v2/admin/app/manifests/v1')
    await new Client(registry, basic('bob')).call('GET', '/v2/admin/app/manifests/v1')
    assert.deepEqual((await deedsOf(registry)).map(inWords), [
      'admin by password: push admin/app: ok',
      'bob by password: pull admin/app: denied',
    ])
  })
})

test('a delete of a tag, a manifest and a blob is in the log, durably, before it is answered', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const { digest, layers } = await client.pushImage('admin/app', 'v1')
  const entries = async (): Promise<[string, unknown] | undefined> => {
    // Without a flush: what waits in the process does not count.
    const last = (await auditedIn(registry.services.registry.database)).filter(({ action }) => action === 'delete').at(-1)
    return last && [inWords(last), last.detail]
  }
  const said = 'admin by password: delete admin/app: ok'
  await expectStatus(await client.call('DELETE', '/v2/admin/app/manifests/v1'), 202)
  assert.deepEqual(await entries(), [said, { tag: 'v1' }])
  await expectStatus(await client.call('DELETE', `/v2/admin/app/manifests/${digest}`), 202)
  assert.deepEqual(await entries(), [said, { digest }])
  await expectStatus(await client.call('DELETE', `/v2/admin/app/blobs/${layers[0]}`), 202)
  assert.deepEqual(await entries(), [said, { blob: layers[0] }])
  await expectStatus(await client.call('DELETE', '/v2/admin/app/manifests/v1'), 404)
  const [failed] = (await auditOf(registry)).filter(({ outcome }) => outcome === 'failed')
  assert.deepEqual(failed && [inWords(failed), failed.detail], [
    'admin by password: delete admin/app: failed',
    { tag: 'v1', reason: 'manifestUnknown' },
  ])
})

test('ending an upload session deletes nothing that ever was', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await expectStatus(await client.call('DELETE', await client.startUpload('admin/app')), 204)
  assert.deepEqual(await deedsOf(registry), [])
})

test('a change of visibility is recorded with what it became, and so is one that was denied or failed', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('bob')
  await new Client(registry).pushImage('admin/app', 'v1')
  const change = (user: string, name: string, visibility: string): Promise<Answer> =>
    new Client(registry, basic(user)).call('PATCH', `/api/v1/repositories/${name}`, {
      body: JSON.stringify({ visibility }),
      headers: { 'Content-Type': 'application/json' },
    })
  await expectStatus(await change('admin', 'admin/app', 'public'), 200)
  await expectStatus(await change('bob', 'admin/app', 'private'), 403)
  await expectStatus(await change('admin', 'admin/none', 'private'), 404)
  const events = (await deedsOf(registry)).filter(({ action }) => action === 'visibility')
  assert.deepEqual(
    events.map((event) => [inWords(event), event.detail]),
    [
      ['admin by password: visibility admin/app: ok', { visibility: 'public' }],
      ['bob by password: visibility admin/app: denied', { reason: 'denied' }],
      ['admin by password: visibility admin/none: failed', { reason: 'nameUnknown' }],
    ],
  )
})

test('a denial is recorded with what was wanted and of which repository, when somebody showed credentials', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('bob')
  await new Client(registry).pushImage('admin/app', 'v1')
  const bob = new Client(registry, basic('bob'))
  const narrow = new Client(registry, `Bearer ${await tokenFor(registry, basic('bob'), 'repository:bob/app:pull')}`)
  const forged = new Client(registry, 'Bearer a.b.c')
  await expectStatus(await bob.call('HEAD', '/v2/admin/app/manifests/v1'), 403)
  await expectStatus(await bob.call('POST', '/v2/admin/app/blobs/uploads/'), 403)
  await expectStatus(await bob.call('DELETE', '/v2/admin/app/manifests/v1'), 403)
  await expectStatus(await bob.call('GET', '/metrics'), 403)
  await expectStatus(await narrow.call('GET', '/v2/bob/other/tags/list'), 401)
  await expectStatus(await narrow.call('GET', '/v2/_catalog'), 401)
  await expectStatus(await forged.call('GET', '/v2/admin/app/manifests/v1'), 401)
  const denied = (await auditOf(registry)).filter(({ outcome }) => outcome === 'denied')
  assert.deepEqual(
    denied.map((event) => `${inWords(event)} ${String(event.detail['reason'])}`),
    [
      'bob by password: pull admin/app: denied denied',
      'bob by password: push admin/app: denied denied',
      'bob by password: delete admin/app: denied denied',
      'bob by password: access metrics: denied denied',
      'bob by token: pull bob/other: denied scopeInsufficient',
      'bob by token: list catalog: denied scopeInsufficient',
      'nobody by token: pull admin/app: denied tokenInvalid',
    ],
  )
})

test('a read of the API that was denied tells what was asked for', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('bob')
  await expectStatus(await new Client(registry, basic('bob')).call('GET', '/api/v1/accounts/admin'), 403)
  const [event] = (await auditOf(registry)).filter(({ outcome }) => outcome === 'denied')
  assert.ok(event)
  assert.deepEqual(
    [inWords(event), event.detail],
    ['bob by password: access api: denied', { operation: 'getAccount', account: 'admin', reason: 'denied' }],
  )
})

test('what costs whoever sends it nothing is recorded once a minute of each address, or a flood would fill the log', async (t) => {
  const registry = await startRegistry(t)
  for (let count = 0; count < 20; count++) {
    await expectStatus(await new Client(registry, `Bearer a.b.${count}`).call('GET', `/v2/admin/app${count}/manifests/v1`), 401)
  }
  assert.deepEqual((await auditOf(registry)).filter(({ outcome }) => outcome === 'denied').map(inWords), [
    'nobody by token: pull admin/app0: denied',
  ])
})

test('a browser that signs in and out is recorded, and what it does between is done by a session', async (t) => {
  const registry = await startRegistry(t)
  const send = async (method: string, path: string, { headers = {}, body }: { headers?: Record<string, string>; body?: object }) => {
    const content = body === undefined ? {} : { body: JSON.stringify(body) }
    return fetch(`${registry.url}/api/v1${path}`, { method, headers: { 'Content-Type': 'application/json', ...headers }, ...content })
  }
  const signIn = (password: string) => send('POST', '/session', { body: { name: 'admin', password } })
  assert.equal((await signIn('a wrong password')).status, 401)
  const page = await signIn(adminPassword)
  const { csrfToken } = (await page.json()) as { csrfToken: string }
  const cookie = page.headers.get('Set-Cookie')?.split(';', 1)[0] ?? ''
  const headers = { Cookie: cookie, Origin: registry.url, 'X-CSRF-Token': csrfToken }
  assert.equal((await send('POST', '/accounts', { headers, body: { name: 'bob', password: adminPassword } })).status, 201)
  const wrong = { currentPassword: 'a wrong password', newPassword: 'several odd words' }
  assert.equal((await send('PUT', '/me/password', { headers, body: wrong })).status, 401)
  assert.equal((await send('DELETE', '/session', { headers })).status, 204)
  // What failed is written behind its answer: the next change may come before it.
  assert.deepEqual((await auditOf(registry)).map(inWords).toSorted(), [
    'admin by password: login admin: ok',
    'admin by session: login admin: failed',
    'admin by session: session-end admin: ok',
    'admin by session: user-add bob: ok',
    'nobody by password: login admin: failed',
  ])
})

test('the first administrator is recorded as made by the system', async (t) => {
  const registry = await startRegistry(t)
  assert.deepEqual((await auditedIn(registry.services.registry.database)).map(inWords), ['nobody by system: user-add admin: ok'])
})

test('no secret is in any row: passwords right and wrong, tokens, headers (threat 40)', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  await client.pushImage('admin/app', 'v1')
  const token = await tokenFor(registry, basic('admin'), 'repository:admin/app:pull,push,delete')
  const bearer = new Client(registry, `Bearer ${token}`)
  const wrong = 'a wrong password'
  await signIn(registry, 'admin')
  await signIn(registry, 'admin', wrong)
  await new Client(registry, basic('admin', wrong)).call('GET', '/v2/')
  await bearer.call('GET', '/v2/admin/app/manifests/v1')
  await bearer.call('GET', '/v2/_catalog')
  await bearer.call('GET', `/token?access_token=${token}`)
  await bearer.call('DELETE', `/v2/admin/app/manifests/v1?password=${adminPassword}`)
  await new Client(registry, `Bearer ${token}x`).call('GET', '/v2/admin/app/manifests/v1')
  const entries = await auditOf(registry)
  assert.ok(entries.length >= 8)
  const text = JSON.stringify(entries)
  const [, claims = '', signature = ''] = token.split('.')
  const secrets = [token, claims, signature, adminPassword, wrong, basic('admin').slice(6), basic('admin', wrong).slice(6)]
  for (const secret of secrets) assert.ok(!text.includes(secret) && !text.includes(encodeURIComponent(secret)), secret)
})

test('without logins what is done is recorded as done by nobody', async (t) => {
  const registry = await startRegistry(t, { settings: { ACCESS: 'open' } })
  await nobody(registry).pushImage('any/app', 'v1')
  assert.deepEqual((await auditOf(registry)).map(inWords), ['nobody by nothing: push any/app: ok'])
})

test('an orderly end writes what was waiting, and events are counted by what came of them', async (t) => {
  const registry = await startRegistry(t)
  const worker = await registry.startWorker()
  await new Client(worker).pushImage('admin/app', 'v1')
  await new Client(worker, basic('admin', 'wrong password')).call('GET', '/v2/')
  await worker.close()
  const written = (await auditedIn(registry.services.registry.database)).map(inWords)
  assert.deepEqual(written.slice(1), [
    'admin by password: login admin: ok',
    'admin by password: push admin/app: ok',
    'nobody by password: login admin: failed',
  ])
  await new Client(registry).pushImage('admin/app', 'v2')
  await registry.services.audit.flush()
  const samples = await readMetrics(new Client(registry))
  assert.deepEqual(samplesOf(samples, 'lanyard_audit_events_total'), { ok: 2, denied: 0, failed: 0 })
  assert.equal(samples.get('lanyard_audit_dropped_total'), 0)
})

test('a log that cannot be written stops no request, says so once in the log, and catches up', async (t) => {
  const capture = captureLog('error')
  const registry = await startRegistry(t, { log: capture.log })
  const { database } = registry.services.registry
  const client = new Client(registry)
  await client.pushImage('admin/app', 'v1')
  await registry.services.audit.flush()
  await database.write((tx) => tx.schema.alterTable('audit_event').renameTo('hidden').execute())
  for (let count = 0; count < 3; count++) await expectStatus(await client.call('GET', '/v2/admin/app/manifests/v1'), 200)
  await registry.services.audit.flush()
  await expectStatus(await client.call('DELETE', '/v2/admin/app/manifests/v1'), 202)
  await registry.services.audit.flush()
  const said = capture.lines().map((line) => line['msg'])
  assert.deepEqual(said, ['the audit log could not be written; it is tried again'])
  await database.write((tx) => tx.schema.alterTable('hidden').renameTo('audit_event').execute())
  const late = (await deedsOf(registry)).slice(1)
  const pulls = late.slice(0, -1)
  assert.ok(pulls.every((event) => inWords(event) === 'admin by password: pull admin/app: ok'))
  assert.equal(
    pulls.reduce((sum, { detail }) => sum + Number(detail['times'] ?? 1), 0),
    3,
  )
  assert.deepEqual(late.slice(-1).map(inWords), ['admin by password: delete admin/app: ok'])
})

test('the clocked work holds the caps that are set, from the start on', async (t) => {
  const registry = await startRegistry(t, { settings: { AUDIT_DAYS: '7', AUDIT_MAX_ROWS: '1000' } })
  const { database, clock } = registry.services.registry
  const old = auditRow({ at_ms: clock() - 8 * 24 * 3_600_000 })
  await database.write((tx) => appendAuditEvents(tx, [old, ...Array.from({ length: 1100 }, () => auditRow({ at_ms: clock() }))]))
  const stop = startJobs(registry.services)
  await eventually(async () => (await auditedIn(database)).length === 1000, 'the cut')
  await stop()
})

test('a digest is not taken for a tag', async (t) => {
  const registry = await startRegistry(t)
  const missing = sha256('missing')
  await expectStatus(await new Client(registry).call('DELETE', `/v2/admin/app/manifests/${missing}`), 404)
  assert.deepEqual((await deedsOf(registry))[0]?.detail, { digest: missing, reason: 'nameUnknown' })
})
