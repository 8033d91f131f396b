/**
 * Operations on namespaces: list, create, describe, change, rename and remove them, and what the last two would affect. Who has which
 * role in one is members.ts's.
 */
import { z } from 'zod'
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import {
  addNamespace,
  contentOf,
  describeNamespace,
  namespacesFor,
  previewRemoval,
  previewRename,
  removeNamespace,
  updateNamespace,
} from '../../registry/namespaces.ts'
import type { NamespaceContent, NamespaceRow } from '../../storage/metadata/namespaces.ts'
import type { Services } from '../services.ts'
import { accountName, actor, descriptionText, given, isoTime, namespaceName, newNamespaceName, time, visibility } from './fields.ts'
import { apiRoot, operation } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { directory, directoryFor, mayAlso, namespaceCreation, onNamespace } from './right.ts'
import { describeUsage, usageSchema } from './usage.ts'
import { versionOf } from './version.ts'

const description = descriptionText('What it is for.')
const members = {
  name: z.string(),
  description: z.string(),
  visibility: visibility.nullable().meta({ description: 'Of its new repositories; null: as the setting repositories.visibility says.' }),
  createdAt: time,
  createdBy: actor,
}
const namespaceSchema = z.strictObject(members).meta({ id: 'Namespace', description: 'The first part of names of repositories.' })

const count = z.int().min(0)
const contentSchema = z
  .strictObject({
    repositories: count,
    members: count.meta({ description: 'Roles of accounts and teams in all of it.' }),
    exceptions: count.meta({ description: 'Roles in single repositories.' }),
    robots: count,
    usage: usageSchema,
  })
  .meta({ id: 'NamespaceContent', description: 'What a namespace holds.' })

const detailSchema = z
  .strictObject({
    ...members,
    owners: z.array(z.string()).meta({ description: 'Accounts that own it and can act, at most 100; without any, administrators do.' }),
    content: contentSchema.nullable().meta({ description: 'null for those who do not own it.' }),
  })
  .meta({ id: 'NamespaceDetails' })

const tag = 'namespaces'
const parameters = { namespace: namespaceName }
const example = { path: { namespace: 'team' } }

export const listNamespaces = operation({
  id: 'listNamespaces',
  method: 'GET',
  path: '/namespaces',
  tag,
  summary: 'List the namespaces in which the caller has a role',
  description: 'For administrators all, in byte order of their names.',
  right: directory,
  query: pageQuery(['text']),
  answer: { status: 200, description: 'A page of namespaces.', schema: pageOf('NamespacePage', namespaceSchema) },
  handle: async ({ services, caller, query }) => {
    const whose = await directoryFor(services, caller)
    const page = await namespacesFor(services.registry.database, whose, { after: query.cursor?.[0], limit: query.limit })
    return { body: pageBody(page, { itemOf: describe, keyOf: ({ name }) => [name] }) }
  },
})

export const createNamespace = operation({
  id: 'createNamespace',
  method: 'POST',
  path: '/namespaces',
  tag,
  summary: 'Create a namespace',
  right: namespaceCreation,
  body: z
    .strictObject({
      name: newNamespaceName,
      description: description.optional(),
      visibility: visibility.optional().meta({ description: 'Of its new repositories; left out: as the setting says.' }),
      owner: accountName.optional().meta({
        description: 'The account that owns it. Left out: who asks; or when an administrator asks, nobody but the administrators.',
      }),
    })
    .meta({ id: 'NewNamespace' }),
  answer: { status: 201, description: 'The namespace; Location says where it is.', schema: namespaceSchema },
  errors: ['nameTaken'],
  example: { body: { name: 'team', owner: 'bob' } },
  deed: ({ body }) => ({ action: 'namespace-add', target: body?.name ?? '', ...(body && { detail: ownerAndVisibility(body) }) }),
  handle: async ({ services, caller, body }) => {
    const { database, clock } = services.registry
    const owner = await ownerFor(services, caller, body.owner)
    const by = accountNameOf(caller.identity) ?? null
    await addNamespace(database, { ...given(body), ...(owner === undefined ? {} : { owner }), by, nowMs: clock() })
    return { ...reply(await describeNamespace(database, body.name)), location: `${apiRoot}/namespaces/${body.name}` }
  },
})

export const getNamespace = operation({
  id: 'getNamespace',
  method: 'GET',
  path: '/namespaces/{namespace}',
  tag,
  summary: 'Describe a namespace: its owners, and to them what it holds',
  right: onNamespace('see'),
  parameters,
  answer: { status: 200, description: 'The namespace.', schema: detailSchema },
  errors: ['namespaceUnknown'],
  example,
  handle: async ({ services, caller, path: { namespace } }) => {
    const { database } = services.registry
    const { owners, ...row } = await describeNamespace(database, namespace)
    // Counts tell of repositories that an exception may hide from a member.
    const isOwner = await mayAlso(services, caller, { kind: 'namespace', action: 'manage', namespace })
    const content = isOwner ? await describeContent(services, caller, await contentOf(database, namespace)) : null
    const { body, version } = reply(row)
    return { body: { ...body, owners: [...owners], content }, version }
  },
})

