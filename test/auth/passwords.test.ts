/**
 * Passwords: what bcrypt gets to see, what it costs, and how little of it a flood of logins can claim (threats 38 to 40).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import bcrypt from 'bcrypt'
import type { Account } from '../../auth/identity.ts'
import { parseNewPassword, Passwords, type AskedLogin, type PasswordOptions } from '../../auth/passwords.ts'
import { faultOf, makeAccount, rejects, TestClock } from './cast.ts'

const password = 'correct horse'

function makePasswords(options: Partial<PasswordOptions> = {}): { passwords: Passwords; clock: TestClock } {
  const clock = new TestClock()
  const defaults = { cost: 4, concurrency: 2, queueLimit: 100, cacheTtlMs: 300_000, clock: clock.now }
  return { passwords: new Passwords({ ...defaults, ...options }), clock }
}

const asked = (name: string): AskedLogin => ({ name, address: '10.0.0.1' })

/** An account of which every reading of the hash is counted: a check that runs bcrypt reads it once more than one that does not. */
function countedAccount(passwordHash: string, facts: Partial<Account> = {}): { account: Account; checks: () => number } {
  let checks = 0
  const account = makeAccount('alice', facts)
  const counted = {
    ...account,
    get passwordHash() {
      checks += 1
      return passwordHash
    },
  }
  return { account: counted, checks: () => checks }
}

test('the right password passes, any other does not', async () => {
  const { passwords } = makePasswords()
  const account = makeAccount('alice', { passwordHash: await passwords.hash(password) })
  assert.equal(await passwords.check(account, password), true)
  for (const wrong of ['', 'correct', `${password} `, password.toUpperCase()]) assert.equal(await passwords.check(account, wrong), false)
})

test('a hash has the cost that was set and a salt of its own', async () => {
  const { passwords } = makePasswords({ cost: 5 })
  const [one, two] = [await passwords.hash(password), await passwords.hash(password)]
  assert.equal(bcrypt.getRounds(one), 5)
  assert.notEqual(one, two)
})

test('an unknown and a disabled account never pass, with any password', async () => {
  const { passwords } = makePasswords()
  const disabled = makeAccount('alice', { passwordHash: await passwords.hash(password), isDisabled: true })
  for (const text of [password, '', 'x'.repeat(100)]) {
    assert.equal(await passwords.check(undefined, text), false)
    assert.equal(await passwords.check(disabled, text), false)
  }
})

test('72 bytes are checked whole; the 73rd is refused and not cut off', async () => {
  const { passwords } = makePasswords()
  const longest = 'ä'.repeat(36)
  const account = makeAccount('alice', { passwordHash: await passwords.hash(longest) })
  assert.equal(await passwords.check(account, longest), true)
  assert.equal(await passwords.check(account, `${longest}x`), false)
  assert.equal(await passwords.check(account, 'x'.repeat(1024 * 1024)), false)
  await rejects(passwords.hash(`${longest}x`), 'parameterInvalid')
})

test('a NUL is refused: what stands before it is not the password', async () => {
  const { passwords } = makePasswords()
  const account = makeAccount('alice', { passwordHash: await passwords.hash(password) })
  assert.equal(await passwords.check(account, `${password}\0`), false)
  assert.equal(await passwords.check(account, `${password}\0more`), false)
  await rejects(passwords.hash(`${password}\0`), 'parameterInvalid')
})

test('unknown, disabled, wrong, too long: all cost one hash of the same cost', async (t) => {
  const { passwords } = makePasswords({ cost: 5 })
  const passwordHash = await passwords.hash(password)
  const known = makeAccount('alice', { passwordHash })
  const cases: Record<string, () => Promise<boolean>> = {
    wrong: () => passwords.check(known, 'wrong password'),
    unknown: () => passwords.check(undefined, 'wrong password', asked('nobody')),
    disabled: () => passwords.check({ ...known, isDisabled: true }, password),
    long: () => passwords.check(known, 'x'.repeat(73)),
    nul: () => passwords.check(known, 'a\0b'),
  }
  const compare = t.mock.method(bcrypt, 'compare')
  for (const [name, check] of Object.entries(cases)) {
    compare.mock.resetCalls()
    assert.equal(await check(), false, name)
    assert.deepEqual(
      compare.mock.calls.map(({ arguments: [, hash] }) => bcrypt.getRounds(hash)),
      [5],
      name,
    )
  }
})

