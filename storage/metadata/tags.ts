/**
 * Rows of tags as intervals: the open one is the current tag, the closed ones its history. A change closes one interval
 * and opens the next in the same transaction, so a tag is never nothing in between.
 */
import { sql } from 'kysely'
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/reference.ts'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface TagChange {
  readonly repositoryId: number
  readonly tag: Tag
  readonly nowMs: number
  /** Account name, null when nobody was signed in. */
  readonly by: string | null
}

/** A current tag: its interval's id and the digest. */
export const currentTag = new Statement<{ repositoryId: number; tag: Tag }, { id: number; digest: Digest }>((db, value) =>
  db
    .selectFrom('tag')
    .select(['id', 'digest'])
    .where('repository_id', '=', value('repositoryId'))
    .where('name', '=', value('tag'))
    .where('until_ms', 'is', null)
    .$castTo<{ id: number; digest: Digest }>(),
)

const endInterval = new Statement<{ id: number; nowMs: number; by: string | null }>((db, value) =>
  db
    .updateTable('tag')
    .set({ until_ms: value('nowMs'), ended_by: value('by') })
    .where('id', '=', value('id')),
)

const insertInterval = new Statement<{ repositoryId: number; tag: Tag; digest: Digest; nowMs: number; by: string | null }>((db, value) =>
  db.insertInto('tag').values({
    repository_id: value('repositoryId'),
    name: value('tag'),
    digest: value('digest'),
    since_ms: value('nowMs'),
    set_by: value('by'),
  }),
)

/** Points a tag at a manifest. Setting it to what it is changes nothing and makes no history. */
export async function setTag(tx: Writer, change: TagChange & { readonly digest: Digest }): Promise<void> {
  const { repositoryId, tag, digest, nowMs, by } = change
  const current = await currentTag.first(tx, { repositoryId, tag })
  if (current?.digest === digest) return
  if (current) await endInterval.run(tx, { id: current.id, nowMs, by })
  await insertInterval.run(tx, { repositoryId, tag, digest, nowMs, by })
}

/** @returns whether there was such a tag. */
export async function endTag(tx: Writer, change: TagChange): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('tag')
    .set({ until_ms: change.nowMs, ended_by: change.by })
    .where('repository_id', '=', change.repositoryId)
    .where('name', '=', change.tag)
    .where('until_ms', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Ends every tag that points at a manifest. */
export async function endTagsOf(tx: Writer, change: Omit<TagChange, 'tag'> & { readonly digest: Digest }): Promise<void> {
  await tx
    .updateTable('tag')
    .set({ until_ms: change.nowMs, ended_by: change.by })
    .where('repository_id', '=', change.repositoryId)
    .where('digest', '=', change.digest)
    .where('until_ms', 'is', null)
    .execute()
}

/** One page of current tags in byte order, strictly after `after`. */
export async function listTags(db: Reader, page: { repositoryId: number; after: string | undefined; limit: number }): Promise<string[]> {
  const rows = await db
    .selectFrom('tag')
    .select('name')
    .where('repository_id', '=', page.repositoryId)
    .where('until_ms', 'is', null)
    .where('name', '>', page.after ?? '')
    .orderBy('name')
    .limit(page.limit)
    .execute()
  return rows.map((row) => row.name)
}

/** A current tag and what it says of its manifest. */
export interface TagRow {
  readonly name: Tag
  readonly digest: Digest
  readonly since_ms: number
  readonly set_by: string | null
  readonly media_type: string
  readonly artifact_type: string | null
  readonly size_bytes: number
}

function tagRows(db: Reader, repositoryId: number) {
  return db
    .selectFrom('tag')
    .innerJoin('manifest', (join) =>
      join.onRef('manifest.repository_id', '=', 'tag.repository_id').onRef('manifest.digest', '=', 'tag.digest'),
    )
    .select(['tag.name', 'tag.digest', 'tag.since_ms', 'tag.set_by'])
    .select(['manifest.media_type', 'manifest.artifact_type', 'manifest.size_bytes'])
    .where('tag.repository_id', '=', repositoryId)
    .where('tag.until_ms', 'is', null)
    .$castTo<TagRow>()
}

/** One page of current tags with their manifests, in byte order, strictly after `after`. @param page.text a part of the name */
export async function listTagRows(
  db: Reader,
  page: { repositoryId: number; text?: string | undefined; after: string | undefined; limit: number },
): Promise<TagRow[]> {
  return tagRows(db, page.repositoryId)
    .where('tag.name', '>', (page.after ?? '') as Tag)
    .$if(page.text !== undefined, (query) => query.where(sql<boolean>`instr(tag.name, ${page.text ?? ''}) > 0`))
    .orderBy('tag.name')
    .limit(page.limit)
    .execute()
}

/** A current tag with its manifest. */
export async function findTagRow(db: Reader, { repositoryId, tag }: { repositoryId: number; tag: Tag }): Promise<TagRow | undefined> {
  return tagRows(db, repositoryId).where('tag.name', '=', tag).executeTakeFirst()
}

/** The current tags of a manifest, at most `limit` of them, in no order. */
export async function listTagsOf(db: Reader, of: { repositoryId: number; digest: Digest; limit: number }): Promise<string[]> {
  const rows = await db
    .selectFrom('tag')
    .select('name')
    .where('repository_id', '=', of.repositoryId)
    .where('digest', '=', of.digest)
    .where('until_ms', 'is', null)
    .limit(of.limit)
    .execute()
  return rows.map((row) => row.name)
}

export interface TagIntervalRow {
  readonly id: number
  readonly digest: Digest
  readonly since_ms: number
  /** null while it lasts. */
  readonly until_ms: number | null
  readonly set_by: string | null
  readonly ended_by: string | null
}

/**
 * A digest that the tag pointed at.
 * @param of.digest this one; undefined: the newest
 * @param of.except not this one
 */
export async function findTagInterval(
  db: Reader,
  of: { repositoryId: number; tag: Tag; digest: Digest | undefined; except: Digest | undefined },
): Promise<Digest | undefined> {
  let query = db.selectFrom('tag').select('digest').where('repository_id', '=', of.repositoryId).where('name', '=', of.tag)
  if (of.digest !== undefined) query = query.where('digest', '=', of.digest)
  if (of.except !== undefined) query = query.where('digest', '<>', of.except)
  const row = await query.orderBy('since_ms', 'desc').orderBy('id', 'desc').limit(1).executeTakeFirst()
  return row?.digest as Digest | undefined
}

/** One page of what a tag was, the newest interval first; also of a tag that is gone. */
export async function listTagIntervals(
  db: Reader,
  page: { repositoryId: number; tag: Tag; before: { sinceMs: number; id: number } | undefined; limit: number },
): Promise<TagIntervalRow[]> {
  const { before } = page
  return db
    .selectFrom('tag')
    .select(['id', 'digest', 'since_ms', 'until_ms', 'set_by', 'ended_by'])
    .where('repository_id', '=', page.repositoryId)
    .where('name', '=', page.tag)
    .$if(before !== undefined, (query) =>
      query.where((where) => where(where.refTuple('since_ms', 'id'), '<', where.tuple(before?.sinceMs ?? 0, before?.id ?? 0))),
    )
    .orderBy('since_ms', 'desc')
    .orderBy('id', 'desc')
    .limit(page.limit)
    .$castTo<TagIntervalRow>()
    .execute()
}
