/** Whether the clock can be trusted: after a start, when it was set, and when it is behind what an earlier collector saw (fault F19). */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { CollectionClock } from '../../registry/collection-clock.ts'

const minute = 60_000
const day = 24 * 60 * minute

function clocks({ seenMs = 0, startMs = 0 }: { seenMs?: number; startMs?: number } = {}) {
  const times = { wall: 100 * day, monotonic: 5 }
  const clock = new CollectionClock({ clock: () => times.wall, monotonic: () => times.monotonic, leaseMs: day, seenMs, startMs })
  const pass = (ms: number): void => {
    times.wall += ms
    times.monotonic += ms
  }
  return { times, pass, objection: () => clock.objection() }
}

suite('the clock of a collector', () => {
  test('is trusted while both clocks go alike, and when a time server moves it a little', () => {
    const { times, pass, objection } = clocks()
    assert.equal(objection(), undefined)
    pass(10 * day)
    assert.equal(objection(), undefined)
    for (const ms of [59_000, -59_000]) {
      times.wall += ms
      assert.equal(objection(), undefined)
    }
  })

  for (const [title, jump] of [
    ['forward a year', 365 * day],
    ['back a day', -day],
    ['forward two minutes', 2 * minute],
  ] as const) {
    test(`is not, for a lease's time, when it was set ${title}`, () => {
      const { times, pass, objection } = clocks()
      times.wall += jump
      assert.equal(objection(), 'clockSet')
      pass(day - 1)
      assert.equal(objection(), 'clockSet')
      pass(1)
      assert.equal(objection(), undefined)
    })
  }

  test('is not when an earlier collector has seen a later time', () => {
    const { pass, objection } = clocks({ seenMs: 101 * day })
    assert.equal(objection(), 'clockSet')
    pass(day)
    assert.equal(objection(), undefined)
    assert.equal(clocks({ seenMs: 100 * day + minute }).objection(), undefined)
  })

  test('waits for the first minutes after a start', () => {
    const { pass, objection } = clocks({ startMs: 5 * minute })
    assert.equal(objection(), 'started')
    pass(5 * minute)
    assert.equal(objection(), undefined)
  })
})
