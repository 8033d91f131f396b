/**
 * The scrub, for administrators: what was found damaged, how far reading everything has come, and beginning it.
 */
import { z } from 'zod'
import { getScrubStatus, requestScrub, type ScrubStatus } from '../../registry/scrub-status.ts'
import type { ScrubRunRow } from '../../storage/metadata/scrubs.ts'
import type { Services } from '../services.ts'
import { digestText, isoTime, sizeBytes, time } from './fields.ts'
import { operation } from './operation.ts'
import { administration } from './right.ts'

const count = z.int().min(0)

const runSchema = z
  .strictObject({
    startedAt: time.meta({ description: 'When it was due or asked for.' }),
    finishedAt: time.nullable().meta({ description: 'null: it is under way, or waits for the server to begin.' }),
    phase: z.enum(['blobs', 'manifests', 'files']).meta({ description: 'What it reads, in this order.' }),
    blobs: count.meta({ description: 'That were read.' }),
    manifests: count.meta({ description: 'That were read.' }),
    bytes: sizeBytes.meta({ description: 'That were read.' }),
    found: count.meta({ description: 'Blobs and manifests that it found damaged.' }),
    orphans: count.meta({ description: 'Files that no row named, older than a day, that it removed.' }),
    orphanBytes: sizeBytes.meta({ description: 'That the file system got back from them.' }),
  })
  .meta({ id: 'ScrubRun' })

const statusSchema = z
  .strictObject({
    running: runSchema.nullable(),
    last: runSchema.nullable().meta({ description: 'The last that came to its end.' }),
    nextAt: time.nullable().meta({ description: 'When the next one begins by itself; null: never, or at once.' }),
    uncheckedSince: time.nullable().meta({
      description:
        'The last start that found that the server had not ended in order: what is older is checked when it is first pulled. null: everything has been read since.',
    }),
    damagedBlobs: z
      .array(
        z.strictObject({
          digest: digestText,
          sizeBytes,
          foundAt: time,
          fault: z.enum(['missing', 'size', 'content', 'unreadable']).meta({
            description: 'The file is not there, has another size or other bytes, or the disk cannot read it.',
          }),
          repositories: z.array(z.string()).meta({ description: 'Where it belongs: up to ten.' }),
        }),
      )
      .meta({ description: 'The first hundred. Each is whole again when it is pushed again.' }),
    damagedManifests: z
      .array(z.strictObject({ repository: z.string(), digest: digestText, sizeBytes }))
      .meta({ description: 'The first hundred, likewise.' }),
  })
  .meta({ id: 'ScrubStatus' })

type ScrubReport = z.output<typeof statusSchema>

export const getScrub = operation({
  id: 'getScrub',
  method: 'GET',
  path: '/scrub',
  tag: 'scrub',
  summary: 'See what is damaged, and how far the scrub has come',
  right: administration,
  answer: { status: 200, description: 'The scrub under way, the last one, and what is damaged.', schema: statusSchema },
  handle: async ({ services }) => ({ body: await report(services) }),
})

export const startScrub = operation({
  id: 'startScrub',
  method: 'POST',
  path: '/scrub',
  tag: 'scrub',
  summary: 'Read everything that is stored, to find damage',
  description: 'It begins within a second and goes on beside everything else. One that is under way goes on; a second does not begin.',
  right: administration,
  answer: { status: 200, description: 'As getScrub.', schema: statusSchema },
  deed: () => ({ action: 'scrub', target: '' }),
  handle: async ({ services }) => {
    await requestScrub(services.registry)
    return { body: await report(services) }
  },
})

async function report({ registry, settings }: Services): Promise<ScrubReport> {
  return describe(await getScrubStatus(registry, settings.scrub.everyDays))
}

function describe({ open, finished, nextAtMs, uncleanAtMs, blobs, manifests }: ScrubStatus): ScrubReport {
  return {
    running: open ? describeRun(open) : null,
    last: finished ? describeRun(finished) : null,
    nextAt: nextAtMs === undefined ? null : isoTime(nextAtMs),
    uncheckedSince: uncleanAtMs === null ? null : isoTime(uncleanAtMs),
    damagedBlobs: blobs.map(({ digest, size_bytes, found_at_ms, fault, repositories }) => ({
      digest,
      sizeBytes: size_bytes,
      foundAt: isoTime(found_at_ms),
      fault,
      repositories: [...repositories],
    })),
    damagedManifests: manifests.map(({ repository, digest, size_bytes }) => ({ repository, digest, sizeBytes: size_bytes })),
  }
}

function describeRun(run: ScrubRunRow) {
  return {
    startedAt: isoTime(run.started_at_ms),
    finishedAt: run.finished_at_ms === null ? null : isoTime(run.finished_at_ms),
    phase: run.phase,
    blobs: run.blobs,
    manifests: run.manifests,
    bytes: run.bytes,
    found: run.found,
    orphans: run.orphans,
    orphanBytes: run.orphan_bytes,
  }
}
