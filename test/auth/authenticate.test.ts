/**
 * From header to caller, with real passwords and real tokens (threats 38, 40).
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { hasAccessTokenForm, makeAccessToken } from '../../auth/access-token.ts'
import { Authenticator } from '../../auth/authenticate.ts'
import { Passwords } from '../../auth/passwords.ts'
import { KeyRing } from '../../auth/signing-keys.ts'
import { Tokens } from '../../auth/tokens.ts'
import { directoryOf, makeAccount, makeRobot, nobody, rejects, TestClock, type KnownToken } from './cast.ts'

const password = 'correct:horse'
const basicHeader = (username: string, secret: string): string => `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`

async function setStage(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const clock = new TestClock()
  const passwords = new Passwords({ cost: 4, concurrency: 2, queueLimit: 100, cacheTtlMs: 1000, clock: clock.now })
  const passwordHash = await passwords.hash(password)
  const alice = makeAccount('alice', { id: 1, passwordHash })
  const robot = makeRobot('team', 'ci', { id: 3, passwordHash })
  const held: KnownToken[] = []
  const used: string[] = []
  const directory = directoryOf([alice, makeAccount('eve', { id: 2, passwordHash, isDisabled: true }), robot], held, used)
  const asked: string[] = []
  const accounts = { ...directory, findAccountByName: (name: string) => (asked.push(name), directory.findAccountByName(name)) }
  const keys = await KeyRing.open(folder, clock.now)
  const tokens = new Tokens({ keys, issuer: 'lanyard', service: 'reg', ttlSeconds: 300, clock: clock.now, accounts })
  return { alice, robot, asked, held, used, clock, tokens, passwords, authenticator: new Authenticator({ accounts, passwords, tokens }) }
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

const scopes = [{ actions: ['pull'], repositories: 'team/*' }] as const

/** A token that counts, but for what is said. */
function give(held: KnownToken[], accountId: number, facts: Partial<KnownToken> = {}): KnownToken {
  const secret = makeAccessToken(accountId === 3 ? 'robot' : 'person')
  const token = { id: held.length + 1, name: 'ci', scopes }
  const known = { accountId, secret, token, expiresAtMs: undefined, revokedAtMs: undefined, lastUsedAtMs: undefined, ...facts }
  held.push(known)
  return known
}

test('an access token does in place of the password of its account, and narrows it', async (t) => {
  const { authenticator, alice, robot, held, used } = await setStage(t)
  for (const [account, known] of [
    [alice, give(held, 1)],
    [robot, give(held, 3)],
  ] as const) {
    const identity = { kind: 'account', account, token: known.token } as const
    const expected = { identity, via: 'basic', access: undefined }
    assert.deepEqual(await authenticator.authenticate(basicHeader(account.name, known.secret), { address: '10.0.0.1' }), expected)
    assert.deepEqual(await authenticator.authenticatePassword(account.name, known.secret), expected)
    assert.deepEqual(await authenticator.authenticate(`Bearer ${known.secret}`), { identity, via: 'bearer', access: undefined })
  }
  assert.deepEqual(used.slice(0, 2), ['ci from 10.0.0.1', 'ci from undefined'])
})

test('whatever is wrong with an access token, it is refused like a wrong password, and no password is checked', async (t) => {
  const { authenticator, held, passwords, clock, asked } = await setStage(t)
  t.mock.method(passwords, 'check', () => assert.fail('a hash was computed'))
  const right = give(held, 1)
  const refused: readonly (readonly [string, string, string])[] = [
    ['nobody has it', 'alice', makeAccessToken('person')],
    ['mistyped', 'alice', right.secret.replace(/.$/, (last) => (last === '0' ? '1' : '0'))],
    ['of another account', 'team.ci', right.secret],
    ['with no name', '', right.secret],
    ['with the name in capitals', 'Alice', right.secret],
    ['revoked', 'alice', give(held, 1, { revokedAtMs: clock.ms - 1 }).secret],
    ['revoked a moment before the clock was set back', 'alice', give(held, 1, { revokedAtMs: clock.ms + 1000 }).secret],
    ['expired', 'alice', give(held, 1, { expiresAtMs: clock.ms }).secret],
    ['of a disabled account', 'eve', give(held, 2).secret],
  ]
  for (const [title, username, secret] of refused) {
    const byName = await rejects(authenticator.authenticate(basicHeader(username, secret)), 'credentialsWrong')
    assert.deepEqual(
      [byName.message, byName.details, byName.headers, byName.cause],
      ['incorrect username or password', [], {}, undefined],
      title,
    )
  }
  for (const [title, username, secret] of refused.filter(([, username]) => username === 'alice' || username === 'eve')) {
    const fault = await rejects(authenticator.authenticate(`Bearer ${secret}`), 'tokenInvalid')
    assert.equal(fault.message, 'the token is expired or not valid: log in again', `${title}: ${username}`)
  }
  assert.deepEqual(asked, [], 'nor is a name looked for')
})

test('an access token counts up to its last moment', async (t) => {
  const { authenticator, held, clock } = await setStage(t)
  const { secret } = give(held, 1, { expiresAtMs: clock.ms + 1000 })
  clock.ms += 999
  assert.equal((await authenticator.authenticatePassword('alice', secret)).via, 'basic')
  clock.ms += 1
  await rejects(authenticator.authenticatePassword('alice', secret), 'credentialsWrong')
})

test('a robot has no password, not even one whose hash stands in its row, and refusing it costs a hash', async (t) => {
  const { authenticator, passwords } = await setStage(t)
  const check = t.mock.method(passwords, 'check')
  await rejects(authenticator.authenticatePassword('team.ci', password), 'credentialsWrong')
  assert.deepEqual(
    check.mock.calls.map((call) => call.arguments),
    [[undefined, password, { name: 'team.ci', address: '', connection: undefined }]],
  )
})

test('what only begins like an access token is a password', async (t) => {
  const { authenticator, passwords } = await setStage(t)
  const check = t.mock.method(passwords, 'check')
  for (const text of ['lyp_short', 'lyp_', `lyp_${'x'.repeat(50)}`]) {
    assert.ok(!hasAccessTokenForm(text))
    await rejects(authenticator.authenticatePassword('alice', text), 'credentialsWrong')
  }
  assert.equal(check.mock.callCount(), 3)
})
