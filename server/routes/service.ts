/**
 * What is not the registry protocol: health for whoever runs it, metrics, `docker search`, and a word for a browser.
 */
import { authorize } from '../../auth/authorize.ts'
import type { Identity } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parsePageSize } from '../../oci/paging.ts'
import { searchFor } from '../../registry/list.ts'
import { noteCaller, type Context } from '../http/exchange.ts'
import { sourceOf } from '../http/login-source.ts'
import { queryOf } from '../http/query.ts'
import { replyEmpty, replyJson, replyText } from '../http/reply.ts'
import { metricsContentType } from '../metrics.ts'
import type { Services } from '../services.ts'
import { timingSafeEqual, createHash } from 'node:crypto'

const searchLimit = 100

/** The process runs. */
export function getHealth(ctx: Context): void {
  replyText(ctx, 'ok\n')
}

/** It can read its rows and write its folder, and is not about to stop. */
export async function getReadiness(ctx: Context, services: Services): Promise<void> {
  const warnings = await services.checkReady()
  replyText(ctx, ['ready', ...warnings.map((text) => `warning: ${text}`), ''].join('\n'))
}

/** Prometheus text over all workers: for administrators, or whoever holds the metrics token. */
export async function getMetrics(ctx: Context, services: Services): Promise<void> {
  const { access, token } = services.settings.metrics
  if (access !== 'anyone' && !isBearer(ctx, token)) {
    const caller = await services.authenticator.authenticate(ctx.req.headers.authorization, sourceOf(ctx, services))
    noteCaller(ctx, caller)
    authorize(services.policy, caller, { kind: 'metrics' })
  }
  replyText(ctx, await services.collectMetrics(), metricsContentType)
}

/** `docker search` asks first whether there is anything to ask. */
export function getSearchPing(ctx: Context): void {
  replyJson(ctx, { standalone: true })
}

/**
 * Repositories whose name contains the term, among those that the caller may pull; without a login the public ones.
 *
 * podman asks here without its credentials and takes a 200 for all there is. It is known by the version header that it sends with
 * requests, and told that there is no search: then it walks the catalog, for which it signs in.
 */
export async function getSearch(ctx: Context, services: Services): Promise<void> {
  if (ctx.req.headers['docker-distribution-api-version'] !== undefined && ctx.req.headers.authorization === undefined) {
    throw new RegistryError('endpointUnknown', { message: 'search without a login is not answered here: use the catalog' })
  }
  const query = queryOf(ctx)
  const identity = await searcherOf(ctx, services)
  const text = (query.get('q') ?? '').slice(0, 255)
  const limit = parsePageSize(query.get('n') ?? undefined, searchLimit)
  const found = await searchFor(services.registry, await services.rights.listingFor(identity), { text, limit })
  const results = found.map(({ name, description }) => ({ name, description, star_count: 0, is_official: false, is_automated: false }))
  replyJson(ctx, { num_results: results.length, query: text, results })
}

/** A token finds no more than the catalog, which it must cover. Without logins credentials mean nothing, as under /v2. */
async function searcherOf(ctx: Context, services: Services): Promise<Identity> {
  if (services.policy.isOpen) return { kind: 'anonymous' }
  const caller = await services.authenticator.authenticate(ctx.req.headers.authorization, sourceOf(ctx, services))
  noteCaller(ctx, caller)
  if (caller.access !== undefined) authorize(services.policy, caller, { kind: 'catalog' })
  return caller.identity
}

export function getRoot(ctx: Context): void {
  const host = ctx.state.origin.replace(/^https?:\/\//, '')
  replyText(ctx, `This is a Lanyard container registry.\n\n    docker login ${host}\n    docker pull ${host}/<repository>:<tag>\n`)
}

export function getFavicon(ctx: Context): void {
  replyEmpty(ctx, 204)
}

function isBearer(ctx: Context, token: string | undefined): boolean {
  if (token === undefined) return false
  const sent = /^bearer\s+(.+)$/i.exec(ctx.req.headers.authorization ?? '')?.[1] ?? ''
  return timingSafeEqual(sha256(sent), sha256(token))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
