/**
 * Rows of repositories: find, create with the first content, list by keyset. No rule and no branch on rights lives
 * here; who may see what arrives as a filter.
 */
import { sql } from 'kysely'
import { compareBytes } from '../../oci/paging.ts'
import { namespaceOf, type NameRange, type RepositoryName } from '../../oci/repository-name.ts'
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
export type RepositoryFilter = (
  | { readonly kind: 'all' }
  | { readonly kind: 'some'; readonly namespaces: readonly string[]; readonly visibilities: readonly Visibility[] }
) & {
  /** Of these only the ones with such names; absent: whatever they are called. */
  readonly within?: readonly NameRange[]
}

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

/** @returns whether there is such a repository. */
export async function setVisibility(tx: Writer, name: RepositoryName, visibility: Visibility): Promise<boolean> {
  const { numUpdatedRows } = await tx.updateTable('repository').set({ visibility }).where('name', '=', name).executeTakeFirst()
  return numUpdatedRows > 0n
}

export interface RepositoryPage {
  readonly filter: RepositoryFilter
  /** Names strictly greater in byte order; undefined starts at the beginning. */
  readonly after: string | undefined
  readonly limit: number
}

/** `~` is behind every name. */
const anyName: NameRange = { from: '', before: '~' }

/**
 * One page of repositories in byte order of their names. Each visible group is walked by its own index, each range of names by
 * itself, and all are merged, so a page costs what it returns, however many repositories are hidden from this caller.
 */
export async function listRepositories(db: Reader, page: RepositoryPage): Promise<RepositoryRow[]> {
  const { filter, after = '', limit } = page
  const pageOf = ({ from, before }: NameRange) =>
    db
      .selectFrom('repository')
      .select(columns)
      // The higher of the two bounds: given both, SQLite would walk from the one that is written first.
      .where('name', after < from ? '>=' : '>', after < from ? from : after)
      .where('name', '<', before)
      .orderBy('name')
      .limit(limit)
  const ranges = (filter.within ?? [anyName]).filter(({ before }) => after < before)
  const groups = ranges.flatMap((range) =>
    filter.kind === 'all'
      ? [pageOf(range)]
      : [
          ...filter.namespaces.map((namespace) => pageOf(range).where('namespace', '=', namespace)),
          ...filter.visibilities.map((visibility) => pageOf(range).where('visibility', '=', visibility)),
        ],
  )
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
  const { within } = filter
  if (within) {
    query = query.where((where) =>
      where.or(within.map(({ from, before }) => where.and([where('name', '>=', from), where('name', '<', before)]))),
    )
  }
  return query
    .orderBy(sql`length(name)`)
    .orderBy('name')
    .limit(search.limit)
    .$castTo<RepositoryRow>()
    .execute()
}
