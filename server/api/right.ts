/**
 * What a caller must be allowed to do for an operation, and the check of it. Who may do what is the policy's part.
 *
 * Invariant: a repository, a namespace, a team that the caller may not see is answered exactly like one that is not there.
 */
import { accountNameOf, type Account, type Caller } from '../../auth/identity.ts'
import { isWithinToken, type Request } from '../../auth/policy.ts'
import type { Action } from '../../auth/scope.ts'
import { isRegistryError, RegistryError, type ErrorReason } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import { unknownRepository } from '../../registry/change-repository.ts'
import { unknownNamespace } from '../../registry/namespaces.ts'
import { unknownTeam } from '../../registry/teams.ts'
import { findInTrash } from '../../registry/trash.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import type { Services } from '../services.ts'

/** What of a request decides whether it is allowed. */
export interface Asked {
  /** The path's parameters, parsed. */
  readonly path: Readonly<Record<string, unknown>>
  /** Of the parameter `name`; undefined: there is none, or the path names none. */
  readonly repository: RepositoryRow | undefined
}

export interface Right {
  /** For the documentation: what one must be allowed. */
  readonly text: string
  readonly requestOf: (asked: Asked, caller: Caller, services: Services) => Request | Promise<Request>
  /** What is said to who may not even see it; absent: that there is no such repository, namespace or team. */
  readonly hiddenAs?: ErrorReason
}

export const signedIn: Right = { text: 'to be signed in', requestOf: () => ({ kind: 'base' }) }
export const listing: Right = {
  text: 'to be signed in; what may not be pulled is left out',
  requestOf: () => ({ kind: 'catalog' }),
}
export const administration: Right = { text: 'to be an administrator', requestOf: () => ({ kind: 'administration' }) }
/** What concerns the account that `{account}` in the path names. */
export const ofAccount: Right = {
  text: 'to be that account, or an administrator',
  requestOf: ({ path }) => ({ kind: 'account', account: String(path['account']) }),
}
export const ofCaller: Right = {
  text: 'to be signed in as a person, not a robot; an access token needs the scope admin',
  requestOf: (_asked, caller) => ({ kind: 'account', account: accountNameOf(caller.identity) ?? '' }),
}
/** What opens the caller's own account. */
export const ownCredentials: Right = {
  text: 'to be signed in as a person, without an access token',
  requestOf: (_asked, caller) => ({ kind: 'credentials', account: accountNameOf(caller.identity) ?? '' }),
}
/** To change what belongs to the namespace that `{namespace}` in the path names. */
export const ofNamespaceOwner: Right = {
  text: 'to own the namespace, or to be an administrator',
  requestOf: ({ path }) => ({ kind: 'namespace', action: 'manage', namespace: String(path['namespace']) }),
}
export const settings: Right = {
  text: 'to change the settings of the repository',
  requestOf: (asked) => ({ kind: 'settings', name: nameIn(asked) }),
}

export const directory: Right = {
  text: 'to be signed in, with an access token one for `admin`; what may not be seen is left out',
  requestOf: () => ({ kind: 'directory' }),
}
export const namespaceCreation: Right = {
  text: 'to create namespaces, as the setting `namespaces.create` says',
  requestOf: () => ({ kind: 'namespaceCreation' }),
}

/** A right on the namespace that `{namespace}` in the path names. */
export function onNamespace(action: 'see' | 'manage'): Right {
  const words = { see: 'a role in the namespace', manage: 'to own the namespace' } as const
  return { text: words[action], requestOf: (asked) => ({ kind: 'namespace', action, namespace: textIn(asked, 'namespace') }) }
}

/** A right on the team that `{team}` in the path names. */
export function onTeam(action: 'see' | 'members' | 'manage'): Right {
  const words = { see: 'to be in the team', members: 'to manage the team', manage: 'to be an administrator' } as const
  return { text: words[action], requestOf: (asked) => ({ kind: 'team', action, team: textIn(asked, 'team') }) }
}

