/**
 * Random graphs of what repositories hold (images, nested indexes, referrers, shared blobs, tags past and present, things deleted), collected
 * and held against a model of what must be left (fault F13). 2,000 graphs; `GRAPHS=10000` for more, `SEED` for others.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../oci/digest.ts'
import { Collector } from '../../registry/collect.ts'
import { restoreFromTrash } from '../../registry/trash.ts'
import { previewCollection } from '../../registry/preview-collection.ts'
import { linkBlob, putBlob } from '../../storage/metadata/blobs.ts'
import { putManifest } from '../../storage/metadata/manifests.ts'
import { ensureRepository } from '../../storage/metadata/repositories.ts'
import type { Writer } from '../../storage/metadata/schema.ts'
import { endTag, endTagsOf, setTag } from '../../storage/metadata/tags.ts'
import { trashManifest } from '../../storage/metadata/trash.ts'
import { repositoryName, sha256Of, tagOf } from '../support/metadata-rows.ts'
import { openFloor, type Floor } from '../support/registry-floor.ts'
import { Random } from './random.ts'

const graphs = Number(process.env['GRAPHS'] ?? 2000)
const seed = Number(process.env['SEED'] ?? 20_261)
const atOnce = 100
const day = 86_400_000
/** Untagged manifests go after three days, the trash after two, leases are over at once. */
const rules = { untaggedDays: 3, trashMs: 2 * day, leaseMs: 0 }

interface Node {
  readonly digest: Digest
  readonly blobs: readonly string[]
  readonly lists: readonly Digest[]
  readonly subject: Digest | null
  readonly pushedMs: number
  isTagged: boolean
  tagEndedMs: number | undefined
  /** undefined: it is not in the trash. */
  deletedMs: number | undefined
}

interface Graph {
  readonly name: string
  readonly repositoryId: number
  readonly nodes: Node[]
}

test(`of ${graphs} random graphs exactly what must be there is left (seed ${seed})`, async (t) => {
  const floor = await openFloor(t, rules)
  const random = new Random(seed)
  let manifests = 0
  for (let done = 0; done < graphs; done += atOnce) {
    const batch: Graph[] = []
    await floor.database.writeRelaxed(async (tx) => {
      for (let index = 0; index < Math.min(atOnce, graphs - done); index++)
        batch.push(await makeGraph(tx, { floor, random, number: done + index }))
    })
    const told = await previewCollection(floor.registry)
    const before = await countBlobs(floor)
    const collector = await Collector.open({ registry: floor.registry, monotonic: floor.registry.clock, startMs: 0 })
    const round = await collector.round(new AbortController().signal)
    assert.ok(round.isComplete)
    assert.deepEqual([told.manifests, told.blobs], [round.manifests, round.blobs], 'the preview said what went')
    assert.equal(before - (await countBlobs(floor)), round.blobs)
    const left = await assertLeft(floor, batch)
    manifests += left
    await assertBlobs(floor)
    await restoreSome(floor, batch, random)
    await floor.database.writeRelaxed((tx) => tx.deleteFrom('repository').execute())
  }
  t.diagnostic(`${manifests} manifests were left`)
  assert.ok(manifests > graphs / 2, 'not everything went')
})

async function makeGraph(tx: Writer, { floor, random, number }: { floor: Floor; random: Random; number: number }): Promise<Graph> {
  const nowMs = floor.now()
  const name = `team/app-${number}`
  const repositoryId = await ensureRepository(tx, { name: repositoryName(name), visibility: 'private', nowMs: 1 })
  const graph: Graph = { name, repositoryId, nodes: [] }
  const count = 1 + random.below(9)
  for (let index = 0; index < count; index++) graph.nodes.push(await addNode(tx, { graph, random, text: `${number}/${index}`, nowMs }))
  for (const node of graph.nodes) await addTags(tx, { graph, node, random, nowMs })
  for (const node of graph.nodes) if (random.chance(0.2)) await throwAway(tx, { graph, node, random, nowMs })
  return graph
}

interface Making {
  readonly graph: Graph
  readonly random: Random
  readonly nowMs: number
}

async function addNode(tx: Writer, { graph, random, text, nowMs }: Making & { text: string }): Promise<Node> {
  const { nodes, repositoryId } = graph
  const digest = sha256Of(text)
  const blobs = Array.from({ length: random.below(4) }, () => `blob ${random.below(12)} of ${Math.floor(Number(text.split('/')[0]) / 4)}`)
  const lists = nodes.filter(() => random.chance(0.25)).map((node) => node.digest)
  const subject = random.chance(0.25) ? (nodes.length > 0 && random.chance(0.8) ? random.pick(nodes).digest : sha256Of('not here')) : null
  const pushedMs = nowMs - random.pick([0, 2, 4, 10]) * day
  for (const content of blobs) {
    await putBlob(tx, { digest: sha256Of(content), sizeBytes: 1, nowMs: 1 })
    await linkBlob(tx, { repositoryId, digest: sha256Of(content), nowMs: 1 })
  }
  const row = { repository_id: repositoryId, digest, media_type: 'a/b', artifact_type: null, size_bytes: 1, subject_digest: subject }
  await putManifest(tx, { ...row, annotations: null, pushed_by: null, pushed_at_ms: pushedMs, content: Buffer.from(text) }, [
    ...new Map(blobs.map((content) => [content, { digest: sha256Of(content), role: 'layer' as const }])).values(),
    ...lists.map((each) => ({ digest: each, role: 'manifest' as const })),
  ])
  return { digest, blobs, lists, subject, pushedMs, isTagged: false, tagEndedMs: undefined, deletedMs: undefined }
}

