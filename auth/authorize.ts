/**
 * The door in front of the policy: joins what a caller may do with what its token covers, and says no in the way that
 * makes a client do the right thing next and that a person can act on.
 *
 * Invariant: neither reason nor message depends on whether a repository exists beyond what the caller may see anyway.
 */
import { RegistryError } from '../oci/errors.ts'
import { namespaceOf, type RepositoryName } from '../oci/repository-name.ts'
import { describeTokenScopes, type TokenScope } from './access-token.ts'
import type { Account, AccountIdentity, Caller, HeldToken, Identity } from './identity.ts'
import { isAllowed, isWithinToken, mayGiveOut, type PolicySettings, type Request } from './policy.ts'
import { leastRoleFor, type Role } from './roles.ts'
import { catalogAccess, covers, formatScope, type Access, type Action, type WantedAction } from './scope.ts'

/**
 * Returns if the caller may do this now.
 * @throws {RegistryError} unauthenticated: no credentials
 * @throws {RegistryError} scopeInsufficient: the token does not cover it, whether or not the account could have one that does;
 *   or it is an anonymous one whose grant no longer holds
 * @throws {RegistryError} denied: the caller is known and may not, or the access token that it shows does not cover it
 */
export function authorize(settings: PolicySettings, caller: Caller, request: Request): void {
  const allowed = isAllowed(settings, caller.identity, request)
  if (settings.isOpen && allowed && (request.kind === 'repository' || request.kind === 'catalog' || request.kind === 'base')) return
  // Even for a public repository: docker, podman and crane learn only from this answer that there is a way to sign in.
  if (caller.via === 'nothing') throw new RegistryError('unauthenticated', { message: lacksRight(caller.identity, request) })
  if (!isCovered(caller.access, request)) {
    throw new RegistryError('scopeInsufficient', { message: allowed ? lacksScope(request) : lacksRight(caller.identity, request) })
  }
  if (allowed) return
  // An anonymous token that no longer suffices counts as too narrow: with that word clients fetch another or ask for a login.
  const reason = caller.identity.kind === 'anonymous' ? 'scopeInsufficient' : 'denied'
  throw new RegistryError(reason, { message: lacksRight(caller.identity, request) })
}

/**
 * Returns if the caller may give out an access token of these scopes.
 * @throws {RegistryError} denied: by an access token that does not hold them itself
 */
export function authorizeScopes({ identity }: Caller, scopes: readonly TokenScope[]): void {
  if (mayGiveOut(identity, scopes) || identity.kind !== 'account' || !identity.token) return
  const { name, scopes: held } = identity.token
  const message = `the access token "${name}" covers ${describeTokenScopes(held)}, and gives out none for ${describeTokenScopes(scopes)}: sign in with the password`
  throw new RegistryError('denied', { message })
}

function isCovered(access: readonly Access[] | undefined, request: Request): boolean {
  if (access === undefined || request.kind === 'base') return true
  const wanted = scopeOf(request)
  return wanted !== undefined && covers(access, wanted)
}

/** What a token must cover for this; undefined: no token of the registry protocol opens it. */
function scopeOf(request: Request): Access | WantedAction | undefined {
  if (request.kind === 'repository') return { type: 'repository', name: request.name, action: request.action }
  return request.kind === 'catalog' ? catalogAccess : undefined
}

function lacksScope(request: Request): string {
  if (request.kind === 'repository') {
    const scope = formatScope({ type: 'repository', name: request.name, actions: [request.action] })
    return `the token does not cover ${request.action} on ${request.name}: ask for the scope ${scope}`
  }
  if (request.kind === 'catalog') return 'the token does not cover the catalog: ask for the scope registry:catalog:*'
  return 'a token of the registry protocol does not open this: sign in with user name and password'
}

