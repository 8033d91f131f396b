/**
 * Micro-benchmarks: how pieces are repeated and what is made of it, and that each real piece does its work.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { measureGroup } from '../../bench/micro.ts'
import type { PieceGroup } from '../../bench/piece.ts'
import { purePieces } from '../../bench/pieces/pure.ts'
import { rightsPieces } from '../../bench/pieces/rights.ts'
import { storePieces } from '../../bench/pieces/store.ts'
import { median, summarize, summarizeDurations } from '../../bench/summary.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const quiet = (): void => undefined
const rounds = { count: 3, milliseconds: 2 }

test('a piece is repeated so often that a round lasts; its cost is that of one time, however many it does at once', async () => {
  let nowMs = 0
  const calls = { quick: 0, several: 0, slow: 0, itself: 0 }
  /** Takes so many milliseconds. */
  const taking = (ms: number, name: keyof typeof calls): void => {
    nowMs += ms
    calls[name]++
  }
  const group: PieceGroup = {
    title: 'group',
    pieces: [
      { title: 'quick', run: () => taking(0.125, 'quick') },
      { title: 'several', run: async () => taking(0.5, 'several'), times: 1000 },
      { title: 'slow', run: () => taking(70, 'slow') },
      { title: 'itself', run: () => assert.fail('not called'), measure: async () => ++calls.itself },
    ],
  }
  const results = await measureGroup(group, { count: 3, milliseconds: 10, clock: () => nowMs }, quiet)
  const always = (nanoseconds: number) => ({ median: nanoseconds, min: nanoseconds, max: nanoseconds })
  assert.deepEqual(results, [
    { group: 'group', title: 'quick', nanoseconds: always(125_000) },
    { group: 'group', title: 'several', nanoseconds: always(500) },
    { group: 'group', title: 'slow', nanoseconds: always(70e6) },
    { group: 'group', title: 'itself', nanoseconds: { median: 2e9, min: 1e9, max: 3e9 } },
  ])
  // Three rounds of 80, 20 and 1 calls, after one call and two tries each with 1, 2, 4 and so on.
  assert.deepEqual(calls, { quick: 3 * 80 + 1 + 2 * 127, several: 3 * 20 + 1 + 2 * 31, slow: 3 + 1 + 2, itself: 3 })
})

test('a piece that fails fails the measurement', async () => {
  const failing = (run: () => unknown): PieceGroup => ({ title: 'group', pieces: [{ title: 'failing', run }] })
  await assert.rejects(
    measureGroup(
      failing(() => assert.fail('at once')),
      rounds,
      quiet,
    ),
    /at once/,
  )
  await assert.rejects(
    measureGroup(
      failing(async () => assert.fail('later')),
      rounds,
      quiet,
    ),
    /later/,
  )
})

suite('each piece does what its title says', () => {
  test('without a disk: every piece answers, and none is refused', async (t) => {
    const { pieces } = await purePieces(temporaryFolder(t))
    assert.ok(pieces.length >= 15)
    for (const { title, run } of pieces) {
      const answer = await run()
      assert.ok(answer !== false && answer !== null, title)
    }
  })

  test('rows: every look-up finds its row, and commits last', async (t) => {
    const group = await storePieces(temporaryFolder(t))
    t.after(() => group.close?.())
    const lookUps = group.pieces.filter(({ title }) => !title.startsWith('commit'))
    assert.ok(lookUps.length >= 6 && group.pieces.length > lookUps.length)
    for (const { title, run } of lookUps) assert.ok(await run(), title)
    for (const { run } of group.pieces) await run()
  })
})

test('rights: every look-up finds what it looks for', async (t) => {
  const group = await rightsPieces(temporaryFolder(t), { accounts: 5, teams: 3, namespaces: 6, repositories: 12, grants: 20 })
  t.after(() => group.close?.())
  assert.ok(group.pieces.length >= 4)
  for (const { title, run } of group.pieces) assert.ok(await run(), title)
})

test('the median of an even number of values is between the two in the middle', () => {
  assert.equal(median([9, 1, 2, 3]), 2.5)
  assert.equal(median([3, 1, 2]), 2)
  assert.throws(() => median([]), /no median of nothing/)
  assert.deepEqual(summarize([5, 1, 4]), { median: 4, min: 1, max: 5 })
})

test('requests one after the other: their rate follows from the time of all, percentiles from each', () => {
  const durations = Array.from({ length: 200 }, (_, index) => index + 1)
  const totalMs = (200 * 201) / 2
  assert.deepEqual(summarizeDurations(durations), { value: (200 * 1000) / totalMs, operations: 200, p50Ms: 100.5, p99Ms: 198 })
  assert.deepEqual(summarizeDurations([4]), { value: 250, operations: 1, p50Ms: 4, p99Ms: 4 })
})
