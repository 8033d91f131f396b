/**
 * The whole HTTP side on one screen: the order of the middleware, every route, and which handler answers it.
 *
 * /v2 has a parser and a gate of its own (oci/endpoints.ts, middleware/gate.ts), because its names hold slashes; /api/v1 has
 * its table of operations (api/operations.ts); what is neither goes through the router. A test walks the tables with every
 * kind of caller.
 */
import { Router } from '@koa/router'
import Koa from 'koa'
import type { EndpointName } from '../oci/endpoints.ts'
import { RegistryError } from '../oci/errors.ts'
import { answerApi } from './api/answer-api.ts'
import type { Context, Exchange, Handler, RequestState } from './http/exchange.ts'
import { auditRecord } from './middleware/audit-record.ts'
import { errors } from './middleware/errors.ts'
import { passGate, type V2Method } from './middleware/gate.ts'
import { requestRecord } from './middleware/request-record.ts'
import { getBase, getExtensions } from './routes/base.ts'
import { deleteBlob, getBlob, headBlob } from './routes/blobs.ts'
import { getCatalog, getReferrers, getTags } from './routes/lists.ts'
import { deleteManifest, getManifest, putManifest } from './routes/manifests.ts'
import { getFavicon, getHealth, getMetrics, getReadiness, getRoot, getSearch, getSearchPing } from './routes/service.ts'
import { deleteSession, getSession, postSession } from './routes/session.ts'
import { getToken, postToken } from './routes/token.ts'
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from './routes/uploads.ts'
import type { Services } from './services.ts'

type V2Routes = { readonly [Endpoint in EndpointName]: Readonly<Partial<Record<V2Method, Handler<Endpoint>>>> }

export const v2Routes: V2Routes = {
  base: { GET: getBase, HEAD: getBase },
  catalog: { GET: getCatalog, HEAD: getCatalog },
  extensions: { GET: getExtensions, HEAD: getExtensions },
  uploads: { POST: postUpload },
  upload: { GET: getUpload, HEAD: getUpload, PATCH: patchUpload, PUT: putUpload, DELETE: deleteUpload },
  blob: { GET: getBlob, HEAD: headBlob, DELETE: deleteBlob },
  manifest: { GET: getManifest, HEAD: getManifest, PUT: putManifest, DELETE: deleteManifest },
  tags: { GET: getTags, HEAD: getTags },
  referrers: { GET: getReferrers, HEAD: getReferrers },
}

type ServiceHandler = (ctx: Context, services: Services) => Promise<void> | void

/** Method, path, name for logs and metrics, handler. */
export const serviceRoutes: readonly (readonly ['get' | 'post' | 'delete', string, string, ServiceHandler])[] = [
  ['get', '/', 'root', getRoot],
  ['get', '/favicon.ico', 'root', getFavicon],
  ['get', '/token', 'token', getToken],
  ['post', '/token', 'token', postToken],
  ['get', '/v1/_ping', 'search', getSearchPing],
  ['get', '/v1/search', 'search', getSearch],
  ['get', '/healthz', 'health', getHealth],
  ['get', '/readyz', 'readiness', getReadiness],
  ['get', '/metrics', 'metrics', getMetrics],
  ['get', '/api/v1/session', 'session', getSession],
  ['post', '/api/v1/session', 'session', postSession],
  ['delete', '/api/v1/session', 'session', deleteSession],
]

export function createApp(services: Services): Koa<RequestState> {
  const app = new Koa<RequestState>()
  app.silent = true
  app.use(requestRecord(services))
  app.use(auditRecord(services))
  app.use(errors(services))
  app.use(async (ctx, next) => {
    const isRegistry = isV2(ctx.req.url ?? '')
    // On every answer, errors included: old docker engines know a registry by it.
    if (isRegistry) ctx.set('Docker-Distribution-Api-Version', 'registry/2.0')
    const origin = services.origins.originOf(ctx.req)
    if (origin === undefined) throw new RegistryError('hostInvalid')
    ctx.state.origin = origin
    return isRegistry ? answerV2(ctx, services) : next()
  })
  app.use(answerApi(services))
  const router = serviceRouter(services)
  app.use(router.routes())
  app.use((ctx) => {
    const allowed = router.match(ctx.path, ctx.method).path.flatMap((layer) => layer.methods)
    if (allowed.length === 0) throw new RegistryError('endpointUnknown', { message: 'there is nothing at this path' })
    throw new RegistryError('methodNotAllowed', { headers: { Allow: [...new Set(allowed)].join(', ') } })
  })
  return app
}

async function answerV2(ctx: Context, services: Services): Promise<void> {
  const exchange = await passGate(ctx, services)
  // The parser and the table agree by type on each endpoint; that the target is this endpoint's is what it was found by.
  const handlers = v2Routes[exchange.target.endpoint] as Readonly<Partial<Record<string, (exchange: Exchange) => Promise<void> | void>>>
  const handler = handlers[ctx.method]
  if (!handler) throw new RegistryError('internal', { cause: new Error(`no handler for ${ctx.method} ${exchange.target.endpoint}`) })
  await handler(exchange)
}

function serviceRouter(services: Services): Router<RequestState> {
  const router = new Router<RequestState>({ strict: true, sensitive: true })
  for (const [method, path, endpoint, handler] of serviceRoutes) {
    router[method](path, async (ctx) => {
      ctx.state.endpoint = endpoint
      await handler(ctx, services)
    })
  }
  return router
}

function isV2(url: string): boolean {
  return url.startsWith('/v2') && (url.length === 3 || url[3] === '/' || url[3] === '?')
}
