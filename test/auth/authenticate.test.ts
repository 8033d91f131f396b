/**
 * From header to caller, with real passwords and real tokens (threats 38, 40).
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Authenticator } from '../../auth/authenticate.ts'
import { Passwords } from '../../auth/passwords.ts'
import { KeyRing } from '../../auth/signing-keys.ts'
import { Tokens } from '../../auth/tokens.ts'
import { directoryOf, makeAccount, nobody, rejects, TestClock } from './cast.ts'

const password = 'correct:horse'
const basicHeader = (username: string, secret: string): string => `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`

async function setStage(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const clock = new TestClock()
  const passwords = new Passwords({ cost: 4, concurrency: 2, queueLimit: 100, cacheTtlMs: 1000, clock: clock.now })
  const passwordHash = await passwords.hash(password)
  const alice = makeAccount('alice', { id: 1, passwordHash })
  const directory = directoryOf([alice, makeAccount('eve', { id: 2, passwordHash, isDisabled: true })])
  const asked: string[] = []
  const accounts = { ...directory, findAccountByName: (name: string) => (asked.push(name), directory.findAccountByName(name)) }
  const keys = await KeyRing.open(folder, clock.now)
  const tokens = new Tokens({ keys, issuer: 'lanyard', service: 'reg', ttlSeconds: 300, clock: clock.now, accounts })
  return { alice, asked, tokens, authenticator: new Authenticator({ accounts, passwords, tokens }) }
}

test('without credentials, or with empty ones, the caller is anonymous', async (t) => {
  const { authenticator } = await setStage(t)
  for (const header of [undefined, '', basicHeader('', '')]) assert.deepEqual(await authenticator.authenticate(header), nobody)
})

test('user and password make an account, limited by no token; the password may hold colons', async (t) => {
  const { authenticator, alice } = await setStage(t)
  const expected = { identity: { kind: 'account', account: alice }, via: 'basic', access: undefined }
  assert.deepEqual(await authenticator.authenticate(basicHeader('alice', password)), expected)
  assert.deepEqual(await authenticator.authenticatePassword('alice', password), expected)
})

test('a token makes what it says', async (t) => {
  const { authenticator, tokens, alice } = await setStage(t)
  const identity = { kind: 'account', account: alice } as const
  const { token } = await tokens.issue(identity, [])
  assert.deepEqual(await authenticator.authenticate(`bearer ${token}`), { identity, via: 'bearer', access: [] })
  await rejects(authenticator.authenticate('Bearer nonsense'), 'tokenInvalid')
})

test('all wrong credentials are refused with the same error', async (t) => {
  const { authenticator } = await setStage(t)
  const headers = [
    basicHeader('alice', 'wrong password'),
    basicHeader('nobody', password),
    basicHeader('eve', password),
    basicHeader('eve', 'wrong password'),
    basicHeader('Alice', password),
    basicHeader('alice', ''),
    basicHeader('', password),
    basicHeader('alice', `${password}\0`),
    basicHeader('alice', `${password}${'x'.repeat(60)}`),
    basicHeader('x'.repeat(1000), password),
    'Basic nonsense',
    'Basic',
    'Digest username="alice"',
  ]
  for (const header of headers) {
    const fault = await rejects(authenticator.authenticate(header), 'credentialsWrong')
    assert.deepEqual(
      [fault.message, fault.details, fault.headers, fault.cause],
      ['incorrect username or password', [], {}, undefined],
      header,
    )
  }
})

test('a form with empty or impossible credentials is refused, and what cannot be a name is not looked for', async (t) => {
  const { authenticator, asked } = await setStage(t)
  for (const [username, secret] of [
    ['', ''],
    ['alice', ''],
    ['al\0ice', password],
    ['x'.repeat(1024 * 1024), 'x'.repeat(1024 * 1024)],
  ] as const) {
    await rejects(authenticator.authenticatePassword(username, secret), 'credentialsWrong')
  }
  assert.deepEqual(asked, ['', 'alice'])
})
