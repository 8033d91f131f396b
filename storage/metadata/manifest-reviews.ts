/**
 * The queue of manifests that perhaps nothing holds, and what decides about one. Triggers fill it
 * (migrations/sqlite/0005-collection.sql). Rules live in registry/.
 */
import { sql } from 'kysely'
import type { Digest } from '../../oci/digest.ts'
import { behindNames } from './repository-filter.ts'
import type { Reader } from './schema.ts'
import { Statement } from './statement.ts'

export interface ManifestReview {
  readonly repositoryId: number
  readonly digest: Digest
}

/** Manifests to look at, those that have waited longest first. */
export async function listManifestReviews(db: Reader, due: { nowMs: number; limit: number }): Promise<ManifestReview[]> {
  return db
    .selectFrom('manifest_review')
    .select(['repository_id as repositoryId', 'digest'])
    .where('due_ms', '<=', due.nowMs)
    .orderBy('due_ms')
    .limit(due.limit)
    .$castTo<ManifestReview>()
    .execute()
}

/** One page of all that the queue holds, due or not, in its own order. */
export async function listQueuedManifests(
  db: Reader,
  { after, limit }: { after: ManifestReview | undefined; limit: number },
): Promise<ManifestReview[]> {
  return db
    .selectFrom('manifest_review')
    .select(['repository_id as repositoryId', 'digest'])
    .where((where) => where(where.refTuple('repository_id', 'digest'), '>', where.tuple(after?.repositoryId ?? 0, after?.digest ?? '')))
    .orderBy('repository_id')
    .orderBy('digest')
    .limit(limit)
    .$castTo<ManifestReview>()
    .execute()
}

/** What speaks for a manifest; truths are 0 or 1. */
export interface ManifestHold {
  /** null: as the setting says. */
  readonly untagged_days: number | null
  readonly pushed_at_ms: number
  readonly leased_at_ms: number
  readonly subject_digest: Digest | null
  /** It, or its repository, is in the trash. */
  readonly is_deleted: number
  readonly is_tagged: number
  /** When its last tag ended; null: it never had one that did. */
  readonly tag_ended_ms: number | null
  /** By a manifest of its repository. */
  readonly is_listed: number
  /** Its subject is in its repository. */
  readonly has_subject: number
  /** A manifest in the trash that was in its repository lists it, or is its subject. */
  readonly is_restorable_with: number
}

/** With `sinceMs`: what was deleted then or before can not be restored any more. */
export const manifestHold = new Statement<ManifestReview & { sinceMs: number }, ManifestHold>((db, value) => ({
  compile: () =>
    sql<ManifestHold>`select repository.untagged_days, manifest.pushed_at_ms, manifest.leased_at_ms, manifest.subject_digest,
      repository.name >= ${sql.lit(behindNames)} as is_deleted,
      exists (select 1 from tag where tag.repository_id = ${value('repositoryId')} and tag.digest = ${value('digest')}
        and tag.until_ms is null) as is_tagged,
      (select max(tag.until_ms) from tag where tag.repository_id = ${value('repositoryId')} and tag.digest = ${value('digest')}) as tag_ended_ms,
      exists (select 1 from reference where reference.digest = ${value('digest')}
        and reference.repository_id = ${value('repositoryId')}) as is_listed,
      exists (select 1 from manifest as subject where subject.repository_id = ${value('repositoryId')}
        and subject.digest = manifest.subject_digest) as has_subject,
      exists (select 1 from reference cross join trash_item on trash_item.holder_id = reference.repository_id
        where reference.digest = ${value('digest')} and trash_item.repository_id = ${value('repositoryId')}
          and trash_item.deleted_at_ms > ${value('sinceMs')})
      or exists (select 1 from trash_item where trash_item.repository_id = ${value('repositoryId')}
        and trash_item.digest = manifest.subject_digest and trash_item.deleted_at_ms > ${value('sinceMs')}) as is_restorable_with
    from manifest join repository on repository.id = manifest.repository_id
    where manifest.repository_id = ${value('repositoryId')} and manifest.digest = ${value('digest')}`.compile(db),
}))

export const dropManifestReview = new Statement<ManifestReview>((db, value) =>
  db.deleteFrom('manifest_review').where('repository_id', '=', value('repositoryId')).where('digest', '=', value('digest')),
)

/** null: until the rule of its repository changes. */
export const postponeManifestReview = new Statement<ManifestReview & { dueMs: number | null }>((db, value) =>
  db
    .updateTable('manifest_review')
    .set({ due_ms: value('dueMs') })
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', value('digest')),
)