test('the hash of an unknown account is really computed: a malformed one would be done with in no time', async () => {
  const { passwords } = makePasswords({ cost: 11 })
  const since = performance.now()
  assert.equal(await passwords.check(undefined, 'wrong password', asked('nobody')), false)
  // About 100 ms; a busy machine only makes it more.
  assert.ok(performance.now() - since > 10)
})

test('a password that was right is not hashed again until it is forgotten', async () => {
  const { passwords, clock } = makePasswords({ cacheTtlMs: 1000 })
  const { account, checks } = countedAccount(await passwords.hash(password))
  const cost = await countOf(checks, () => passwords.check(account, password))
  assert.equal(await countOf(checks, () => passwords.check(account, password)), cost - 1, 'the second is answered from memory')
  clock.ms += 999
  assert.equal(await countOf(checks, () => passwords.check(account, password)), cost - 1)
  clock.ms += 1
  assert.equal(await countOf(checks, () => passwords.check(account, password)), cost, 'forgotten after the time that was set')
})

async function countOf(checks: () => number, act: () => Promise<boolean>, expected = true): Promise<number> {
  const before = checks()
  assert.equal(await act(), expected)
  return checks() - before
}

test('nothing is remembered for more than five minutes, nor when the clock was set back, nor when memory is off', async () => {
  for (const [cacheTtlMs, movedMs] of [
    [3_600_000, 300_000],
    [300_000, -1],
    [0, 0],
  ] as const) {
    const { passwords, clock } = makePasswords({ cacheTtlMs })
    const { account, checks } = countedAccount(await passwords.hash(password))
    const cost = await countOf(checks, () => passwords.check(account, password))
    clock.ms += movedMs
    assert.equal(await countOf(checks, () => passwords.check(account, password)), cost, `${cacheTtlMs} ms, moved by ${movedMs}`)
  }
})

test('wrong passwords are not remembered', async () => {
  const { passwords } = makePasswords()
  const { account, checks } = countedAccount(await passwords.hash(password))
  const cost = await countOf(checks, () => passwords.check(account, 'wrong'), false)
  assert.equal(await countOf(checks, () => passwords.check(account, 'wrong'), false), cost)
})

test('a change of the account ends what was remembered at once', async () => {
  const { passwords } = makePasswords()
  const account = makeAccount('alice', { passwordHash: await passwords.hash(password) })
  const newHash = await passwords.hash('another one')
  assert.equal(await passwords.check(account, password), true)
  assert.equal(await passwords.check({ ...account, isDisabled: true }, password), false)
  assert.equal(await passwords.check({ ...account, passwordHash: newHash, credentialVersion: 2 }, password), false)
  assert.equal(await passwords.check({ ...account, id: 2, passwordHash: newHash }, password), false)
})

test('the same check, many times at once, is one hash', async () => {
  const { passwords } = makePasswords({ concurrency: 1, queueLimit: 0 })
  const account = makeAccount('alice', { passwordHash: await passwords.hash(password) })
  const right = await Promise.all(Array.from({ length: 50 }, () => passwords.check(account, password)))
  assert.deepEqual(new Set(right), new Set([true]))
  const wrong = await Promise.all(Array.from({ length: 50 }, () => passwords.check(account, 'wrong')))
  assert.deepEqual(new Set(wrong), new Set([false]))
})

test('checks of different accounts are never taken for one, whether the accounts exist or not', async () => {
  const { passwords } = makePasswords({ concurrency: 1, queueLimit: 0 })
  const account = makeAccount('alice', { passwordHash: await passwords.hash(password) })
  for (const [first, second] of [
    [undefined, undefined],
    [account, undefined],
  ]) {
    const running = passwords.check(first, 'wrong', asked('alice'))
    await rejects(passwords.check(second, 'wrong', asked('nobody')), 'loginBusy')
    assert.equal(await running, false)
  }
})

