/**
 * Operations on the roles of accounts and teams in a namespace, and in single repositories of it. Each acts on the next request.
 *
 * Invariant: names of repositories in which there are exceptions are told to the owners alone; others may have been kept from seeing one.
 */
import { z } from 'zod'
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import type { GrantedRole } from '../../auth/roles.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import { grantRole, membersOf, revokeRole, type Member } from '../../registry/namespaces.ts'
import type { MemberRow } from '../../storage/metadata/grants.ts'
import type { Services } from '../services.ts'
import { accountName, actor, grantedRole, isoTime, namespaceName, repositoryName, teamName, time } from './fields.ts'
import { operation, type Deed } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { mayAlso, onNamespace } from './right.ts'

const memberSchema = z
  .strictObject({
    account: z.string().nullable().meta({ description: 'null: the role is a team’s.' }),
    team: z.string().nullable().meta({ description: 'null: the role is an account’s.' }),
    role: grantedRole,
    repository: z.string().nullable().meta({ description: 'null: every repository of the namespace.' }),
    grantedAt: time,
    grantedBy: actor,
  })
  .meta({ id: 'Member', description: 'A role of an account or a team. One in a repository takes the place of that in the namespace.' })

const tag = 'members'
const ofAccount = { namespace: namespaceName, account: accountName }
const ofTeam = { namespace: namespaceName, team: teamName }
const place = {
  repository: repositoryName
    .optional()
    .meta({ description: 'In this repository alone, which need not be there yet; left out: in all of the namespace.' }),
}
const body = z.strictObject({ role: grantedRole }).meta({ id: 'RoleGrant' })
const granted = { status: 200, description: 'The role as it is now.', schema: memberSchema } as const
const gone = { status: 204, description: 'It has no role of its own there any more.' } as const
const errors = ['namespaceUnknown', 'teamUnknown', 'nameInvalid'] as const
const accountExample = { path: { namespace: 'team', account: 'carol' } }
const teamExample = { path: { namespace: 'team', team: 'crew' } }
const writer = { role: 'writer' }

export const listMembers = operation({
  id: 'listMembers',
  method: 'GET',
  path: '/namespaces/{namespace}/members',
  tag,
  summary: 'List who has which role in a namespace',
  description:
    'Roles in all of it first, then by repository; of one place in the order of granting. Those in single repositories are shown to its owners.',
  right: onNamespace('see'),
  parameters: { namespace: namespaceName },
  query: {
    ...pageQuery(['text', 'number']),
    repository: repositoryName.optional().meta({ description: 'Only the roles that were granted in this repository.' }),
  },
  answer: { status: 200, description: 'A page of roles.', schema: pageOf('MemberPage', memberSchema) },
  errors: ['namespaceUnknown', 'nameInvalid'],
  example: { path: { namespace: 'team' } },
  handle: async ({ services, caller, path: { namespace }, query }) => {
    const { cursor, limit } = query
    const [repository, id] = cursor ?? []
    const after = repository === undefined || id === undefined ? undefined : { repository, id }
    const isOwner = await mayAlso(services, caller, { kind: 'namespace', action: 'manage', namespace })
    // To others what was granted in a repository is an empty list, whatever there is.
    if (!isOwner && query.repository !== undefined) return { body: { items: [], next: null } }
    const only = isOwner ? query.repository : ''
    const page = await membersOf(services.registry.database, namespace, { repository: only, after, limit })
    return { body: pageBody(page, { itemOf: describe, keyOf: (row) => [row.repository, row.id] }) }
  },
})

export const putAccountRole = operation({
  id: 'putAccountRole',
  method: 'PUT',
  path: '/namespaces/{namespace}/members/{account}',
  tag,
  summary: 'Give an account a role in a namespace, or in one repository of it',
  description: 'In place of the one that it has there.',
  right: onNamespace('manage'),
  parameters: ofAccount,
  query: place,
  body,
  answer: granted,
  errors,
  example: { ...accountExample, body: writer },
  deed: ({ path, query, body }) => deedOf('grant', path, { ...query, ...body, account: path.account }),
  handle: ({ services, caller, path, query, body }) => grant({ services, caller }, { ...path, ...query, ...body, member: path }),
})

export const deleteAccountRole = operation({
  id: 'deleteAccountRole',
  method: 'DELETE',
  path: '/namespaces/{namespace}/members/{account}',
  tag,
  summary: 'Take the role away that an account has in a namespace, or in one repository of it',
  description: 'What its teams were granted stays.',
  right: onNamespace('manage'),
  parameters: ofAccount,
  query: place,
  answer: gone,
  errors: [...errors, 'memberUnknown'],
  example: accountExample,
  deed: ({ path, query }) => deedOf('revoke', path, { ...query, account: path.account }),
  handle: ({ services, path, query }) => revoke(services, { ...path, ...query, member: path }),
})

export const putTeamRole = operation({
  id: 'putTeamRole',
  method: 'PUT',
  path: '/namespaces/{namespace}/teams/{team}',
  tag,
  summary: 'Give a team a role in a namespace, or in one repository of it',
  description: 'To all who are in it, in place of the one that it has there.',
  right: onNamespace('manage'),
  parameters: ofTeam,
  query: place,
  body,
  answer: granted,
  errors,
  example: { ...teamExample, body: writer },
  deed: ({ path, query, body }) => deedOf('grant', path, { ...query, ...body, team: path.team }),
  handle: ({ services, caller, path, query, body }) => grant({ services, caller }, { ...path, ...query, ...body, member: path }),
})

export const deleteTeamRole = operation({
  id: 'deleteTeamRole',
  method: 'DELETE',
  path: '/namespaces/{namespace}/teams/{team}',
  tag,
  summary: 'Take the role away that a team has in a namespace, or in one repository of it',
  right: onNamespace('manage'),
  parameters: ofTeam,
  query: place,
  answer: gone,
  errors: [...errors, 'memberUnknown'],
  example: teamExample,
  deed: ({ path, query }) => deedOf('revoke', path, { ...query, team: path.team }),
  handle: ({ services, path, query }) => revoke(services, { ...path, ...query, member: path }),
})

interface Place {
  readonly namespace: string
  readonly repository?: RepositoryName | undefined
  readonly member: Member
}

async function grant(
  { services, caller }: { services: Services; caller: Caller },
  { namespace, repository, member, role }: Place & { readonly role: GrantedRole },
) {
  const { database, clock } = services.registry
  const by = accountNameOf(caller.identity) ?? null
  const where = { namespace, ...(repository === undefined ? {} : { repository }) }
  return { body: describe(await grantRole(database, { ...where, member: nameOf(member), role, by, nowMs: clock() })) }
}

async function revoke({ registry }: Services, { namespace, repository, member }: Place) {
  await revokeRole(registry.database, { namespace, ...(repository === undefined ? {} : { repository }), member: nameOf(member) })
  return { body: undefined }
}

/** The member alone, of a path that names it and the namespace. */
function nameOf(member: Member): Member {
  return 'account' in member ? { account: member.account } : { team: member.team }
}

function deedOf(
  action: 'grant' | 'revoke',
  { namespace }: { namespace: string },
  { repository, ...detail }: { repository?: string | undefined; role?: string; account?: string; team?: string },
): Deed {
  return { action, target: repository ?? namespace, detail }
}

function describe({ account, team, role, repository, granted_at_ms: grantedAtMs, granted_by: grantedBy }: Omit<MemberRow, 'id'>) {
  return { account, team, role, repository: repository || null, grantedAt: isoTime(grantedAtMs), grantedBy }
}
