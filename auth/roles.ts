/**
 * Roles: what each lets one do in a repository, and what several grants of them come to. Pure: the rows of grants are
 * storage's, and who needs no grant at all (administrators, the owner of a name, robots) is policy.ts's part.
 *
 * Invariants: each role may do what the one below it may. A grant in a repository takes the place of those in its
 * namespace; of several on the same level the highest wins; who owns the namespace is never lowered.
 */
import { namespaceOf, type RepositoryName } from '../oci/repository-name.ts'
import type { Action } from './scope.ts'

/** From the lowest to the highest. */
export const roles = ['reader', 'writer', 'maintainer', 'owner'] as const

export type Role = (typeof roles)[number]

/** What a row grants. `none` stands only in a repository, where it takes away what the namespace gives. */
export type GrantedRole = Role | 'none'

/** A role of one account, be it its own or of one of its teams. */
export interface Grant {
  readonly namespace: string
  /** A whole repository name; empty: every repository of the namespace. */
  readonly repository: string
  readonly role: GrantedRole
}

/** An owner also manages members and settings, which is decided by the role itself. */
const actionsOf: Readonly<Record<GrantedRole, readonly Action[]>> = {
  none: [],
  reader: ['pull'],
  writer: ['pull', 'push'],
  maintainer: ['pull', 'push', 'delete'],
  owner: ['pull', 'push', 'delete'],
}

/** Whether the role lets one do this in a repository; no role lets one do nothing. */
export function allows(role: GrantedRole | undefined, action: Action): boolean {
  return role !== undefined && actionsOf[role].includes(action)
}

/** The lowest role that lets one do this, for whoever asks for it. */
export function leastRoleFor(action: Action): Role {
  return roles.find((role) => allows(role, action)) ?? 'owner'
}

/** What these grants, all of one account, come to in a repository; undefined: none of them is about it. */
export function roleFrom(grants: readonly Grant[], name: RepositoryName): GrantedRole | undefined {
  const namespace = namespaceOf(name)
  const here = grants.filter((grant) => grant.namespace === namespace)
  const inNamespace = highest(here.filter((grant) => grant.repository === ''))
  const inRepository = highest(here.filter((grant) => grant.repository === name))
  return inNamespace === 'owner' ? 'owner' : (inRepository ?? inNamespace)
}

/** The repositories that grants open to pulling. */
export interface PullableByGrants {
  /** Every repository of these namespaces, but those of `without`. */
  readonly namespaces: readonly string[]
  /** Single repositories of other namespaces. */
  readonly repositories: readonly string[]
  readonly without: readonly string[]
}

/** The same as `roleFrom` asked for every repository there could be, as sets. */
export function pullableBy(grants: readonly Grant[]): PullableByGrants {
  const inNamespace = Map.groupBy(
    grants.filter((grant) => grant.repository === ''),
    (grant) => grant.namespace,
  )
  const inRepository = Map.groupBy(
    grants.filter((grant) => grant.repository !== ''),
    (grant) => grant.repository,
  )
  const repositories: string[] = []
  const without: string[] = []
  for (const [name, exceptions] of inRepository) {
    const outer = highest(inNamespace.get(exceptions[0]?.namespace ?? '') ?? [])
    const isOpen = allows(highest(exceptions), 'pull')
    if (outer === undefined && isOpen) repositories.push(name)
    if (outer !== undefined && outer !== 'owner' && !isOpen) without.push(name)
  }
  return { namespaces: [...inNamespace.keys()], repositories, without }
}

function highest(grants: readonly Grant[]): GrantedRole | undefined {
  const held = new Set(grants.map((grant) => grant.role))
  return roles.findLast((role) => held.has(role)) ?? (held.has('none') ? 'none' : undefined)
}
