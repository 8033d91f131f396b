/** Browser sessions over real rows: what is remembered of them, what ends them, and that a cookie's value is kept nowhere. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { suite, test, type TestContext } from 'node:test'
import type { Account } from '../../auth/identity.ts'
import { accountDirectory, addAccount, removeAccount, updateAccount } from '../../registry/accounts.ts'
import { BrowserSessions, type Browser } from '../../registry/sessions.ts'
import { RegistryError } from '../../oci/errors.ts'
import { openFloor } from '../support/registry-floor.ts'

const hourMs = 3_600_000
const limits = { idleMs: 12 * hourMs, absoluteMs: 30 * 24 * hourMs }
const browser: Browser = { agent: 'Firefox', address: '10.0.0.1', replaced: undefined }

async function setStage(t: TestContext) {
  const { database } = await openFloor(t)
  for (const name of ['root', 'alice', 'bob']) await addAccount(database, { name, passwordHash: '', isAdmin: name === 'root', nowMs: 1 })
  const clock = { ms: Date.UTC(2026, 10, 20) }
  const accounts = accountDirectory(database, { note: () => undefined })
  const sessions = new BrowserSessions({ database, accounts, limits, clock: () => clock.ms, randomBytes })
  const get = async (name: string): Promise<Account> => {
    const account = await accounts.findAccountByName(name)
    assert.ok(account)
    return account
  }
  return { database, clock, sessions, get }
}

suite('browser sessions', () => {
  test('a sign-in makes a session with a secret of its own, of which only the digest is kept', async (t) => {
    const { database, sessions, get } = await setStage(t)
    const alice = await get('alice')
    const { secret, session } = await sessions.start(alice, browser)
    assert.deepEqual(await sessions.find(secret), { account: alice, session })
    assert.notEqual((await sessions.start(alice, browser)).secret, secret)
    const rows = await database.read.selectFrom('browser_session').selectAll().execute()
    assert.ok(!JSON.stringify(rows).includes(secret))
    assert.deepEqual(Buffer.from(rows[0]?.secret_hash ?? []), createHash('sha256').update(secret).digest())
  })

  test('a value that was not given out opens nothing', async (t) => {
    const { sessions, get } = await setStage(t)
    const { secret } = await sessions.start(await get('alice'), browser)
    for (const other of [
      '',
      'x',
      secret.slice(1),
      `${secret} `,
      randomBytes(32).toString('base64url'),
      createHash('sha256').update(secret).digest('base64url'),
    ])
      assert.equal(await sessions.find(other), undefined)
  })

  test('a sign-in ends the session of the cookie that came with it, and never takes its value over', async (t) => {
    const { sessions, get } = await setStage(t)
    const first = await sessions.start(await get('alice'), browser)
    const planted = randomBytes(32).toString('base64url')
    const second = await sessions.start(await get('bob'), { ...browser, replaced: first.secret })
    const third = await sessions.start(await get('bob'), { ...browser, replaced: planted })
    assert.equal(await sessions.find(first.secret), undefined)
    assert.equal(await sessions.find(planted), undefined)
    assert.equal((await sessions.find(second.secret))?.account.name, 'bob')
    assert.notEqual(third.secret, planted)
  })

  test('what ends a session ends it at the next look', async (t) => {
    for (const [title, act] of Object.entries<(stage: Awaited<ReturnType<typeof setStage>>) => Promise<unknown>>({
      'another password': ({ database }) => updateAccount(database, 'alice', { passwordHash: 'other' }),
      'a disabled account': ({ database }) => updateAccount(database, 'alice', { isDisabled: true }),
      'disabled and enabled again': async ({ database }) => {
        await updateAccount(database, 'alice', { isDisabled: true })
        await updateAccount(database, 'alice', { isDisabled: false })
      },
      'another role': ({ database }) => updateAccount(database, 'alice', { isAdmin: true }),
      'a removed account': ({ database }) => removeAccount(database, 'alice'),
      'the hours of nothing': async ({ clock }) => void (clock.ms += limits.idleMs),
      'its end by hand': async ({ sessions, get }) => sessions.endAll(await get('alice')),
    })) {
      const stage = await setStage(t)
      const { secret } = await stage.sessions.start(await stage.get('alice'), browser)
      const other = await stage.sessions.start(await stage.get('bob'), browser)
      await act(stage)
      assert.equal(await stage.sessions.find(secret), undefined, title)
      if (title !== 'the hours of nothing') assert.ok(await stage.sessions.find(other.secret), title)
    }
  })

  test('who comes back in time stays signed in, until the longest time is over', async (t) => {
    const { clock, sessions, get } = await setStage(t)
    const { secret } = await sessions.start(await get('alice'), browser)
    for (let hours = 0; hours < 30 * 24 - 11; hours += 11) {
      assert.ok(await sessions.find(secret), `after ${hours} hours`)
      clock.ms += 11 * hourMs
    }
    clock.ms += 11 * hourMs
    assert.equal(await sessions.find(secret), undefined)
  })

  test('when it was seen is written down once a minute, and a disk that is full does not end it', async (t) => {
    const { database, clock, sessions, get } = await setStage(t)
    const alice = await get('alice')
    const { secret, session } = await sessions.start(alice, browser)
    const write = t.mock.method(database, 'writeRelaxed')
    clock.ms += 59_999
    assert.equal((await sessions.find(secret))?.session.lastSeenAtMs, session.lastSeenAtMs)
    assert.equal(write.mock.callCount(), 0)
    clock.ms += 1
    assert.equal((await sessions.find(secret))?.session.lastSeenAtMs, clock.ms)
    assert.equal(write.mock.callCount(), 1)
    assert.deepEqual(
      (await sessions.list(alice)).map(({ lastSeenAtMs }) => lastSeenAtMs),
      [clock.ms],
    )
    write.mock.mockImplementation(() => Promise.reject(new RegistryError('storageFull')))
    clock.ms += 60_000
    assert.equal((await sessions.find(secret))?.account.name, 'alice')
    write.mock.mockImplementation(() => Promise.reject(new Error('something else')))
    await assert.rejects(sessions.find(secret), /something else/)
  })

  test('an account sees its own sessions with browser, address and times, the newest first, and only those that count', async (t) => {
    const { database, clock, sessions, get } = await setStage(t)
    await sessions.start(await get('alice'), browser)
    await updateAccount(database, 'alice', { passwordHash: 'other' })
    const alice = await get('alice')
    const first = await sessions.start(alice, browser)
    clock.ms += 1000
    const second = await sessions.start(alice, { ...browser, agent: `curl ${'x'.repeat(1000)}`, address: '10.0.0.2' })
    await sessions.start(await get('bob'), browser)
    const listed = await sessions.list(alice)
    assert.deepEqual(
      listed.map(({ id }) => id),
      [second.session.id, first.session.id],
    )
    assert.deepEqual([listed[0]?.address, listed[0]?.agent.length, listed[0]?.createdAtMs], ['10.0.0.2', 255, clock.ms])
  })

  test('one session or all others are ended by their owner; those of others are out of reach', async (t) => {
    const { sessions, get } = await setStage(t)
    const [alice, bob] = [await get('alice'), await get('bob')]
    const all = [await sessions.start(alice, browser), await sessions.start(alice, browser), await sessions.start(alice, browser)]
    const foreign = await sessions.start(bob, browser)
    const [first, second, third] = all.map(({ session }) => session.id)
    assert.equal(await sessions.end(alice, foreign.session.id), false)
    assert.equal(await sessions.end(alice, first ?? 0), true)
    assert.equal(await sessions.end(alice, first ?? 0), false)
    assert.equal(await sessions.endAll(alice, { exceptId: third ?? 0 }), 1)
    assert.deepEqual(
      (await sessions.list(alice)).map(({ id }) => id),
      [third],
    )
    assert.ok(second && (await sessions.find(foreign.secret)))
  })

  test('a program that signs in again and again has a hundred sessions, the newest', async (t) => {
    const { sessions, get } = await setStage(t)
    const alice = await get('alice')
    const { secret } = await sessions.start(alice, browser)
    for (let count = 0; count < 100; count++) await sessions.start(alice, browser)
    assert.equal((await sessions.list(alice)).length, 100)
    assert.equal(await sessions.find(secret), undefined)
  })

  test('rows whose time is over are removed', async (t) => {
    const { database, clock, sessions, get } = await setStage(t)
    await sessions.start(await get('alice'), browser)
    clock.ms += limits.idleMs - 1
    assert.equal(await sessions.expire(), 0)
    const { secret } = await sessions.start(await get('bob'), browser)
    clock.ms += 1
    assert.equal(await sessions.expire(), 1)
    assert.ok(await sessions.find(secret))
    assert.equal((await database.read.selectFrom('browser_session').select('id').execute()).length, 1)
  })
})
