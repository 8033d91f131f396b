/**
 * Which repositories an answer may name, as conditions of queries. What the filter should be is decided in auth/policy.ts.
 */
import { sql, type RawBuilder } from 'kysely'
import { compareBytes } from '../../oci/paging.ts'
import type { NameRange } from '../../oci/repository-name.ts'
import type { RepositoryTable } from './schema.ts'

/**
 * All repositories, or those of some namespaces but for the ones of `without`, together with those of some visibilities and those
 * that are named.
 */
export type RepositoryFilter = ({ readonly kind: 'all' } & Within) | SomeRepositories

export interface Within {
  /** Of these only the ones with such names, which are apart and in order; absent: whatever they are called. */
  readonly within?: readonly NameRange[]
}

export interface SomeRepositories extends Within {
  readonly kind: 'some'
  readonly namespaces: readonly string[]
  readonly visibilities: readonly RepositoryTable['visibility'][]
  readonly repositories?: readonly string[]
  readonly without?: readonly string[]
}

/** Sorts behind every name that a repository can have; what was deleted is called so (trash.ts). */
export const behindNames = '~'

/** Whether a row of `repository` passes. The lists are bound as one value each, however long: the text of the query stays the same. */
export function passes(filter: RepositoryFilter): RawBuilder<boolean> {
  const { within } = filter
  const isThere = sql<boolean>`repository.name < ${behindNames} and ${passesRights(filter)}`
  if (within === undefined) return isThere
  return sql<boolean>`${isThere} and exists (select 1 from json_each(${JSON.stringify(within)}) as range
    where repository.name >= range.value ->> 'from' and repository.name < range.value ->> 'before')`
}

function passesRights(filter: RepositoryFilter): RawBuilder<boolean> {
  if (filter.kind === 'all') return sql<boolean>`true`
  const { namespaces, visibilities, repositories = [], without = [] } = filter
  return sql<boolean>`((repository.namespace in ${listed(namespaces)} and repository.name not in ${listed(without)})
    or repository.name in ${listed(repositories)} or repository.visibility in ${listed(visibilities)})`
}

/** A list as a table of one column. */
export function listed(values: readonly string[]): RawBuilder<unknown> {
  return sql`(select value from json_each(${JSON.stringify(values)}))`
}

/** What the namespaces do not admit, unless it is named. */
export function withoutOf({ repositories = [], without = [] }: SomeRepositories): string[] {
  const named = new Set(repositories)
  return without.filter((name) => !named.has(name))
}

/** Names from the first, which belongs to it, to the second, which does not. */
export type Span = readonly [from: string, to: string]

/** Sorts behind a name and before whatever goes on from it: less than all that names hold. */
const behindName = '!'
/** Follows the slash. */
const behindSlash = '0'

/**
 * The names that a filter admits by its namespaces and its single repositories, as spans that do not overlap, in byte order.
 * A namespace is two of them: a repository may have just its name, and between that and those below it stand others, such as
 * `team-b/app` between `team` and `team/app`.
 */
export function spansOf({ namespaces, repositories = [], within }: SomeRepositories): Span[] {
  const single = (name: string): Span => [name, name + behindName]
  const below = (name: string): Span => [`${name}/`, name + behindSlash]
  const spans = [...namespaces.map(single), ...namespaces.map(below), ...repositories.map(single)]
  const merged = merge(spans.toSorted(([a], [b]) => compareBytes(a, b)))
  return within === undefined ? merged : merged.flatMap((span) => within.flatMap((range) => intersect(span, range)))
}

/** What two spans have in common: one span, or none. */
function intersect([from, to]: Span, range: NameRange): Span[] {
  const start = compareBytes(from, range.from) < 0 ? range.from : from
  const end = compareBytes(to, range.before) < 0 ? to : range.before
  return compareBytes(start, end) < 0 ? [[start, end]] : []
}

/** From spans in the order of their beginnings. */
function merge(spans: readonly Span[]): Span[] {
  const merged: [string, string][] = []
  for (const [from, to] of spans) {
    const last = merged.at(-1)
    if (last === undefined || compareBytes(last[1], from) < 0) merged.push([from, to])
    else if (compareBytes(last[1], to) < 0) last[1] = to
  }
  return merged
}
