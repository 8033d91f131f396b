/**
 * The door in front of the policy: joins what a caller may do with what its token covers, and says no in the way that
 * makes a client do the right thing next and that a person can act on.
 *
 * Invariant: neither reason nor message depends on whether a repository exists beyond what the caller may see anyway.
 */
import { RegistryError } from '../oci/errors.ts'
import { namespaceOf, type RepositoryName } from '../oci/repository-name.ts'
import { describeTokenScopes } from './access-token.ts'
import type { AccountIdentity, Caller, HeldToken, Identity } from './identity.ts'
import { isAllowed, isWithinToken, type PolicySettings, type Request } from './policy.ts'
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
  const { name: account, kind, robotOf = '' } = identity.account
  if (kind === 'robot') return `robot "${account}" may not ${inWords(request)}, because it works in ${robotOf} alone`
  const toAsk = 'name' in request ? `${namespaceOf(request.name)} or an administrator` : 'an administrator'
  const instead = request.kind === 'repository' && request.action === 'push' ? `push to ${account}/${restOf(request.name)}, or ` : ''
  return `account "${account}" may not ${inWords(request)}: ${instead}ask ${toAsk} for it`
}

/** The same whether or not the account could: otherwise a narrow token would tell which repositories there are beyond it. */
function lacksTokenScope({ account }: AccountIdentity, token: HeldToken, request: Request): string {
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
  return wholeRegistry[request.kind]
}

const verbs = { pull: 'pull', push: 'push to', delete: 'delete from' } as const satisfies Record<Action, string>

const nouns = { pull: 'pull on', push: 'push to', delete: 'delete in' } as const satisfies Record<Action, string>

const wholeRegistry = {
  base: 'use this registry',
  catalog: 'list the repositories',
  administration: 'administer this registry',
  metrics: 'read the metrics',
} as const satisfies Partial<Record<Request['kind'], string>>
