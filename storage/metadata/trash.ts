/**
 * What was deleted and can still be restored: items, and the rows that they hold.
 *
 * A deleted repository keeps its rows and loses its name; a deleted manifest moves, with its references and the links that it needs, to a
 * holder: a repository of such a name. So nothing has to be said anywhere else about what is deleted: it is out of reach of every request,
 * because no request can name it, and what it needs is referenced and linked like anything. Rules live in registry/.
 */
import { sql } from 'kysely'
import type { Digest } from '../../oci/digest.ts'
import { namespaceOf, type RepositoryName } from '../../oci/repository-name.ts'
import { behindNames } from './repository-filter.ts'
import type { Reader, TrashItemTable, Writer } from './schema.ts'

export interface TrashItem {
  readonly id: number
  readonly kind: TrashItemTable['kind']
  /** The name it had, or of the repository it was in. */
  readonly repository: RepositoryName
  /** Of that name; empty when the namespace was removed. */
  readonly namespace: string
  readonly repository_id: number
  /** Of a manifest. */
  readonly digest: Digest | null
  /** JSON: those that pointed at the manifest. */
  readonly tags: string
  readonly holder_id: number
  /** 0: purged. */
  readonly deleted_at_ms: number
  readonly deleted_by: string | null
}

const columns = [
  'id',
  'kind',
  'repository',
  'namespace',
  'repository_id',
  'digest',
  'tags',
  'holder_id',
  'deleted_at_ms',
  'deleted_by',
] as const satisfies readonly (keyof TrashItemTable)[]

interface Deletion {
  readonly nowMs: number
  /** Account name, null when nobody was signed in. */
  readonly by: string | null
}

/** Puts one repository into the trash, or all of a namespace. @returns how many. */
export async function trashRepositories(
  tx: Writer,
  { nowMs, by, ...which }: Deletion & ({ readonly id: number } | { readonly namespace: string }),
): Promise<number> {
  const is = 'id' in which ? sql<boolean>`id = ${which.id}` : sql<boolean>`namespace = ${which.namespace}`
  await sql`insert into trash_item (kind, repository, namespace, repository_id, holder_id, deleted_at_ms, deleted_by)
    select 'repository', name, namespace, id, id, ${nowMs}, ${by} from repository where ${is}`.execute(tx)
  const { numAffectedRows } = await sql`update repository set name = ${behindNames} || id, namespace = ${behindNames} where ${is}`.execute(
    tx,
  )
  return Number(numAffectedRows)
}

/** Gives a repository of the trash its name again, which must be free, in the namespace of that name. */
export async function restoreRepository(tx: Writer, { id, holder_id: holderId, repository }: TrashItem): Promise<void> {
  const namespace = namespaceOf(repository)
  await tx
    .updateTable('repository')
    .set((at) => ({
      name: repository,
      namespace,
      namespace_id: sql<number>`coalesce(${at.selectFrom('namespace').select('id').where('name', '=', namespace)}, 0)`,
    }))
    .where('id', '=', holderId)
    .execute()
  await tx.deleteFrom('trash_item').where('id', '=', id).execute()
}

/** Puts a manifest into the trash, with what it needs. @returns whether there was one. */
export async function trashManifest(
  tx: Writer,
  manifest: Deletion & {
    readonly repositoryId: number
    readonly repository: RepositoryName
    readonly digest: Digest
    readonly tags: readonly string[]
  },
): Promise<boolean> {
  const { repositoryId, repository, digest, tags, nowMs, by } = manifest
  if (!(await isStored(tx, repositoryId, digest))) return false
  const holderId = await makeHolder(tx, { repositoryId, nowMs })
  await copyManifest(tx, { from: repositoryId, to: holderId, digest })
  await tx.deleteFrom('manifest').where('repository_id', '=', repositoryId).where('digest', '=', digest).execute()
  await tx
    .insertInto('trash_item')
    .values({
      kind: 'manifest',
      repository,
      namespace: namespaceOf(repository),
      repository_id: repositoryId,
      digest,
      tags: JSON.stringify(tags),
      holder_id: holderId,
      deleted_at_ms: nowMs,
      deleted_by: by,
    })
    .execute()
  return true
}

/** One that is damaged can be deleted as well. */
async function isStored(tx: Writer, repositoryId: number, digest: Digest): Promise<boolean> {
  const row = await tx
    .selectFrom('manifest')
    .select('size_bytes')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .executeTakeFirst()
  return row !== undefined
}