function lacksRight(identity: Identity, request: Request): string {
  if (identity.kind === 'anonymous') return `authentication required: log in to ${inWords(request)}`
  if (identity.token && !isWithinToken(identity, request)) return lacksTokenScope(identity, identity.token, request)
  const { account } = identity
  const instead = canPushBelowOwnName(account, request) ? `push to ${account.name}/${restOf(request.name)}, or ` : ''
  const who = account.kind === 'robot' ? 'robot' : 'account'
  return `${who} "${account.name}" may not ${inWords(request)}${whyNot(account, request)}: ${instead}ask ${whomToAsk(request)} for it`
}

function canPushBelowOwnName(account: Account, request: Request): request is Request & { kind: 'repository' } {
  return account.kind === 'person' && request.kind === 'repository' && request.action === 'push'
}

/** What is missing, as a part of the sentence. */
function whyNot(account: Account, request: Request): string {
  const namespace = namespaceIn(request)
  if (namespace === undefined || account.isDisabled) return ''
  if (account.kind === 'robot') return account.robotOf === namespace ? '' : `, because it works in ${account.robotOf} alone`
  if ('isNamespaceAbsent' in request && request.isNamespaceAbsent && isPush(request))
    return `, because there is no namespace ${namespace} and only administrators create one`
  return `, which takes the role ${roleNeeded(request)}`
}

function isPush(request: Request): boolean {
  return request.kind === 'repository' && request.action === 'push'
}

function roleNeeded(request: Request): Role {
  if (request.kind === 'repository') return leastRoleFor(request.action)
  return request.kind === 'namespace' && request.action === 'see' ? 'reader' : 'owner'
}

function whomToAsk(request: Request): string {
  const namespace = namespaceIn(request)
  if (namespace === undefined || ('isNamespaceAbsent' in request && request.isNamespaceAbsent && isPush(request))) return 'an administrator'
  const owners = ('owners' in request && request.owners) || []
  return `${owners.length > 0 ? owners.join(', ') : `an owner of ${namespace}`} or an administrator`
}

/** The namespace whose owners could grant this; undefined: it is not theirs to grant. */
function namespaceIn(request: Request): string | undefined {
  if (request.kind === 'namespace') return request.namespace
  return 'name' in request ? namespaceOf(request.name) : undefined
}

/** The same whether or not the account could: otherwise a narrow token would tell which repositories there are beyond it. */
function lacksTokenScope({ account }: AccountIdentity, token: HeldToken, request: Request): string {
  if (request.kind === 'credentials') return `no access token may ${inWords(request)}: sign in with the password`
  const missing = request.kind === 'repository' ? `${nouns[request.action]} ${request.name}` : `what it takes to ${inWords(request)}`
  const toAsk = account.robotOf === undefined ? account.name : `an owner of ${account.robotOf}`
  return `the access token "${token.name}" covers ${describeTokenScopes(token.scopes)}, not ${missing}: ask ${toAsk} for a token that does`
}

/** A name without its namespace; the whole of one that is no more than that, such as `hello-world`. */
function restOf(name: RepositoryName): string {
  return name.slice(name.indexOf('/') + 1)
}

function inWords(request: Request): string {
  if (request.kind === 'repository') return `${verbs[request.action]} ${request.name}`
  if (request.kind === 'settings') return `change the settings of ${request.name}`
  if (request.kind === 'namespace') return `${request.action} the namespace ${request.namespace}`
  if (request.kind === 'team') return `${teamVerbs[request.action]} the team ${request.team}`
  if (request.kind === 'account') return `see or change the account ${request.account}`
  if (request.kind === 'credentials') return 'change the password or the second factor of an account'
  return wholeRegistry[request.kind]
}

const verbs = { pull: 'pull', push: 'push to', delete: 'delete from' } as const satisfies Record<Action, string>

const nouns = { pull: 'pull on', push: 'push to', delete: 'delete in' } as const satisfies Record<Action, string>

const teamVerbs = { see: 'see', members: 'change the members of', manage: 'manage' } as const

const wholeRegistry = {
  base: 'use this registry',
  catalog: 'list the repositories',
  administration: 'administer this registry',
  namespaceCreation: 'create namespaces',
  directory: 'list namespaces and teams',
  metrics: 'read the metrics',
} as const satisfies Partial<Record<Request['kind'], string>>
