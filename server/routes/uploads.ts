/**
 * Pushing blobs: start, append, finish, status, cancel, mount.
 * Spec: distribution-spec v1.1.1, "Pushing blobs" (end-4a, 4b, 5, 6, 11, 13) and main, "Cancelling" (end-14), "digest-algorithm" (end-4c).
 */
import { accountIdOf } from '../../auth/identity.ts'
import {
  isEmptyContent,
  isSupported,
  parseAlgorithm,
  parseDigest,
  requireSupported,
  type Digest,
  type SupportedDigest,
} from '../../oci/digest.ts'
import { isRegistryError, RegistryError, type ErrorReason } from '../../oci/errors.ts'
import { blobLocation } from '../../oci/locations.ts'
import {
  appendToUpload,
  cancelUpload,
  finishUpload,
  mountBlob,
  pushWholeBlob,
  startUpload,
  statUpload,
  type Mount,
} from '../../registry/push-blob.ts'
import { findRepository } from '../../registry/registry.ts'
import { sessionHeaders } from '../../registry/upload-session.ts'
import type { SessionKey } from '../../storage/metadata/uploads.ts'
import type { Exchange, Handler, TargetOf } from '../http/exchange.ts'
import { mountSourceName, queryOf } from '../http/query.ts'
import { replyEmpty } from '../http/reply.ts'
import { announcedBytes, chunkOf } from '../http/request-body.ts'

type Start = Exchange<TargetOf<'uploads'>>

/** Mount, whole blob, or session, in this order; a mount that cannot be done becomes a session and tells nothing. */
export const postUpload: Handler<'uploads'> = async (exchange) => {
  const { ctx, services, target, caller } = exchange
  const query = queryOf(ctx)
  const mounted = await tryMount(exchange, query)
  if (mounted) {
    services.metrics.recordUploads('mounted')
    ctx.state.isMounted = true
    return replyCreated(exchange, mounted)
  }
  const digestText = query.get('digest')
  const digest = digestText === null ? undefined : requireSupported(parseDigest(digestText))
  const start = { repository: target.name, accountId: accountIdOf(caller.identity) }
  if (digest && (announcedBytes(ctx) !== 0 || isEmptyContent(digest))) {
    await storing(exchange, () => pushWholeBlob(services.registry, start, { ...chunkOf(ctx), range: undefined, digest }))
    return replyCreated(exchange, digest)
  }
  const hint = query.get('digest-algorithm')
  const key = await startUpload(services.registry, { ...start, algorithm: hint === null ? 'sha256' : parseAlgorithm(hint) })
  replyEmpty(ctx, 202, sessionHeaders(key, 0))
}

export const patchUpload: Handler<'upload'> = async (exchange) => {
  const key = keyOf(exchange)
  const bytesStored = await receiving(exchange, () => appendToUpload(exchange.services.registry, key, chunkOf(exchange.ctx)))
  replyEmpty(exchange.ctx, 202, sessionHeaders(key, bytesStored))
}

export const putUpload: Handler<'upload'> = async (exchange) => {
  const { ctx, services } = exchange
  const digestText = queryOf(ctx).get('digest')
  if (digestText === null)
    throw new RegistryError('digestInvalid', { message: 'the closing request needs ?digest=, the digest of the whole blob' })
  const digest = requireSupported(parseDigest(digestText))
  await storing(exchange, () => finishUpload(services.registry, keyOf(exchange), { ...chunkOf(ctx), digest }))
  replyCreated(exchange, digest)
}

export const getUpload: Handler<'upload'> = async (exchange) => {
  const key = keyOf(exchange)
  const bytesStored = await statUpload(exchange.services.registry, key)
  replyEmpty(exchange.ctx, 204, sessionHeaders(key, bytesStored))
}

export const deleteUpload: Handler<'upload'> = async (exchange) => {
  await cancelUpload(exchange.services.registry, keyOf(exchange))
  exchange.services.metrics.recordUploads('cancelled')
  replyEmpty(exchange.ctx, 204)
}

/** Counted among the active uploads, if there is a body. */
async function receiving<T>({ ctx, services }: Exchange, work: () => Promise<T>): Promise<T> {
  if (announcedBytes(ctx) === 0) return work()
  const stop = services.metrics.startReceiving()
  try {
    return await work()
  } finally {
    stop()
  }
}

const failures: readonly ErrorReason[] = ['digestMismatch', 'storageFull', 'storageFailed']

/** Counted by its outcome as well. What the client can put right within the same session has not failed. */
async function storing(exchange: Exchange, work: () => Promise<void>): Promise<void> {
  const { metrics } = exchange.services
  try {
    await receiving(exchange, work)
    metrics.recordUploads('stored')
  } catch (error) {
    if (failures.some((reason) => isRegistryError(error, reason))) metrics.recordUploads('failed')
    throw error
  }
}

/** Another account's session is one that does not exist. */
function keyOf({ target, caller }: Exchange<TargetOf<'upload'>>): SessionKey {
  return { id: target.session, repository: target.name, accountId: accountIdOf(caller.identity) }
}

function replyCreated({ ctx, target }: Exchange<TargetOf<'upload' | 'uploads'>>, digest: SupportedDigest): void {
  replyEmpty(ctx, 201, { Location: blobLocation(target.name, digest), 'Docker-Content-Digest': digest })
}

/** @returns the digest when it was mounted, undefined when an upload has to do it. */
async function tryMount(exchange: Start, query: URLSearchParams): Promise<SupportedDigest | undefined> {
  const text = query.get('mount')
  if (text === null) return undefined
  const digest: Digest = parseDigest(text)
  if (!isSupported(digest)) return undefined
  const source = await mountSource(exchange, query)
  const isMounted = await mountBlob(exchange.services.registry, {
    target: exchange.target.name,
    accountId: accountIdOf(exchange.caller.identity),
    digest,
    source,
  })
  return isMounted ? digest : undefined
}

/** Where the caller may take the blob from; undefined: nowhere, which must look like a blob that is not there. */
async function mountSource({ services, caller, target, repository }: Start, query: URLSearchParams): Promise<Mount['source']> {
  // Without a source: anything this account may pull. A docker token's scope is what its client asked for, not a boundary.
  if (!query.has('from')) return services.rights.listingFor(caller.identity)
  const name = mountSourceName(query)
  if (name === undefined) return undefined
  if (name === target.name) return repository
  const source = await findRepository(services.registry, name)
  const request = { kind: 'repository', action: 'pull', name, visibility: source?.visibility } as const
  if (!(await services.rights.isAllowed(caller.identity, request))) return undefined
  // Allowed, but perhaps not covered by the token: then the challenge names both scopes and clients come back with a wider one.
  await services.rights.authorize(caller, request)
  return source
}
