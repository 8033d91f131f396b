/**
 * Rows of blobs and of their links to repositories. A blob's row exists only after its bytes are durable; a lease is
 * the last time anyone was told that it exists.
 */
import type { SupportedDigest } from '../../oci/digest.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Database, PreparedRead } from './database.ts'
import type { RepositoryFilter } from './repositories.ts'
import type { Reader, Writer } from './schema.ts'

export interface LinkedBlobRow {
  readonly size_bytes: number
  readonly leased_at_ms: number
}

/** The look-up of a blob through a repository's link. A sub-query, not a join: 3 µs instead of 8. */
export function linkedBlob(database: Database): PreparedRead<LinkedBlobRow, [repositoryId: number, digest: Digest]> {
  const query = database.read
    .selectFrom('blob')
    .select(['size_bytes', 'leased_at_ms'])
    .where('digest', '=', (where) =>
      where.selectFrom('blob_link').select('blob_link.digest').where('blob_link.repository_id', '=', 0).where('blob_link.digest', '=', ''),
    )
  return database.prepare(query)
}

/** Sizes in bytes of those of `digests` that are linked to the repository. */
export async function findLinkedSizes(db: Reader, repositoryId: number, digests: readonly string[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  for (const part of inParts(digests)) {
    const rows = await db
      .selectFrom('blob_link')
      .innerJoin('blob', 'blob.digest', 'blob_link.digest')
      .select(['blob.digest', 'blob.size_bytes'])
      .where('blob_link.repository_id', '=', repositoryId)
      .where('blob_link.digest', 'in', part)
      .execute()
    for (const row of rows) sizes.set(row.digest, row.size_bytes)
  }
  return sizes
}

/** Whether any repository that the filter admits links the blob. */
export async function isLinkedSomewhere(db: Reader, digest: SupportedDigest, filter: RepositoryFilter): Promise<boolean> {
  let query = db
    .selectFrom('blob_link')
    .innerJoin('repository', 'repository.id', 'blob_link.repository_id')
    .select('repository.id')
    .where('blob_link.digest', '=', digest)
  if (filter.kind === 'some') {
    const { namespaces, visibilities } = filter
    query = query.where((where) =>
      where.or([where('repository.namespace', 'in', [...namespaces]), where('repository.visibility', 'in', [...visibilities])]),
    )
  }
  return (await query.limit(1).executeTakeFirst()) !== undefined
}

/** Records a blob whose bytes are durable; a known one gets a new lease. */
export async function putBlob(tx: Writer, blob: { digest: SupportedDigest; sizeBytes: number; nowMs: number }): Promise<void> {
  await tx
    .insertInto('blob')
    .values({ digest: blob.digest, size_bytes: blob.sizeBytes, stored_at_ms: blob.nowMs, leased_at_ms: blob.nowMs })
    .onConflict((conflict) => conflict.column('digest').doUpdateSet({ leased_at_ms: blob.nowMs }))
    .execute()
}

/** Lets the repository serve the blob. @returns false when there is no such blob. */
export async function linkBlob(tx: Writer, link: { repositoryId: number; digest: SupportedDigest; nowMs: number }): Promise<boolean> {
  const known = await tx.updateTable('blob').set({ leased_at_ms: link.nowMs }).where('digest', '=', link.digest).executeTakeFirst()
  if (known.numUpdatedRows === 0n) return false
  await tx
    .insertInto('blob_link')
    .values({ repository_id: link.repositoryId, digest: link.digest, linked_at_ms: link.nowMs })
    .onConflict((conflict) => conflict.columns(['repository_id', 'digest']).doNothing())
    .execute()
  return true
}

/** @returns whether there was a link. */
export async function unlinkBlob(tx: Writer, repositoryId: number, digest: Digest): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('blob_link')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

export async function renewLease(tx: Writer, digest: Digest, nowMs: number): Promise<void> {
  await tx.updateTable('blob').set({ leased_at_ms: nowMs }).where('digest', '=', digest).execute()
}

/** How many blobs the store holds, and how many bytes. */
export async function totalBlobs(db: Reader): Promise<{ blobs: number; bytes: number }> {
  return db.selectFrom('blob_total').select(['blobs', 'bytes']).where('id', '=', 1).executeTakeFirstOrThrow()
}

/** Long lists of parameters in parts, because every length of list is another statement to prepare. */
export function* inParts<T>(items: readonly T[], size = 200): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}
