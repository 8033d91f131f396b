/**
 * Namespaces: create, describe, rename and remove them, and the roles of people and teams in them. Whoever calls these has asked
 * the policy whether they may.
 *
 * Invariants: the namespace of a person's name is that person's: it is neither renamed nor removed while there is the account. What
 * carries a namespace's name changes with it in one transaction. Robots are granted nothing.
 */
import { roles, type GrantedRole } from '../auth/roles.ts'
import { RegistryError } from '../oci/errors.ts'
import { namespaceOf, parseNamespaceName, type RepositoryName } from '../oci/repository-name.ts'
import { accountByName, type AccountRow } from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import {
  deleteGrant,
  listGrantedOwners,
  listMembers,
  setGrant,
  type GrantKey,
  type MemberPage,
  type MemberRow,
} from '../storage/metadata/grants.ts'
import {
  changeNamespace,
  createNamespace,
  deleteNamespace,
  listNamespaces,
  listNamespacesOf,
  measureNamespace,
  namespaceByName,
  renameNamespace,
  type NamespaceChange,
  type NamespaceContent,
  type NamespaceRow,
} from '../storage/metadata/namespaces.ts'
import { deleteRepositoriesOf, type Visibility } from '../storage/metadata/repositories.ts'
import type { Reader } from '../storage/metadata/schema.ts'
import { teamByName } from '../storage/metadata/teams.ts'
import { pageOf, type Page, type PageRequest } from './list.ts'
import { writeToFree, type Registry } from './registry.ts'

export interface NewNamespace {
  readonly name: string
  readonly description?: string
  /** Of its new repositories; absent: as the setting says. */
  readonly visibility?: Visibility
  /** Name of the account that owns it; absent: administrators alone manage it until someone is granted that. */
  readonly owner?: string
  /** Name of the account that creates it; null: the command line. */
  readonly by: string | null
  readonly nowMs: number
}

/** @throws {RegistryError} nameInvalid, nameTaken; parameterInvalid: the owner is nobody or a robot */
export async function addNamespace(database: Database, fresh: NewNamespace): Promise<void> {
  const { by, nowMs, owner, description = '', visibility = null } = fresh
  const name = parseNamespaceName(fresh.name)
  await database.write(async (tx) => {
    await requireNoAccount(tx, name)
    const namespaceId = await createNamespace(tx, { name, description, visibility, by, nowMs })
    if (namespaceId === undefined) throw new RegistryError('nameTaken', { message: `there is a namespace "${name}" already` })
    if (owner === undefined) return
    const { id: accountId } = await getPerson(tx, owner)
    await setGrant(tx, { namespaceId, repository: '', accountId, teamId: null, role: 'owner', by, nowMs })
  })
}

export interface DescribedNamespace extends NamespaceRow {
  /** Names of people, at most 100: the one whose name it has, then those who were granted it. */
  readonly owners: readonly string[]
}

/** @throws {RegistryError} namespaceUnknown */
export async function describeNamespace(database: Database, name: string): Promise<DescribedNamespace> {
  const db = database.read
  const row = await getNamespace(db, name)
  const person = await findPerson(db, name)
  const granted = await listGrantedOwners(db, { namespace: name, limit: 100 })
  return { ...row, owners: [...new Set([...(person ? [person.name] : []), ...granted])] }
}

/** What it holds, counted now. @throws {RegistryError} namespaceUnknown */
export async function contentOf(database: Database, name: string): Promise<NamespaceContent> {
  return measureNamespace(database.read, await getNamespace(database.read, name))
}

/** Namespaces by name: all, or those in which the account has a role. */
export async function namespacesFor(
  database: Database,
  account: { readonly id: number; readonly name: string } | 'all',
  page: PageRequest,
): Promise<Page<NamespaceRow>> {
  const { after } = page
  return pageOf(page, (limit) =>
    account === 'all' ? listNamespaces(database.read, { after, limit }) : listNamespacesOf(database.read, { account, after, limit }),
  )
}

/** Says no, by what it throws, to a namespace that is not what was expected; runs within the transaction. */
export type NamespaceCheck = (current: NamespaceRow) => void

export interface ChangedNamespace extends NamespaceChange {
  /** Another name, also for all its repositories: who pulls them has to use the new names from then on. */
  readonly name?: string
  readonly check?: NamespaceCheck
}

