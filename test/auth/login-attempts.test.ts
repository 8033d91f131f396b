/** What is remembered of logins: who is taken for a guesser, for how long, and that it is never more than a little (threat 39). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareStandings, LoginAttempts, type Attempt, type Standing } from '../../auth/login-attempts.ts'
import { TestClock } from './cast.ts'

function stage() {
  const clock = new TestClock()
  const attempts = new LoginAttempts(clock.now)
  const from = (address: string, name = 'alice', connection?: object): Attempt => attempts.attemptOf(name, { address, connection })
  const fail = (attempt: Attempt, times: number): void => {
    for (let count = 0; count < times; count++) attempts.recordFailure(attempt)
  }
  return { clock, attempts, from, fail }
}

test('a few mistakes are human; more of one account from one address, or of many from one, are slow', () => {
  const { attempts, from, fail } = stage()
  fail(from('10.0.0.1'), 4)
  assert.equal(attempts.standingOf(from('10.0.0.1')).isSlow, false)
  fail(from('10.0.0.1'), 1)
  assert.equal(attempts.standingOf(from('10.0.0.1')).isSlow, true)
  assert.equal(attempts.standingOf(from('10.0.0.2')).isSlow, false, 'the account from elsewhere')
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    assert.equal(attempts.standingOf(from('10.0.0.3', 'bob')).isSlow, false)
    fail(from('10.0.0.3', name), 1)
  }
  assert.equal(attempts.standingOf(from('10.0.0.3', 'bob')).isSlow, true, 'five of one address')
  assert.equal(attempts.standingOf(from('10.0.0.2')).isSlow, false)
})

test('many attempts of one account from one address at once count before any of them has failed', () => {
  const { attempts, from } = stage()
  attempts.recordSuccess(from('10.0.0.1'))
  for (let count = 0; count < 5; count++) attempts.enter(from('10.0.0.1'))
  assert.deepEqual([attempts.standingOf(from('10.0.0.1')).pair, attempts.standingOf(from('10.0.0.1')).isTrusted], [4, true])
  attempts.enter(from('10.0.0.1'))
  assert.deepEqual([attempts.standingOf(from('10.0.0.1')).isSlow, attempts.standingOf(from('10.0.0.1')).isTrusted], [true, false])
  assert.equal(attempts.standingOf(from('10.0.0.2')).isSlow, false)
  for (let count = 0; count < 6; count++) attempts.leave(from('10.0.0.1'))
  assert.deepEqual(attempts.standingOf(from('10.0.0.1')), { isTrusted: true, isSlow: false, pair: 0, connection: 0, name: 0 })
})

test('failures are forgotten one after the other, those of a flood within minutes', () => {
  const { attempts, clock, from, fail } = stage()
  fail(from('10.0.0.1'), 5)
  clock.ms += 10_000
  assert.equal(attempts.standingOf(from('10.0.0.1')).pair, 4)
  fail(from('10.0.0.1'), 100_000)
  clock.ms += 250_000
  assert.equal(attempts.standingOf(from('10.0.0.1')).isSlow, true)
  clock.ms += 50_000
  assert.deepEqual(attempts.standingOf(from('10.0.0.1')), { isTrusted: false, isSlow: false, pair: 0, connection: 0, name: 0 })
})

test('a clock that is set back makes nobody wait for longer than a flood would', () => {
  const { attempts, clock, from, fail } = stage()
  fail(from('10.0.0.1'), 5)
  clock.ms -= 365 * 86_400_000
  fail(from('10.0.0.1'), 1)
  clock.ms += 300_000
  assert.equal(attempts.standingOf(from('10.0.0.1')).isSlow, false)
})

test('where an account signed in rightly it is trusted, until guesses come from there', () => {
  const { attempts, from, fail } = stage()
  fail(from('10.0.0.1'), 3)
  attempts.recordSuccess(from('10.0.0.1'))
  assert.deepEqual(attempts.standingOf(from('10.0.0.1')), { isTrusted: true, isSlow: false, pair: 0, connection: 0, name: 3 })
  assert.equal(attempts.standingOf(from('10.0.0.2')).isTrusted, false)
  assert.equal(attempts.standingOf(from('10.0.0.1', 'bob')).isTrusted, false)
  fail(from('10.0.0.1'), 5)
  assert.equal(attempts.standingOf(from('10.0.0.1')).isTrusted, false)
})

test('whoever has an IPv6 network of 64 bits is one address', () => {
  const { attempts, from } = stage()
  for (const [one, other, isSame] of [
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', true],
    ['2001:db8:1:2::1', '2001:0db8:0001:0002:0:0:0:9', true],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['2001:db8::1', '2001:db8:0:0:5::', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['::1', '::2', true],
    ['fe80::1%eth0', 'fe80::2%eth1', true],
    ['64:ff9b::192.0.2.1', '64:ff9b::192.0.2.2', true],
    ['10.0.0.1', '10.0.0.2', false],
  ] as const) {
    assert.equal(
      attempts.attemptOf('a', { address: one }).network === attempts.attemptOf('a', { address: other }).network,
      isSame,
      `${one} ${other}`,
    )
  }
  assert.equal(from('10.0.0.1').network, '10.0.0.1')
})

test('however many fail, no more than some thousands are remembered, and of those the newest', () => {
  const { attempts, from, fail } = stage()
  fail(from('10.0.0.1'), 5)
  for (let index = 0; index < 5000; index++) fail(from(`172.16.${index >> 8}.${index & 255}`, `name${index}`), 1)
  assert.equal(attempts.standingOf(from('10.0.0.1')).pair, 0, 'the oldest is forgotten')
  assert.equal(attempts.standingOf(from('172.16.19.135', 'name4999')).pair, 1)
})

test('ten wrong codes may come in a row, then one in half a minute; who passed before is not kept out by others', () => {
  const { attempts, clock, from } = stage()
  const [own, attacker] = [from('10.0.0.1'), from('10.0.0.2')]
  attempts.recordRightCode(own)
  for (let count = 0; count < 10; count++) {
    assert.equal(attempts.codeDelayMs(attacker), 0)
    attempts.recordWrongCode(attacker)
  }
  assert.equal(attempts.codeDelayMs(attacker), 30_000)
  assert.equal(attempts.codeDelayMs(from('10.0.0.3')), 30_000, 'from wherever: the account is what is guarded')
  assert.equal(attempts.codeDelayMs(from('10.0.0.3', 'bob')), 0)
  assert.equal(attempts.codeDelayMs(own), 0)
  clock.ms += 29_999
  assert.equal(attempts.codeDelayMs(attacker), 1)
  clock.ms += 1
  assert.equal(attempts.codeDelayMs(attacker), 0)
})

test('who goes first: the trusted, then who is not slow, then by failures of pair, connection and name', () => {
  const plain: Standing = { isTrusted: false, isSlow: false, pair: 0, connection: 0, name: 0 }
  const inOrder: Standing[] = [
    { ...plain, isTrusted: true, isSlow: true, name: 30 },
    { ...plain },
    { ...plain, name: 30 },
    { ...plain, connection: 1 },
    { ...plain, pair: 1 },
    { ...plain, isSlow: true },
  ]
  for (const [index, standing] of inOrder.entries()) {
    assert.equal(compareStandings(standing, standing), 0)
    for (const later of inOrder.slice(index + 1)) assert.ok(compareStandings(standing, later) < 0 && compareStandings(later, standing) > 0)
  }
})
