/** Rounds of the collector: their order, their end, what they tell, and that any doubt or error stops them. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { Collector, type CollectorParts } from '../../registry/collect.ts'
import { describeCollection } from '../../registry/describe-collection.ts'
import { openFloor, pushBlob, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000
const never = new AbortController().signal

/** A store with so many blobs that nobody needs, their leases over. */
async function abandoned(t: TestContext, blobs: number): Promise<Floor> {
  const floor = await openFloor(t, { leaseMs: hour })
  for (let index = 0; index < blobs; index++) await pushBlob(floor.registry, 'team/app', `blob ${index}`)
  floor.advance(hour)
  return floor
}

const open = ({ registry }: Floor, parts: Partial<CollectorParts> = {}) =>
  Collector.open({ registry, monotonic: registry.clock, startMs: 0, ...parts })

suite('a round', () => {
  test('goes on until nothing is due, and its sum is remembered and audited once', async (t) => {
    const floor = await abandoned(t, 3)
    const collector = await open(floor)
    const round = await collector.round(never)
    assert.deepEqual([round.manifests, round.blobs, round.isComplete], [0, 3, true])
    assert.ok(round.bytes > 0)
    const { queued, row } = await describeCollection(floor.registry)
    assert.deepEqual(queued, { manifests: 0, links: 0, blobs: 0 })
    assert.deepEqual([row.at_ms, row.blobs, row.bytes, row.all_blobs], [floor.now(), 3, round.bytes, 3])
    assert.equal((await collector.round(never)).blobs, 0)
    const events = await floor.database.read.selectFrom('audit_event').select(['actor', 'via', 'action', 'detail']).execute()
    const detail = JSON.stringify({ manifests: 0, blobs: 3, bytes: round.bytes })
    assert.deepEqual(events, [{ actor: null, via: 'system', action: 'collect', detail }])
  })

  test('tells of each step how long it took', async (t) => {
    const floor = await abandoned(t, 2)
    const steps: number[] = []
    await (await open(floor, { onStep: ({ seen }, tookMs) => void (tookMs > 0 && steps.push(seen)) })).round(never)
    assert.deepEqual(steps, [2, 2], 'two links, two blobs')
  })

  test('ends between two steps when it is told to', async (t) => {
    const floor = await abandoned(t, 2)
    const ending = new AbortController()
    const collector = await open(floor, { onStep: () => ending.abort() })
    assert.deepEqual(await collector.round(ending.signal), { manifests: 0, blobs: 0, bytes: 0, isComplete: false })
    assert.equal((await (await open(floor)).round(never)).blobs, 2)
  })

  test('ends with the first error; what went before is told all the same, and the next round goes on', async (t) => {
    const floor = await abandoned(t, 2)
    let taken = 0
    const onTaken = async () => {
      if (++taken === 2) throw new Error('broken')
    }
    await assert.rejects((await open(floor, { hooks: { onTaken } })).round(never), /broken/)
    assert.equal((await floor.database.read.selectFrom('blob').select('digest').execute()).length, 2, 'nothing is half done')
    assert.equal((await (await open(floor)).round(never)).blobs, 2)
  })

  test('does nothing in the first minutes, nor for a lease after the clock was set', async (t) => {
    const floor = await abandoned(t, 1)
    let monotonicMs = 0
    const parts = { monotonic: () => monotonicMs, startMs: 60_000 }
    const collector = await open(floor, parts)
    const objectionAt = async (ms: number) => {
      monotonicMs += ms
      floor.advance(ms)
      return (await collector.round(never)).objection
    }
    assert.equal(await objectionAt(0), 'started')
    assert.equal(await objectionAt(59_999), 'started')
    floor.advance(365 * 24 * hour)
    assert.equal(await objectionAt(1), 'clockSet')
    assert.equal(await objectionAt(hour - 1), 'clockSet')
    assert.equal(await objectionAt(1), undefined)
    assert.equal((await floor.database.read.selectFrom('blob').select('digest').execute()).length, 0)
  })

  test('does nothing when the clock is behind what an earlier collector saw, until a lease has passed', async (t) => {
    const floor = await abandoned(t, 1)
    await (await open(floor)).round(never)
    floor.advance(-2 * hour)
    await pushBlob(floor.registry, 'team/app', 'another')
    const collector = await open(floor)
    assert.equal((await collector.round(never)).objection, 'clockSet')
    floor.advance(hour)
    assert.equal((await collector.round(never)).blobs, 1)
    assert.equal((await (await open(floor)).round(never)).objection, undefined, 'the time as it is now is the one to trust')
  })
})
