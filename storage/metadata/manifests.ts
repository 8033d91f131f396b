/**
 * Rows of manifests, of what they reference and of who refers to them. The bytes are kept exactly as they were pushed.
 */
import { sql } from 'kysely'
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/reference.ts'
import type { ManifestTable, Reader, ReferenceTable, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface ManifestRow {
  readonly digest: Digest
  readonly media_type: string
  readonly content: Uint8Array
  /** The last time that a client which may rely on it was told that it is there. */
  readonly leased_at_ms: number
}

const served = ['digest', 'media_type', 'content', 'leased_at_ms'] as const

export const manifestByDigest = new Statement<{ repositoryId: number; digest: Digest }, ManifestRow>((db, value) =>
  db
    .selectFrom('manifest')
    .select(served)
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', value('digest'))
    .$castTo<ManifestRow>(),
)

/**
 * A manifest through its current tag: one query, so that it is either the old manifest or the new one. A sub-query, not a join: with
 * bound texts SQLite takes 4 µs for the one and 13 for the other.
 */
export const manifestByTag = new Statement<{ repositoryId: number; tag: Tag }, ManifestRow>((db, value) =>
  db
    .selectFrom('manifest')
    .select(served)
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', (where) =>
      where
        .selectFrom('tag')
        .select('tag.digest')
        .where('tag.repository_id', '=', value('repositoryId'))
        .where('tag.name', '=', value('tag'))
        .where('tag.until_ms', 'is', null),
    )
    .$castTo<ManifestRow>(),
)

export interface ManifestFactsRow extends ManifestRow {
  readonly artifact_type: string | null
  readonly size_bytes: number
  readonly subject_digest: Digest | null
  readonly pushed_by: string | null
  readonly pushed_at_ms: number
}

/** A manifest with all that was recorded of its push. */
export async function findManifestFacts(
  db: Reader,
  { repositoryId, digest }: { repositoryId: number; digest: Digest },
): Promise<ManifestFactsRow | undefined> {
  return db
    .selectFrom('manifest')
    .select([...served, 'artifact_type', 'size_bytes', 'subject_digest', 'pushed_by', 'pushed_at_ms'])
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .$castTo<ManifestFactsRow>()
    .executeTakeFirst()
}

/**
 * How many bytes a manifest is with all that it references, directly and through other manifests: each content once, what the
 * repository does not have as nothing. At most `limit` references are followed; a result with so many is not the whole.
 * A cross join, because SQLite would otherwise walk all references of the repository for each manifest.
 */
export const contentSize = new Statement<{ repositoryId: number; digest: Digest; limit: number }, { bytes: number; entries: number }>(
  (db, value) => ({
    compile: () =>
      sql<{ bytes: number; entries: number }>`with recursive need (digest) as (
          select ${value('digest')}
          union all
          select reference.digest from need
            cross join reference on reference.repository_id = ${value('repositoryId')} and reference.manifest_digest = need.digest
          limit ${value('limit')}
        )
        select sum(each.times) as entries, sum(coalesce(
          (select size_bytes from manifest where manifest.repository_id = ${value('repositoryId')} and manifest.digest = each.digest),
          (select size_bytes from blob where blob.digest = (
            select blob_link.digest from blob_link
            where blob_link.repository_id = ${value('repositoryId')} and blob_link.digest = each.digest)),
          0)) as bytes
        from (select digest, count(*) as times from need group by digest) as each`.compile(db),
  }),
)

const manifestSize = new Statement<{ repositoryId: number; digest: Digest }, { size_bytes: number }>((db, value) =>
  db
    .selectFrom('manifest')
    .select('size_bytes')
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', value('digest'))
    .whereRef(sql`length(content)`, '=', 'size_bytes'),
)

/** Its size in bytes; undefined when the repository has no such manifest, or it is damaged. */
export async function findManifestSize(db: Reader | Writer, key: { repositoryId: number; digest: Digest }): Promise<number | undefined> {
  return (await manifestSize.first(db, key))?.size_bytes
}

/** A manifest as it is pushed; that also is the first time that a client is told of it. */
export type NewManifest = Omit<ManifestTable, 'leased_at_ms'>

const insertManifest = new Statement<NewManifest>((db, value) =>
  db
    .insertInto('manifest')
    .values({
      repository_id: value('repository_id'),
      digest: value('digest'),
      media_type: value('media_type'),
      artifact_type: value('artifact_type'),
      size_bytes: value('size_bytes'),
      subject_digest: value('subject_digest'),
      annotations: value('annotations'),
      pushed_by: value('pushed_by'),
      pushed_at_ms: value('pushed_at_ms'),
      content: value('content'),
      leased_at_ms: value('pushed_at_ms'),
    })
    .onConflict((conflict) => conflict.columns(['repository_id', 'digest']).doNothing()),
)

