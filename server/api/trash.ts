/**
 * Operations on the trash: what was deleted and can still be restored, bringing it back, and removing it for good.
 */
import { z } from 'zod'
import { accountNameOf } from '../../auth/identity.ts'
import { purgeFromTrash, restoreFromTrash, tagsIn, trashFor } from '../../registry/trash.ts'
import type { Services } from '../services.ts'
import type { TrashItem, TrashPage } from '../../storage/metadata/trash.ts'
import { actor, digestText, isoTime, repositoryName, time } from './fields.ts'
import { operation } from './operation.ts'
import { pageBody, pageOf, pageQuery, wholeNumber } from './page.ts'
import { administration, ofNamespaceOwner, onRepository, onTrashItem } from './right.ts'

const itemSchema = z
  .strictObject({
    id: z.int(),
    kind: z.enum(['manifest', 'repository']),
    repository: z.string().meta({ description: 'The name it had, or of the repository it was in.' }),
    digest: digestText.nullable().meta({ description: 'Of a manifest.' }),
    tags: z.array(z.string()).meta({ description: 'Those that pointed at the manifest.' }),
    deletedAt: time,
    deletedBy: actor,
    goesAt: time.meta({ description: 'When it will be gone for good.' }),
  })
  .meta({ id: 'TrashItem', description: 'A deleted repository or manifest that can be restored.' })

const group = 'trash'
const pages = pageQuery(['number', 'number'])
const answer = { status: 200, description: 'A page of items.', schema: pageOf('TrashPage', itemSchema) } as const
const item = wholeNumber({ min: 1, max: Number.MAX_SAFE_INTEGER }).meta({ description: 'The number of an item.', examples: [7] })
const namespace = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'The name of a namespace.', examples: ['team'] })

export const listTrash = operation({
  id: 'listTrash',
  method: 'GET',
  path: '/trash',
  tag: group,
  summary: 'List everything that can be restored',
  description: 'The newest first.',
  right: administration,
  query: pages,
  answer,
  handle: async ({ services, query }) => ({ body: await bodyOf(services, undefined, query) }),
})

export const listRepositoryTrash = operation({
  id: 'listRepositoryTrash',
  method: 'GET',
  path: '/repositories/{name}/trash',
  tag: group,
  summary: 'List the deleted manifests of a repository',
  description: 'The newest first. What a repository of the same name had that was removed before is listed for its namespace.',
  right: onRepository('delete'),
  parameters: { name: repositoryName },
  query: pages,
  answer,
  example: { path: { name: 'team%2Fapp' } },
  handle: async ({ services, repository, query }) => ({ body: await bodyOf(services, { repositoryId: repository.id }, query) }),
})

export const listNamespaceTrash = operation({
  id: 'listNamespaceTrash',
  method: 'GET',
  path: '/namespaces/{namespace}/trash',
  tag: group,
  summary: 'List what was deleted in a namespace',
  description: 'The newest first.',
  right: ofNamespaceOwner,
  parameters: { namespace },
  query: pages,
  answer,
  example: { path: { namespace: 'team' } },
  handle: async ({ services, path, query }) => ({ body: await bodyOf(services, { namespace: path.namespace }, query) }),
})

export const restoreTrashItem = operation({
  id: 'restoreTrashItem',
  method: 'POST',
  path: '/trash/{item}/restore',
  tag: group,
  summary: 'Bring back what was deleted',
  description:
    'A repository comes back with all that it had; roles that were granted in it alone do not. A manifest comes back with those of its tags that point at nothing else now.',
  right: onTrashItem('restore'),
  parameters: { item },
  answer: { status: 200, description: 'What came back.', schema: itemSchema },
  errors: ['trashItemUnknown', 'nameTaken', 'restoreBlocked'],
  example: { path: { item: '7' } },
  deed: ({ path }) => ({ action: 'restore', target: `trash/${path.item}` }),
  handle: async ({ services, caller, path }) => {
    const by = accountNameOf(caller.identity) ?? null
    return { body: describe(services, await restoreFromTrash(services.registry, { id: path.item, by })) }
  },
})

export const purgeTrashItem = operation({
  id: 'purgeTrashItem',
  method: 'DELETE',
  path: '/trash/{item}',
  tag: group,
  summary: 'Remove for good what was deleted',
  description: 'The room of what only it needed is free as soon as no lease keeps it.',
  right: onTrashItem('purge'),
  parameters: { item },
  answer: { status: 204, description: 'It is gone.' },
  errors: ['trashItemUnknown'],
  example: { path: { item: '7' } },
  deed: ({ path }) => ({ action: 'purge', target: `trash/${path.item}` }),
  handle: async ({ services, path }) => {
    await purgeFromTrash(services.registry, path.item)
    return { body: undefined }
  },
})

async function bodyOf(
  services: Services,
  of: TrashPage['of'],
  { cursor, limit }: { cursor?: readonly [number, number] | undefined; limit: number },
) {
  const [deletedAtMs, id] = cursor ?? []
  const before = deletedAtMs === undefined || id === undefined ? undefined : { deletedAtMs, id }
  const page = await trashFor(services.registry, { of, before, limit })
  return pageBody(page, { itemOf: (row) => describe(services, row), keyOf: (row) => [row.deleted_at_ms, row.id] })
}

function describe({ registry }: Services, row: TrashItem) {
  return {
    id: row.id,
    kind: row.kind,
    repository: row.repository,
    digest: row.digest,
    tags: tagsIn(row),
    deletedAt: isoTime(row.deleted_at_ms),
    deletedBy: row.deleted_by,
    goesAt: isoTime(row.deleted_at_ms + registry.rules.trashMs),
  }
}