export const changeNamespace = operation({
  id: 'changeNamespace',
  method: 'PATCH',
  path: '/namespaces/{namespace}',
  tag,
  summary: 'Change the description, the visibility of new repositories, or the name of a namespace',
  description:
    'Members that are left out stay as they are. Another name is that of all its repositories, too, and takes the right to create a namespace.',
  right: onNamespace('manage'),
  parameters,
  body: z
    .strictObject({ name: newNamespaceName.optional(), description: description.optional(), visibility: visibility.nullable().optional() })
    .refine((change) => Object.keys(change).length > 0, { error: 'nothing to change: give name, description or visibility' })
    .meta({ id: 'NamespaceChange', minProperties: 1 }),
  answer: { status: 200, description: 'The namespace as it is now.', schema: namespaceSchema },
  isConditional: true,
  errors: ['namespaceUnknown', 'nameTaken', 'nameInvalid', 'namespaceInUse'],
  example: { ...example, body: { visibility: 'internal' } },
  deed: ({ path, body }) => ({ action: 'namespace-change', target: path.namespace, ...(body && { detail: { ...body } }) }),
  handle: async ({ services, caller, path: { namespace }, body, requireVersion }) => {
    const isRenamed = body.name !== undefined && body.name !== namespace
    if (isRenamed && !(await mayAlso(services, caller, { kind: 'namespaceCreation' })))
      throw new RegistryError('denied', { message: 'another name takes the right to create a namespace: ask an administrator' })
    const check = (current: NamespaceRow): void => requireVersion(versionOf(describe(current)))
    return reply(await updateNamespace(services.registry.database, namespace, { ...given(body), check }))
  },
})

export const deleteNamespace = operation({
  id: 'deleteNamespace',
  method: 'DELETE',
  path: '/namespaces/{namespace}',
  tag,
  summary: 'Remove a namespace with its roles and robots',
  description: 'With `repositories=true` also with its repositories, for good; else only when it holds none.',
  right: onNamespace('manage'),
  parameters,
  query: {
    repositories: z.enum(['true', 'false']).optional().meta({ description: 'Whether its repositories go with it.', default: 'false' }),
  },
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['namespaceUnknown', 'namespaceInUse', 'deleteDisabled'],
  example,
  deed: ({ path, query }) => ({
    action: 'namespace-remove',
    target: path.namespace,
    ...(query && { detail: { repositories: query.repositories === 'true' } }),
  }),
  handle: async ({ services, path, query, requireVersion }) => {
    await removeNamespace(services.registry, path.namespace, {
      withRepositories: query.repositories === 'true',
      check: (current) => requireVersion(versionOf(describe(current))),
    })
    return { body: undefined }
  },
})

export const previewNamespaceRemoval = operation({
  id: 'previewNamespaceRemoval',
  method: 'GET',
  path: '/namespaces/{namespace}/removal',
  tag,
  summary: 'Say what the removal of a namespace would take away',
  description: 'Refused as the removal would be, but for the repositories that it holds.',
  right: onNamespace('manage'),
  parameters,
  answer: { status: 200, description: 'What goes with it.', schema: contentSchema },
  errors: ['namespaceUnknown', 'namespaceInUse'],
  example,
  handle: async ({ services, caller, path }) => {
    return { body: await describeContent(services, caller, await previewRemoval(services.registry.database, path.namespace)) }
  },
})

export const previewNamespaceRename = operation({
  id: 'previewNamespaceRename',
  method: 'GET',
  path: '/namespaces/{namespace}/rename',
  tag,
  summary: 'Say what another name of a namespace would affect',
  description: 'Refused as the renaming would be.',
  right: onNamespace('manage'),
  parameters,
  query: { to: newNamespaceName },
  answer: { status: 200, description: 'What gets the new name, too.', schema: contentSchema },
  errors: ['namespaceUnknown', 'nameTaken', 'nameInvalid', 'namespaceInUse'],
  example: { ...example, query: { to: 'crew' } },
  handle: async ({ services, caller, path, query }) => {
    const rename = { from: path.namespace, to: query.to }
    return { body: await describeContent(services, caller, await previewRename(services.registry.database, rename)) }
  },
})

/** @throws {RegistryError} denied: somebody else, by one who is no administrator */
async function ownerFor(services: Services, caller: Caller, wish: string | undefined): Promise<string | undefined> {
  if (await mayAlso(services, caller, { kind: 'administration' })) return wish
  const self = accountNameOf(caller.identity)
  if (wish === undefined || wish === self) return self
  throw new RegistryError('denied', {
    message: 'only administrators create namespaces for others: leave owner out, and grant the role then',
  })
}

function ownerAndVisibility({ owner, visibility }: { owner?: string | undefined; visibility?: string | undefined }) {
  return given({ owner, visibility })
}

function reply(row: NamespaceRow) {
  const body = describe(row)
  return { body, version: versionOf(body) }
}

function describe({ name, description, visibility, created_at_ms: createdAtMs, created_by: createdBy }: NamespaceRow) {
  return { name, description, visibility, createdAt: isoTime(createdAtMs), createdBy }
}

async function describeContent(services: Services, caller: Caller, content: NamespaceContent) {
  const { repositories, members, exceptions, robots, usage } = content
  return { repositories, members, exceptions, robots, usage: await describeUsage(services, caller, usage) }
}
