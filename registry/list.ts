/**
 * Lists, one page at a time by key: tags, repositories, referrers. A page costs what it returns.
 */
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { listReferrers, listReferrerSizes, type ReferrerRow } from '../storage/metadata/manifests.ts'
import {
  listRepositories,
  searchRepositories,
  type RepositoryFilter,
  type RepositoryRow,
  type RepositoryWish,
} from '../storage/metadata/repositories.ts'
import { listTags } from '../storage/metadata/tags.ts'
import type { Registry } from './registry.ts'

export interface PageRequest {
  /** Entries strictly after this one, in byte order. */
  readonly after: string | undefined
  readonly limit: number
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Whether another page follows. */
  readonly hasMore: boolean
}

/** @throws {RegistryError} nameUnknown */
export async function tagsOf(registry: Registry, repository: RepositoryRow | undefined, page: PageRequest): Promise<Page<string>> {
  if (!repository) throw new RegistryError('nameUnknown')
  return pageOf(page, (limit) => listTags(registry.database.read, { repositoryId: repository.id, after: page.after, limit }))
}

/** Repositories that the filter admits, of those only what was asked for. */
export async function repositoriesFor(
  registry: Pick<Registry, 'database'>,
  filter: RepositoryFilter,
  { only = {}, ...page }: PageRequest & { readonly only?: RepositoryWish },
): Promise<Page<RepositoryRow>> {
  return pageOf(page, (limit) => listRepositories(registry.database.read, { filter, only, after: page.after, limit }))
}

/** Repositories that the filter admits and whose name contains the text. */
export async function searchFor(
  registry: Registry,
  filter: RepositoryFilter,
  search: { text: string; limit: number },
): Promise<RepositoryRow[]> {
  return searchRepositories(registry.database.read, { ...search, filter })
}

/** Clients read at most 4 MiB of a referrers answer, and some do not follow its link: so pages are filled by bytes. */
const referrersPageBytes = 3.5 * 1024 * 1024
const referrersBatch = 500

export interface ReferrersRequest {
  readonly subject: Digest
  readonly artifactTypes: readonly string[]
  /** Where the page before ended. */
  readonly cursor: { readonly pushedAtMs: number; readonly digest: string } | undefined
  readonly limit: number
}

export interface ReferrersPage {
  /** Descriptors as JSON texts, in push order. */
  readonly descriptors: readonly string[]
  readonly next: { readonly pushedAtMs: number; readonly digest: string } | undefined
}

/** The manifests of this repository whose subject is the digest; empty for a repository that does not exist. */
export async function referrersOf(
  registry: Registry,
  repository: RepositoryRow | undefined,
  request: ReferrersRequest,
): Promise<ReferrersPage> {
  if (!repository) return { descriptors: [], next: undefined }
  const { subject, artifactTypes, limit } = request
  const descriptors: string[] = []
  let bytes = 0
  let cursor = request.cursor
  for (;;) {
    const page = { repositoryId: repository.id, subject, artifactTypes, after: cursor }
    const sizes = await listReferrerSizes(registry.database.read, { ...page, limit: referrersBatch })
    const rows = await listReferrers(registry.database.read, { ...page, limit: countFitting(sizes, referrersPageBytes) })
    for (const row of rows) {
      const text = describe(row)
      const isFull = descriptors.length > 0 && bytes + Buffer.byteLength(text) > referrersPageBytes
      if (isFull || descriptors.length >= limit) return { descriptors, next: cursor }
      descriptors.push(text)
      bytes += Buffer.byteLength(text)
      cursor = { pushedAtMs: row.pushed_at_ms, digest: row.digest }
    }
    if (sizes.length < referrersBatch && rows.length === sizes.length) return { descriptors, next: undefined }
  }
}

/** How many of the first manifests may be read at once: annotations can be as large as a manifest, and a batch holds hundreds. */
function countFitting(sizes: readonly number[], limitBytes: number): number {
  let total = 0
  const tooMany = sizes.findIndex((size) => (total += size) > limitBytes)
  return tooMany === -1 ? sizes.length : Math.max(tooMany, 1)
}

/** As a JSON text. The annotations are one already; reading and writing it again could change its keys (see oci/strict-json.ts). */
function describe(row: ReferrerRow): string {
  const descriptor = JSON.stringify({
    mediaType: row.media_type,
    digest: row.digest,
    size: row.size_bytes,
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
  })
  return row.annotations === null ? descriptor : `${descriptor.slice(0, -1)},"annotations":${row.annotations}}`
}

/** Reads one more than asked, to know whether another page follows. */
export async function pageOf<T>({ limit }: { readonly limit: number }, read: (limit: number) => Promise<T[]>): Promise<Page<T>> {
  if (limit === 0) return { items: [], hasMore: false }
  const items = await read(limit + 1)
  return { items: items.slice(0, limit), hasMore: items.length > limit }
}
