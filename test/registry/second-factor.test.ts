/** Second factors over real rows: begun, confirmed, asked for, lost, taken away; and no code twice. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, test, type TestContext } from 'node:test'
import type { Account } from '../../auth/identity.ts'
import { LoginAttempts } from '../../auth/login-attempts.ts'
import { totpCode, totpStepAt } from '../../auth/totp.ts'
import { accountDirectory, addAccount, updateAccount } from '../../registry/accounts.ts'
import { SecondFactors } from '../../registry/second-factor.ts'
import { BrowserSessions } from '../../registry/sessions.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor } from '../support/registry-floor.ts'

const here = { address: '10.0.0.1' }
const elsewhere = { address: '10.6.6.6' }
const limits = { idleMs: 3_600_000, absoluteMs: 86_400_000 }

async function setStage(t: TestContext) {
  const { database } = await openFloor(t)
  for (const name of ['alice', 'bob']) await addAccount(database, { name, passwordHash: '', isAdmin: true, nowMs: 1 })
  const clock = { ms: Date.UTC(2026, 10, 20) }
  const now = (): number => clock.ms
  const accounts = accountDirectory(database, { note: () => undefined })
  const make = () => new SecondFactors({ database, attempts: new LoginAttempts(now), clock: now, randomBytes })
  const get = async (name = 'alice'): Promise<Account> => {
    const account = await accounts.findAccountByName(name)
    assert.ok(account)
    return account
  }
  const factors = make()
  const codeOf = (secret: string, steps = 0): string => totpCode(secret, totpStepAt(clock.ms) + steps)
  /** Alice with a second factor, and a minute later. */
  const confirmed = async (): Promise<{ secret: string; recoveryCodes: string[] }> => {
    const { secret } = await factors.enrol(await get())
    const recoveryCodes = await factors.confirm(await get(), { code: codeOf(secret) })
    clock.ms += 60_000
    return { secret, recoveryCodes }
  }
  return { database, clock, accounts, factors, make, get, codeOf, confirmed }
}