/**
 * Changes what is given, all at once; a visibility is that of new repositories, those that exist keep theirs.
 * @returns the namespace as it is now
 * @throws {RegistryError} namespaceUnknown, what `check` throws, and for another name those of previewRename
 */
export async function updateNamespace(
  database: Database,
  name: string,
  { check = () => undefined, name: to, ...change }: ChangedNamespace,
): Promise<NamespaceRow> {
  return database.write(async (tx) => {
    const current = await getNamespace(tx, name)
    check(current)
    await changeNamespace(tx, name, change)
    if (to === undefined || to === name) return { ...current, ...change }
    const { id } = await checkRename(tx, { from: name, to })
    await renameNamespace(tx, { id, from: name, to })
    return { ...current, ...change, name: to }
  })
}

/** What a removal would take away. @throws {RegistryError} those of removeNamespace, but for repositories that it holds */
export async function previewRemoval(database: Database, name: string): Promise<NamespaceContent> {
  return measureNamespace(database.read, await getRemovable(database.read, name))
}

/**
 * Removes a namespace with its grants and robots. The blobs of its repositories stay in the store.
 * @returns what went with it
 * @throws {RegistryError} namespaceUnknown; namespaceInUse: it is a person's, or holds repositories and `withRepositories` is not set;
 * deleteDisabled: it holds some; and what `check` throws
 */
export async function removeNamespace(
  registry: Registry,
  name: string,
  { withRepositories, check = () => undefined }: { withRepositories: boolean; check?: NamespaceCheck },
): Promise<NamespaceContent> {
  return writeToFree(registry, async (tx) => {
    const row = await getRemovable(tx, name)
    check(row)
    const content = await measureNamespace(tx, row)
    if (content.repositories > 0 && !withRepositories) {
      const message = `the namespace "${name}" holds ${content.repositories} repositories: delete them first, or say that they are to go with it`
      throw new RegistryError('namespaceInUse', { message })
    }
    if (content.repositories > 0 && !registry.rules.isDeleteEnabled) throw new RegistryError('deleteDisabled')
    await deleteRepositoriesOf(tx, { namespace: name, nowMs: registry.clock() })
    await deleteNamespace(tx, name)
    return content
  })
}

/**
 * What goes with a namespace to another name: everything in it.
 * @throws {RegistryError} namespaceUnknown, nameTaken; nameInvalid: also if a repository's name would become too long;
 * namespaceInUse: it is a person's
 */
export async function previewRename(database: Database, rename: { from: string; to: string }): Promise<NamespaceContent> {
  return (await checkRename(database.read, rename)).content
}

const maxRepositoryName = 255

async function checkRename(db: Reader, { from, to }: { from: string; to: string }): Promise<{ id: number; content: NamespaceContent }> {
  const row = await getRemovable(db, from)
  parseNamespaceName(to)
  await requireNoAccount(db, to)
  if (await namespaceByName.first(db, { name: to }))
    throw new RegistryError('nameTaken', { message: `there is a namespace "${to}" already` })
  const content = await measureNamespace(db, row)
  if (content.longest_name - from.length + to.length > maxRepositoryName) {
    throw new RegistryError('nameInvalid', {
      message: `a repository below "${to}" would have a name of more than ${maxRepositoryName} characters`,
    })
  }
  return { id: row.id, content }
}

/** Whom a role is granted: an account or a team, by name. */
export type Member = { readonly account: string } | { readonly team: string }

/** In all of a namespace, or in one repository, which need not be there yet. */
export interface GrantPlace {
  readonly namespace: string
  readonly repository?: RepositoryName
}

export interface RoleGrant extends GrantPlace {
  readonly member: Member
  readonly role: GrantedRole
  /** Name of the account that grants it; null: the command line. */
  readonly by: string | null
  readonly nowMs: number
}

/**
 * Grants a role in place of the one that the member had there. Acts on the next request.
 * @returns the grant, without its id
 * @throws {RegistryError} namespaceUnknown, teamUnknown; parameterInvalid: the account is nobody or a robot, `none` for all of a
 * namespace, or a repository of another one
 */
export async function grantRole(database: Database, grant: RoleGrant): Promise<Omit<MemberRow, 'id'>> {
  const { role, by, nowMs, member, repository = '' } = grant
  if (role === 'none' && repository === '') throw new RegistryError('parameterInvalid', { message: noneIsForRepositories })
  await database.write(async (tx) => setGrant(tx, { ...(await keyOf(tx, grant)), role, by, nowMs }))
  return { account: null, team: null, ...member, repository, role, granted_at_ms: nowMs, granted_by: by }
}

