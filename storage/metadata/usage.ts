/**
 * What repositories and namespaces take, from the rows that triggers keep (migrations/sqlite/0007-accounting.sql). Sizes are bytes.
 */
import type { Reader } from './schema.ts'

export interface UsageRow {
  /** That it links, each once. */
  readonly blobs: number
  readonly blob_bytes: number
  /** Those of them that no other repository links; of a namespace, none of another namespace. */
  readonly unique_blobs: number
  readonly unique_bytes: number
  readonly manifests: number
  readonly manifest_bytes: number
}

const columns = ['blobs', 'blob_bytes', 'unique_blobs', 'unique_bytes', 'manifests', 'manifest_bytes'] as const

const none: UsageRow = { blobs: 0, blob_bytes: 0, unique_blobs: 0, unique_bytes: 0, manifests: 0, manifest_bytes: 0 }

/** Nothing of one that is gone. */
export async function repositoryUsage(db: Reader, repositoryId: number): Promise<UsageRow> {
  return (await db.selectFrom('repository_usage').select(columns).where('repository_id', '=', repositoryId).executeTakeFirst()) ?? none
}

/** With what it has in the trash. */
export async function namespaceUsage(db: Reader, namespaceId: number): Promise<UsageRow> {
  return (await db.selectFrom('namespace_usage').select(columns).where('namespace_id', '=', namespaceId).executeTakeFirst()) ?? none
}

/** Bytes of all blobs, each as often as there are repositories that link it, those in the trash among them. */
export async function totalLinkedBytes(db: Reader): Promise<number> {
  const { bytes } = await db
    .selectFrom('repository_usage')
    .select((sum) => sum.fn.sum<number | null>('blob_bytes').as('bytes'))
    .executeTakeFirstOrThrow()
  return bytes ?? 0
}
