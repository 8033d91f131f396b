/**
 * An account with a second factor, over the wire: the password alone opens nothing, the code beside it a session, once (threats 38
 * and 40).
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Account } from '../../auth/identity.ts'
import { totpCode, totpStepAt } from '../../auth/totp.ts'
import { basic } from '../support/client.ts'
import { adminPassword, startRegistry } from '../support/start-registry.ts'
import { bearer } from './callers.ts'
import { messageOf, send, type Reply } from './wire.ts'

async function setStage(t: TestContext) {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const { secondFactors, authenticator } = registry.services
  const before = await bearer(registry, basic('alice'))
  const account = (): Promise<Account> => authenticator.checkPassword('alice', adminPassword, { address: '' })
  let offsetMs = 0
  const codeOf = (secret: string, steps = 0): string => totpCode(secret, totpStepAt(Date.now() + offsetMs) + steps)
  const { secret } = await secondFactors.enrol(await account())
  const recoveryCodes = await secondFactors.confirm(await account(), { code: codeOf(secret) })
  const advance = (ms: number): void => {
    offsetMs += ms
    registry.advance(ms)
  }
  advance(60_000)
  const signIn = (code: string | undefined, password = adminPassword): Promise<Reply> =>
    send(registry, 'POST /api/v1/session', {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: 'alice', password, ...(code === undefined ? {} : { code }) }),
    })
  return { registry, advance, before, recoveryCodes, code: (steps = 0) => codeOf(secret, steps), signIn }
}

const reasonOf = (reply: Reply) => (JSON.parse(reply.text) as { reason?: string }).reason

test('the password alone opens nothing any more, and the refusal says what does', async (t) => {
  const { registry, before } = await setStage(t)
  const sentence = '"alice" has a second factor: use an access token as the password'
  for (const line of [
    'GET /v2/',
    'GET /token',
    'GET /v2/alice/app/tags/list',
    'GET /api/v1/repositories',
    'GET /metrics',
    'GET /v1/search?q=a',
  ]) {
    const reply = await send(registry, line, { authorization: basic('alice') })
    assert.deepEqual([reply.status, messageOf(reply)], [401, sentence], line)
  }
  const body = new URLSearchParams({ grant_type: 'password', username: 'alice', password: adminPassword }).toString()
  assert.deepEqual(messageOf(await send(registry, 'POST /token', { body })), sentence)
  assert.equal((await send(registry, 'GET /v2/', { authorization: before })).status, 401, 'nor does a token that it bought')
  const wrong = await send(registry, 'GET /token', { authorization: basic('alice', 'wrong') })
  assert.equal(messageOf(wrong), 'incorrect username or password', 'who does not have the password learns nothing')
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin') })).status, 200)
})

test('a browser is asked for the code once the password is right', async (t) => {
  const { signIn, code } = await setStage(t)
  for (const none of [undefined, '']) {
    const reply = await signIn(none)
    assert.deepEqual([reply.status, reasonOf(reply)], [401, 'secondFactorNeeded'])
  }
  const wrong = await signIn(code(), 'wrong')
  assert.deepEqual([wrong.status, reasonOf(wrong)], [401, 'credentialsWrong'])
  const right = await signIn(code())
  assert.equal(right.status, 200, right.text)
  assert.match(right.headers['set-cookie']?.[0] ?? '', /^lanyard-session=/)
})

test('a code opens once: whoever saw it comes too late', async (t) => {
  const { signIn, code, advance } = await setStage(t)
  const seen = code()
  assert.equal((await signIn(seen)).status, 200)
  for (const used of [seen, code(-1)]) {
    const replayed = await signIn(used)
    assert.deepEqual([replayed.status, reasonOf(replayed), replayed.headers['set-cookie']], [401, 'codeWrong', undefined])
  }
  advance(30_000)
  assert.equal((await signIn(seen)).status, 401)
  assert.equal((await signIn(code())).status, 200)
})

test('codes that are none are refused alike', async (t) => {
  const { signIn } = await setStage(t)
  for (const none of ['0', 'abcdef', '-00001', '1234567', '١٢٣٤٥٦', 'x'.repeat(10_000), 'abcd-efgh-2345-wxyz']) {
    const reply = await signIn(none)
    assert.deepEqual([reply.status, reasonOf(reply)], [401, 'codeWrong'], none)
  }
})

test('a recovery code opens once where the device is lost', async (t) => {
  const { signIn, recoveryCodes } = await setStage(t)
  const [first = '', second = ''] = recoveryCodes
  assert.equal((await signIn(first)).status, 200)
  assert.equal((await signIn(first)).status, 401)
  assert.equal((await signIn(second.toUpperCase())).status, 200)
})

test('guesses of codes are slowed for the account, and the answer says for how long', async (t) => {
  const { signIn, code, advance } = await setStage(t)
  for (let count = 0; count < 10; count++) assert.equal(reasonOf(await signIn('000000')), 'codeWrong')
  const reply = await signIn(code())
  assert.deepEqual([reply.status, reasonOf(reply)], [429, 'loginThrottled'])
  assert.ok(Number(reply.headers['retry-after']) <= 30)
  advance(30_000)
  assert.equal((await signIn(code())).status, 200)
})
