/**
 * Rows of teams and of who is in them. What a team may do are its grants, in grants.ts.
 */
import { sql } from 'kysely'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface TeamRow {
  readonly id: number
  readonly name: string
  readonly description: string
  readonly created_at_ms: number
}

const columns = ['id', 'name', 'description', 'created_at_ms'] as const

export const teamByName = new Statement<{ name: string }, TeamRow>((db, value) =>
  db.selectFrom('team').select(columns).where('name', '=', value('name')),
)

/** @returns false when the name is taken. */
export async function createTeam(tx: Writer, team: { name: string; description: string; nowMs: number }): Promise<boolean> {
  const result = await tx
    .insertInto('team')
    .values({ name: team.name, description: team.description, created_at_ms: team.nowMs })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .executeTakeFirst()
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** @returns whether there is such a team. */
export async function setTeamDescription(tx: Writer, name: string, description: string): Promise<boolean> {
  const { numUpdatedRows } = await tx.updateTable('team').set({ description }).where('name', '=', name).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Takes its memberships and its grants with it. @returns whether there was such a team. */
export async function deleteTeam(tx: Writer, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('team').where('name', '=', name).executeTakeFirst()
  return numDeletedRows > 0n
}

/** One page of all teams by name. */
export async function listTeams(db: Reader, page: { after: string | undefined; limit: number }): Promise<TeamRow[]> {
  return db
    .selectFrom('team')
    .select(columns)
    .where('name', '>', page.after ?? '')
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

/** One page of the teams that an account is in, by name. */
export async function listTeamsOf(db: Reader, page: { accountId: number; after: string | undefined; limit: number }): Promise<TeamRow[]> {
  return (
    db
      .selectFrom('team')
      .select(columns)
      .where('name', '>', page.after ?? '')
      // The plus keeps SQLite on the index of names, which gives the order.
      .where(sql<number>`+team.id`, 'in', (where) =>
        where.selectFrom('team_member').select('team_member.team_id').where('team_member.account_id', '=', page.accountId),
      )
      .orderBy('name')
      .limit(page.limit)
      .execute()
  )
}

export interface Membership {
  readonly teamId: number
  readonly accountId: number
}

/** Puts an account into a team, or changes what it is there. */
export async function setTeamMember(tx: Writer, member: Membership & { isManager: boolean; nowMs: number }): Promise<void> {
  await tx
    .insertInto('team_member')
    .values({
      team_id: member.teamId,
      account_id: member.accountId,
      is_manager: Number(member.isManager),
      added_at_ms: member.nowMs,
    })
    .onConflict((conflict) => conflict.columns(['team_id', 'account_id']).doUpdateSet({ is_manager: Number(member.isManager) }))
    .execute()
}

/** @returns whether the account was in the team. */
export async function deleteTeamMember(tx: Writer, { teamId, accountId }: Membership): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('team_member')
    .where('team_id', '=', teamId)
    .where('account_id', '=', accountId)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** What an account is in a team; undefined: it is not in it. */
export async function findMembership(
  db: Reader,
  { teamId, accountId }: Membership,
): Promise<Pick<TeamMemberRow, 'is_manager' | 'added_at_ms'> | undefined> {
  return db
    .selectFrom('team_member')
    .select(['is_manager', 'added_at_ms'])
    .where('team_id', '=', teamId)
    .where('account_id', '=', accountId)
    .executeTakeFirst()
}

export interface TeamMemberRow {
  readonly account_id: number
  readonly name: string
  readonly is_manager: number
  readonly added_at_ms: number
}

/** One page of a team's members, in the order of their accounts' ids. */
export async function listTeamMembers(
  db: Reader,
  page: { teamId: number; after: number | undefined; limit: number },
): Promise<TeamMemberRow[]> {
  return db
    .selectFrom('team_member')
    .innerJoin('account', 'account.id', 'team_member.account_id')
    .select(['team_member.account_id', 'account.name', 'team_member.is_manager', 'team_member.added_at_ms'])
    .where('team_member.team_id', '=', page.teamId)
    .where('team_member.account_id', '>', page.after ?? 0)
    .orderBy('team_member.account_id')
    .limit(page.limit)
    .execute()
}
