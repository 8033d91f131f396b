/**
 * Manifests: GET and HEAD with the exact bytes and type that were pushed, PUT, DELETE of a tag or a manifest.
 * Spec: distribution-spec v1.1.1, "Pulling manifests" (end-3), "Pushing Manifests" (end-7), "Deleting Tags/Manifests" (end-9).
 */
import { accountIdOf, accountNameOf, type Caller } from '../../auth/identity.ts'
import { covers } from '../../auth/scope.ts'
import { RegistryError } from '../../oci/errors.ts'
import { manifestLocation } from '../../oci/locations.ts'
import { isTag, parseReference, parseTag, type Reference, type Tag } from '../../oci/reference.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { deleteByReference, resolveForHead, resolveManifest } from '../../registry/read-manifest.ts'
import type { Handler } from '../http/exchange.ts'
import { queryOf } from '../http/query.ts'
import { matchesEtag, replyBytes, replyEmpty, setHeaders } from '../http/reply.ts'
import { readBody } from '../http/request-body.ts'

/** Accept is ignored: what is stored is served, and never converted. */
export const getManifest: Handler<'manifest'> = async ({ ctx, services, caller, repository, target }) => {
  const reference = referenceToRead(target.reference)
  const manifest =
    ctx.method === 'HEAD'
      ? await resolveForHead(services.registry, repository, { reference, isPushing: isPushing(caller, target.name) })
      : await resolveManifest(services.registry, repository, reference)
  setHeaders(ctx, {
    'Docker-Content-Digest': manifest.digest,
    ETag: `"${manifest.digest}"`,
    'Cache-Control': target.reference.includes(':') ? 'private, max-age=31536000, immutable' : 'no-cache',
    'X-Content-Type-Options': 'nosniff',
  })
  if (matchesEtag(ctx.get('If-None-Match'), manifest.digest)) return replyEmpty(ctx, 304)
  replyBytes(ctx, manifest.content, { 'Content-Type': manifest.media_type })
}

export const putManifest: Handler<'manifest'> = async ({ ctx, services, caller, target }) => {
  const reference = parseReference(target.reference)
  const extraTags = tagParameters(queryOf(ctx).getAll('tag'), reference, services.settings.manifests.maxTagsPerPush)
  const bytes = await readBody(ctx, services.settings.manifests.maxBytes, 'manifestTooLarge')
  const pushed = await pushManifest(services.registry, {
    repository: target.name,
    reference,
    extraTags,
    contentType: ctx.req.headers['content-type'],
    bytes,
    by: accountNameOf(caller.identity) ?? null,
    accountId: accountIdOf(caller.identity),
  })
  replyEmpty(ctx, 201, {
    Location: manifestLocation(target.name, pushed.digest),
    'Docker-Content-Digest': pushed.digest,
    ...(pushed.subject === undefined ? {} : { 'OCI-Subject': pushed.subject }),
    ...(extraTags.length === 0 ? {} : { 'OCI-Tag': extraTags }),
  })
}

export const deleteManifest: Handler<'manifest'> = async ({ ctx, services, repository, caller, target }) => {
  await deleteByReference(services.registry, repository, {
    reference: parseReference(target.reference),
    by: accountNameOf(caller.identity) ?? null,
  })
  replyEmpty(ctx, 202)
}

/** Clients ask for a token to push when they push, and for none when they pull. */
function isPushing({ access = [] }: Caller, name: RepositoryName): boolean {
  return covers(access, { type: 'repository', name, action: 'push' })
}

/** What is no tag cannot be there: reading it is "not found", where writing it is a fault of the request. */
function referenceToRead(text: string): Reference {
  if (text.includes(':') || isTag(text)) return parseReference(text)
  throw new RegistryError('manifestUnknown', { detail: { tag: text.slice(0, 128) } })
}

function tagParameters(texts: readonly string[], reference: Reference, limit: number): Tag[] {
  if (texts.length === 0) return []
  if (reference.kind === 'tag')
    throw new RegistryError('parameterInvalid', { message: 'tag parameters go with a digest in the path, not with a tag' })
  if (texts.length > limit) throw new RegistryError('tooManyTags', { detail: { limit } })
  return [...new Set(texts.map(parseTag))]
}
