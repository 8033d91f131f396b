/**
 * Rows of repositories: find, create with the first content, list by keyset. No rule and no branch on rights lives
 * here; who may see what arrives as a filter.
 */
import { sql, type RawBuilder } from 'kysely'
import { compareBytes } from '../../oci/paging.ts'
import { namespaceOf, type NameRange, type RepositoryName } from '../../oci/repository-name.ts'
import { ensureNamespace } from './namespaces.ts'
import { behindNames, listed, passes, spansOf, withoutOf, type RepositoryFilter, type SomeRepositories } from './repository-filter.ts'
import type { Reader, RepositoryTable, Writer } from './schema.ts'
import { Statement } from './statement.ts'
import { trashRepositories } from './trash.ts'

export type { RepositoryFilter } from './repository-filter.ts'

export type Visibility = RepositoryTable['visibility']

export interface RepositoryRow {
  readonly id: number
  readonly name: RepositoryName
  readonly visibility: Visibility
  readonly description: string
  readonly created_at_ms: number
  /** How long untagged manifests stay; 0: always, null: as the setting says. */
  readonly untagged_days: number | null
}

const columns = ['id', 'name', 'visibility', 'description', 'created_at_ms', 'untagged_days'] as const

/** On the path of every request that names a repository. */
export const repositoryByName = new Statement<{ name: RepositoryName }, RepositoryRow>((db, value) =>
  db.selectFrom('repository').select(columns).where('name', '=', value('name')).$castTo<RepositoryRow>(),
)

/** The same with the version of all rights: SQLite takes as long to begin another statement as for this one. */
export const repositoryAndVersion = new Statement<{ name: RepositoryName }, RepositoryRow & { readonly rights_version: number }>(
  (db, value) =>
    db
      .selectFrom('repository')
      .select(columns)
      .select((at) => at.selectFrom('rights_version').select('version').where('id', '=', sql.lit(1)).as('rights_version'))
      .where('name', '=', value('name'))
      .$castTo<RepositoryRow & { readonly rights_version: number }>(),
)

export interface EnsuredRepository {
  readonly name: RepositoryName
  /** Of one that is new, if its namespace says nothing else. */
  readonly visibility: Visibility
  /** Whose push it is: becomes the owner of a namespace that is new. */
  readonly accountId?: number | null
  readonly nowMs: number
}

