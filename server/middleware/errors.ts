/**
 * The one place that turns a fault into an answer. A RegistryError becomes its row, anything else a 500 that tells nothing
 * but the request's id; a client that left is one line at debug level. The answer is built from scratch: no header of a
 * half-made response survives.
 */
import type { Middleware } from 'koa'
import { basicChallenge, bearerChallenge, sessionChallenge } from '../../auth/challenge.ts'
import { sessionCookieName } from '../../auth/sessions.ts'
import { RegistryError, type ErrorReason } from '../../oci/errors.ts'
import { problemOf } from '../http/problem.ts'
import { cookieOf } from '../http/cookies.ts'
import { limitDrain } from '../http/drain.ts'
import type { Context, RequestState } from '../http/exchange.ts'
import { replyBytes, setHeaders } from '../http/reply.ts'
import type { Services } from '../services.ts'

/** Answers of 503 that are no fault of the server: nobody is to fill the log with stacks by asking for them. */
const foreseen: ReadonlySet<ErrorReason> = new Set(['loginBusy', 'blobCollected', 'shuttingDown'])
/** Connection is the listener's: while it ends, every answer says so. */
const keptHeaders = new Set(['x-request-id', 'docker-distribution-api-version', 'connection'])

export function errors(services: Services): Middleware<RequestState> {
  return async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      render(ctx, services, error)
    }
    limitDrain(ctx.req, ctx.res)
  }
}

/** That the disk is full is answered so that clients say it (docs/decisions/0018), and is for the operator all the same. */
function isOperators({ status, reason }: RegistryError): boolean {
  return reason === 'storageFull' || (status >= 500 && !foreseen.has(reason))
}

function render(ctx: Context, services: Services, error: unknown): void {
  const { requestId } = ctx.state
  if (hasLeft(ctx)) {
    services.log.debug({ requestId, err: error }, 'the client left')
    ctx.respond = false
    ctx.res.destroy()
    return
  }
  const fault = error instanceof RegistryError ? error : new RegistryError('internal', { cause: error })
  ctx.state.reason = fault.reason
  services.metrics.recordError(fault.reason)
  if (isOperators(fault)) services.log.error({ requestId, reason: fault.reason, err: fault.cause ?? fault }, fault.message)
  // Part of a body is out: better a broken connection than a wrong body.
  if (ctx.res.headersSent) {
    ctx.respond = false
    ctx.res.destroy()
    return
  }
  answer(ctx, services, fault)
}

function answer(ctx: Context, services: Services, fault: RegistryError): void {
  ctx.respond = true
  for (const name of ctx.res.getHeaderNames()) if (!keptHeaders.has(name)) ctx.remove(name)
  setHeaders(ctx, fault.headers)
  if (fault.status === 401) ctx.set('WWW-Authenticate', challengeFor(ctx, services, fault))
  const isApi = ctx.path.startsWith('/api/')
  const { requestId } = ctx.state
  replyBytes(ctx, Buffer.from(JSON.stringify(isApi ? problemOf(fault, requestId) : errorsOf(fault, requestId))), {
    'Content-Type': isApi ? 'application/problem+json' : 'application/json',
    ...(isApi ? { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' } : {}),
  })
  ctx.status = fault.status
}

/** Spec: distribution-spec v1.1.1, "Error Codes". */
function errorsOf(fault: RegistryError, requestId: string): unknown {
  const message = fault.reason === 'internal' ? `${fault.message}: ${requestId}` : fault.message
  const details = fault.details.length === 0 ? [undefined] : fault.details
  return { errors: details.map((detail) => ({ code: fault.code, message, ...(detail === undefined ? {} : { detail }) })) }
}

/** Exactly one challenge: Bearer under /v2, where clients fetch a token; one that browsers do not know where they sign in; Basic elsewhere. */
function challengeFor(ctx: Context, services: Services, fault: RegistryError): string {
  if (ctx.path === '/api/v1/session' || isBrowserCall(ctx)) return sessionChallenge(services.serviceName)
  if (!ctx.path.startsWith('/v2')) return basicChallenge(services.serviceName)
  const error = { tokenInvalid: 'invalid_token', scopeInsufficient: 'insufficient_scope' } as const
  return bearerChallenge({
    realm: `${ctx.state.origin}/token`,
    service: services.serviceName,
    ...(ctx.state.scope === undefined ? {} : { scope: ctx.state.scope }),
    ...(fault.reason in error ? { error: error[fault.reason as keyof typeof error], description: fault.message } : {}),
  })
}

/** A page of this registry that calls the API: at Basic its browser would open a window of its own. */
function isBrowserCall(ctx: Context): boolean {
  const { authorization, cookie } = ctx.req.headers
  const name = sessionCookieName(ctx.state.origin.startsWith('https:'))
  return ctx.path.startsWith('/api/') && authorization === undefined && cookieOf(cookie, name) !== undefined
}

function hasLeft(ctx: Context): boolean {
  return ctx.req.socket.destroyed || ctx.res.destroyed
}
