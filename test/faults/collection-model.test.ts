/**
 * Clients that push, mount, tag, list, refer, delete and restore, beside two collectors that never rest, with leases of a minute on a clock
 * that runs fast; and a model that knows what must be there (fault F12). 15 seconds; `COLLECT_SECONDS` for more, `SEED` for others.
 */
import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { test } from 'node:test'
import { updateRepository } from '../../registry/change-repository.ts'
import { Collector } from '../../registry/collect.ts'
import { repositoryName } from '../support/metadata-rows.ts'
import { openFloor, type Floor } from '../support/registry-floor.ts'
import { CollectionClient, type ClientCounts } from './collection-client.ts'
import { leaseMs, ModelRepository, trashMs } from './collection-world.ts'
import { Random } from './random.ts'
import { collectedFilesIn, blobFilesIn } from './stored-files.ts'

const seconds = Number(process.env['COLLECT_SECONDS'] ?? 15)
const seed = Number(process.env['SEED'] ?? 20_261)
const day = 86_400_000

test(`beside collectors that never rest nothing is missing that must be there (seed ${seed})`, async (t) => {
  const floor = await openFloor(t, { leaseMs, trashMs })
  const repositories = ['team/kept', 'team/ruled', 'other/kept'].map(
    (name) => new ModelRepository(name, { isRuled: name === 'team/ruled' }),
  )
  const clients = repositories.map(
    (_, index) => new CollectionClient(floor.another(`client ${index}`), { repositories, random: new Random(seed + index) }),
  )
  for (const { name, isRuled } of repositories) {
    await clients[0]?.begin(name)
    if (isRuled) await updateRepository(floor.registry, repositoryName(name), { untagged_days: 1 })
  }
  const ending = new AbortController()
  const collectors = [floor.another('collector 1'), floor.another('collector 2')].map((each) => collectUntil(each, ending.signal))
  const time = passTime(floor, { signal: ending.signal, random: new Random(seed + 100) })
  const endMs = performance.now() + seconds * 1000
  const outcomes = await Promise.allSettled(clients.map((client) => client.work(() => performance.now() < endMs)))
  ending.abort()
  const collected = await Promise.all(collectors)
  await time
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  const sum = clients.map(({ counts }) => counts).reduce(add)
  t.diagnostic(JSON.stringify({ ...sum, collected: collected.reduce((all, each) => all + each, 0) }))
  assert.ok(sum.pushed > 20 && sum.checked > 50 && collected.some((blobs) => blobs > 0), 'something happened')
  await assertEnd(floor, repositories)
})

/** Rounds without a pause. @returns how many blobs went */
async function collectUntil({ registry }: Floor, signal: AbortSignal): Promise<number> {
  const collector = await Collector.open({ registry, monotonic: registry.clock, startMs: 0 })
  let blobs = 0
  while (!signal.aborted) {
    blobs += (await collector.round(signal)).blobs
    await nextTurn()
  }
  return blobs
}

/** Some seconds for each turn of the event loop or so, and at times half a day. */
async function passTime({ advance }: Floor, { signal, random }: { signal: AbortSignal; random: Random }): Promise<void> {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    advance(random.chance(0.01) ? day / 2 : random.below(3000))
  }
}

/** When all windows are over, exactly what tags and rules hold is left, in rows and in files. */
async function assertEnd(floor: Floor, repositories: readonly ModelRepository[]): Promise<void> {
  const checker = new CollectionClient(floor, { repositories, random: new Random(1) })
  for (const repository of repositories) await checker.forgetWhatIsGone(repository)
  floor.advance(10 * day)
  const collector = await Collector.open({ registry: floor.registry, monotonic: floor.registry.clock, startMs: 0 })
  for (let isOver = false; !isOver;) {
    const { isComplete, manifests, blobs } = await collector.round(new AbortController().signal)
    isOver = isComplete && manifests + blobs === 0
  }
  const needed = new Set<string>()
  for (const repository of repositories) {
    const expected = repository.heldAt(floor.now())
    const rows = await floor.database.read
      .selectFrom('manifest')
      .innerJoin('repository', 'repository.id', 'manifest.repository_id')
      .select('manifest.digest')
      .where('repository.name', '=', repository.name)
      .execute()
    assert.deepEqual(rows.map(({ digest }) => digest).toSorted(), expected.map(({ digest }) => digest).toSorted(), repository.name)
    for (const { blobs } of expected) for (const digest of blobs) needed.add(digest)
    for (const manifest of expected) await checker.checkManifest(repository, manifest)
  }
  const rows = await floor.database.read.selectFrom('blob').select('digest').execute()
  assert.deepEqual(rows.map(({ digest }) => digest).toSorted(), [...needed].toSorted())
  assert.deepEqual(blobFilesIn(floor.layout), [...needed].map((digest) => digest.split(':')[1] ?? '').toSorted())
  assert.deepEqual(collectedFilesIn(floor.layout), [])
}

function add(a: ClientCounts, b: ClientCounts): ClientCounts {
  const entries = Object.entries(a) as [keyof ClientCounts, number][]
  return Object.fromEntries(entries.map(([key, value]) => [key, value + b[key]])) as unknown as ClientCounts
}
