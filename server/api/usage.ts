/**
 * What a repository or a namespace takes, as the API says it.
 *
 * Invariant: only who may learn of every repository is told what of it others hold too. Who pushes a single blob would see by that whether
 * anybody has it, in repositories of which they must not even know.
 */
import { z } from 'zod'
import type { Caller } from '../../auth/identity.ts'
import type { UsageRow } from '../../storage/metadata/usage.ts'
import type { Services } from '../services.ts'
import { sizeBytes } from './fields.ts'

const count = z.int().min(0)

export const usageSchema = z
  .strictObject({
    bytes: sizeBytes.meta({ description: 'What it would take alone: its blobs, each once, and its manifests.' }),
    blobs: count,
    manifests: count,
    manifestBytes: sizeBytes.meta({ description: 'Of its manifests; they lie in the database.' }),
    sharing: z
      .strictObject({
        uniqueBlobs: count,
        uniqueBytes: sizeBytes.meta({ description: 'Of the blobs that nobody else has: what the disk gets back when it is deleted.' }),
        sharedBytes: sizeBytes.meta({ description: 'Of the blobs that others, or the trash, have too.' }),
      })
      .nullable()
      .meta({ description: 'null for those who are no administrators: it tells what others hold.' }),
  })
  .meta({ id: 'Usage', description: 'What it takes now. A namespace has in it what is in its trash, too.' })

export type Usage = z.output<typeof usageSchema>

/** What the caller may know of it. An open registry, as which commands on the data folder see theirs, hides no repository from anyone. */
export async function describeUsage({ rights, policy }: Services, { identity }: Caller, usage: UsageRow): Promise<Usage> {
  const { blobs, blob_bytes: blobBytes, unique_blobs: uniqueBlobs, unique_bytes: uniqueBytes, manifests } = usage
  const isTold = policy.isOpen || (await rights.isAllowed(identity, { kind: 'administration' }))
  return {
    bytes: blobBytes + usage.manifest_bytes,
    blobs,
    manifests,
    manifestBytes: usage.manifest_bytes,
    sharing: isTold ? { uniqueBlobs, uniqueBytes, sharedBytes: blobBytes - uniqueBytes } : null,
  }
}
