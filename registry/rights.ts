/**
 * What rows say about a caller's rights, looked up for the policy, which decides. Here storage and auth meet on the way of requests.
 *
 * Invariants: every look-up answers as the rows are now, so that a right that was taken away is gone with the next request; and
 * none happens where nothing that a grant says could change the answer.
 */
import { authorize } from '../auth/authorize.ts'
import type { Account, Caller, Identity } from '../auth/identity.ts'
import { isAllowed, isGrantable, listableBy, type Listing, type PolicySettings, type Request, type Standing } from '../auth/policy.ts'
import type { GrantedRole } from '../auth/roles.ts'
import { namespaceOf, type RepositoryName } from '../oci/repository-name.ts'
import { accountByName } from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import { grantedRole, listGrantedOwners, listGrantsOf } from '../storage/metadata/grants.ts'
import { namespaceByName } from '../storage/metadata/namespaces.ts'
import { repositoryAndVersion, repositoryByName, type RepositoryRow } from '../storage/metadata/repositories.ts'
import { RoleMemory } from './role-memory.ts'
import { membershipIn } from './teams.ts'

/** How many people a refusal names, who could grant what is missing. */
const namedOwners = 3

/** A repository and the role of whoever asks in it; undefined: none, or none was looked for. */
export interface Found {
  readonly repository: RepositoryRow
  readonly role?: GrantedRole | undefined
}

export class Rights {
  readonly #database: Database
  readonly #settings: PolicySettings
  readonly #reads: ReturnType<typeof prepareReads>
  readonly #roles: RoleMemory

  constructor(database: Database, settings: PolicySettings) {
    this.#database = database
    this.#settings = settings
    this.#reads = prepareReads(database)
    this.#roles = new RoleMemory(async ({ accountId, name }) => {
      const row = await this.#reads.role({ namespace: namespaceOf(name), repository: name, accountId })
      return row?.role ?? undefined
    })
  }

  /** Returns if the caller may do this now. @throws {RegistryError} as authorize of auth/authorize.ts */
  async authorize(caller: Caller, request: Request): Promise<void> {
    const { identity } = caller
    if (isAllowed(this.#settings, identity, request)) return authorize(this.#settings, caller, request)
    const known = await this.#withStanding(identity, request)
    if (isAllowed(this.#settings, identity, known)) return authorize(this.#settings, caller, known)
    return authorize(this.#settings, caller, await this.#withOwners(identity, known))
  }

  /** A repository, and what grants give the identity in it where that can matter; undefined: there is none. */
  async findRepository(identity: Identity, { name, action }: { name: RepositoryName; action: string }): Promise<Found | undefined> {
    if (this.#settings.isOpen || !isGrantable(identity) || namespaceOf(name) === identity.account.name) {
      const repository = await this.#reads.repository({ name })
      return repository && { repository }
    }
    const found = await this.#reads.repositoryAndVersion({ name })
    if (!found || (action === 'pull' && found.visibility !== 'private')) return found && { repository: found }
    const question = { version: found.rights_version, accountId: identity.account.id, name }
    return { repository: found, role: await this.#roles.roleIn(question) }
  }

  /** Whether the identity may do this now, whatever a token covers. */
  async isAllowed(identity: Identity, request: Request): Promise<boolean> {
    if (isAllowed(this.#settings, identity, request)) return true
    return isAllowed(this.#settings, identity, await this.#withStanding(identity, request))
  }

  /** What grants give an identity in a repository; nothing to one whom grants cannot concern. */
  async standingOf(identity: Identity, name: RepositoryName): Promise<Standing> {
    return isGrantable(identity) ? this.#standingIn(identity.account, namespaceOf(name), name) : {}
  }

  /** With an empty name of a repository: in the namespace as a whole. */
  async #standingIn(account: Account, namespace: string, repository: RepositoryName | ''): Promise<Standing> {
    const role = (await this.#reads.role({ namespace, repository, accountId: account.id }))?.role ?? undefined
    const isNamespaceAbsent = role === undefined && (await this.#reads.namespace({ name: namespace })) === undefined
    return { role, isNamespaceAbsent }
  }

  /** Exactly the repositories that the identity may pull now. */
  async listingFor(identity: Identity): Promise<Listing> {
    const isAsked = isGrantable(identity) && !this.#settings.isOpen
    return listableBy(this.#settings, identity, isAsked ? await listGrantsOf(this.#database.read, identity.account.id) : [])
  }

  async #withStanding(identity: Identity, request: Request): Promise<Request> {
    if (!isGrantable(identity)) return request
    if (request.kind === 'namespace') return { ...request, ...(await this.#standingIn(identity.account, request.namespace, '')) }
    if (request.kind === 'team') return { ...request, membership: await membershipIn(this.#database, request.team, identity.account.id) }
    if (request.kind !== 'repository' && request.kind !== 'settings') return request
    return { ...request, ...(await this.standingOf(identity, request.name)) }
  }

  /**
   * Those whom a refusal tells to ask. Not for pulls, so that looking around tells nothing of who has what; who pushes has to learn
   * where it may.
   */
  async #withOwners(identity: Identity, request: Request): Promise<Request> {
    if (identity.kind !== 'account' || identity.account.isDisabled) return request
    if (request.kind === 'namespace') return { ...request, owners: await this.#ownersOf(request.namespace) }
    const isPush = request.kind === 'repository' && request.action !== 'pull'
    return isPush || request.kind === 'settings' ? { ...request, owners: await this.#ownersOf(namespaceOf(request.name)) } : request
  }

  /** Names of people who own a namespace and can act, the one whose name it has first; at most three. */
  async #ownersOf(namespace: string): Promise<string[]> {
    const person = await this.#reads.account({ name: namespace })
    const own = person && person.kind === 'person' && person.is_disabled === 0 ? [person.name] : []
    const granted = await listGrantedOwners(this.#database.read, { namespace, limit: namedOwners })
    return [...new Set([...own, ...granted])].slice(0, namedOwners)
  }
}

function prepareReads(database: Database) {
  return {
    role: database.prepare(grantedRole),
    repository: database.prepare(repositoryByName),
    repositoryAndVersion: database.prepare(repositoryAndVersion),
    namespace: database.prepare(namespaceByName),
    account: database.prepare(accountByName),
  }
}
