/**
 * Who waits for whom when many log in, over the wire: guesses come last, and the address that counts is the client's (threat 39). The
 * order itself is tested in test/auth/login-queue.test.ts.
 */
import assert from 'node:assert/strict'
import bcrypt from 'bcrypt'
import { test, type TestContext } from 'node:test'
import { basic } from '../support/client.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { send, until, type Reply } from './wire.ts'

const guesses = 30

interface Login {
  readonly user: string
  readonly from?: string
}

/** Thirty guesses wait, then one right login comes. @returns how many began to be hashed before it, and what it was answered. */
async function loginBehindGuesses(
  t: TestContext,
  registry: TestRegistry,
  { attack, right }: { attack: Login; right: Login },
): Promise<{ before: number; running: number; reply: Reply }> {
  const begun: string[] = []
  const gates: (() => void)[] = []
  let isOpen = false
  t.mock.method(bcrypt, 'compare', async (password: string) => {
    begun.push(password)
    if (!isOpen) await new Promise<void>((resolve) => gates.push(resolve))
    return password === adminPassword
  })
  const check = t.mock.method(registry.services.passwords, 'check')
  const login = ({ user, from }: Login, password?: string): Promise<Reply> =>
    send(registry, 'GET /v2/', { authorization: basic(user, password), headers: from === undefined ? {} : { 'X-Forwarded-For': from } })
  const flood = Array.from({ length: guesses }, (_, index) => login(attack, `guess ${index}`))
  await until('all guesses are waiting', () => check.mock.callCount() === guesses)
  const running = begun.length
  const answer = login(right)
  await until('the right one is waiting', () => check.mock.callCount() === guesses + 1)
  for (const open of gates.splice(0)) open()
  await until('it has begun', () => {
    for (const open of begun.includes(adminPassword) ? [] : gates.splice(0)) open()
    return begun.includes(adminPassword)
  })
  const before = begun.indexOf(adminPassword)
  isOpen = true
  for (const open of gates.splice(0)) open()
  const reply = await answer
  assert.deepEqual(new Set((await Promise.all(flood)).map(({ status }) => status)), new Set([401]))
  return { before, running, reply }
}

test('a right login for another account goes before all guesses that wait', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const { before, running, reply } = await loginBehindGuesses(t, registry, { attack: { user: 'admin' }, right: { user: 'alice' } })
  assert.equal(reply.status, 200)
  assert.ok(before <= running, `${before} were hashed before it, of which ${running} ran when it came`)
})

test('a right login for the account that is guessed at goes before them from another address', async (t) => {
  const registry = await startRegistry(t, { settings: { TRUSTED_PROXIES: '127.0.0.1' } })
  const attack = { user: 'admin', from: '10.6.6.6' }
  const { before, running, reply } = await loginBehindGuesses(t, registry, { attack, right: { user: 'admin', from: '10.0.0.1' } })
  assert.equal(reply.status, 200)
  assert.ok(before <= running, `${before} were hashed before it, of which ${running} ran when it came`)
})

test('who only says to come from elsewhere is not believed', async (t) => {
  const registry = await startRegistry(t)
  const { before, running } = await loginBehindGuesses(t, registry, {
    attack: { user: 'admin', from: '10.6.6.6' },
    right: { user: 'admin', from: '10.0.0.1' },
  })
  assert.ok(before > 0 && running > 0)
  const sources = t.mock.method(registry.services.passwords, 'check')
  await send(registry, 'GET /v2/', { authorization: basic('admin', 'wrong'), headers: { 'X-Forwarded-For': '10.9.9.9' } })
  assert.deepEqual(sources.mock.calls[0]?.arguments[2]?.address, '127.0.0.1')
})