async function addTags(tx: Writer, { graph, node, random, nowMs }: Making & { node: Node }): Promise<void> {
  const { repositoryId, nodes } = graph
  const tag = tagOf(`t${nodes.indexOf(node)}`)
  if (random.chance(0.5)) return
  await setTag(tx, { repositoryId, tag, digest: node.digest, nowMs: node.pushedMs, by: null })
  node.isTagged = random.chance(0.5)
  if (node.isTagged) return
  node.tagEndedMs = Math.max(node.pushedMs, nowMs - random.pick([0, 1, 5, 9]) * day)
  await endTag(tx, { repositoryId, tag, nowMs: node.tagEndedMs, by: null })
}

async function throwAway(tx: Writer, { graph, node, random, nowMs }: Making & { node: Node }): Promise<void> {
  const { name, repositoryId } = graph
  node.deletedMs = nowMs - random.pick([0, 1, 2, 3]) * day
  const at = { repositoryId, digest: node.digest, nowMs: node.deletedMs, by: null }
  await endTagsOf(tx, at)
  await trashManifest(tx, { ...at, repository: repositoryName(name), tags: [] })
}

/** The model: takes away what nothing holds, until that is nothing any more. */
function expectedOf({ nodes }: Graph, nowMs: number): Node[] {
  const inTrash = nodes.filter(({ deletedMs }) => deletedMs !== undefined && deletedMs > nowMs - rules.trashMs)
  let left = nodes.filter(({ deletedMs }) => deletedMs === undefined)
  for (;;) {
    const holders = [...left, ...inTrash]
    const isHeld = ({ digest, subject, isTagged, pushedMs, tagEndedMs }: Node): boolean =>
      isTagged ||
      holders.some((other) => other.lists.includes(digest) || other.digest === subject) ||
      pushedMs > nowMs - rules.untaggedDays * day ||
      (tagEndedMs !== undefined && tagEndedMs > nowMs - rules.untaggedDays * day)
    const held = left.filter(isHeld)
    if (held.length === left.length) return held
    left = held
  }
}

async function assertLeft(floor: Floor, batch: readonly Graph[]): Promise<number> {
  let sum = 0
  for (const graph of batch) {
    const rows = await floor.database.read.selectFrom('manifest').select('digest').where('repository_id', '=', graph.repositoryId).execute()
    const expected = expectedOf(graph, floor.now()).map(({ digest }) => digest)
    assert.deepEqual(rows.map(({ digest }) => digest).toSorted(), expected.toSorted(), `${graph.name}: ${JSON.stringify(graph.nodes)}`)
    sum += expected.length
  }
  return sum
}

/** Exactly the blobs that a manifest references are there, those of the trash among them, each linked where it is referenced. */
async function assertBlobs({ database }: Floor): Promise<void> {
  const needed = await database.read.selectFrom('reference').select(['repository_id', 'digest']).where('role', '=', 'layer').execute()
  const links = await database.read.selectFrom('blob_link').select(['repository_id', 'digest']).execute()
  const blobs = await database.read.selectFrom('blob').select('digest').execute()
  const keys = (rows: readonly { repository_id: number; digest: string }[]) =>
    [...new Set(rows.map((row) => `${row.repository_id} ${row.digest}`))].toSorted()
  assert.deepEqual(keys(links), keys(needed))
  assert.deepEqual(blobs.map(({ digest }) => digest).toSorted(), [...new Set(needed.map(({ digest }) => digest))].toSorted())
}

/** What is in the trash and lists nothing that is deleted comes back complete. */
async function restoreSome({ registry, database, now }: Floor, batch: readonly Graph[], random: Random): Promise<void> {
  for (const { repositoryId, nodes } of batch) {
    const restorable = nodes.filter(({ deletedMs }) => deletedMs !== undefined && deletedMs > now() - rules.trashMs)
    if (restorable.length === 0 || random.chance(0.5)) continue
    // In the order in which they were pushed, so that what is listed is there before what lists it.
    for (const { digest, blobs } of restorable) {
      const { id } = await database.read
        .selectFrom('trash_item')
        .select('id')
        .where('repository_id', '=', repositoryId)
        .where('digest', '=', digest)
        .executeTakeFirstOrThrow()
      const outcome = await restoreFromTrash(registry, { id, by: null }).then(
        () => 'restored',
        (error: { reason?: string }) => error.reason,
      )
      // Only what lists something that is gone for good stays.
      if (outcome !== 'restored') {
        assert.equal(outcome, 'restoreBlocked')
        continue
      }
      const links = await database.read.selectFrom('blob_link').select('digest').where('repository_id', '=', repositoryId).execute()
      for (const content of blobs)
        assert.ok(
          links.some((link) => link.digest === sha256Of(content)),
          `${content} is back`,
        )
    }
  }
}

async function countBlobs({ database }: Floor): Promise<number> {
  return (await database.read.selectFrom('blob_total').select('blobs').executeTakeFirstOrThrow()).blobs
}