suite('second factors', () => {
  test('one counts from the moment that a code confirmed it', async (t) => {
    const { factors, get, codeOf } = await setStage(t)
    const { secret, uri } = await factors.enrol(await get())
    assert.ok(uri.startsWith(`otpauth://totp/Lanyard:alice?secret=${secret}&`))
    assert.equal((await get()).hasSecondFactor, false)
    await assertRejected('codeWrong', factors.confirm(await get(), { code: codeOf(secret, 5) }))
    assert.equal((await get()).hasSecondFactor, false)
    const recoveryCodes = await factors.confirm(await get(), { code: codeOf(secret) })
    assert.equal(recoveryCodes.length, 10)
    assert.deepEqual([(await get()).hasSecondFactor, (await get('bob')).hasSecondFactor], [true, false])
  })

  test('to begin again replaces the secret, until one is confirmed', async (t) => {
    const { factors, get, codeOf } = await setStage(t)
    const { secret: first } = await factors.enrol(await get())
    const { secret: second } = await factors.enrol(await get())
    await assertRejected('codeWrong', factors.confirm(await get(), { code: codeOf(first) }))
    await factors.confirm(await get(), { code: codeOf(second) })
    await assertRejected('parameterInvalid', factors.enrol(await get()))
    await assertRejected('parameterInvalid', factors.confirm(await get(), { code: codeOf(second, 1) }))
    await assertRejected('parameterInvalid', factors.confirm(await get('bob'), { code: codeOf(second, 1) }))
  })

  test('a code passes once, in whichever process, and so does none before it', async (t) => {
    const { factors, make, get, codeOf, confirmed } = await setStage(t)
    const { secret } = await confirmed()
    const code = codeOf(secret)
    const outcomes = await Promise.allSettled([factors.pass(await get(), code, here), make().pass(await get(), code, here)])
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
    for (const used of [code, codeOf(secret, -1)]) await assertRejected('codeWrong', factors.pass(await get(), used, here))
    await factors.pass(await get(), codeOf(secret, 1), here)
  })

  test('the code that confirmed it is used up too', async (t) => {
    const { factors, get, codeOf } = await setStage(t)
    const { secret } = await factors.enrol(await get())
    await factors.confirm(await get(), { code: codeOf(secret) })
    await assertRejected('codeWrong', factors.pass(await get(), codeOf(secret), here))
  })

  test('a recovery code passes once, however it is typed; new ones take the place of all', async (t) => {
    const { database, factors, get, confirmed } = await setStage(t)
    const { recoveryCodes } = await confirmed()
    const [first = '', second = ''] = recoveryCodes
    await factors.pass(await get(), first.toUpperCase().replaceAll('-', ' '), here)
    await assertRejected('codeWrong', factors.pass(await get(), first, here))
    assert.equal(await factors.recoveryCodesLeft(await get()), 9)
    const renewed = await factors.renewRecoveryCodes(await get())
    await assertRejected('codeWrong', factors.pass(await get(), second, here))
    await factors.pass(await get(), renewed[0] ?? '', here)
    assert.equal(await factors.recoveryCodesLeft(await get()), 9)
    const rows = JSON.stringify(await database.read.selectFrom('recovery_code').selectAll().execute())
    assert.ok(!rows.includes(renewed[1] ?? ''), 'only digests are kept')
    await assertRejected('parameterInvalid', factors.renewRecoveryCodes(await get('bob')))
  })

  test('whoever has the password and guesses codes has ten, then two a minute; the owner is not kept out', async (t) => {
    const { clock, factors, get, codeOf, confirmed } = await setStage(t)
    const { secret } = await confirmed()
    await factors.pass(await get(), codeOf(secret), here)
    const guess = async () => factors.pass(await get(), '000000', elsewhere)
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, guess))
    const reasons = outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as { reason: string }).reason : 'passed'))
    assert.deepEqual(Object.groupBy(reasons, (reason) => reason)['codeWrong']?.length, 10)
    const fault = await assertRejected('loginThrottled', guess())
    assert.equal(fault.headers['Retry-After'], '30')
    await assertRejected('loginThrottled', factors.pass(await get(), codeOf(secret, 1), elsewhere))
    await factors.pass(await get(), codeOf(secret, 1), here)
    clock.ms += 30_000
    await assertRejected('codeWrong', guess())
    await assertRejected('loginThrottled', guess())
  })

  test('to begin and to end one ends what was issued before, but for the session that does it', async (t) => {
    const { database, clock, accounts, factors, get, codeOf } = await setStage(t)
    const sessions = new BrowserSessions({ database, accounts, limits, clock: () => clock.ms, randomBytes })
    const start = async () => sessions.start(await get(), { agent: '', address: '', replaced: undefined })
    const [own, other] = [await start(), await start()]
    const { secret } = await factors.enrol(await get())
    assert.ok(await sessions.find(other.secret), 'nothing counts yet')
    await factors.confirm(await get(), { code: codeOf(secret), keptSessionId: own.session.id })
    assert.equal(await sessions.find(other.secret), undefined)
    assert.ok(await sessions.find(own.secret))
    const late = await start()
    await factors.disable(await get(), { keptSessionId: own.session.id })
    assert.equal(await sessions.find(late.secret), undefined)
    assert.ok(await sessions.find(own.secret))
    assert.equal((await get()).hasSecondFactor, false)
    await assertRejected('parameterInvalid', factors.disable(await get()))
    assert.equal(await factors.recoveryCodesLeft(await get()), 0)
  })

  test('a second factor outlives a new password', async (t) => {
    const { database, factors, get, codeOf, confirmed } = await setStage(t)
    const { secret } = await confirmed()
    await updateAccount(database, 'alice', { passwordHash: 'other' })
    assert.equal((await get()).hasSecondFactor, true)
    await factors.pass(await get(), codeOf(secret), here)
  })
})
