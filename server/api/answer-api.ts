/**
 * The API over HTTP: finds the operation, learns who asks, performs it and answers. Documents that are the same for everyone, the OpenAPI
 * document and the page made from it, are answered beside the operations.
 *
 * Invariant: what depends on who asks is stored by no cache.
 */
import type { Middleware } from 'koa'
import type { Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { noteCaller, type Context, type RequestState } from '../http/exchange.ts'
import { sourceOf } from '../http/login-source.ts'
import { queryOf } from '../http/query.ts'
import { replyBytes, replyEmpty, replyJson } from '../http/reply.ts'
import { readBody } from '../http/request-body.ts'
import { callerOfSession } from '../routes/session.ts'
import type { Services } from '../services.ts'
import { ApiDocuments, type ApiDocument } from './documents.ts'
import { findPath, methodsOf, pathsOf, type FoundPath } from './find-operation.ts'
import type { Operation, Reply } from './operation.ts'
import { apiOperations } from './operations.ts'
import { perform } from './perform.ts'
import { admit } from './right.ts'
import { parseJsonBody, queryValues } from './validation.ts'
import { requireVersion } from './version.ts'

const bodyBytes = 64 * 1024
/** `application/json`, and the kinds of it. */
const jsonType = /^application\/(?:[a-z0-9.-]+\+)?json\s*(?:;|$)/i

export function answerApi(services: Services): Middleware<RequestState> {
  const paths = pathsOf(apiOperations)
  const documents = new ApiDocuments(apiOperations)
  return async (ctx, next) => {
    const url = ctx.req.url ?? ''
    const [rawPath = ''] = url.split('?', 1)
    const document = documents.find(rawPath)
    const found = document ? undefined : findPath(paths, rawPath)
    if (!document && !found) return next()
    ctx.state.endpoint = 'api'
    if (found) return answerOperation(ctx, services, found)
    return document && answerDocument(ctx, document)
  }
}

function answerDocument(ctx: Context, { bytes, headers }: ApiDocument): void {
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') throw new RegistryError('methodNotAllowed', { headers: { Allow: 'GET, HEAD' } })
  replyBytes(ctx, bytes, headers)
}

async function answerOperation(ctx: Context, services: Services, { path, parameters }: FoundPath): Promise<void> {
  const method = ctx.method === 'HEAD' ? 'GET' : ctx.method
  const operation = [...path.operations.values()].find((each) => each.method === method)
  if (!operation) throw new RegistryError('methodNotAllowed', { headers: { Allow: methodsOf(path).join(', ') } })
  ctx.state.asked = { operation: operation.id, ...parameters }
  const caller = await callerOf(ctx, services)
  const reply = await perform(services, operation, {
    caller,
    source: sourceOf(ctx, services),
    path: parameters,
    query: queryValues(queryOf(ctx)),
    readBody: () => readJson(ctx),
    admit: (asked) => admit(services, caller, { right: operation.right, asked }),
    requireVersion: (version) => requireVersion(ctx.req.headers['if-match'], version),
    noteDeed: (deed) => (ctx.state.deed = deed),
  })
  send(ctx, operation, reply)
}

/** The one place where the API learns who asks: by a browser's session, or by the header. */
async function callerOf(ctx: Context, services: Services): Promise<Caller> {
  const session = await callerOfSession(ctx, services)
  if (session) return session.caller
  const caller = await services.authenticator.authenticate(ctx.req.headers.authorization, sourceOf(ctx, services))
  noteCaller(ctx, caller)
  return caller
}

/**
 * A form of a foreign page cannot name this type, so that no browser sends a change in the name of whoever is signed in.
 * @throws {RegistryError} mediaTypeUnsupported, requestTooLarge, requestInvalid
 */
async function readJson(ctx: Context): Promise<unknown> {
  if (!jsonType.test(ctx.req.headers['content-type'] ?? '')) throw new RegistryError('mediaTypeUnsupported')
  return parseJsonBody(await readBody(ctx, bodyBytes, 'requestTooLarge'))
}

function send(ctx: Context, { answer }: Operation, { body, version, location }: Reply<unknown>): void {
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Content-Type-Options', 'nosniff')
  if (version !== undefined) ctx.set('ETag', `"${version}"`)
  if (location !== undefined) ctx.set('Location', location)
  const next = nextOf(body)
  if (next !== undefined) ctx.set('Link', nextLink(ctx, next))
  if (answer.status === 204) return replyEmpty(ctx, 204)
  replyJson(ctx, body)
  ctx.status = answer.status
}

function nextOf(body: unknown): string | undefined {
  const next = typeof body === 'object' && body !== null && 'next' in body ? body.next : undefined
  return typeof next === 'string' ? next : undefined
}

/** The same request with another cursor. Spec: RFC 8288. */
function nextLink(ctx: Context, cursor: string): string {
  const query = queryOf(ctx)
  query.set('cursor', cursor)
  return `<${(ctx.req.url ?? '').split('?', 1)[0]}?${query.toString()}>; rel="next"`
}