/** What it holds counts as its repository's namespace's. */
async function makeHolder(tx: Writer, { repositoryId, nowMs }: { repositoryId: number; nowMs: number }): Promise<number> {
  const { id } = await tx
    .insertInto('repository')
    .values((from) => ({
      name: `${behindNames}new`,
      namespace: behindNames,
      namespace_id: from.selectFrom('repository').select('namespace_id').where('id', '=', repositoryId),
      visibility: 'private',
      created_at_ms: nowMs,
    }))
    .returning('id')
    .executeTakeFirstOrThrow()
  await tx
    .updateTable('repository')
    .set({ name: `${behindNames}${id}` })
    .where('id', '=', id)
    .execute()
  return id
}

/** With its references, and links to the blobs among them. One that is at its aim already stays as it is. */
async function copyManifest(tx: Writer, { from, to, digest }: { from: number; to: number; digest: string }): Promise<void> {
  const values = sql.raw(
    'digest, media_type, artifact_type, size_bytes, subject_digest, annotations, pushed_by, pushed_at_ms, content, leased_at_ms',
  )
  await sql`insert into manifest (repository_id, ${values})
    select ${to}, ${values} from manifest where repository_id = ${from} and digest = ${digest} on conflict do nothing`.execute(tx)
  await sql`insert into reference (repository_id, manifest_digest, digest, role)
    select ${to}, manifest_digest, digest, role from reference
    where repository_id = ${from} and manifest_digest = ${digest} on conflict do nothing`.execute(tx)
  await sql`insert into blob_link (repository_id, digest, linked_at_ms, namespace_id)
    select ${to}, blob_link.digest, linked_at_ms, (select namespace_id from repository where id = ${to}) from reference
    cross join blob_link on blob_link.repository_id = ${from} and blob_link.digest = reference.digest
    where reference.repository_id = ${from} and manifest_digest = ${digest} on conflict do nothing`.execute(tx)
}

/** Digests of manifests that this one lists and that its repository lacks. */
export async function missingChildren(db: Reader, { holder_id: holderId, repository_id: repositoryId }: TrashItem): Promise<Digest[]> {
  const rows = await db
    .selectFrom('reference')
    .select('digest')
    .where('repository_id', '=', holderId)
    .where('role', '=', 'manifest')
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('manifest')
            .select('manifest.digest')
            .where('manifest.repository_id', '=', repositoryId)
            .whereRef('manifest.digest', '=', 'reference.digest'),
        ),
      ),
    )
    .execute()
  return rows.map(({ digest }) => digest as Digest)
}

/** Puts a manifest back where it was; the item and its holder are gone then. */
export async function restoreManifest(tx: Writer, item: TrashItem): Promise<void> {
  await copyManifest(tx, { from: item.holder_id, to: item.repository_id, digest: item.digest ?? '' })
  await tx.deleteFrom('repository').where('id', '=', item.holder_id).execute()
}

/** @param sinceMs what was deleted before is gone, although it may still be there */
export async function findTrashItem(db: Reader, { id, sinceMs }: { id: number; sinceMs: number }): Promise<TrashItem | undefined> {
  return db
    .selectFrom('trash_item')
    .select(columns)
    .where('id', '=', id)
    .where('deleted_at_ms', '>', sinceMs)
    .$castTo<TrashItem>()
    .executeTakeFirst()
}

export interface TrashPage {
  /** Of these alone: what was in one repository, or in all of one namespace; undefined: everything. */
  readonly of: { readonly repositoryId: number } | { readonly namespace: string } | undefined
  readonly sinceMs: number
  /** The last one of the page before. */
  readonly before: { readonly deletedAtMs: number; readonly id: number } | undefined
  readonly limit: number
}

/** One page of what can be restored, the newest first. */
export async function listTrash(db: Reader, { of, sinceMs, before, limit }: TrashPage): Promise<TrashItem[]> {
  let query = db.selectFrom('trash_item').select(columns).where('deleted_at_ms', '>', sinceMs)
  if (before) query = query.where((where) => where(where.refTuple('deleted_at_ms', 'id'), '<', where.tuple(before.deletedAtMs, before.id)))
  if (of && 'repositoryId' in of) query = query.where('repository_id', '=', of.repositoryId)
  if (of && 'namespace' in of) query = query.where('namespace', '=', of.namespace)
  return query.orderBy('deleted_at_ms', 'desc').orderBy('id', 'desc').limit(limit).$castTo<TrashItem>().execute()
}

/** Makes an item one whose time is over. */
export async function markPurged(tx: Writer, id: number): Promise<void> {
  await tx.updateTable('trash_item').set({ deleted_at_ms: 0 }).where('id', '=', id).execute()
}

