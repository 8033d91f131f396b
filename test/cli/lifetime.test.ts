/** Times on a command line: minutes, hours and days, and no mistake in between. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDuration, parseLifetime } from '../../cli/lifetime.ts'
import { CommandError } from '../../cli/terminal.ts'

const right: readonly (readonly [string, number])[] = [
  ['1m', 60_000],
  ['30m', 1_800_000],
  ['12h', 43_200_000],
  ['90d', 7_776_000_000],
  ['36500d', 3_153_600_000_000],
]

for (const [text, ms] of right) {
  test(`${text} is ${ms} ms`, () => {
    assert.equal(parseDuration(text), ms)
    assert.equal(parseLifetime(text), ms)
  })
}

test('never is no time, and nothing is a duration but no lifetime', () => {
  assert.equal(parseLifetime('never'), undefined)
  assert.equal(parseDuration('0m'), 0)
  assert.throws(() => parseLifetime('0d'), new CommandError('a lifetime is more than nothing'))
})

for (const text of [
  '',
  '90',
  'd',
  '-1d',
  '1.5h',
  '1w',
  '1D',
  ' 1d',
  '1d ',
  '1 d',
  '36501d',
  '9999999999m',
  'forever',
  '1e3d',
  'constructor',
]) {
  test(`${JSON.stringify(text)} is no time`, () => {
    for (const parse of [parseDuration, parseLifetime])
      assert.throws(() => parse(text), new CommandError(`a time is minutes, hours or days, such as 30m, 12h or 90d, not "${text}"`))
  })
}

test('never is no duration', () => assert.throws(() => parseDuration('never'), CommandError))
