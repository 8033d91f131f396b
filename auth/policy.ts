/**
 * The one gate: who may do what. Every right in the registry is decided by `isAllowed`, and the lists and tokens that
 * anticipate it (`listableBy`, `grantScopes`) stand beside it so that they cannot drift apart.
 *
 * Invariants: what no rule allows is denied. A repository that does not exist is decided exactly like a private one. An access
 * token never allows what its account may not, and what it does not cover is denied whoever may do it without.
 * Pure: no clock, no rows, no HTTP; what grants give a caller is looked up by registry/rights.ts and stands in the request.
 */
import { isRepositoryName, namespaceOf, type NameRange, type RepositoryName } from '../oci/repository-name.ts'
import { coveredNames, covers, includesScopes, type TokenScope } from './access-token.ts'
import type { Account, Identity } from './identity.ts'
import { allows, pullableBy, type Grant, type GrantedRole } from './roles.ts'
import { repositoryActions, type Access, type Action } from './scope.ts'

/** Who may pull without a role in the namespace: nobody, any signed-in account, anyone. */
export type Visibility = 'private' | 'internal' | 'public'

export interface PolicySettings {
  /** Everyone may pull, push and delete in every repository without a login; administration and settings stay closed. */
  readonly isOpen: boolean
  /** Who may create a namespace that is not of their own name; undefined: administrators. */
  readonly namespaceCreation?: 'everyone' | 'administrators'
}

/** What rows say about one account in one place. */
export interface Standing {
  /** What grants give the account there; undefined: no grant is about it. */
  readonly role?: GrantedRole | undefined
  /** There is no such namespace yet: pushing into it would create it. */
  readonly isNamespaceAbsent?: boolean
  /** Who could give more: for the words of a refusal alone, never for its reason. */
  readonly owners?: readonly string[]
}

export type Request =
  /** To learn that this is a registry and that one is signed in. */
  | { readonly kind: 'base' }
  | ({
      readonly kind: 'repository'
      readonly action: Action
      readonly name: RepositoryName
      /** undefined: there is no such repository. */
      readonly visibility: Visibility | undefined
    } & Standing)
  | { readonly kind: 'catalog' }
  | { readonly kind: 'administration' }
  /** To change who may see a repository. */
  | ({ readonly kind: 'settings'; readonly name: RepositoryName } & Standing)
  /** To see a namespace and its members, or to change them and its settings. */
  | ({ readonly kind: 'namespace'; readonly action: 'see' | 'manage'; readonly namespace: string } & Standing)
  | { readonly kind: 'namespaceCreation' }
  /** To list namespaces and teams: what the caller may not see is left out. */
  | { readonly kind: 'directory' }
  /** To see who is in a team, to add and remove members, or to make, describe and remove the team and name its managers. */
  | {
      readonly kind: 'team'
      readonly action: 'see' | 'members' | 'manage'
      readonly team: string
      /** Of the caller in the team; absent: in none, or not looked up. */
      readonly membership?: 'member' | 'manager' | undefined
    }
  /** To see or change what concerns one account; those of others are administration. */
  | { readonly kind: 'account'; readonly account: string }
  /** To change the own password or second factor: what opens the account, so that no access token will do. */
  | { readonly kind: 'credentials'; readonly account: string }
  | { readonly kind: 'metrics' }

/**
 * Whether this identity may do this, within its access token if it shows one. What a token of the registry protocol covers is
 * authorize.ts's part.
 */
export function isAllowed(settings: PolicySettings, identity: Identity, request: Request): boolean {
  return isWithinToken(identity, request) && mayAccount(settings, identity, request)
}

/** Whether the access token that this identity shows, if any, covers this. */
export function isWithinToken(identity: Identity, request: Request): boolean {
  const token = identity.kind === 'account' ? identity.token : undefined
  if (!token || request.kind === 'base' || request.kind === 'catalog') return true
  if (request.kind === 'credentials') return false
  if (request.kind === 'repository') return covers(token.scopes, request.action, request.name)
  return covers(token.scopes, 'admin', request.kind === 'settings' ? request.name : undefined)
}

/** Whether this identity may give out an access token of these scopes: by an access token none that does more than it. */
export function mayGiveOut(identity: Identity, scopes: readonly TokenScope[]): boolean {
  const token = identity.kind === 'account' ? identity.token : undefined
  return !token || includesScopes(token.scopes, scopes)
}

function mayAccount(settings: PolicySettings, identity: Identity, request: Request): boolean {
  const account = identity.kind === 'account' ? identity.account : undefined
  if (account?.isDisabled) return false
  if (isAdministrator(account) && request.kind !== 'credentials') return true
  // Anyone may ask for the catalog: the answer holds only what `listableBy` lets through.
  if (request.kind === 'base' || request.kind === 'catalog') return true
  if (request.kind === 'repository') return settings.isOpen || mayUse(settings, account, request)
  if (request.kind === 'settings') return roleOf(account, namespaceOf(request.name), request) === 'owner'
  if (request.kind === 'namespace') return mayTouch(account, request)
  return account?.kind === 'person' && mayManage(settings, account, request)
}

function isAdministrator(account: Account | undefined): boolean {
  return account !== undefined && account.isAdmin && account.kind === 'person'
}

function mayUse(settings: PolicySettings, account: Account | undefined, request: Request & { kind: 'repository' }): boolean {
  const { action, visibility } = request
  if (allows(roleOf(account, namespaceOf(request.name), request), action)) return true
  if (action === 'pull' && visibility !== undefined && openTo(account).includes(visibility)) return true
  // Whoever pushes into it first creates it and owns it then; clients look before they push.
  return request.isNamespaceAbsent === true && mayCreateNamespaces(settings, account)
}

