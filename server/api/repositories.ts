/**
 * Operations on whole repositories: list, describe, change, remove.
 */
import { z } from 'zod'
import { accountNameOf } from '../../auth/identity.ts'
import { removeRepository, updateRepository } from '../../registry/change-repository.ts'
import { usageOf } from '../../registry/describe-content.ts'
import { repositoriesFor } from '../../registry/list.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import { given, isoTime, nameFilter, repositoryName, time, visibility } from './fields.ts'
import { operation } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { listing, onRepository, settings } from './right.ts'
import { describeUsage, usageSchema } from './usage.ts'
import { versionOf } from './version.ts'

const description = z.string().max(1000).meta({ description: 'One or two sentences for whoever looks for an image.' })

const untaggedDays = z.int().min(0).max(36_500).meta({
  description: 'How many days untagged manifests stay; 0: always, null: as the setting gc.untaggedDays says.',
})

const members = { name: z.string(), visibility, description: z.string(), untaggedDays: untaggedDays.nullable(), createdAt: time }

const repositorySchema = z
  .strictObject(members)
  .meta({ id: 'Repository', description: 'A repository; it comes to be with the first push.' })

const detailSchema = z.strictObject({ ...members, usage: usageSchema }).meta({ id: 'RepositoryDetails' })

const tag = 'repositories'
const parameters = { name: repositoryName }
const example = { path: { name: 'team%2Fapp' } }

export const listRepositories = operation({
  id: 'listRepositories',
  method: 'GET',
  path: '/repositories',
  tag,
  summary: 'List the repositories that the caller may pull',
  description: 'In byte order of their names.',
  right: listing,
  query: {
    ...pageQuery(['text']),
    namespace: z.string().max(255).optional().meta({ description: 'Only those of this namespace, the first part of the name.' }),
    visibility: visibility.optional(),
    q: nameFilter,
  },
  answer: { status: 200, description: 'A page of repositories.', schema: pageOf('RepositoryPage', repositorySchema) },
  handle: async ({ services, caller, query }) => {
    const { cursor, limit, namespace, visibility, q: text } = query
    const only = { namespace, visibility, text }
    const filter = await services.rights.listingFor(caller.identity)
    const page = await repositoriesFor(services.registry, filter, { only, after: cursor?.[0], limit })
    return { body: pageBody(page, { itemOf: describe, keyOf: ({ name }) => [name] }) }
  },
})

export const getRepository = operation({
  id: 'getRepository',
  method: 'GET',
  path: '/repositories/{name}',
  tag,
  summary: 'Describe a repository',
  right: onRepository('pull'),
  parameters,
  answer: { status: 200, description: 'The repository.', schema: detailSchema },
  example,
  handle: async ({ services, caller, repository }) => {
    const { body, version } = reply(repository)
    const usage = await usageOf(services.registry, repository)
    return { body: { ...body, usage: await describeUsage(services, caller, usage) }, version }
  },
})

export const changeRepository = operation({
  id: 'changeRepository',
  method: 'PATCH',
  path: '/repositories/{name}',
  tag,
  summary: 'Change the visibility, the description or the rule on untagged manifests of a repository',
  description: 'Acts on the next request. Members that are left out stay as they are.',
  right: settings,
  parameters,
  body: z
    .strictObject({
      visibility: visibility.optional(),
      description: description.optional(),
      untaggedDays: untaggedDays.nullable().optional(),
    })
    .refine((change) => Object.keys(change).length > 0, { error: 'nothing to change: give visibility, description or untaggedDays' })
    .meta({ id: 'RepositoryChange', minProperties: 1 }),
  answer: { status: 200, description: 'The repository as it is now.', schema: repositorySchema },
  isConditional: true,
  example: { ...example, body: { visibility: 'internal' } },
  deed: ({ path, body }) => ({ action: 'visibility', target: path.name, detail: body && { ...body } }),
  handle: async ({ services, path, body, requireVersion }) => {
    const check = (current: RepositoryRow): void => requireVersion(versionOf(describe(current)))
    const { untaggedDays: untagged_days, ...change } = body
    return reply(await updateRepository(services.registry, path.name, { ...given({ ...change, untagged_days }), check }))
  },
})

export const deleteRepository = operation({
  id: 'deleteRepository',
  method: 'DELETE',
  path: '/repositories/{name}',
  tag,
  summary: 'Remove a repository with its tags, their history and its manifests',
  description: 'All at once. For some days it can be restored from the trash; a push of the same name makes a new repository.',
  right: settings,
  parameters,
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['deleteDisabled'],
  example,
  deed: ({ path }) => ({ action: 'delete', target: path.name, detail: { repository: true } }),
  handle: async ({ services, caller, path, requireVersion }) => {
    const check = (current: RepositoryRow): void => requireVersion(versionOf(describe(current)))
    await removeRepository(services.registry, path.name, { by: accountNameOf(caller.identity) ?? null, check })
    return { body: undefined }
  },
})

function reply(repository: RepositoryRow) {
  const body = describe(repository)
  return { body, version: versionOf(body) }
}

function describe({ name, visibility, description, untagged_days: untaggedDays, created_at_ms: createdAtMs }: RepositoryRow) {
  return { name, visibility, description, untaggedDays, createdAt: isoTime(createdAtMs) }
}