/** Where the bytes are those of the digest, others are damaged. */
const repairManifest = new Statement<Pick<ManifestTable, 'repository_id' | 'digest' | 'content' | 'size_bytes'>>((db, value) =>
  db
    .updateTable('manifest')
    .set({ content: value('content'), size_bytes: value('size_bytes') })
    .where('repository_id', '=', value('repository_id'))
    .where('digest', '=', value('digest'))
    .where('content', '<>', value('content')),
)

const insertReference = new Statement<ReferenceTable>((db, value) =>
  db
    .insertInto('reference')
    .values({
      repository_id: value('repository_id'),
      manifest_digest: value('manifest_digest'),
      digest: value('digest'),
      role: value('role'),
    })
    .onConflict((conflict) => conflict.doNothing()),
)

/** @returns by how many rows it changed whether there is such a manifest */
export const setManifestLease = new Statement<{ repositoryId: number; digest: string; nowMs: number }>((db, value) =>
  db
    .updateTable('manifest')
    .set({ leased_at_ms: value('nowMs') })
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', value('digest')),
)

/**
 * Records a manifest and what it references; one that is known stays as it is, with a new lease, unless its bytes were damaged.
 * @returns whether they were
 */
export async function putManifest(
  tx: Writer,
  manifest: NewManifest,
  references: readonly Pick<ReferenceTable, 'digest' | 'role'>[],
): Promise<boolean> {
  if ((await insertManifest.run(tx, manifest)) === 0) {
    const { repository_id: repositoryId, digest, pushed_at_ms: nowMs } = manifest
    await setManifestLease.run(tx, { repositoryId, digest, nowMs })
    return (await repairManifest.run(tx, manifest)) > 0
  }
  for (const { digest, role } of references) {
    await insertReference.run(tx, { repository_id: manifest.repository_id, manifest_digest: manifest.digest, digest, role })
  }
  return false
}

/** Its references go with it. @returns whether there was one. */
export async function deleteManifest(tx: Writer, repositoryId: number, digest: Digest): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('manifest')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Whether a manifest of the repository references the content. */
export async function isReferenced(db: Reader, repositoryId: number, digest: Digest): Promise<boolean> {
  const row = await db
    .selectFrom('reference')
    .select('manifest_digest')
    .where('digest', '=', digest)
    .where('repository_id', '=', repositoryId)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

export interface ReferrerRow {
  readonly digest: Digest
  readonly media_type: string
  readonly artifact_type: string | null
  readonly size_bytes: number
  readonly annotations: string | null
  readonly pushed_at_ms: number
}

export interface ReferrerPage {
  readonly repositoryId: number
  readonly subject: Digest
  /** Empty: every type. */
  readonly artifactTypes: readonly string[]
  /** The last one of the page before. */
  readonly after: { readonly pushedAtMs: number; readonly digest: string } | undefined
  readonly limit: number
}

/** One page of the manifests whose subject is the given digest, by push time, then digest. */
export async function listReferrers(db: Reader, page: ReferrerPage): Promise<ReferrerRow[]> {
  return referrersQuery(db, page)
    .select(['digest', 'media_type', 'artifact_type', 'size_bytes', 'annotations', 'pushed_at_ms'])
    .$castTo<ReferrerRow>()
    .execute()
}

/** The sizes in bytes of the manifests of the same page, without reading what may be large. */
export async function listReferrerSizes(db: Reader, page: ReferrerPage): Promise<number[]> {
  const rows = await referrersQuery(db, page).select('size_bytes').execute()
  return rows.map((row) => row.size_bytes)
}

function referrersQuery(db: Reader, { repositoryId, subject, artifactTypes, after, limit }: ReferrerPage) {
  let query = db.selectFrom('manifest').where('repository_id', '=', repositoryId).where('subject_digest', '=', subject)
  if (artifactTypes.length > 0) query = query.where('artifact_type', 'in', [...artifactTypes])
  if (after)
    query = query.where((where) => where(where.refTuple('pushed_at_ms', 'digest'), '>', where.tuple(after.pushedAtMs, after.digest)))
  return query.orderBy('pushed_at_ms').orderBy('digest').limit(limit)
}
