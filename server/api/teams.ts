/**
 * Operations on teams, who is in them, and the roles that they were granted. Granting is members.ts's.
 */
import { z } from 'zod'
import type { Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import {
  addTeam,
  addToTeam,
  describeTeam,
  dropFromTeam,
  removeTeam,
  rolesOfTeam,
  teamMembers,
  teamsFor,
  updateTeam,
} from '../../registry/teams.ts'
import type { TeamMemberRow, TeamRow } from '../../storage/metadata/teams.ts'
import type { Services } from '../services.ts'
import { accountName, descriptionText, given, grantedRole, isoTime, newTeamName, teamName, time } from './fields.ts'
import { apiRoot, operation } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { administration, directory, directoryFor, mayAlso, onTeam } from './right.ts'
import { versionOf } from './version.ts'

const description = descriptionText('What it is for.')
const teamSchema = z
  .strictObject({ name: z.string(), description: z.string(), createdAt: time })
  .meta({ id: 'Team', description: 'People who are granted roles as one.' })
const memberSchema = z
  .strictObject({
    account: z.string(),
    manager: z.boolean().meta({ description: 'Whether it may put others into the team, and take them out.' }),
    addedAt: time,
  })
  .meta({ id: 'TeamMember' })
const roleSchema = z
  .strictObject({
    namespace: z.string(),
    repository: z.string().nullable().meta({ description: 'null: every repository of the namespace.' }),
    role: grantedRole,
  })
  .meta({ id: 'TeamRole', description: 'What a team was granted.' })

const tag = 'teams'
const parameters = { team: teamName }
const example = { path: { team: 'crew' } }
const memberParameters = { team: teamName, account: accountName }
const memberExample = { path: { team: 'crew', account: 'carol' } }

export const listTeams = operation({
  id: 'listTeams',
  method: 'GET',
  path: '/teams',
  tag,
  summary: 'List the teams that the caller is in',
  description: 'For administrators all, in byte order of their names.',
  right: directory,
  query: pageQuery(['text']),
  answer: { status: 200, description: 'A page of teams.', schema: pageOf('TeamPage', teamSchema) },
  handle: async ({ services, caller, query }) => {
    const whose = await directoryFor(services, caller)
    const page = await teamsFor(services.registry.database, whose, { after: query.cursor?.[0], limit: query.limit })
    return { body: pageBody(page, { itemOf: describe, keyOf: ({ name }) => [name] }) }
  },
})

export const createTeam = operation({
  id: 'createTeam',
  method: 'POST',
  path: '/teams',
  tag,
  summary: 'Create a team',
  right: administration,
  body: z.strictObject({ name: newTeamName, description: description.optional() }).meta({ id: 'NewTeam' }),
  answer: { status: 201, description: 'The team; Location says where it is.', schema: teamSchema },
  errors: ['nameTaken'],
  example: { body: { name: 'crew', description: 'Who builds the images.' } },
  deed: ({ body }) => ({ action: 'team-add', target: body?.name ?? '' }),
  handle: async ({ services, body }) => {
    const { database, clock } = services.registry
    await addTeam(database, { ...given(body), nowMs: clock() })
    return { ...reply(await describeTeam(database, body.name)), location: `${apiRoot}/teams/${body.name}` }
  },
})

export const getTeam = operation({
  id: 'getTeam',
  method: 'GET',
  path: '/teams/{team}',
  tag,
  summary: 'Describe a team',
  right: onTeam('see'),
  parameters,
  answer: { status: 200, description: 'The team.', schema: teamSchema },
  errors: ['teamUnknown'],
  example,
  handle: async ({ services, path }) => reply(await describeTeam(services.registry.database, path.team)),
})

export const changeTeam = operation({
  id: 'changeTeam',
  method: 'PATCH',
  path: '/teams/{team}',
  tag,
  summary: 'Change the description of a team',
  right: onTeam('manage'),
  parameters,
  body: z.strictObject({ description }).meta({ id: 'TeamChange' }),
  answer: { status: 200, description: 'The team as it is now.', schema: teamSchema },
  isConditional: true,
  errors: ['teamUnknown'],
  example: { ...example, body: { description: 'Who builds the images.' } },
  deed: ({ path, body }) => ({ action: 'team-change', target: path.team, ...(body && { detail: { ...body } }) }),
  handle: async ({ services, path, body, requireVersion }) => {
    const check = (current: TeamRow): void => requireVersion(versionOf(describe(current)))
    return reply(await updateTeam(services.registry.database, path.team, { ...body, check }))
  },
})

export const deleteTeam = operation({
  id: 'deleteTeam',
  method: 'DELETE',
  path: '/teams/{team}',
  tag,
  summary: 'Remove a team',
  description: 'Its members lose the roles that it gave them, with their next request.',
  right: onTeam('manage'),
  parameters,
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['teamUnknown'],
  example,
  deed: ({ path }) => ({ action: 'team-remove', target: path.team }),
  handle: async ({ services, path, requireVersion }) => {
    await removeTeam(services.registry.database, path.team, (current) => requireVersion(versionOf(describe(current))))
    return { body: undefined }
  },
})

export const listTeamRoles = operation({
  id: 'listTeamRoles',
  method: 'GET',
  path: '/teams/{team}/roles',
  tag,
  summary: 'List the roles that a team was granted',
  description: 'By namespace, in the order in which these were made; in each that in all of it first.',
  right: onTeam('see'),
  parameters,
  query: pageQuery(['number', 'text']),
  answer: { status: 200, description: 'A page of roles.', schema: pageOf('TeamRolePage', roleSchema) },
  errors: ['teamUnknown'],
  example,
  handle: async ({ services, path, query: { cursor, limit } }) => {
    const [namespaceId, repository] = cursor ?? []
    const after = namespaceId === undefined || repository === undefined ? undefined : { namespaceId, repository }
    const page = await rolesOfTeam(services.registry.database, path.team, { after, limit })
    return {
      body: pageBody(page, {
        itemOf: ({ namespace, repository, role }) => ({ namespace, repository: repository || null, role }),
        keyOf: (row) => [row.namespace_id, row.repository],
      }),
    }
  },
})

export const listTeamMembers = operation({
  id: 'listTeamMembers',
  method: 'GET',
  path: '/teams/{team}/members',
  tag,
  summary: 'List who is in a team',
  description: 'In the order in which their accounts were made.',
  right: onTeam('see'),
  parameters,
  query: pageQuery(['number']),
  answer: { status: 200, description: 'A page of members.', schema: pageOf('TeamMemberPage', memberSchema) },
  errors: ['teamUnknown'],
  example,
  handle: async ({ services, path, query }) => {
    const page = await teamMembers(services.registry.database, path.team, { after: query.cursor?.[0], limit: query.limit })
    return { body: pageBody(page, { itemOf: describeMember, keyOf: (row) => [row.account_id] }) }
  },
})

export const putTeamMember = operation({
  id: 'putTeamMember',
  method: 'PUT',
  path: '/teams/{team}/members/{account}',
  tag,
  summary: 'Put an account into a team, or say whether it manages the team',
  description: 'Who manages it is said by administrators alone.',
  right: onTeam('members'),
  parameters: memberParameters,
  body: z
    .strictObject({ manager: z.boolean().optional().meta({ description: 'Left out: as it is; of one that is new, false.' }) })
    .meta({ id: 'TeamMembership' }),
  answer: { status: 200, description: 'The member as it is now.', schema: memberSchema },
  errors: ['teamUnknown'],
  example: { ...memberExample, body: { manager: false } },
  deed: ({ path: { team, account }, body }) => ({ action: 'member-add', target: team, detail: { account, ...given(body ?? {}) } }),
  handle: async ({ services, caller, path: { team, account }, body: { manager } }) => {
    const { database, clock } = services.registry
    const mayName = await mayNameManagers(services, caller, team)
    const row = await addToTeam(database, team, {
      account,
      isManager: manager,
      nowMs: clock(),
      check: (current) => {
        const isManager = current?.isManager ?? false
        if (!mayName && manager !== undefined && manager !== isManager) throw managersAreNamedByAdministrators(team)
      },
    })
    return { body: describeMember(row) }
  },
})

export const deleteTeamMember = operation({
  id: 'deleteTeamMember',
  method: 'DELETE',
  path: '/teams/{team}/members/{account}',
  tag,
  summary: 'Take an account out of a team',
  description: 'It loses the roles of the team with its next request. One that manages the team is taken out by administrators alone.',
  right: onTeam('members'),
  parameters: memberParameters,
  answer: { status: 204, description: 'It is not in the team any more.' },
  errors: ['teamUnknown', 'memberUnknown'],
  example: memberExample,
  deed: ({ path: { team, account } }) => ({ action: 'member-remove', target: team, detail: { account } }),
  handle: async ({ services, caller, path: { team, account } }) => {
    const mayName = await mayNameManagers(services, caller, team)
    await dropFromTeam(services.registry.database, team, {
      account,
      check: (current) => {
        if (current?.isManager && !mayName) throw managersAreNamedByAdministrators(team)
      },
    })
    return { body: undefined }
  },
})

function mayNameManagers(services: Services, caller: Caller, team: string): Promise<boolean> {
  return mayAlso(services, caller, { kind: 'team', action: 'manage', team })
}

function managersAreNamedByAdministrators(team: string): RegistryError {
  return new RegistryError('denied', { message: `who manages the team ${team} is said by administrators: ask one` })
}

function reply(team: TeamRow) {
  const body = describe(team)
  return { body, version: versionOf(body) }
}

function describe({ name, description, created_at_ms: createdAtMs }: TeamRow) {
  return { name, description, createdAt: isoTime(createdAtMs) }
}

function describeMember({ name, is_manager: isManager, added_at_ms: addedAtMs }: TeamMemberRow) {
  return { account: name, manager: isManager === 1, addedAt: isoTime(addedAtMs) }
}
