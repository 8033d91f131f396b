/**
 * What a caller must be allowed to do for an operation, and the check of it. Who may do what is the policy's part.
 *
 * Invariant: a repository that the caller may not see is answered exactly like one that is not there.
 */
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import { isWithinToken, type Request } from '../../auth/policy.ts'
import type { Action } from '../../auth/scope.ts'
import { isRegistryError, RegistryError, type ErrorReason } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import { unknownRepository } from '../../registry/change-repository.ts'
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
  /** What is said to who may not even see it; absent: that there is no such repository. */
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

/** Returns if the caller may. @throws {RegistryError} those of authorize; nameUnknown: it may not even see the repository */
export async function admit(services: Services, caller: Caller, { right, asked }: { right: Right; asked: Asked }): Promise<void> {
  const request = await right.requestOf(asked, caller, services)
  try {
    await services.rights.authorize(caller, request)
  } catch (error) {
    // That an access token does not cover it is said whether or not there is such a repository.
    const isHiding = isRegistryError(error, 'denied') && 'name' in request && isWithinToken(caller.identity, request)
    if (isHiding && !(await maySee(services, caller, { name: request.name, asked })))
      throw right.hiddenAs === undefined ? unknownRepository(request.name) : new RegistryError(right.hiddenAs)
    throw error
  }
}

/** By the account alone: that a token covers less hides nothing from whoever holds it. */
async function maySee(services: Services, { identity }: Caller, { name, asked }: { name: RepositoryName; asked: Asked }): Promise<boolean> {
  const { repository } = asked
  return services.rights.isAllowed(identity, { kind: 'repository', action: 'pull', name, visibility: repository?.visibility })
}

function nameIn({ path }: Asked): RepositoryName {
  const { name } = path
  if (typeof name !== 'string')
    throw new RegistryError('internal', { cause: new Error('a right on a repository without {name} in the path') })
  return name as RepositoryName
}
