/**
 * Operations on manifests: describe with config, layers and platforms, remove, and who refers to one.
 */
import { z } from 'zod'
import { accountNameOf } from '../../auth/identity.ts'
import { describeManifest, type ManifestDescription } from '../../registry/describe-content.ts'
import { referrersOf } from '../../registry/list.ts'
import { deleteByReference } from '../../registry/read-manifest.ts'
import { actor, digest, digestText, isoTime, repositoryName, sizeBytes, time } from './fields.ts'
import { operation } from './operation.ts'
import { formatCursor, pageOf, pageQuery } from './page.ts'
import { onRepository } from './right.ts'

const texts = z.record(z.string(), z.string())
const words = z.array(z.string()).nullable()
const entry = { digest: digestText, mediaType: z.string(), sizeBytes }

const configSchema = z
  .strictObject({
    ...entry,
    createdAt: time.nullable(),
    os: z.string().nullable(),
    architecture: z.string().nullable(),
    variant: z.string().nullable(),
    environment: words.meta({ description: 'The names of the variables; their values are not shown.' }),
    entrypoint: words,
    command: words,
    labels: texts.nullable(),
  })
  .meta({
    id: 'Config',
    description: 'The config and what an image says in it; members are null when it is not here, larger than 4 MiB or no JSON.',
  })

const manifestSchema = z
  .strictObject({
    digest: digestText,
    mediaType: z.string(),
    artifactType: z.string().nullable(),
    sizeBytes: sizeBytes.meta({ description: 'Bytes of the manifest itself.' }),
    totalBytes: sizeBytes
      .nullable()
      .meta({ description: 'Bytes of it and all that it references; null when there is too much to add up.' }),
    subject: digestText.nullable().meta({ description: 'The digest of the manifest that this one refers to.' }),
    annotations: texts,
    config: configSchema.nullable(),
    layers: z.array(z.strictObject(entry)),
    manifests: z
      .array(z.strictObject({ ...entry, platform: z.string().nullable(), annotations: texts }))
      .meta({ description: 'The entries of an index.' }),
    pushedBy: actor,
    pushedAt: time,
    tags: z.array(z.string()).meta({ description: 'The tags that point at it, at most a thousand.' }),
  })
  .meta({ id: 'Manifest' })

const referrerSchema = z
  .strictObject({ ...entry, artifactType: z.string().nullable(), annotations: texts })
  .meta({ id: 'Referrer', description: 'A manifest that refers to another: a signature, an SBOM.' })

const tag = 'manifests'
const parameters = { name: repositoryName, digest }
const example = {
  path: { name: 'team%2Fapp', digest: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' },
}

export const getManifest = operation({
  id: 'getManifest',
  method: 'GET',
  path: '/repositories/{name}/manifests/{digest}',
  tag,
  summary: 'Describe a manifest: config, layers, platforms, tags',
  right: onRepository('pull'),
  parameters,
  answer: { status: 200, description: 'The manifest.', schema: manifestSchema },
  errors: ['manifestUnknown', 'digestInvalid'],
  example,
  handle: async ({ services, repository, path }) => {
    const manifest = await describeManifest(services.registry, repository, path.digest)
    return { body: describe(manifest), version: manifest.digest }
  },
})

export const deleteManifest = operation({
  id: 'deleteManifest',
  method: 'DELETE',
  path: '/repositories/{name}/manifests/{digest}',
  tag,
  summary: 'Remove a manifest and every tag that points at it',
  right: onRepository('delete'),
  parameters,
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['manifestUnknown', 'digestInvalid', 'deleteDisabled'],
  example,
  deed: ({ path }) => ({ action: 'delete', target: path.name, detail: { digest: path.digest } }),
  handle: async ({ services, caller, repository, path, requireVersion }) => {
    const by = accountNameOf(caller.identity) ?? null
    const reference = { kind: 'digest' as const, digest: path.digest }
    await deleteByReference(services.registry, repository, { reference, by, check: requireVersion })
    return { body: undefined }
  },
})

export const listReferrers = operation({
  id: 'listReferrers',
  method: 'GET',
  path: '/repositories/{name}/manifests/{digest}/referrers',
  tag,
  summary: 'List the manifests that refer to a digest',
  description: 'In the order of their pushes. A page may hold fewer than asked for: annotations can be large.',
  right: onRepository('pull'),
  parameters,
  query: {
    ...pageQuery(['number', 'text']),
    artifactType: z.string().max(255).optional().meta({ description: 'Only those of this type.' }),
  },
  answer: { status: 200, description: 'A page of referrers.', schema: pageOf('ReferrerPage', referrerSchema) },
  errors: ['digestInvalid'],
  example,
  handle: async ({ services, repository, path, query }) => {
    const { limit, artifactType } = query
    const [pushedAtMs, last] = query.cursor ?? []
    const cursor = pushedAtMs === undefined || last === undefined ? undefined : { pushedAtMs, digest: last }
    const artifactTypes = artifactType === undefined ? [] : [artifactType]
    const page = await referrersOf(services.registry, repository, { subject: path.digest, artifactTypes, cursor, limit })
    const next = page.next ? formatCursor([page.next.pushedAtMs, page.next.digest]) : null
    return { body: { items: page.descriptors.map(describeReferrer), next } }
  },
})

function describe(manifest: ManifestDescription) {
  const { config } = manifest
  return {
    digest: manifest.digest,
    mediaType: manifest.media_type,
    artifactType: manifest.artifact_type,
    sizeBytes: manifest.size_bytes,
    totalBytes: manifest.totalBytes ?? null,
    subject: manifest.subject_digest,
    annotations: manifest.annotations ?? {},
    config: config ? describeConfig(config) : null,
    layers: [...manifest.layers],
    manifests: manifest.manifests.map((each) => ({ ...each, platform: each.platform ?? null })),
    pushedBy: manifest.pushed_by,
    pushedAt: isoTime(manifest.pushed_at_ms),
    tags: [...manifest.tags],
  }
}

function describeConfig(config: NonNullable<ManifestDescription['config']>) {
  return {
    digest: config.digest,
    mediaType: config.mediaType,
    sizeBytes: config.sizeBytes,
    createdAt: config.createdAt ?? null,
    os: config.os ?? null,
    architecture: config.architecture ?? null,
    variant: config.variant ?? null,
    environment: config.environment ? [...config.environment] : null,
    entrypoint: config.entrypoint ? [...config.entrypoint] : null,
    command: config.command ? [...config.command] : null,
    labels: config.labels ?? null,
  }
}

/** @param text a descriptor as the registry protocol lists it */
function describeReferrer(text: string) {
  const descriptor = JSON.parse(text) as {
    mediaType: string
    digest: string
    size: number
    artifactType?: string
    annotations?: Record<string, string>
  }
  const { mediaType, digest, size, artifactType = null, annotations = {} } = descriptor
  return { digest, mediaType, sizeBytes: size, artifactType, annotations }
}
