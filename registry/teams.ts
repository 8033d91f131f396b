/**
 * Teams: people who are granted roles as one. Whoever calls these has asked the policy whether they may. What a team may do are
 * grants, see namespaces.ts.
 *
 * Invariant: only people are in a team.
 */
import { RegistryError } from '../oci/errors.ts'
import { parseNamespaceName } from '../oci/repository-name.ts'
import type { Database } from '../storage/metadata/database.ts'
import { listGrantsOfTeam, type HeldGrant } from '../storage/metadata/grants.ts'
import type { Reader } from '../storage/metadata/schema.ts'
import {
  createTeam,
  deleteTeam,
  deleteTeamMember,
  findMembership,
  listTeamMembers,
  listTeams,
  listTeamsOf,
  setTeamDescription,
  setTeamMember,
  teamByName,
  type TeamMemberRow,
  type TeamRow,
} from '../storage/metadata/teams.ts'
import { pageOf, type Page, type PageRequest } from './list.ts'
import { getPerson } from './namespaces.ts'

/** @throws {RegistryError} nameInvalid, nameTaken */
export async function addTeam(database: Database, team: { name: string; description?: string; nowMs: number }): Promise<void> {
  const { description = '', nowMs } = team
  const name = parseNamespaceName(team.name)
  const isNew = await database.write((tx) => createTeam(tx, { name, description, nowMs }))
  if (!isNew) throw new RegistryError('nameTaken', { message: `there is a team "${name}" already` })
}

/** @throws {RegistryError} teamUnknown */
export async function updateTeam(database: Database, name: string, change: { description: string }): Promise<void> {
  if (!(await database.write((tx) => setTeamDescription(tx, name, change.description)))) throw unknownTeam(name)
}

/** Takes the team's roles from all its members, with their next request. @throws {RegistryError} teamUnknown */
export async function removeTeam(database: Database, name: string): Promise<void> {
  if (!(await database.write((tx) => deleteTeam(tx, name)))) throw unknownTeam(name)
}

/** Teams by name: all, or those that the account is in. */
export async function teamsFor(database: Database, account: { readonly id: number } | 'all', page: PageRequest): Promise<Page<TeamRow>> {
  const { after } = page
  return pageOf(page, (limit) =>
    account === 'all' ? listTeams(database.read, { after, limit }) : listTeamsOf(database.read, { accountId: account.id, after, limit }),
  )
}

/** A team and its roles, by namespace and repository. @throws {RegistryError} teamUnknown */
export async function describeTeam(database: Database, name: string): Promise<TeamRow & { readonly grants: readonly HeldGrant[] }> {
  const team = await getTeam(database.read, name)
  const grants = await listGrantsOfTeam(database.read, team.id)
  const placeOf = (grant: HeldGrant): string => `${grant.namespace} ${grant.repository}`
  return { ...team, grants: grants.toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1)) }
}

/**
 * Members in the order of their accounts' ids.
 * @param page.after the id of the last account of the page before
 * @throws {RegistryError} teamUnknown
 */
export async function teamMembers(
  database: Database,
  name: string,
  page: { readonly after: number | undefined; readonly limit: number },
): Promise<Page<TeamMemberRow>> {
  const { id: teamId } = await getTeam(database.read, name)
  return pageOf(page, (limit) => listTeamMembers(database.read, { teamId, after: page.after, limit }))
}

/** What the account is in the team, for the policy; undefined: not in it, or there is no such team. */
export async function membershipIn(database: Database, name: string, accountId: number): Promise<'member' | 'manager' | undefined> {
  const team = await teamByName.first(database.read, { name })
  const membership = team && (await findMembership(database.read, { teamId: team.id, accountId }))
  if (!membership) return undefined
  return membership.is_manager === 1 ? 'manager' : 'member'
}

/**
 * Puts a person into a team, or changes whether they manage it.
 * @throws {RegistryError} teamUnknown; parameterInvalid: the account is nobody or a robot
 */
export async function addToTeam(
  database: Database,
  name: string,
  member: { account: string; isManager: boolean; nowMs: number },
): Promise<void> {
  const { isManager, nowMs } = member
  await database.write(async (tx) => {
    const { id: teamId } = await getTeam(tx, name)
    const { id: accountId } = await getPerson(tx, member.account)
    await setTeamMember(tx, { teamId, accountId, isManager, nowMs })
  })
}

/** Acts on the next request. @throws {RegistryError} teamUnknown, memberUnknown; parameterInvalid: the account is nobody or a robot */
export async function dropFromTeam(database: Database, name: string, account: string): Promise<void> {
  const wasIn = await database.write(async (tx) => {
    const { id: teamId } = await getTeam(tx, name)
    const { id: accountId } = await getPerson(tx, account)
    return deleteTeamMember(tx, { teamId, accountId })
  })
  if (!wasIn) throw new RegistryError('memberUnknown', { message: `"${account}" is not in the team "${name}"` })
}

async function getTeam(db: Reader, name: string): Promise<TeamRow> {
  const team = await teamByName.first(db, { name })
  if (!team) throw unknownTeam(name)
  return team
}

function unknownTeam(name: string): RegistryError {
  return new RegistryError('teamUnknown', { message: `there is no team "${name}"` })
}
