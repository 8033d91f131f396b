/**
 * Lists: tags of a repository, repositories, referrers of a manifest, and the search of `docker search`.
 * Spec: distribution-spec v1.1.1, "Listing Tags" (end-8), "Listing Referrers" (end-12); catalog and search are older.
 */
import { parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { nextLink, parsePageSize } from '../../oci/paging.ts'
import { referrersOf, repositoriesFor, tagsOf, type ReferrersPage } from '../../registry/list.ts'
import type { Handler } from '../http/exchange.ts'
import { queryOf } from '../http/query.ts'
import { replyBytes, replyJson } from '../http/reply.ts'

export const getTags: Handler<'tags'> = async ({ ctx, services, repository, target }) => {
  const query = queryOf(ctx)
  const limit = parsePageSize(query.get('n') ?? undefined, services.settings.lists.pageSize)
  const { items, hasMore } = await tagsOf(services.registry, repository, { after: query.get('last') ?? undefined, limit })
  const last = items.at(-1)
  if (hasMore && last !== undefined) ctx.set('Link', nextLink(`/v2/${target.name}/tags/list`, { n: String(limit), last }))
  replyJson(ctx, { name: target.name, tags: items })
}

export const getCatalog: Handler<'catalog'> = async ({ ctx, services, caller }) => {
  const query = queryOf(ctx)
  const limit = parsePageSize(query.get('n') ?? undefined, services.settings.lists.pageSize)
  const filter = await services.rights.listingFor(caller.identity)
  const { items, hasMore } = await repositoriesFor(services.registry, filter, { after: query.get('last') ?? undefined, limit })
  const last = items.at(-1)?.name
  if (hasMore && last !== undefined) ctx.set('Link', nextLink('/v2/_catalog', { n: String(limit), last }))
  replyJson(ctx, { repositories: items.map((repository) => repository.name) })
}

/** Always 200, also for what nobody has seen: a 404 would make clients give up on referrers for good. */
export const getReferrers: Handler<'referrers'> = async ({ ctx, services, repository, target }) => {
  const subject = parseDigest(target.digest)
  const query = queryOf(ctx)
  const limit = parsePageSize(query.get('n') ?? undefined, services.settings.lists.pageSize)
  // A raw + in a media type arrives as a space.
  const artifactTypes = query
    .getAll('artifactType')
    .filter(Boolean)
    .map((type) => type.replaceAll(' ', '+'))
  const page = await referrersOf(services.registry, repository, { subject, artifactTypes, cursor: parseCursor(query.get('last')), limit })
  if (artifactTypes.length > 0) ctx.set('OCI-Filters-Applied', 'artifactType')
  if (page.next && limit > 0) {
    const link = nextLink(`/v2/${target.name}/referrers/${subject}`, { n: String(limit), last: formatCursor(page.next) })
    ctx.set(
      'Link',
      artifactTypes.length === 0
        ? link
        : link.replace('>;', `${artifactTypes.map((type) => `&artifactType=${encodeURIComponent(type)}`).join('')}>;`),
    )
  }
  const body = `{"schemaVersion":2,"mediaType":"${indexType}","manifests":[${page.descriptors.join(',')}]}`
  replyBytes(ctx, Buffer.from(body), { 'Content-Type': indexType })
}

const indexType = 'application/vnd.oci.image.index.v1+json'

function formatCursor(cursor: NonNullable<ReferrersPage['next']>): string {
  return `${cursor.pushedAtMs}.${cursor.digest}`
}

function parseCursor(text: string | null): ReferrersPage['next'] {
  if (text === null) return undefined
  const match = /^(\d{1,15})\.(.{1,256})$/.exec(text)
  if (!match) throw new RegistryError('parameterInvalid', { message: 'last is not a position in this list: follow the Link header' })
  return { pushedAtMs: Number(match[1]), digest: match[2] ?? '' }
}
