/**
 * The one gate: who may do what. Every right in the registry is decided by `isAllowed`, and the lists and tokens that
 * anticipate it (`listableBy`, `grantScopes`) stand beside it so that they cannot drift apart.
 *
 * Invariants: what no rule allows is denied. A repository that does not exist is decided exactly like a private one.
 * Pure: no clock, no rows, no HTTP.
 */
import { isRepositoryName, namespaceOf, type RepositoryName } from '../oci/repository-name.ts'
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

/** Whether this identity may do this. How it proved who it is, and what its token covers, is authorize.ts's part. */
export function isAllowed(settings: PolicySettings, identity: Identity, request: Request): boolean {
  const account = identity.kind === 'account' ? identity.account : undefined
  if (account?.isDisabled) return false
  if (account?.isAdmin) return true
  switch (request.kind) {
    case 'repository':
      return settings.isOpen || ownsNamespace(account, request.name) || (request.action === 'pull' && mayPull(account, request.visibility))
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

function ownsNamespace(account: Account | undefined, name: RepositoryName): boolean {
  return account !== undefined && namespaceOf(name) === account.name
}

function mayPull(account: Account | undefined, visibility: Visibility | undefined): boolean {
  return visibility !== undefined && openTo(account).includes(visibility)
}

/** The visibilities that let this caller pull from a namespace which is not its own. */
function openTo(account: Account | undefined): readonly Visibility[] {
  return account ? ['internal', 'public'] : ['public']
}

/** Which repositories a list may name: all, or those of the namespaces together with those of the visibilities. */
export type Listing =
  | { readonly kind: 'all' }
  | { readonly kind: 'some'; readonly namespaces: readonly string[]; readonly visibilities: readonly Visibility[] }

/** Exactly the repositories that this identity may pull, as a filter for catalog and search. */
export function listableBy(settings: PolicySettings, identity: Identity): Listing {
  const account = identity.kind === 'account' ? identity.account : undefined
  if (account?.isDisabled) return { kind: 'some', namespaces: [], visibilities: [] }
  if (account?.isAdmin || settings.isOpen) return { kind: 'all' }
  return { kind: 'some', namespaces: account ? [account.name] : [], visibilities: openTo(account) }
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
