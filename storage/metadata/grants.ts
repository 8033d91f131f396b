/**
 * Rows of role grants: what role an account or a team has in a namespace or in one repository of it.
 *
 * What a role allows is not known here. How several grants come together is: the one look-up on the path of requests must
 * answer with one role. A test holds it against the same rule in auth/roles.ts.
 */
import { sql, type RawBuilder } from 'kysely'
import type { RepositoryName } from '../../oci/repository-name.ts'
import type { Reader, RoleGrantTable, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export type RoleRow = RoleGrantTable['role']

/**
 * A text that sorts by weight and ends in the role: a grant in the repository goes before those in the namespace, of several on one
 * level the highest, and an owner of the namespace before all. So that max() finds what counts, and no row needs to be sorted.
 */
const weightedRole = sql<string>`case when repository = ''
  then case role when 'owner' then '9:owner' when 'maintainer' then '3:maintainer' when 'writer' then '2:writer' else '1:reader' end
  else case role when 'owner' then '8:owner' when 'maintainer' then '7:maintainer' when 'writer' then '6:writer'
    when 'reader' then '5:reader' else '4:none' end end`

interface RoleLookup {
  readonly namespace: string
  /** A whole name; empty: in the namespace as a whole. */
  readonly repository: RepositoryName | ''
  readonly accountId: number
}

/**
 * On the path of every request that nothing but a grant can allow. Always one row; null: no grant is about it.
 *
 * The casts are not for the values, which have these types: the index is over rows whose account is not null, and with a bare
 * parameter beside it SQLite plans the statement again whenever another value is bound, which takes ten times as long as running it.
 */
export const grantedRole = new Statement<RoleLookup, { readonly role: RoleRow | null }>((db, value) => {
  const accountId = sql`cast(${value('accountId')} as integer)`
  const namespaceId = sql`(select id from namespace where name = ${value('namespace')})`
  const repositories = sql`('', ${value('repository')})`
  const own = sql`(select max(${weightedRole}) from role_grant
    where account_id = ${accountId} and namespace_id = ${namespaceId} and repository in ${repositories})`
  // The order is given: few teams, and each a probe of one index. By itself SQLite might begin with all teams of the namespace.
  const ofTeams = sql`(select max(${weightedRole}) from team_member cross join role_grant on role_grant.team_id = team_member.team_id
    where team_member.account_id = ${accountId} and namespace_id = ${namespaceId} and repository in ${repositories})`
  const best: RawBuilder<RoleRow | null> = sql`nullif(substr(max(coalesce(${own}, ''), coalesce(${ofTeams}, '')), 3), '')`
  return db.selectNoFrom(best.as('role'))
})

export interface HeldGrant {
  readonly namespace: string
  /** A whole name; empty: every repository of the namespace. */
  readonly repository: string
  readonly role: RoleRow
}

/** All grants that an account has, its own and those of its teams, in no order. */
export async function listGrantsOf(db: Reader, accountId: number): Promise<HeldGrant[]> {
  const held = ['namespace.name as namespace', 'role_grant.repository', 'role_grant.role'] as const
  const own = await db
    .selectFrom('role_grant')
    .innerJoin('namespace', 'namespace.id', 'role_grant.namespace_id')
    .select(held)
    .where('role_grant.account_id', '=', sql<number>`cast(${accountId} as integer)`)
    .execute()
  const ofTeams = await db
    .selectFrom('team_member')
    .innerJoin('role_grant', 'role_grant.team_id', 'team_member.team_id')
    .innerJoin('namespace', 'namespace.id', 'role_grant.namespace_id')
    .select(held)
    .where('team_member.account_id', '=', accountId)
    .execute()
  return [...own, ...ofTeams]
}

export interface TeamGrantRow extends HeldGrant {
  readonly namespace_id: number
}

export interface TeamGrantPage {
  readonly teamId: number
  /** Where the page before ended; undefined starts at the beginning. */
  readonly after: { readonly namespaceId: number; readonly repository: string } | undefined
  readonly limit: number
}

/** One page of a team's grants: the namespaces in the order in which they were made, in each that in all of it first. */
export async function listGrantsOfTeam(db: Reader, { teamId, after, limit }: TeamGrantPage): Promise<TeamGrantRow[]> {
  const { namespaceId, repository } = after ?? { namespaceId: 0, repository: '' }
  return db
    .selectFrom('role_grant')
    .innerJoin('namespace', 'namespace.id', 'role_grant.namespace_id')
    .select(['role_grant.namespace_id', 'namespace.name as namespace', 'role_grant.repository', 'role_grant.role'])
    .where('role_grant.team_id', '=', teamId)
    .where(sql<boolean>`(role_grant.namespace_id, role_grant.repository) > (${namespaceId}, ${repository})`)
    .orderBy('role_grant.namespace_id')
    .orderBy('role_grant.repository')
    .limit(limit)
    .execute()
}

/** Where a grant stands and whose it is: an account's or a team's, the other being null. */
export interface GrantKey {
  readonly namespaceId: number
  readonly repository: string
  readonly accountId: number | null
  readonly teamId: number | null
}

export interface NewGrant extends GrantKey {
  readonly role: RoleRow
  /** Account name; null: the command line. */
  readonly by: string | null
  readonly nowMs: number
}

/** Grants the role in place of whatever was granted there before. */
export async function setGrant(tx: Writer, grant: NewGrant): Promise<void> {
  await deleteGrant(tx, grant)
  await tx
    .insertInto('role_grant')
    .values({
      namespace_id: grant.namespaceId,
      repository: grant.repository,
      account_id: grant.accountId,
      team_id: grant.teamId,
      role: grant.role,
      granted_at_ms: grant.nowMs,
      granted_by: grant.by,
    })
    .execute()
}

/** @returns whether there was such a grant. */
export async function deleteGrant(tx: Writer, { namespaceId, repository, accountId, teamId }: GrantKey): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('role_grant')
    .where('namespace_id', '=', namespaceId)
    .where('repository', '=', repository)
    .where('account_id', 'is', accountId)
    .where('team_id', 'is', teamId)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Removes every grant in one repository, whosever it is. */
export async function deleteGrantsIn(
  tx: Writer,
  { namespace, repository }: { namespace: string; repository: RepositoryName },
): Promise<void> {
  await tx
    .deleteFrom('role_grant')
    .where('namespace_id', '=', (query) => query.selectFrom('namespace').select('id').where('name', '=', namespace))
    .where('repository', '=', repository)
    .execute()
}

export interface MemberRow {
  readonly id: number
  /** One of the two is null. */
  readonly account: string | null
  readonly team: string | null
  /** A whole name; empty: every repository of the namespace. */
  readonly repository: string
  readonly role: RoleRow
  readonly granted_at_ms: number
  readonly granted_by: string | null
}

export interface MemberPage {
  readonly namespaceId: number
  /** Only the grants in this repository, empty: those in all of the namespace; absent: every one. */
  readonly repository?: RepositoryName | '' | undefined
  /** Where the page before ended; undefined starts at the beginning. */
  readonly after: { readonly repository: string; readonly id: number } | undefined
  readonly limit: number
}

/** One page of the grants in a namespace: those in all of it first, then by repository, each group in the order of granting. */
export async function listMembers(db: Reader, { namespaceId, repository: only, after, limit }: MemberPage): Promise<MemberRow[]> {
  const { repository, id } = after ?? { repository: '', id: 0 }
  const all = db
    .selectFrom('role_grant')
    .leftJoin('account', 'account.id', 'role_grant.account_id')
    .leftJoin('team', 'team.id', 'role_grant.team_id')
    .select([
      'role_grant.id',
      'account.name as account',
      'team.name as team',
      'role_grant.repository',
      'role_grant.role',
      'role_grant.granted_at_ms',
      'role_grant.granted_by',
    ])
    .where('role_grant.namespace_id', '=', namespaceId)
    .where(sql<boolean>`(role_grant.repository, role_grant.id) > (${repository}, ${id})`)
    .orderBy('role_grant.repository')
    .orderBy('role_grant.id')
    .limit(limit)
  return (only === undefined ? all : all.where('role_grant.repository', '=', only)).execute()
}

/** Whether a team, or anyone who is no administrator, owns the namespace of this name by a grant. */
export async function hasGrantedOwner(db: Reader, namespace: string): Promise<boolean> {
  const row = await db
    .selectFrom('role_grant')
    .leftJoin('account', 'account.id', 'role_grant.account_id')
    .select('role_grant.id')
    .where('role_grant.namespace_id', '=', (where) =>
      where.selectFrom('namespace').select('namespace.id').where('namespace.name', '=', namespace),
    )
    .where('role_grant.repository', '=', '')
    .where('role_grant.role', '=', 'owner')
    .where((where) => where.or([where('account.is_admin', '=', 0), where('role_grant.team_id', 'is not', null)]))
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** Names of enabled people who own a namespace by grants, their own or a team's; who was granted it first comes first. */
export async function listGrantedOwners(db: Reader, { namespace, limit }: { namespace: string; limit: number }): Promise<string[]> {
  const ownerGrants = db
    .selectFrom('role_grant')
    .where('role_grant.namespace_id', '=', (where) =>
      where.selectFrom('namespace').select('namespace.id').where('namespace.name', '=', namespace),
    )
    .where('role_grant.repository', '=', '')
    .where('role_grant.role', '=', 'owner')
  const people = await ownerGrants
    .innerJoin('account', 'account.id', 'role_grant.account_id')
    .select('account.name')
    .where('account.is_disabled', '=', 0)
    .orderBy('role_grant.id')
    .limit(limit)
    .execute()
  const inTeams = await ownerGrants
    .innerJoin('team_member', 'team_member.team_id', 'role_grant.team_id')
    .innerJoin('account', 'account.id', 'team_member.account_id')
    .select('account.name')
    .where('account.is_disabled', '=', 0)
    .orderBy('role_grant.id')
    .limit(limit)
    .execute()
  return [...new Set([...people, ...inTeams].map((row) => row.name))].slice(0, limit)
}