/** Items whose time is over. @param before.beforeMs deleted then or before */
export async function listOverdue(db: Reader, { beforeMs, limit }: { beforeMs: number; limit: number }): Promise<TrashItem[]> {
  return db
    .selectFrom('trash_item')
    .select(columns)
    .where('deleted_at_ms', '<=', beforeMs)
    .orderBy('deleted_at_ms')
    .orderBy('id')
    .limit(limit)
    .$castTo<TrashItem>()
    .execute()
}

/** The item of a manifest that was deleted from a repository, the newest of several. */
export async function findTrashedManifest(
  db: Reader,
  { repositoryId, digest, sinceMs }: { repositoryId: number; digest: Digest; sinceMs: number },
): Promise<TrashItem | undefined> {
  return db
    .selectFrom('trash_item')
    .select(columns)
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .where('deleted_at_ms', '>', sinceMs)
    .orderBy('deleted_at_ms', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .$castTo<TrashItem>()
    .executeTakeFirst()
}

/** Whether the item is there and its time is over: nobody has restored it meanwhile. */
export async function isOverdue(db: Reader, { id, beforeMs }: { id: number; beforeMs: number }): Promise<boolean> {
  const row = await db.selectFrom('trash_item').select('id').where('id', '=', id).where('deleted_at_ms', '<=', beforeMs).executeTakeFirst()
  return row !== undefined
}

/** Digests of the manifests that a repository of the trash still holds. */
export async function listHeldManifests(db: Reader, repositoryId: number, limit: number): Promise<Digest[]> {
  const rows = await db.selectFrom('manifest').select('digest').where('repository_id', '=', repositoryId).limit(limit).execute()
  return rows.map(({ digest }) => digest as Digest)
}

/**
 * Removes a part of what a repository of the trash holds beside manifests: links, then tags, then entries of queues, then itself with its
 * item. @returns how many rows; 0: there is nothing left
 */
export async function eraseSome(tx: Writer, repositoryId: number, limit: number): Promise<number> {
  for (const [table, key] of [
    ['blob_link', 'digest'],
    ['tag', 'id'],
    ['manifest_review', 'digest'],
    ['link_review', 'digest'],
  ] as const) {
    const { numAffectedRows = 0n } = await sql`delete from ${sql.table(table)} where repository_id = ${repositoryId} and ${sql.ref(key)} in
      (select ${sql.ref(key)} from ${sql.table(table)} where repository_id = ${repositoryId} limit ${limit})`.execute(tx)
    if (numAffectedRows > 0n) return Number(numAffectedRows)
  }
  const { numDeletedRows } = await tx.deleteFrom('repository').where('id', '=', repositoryId).executeTakeFirst()
  return Number(numDeletedRows)
}

/** Removes the holder of a manifest with all that it holds, and its item. */
export async function eraseHolder(tx: Writer, holderId: number): Promise<void> {
  await tx.deleteFrom('repository').where('id', '=', holderId).execute()
  await tx.deleteFrom('manifest_review').where('repository_id', '=', holderId).execute()
  await tx.deleteFrom('link_review').where('repository_id', '=', holderId).execute()
}

/** Queues what only the item held: manifests of its repository that it lists, and those that refer to it. */
export async function queueFormerlyHeld(
  tx: Writer,
  { holder_id: holderId, repository_id: repositoryId, digest }: TrashItem,
): Promise<void> {
  await sql`insert into manifest_review (repository_id, digest, due_ms)
    select ${repositoryId}, digest, 0 from reference where repository_id = ${holderId} and role in ('manifest', 'content')
    on conflict do update set due_ms = 0`.execute(tx)
  await sql`insert into manifest_review (repository_id, digest, due_ms)
    select ${repositoryId}, manifest.digest, 0 from manifest where repository_id = ${repositoryId} and subject_digest = ${digest}
    on conflict do update set due_ms = 0`.execute(tx)
}

/** Lets the collector look again at the manifests that a repository, or any, has kept so far. @returns how many, at most `limit`; -1: all. */
export async function queueWaiting(tx: Writer, { repositoryId, limit }: { repositoryId: number | 'any'; limit: number }): Promise<number> {
  const of = repositoryId === 'any' ? sql`` : sql`repository_id = ${repositoryId} and`
  const { numAffectedRows = 0n } = await sql`update manifest_review set due_ms = 0 where (repository_id, digest) in
    (select repository_id, digest from manifest_review where ${of} due_ms is null limit ${limit})`.execute(tx)
  return Number(numAffectedRows)
}
