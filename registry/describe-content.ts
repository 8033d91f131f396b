/**
 * What a repository holds, as people look at it: tags with size and platforms, manifests with their config, the history of a tag.
 *
 * Reads only; a repository shows nothing here that it does not link. Invariant: the cost of an answer is bounded, whatever was pushed:
 * configs and large manifests are read up to a limit, and what is added up stops after a number of steps.
 */
import { isSupported, type Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { readImageConfig, readManifestContent, type ImageConfig, type ManifestContent } from '../oci/manifest-content.ts'
import type { Tag } from '../oci/reference.ts'
import { findManifestFacts, type ManifestFactsRow } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import { findTagRow, listTagIntervals, listTagRows, listTagsOf, type TagIntervalRow, type TagRow } from '../storage/metadata/tags.ts'
import { repositoryUsage, type UsageRow } from '../storage/metadata/usage.ts'
import { pageOf, type Page, type PageRequest } from './list.ts'
import type { Registry } from './registry.ts'

const configBytes = 4 * 1024 ** 2
/** Configs read in a list are smaller: there is one for each tag. */
const listedBytes = 256 * 1024
/** References followed for the size of one content, and of all contents of a page. */
const entriesOfOne = 10_000
const entriesOfPage = 50_000
const tagsOfManifest = 1000

export interface TagDescription extends TagRow {
  /** Bytes of the manifest and all that it references here, each content once; undefined: too many to add up. */
  readonly totalBytes: number | undefined
  /** `linux/amd64`, several for an index; empty when nothing says. */
  readonly platforms: readonly string[]
}

/** What a repository takes, and what of that nobody else has. */
export async function usageOf({ database }: Registry, { id }: RepositoryRow): Promise<UsageRow> {
  return repositoryUsage(database.read, id)
}

/** A part of the name, and a page. */
export type TagsRequest = PageRequest & { readonly text?: string | undefined }

export async function describeTags(registry: Registry, { id }: RepositoryRow, page: TagsRequest): Promise<Page<TagDescription>> {
  const { items, hasMore } = await pageOf(page, (limit) =>
    listTagRows(registry.database.read, { repositoryId: id, text: page.text, after: page.after, limit }),
  )
  const budget = { entries: entriesOfPage }
  const described: TagDescription[] = []
  for (const row of items) described.push(await describe(registry, id, { row, budget }))
  return { items: described, hasMore }
}

/** @throws {RegistryError} manifestUnknown: there is no such tag */
export async function describeTag(registry: Registry, { id }: RepositoryRow, tag: Tag): Promise<TagDescription> {
  const row = await findTagRow(registry.database.read, { repositoryId: id, tag })
  if (!row) throw unknownTag(tag)
  return describe(registry, id, { row, budget: { entries: entriesOfOne } })
}

export interface HistoryRequest {
  readonly tag: Tag
  /** The last interval of the page before. */
  readonly before: { readonly sinceMs: number; readonly id: number } | undefined
  readonly limit: number
}

/** What a tag was, the newest first; also of a tag that is gone. @throws {RegistryError} manifestUnknown: there never was such a tag */
export async function historyOf(registry: Registry, { id }: RepositoryRow, request: HistoryRequest): Promise<Page<TagIntervalRow>> {
  const { tag, before, limit } = request
  const page = await pageOf({ limit }, (count) => listTagIntervals(registry.database.read, { repositoryId: id, tag, before, limit: count }))
  if (page.items.length === 0 && before === undefined) throw unknownTag(tag)
  return page
}

export interface ManifestDescription extends ManifestFactsRow, Pick<ManifestContent, 'layers' | 'manifests' | 'annotations'> {
  readonly config: (NonNullable<ManifestContent['config']> & ImageConfig) | undefined
  readonly totalBytes: number | undefined
  /** The current tags that point at it, in byte order; the first thousand that are found. */
  readonly tags: readonly string[]
}

/** @throws {RegistryError} manifestUnknown */
export async function describeManifest(registry: Registry, { id }: RepositoryRow, digest: Digest): Promise<ManifestDescription> {
  const { read } = registry.database
  const row = await findManifestFacts(read, { repositoryId: id, digest })
  if (!row) throw new RegistryError('manifestUnknown', { detail: { digest } })
  const { config, ...content } = readManifestContent(row.content)
  return {
    ...row,
    ...content,
    config: config && {
      ...config,
      ...readImageConfig(await readContent(registry, id, { digest: config.digest, limitBytes: configBytes })),
    },
    totalBytes: await totalBytes(registry, { repositoryId: id, digest }, { entries: entriesOfOne }),
    tags: (await listTagsOf(read, { repositoryId: id, digest, limit: tagsOfManifest })).toSorted(),
  }
}

interface Budget {
  entries: number
}

async function describe(registry: Registry, repositoryId: number, of: { row: TagRow; budget: Budget }): Promise<TagDescription> {
  const { row, budget } = of
  return {
    ...row,
    totalBytes: await totalBytes(registry, { repositoryId, digest: row.digest }, budget),
    platforms: row.size_bytes > listedBytes ? [] : await platformsOf(registry, repositoryId, row.digest),
  }
}

/** Takes the steps that it needs from the budget; undefined when they do not suffice. */
async function totalBytes(registry: Registry, key: { repositoryId: number; digest: Digest }, budget: Budget): Promise<number | undefined> {
  const limit = Math.min(budget.entries, entriesOfOne)
  if (limit <= 0) return undefined
  const { bytes, entries } = (await registry.reads.contentSize({ ...key, limit })) ?? { bytes: 0, entries: 0 }
  budget.entries -= entries
  return entries >= limit ? undefined : bytes
}

async function platformsOf(registry: Registry, repositoryId: number, digest: Digest): Promise<string[]> {
  const manifest = await registry.reads.manifestByDigest({ repositoryId, digest })
  if (!manifest) return []
  const { config, manifests } = readManifestContent(manifest.content)
  const named = manifests.flatMap(({ platform }) => platform ?? []).filter((platform) => platform !== 'unknown/unknown')
  if (!config) return [...new Set(named)]
  const platform = await platformOfConfig(registry, repositoryId, config.digest)
  return platform === null ? [] : [platform]
}

async function platformOfConfig(registry: Registry, repositoryId: number, digest: Digest): Promise<string | null> {
  if (!(await registry.reads.linkedBlob({ repositoryId, digest }))) return null
  const known = registry.platforms.recall(digest)
  if (known !== undefined) return known
  const { os, architecture, variant } = readImageConfig(await readContent(registry, repositoryId, { digest, limitBytes: listedBytes }))
  const platform = os !== undefined && architecture !== undefined ? [os, architecture, variant ?? []].flat().join('/') : null
  registry.platforms.remember(digest, platform)
  return platform
}

/**
 * The bytes of a blob through the repository's link; none when it is not there, damaged or larger than the limit. Renews no lease: to
 * show a config is no promise that it can be pulled.
 */
async function readContent(registry: Registry, repositoryId: number, of: { digest: Digest; limitBytes: number }): Promise<Uint8Array> {
  const { digest, limitBytes } = of
  const blob = await registry.reads.linkedBlob({ repositoryId, digest })
  if (!blob || blob.size_bytes > limitBytes || !isSupported(digest)) return new Uint8Array()
  try {
    const reader = await registry.blobs.openBlob(digest, blob.size_bytes)
    const bytes = new Uint8Array(blob.size_bytes)
    try {
      for (let at = 0, read = 1; read > 0 && at < bytes.length; at += read) read = await reader.read(bytes.subarray(at), at)
    } finally {
      await reader.close()
    }
    return bytes
  } catch (error) {
    if (isRegistryError(error, 'blobDamaged')) return new Uint8Array()
    throw error
  }
}

export function unknownTag(tag: Tag): RegistryError {
  return new RegistryError('manifestUnknown', { message: `the repository has no tag ${tag}`, detail: { tag } })
}
