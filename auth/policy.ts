/**
 * The one gate: who may do what. Every right in the registry is decided by `isAllowed`, and the lists and tokens that
 * anticipate it (`listableBy`, `grantScopes`) stand beside it so that they cannot drift apart.
 *
 * Invariants: what no rule allows is denied. A repository that does not exist is decided exactly like a private one. An access
 * token never allows what its account may not, and what it does not cover is denied whoever may do it without.
 * Pure: no clock, no rows, no HTTP.
 */
import { isRepositoryName, namespaceOf, type NameRange, type RepositoryName } from '../oci/repository-name.ts'
import { coveredNames, covers } from './access-token.ts'
import type { Account, Identity } from './identity.ts'
import { repositoryActions, type Access, type Action } from './scope.ts'

/** Who may pull without owning the namespace: nobody, any signed-in account, anyone. */
export type Visibility = 'private' | 'internal' | 'public'

export interface PolicySettings {
  /** Everyone may pull, push and delete in every repository without a login; administration and settings stay closed. */
  readonly isOpen: boolean
}

export type Request =
  /** To learn that this is a registry and that one is signed in. */
  | { readonly kind: 'base' }
  | {
      readonly kind: 'repository'
      readonly action: Action
      readonly name: RepositoryName
      /** undefined: there is no such repository. */
      readonly visibility: Visibility | undefined
    }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'administration' }
  /** To change who may see a repository. */
  | { readonly kind: 'settings'; readonly name: RepositoryName }
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
  if (request.kind === 'repository') return covers(token.scopes, request.action, request.name)
  return covers(token.scopes, 'admin', request.kind === 'settings' ? request.name : undefined)
}

function mayAccount(settings: PolicySettings, identity: Identity, request: Request): boolean {
  const account = identity.kind === 'account' ? identity.account : undefined
  if (account?.isDisabled) return false
  if (account?.isAdmin) return true
  switch (request.kind) {
    case 'repository':
      return settings.isOpen || worksIn(account, request.name) || (request.action === 'pull' && mayPull(account, request.visibility))
    case 'settings':
      return ownsNamespace(account, request.name)
    case 'base':
      return true
    case 'catalog':
      // Anyone may ask: the answer holds only what `listableBy` lets through.
      return true
    case 'administration':
    case 'metrics':
    default:
      return false
  }
}

/** A person's own name is a namespace of theirs. A robot's is not: it is owned itself. */
function ownsNamespace(account: Account | undefined, name: RepositoryName): boolean {
  return account?.kind === 'person' && namespaceOf(name) === account.name
}

/** Who may pull, push and delete: the owner, and a robot of the namespace, which does there what a maintainer does. */
function worksIn(account: Account | undefined, name: RepositoryName): boolean {
  return ownsNamespace(account, name) || (account?.kind === 'robot' && namespaceOf(name) === account.robotOf)
}

function mayPull(account: Account | undefined, visibility: Visibility | undefined): boolean {
  return visibility !== undefined && openTo(account).includes(visibility)
}

/** The visibilities that let this caller pull from a namespace which is not its own. */
function openTo(account: Account | undefined): readonly Visibility[] {
  return account ? ['internal', 'public'] : ['public']
}

/** Which repositories a list may name: all, or those of the namespaces together with those of the visibilities. */
export type Listing = (
  | { readonly kind: 'all' }
  | { readonly kind: 'some'; readonly namespaces: readonly string[]; readonly visibilities: readonly Visibility[] }
) & {
  /** Of these only the ones with such names; absent: whatever they are called. */
  readonly within?: readonly NameRange[]
}

/** Exactly the repositories that this identity may pull, as a filter for catalog and search. */
export function listableBy(settings: PolicySettings, identity: Identity): Listing {
  const within = identity.kind === 'account' && identity.token ? coveredNames(identity.token.scopes, 'pull') : undefined
  const listing = listableByAccount(settings, identity.kind === 'account' ? identity.account : undefined)
  return within === undefined ? listing : { ...listing, within }
}

function listableByAccount(settings: PolicySettings, account: Account | undefined): Listing {
  if (account?.isDisabled) return { kind: 'some', namespaces: [], visibilities: [] }
  if (account?.isAdmin || settings.isOpen) return { kind: 'all' }
  const own = account?.kind === 'robot' ? account.robotOf : account?.name
  return { kind: 'some', namespaces: own === undefined ? [] : [own], visibilities: openTo(account) }
}

export interface ScopeWish {
  readonly identity: Identity
  readonly requested: readonly Access[]
  /** Asked once per repository, by a name that is valid; undefined: there is no such repository. */
  readonly visibilityOf: (name: RepositoryName) => Promise<Visibility | undefined>
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
  if (!isRepositoryName(name)) return []
  const asked = access.actions.includes('*') ? repositoryActions : repositoryActions.filter((action) => access.actions.includes(action))
  if (asked.length === 0) return []
  const visibility = await wish.visibilityOf(name)
  return asked.filter((action) => isAllowed(settings, wish.identity, { kind: 'repository', action, name, visibility }))
}

function grantRegistry(settings: PolicySettings, wish: ScopeWish, access: Access): string[] {
  const isCatalog = access.type === 'registry' && access.name === 'catalog' && access.actions.includes('*')
  return isCatalog && isAllowed(settings, wish.identity, { kind: 'catalog' }) ? ['*'] : []
}