/** A right on the repository that `{name}` in the path names. */
export function onRepository(action: Action): Right {
  const words = { pull: 'pull from', push: 'push to', delete: 'delete from' } as const
  return {
    text: `to ${words[action]} the repository`,
    requestOf: (asked) => ({ kind: 'repository', action, name: nameIn(asked), visibility: asked.repository?.visibility }),
  }
}

/** No repository is called so: what nobody but an administrator may do is asked of it. */
const noRepository = '-' as RepositoryName

/** A right on what the item `{item}` of the trash was. Purging takes more than restoring: it cannot be undone. */
export function onTrashItem(deed: 'restore' | 'purge'): Right {
  return {
    text:
      deed === 'restore'
        ? 'to delete from the repository that it was in; for a whole repository, to change its settings'
        : 'to change the settings of the repository that it was in',
    hiddenAs: 'trashItemUnknown',
    requestOf: async ({ path }, _caller, { registry }) => {
      const item = await findInTrash(registry, Number(path['item']))
      // Whoever has a namespace of the same name now has no part in what the one before held.
      if (item === undefined || item.namespace === '') return { kind: 'settings', name: noRepository }
      if (item.kind === 'repository' || deed === 'purge') return { kind: 'settings', name: item.repository }
      return { kind: 'repository', action: 'delete', name: item.repository, visibility: undefined }
    },
  }
}

/** Returns if the caller may. @throws {RegistryError} those of authorize; of what it may not even see, that it is unknown */
export async function admit(services: Services, caller: Caller, { right, asked }: { right: Right; asked: Asked }): Promise<void> {
  const request = await right.requestOf(asked, caller, services)
  try {
    await services.rights.authorize(caller, request)
  } catch (error) {
    // That an access token does not cover it is said whether or not there is such a thing.
    const sight = isRegistryError(error, 'denied') && isWithinToken(caller.identity, request) ? sightOf(request, asked) : undefined
    if (sight && !(await services.rights.isAllowed(caller.identity, sight.request)))
      throw right.hiddenAs === undefined ? sight.unknown : new RegistryError(right.hiddenAs)
    throw error
  }
}

/**
 * Whether the caller may do this as well, for operations that are open to more than may do all of it. Without an account come only those
 * who work on the data folder itself, and may everything: over HTTP no operation that asks this lets anyone in without one.
 */
export async function mayAlso({ rights }: Services, { identity }: Caller, request: Request): Promise<boolean> {
  return identity.kind === 'anonymous' || rights.isAllowed(identity, request)
}

/** Whose namespaces and teams a list holds: all, to administrators and on the data folder itself; else those of the account. */
export async function directoryFor(services: Services, caller: Caller): Promise<Account | 'all'> {
  const { identity } = caller
  if (identity.kind === 'anonymous' || (await mayAlso(services, caller, { kind: 'administration' }))) return 'all'
  return identity.account
}

/** What one must be allowed to learn that there is what is asked for, and what others are told; undefined: it is no secret. */
function sightOf(request: Request, { repository }: Asked): { request: Request; unknown: RegistryError } | undefined {
  if ('name' in request) {
    const { name } = request
    return {
      request: { kind: 'repository', action: 'pull', name, visibility: repository?.visibility },
      unknown: unknownRepository(name),
    }
  }
  if (request.kind === 'namespace') return { request: { ...request, action: 'see' }, unknown: unknownNamespace(request.namespace) }
  return request.kind === 'team' ? { request: { ...request, action: 'see' }, unknown: unknownTeam(request.team) } : undefined
}

function nameIn(asked: Asked): RepositoryName {
  return textIn(asked, 'name') as RepositoryName
}

function textIn({ path }: Asked, parameter: string): string {
  const text = path[parameter]
  if (typeof text !== 'string') throw new RegistryError('internal', { cause: new Error(`a right that needs {${parameter}} in the path`) })
  return text
}
