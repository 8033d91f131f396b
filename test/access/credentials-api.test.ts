/**
 * What opens an account, over the API: the own password, second factors and browser sessions, each changed by whoever has shown more
 * than an open browser, and never by an access token (threats 38, 40, 42).
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { totpCode, totpStepAt } from '../../auth/totp.ts'
import { giveToken } from '../support/access-tokens.ts'
import { basic } from '../support/client.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { jsonOf, messageOf, problemOf, send, valuesOf, type Reply } from './wire.ts'

const json = { 'Content-Type': 'application/json' }
const newPassword = 'several odd words'

interface Stage {
  readonly registry: TestRegistry
  /** Signs alice in. @returns what calls the API from that browser */
  readonly signIn: (more?: object, agent?: string) => Promise<Browser>
  readonly call: (authorization: string, line: string, body?: object) => Promise<Reply>
  /** By the registry's clock. */
  readonly codeOf: (secret: string) => string
}
type Browser = (line: string, body?: object) => Promise<Reply>

async function setStage(t: TestContext): Promise<Stage> {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const ask = (line: string, headers: Readonly<Record<string, string>>, body?: object) =>
    send(registry, line.replace(' ', ' /api/v1'), {
      headers: { ...(body && json), ...headers },
      body: body && JSON.stringify(body),
    })
  const signIn = async (more: object = {}, agent = 'a browser'): Promise<Browser> => {
    const reply = await ask('POST /session', { 'User-Agent': agent }, { name: 'alice', password: adminPassword, ...more })
    assert.equal(reply.status, 200, reply.text)
    const { csrfToken } = jsonOf(reply) as { csrfToken: string }
    const cookie = valuesOf(reply, 'Set-Cookie')[0]?.split(';')[0] ?? ''
    return (line, body) => ask(line, { Cookie: cookie, Origin: registry.url, 'X-CSRF-Token': csrfToken }, body)
  }
  return {
    registry,
    signIn,
    call: (authorization, line, body) => ask(line, { Authorization: authorization }, body),
    codeOf: (secret) => totpCode(secret, totpStepAt(registry.services.registry.clock())),
  }
}

const refused = (reply: Reply): [number, string] => [reply.status, problemOf(reply).reason]
const expect = (reply: Reply, status: number): Reply => {
  assert.equal(reply.status, status, reply.text)
  return reply
}
interface Listed {
  readonly id: number
  readonly current: boolean
  readonly agent: string
}
const listed = (reply: Reply): readonly Listed[] => (jsonOf(reply) as { items: Listed[] }).items

test('the own password is changed with the one before: all other sessions and all tokens end', async (t) => {
  const { registry, signIn, call } = await setStage(t)
  const [browser, other] = [await signIn(), await signIn()]
  const secret = await giveToken(registry, { account: 'alice', name: 'ci' }, 'pull,admin *')
  const wish = { currentPassword: adminPassword, newPassword }
  assert.deepEqual(refused(await browser('PUT /me/password', { ...wish, currentPassword: 'wrong' })), [401, 'credentialsWrong'])
  assert.deepEqual(refused(await browser('PUT /me/password', { ...wish, newPassword: 'short' })), [400, 'parameterInvalid'])
  assert.deepEqual(refused(await browser('PUT /me/password', { ...wish, newPassword: adminPassword })), [400, 'parameterInvalid'])
  const byToken = await call(`Bearer ${secret}`, 'PUT /me/password', wish)
  assert.deepEqual(
    [...refused(byToken), messageOf(byToken)],
    [403, 'denied', 'no access token may change the password or the second factor of an account: sign in with the password'],
  )
  assert.equal((await call(basic('alice', secret), 'GET /me')).status, 200, 'nothing has changed')
  expect(await browser('PUT /me/password', wish), 204)
  assert.equal((await browser('GET /me')).status, 200)
  assert.equal((await other('GET /me')).status, 401)
  assert.equal((await call(basic('alice', secret), 'GET /me')).status, 401)
  assert.equal((await call(basic('alice'), 'GET /me')).status, 401)
  expect(await call(basic('alice', newPassword), 'PUT /me/password', { currentPassword: newPassword, newPassword: adminPassword }), 204)
})

test('sessions are listed with the one that asks, ended one by one, and all others at once', async (t) => {
  const { registry, signIn, call } = await setStage(t)
  const [first, second, third] = [await signIn({}, 'one'), await signIn({}, 'two'), await signIn({}, 'three')]
  const all = expect(await first('GET /me/sessions'), 200)
  assert.deepEqual(
    listed(all).map(({ agent, current }) => [agent, current]),
    [
      ['three', false],
      ['two', false],
      ['one', true],
    ],
  )
  assert.doesNotMatch(all.text, /csrf|secret|hash/i)
  const page = jsonOf(await first('GET /me/sessions?limit=2')) as { next: string }
  assert.deepEqual(
    listed(await first(`GET /me/sessions?limit=2&cursor=${page.next}`)).map(({ agent }) => agent),
    ['one'],
  )
  const id = listed(all).find(({ agent }) => agent === 'two')?.id
  expect(await first(`DELETE /me/sessions/${id}`), 204)
  assert.deepEqual([(await second('GET /me')).status, (await third('GET /me')).status], [401, 200])
  assert.deepEqual(refused(await first(`DELETE /me/sessions/${id}`)), [404, 'browserSessionUnknown'])
  await registry.addUser('bob')
  const foreign = listed(all).find(({ agent }) => agent === 'three')?.id
  assert.deepEqual(refused(await call(basic('bob'), `DELETE /me/sessions/${foreign}`)), [404, 'browserSessionUnknown'], 'another’s')
  assert.deepEqual(jsonOf(expect(await first('DELETE /me/sessions'), 200)), { ended: 1 })
  assert.deepEqual([(await first('GET /me')).status, (await third('GET /me')).status], [200, 401])
  assert.equal(listed(await call(basic('admin'), 'GET /accounts/alice/sessions')).length, 1)
  assert.deepEqual(jsonOf(await call(basic('admin'), 'DELETE /accounts/alice/sessions')), { ended: 1 })
  assert.equal((await first('GET /me')).status, 401)
})

