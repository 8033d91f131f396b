/** A whole login, push and pull against the program as it is run: what its output holds, and what it must never hold. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client, expectStatus, sha256, type Answer } from '../support/client.ts'
import { makeCertificate, showsCertificate, writeCertificate } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { startServer, type LanyardServer } from '../support/spawn-lanyard.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const password = 'a password of the story'
const scrapeToken = 'scrape-0123456789'

interface Told {
  readonly answers: readonly Answer[]
  readonly secrets: readonly string[]
}

/** Logs in, pushes and pulls as docker does, and goes wrong in every way that shows credentials to the server. */
async function tell(server: LanyardServer): Promise<Told> {
  const answers: Answer[] = []
  const keep = async (answer: Promise<Answer>, status: number): Promise<Answer> => {
    const got = await expectStatus(await answer, status)
    answers.push(got)
    return got
  }
  const nobody = new Client(server, '')
  await keep(nobody.call('GET', '/v2/'), 401)
  const scope = 'scope=repository%3Aadmin%2Fapp%3Apull%2Cpush'
  const got = await keep(new Client(server, basic('admin', password)).call('GET', `/token?account=admin&service=lanyard&${scope}`), 200)
  const { token } = JSON.parse(got.bytes.toString('utf8')) as { token: string }
  const form = new URLSearchParams({ grant_type: 'password', username: 'admin', password, service: 'lanyard' }).toString()
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
  await keep(nobody.call('POST', '/token', { body: form, headers }), 200)
  const docker = new Client(server, `Bearer ${token}`)
  const image = await docker.pushImage('admin/app', 'latest')
  const pulled = await keep(docker.call('GET', '/v2/admin/app/manifests/latest'), 200)
  assert.equal(sha256(pulled.bytes), image.digest)
  await keep(docker.call('GET', `/v2/admin/app/blobs/${image.config}`), 200)
  await keep(new Client(server, basic('admin', 'a wrong password')).call('GET', '/v2/'), 401)
  await keep(nobody.call('GET', `/v2/?access_token=${token}`), 401)
  await keep(new Client(server, `Bearer ${token}x`).call('GET', '/v2/'), 401)
  await keep(docker.call('PUT', '/v2/admin/app/manifests/bad', { body: '{' }), 400)
  await keep(new Client(server, `Bearer ${scrapeToken}`).call('GET', '/metrics'), 200)
  const [, claims = '', signature = ''] = token.split('.')
  const credentials = [basic('admin', password), basic('admin', 'a wrong password')].map((header) => header.slice('Basic '.length))
  return { answers, secrets: [password, 'a wrong password', token, claims, signature, scrapeToken, ...credentials] }
}

const settings = { ADMIN_PASSWORD: password, METRICS_TOKEN: scrapeToken }

function assertSilentAbout(secrets: readonly string[], server: LanyardServer): void {
  const output = `${server.stdout()}${server.stderr()}`
  for (const secret of secrets) {
    for (const form of [secret, encodeURIComponent(secret), secret.replaceAll(' ', '+'), Buffer.from(secret).toString('base64')])
      assert.ok(!output.includes(form), form)
  }
  assert.doesNotMatch(output, /authorization|bearer/i)
}

test('on a pipe every line is JSON, every request has its line with the id that the client saw, and no secret is in any of them', async (t) => {
  const server = await startServer(t, { settings: { ...settings, WORKERS: '2', LOG_LEVEL: 'trace' } })
  const { answers, secrets } = await tell(server)
  assert.equal(await server.stop(), 0)
  const lines = server.log()
  assert.equal(lines.length, server.stdout().split('\n').length - 1)
  for (const line of lines) {
    assert.match(String(line['level']), /^(trace|debug|info|warn|error)$/)
    assert.equal(new Date(String(line['time'])).toISOString(), line['time'])
    assert.ok(Number.isInteger(line['pid']))
    assert.equal(typeof line['msg'], 'string')
  }
  for (const answer of answers) {
    const id = answer.headers.get('X-Request-Id')
    const own = lines.filter((line) => line['requestId'] === id && line['msg'] === 'request')
    assert.deepEqual(
      own.map((line) => line['status']),
      [answer.status],
      String(id),
    )
  }
  assertSilentAbout(secrets, server)
})

test('for people the same story reads as one line each, and no secret is in any of them either', async (t) => {
  const server = await startServer(t, { settings: { ...settings, LOG_FORMAT: 'pretty' } })
  const { secrets } = await tell(server)
  assert.equal(await server.stop(), 0)
  const lines = server.stdout().trimEnd().split('\n')
  for (const line of lines) assert.match(line, /^\[\d\d:\d\d:\d\d\.\d{3}\] (INFO|WARN): \P{Cc}+$/u)
  assert.ok(
    lines.some((line) => / INFO: GET \/v2\/admin\/app\/manifests\/latest 200 [\d.]+ ms client=127\.0\.0\.1 account=admin$/.test(line)),
  )
  assertSilentAbout(secrets, server)
})

test('with certificate files the server speaks https, and every worker takes over new ones without a restart', async (t) => {
  const [old, renewed] = [await makeCertificate(), await makeCertificate()]
  const folder = temporaryFolder(t)
  const server = await startServer(t, { settings: { ...writeCertificate(folder, old), WORKERS: '2' } })
  assert.match(server.stderr(), /Lanyard is listening on https:\/\/localhost:\d+\n/)
  assert.ok(await showsCertificate(server.port, old))
  writeCertificate(folder, renewed)
  // Connections go to the workers in turn.
  const areAllRenewed = async (): Promise<boolean> => {
    for (let connection = 0; connection < 6; connection++) if (!(await showsCertificate(server.port, renewed))) return false
    return true
  }
  await eventually(areAllRenewed, 'every worker to show the new certificate')
  await eventually(() => server.log().some((line) => line['msg'] === 'the TLS certificate was loaded again'), 'the reload to be logged')
  assert.ok(!server.log().some((line) => line['msg'] === 'a worker died, another takes its place'))
  assert.equal(await server.stop(), 0)
})
