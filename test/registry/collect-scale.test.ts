/**
 * The collector on a large store: a step holds the lock for as short as on a small one, and looks at nothing twice.
 *
 * 20,000 blobs by default; `BLOBS=1000000` is the size that is promised.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { reviewBlobs, reviewLinks } from '../../registry/collect-blobs.ts'
import { addManifest, addRepository } from '../support/metadata-rows.ts'
import { openFloor, withWrites } from '../support/registry-floor.ts'

const blobs = Number(process.env['BLOBS'] ?? 20_000)
/** Of those nothing needs these. */
const abandoned = 2_000

test(`with ${blobs} blobs steps hold the lock for less than 20 ms, and each entry is looked at once`, async (t) => {
  const floor = await openFloor(t, { leaseMs: 1000 })
  const { database } = floor
  const repositoryId = await addRepository(database, 'team/app')
  await addManifest(database, repositoryId, { text: 'an image of very many layers' })
  await database.write(async (tx) => {
    await sql`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${blobs})
      insert into blob select 'sha256:' || printf('%064x', i * 2654435761), 1, 1, 1 from n`.execute(tx)
    await sql`insert into blob_link select repository.id, digest, 1, namespace_id from blob, repository`.execute(tx)
    await sql`insert into reference select ${repositoryId}, manifest.digest, blob.digest, 'layer' from blob, manifest
      where blob.digest not in (select digest from blob order by digest limit ${abandoned})`.execute(tx)
  })
  const heldMs: number[] = []
  const timed = withWrites(database, {
    write: (work) =>
      database.write(async (tx) => {
        const startedMs = performance.now()
        const result = await work(tx)
        heldMs.push(performance.now() - startedMs)
        return result
      }),
  })
  const registry = { ...floor.registry, database: timed }
  const seen = { links: 0, blobs: 0 }
  for (let step; (step = await reviewLinks(registry)).seen > 0;) seen.links += step.seen
  for (let step; (step = await reviewBlobs(registry)).seen > 0;) seen.blobs += step.seen
  assert.deepEqual(seen, { links: blobs, blobs: abandoned })
  const sorted = heldMs.toSorted((a, b) => a - b)
  // Beside other tests a process waits for its turn; measured by itself nearly all must be short.
  const most = process.env['BLOBS'] === undefined ? 0.9 : 0.99
  const [median = 0, nearlyAll = 0] = [0.5, most].map((part) => sorted[Math.floor(sorted.length * part)])
  t.diagnostic(
    `${heldMs.length} steps, median ${median.toFixed(1)} ms, ${most * 100} % below ${nearlyAll.toFixed(1)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms`,
  )
  assert.ok(nearlyAll < 20, `${nearlyAll} ms`)
  const left = await sql<{ links: number; blobs: number; rows: number }>`select (select count(*) from link_review) as links,
    (select count(*) from blob_review) as blobs, (select count(*) from blob) as rows`.execute(database.read)
  assert.deepEqual(left.rows, [{ links: 0, blobs: 0, rows: blobs - abandoned }])
})