test('a full queue refuses with Retry-After, and what waits is served in order', async () => {
  const { passwords } = makePasswords({ concurrency: 1, queueLimit: 3 })
  const done: number[] = []
  const accepted = Array.from({ length: 4 }, async (_, index) => {
    await passwords.check(undefined, `wrong ${index}`)
    done.push(index)
  })
  const fault = await rejects(passwords.check(undefined, 'one too many'), 'loginBusy')
  assert.deepEqual(fault.headers, { 'Retry-After': '1' })
  assert.equal(fault.status, 503)
  await Promise.all(accepted)
  assert.deepEqual(done, [0, 1, 2, 3])
  assert.equal(await passwords.check(undefined, 'there is room again'), false)
})

test('as many run at once as were set, and not one more', async () => {
  const { passwords } = makePasswords({ concurrency: 3, queueLimit: 0 })
  const running = Array.from({ length: 3 }, (_, index) => passwords.check(undefined, `wrong ${index}`))
  await rejects(passwords.check(undefined, 'one too many'), 'loginBusy')
  assert.deepEqual(await Promise.all(running), [false, false, false])
})

test('a flood of wrong logins does not lock out one whose password was right before', async () => {
  const { passwords } = makePasswords({ concurrency: 1, queueLimit: 2 })
  const account = makeAccount('alice', { passwordHash: await passwords.hash(password) })
  assert.equal(await passwords.check(account, password), true)
  const flood = Array.from({ length: 20 }, (_, index) => passwords.check(account, `guess ${index}`).catch(() => false))
  assert.equal(await passwords.check(account, password), true)
  assert.deepEqual(new Set(await Promise.all(flood)), new Set([false]))
})

test('a new password is hashed before guesses that wait', async () => {
  const { passwords } = makePasswords({ concurrency: 1, queueLimit: 2 })
  const guesses = Array.from({ length: 3 }, (_, index) => passwords.check(undefined, `guess ${index}`).catch((error: unknown) => error))
  const hash = await passwords.hash('a new password')
  assert.equal(bcrypt.getRounds(hash), 4)
  const outcomes = await Promise.all(guesses)
  assert.equal(outcomes.filter((outcome) => outcome !== false).length, 1, 'the last guess made room for it')
})

test('a hash that fails gives its turn back', async () => {
  const { passwords } = makePasswords({ concurrency: 1, queueLimit: 0, cost: 4 })
  const broken = { ...makeAccount('alice'), passwordHash: undefined as unknown as string }
  await assert.rejects(passwords.check(broken, password))
  assert.equal(await passwords.check(undefined, password), false)
})

const newPasswords: readonly (readonly [string, string, RegExp | undefined])[] = [
  ['8 characters', 'abcdefgh', undefined],
  ['8 characters beyond ASCII', '😀😀😀😀😀😀😀😀', undefined],
  ['72 bytes', 'x'.repeat(72), undefined],
  ['nothing', '', /at least 8 characters/],
  ['7 characters', 'abcdefg', /at least 8 characters/],
  ['7 characters of 28 bytes', '😀'.repeat(7), /at least 8 characters/],
  ['73 bytes', 'x'.repeat(73), /at most 72 bytes/],
  ['72 characters of 73 bytes', `${'x'.repeat(71)}ä`, /at most 72 bytes/],
  ['a NUL', 'abcdefgh\0', /NUL/],
  ['the name of the account', 'alice-in-wonderland', /name of its account/],
  ['the name of the account in capitals', 'Alice-In-Wonderland', /name of its account/],
  ['the name of the account and more', 'alice-in-wonderland-2', undefined],
  ['what looks like an access token', `lyp_${'a'.repeat(49)}`, /look like an access token/],
  ['one of the most common', 'password123', /most common/],
  ['one of the most common in capitals', 'PassWord123', /most common/],
  ['digits in a row', '1234567890', /most common/],
]

for (const [title, text, message] of newPasswords) {
  test(`a new password of ${title} is ${message ? 'refused' : 'taken'}`, () => {
    if (!message) return assert.equal(parseNewPassword(text, 'alice-in-wonderland'), text)
    const fault = faultOf(() => parseNewPassword(text, 'alice-in-wonderland'))
    assert.equal(fault.reason, 'parameterInvalid')
    assert.match(fault.message, message)
    return assert.ok(text === '' || !fault.message.includes(text), 'the message does not repeat the password')
  })
}
