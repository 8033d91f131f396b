/**
 * The queues of what perhaps nothing needs any more: links of blobs, blobs, and what came of looking at them. Triggers fill them
 * (migrations/sqlite/0005-collection.sql); who takes from them decides and deletes in the same transaction.
 *
 * Rules live in registry/. Times are milliseconds since 1970.
 */
import type { Digest, SupportedDigest } from '../../oci/digest.ts'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface LinkReview {
  readonly repositoryId: number
  readonly digest: SupportedDigest
}

/** Links to look at, those that have waited longest first. @param due.sinceMs queued at this time or before */
export async function listLinkReviews(db: Reader, due: { sinceMs: number; limit: number }): Promise<LinkReview[]> {
  return db
    .selectFrom('link_review')
    .select(['repository_id as repositoryId', 'digest'])
    .where('since_ms', '<=', due.sinceMs)
    .orderBy('since_ms')
    .limit(due.limit)
    .$castTo<LinkReview>()
    .execute()
}

/** Blobs to look at, as listLinkReviews has them for links. */
export async function listBlobReviews(db: Reader, due: { sinceMs: number; limit: number }): Promise<SupportedDigest[]> {
  const rows = await db
    .selectFrom('blob_review')
    .select('digest')
    .where('since_ms', '<=', due.sinceMs)
    .orderBy('since_ms')
    .limit(due.limit)
    .execute()
  return rows.map(({ digest }) => digest as SupportedDigest)
}

/** Something in the repository references the content. */
export const referenceTo = new Statement<LinkReview, { role: string }>((db, value) =>
  db.selectFrom('reference').select('role').where('digest', '=', value('digest')).where('repository_id', '=', value('repositoryId')),
)

/** Some repository links the blob. */
export const linkTo = new Statement<{ digest: Digest }, { repository_id: number }>((db, value) =>
  db.selectFrom('blob_link').select('repository_id').where('digest', '=', value('digest')),
)

export const blobLease = new Statement<{ digest: Digest }, { size_bytes: number; leased_at_ms: number }>((db, value) =>
  db.selectFrom('blob').select(['size_bytes', 'leased_at_ms']).where('digest', '=', value('digest')),
)

export const dropLinkReview = new Statement<LinkReview>((db, value) =>
  db.deleteFrom('link_review').where('repository_id', '=', value('repositoryId')).where('digest', '=', value('digest')),
)

export const postponeLinkReview = new Statement<LinkReview & { sinceMs: number }>((db, value) =>
  db
    .updateTable('link_review')
    .set({ since_ms: value('sinceMs') })
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', value('digest')),
)

export const dropBlobReview = new Statement<{ digest: Digest }>((db, value) =>
  db.deleteFrom('blob_review').where('digest', '=', value('digest')),
)

export const postponeBlobReview = new Statement<{ digest: Digest; sinceMs: number }>((db, value) =>
  db
    .updateTable('blob_review')
    .set({ since_ms: value('sinceMs') })
    .where('digest', '=', value('digest')),
)

/** Queues the blob, too: it may have been the last link. */
export const deleteLink = new Statement<LinkReview>((db, value) =>
  db.deleteFrom('blob_link').where('repository_id', '=', value('repositoryId')).where('digest', '=', value('digest')),
)

export const deleteBlobRow = new Statement<{ digest: Digest }>((db, value) => db.deleteFrom('blob').where('digest', '=', value('digest')))

/** How many entries of a queue are due, counted up to a limit. */
export async function countReviews(db: Reader, due: { sinceMs: number; nowMs: number; limit: number }) {
  const [links, blobs, manifests] = await Promise.all([
    listLinkReviews(db, due),
    listBlobReviews(db, due),
    db.selectFrom('manifest_review').select('digest').where('due_ms', '<=', due.nowMs).limit(due.limit).execute(),
  ])
  return { links: links.length, blobs: blobs.length, manifests: manifests.length }
}

/** What a round removed; bytes are those that the file system got back. */
export interface Collected {
  readonly manifests: number
  readonly blobs: number
  readonly bytes: number
}

export interface CollectionRow {
  readonly seen_ms: number
  readonly rule_days: number
  /** null: none has removed anything yet. */
  readonly at_ms: number | null
  readonly manifests: number
  readonly blobs: number
  readonly bytes: number
  readonly all_blobs: number
  readonly all_bytes: number
}

const columns = ['seen_ms', 'rule_days', 'at_ms', 'manifests', 'blobs', 'bytes', 'all_blobs', 'all_bytes'] as const

export async function getCollection(db: Reader): Promise<CollectionRow> {
  return db.selectFrom('collection').select(columns).where('id', '=', 1).executeTakeFirstOrThrow()
}

/** Remembers the time of a collector that trusts it, and the setting that the queue of manifests was last looked through with. */
export async function noteCollector(tx: Writer, { seenMs, untaggedDays }: { seenMs: number; untaggedDays: number }): Promise<void> {
  await tx.updateTable('collection').set({ seen_ms: seenMs, rule_days: untaggedDays }).where('id', '=', 1).execute()
}

/** Remembers a round that removed something. */
export async function noteRound(tx: Writer, { atMs, manifests, blobs, bytes }: Collected & { readonly atMs: number }): Promise<void> {
  await tx
    .updateTable('collection')
    .set((each) => ({
      at_ms: atMs,
      manifests,
      blobs,
      bytes,
      all_blobs: each('all_blobs', '+', blobs),
      all_bytes: each('all_bytes', '+', bytes),
    }))
    .where('id', '=', 1)
    .execute()
}