/** The id of a repository, created when it is new, together with its namespace when that is. */
export async function ensureRepository(tx: Writer, fresh: EnsuredRepository): Promise<number> {
  const found = await repositoryByName.first(tx, { name: fresh.name })
  if (found) return found.id
  const { accountId = null, nowMs } = fresh
  const namespace = await ensureNamespace(tx, { name: namespaceOf(fresh.name), accountId, nowMs })
  const { id } = await tx
    .insertInto('repository')
    .values({
      name: fresh.name,
      namespace: namespace.name,
      namespace_id: namespace.id,
      visibility: namespace.visibility ?? fresh.visibility,
      created_at_ms: nowMs,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}

export interface RepositoryChange {
  readonly untagged_days?: number | null
  readonly visibility?: Visibility
  readonly description?: string
}

/** Changes what is given, at least one of them. @returns whether there is such a repository. */
export async function changeRepository(tx: Writer, id: number, change: RepositoryChange): Promise<boolean> {
  const { numUpdatedRows } = await tx.updateTable('repository').set(change).where('id', '=', id).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Its manifests, tags with their history and links to blobs go with it. @returns whether there was such a repository. */
export async function deleteRepository(tx: Writer, id: number): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('repository').where('id', '=', id).executeTakeFirst()
  return numDeletedRows > 0n
}

/** @returns whether there is such a repository. */
export async function setVisibility(tx: Writer, name: RepositoryName, visibility: Visibility): Promise<boolean> {
  const { numUpdatedRows } = await tx.updateTable('repository').set({ visibility }).where('name', '=', name).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** What was asked for, of what may be seen. */
export interface RepositoryWish {
  readonly namespace?: string | undefined
  readonly visibility?: Visibility | undefined
  /** A part of the name. Has no index: it is compared with each name that is walked past. */
  readonly text?: string | undefined
}

export interface RepositoryPage {
  readonly filter: RepositoryFilter
  readonly only?: RepositoryWish
  /** Names strictly greater in byte order; undefined starts at the beginning. */
  readonly after: string | undefined
  readonly limit: number
}

const anyName: NameRange = { from: '', before: behindNames }

/**
 * One page of repositories in byte order of their names. Each visible group is walked by its own index, each range of names by
 * itself, and all are merged, so a page costs what it returns, however many repositories are hidden from this caller.
 */
export async function listRepositories(db: Reader, page: RepositoryPage): Promise<RepositoryRow[]> {
  const { filter, only = {}, after = '', limit } = page
  const pageOf = ({ from, before }: NameRange) =>
    db
      .selectFrom('repository')
      .select(columns)
      // The higher of the two bounds: given both, SQLite would walk from the one that is written first.
      .where('name', after < from ? '>=' : '>', after < from ? from : after)
      .where('name', '<', before)
      .where(fits(only))
      .orderBy('name')
      .limit(limit)
  const ranges = (filter.within ?? [anyName]).filter(({ before }) => after < before)
  const groups =
    filter.kind === 'all'
      ? ranges.map((range) => pageOf(range).$castTo<RepositoryRow>().execute())
      : [
          listSpans(db, { ...page, filter }),
          ...ranges.flatMap((range) =>
            filter.visibilities.map((visibility) => pageOf(range).where('visibility', '=', visibility).$castTo<RepositoryRow>().execute()),
          ),
        ]
  const rows = (await Promise.all(groups)).flat()
  const byName = new Map(rows.map((row) => [row.name, row]))
  return [...byName.values()].toSorted((a, b) => compareBytes(a.name, b.name)).slice(0, limit)
}

/**
 * One page of the repositories whose names lie in the filter's spans: span by span, each by the index on names, until the page is full.
 * The order of the loops is given, so that the first rows are those with the smallest names and nothing is sorted.
 */
async function listSpans(db: Reader, page: RepositoryPage & { readonly filter: SomeRepositories }): Promise<RepositoryRow[]> {
  const { filter, only = {}, after = '', limit } = page
  const spans = spansOf(filter).filter(([, to]) => compareBytes(after, to) < 0)
  const { rows } = await sql<RepositoryRow>`select ${sql.join(columns.map((column) => sql.ref(`repository.${column}`)))}
    from json_each(${JSON.stringify(spans)}) as span cross join repository
    where repository.name >= max(span.value ->> 0, ${after}) and repository.name < span.value ->> 1
    and repository.name > ${after} and repository.name not in ${listed(withoutOf(filter))} and ${fits(only)}
    limit ${limit}`.execute(db)
  return rows
}

/** Whether a row of `repository` is asked for. */
function fits({ namespace, visibility, text }: RepositoryWish): RawBuilder<boolean> {
  const conditions = [
    ...(namespace === undefined ? [] : [sql<boolean>`repository.namespace = ${namespace}`]),
    ...(visibility === undefined ? [] : [sql<boolean>`repository.visibility = ${visibility}`]),
    ...(text === undefined ? [] : [sql<boolean>`instr(repository.name, ${text}) > 0`]),
  ]
  return conditions.length === 0 ? sql<boolean>`true` : sql<boolean>`${sql.join(conditions, sql` and `)}`
}

/** Repositories whose name contains `text`, the shortest first. Reads every visible name: a substring has no index. */
export async function searchRepositories(
  db: Reader,
  search: { text: string; filter: RepositoryFilter; limit: number },
): Promise<RepositoryRow[]> {
  return db
    .selectFrom('repository')
    .select(columns)
    .where(sql<boolean>`instr(name, ${search.text}) > 0`)
    .where(passes(search.filter))
    .orderBy(sql`length(name)`)
    .orderBy('name')
    .limit(search.limit)
    .$castTo<RepositoryRow>()
    .execute()
}

/** Puts every repository of a namespace into the trash. @returns how many. */
export async function deleteRepositoriesOf(tx: Writer, deleted: { namespace: string; nowMs: number }): Promise<number> {
  return trashRepositories(tx, { ...deleted, by: null })
}
