/**
 * Rows of tags as intervals: the open one is the current tag, the closed ones its history. A change closes one interval
 * and opens the next in the same transaction, so a tag is never nothing in between.
 */
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

const currentTag = new Statement<{ repositoryId: number; tag: Tag }, { id: number; digest: string }>((db, value) =>
  db
    .selectFrom('tag')
    .select(['id', 'digest'])
    .where('repository_id', '=', value('repositoryId'))
    .where('name', '=', value('tag'))
    .where('until_ms', 'is', null),
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
