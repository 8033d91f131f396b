/** What is read with suspicion, and that a check is made once for many. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noteStart } from '../../registry/scrub-status.ts'
import { Suspects } from '../../registry/suspects.ts'
import { setServerState } from '../../storage/metadata/scrubs.ts'
import { openFloor, type Floor } from '../support/registry-floor.ts'

async function afterKill(floor: Floor): Promise<Suspects> {
  for (let starts = 0; starts < 2; starts++) await noteStart(floor.registry)
  const suspects = new Suspects()
  await suspects.refresh(floor.database.read)
  return suspects
}

test('nothing is suspect after a stop in order', async (t) => {
  const floor = await openFloor(t)
  await noteStart(floor.registry)
  const suspects = new Suspects()
  await suspects.refresh(floor.database.read)
  assert.deepEqual([suspects.isAnything, suspects.isSuspect('a', 0), suspects.isSuspect('a')], [false, false, false])
})

test('after another stop what was there before is, until it was found right, and what came later never', async (t) => {
  const floor = await openFloor(t)
  const suspects = await afterKill(floor)
  assert.deepEqual(
    [suspects.isAnything, suspects.isSuspect('a', floor.now()), suspects.isSuspect('a', floor.now() + 1)],
    [true, true, false],
  )
  suspects.noteSound('a')
  assert.deepEqual([suspects.isSuspect('a'), suspects.isSuspect('b')], [false, true])
  await floor.database.write((tx) => setServerState(tx, { unclean_at_ms: null }))
  await suspects.refresh(floor.database.read)
  assert.equal(suspects.isAnything, false)
})

test('who wants the same thing checked waits for the one who checks, and checks again only if that one failed', async (t) => {
  const suspects = await afterKill(await openFloor(t))
  const first = Promise.withResolvers<void>()
  let checks = 0
  const failing = suspects.once('a', async () => {
    checks++
    await first.promise
  })
  const others = [1, 2, 3].map(() =>
    suspects.once('a', async () => {
      checks++
      suspects.noteSound('a')
    }),
  )
  first.reject(new Error('the client left'))
  await assert.rejects(failing, /the client left/)
  await Promise.all(others)
  assert.equal(checks, 2)
})

test('what is remembered has a bound, and who is forgotten is checked again', async (t) => {
  const suspects = await afterKill(await openFloor(t))
  for (let count = 0; count <= 100_000; count++) suspects.noteSound(`blob ${count}`)
  assert.deepEqual([suspects.isSuspect('blob 0'), suspects.isSuspect('blob 1'), suspects.isSuspect('blob 100000')], [true, false, false])
})
