/**
 * Teams: people who are granted roles as one. Whoever calls these has asked the policy whether they may. What a team may do are
 * grants, see namespaces.ts.
 *
 * Invariant: only people are in a team.
 */
import { RegistryError } from '../oci/errors.ts'
import { parseNamespaceName } from '../oci/repository-name.ts'
import type { Database } from '../storage/metadata/database.ts'
import { listGrantsOfTeam, type TeamGrantPage, type TeamGrantRow } from '../storage/metadata/grants.ts'
import type { Reader, Writer } from '../storage/metadata/schema.ts'
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

/** Says no, by what it throws, to a team that is not what was expected; runs within the transaction. */
export type TeamCheck = (current: TeamRow) => void

/** @returns the team as it is now. @throws {RegistryError} teamUnknown, and what `check` throws */
export async function updateTeam(
  database: Database,
  name: string,
  { description, check }: { description: string; check?: TeamCheck },
): Promise<TeamRow> {
  return database.write(async (tx) => {
    const current = await getCurrent(tx, name, check)
    await setTeamDescription(tx, name, description)
    return { ...current, description }
  })
}

/** Takes the team's roles from all its members, with their next request. @throws {RegistryError} teamUnknown, and what `check` throws */
export async function removeTeam(database: Database, name: string, check?: TeamCheck): Promise<void> {
  await database.write(async (tx) => {
    await getCurrent(tx, name, check)
    await deleteTeam(tx, name)
  })
}

/** Teams by name: all, or those that the account is in. */
export async function teamsFor(database: Database, account: { readonly id: number } | 'all', page: PageRequest): Promise<Page<TeamRow>> {
  const { after } = page
  return pageOf(page, (limit) =>
    account === 'all' ? listTeams(database.read, { after, limit }) : listTeamsOf(database.read, { accountId: account.id, after, limit }),
  )
}

/** @throws {RegistryError} teamUnknown */
export async function describeTeam(database: Database, name: string): Promise<TeamRow> {
  return getTeam(database.read, name)
}

/** The roles of a team, as listGrantsOfTeam orders them. @throws {RegistryError} teamUnknown */
export async function rolesOfTeam(database: Database, name: string, page: Omit<TeamGrantPage, 'teamId'>): Promise<Page<TeamGrantRow>> {
  const { id: teamId } = await getTeam(database.read, name)
  return pageOf(page, (limit) => listGrantsOfTeam(database.read, { teamId, after: page.after, limit }))
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

/** What an account is in a team; undefined: not in it. Says no by what it throws, within the transaction. */
export type MembershipCheck = (current: { readonly isManager: boolean } | undefined) => void

export interface NewTeamMember {
  readonly account: string
  /** Absent: as it is, and of one that is new, no. */
  readonly isManager?: boolean | undefined
  readonly nowMs: number
  readonly check?: MembershipCheck
}

/**
 * Puts a person into a team, or changes whether they manage it.
 * @returns what they are there now
 * @throws {RegistryError} teamUnknown; parameterInvalid: the account is nobody or a robot; and what `check` throws
 */
export async function addToTeam(database: Database, name: string, { check, nowMs, ...member }: NewTeamMember): Promise<TeamMemberRow> {
  return database.write(async (tx) => {
    const { id: teamId } = await getTeam(tx, name)
    const { id: accountId } = await getPerson(tx, member.account)
    const current = await findMembership(tx, { teamId, accountId })
    check?.(current && { isManager: current.is_manager === 1 })
    const isManager = member.isManager ?? current?.is_manager === 1
    await setTeamMember(tx, { teamId, accountId, isManager, nowMs })
    return { account_id: accountId, name: member.account, is_manager: Number(isManager), added_at_ms: current?.added_at_ms ?? nowMs }
  })
}

/**
 * Acts on the next request.
 * @throws {RegistryError} teamUnknown, memberUnknown; parameterInvalid: the account is nobody or a robot; and what `check` throws
 */
export async function dropFromTeam(
  database: Database,
  name: string,
  { account, check }: { account: string; check?: MembershipCheck },
): Promise<void> {
  await database.write(async (tx) => {
    const { id: teamId } = await getTeam(tx, name)
    const { id: accountId } = await getPerson(tx, account)
    const current = await findMembership(tx, { teamId, accountId })
    if (!current) throw new RegistryError('memberUnknown', { message: `"${account}" is not in the team "${name}"` })
    check?.({ isManager: current.is_manager === 1 })
    await deleteTeamMember(tx, { teamId, accountId })
  })
}

async function getCurrent(tx: Writer, name: string, check: TeamCheck = () => undefined): Promise<TeamRow> {
  const team = await getTeam(tx, name)
  check(team)
  return team
}

async function getTeam(db: Reader, name: string): Promise<TeamRow> {
  const team = await teamByName.first(db, { name })
  if (!team) throw unknownTeam(name)
  return team
}

/** A team that is not there, in the same words wherever it is missed. */
export function unknownTeam(name: string): RegistryError {
  return new RegistryError('teamUnknown', { message: `there is no team "${name}"` })
}
