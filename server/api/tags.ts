/**
 * Operations on the tags of a repository: list, describe, point, remove, and what a tag was before. A tag's version is its digest.
 */
import { z } from 'zod'
import { accountNameOf } from '../../auth/identity.ts'
import { describeTag, describeTags, historyOf, type TagDescription } from '../../registry/describe-content.ts'
import { deleteByReference } from '../../registry/read-manifest.ts'
import { restoreTag as restoreEarlierTag } from '../../registry/restore-tag.ts'
import { pointTag } from '../../registry/set-tag.ts'
import type { TagIntervalRow } from '../../storage/metadata/tags.ts'
import { actor, digest, digestText, isoTime, nameFilter, repositoryName, sizeBytes, tagName, time } from './fields.ts'
import { operation } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { onRepository } from './right.ts'

const tagSchema = z
  .strictObject({
    name: z.string(),
    digest: digestText,
    mediaType: z.string().meta({ description: 'Of the manifest.' }),
    artifactType: z.string().nullable().meta({ description: 'Of the manifest, as the referrers list shows it.' }),
    sizeBytes: sizeBytes.nullable().meta({
      description:
        'Bytes of the manifest, its config and layers, for an index those of all platforms; null when there are too many to add up.',
    }),
    platforms: z.array(z.string()).meta({ description: 'Such as linux/amd64; empty when nothing says.', examples: [['linux/amd64']] }),
    pushedBy: actor,
    pushedAt: time.meta({ description: 'When the tag was set to this digest.' }),
  })
  .meta({ id: 'Tag', description: 'A tag, and what it points at.' })

const intervalSchema = z
  .strictObject({
    digest: digestText,
    since: time,
    until: time.nullable().meta({ description: 'null while it lasts.' }),
    setBy: actor,
    endedBy: actor.meta({ description: 'Who moved or removed it; null also while it lasts.' }),
  })
  .meta({ id: 'TagInterval', description: 'What a tag pointed at, and how long.' })

const group = 'tags'
const parameters = { name: repositoryName, tag: tagName }
const example = { path: { name: 'team%2Fapp', tag: 'latest' } }

export const listTags = operation({
  id: 'listTags',
  method: 'GET',
  path: '/repositories/{name}/tags',
  tag: group,
  summary: 'List the tags of a repository with size, platforms and who pushed them',
  description: 'In byte order of their names.',
  right: onRepository('pull'),
  parameters: { name: repositoryName },
  query: { ...pageQuery(['text']), q: nameFilter },
  answer: { status: 200, description: 'A page of tags.', schema: pageOf('TagPage', tagSchema) },
  example,
  handle: async ({ services, repository, query }) => {
    const page = await describeTags(services.registry, repository, { after: query.cursor?.[0], limit: query.limit, text: query.q })
    return { body: pageBody(page, { itemOf: describe, keyOf: ({ name }) => [name] }) }
  },
})

export const getTag = operation({
  id: 'getTag',
  method: 'GET',
  path: '/repositories/{name}/tags/{tag}',
  tag: group,
  summary: 'Describe a tag',
  right: onRepository('pull'),
  parameters,
  answer: { status: 200, description: 'The tag.', schema: tagSchema },
  errors: ['manifestUnknown'],
  example,
  handle: async ({ services, repository, path }) => reply(await describeTag(services.registry, repository, path.tag)),
})

