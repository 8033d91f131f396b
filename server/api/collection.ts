/**
 * Operations on the collector, for administrators: what waits for it, what it did, what it would do, and running it now.
 */
import { z } from 'zod'
import { Collector } from '../../registry/collect.ts'
import { describeCollection } from '../../registry/describe-collection.ts'
import { previewCollection } from '../../registry/preview-collection.ts'
import { isoTime, sizeBytes, time } from './fields.ts'
import { operation } from './operation.ts'
import { administration } from './right.ts'

/** How long one call collects; a client that waits longer would give up. */
const patienceMs = 20_000

const count = z.int().min(0)

const statusSchema = z
  .strictObject({
    queued: z
      .strictObject({ manifests: count, links: count, blobs: count })
      .meta({ description: 'What is to be looked at now, counted up to ten thousand of each.' }),
    lastRound: z
      .strictObject({ at: time, manifests: count, blobs: count, bytes: sizeBytes })
      .nullable()
      .meta({ description: 'The last round that removed something; null: none has.' }),
    blobs: count.meta({ description: 'Removed by all rounds.' }),
    bytes: sizeBytes.meta({ description: 'That the file system got back by all rounds.' }),
    leaseHours: z.number(),
    trashDays: z.number(),
    untaggedDays: count.meta({ description: 'Where the repository says nothing else; 0: untagged manifests are kept.' }),
  })
  .meta({ id: 'Collection' })

const outcomeSchema = z
  .strictObject({
    manifests: count,
    blobs: count,
    bytes: sizeBytes.meta({ description: 'That the file system got back; of a dry run the sizes of the blobs.' }),
    isComplete: z.boolean().meta({ description: 'Whether nothing is left that is due; otherwise call again.' }),
    isClockSet: z.boolean().meta({ description: 'The clock of the server is not as it was: nothing was collected.' }),
  })
  .meta({ id: 'CollectionOutcome' })

export const getCollection = operation({
  id: 'getCollection',
  method: 'GET',
  path: '/collection',
  tag: 'collection',
  summary: 'Say what waits for the collector, and what it removed',
  right: administration,
  answer: { status: 200, description: 'The state of the collection.', schema: statusSchema },
  handle: async ({ services: { registry } }) => {
    const { queued, row } = await describeCollection(registry)
    const { at_ms: atMs, manifests, blobs, bytes } = row
    const { leaseMs, trashMs, untaggedDays } = registry.rules
    return {
      body: {
        queued,
        lastRound: atMs === null ? null : { at: isoTime(atMs), manifests, blobs, bytes },
        blobs: row.all_blobs,
        bytes: row.all_bytes,
        leaseHours: leaseMs / 3_600_000,
        trashDays: trashMs / 86_400_000,
        untaggedDays,
      },
    }
  },
})

export const runCollection = operation({
  id: 'runCollection',
  method: 'POST',
  path: '/collection',
  tag: 'collection',
  summary: 'Collect now, or say what would be collected',
  description:
    'What is over its time goes, as it would by itself within seconds. With `untaggedDays` so do manifests that have been untagged for so long, in all repositories, whatever their rules say.',
  right: administration,
  body: z
    .strictObject({
      dryRun: z.boolean().optional().meta({ description: 'Change nothing, only say what would go.' }),
      untaggedDays: z.int().min(0).max(36_500).optional(),
    })
    .meta({ id: 'CollectionRun' }),
  answer: { status: 200, description: 'What went, or would go.', schema: outcomeSchema },
  example: { body: { dryRun: true } },
  deed: ({ body }) => ({ action: 'collect', target: '', detail: body && { ...body } }),
  handle: async ({ services: { registry, metrics }, body: { dryRun = false, untaggedDays } }) => {
    const sweep = untaggedDays === undefined ? undefined : { days: untaggedDays }
    if (dryRun) return { body: { ...(await previewCollection(registry, sweep)), isClockSet: false } }
    const monotonic = (): number => performance.now()
    const collector = await Collector.open({ registry, monotonic, startMs: 0, onStep: metrics.recordCollection })
    const { manifests, blobs, bytes, isComplete, objection } = await collector.round(AbortSignal.timeout(patienceMs), sweep)
    return { body: { manifests, blobs, bytes, isComplete, isClockSet: objection !== undefined } }
  },
})