function mayTouch(account: Account | undefined, request: Request & { kind: 'namespace' }): boolean {
  const role = roleOf(account, request.namespace, request)
  return role === 'owner' || (request.action === 'see' && allows(role, 'pull'))
}

/** What is not about one place, for people alone. */
function mayManage(settings: PolicySettings, account: Account, request: Request): boolean {
  if (request.kind === 'team') return teamActions[request.membership ?? 'stranger'].includes(request.action)
  if (request.kind === 'namespaceCreation') return mayCreateNamespaces(settings, account)
  if (request.kind === 'directory') return true
  return (request.kind === 'account' || request.kind === 'credentials') && account.name === request.account
}

const teamActions: Readonly<Record<'stranger' | 'member' | 'manager', readonly string[]>> = {
  stranger: [],
  member: ['see'],
  manager: ['see', 'members'],
}

function mayCreateNamespaces(settings: PolicySettings, account: Account | undefined): boolean {
  return settings.namespaceCreation === 'everyone' && account?.kind === 'person'
}

/** The role in a namespace: the owner's in that of one's own name, a robot's in its own and nowhere else, a person's by grants. */
function roleOf(account: Account | undefined, namespace: string, { role }: Standing): GrantedRole | undefined {
  if (account === undefined) return undefined
  if (account.kind === 'robot') return account.robotOf === namespace ? 'maintainer' : undefined
  return account.name === namespace ? 'owner' : role
}

/** The visibilities that let this caller pull where it has no role. */
function openTo(account: Account | undefined): readonly Visibility[] {
  return account ? ['internal', 'public'] : ['public']
}

/** Whether grants can change anything for this identity: only then are they worth a look. */
export function isGrantable(identity: Identity): identity is Identity & { kind: 'account' } {
  return identity.kind === 'account' && identity.account.kind === 'person' && !identity.account.isAdmin && !identity.account.isDisabled
}

/**
 * Which repositories a list may name: all, or those of the namespaces but for the ones of `without`, together with those of
 * the visibilities and those named.
 */
export type Listing = (
  | { readonly kind: 'all' }
  | {
      readonly kind: 'some'
      readonly namespaces: readonly string[]
      readonly visibilities: readonly Visibility[]
      readonly repositories: readonly string[]
      readonly without: readonly string[]
    }
) & {
  /** Of these only the ones with such names; absent: whatever they are called. */
  readonly within?: readonly NameRange[]
}

/** Exactly the repositories that this identity may pull, as a filter for catalog and search. `grants`: all that it has. */
export function listableBy(settings: PolicySettings, identity: Identity, grants: readonly Grant[]): Listing {
  const within = identity.kind === 'account' && identity.token ? coveredNames(identity.token.scopes, 'pull') : undefined
  const listing = listableByAccount(settings, identity.kind === 'account' ? identity.account : undefined, grants)
  return within === undefined ? listing : { ...listing, within }
}

function listableByAccount(settings: PolicySettings, account: Account | undefined, grants: readonly Grant[]): Listing {
  const nothing = { kind: 'some', namespaces: [], visibilities: [], repositories: [], without: [] } as const
  if (account?.isDisabled) return nothing
  if ((account?.isAdmin && account.kind === 'person') || settings.isOpen) return { kind: 'all' }
  const visibilities = openTo(account)
  if (!account) return { ...nothing, visibilities }
  if (account.kind === 'robot') return { ...nothing, visibilities, namespaces: account.robotOf === undefined ? [] : [account.robotOf] }
  // In the namespace of one's own name grants change nothing.
  const { namespaces, repositories, without } = pullableBy(grants.filter((grant) => grant.namespace !== account.name))
  return { kind: 'some', visibilities, namespaces: [account.name, ...namespaces], repositories, without }
}

export interface ScopeWish {
  readonly identity: Identity
  readonly requested: readonly Access[]
  /** Asked once per repository, by a name that is valid; undefined: there is no such repository. */
  readonly visibilityOf: (name: RepositoryName) => Promise<Visibility | undefined>
  /** Asked only for what the identity may not do without it. */
  readonly standingIn: (name: RepositoryName) => Promise<Standing>
}

/**
 * What of the requested scopes this identity gets: the part that it may do. Names that are not valid, and entries of
 * which nothing is left, are dropped; `*` becomes every action that is allowed.
 */
export async function grantScopes(settings: PolicySettings, wish: ScopeWish): Promise<Access[]> {
  const granted: Access[] = []
  for (const access of wish.requested) {
    const actions = access.type === 'repository' ? await grantRepository(settings, wish, access) : grantRegistry(settings, wish, access)
    if (actions.length > 0) granted.push({ type: access.type, name: access.name, actions })
  }
  return granted
}

async function grantRepository(settings: PolicySettings, wish: ScopeWish, access: Access): Promise<Action[]> {
  const { name } = access
  const { identity } = wish
  if (!isRepositoryName(name)) return []
  const asked = access.actions.includes('*') ? repositoryActions : repositoryActions.filter((action) => access.actions.includes(action))
  if (asked.length === 0) return []
  const visibility = await wish.visibilityOf(name)
  const allowedBy = (standing: Standing) =>
    asked.filter((action) => isAllowed(settings, identity, { kind: 'repository', action, name, visibility, ...standing }))
  const anyway = allowedBy({})
  if (anyway.length === asked.length || !isGrantable(identity)) return anyway
  return allowedBy(await wish.standingIn(name))
}

function grantRegistry(settings: PolicySettings, wish: ScopeWish, access: Access): string[] {
  const isCatalog = access.type === 'registry' && access.name === 'catalog' && access.actions.includes('*')
  return isCatalog && isAllowed(settings, wish.identity, { kind: 'catalog' }) ? ['*'] : []
}