export const putTag = operation({
  id: 'putTag',
  method: 'PUT',
  path: '/repositories/{name}/tags/{tag}',
  tag: group,
  summary: 'Point a tag at a manifest that the repository has',
  description: 'Makes the tag when it is not there. What it was stays in its history.',
  right: onRepository('push'),
  parameters,
  body: z.strictObject({ digest }).meta({ id: 'TagTarget' }),
  answer: { status: 200, description: 'The tag as it is now.', schema: tagSchema },
  isConditional: true,
  errors: ['manifestUnknown', 'digestInvalid'],
  example: { ...example, body: { digest: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' } },
  deed: ({ path, body }) => ({ action: 'push', target: path.name, detail: { tag: path.tag, digest: body?.digest } }),
  handle: async ({ services, caller, repository, path, body, requireVersion }) => {
    const by = accountNameOf(caller.identity) ?? null
    await pointTag(services.registry, repository, { tag: path.tag, digest: body.digest, by, check: requireVersion })
    return reply(await describeTag(services.registry, repository, path.tag))
  },
})

export const deleteTag = operation({
  id: 'deleteTag',
  method: 'DELETE',
  path: '/repositories/{name}/tags/{tag}',
  tag: group,
  summary: 'Remove a tag',
  description: 'Only the tag: its manifest stays, and so does its history.',
  right: onRepository('delete'),
  parameters,
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['manifestUnknown', 'deleteDisabled'],
  example,
  deed: ({ path }) => ({ action: 'delete', target: path.name, detail: { tag: path.tag } }),
  handle: async ({ services, caller, repository, path, requireVersion }) => {
    const by = accountNameOf(caller.identity) ?? null
    await deleteByReference(services.registry, repository, { reference: { kind: 'tag', tag: path.tag }, by, check: requireVersion })
    return { body: undefined }
  },
})

export const restoreTag = operation({
  id: 'restoreTag',
  method: 'POST',
  path: '/repositories/{name}/tags/{tag}/restore',
  tag: group,
  summary: 'Make a tag again what it was',
  description:
    'With a digest of its history that; without, the last one before what it is now, or before it was removed. A manifest that is in the trash comes back, too.',
  right: onRepository('push'),
  parameters,
  body: z.strictObject({ digest: digest.optional() }).meta({ id: 'TagRestoration' }),
  answer: { status: 200, description: 'The tag as it is now.', schema: tagSchema },
  isConditional: true,
  errors: ['manifestUnknown', 'digestInvalid', 'restoreBlocked'],
  example: { ...example, body: {} },
  deed: ({ path, body }) => ({ action: 'restore', target: path.name, detail: { tag: path.tag, digest: body?.digest } }),
  handle: async ({ services, caller, repository, path, body, requireVersion }) => {
    const by = accountNameOf(caller.identity) ?? null
    await restoreEarlierTag(services.registry, repository, { tag: path.tag, digest: body.digest, by, check: requireVersion })
    return reply(await describeTag(services.registry, repository, path.tag))
  },
})

export const listTagHistory = operation({
  id: 'listTagHistory',
  method: 'GET',
  path: '/repositories/{name}/tags/{tag}/history',
  tag: group,
  summary: 'List what a tag pointed at, the newest first',
  description: 'Also of a tag that was removed.',
  right: onRepository('pull'),
  parameters,
  query: pageQuery(['number', 'number']),
  answer: { status: 200, description: 'A page of intervals.', schema: pageOf('TagIntervalPage', intervalSchema) },
  errors: ['manifestUnknown'],
  example,
  handle: async ({ services, repository, path, query }) => {
    const [sinceMs, id] = query.cursor ?? []
    const before = sinceMs === undefined || id === undefined ? undefined : { sinceMs, id }
    const page = await historyOf(services.registry, repository, { tag: path.tag, before, limit: query.limit })
    return { body: pageBody(page, { itemOf: describeInterval, keyOf: (row) => [row.since_ms, row.id] }) }
  },
})

function reply(tag: TagDescription) {
  return { body: describe(tag), version: tag.digest }
}

function describe(tag: TagDescription) {
  return {
    name: tag.name,
    digest: tag.digest,
    mediaType: tag.media_type,
    artifactType: tag.artifact_type,
    sizeBytes: tag.totalBytes ?? null,
    platforms: [...tag.platforms],
    pushedBy: tag.set_by,
    pushedAt: isoTime(tag.since_ms),
  }
}

function describeInterval(row: TagIntervalRow) {
  return {
    digest: row.digest,
    since: isoTime(row.since_ms),
    until: row.until_ms === null ? null : isoTime(row.until_ms),
    setBy: row.set_by,
    endedBy: row.ended_by,
  }
}