const noneIsForRepositories =
  'the role "none" takes away what a namespace gives, and so stands in a repository alone: revoke the role instead'

/** Takes a role away. Acts on the next request. @throws {RegistryError} memberUnknown, and those of grantRole */
export async function revokeRole(database: Database, revoked: GrantPlace & { readonly member: Member }): Promise<void> {
  const wasThere = await database.write(async (tx) => deleteGrant(tx, await keyOf(tx, revoked)))
  if (wasThere) return
  const { member, namespace, repository } = revoked
  const who = 'account' in member ? `"${member.account}"` : `the team "${member.team}"`
  throw new RegistryError('memberUnknown', { message: `${who} has no role of its own in ${repository ?? namespace}` })
}

/**
 * The grants in a namespace and its repositories, those in all of it first.
 * @param page.repository only those in one repository, or with an empty name in all of the namespace
 * @param page.after repository and id of the last one of the page before
 * @throws {RegistryError} namespaceUnknown
 */
export async function membersOf(database: Database, name: string, page: Omit<MemberPage, 'namespaceId'>): Promise<Page<MemberRow>> {
  const { id: namespaceId } = await getNamespace(database.read, name)
  return pageOf(page, (limit) => listMembers(database.read, { ...page, namespaceId, limit }))
}

/** @throws {RegistryError} parameterInvalid: it is none of the roles, which the message names */
export function parseRole(text: string): GrantedRole {
  const role = ([...roles, 'none'] as const).find((each) => each === text)
  if (role) return role
  const message = `a role is one of ${roles.join(', ')}, or none to take a repository away, not "${text.slice(0, 40)}"`
  throw new RegistryError('parameterInvalid', { message })
}

async function keyOf(db: Reader, { namespace, repository, member }: GrantPlace & { readonly member: Member }): Promise<GrantKey> {
  const { id: namespaceId } = await getNamespace(db, namespace)
  if (repository !== undefined && namespaceOf(repository) !== namespace)
    throw new RegistryError('parameterInvalid', { message: `${repository} is not in the namespace "${namespace}"` })
  const place = { namespaceId, repository: repository ?? '' }
  if ('account' in member) return { ...place, accountId: (await getPerson(db, member.account)).id, teamId: null }
  const team = await teamByName.first(db, { name: member.team })
  if (!team) throw new RegistryError('teamUnknown', { message: `there is no team "${member.team}"` })
  return { ...place, accountId: null, teamId: team.id }
}

async function getNamespace(db: Reader, name: string): Promise<NamespaceRow> {
  const row = await namespaceByName.first(db, { name })
  if (!row) throw unknownNamespace(name)
  return row
}

/** One that may go, or go by another name. */
async function getRemovable(db: Reader, name: string): Promise<NamespaceRow> {
  const row = await getNamespace(db, name)
  if (await findPerson(db, name)) {
    const message = `"${name}" is the namespace of the account of that name: it keeps its name and stays as long as the account does`
    throw new RegistryError('namespaceInUse', { message })
  }
  return row
}

async function requireNoAccount(db: Reader, name: string): Promise<void> {
  if (await findPerson(db, name))
    throw new RegistryError('nameTaken', { message: `"${name}" is the namespace of the account of that name: choose another` })
}

async function findPerson(db: Reader, name: string): Promise<AccountRow | undefined> {
  const row = await accountByName.first(db, { name })
  return row?.kind === 'person' ? row : undefined
}

/** @throws {RegistryError} parameterInvalid: there is no account of this name, or it is a robot's */
export async function getPerson(db: Reader, name: string): Promise<AccountRow> {
  const row = await accountByName.first(db, { name })
  if (!row) throw new RegistryError('parameterInvalid', { message: `there is no account "${name}"` })
  if (row.kind === 'robot')
    throw new RegistryError('parameterInvalid', { message: `"${name}" is a robot: it works in its namespace alone` })
  return row
}

/** A namespace that is not there, in the same words wherever it is missed. */
export function unknownNamespace(name: string): RegistryError {
  return new RegistryError('namespaceUnknown', { message: `there is no namespace "${name}"` })
}