test('a second factor is begun with the password, confirmed by a code, and counts from then on', async (t) => {
  const { registry, signIn, call, codeOf } = await setStage(t)
  const [browser, other] = [await signIn(), await signIn()]
  const none = { enabled: false, recoveryCodesLeft: 0 }
  assert.deepEqual(jsonOf(await browser('GET /me/second-factor')), none)
  const token = await giveToken(registry, { account: 'alice', name: 'ci' }, 'pull,admin *')
  for (const authorization of [`Bearer ${token}`, basic('alice', token)])
    assert.deepEqual(refused(await call(authorization, 'POST /me/second-factor', { password: adminPassword })), [403, 'denied'])
  assert.deepEqual(refused(await browser('POST /me/second-factor', { password: 'wrong' })), [401, 'credentialsWrong'])
  const started = expect(await browser('POST /me/second-factor', { password: adminPassword }), 200)
  const { secret, uri } = jsonOf(started) as { secret: string; uri: string }
  assert.match(uri, new RegExp(`^otpauth://totp/.*secret=${secret}`))
  assert.deepEqual(jsonOf(await browser('GET /me/second-factor')), none, 'not before it is confirmed')
  assert.deepEqual(refused(await browser('POST /me/second-factor/confirm', { code: '000000' })), [401, 'codeWrong'])
  const { recoveryCodes } = jsonOf(expect(await browser('POST /me/second-factor/confirm', { code: codeOf(secret) }), 200)) as {
    recoveryCodes: string[]
  }
  assert.equal(recoveryCodes.length, 10)
  assert.deepEqual(jsonOf(await browser('GET /me/second-factor')), { enabled: true, recoveryCodesLeft: 10 })
  assert.equal((await other('GET /me')).status, 401, 'what the password alone has opened')
  assert.deepEqual(refused(await call(basic('alice'), 'GET /me')), [401, 'secondFactorNeeded'])
  assert.deepEqual(refused(await browser('POST /me/second-factor', { password: adminPassword })), [400, 'parameterInvalid'])
  const account = jsonOf(await call(basic('admin'), 'GET /accounts/alice')) as { secondFactor: boolean }
  assert.equal(account.secondFactor, true)
})

/** Alice, who has a second factor and is signed in. */
async function withFactor(t: TestContext) {
  const stage = await setStage(t)
  const browser = await stage.signIn()
  const { secret } = jsonOf(await browser('POST /me/second-factor', { password: adminPassword })) as { secret: string }
  const confirmed = await browser('POST /me/second-factor/confirm', { code: stage.codeOf(secret) })
  const { recoveryCodes } = jsonOf(confirmed) as { recoveryCodes: string[] }
  stage.registry.advance(60_000)
  return { ...stage, browser, recoveryCodes, code: () => stage.codeOf(secret) }
}

test('new recovery codes take a code, and end those before', async (t) => {
  const { browser, recoveryCodes, code } = await withFactor(t)
  assert.deepEqual(refused(await browser('POST /me/second-factor/recovery-codes', { code: '000000' })), [401, 'codeWrong'])
  const now = code()
  const renewed = expect(await browser('POST /me/second-factor/recovery-codes', { code: now }), 200)
  assert.deepEqual(refused(await browser('POST /me/second-factor/recovery-codes', { code: now })), [401, 'codeWrong'], 'once')
  const { recoveryCodes: fresh } = jsonOf(renewed) as { recoveryCodes: string[] }
  const [old = '', next = ''] = [recoveryCodes[0], fresh[0]]
  assert.deepEqual(refused(await browser('POST /me/second-factor/remove', { password: adminPassword, code: old })), [401, 'codeWrong'])
  expect(await browser('POST /me/second-factor/remove', { password: adminPassword, code: next }), 204)
})

test('the own second factor is removed with the password and a code; the session that does it goes on', async (t) => {
  const { browser, code, call, signIn } = await withFactor(t)
  const now = code()
  assert.deepEqual(refused(await browser('POST /me/second-factor/remove', { password: 'wrong', code: now })), [401, 'credentialsWrong'])
  assert.deepEqual(refused(await browser('POST /me/second-factor/remove', { password: adminPassword, code: '000000' })), [401, 'codeWrong'])
  assert.equal((await call(basic('alice'), 'GET /me')).status, 401)
  expect(await browser('POST /me/second-factor/remove', { password: adminPassword, code: now }), 204)
  assert.deepEqual([(await browser('GET /me')).status, (await call(basic('alice'), 'GET /me')).status], [200, 200])
  await signIn()
})

test('an administrator takes away another’s second factor, and not the own without a code', async (t) => {
  const { browser, call } = await withFactor(t)
  assert.deepEqual(refused(await browser('DELETE /accounts/alice/second-factor')), [403, 'denied'])
  expect(await call(basic('admin'), 'DELETE /accounts/alice/second-factor'), 204)
  assert.equal((await browser('GET /me')).status, 401)
  assert.equal((await call(basic('alice'), 'GET /me')).status, 200)
  assert.deepEqual(refused(await call(basic('admin'), 'DELETE /accounts/alice/second-factor')), [400, 'parameterInvalid'])
  const own = await call(basic('admin'), 'DELETE /accounts/admin/second-factor')
  assert.deepEqual(refused(own), [403, 'denied'])
  assert.match(messageOf(own), /^this is your own second factor: /)
})
