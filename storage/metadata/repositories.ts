/**
 * Rows of repositories: find, create with the first content, list by keyset. No rule and no branch on rights lives
 * here; who may see what arrives as a filter.
 */
import { sql } from 'kysely'
import { compareBytes } from '../../oci/paging.ts'
import { namespaceOf, type RepositoryName } from '../../oci/repository-name.ts'
import type { Reader, RepositoryTable, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export type Visibility = RepositoryTable['visibility']

export interface RepositoryRow {
  readonly id: number
  readonly name: RepositoryName
  readonly visibility: Visibility
  readonly description: string
  readonly created_at_ms: number
}

/** Which repositories an answer may name: all, or those of some namespaces together with those of some visibilities. */
export type RepositoryFilter =
  | { readonly kind: 'all' }
  | { readonly kind: 'some'; readonly namespaces: readonly string[]; readonly visibilities: readonly Visibility[] }

const columns = ['id', 'name', 'visibility', 'description', 'created_at_ms'] as const

/** On the path of every request that names a repository. */
export const repositoryByName = new Statement<{ name: RepositoryName }, RepositoryRow>((db, value) =>
  db.selectFrom('repository').select(columns).where('name', '=', value('name')).$castTo<RepositoryRow>(),
)

/** The id of a repository, created with the given visibility when it is new. */
export async function ensureRepository(
  tx: Writer,
  fresh: { name: RepositoryName; visibility: Visibility; nowMs: number },
): Promise<number> {
  const found = await repositoryByName.first(tx, { name: fresh.name })
  if (found) return found.id
  const { id } = await tx
    .insertInto('repository')
    .values({ name: fresh.name, namespace: namespaceOf(fresh.name), visibility: fresh.visibility, created_at_ms: fresh.nowMs })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}

export interface RepositoryChange {
  readonly visibility?: Visibility
  readonly description?: string
}

/** Changes what is given, at least one of the two. @returns whether there is such a repository. */
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

/**
 * One page of repositories in byte order of their names. Each visible group is walked by its own index and the groups are
 * merged, so a page costs what it returns, however many repositories are hidden from this caller.
 */
export async function listRepositories(db: Reader, page: RepositoryPage): Promise<RepositoryRow[]> {
  const { filter, only = {}, after = '', limit } = page
  const pageOf = () =>
    db
      .selectFrom('repository')
      .select(columns)
      .where('name', '>', after as RepositoryName)
      .$if(only.namespace !== undefined, (query) => query.where('namespace', '=', only.namespace ?? ''))
      .$if(only.visibility !== undefined, (query) => query.where('visibility', '=', only.visibility ?? 'private'))
      .$if(only.text !== undefined, (query) => query.where(sql<boolean>`instr(name, ${only.text ?? ''}) > 0`))
      .orderBy('name')
      .limit(limit)
  const groups =
    filter.kind === 'all'
      ? [pageOf()]
      : [
          ...filter.namespaces.map((namespace) => pageOf().where('namespace', '=', namespace)),
          ...filter.visibilities.map((visibility) => pageOf().where('visibility', '=', visibility)),
        ]
  const rows = (await Promise.all(groups.map((group) => group.$castTo<RepositoryRow>().execute()))).flat()
  const byName = new Map(rows.map((row) => [row.name, row]))
  return [...byName.values()].toSorted((a, b) => compareBytes(a.name, b.name)).slice(0, limit)
}

/** Repositories whose name contains `text`, the shortest first. Reads every visible name: a substring has no index. */
export async function searchRepositories(
  db: Reader,
  search: { text: string; filter: RepositoryFilter; limit: number },
): Promise<RepositoryRow[]> {
  const { filter } = search
  let query = db
    .selectFrom('repository')
    .select(columns)
    .where(sql<boolean>`instr(name, ${search.text}) > 0`)
  if (filter.kind === 'some') {
    const { namespaces, visibilities } = filter
    query = query.where((where) => where.or([where('namespace', 'in', [...namespaces]), where('visibility', 'in', [...visibilities])]))
  }
  return query
    .orderBy(sql`length(name)`)
    .orderBy('name')
    .limit(search.limit)
    .$castTo<RepositoryRow>()
    .execute()
}
