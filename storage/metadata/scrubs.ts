/**
 * Rows of what was found damaged, of how far a scrub has come, and of how the last server ended.
 *
 * Rules live in registry/. Times are milliseconds since 1970, sizes bytes.
 */
import { sql, type Selectable } from 'kysely'
import type { Digest, SupportedDigest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import type { QuarantineTable, Reader, ScrubRunTable, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export type RecordedFault = QuarantineTable['fault']

/** A blob that the repository links and that is damaged. */
export const quarantinedLink = new Statement<{ repositoryId: number; digest: Digest }, { fault: RecordedFault }>((db, value) =>
  db
    .selectFrom('quarantine')
    .select('fault')
    .where('digest', '=', (where) =>
      where
        .selectFrom('blob_link')
        .select('blob_link.digest')
        .where('blob_link.repository_id', '=', value('repositoryId'))
        .where('blob_link.digest', '=', value('digest')),
    ),
)

export const quarantineOf = new Statement<{ digest: Digest }, { fault: RecordedFault }>((db, value) =>
  db.selectFrom('quarantine').select('fault').where('digest', '=', value('digest')),
)

interface Damage {
  readonly digest: SupportedDigest
  readonly fault: RecordedFault
  readonly sizeBytes: number
  readonly nowMs: number
}

const insertQuarantine = new Statement<Damage>((db, value) =>
  db
    .insertInto('quarantine')
    .values({ digest: value('digest'), found_at_ms: value('nowMs'), fault: value('fault'), size_bytes: value('sizeBytes') })
    .onConflict((conflict) => conflict.column('digest').doNothing()),
)

/** @returns false when it was known to be damaged already. */
export async function putQuarantine(tx: Writer, damage: Damage): Promise<boolean> {
  return (await insertQuarantine.run(tx, damage)) > 0
}

const removeQuarantine = new Statement<{ digest: Digest }>((db, value) => db.deleteFrom('quarantine').where('digest', '=', value('digest')))

/** @returns whether the blob was damaged. */
export async function endQuarantine(tx: Writer, digest: Digest): Promise<boolean> {
  return (await removeQuarantine.run(tx, { digest })) > 0
}

export interface QuarantineRow {
  readonly digest: Digest
  readonly found_at_ms: number
  readonly fault: RecordedFault
  readonly size_bytes: number
}

/** Damaged blobs in the order of their digests. */
export async function listQuarantine(db: Reader, page: { after: string; limit: number }): Promise<QuarantineRow[]> {
  return db
    .selectFrom('quarantine')
    .select(['digest', 'found_at_ms', 'fault', 'size_bytes'])
    .where('digest', '>', page.after)
    .orderBy('digest')
    .limit(page.limit)
    .$castTo<QuarantineRow>()
    .execute()
}

/** What was deleted is in a repository of such a name, which no client can push to. */
const deleted = '~%'

/** Names of repositories that link the blob, without what was deleted. */
export async function listRepositoriesOf(db: Reader, digest: Digest, limit: number): Promise<RepositoryName[]> {
  const rows = await db
    .selectFrom('blob_link')
    .innerJoin('repository', 'repository.id', 'blob_link.repository_id')
    .select('repository.name')
    .where('blob_link.digest', '=', digest)
    .where('repository.name', 'not like', deleted)
    .limit(limit)
    .execute()
  return rows.map(({ name }) => name as RepositoryName)
}

export interface DamagedManifestRow {
  readonly repositoryId: number
  readonly repository: string
  readonly digest: Digest
  readonly size_bytes: number
}

/** Manifests whose content was taken away because it was damaged, without those that were deleted. */
export async function listDamagedManifests(db: Reader, limit: number): Promise<DamagedManifestRow[]> {
  return db
    .selectFrom('manifest')
    .innerJoin('repository', 'repository.id', 'manifest.repository_id')
    .select(['manifest.repository_id as repositoryId', 'repository.name as repository', 'manifest.digest', 'manifest.size_bytes'])
    .where(sql`length(manifest.content)`, '=', sql`0`)
    .where('manifest.repository_id', '>=', 0)
    .where('repository.name', 'not like', deleted)
    .limit(limit)
    .$castTo<DamagedManifestRow>()
    .execute()
}

/**
 * Something damaged that a manifest needs, directly or through the manifests that it lists: itself, a blob or one of these. At most `limit`
 * references are followed. Where nothing is damaged it looks no further than that.
 */
export const damagedNeed = new Statement<{ repositoryId: number; digest: Digest; limit: number }, { digest: Digest }>((db, value) => ({
  compile: () =>
    sql<{ digest: Digest }>`with recursive need (digest) as (
        select ${value('digest')} where exists (select 1 from quarantine) or exists (select 1 from manifest where length(content) = 0)
        union
        select reference.digest from need
          cross join reference on reference.repository_id = ${value('repositoryId')} and reference.manifest_digest = need.digest
        limit ${value('limit')}
      )
      select need.digest from need
      where exists (select 1 from quarantine where quarantine.digest = need.digest)
        or exists (select 1 from manifest
          where manifest.repository_id = ${value('repositoryId')} and manifest.digest = need.digest and length(content) = 0)
      limit 1`.compile(db),
}))

export interface BlobToRead {
  readonly digest: Digest
  readonly size_bytes: number
}

export async function listBlobsAfter(db: Reader, page: { after: string; limit: number }): Promise<BlobToRead[]> {
  return db
    .selectFrom('blob')
    .select(['digest', 'size_bytes'])
    .where('digest', '>', page.after)
    .orderBy('digest')
    .limit(page.limit)
    .$castTo<BlobToRead>()
    .execute()
}

/** Those of `digests` that are blobs. */
export async function knownBlobs(db: Reader, digests: readonly SupportedDigest[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('blob')
    .select('digest')
    .where('digest', 'in', [...digests])
    .execute()
  return new Set(rows.map(({ digest }) => digest))
}

export interface ManifestKey {
  readonly repositoryId: number
  readonly digest: Digest
}

export interface ManifestToRead extends ManifestKey {
  readonly size_bytes: number
}

/** In the order of repositories and digests, without their bytes. */
export async function listManifestsAfter(db: Reader, { after, limit }: { after: ManifestKey; limit: number }): Promise<ManifestToRead[]> {
  return db
    .selectFrom('manifest')
    .select(['repository_id as repositoryId', 'digest', 'size_bytes'])
    .where((where) => where(where.refTuple('repository_id', 'digest'), '>', where.tuple(after.repositoryId, after.digest)))
    .orderBy('repository_id')
    .orderBy('digest')
    .limit(limit)
    .$castTo<ManifestToRead>()
    .execute()
}

export const manifestContent = new Statement<ManifestKey, { content: Uint8Array }>((db, value) =>
  db.selectFrom('manifest').select('content').where('repository_id', '=', value('repositoryId')).where('digest', '=', value('digest')),
)

/** Takes the content of a damaged manifest away, if it still is this one. @returns whether it was. */
export const emptyManifest = new Statement<ManifestKey & { content: Uint8Array }>((db, value) =>
  db
    .updateTable('manifest')
    .set({ content: sql`x''` })
    .where('repository_id', '=', value('repositoryId'))
    .where('digest', '=', value('digest'))
    .where('content', '=', value('content')),
)

export type ScrubRunRow = Readonly<Selectable<ScrubRunTable>>

const runColumns = [
  'state',
  'started_at_ms',
  'finished_at_ms',
  'phase',
  'cursor',
  'blobs',
  'manifests',
  'bytes',
  'found',
  'orphans',
  'orphan_bytes',
] as const

/** The scrub under way, or the last that came to its end. */
export async function findScrubRun(db: Reader | Writer, state: 'open' | 'finished'): Promise<ScrubRunRow | undefined> {
  return db.selectFrom('scrub_run').select(runColumns).where('state', '=', state).executeTakeFirst()
}

/** @returns false when one is under way. */
export async function openScrubRun(tx: Writer, nowMs: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows = 0n } = await tx
    .insertInto('scrub_run')
    .values({ state: 'open', started_at_ms: nowMs })
    .onConflict((conflict) => conflict.column('state').doNothing())
    .executeTakeFirst()
  return numInsertedOrUpdatedRows > 0n
}

export type ScrubProgress = Omit<ScrubRunRow, 'state' | 'started_at_ms' | 'finished_at_ms'>

/** Remembers how far the scrub under way has come. */
export async function noteScrub(tx: Writer, progress: ScrubProgress): Promise<void> {
  await tx.updateTable('scrub_run').set(progress).where('state', '=', 'open').execute()
}

/** The scrub under way becomes the last one. */
export async function finishScrubRun(tx: Writer, nowMs: number): Promise<void> {
  await tx.deleteFrom('scrub_run').where('state', '=', 'finished').execute()
  await tx.updateTable('scrub_run').set({ state: 'finished', finished_at_ms: nowMs }).where('state', '=', 'open').execute()
}

export interface ServerStateRow {
  readonly is_running: number
  readonly unclean_at_ms: number | null
}

export async function getServerState(db: Reader | Writer): Promise<ServerStateRow> {
  return db.selectFrom('server_state').select(['is_running', 'unclean_at_ms']).where('id', '=', 1).executeTakeFirstOrThrow()
}

export async function setServerState(tx: Writer, change: Partial<ServerStateRow>): Promise<void> {
  await tx.updateTable('server_state').set(change).where('id', '=', 1).execute()
}
