/**
 * The outermost middleware: gives a request its id, and writes its line in the log and its counts when it is over.
 */
import type { Middleware } from 'koa'
import { errorTable, type ErrorReason } from '../../oci/errors.ts'
import type { Context, RequestState } from '../http/exchange.ts'
import type { Services } from '../services.ts'

export function requestRecord(services: Services): Middleware<RequestState> {
  const { log, metrics, settings } = services
  return async (ctx, next) => {
    const started = performance.now()
    ctx.state.requestId = services.nextRequestId()
    ctx.state.endpoint = 'unknown'
    ctx.set('X-Request-Id', ctx.state.requestId)
    const receivedBefore = ctx.req.socket.bytesRead
    const sentBefore = ctx.req.socket.bytesWritten
    ctx.res.once('close', () => {
      const durationMs = performance.now() - started
      const receivedBytes = ctx.req.socket.bytesRead - receivedBefore
      const sentBytes = ctx.req.socket.bytesWritten - sentBefore
      metrics.recordRequest({
        endpoint: ctx.state.endpoint,
        method: ctx.method,
        status: ctx.res.statusCode,
        durationMs,
        receivedBytes,
        sentBytes,
      })
      const level = ctx.res.statusCode >= 500 ? 'warn' : 'info'
      if (settings.log.requests && log.isLevelEnabled(level)) log[level](lineOf(ctx, services, durationMs), 'request')
    })
    await next()
  }
}

/** Method and path as sent (the log encodes them), never a header that may hold a secret. */
function lineOf(ctx: Context, services: Services, durationMs: number): Record<string, unknown> {
  const { requestId, endpoint, account, reason } = ctx.state
  const query = ctx.req.url?.indexOf('?') ?? -1
  return {
    requestId,
    method: ctx.method,
    path: query === -1 ? ctx.req.url : ctx.req.url?.slice(0, query),
    status: ctx.res.statusCode,
    durationMs: Math.round(durationMs * 10) / 10,
    endpoint,
    client: services.origins.clientAddress(ctx.req),
    agent: ctx.req.headers['user-agent'],
    ...(account === undefined ? {} : { account }),
    ...(reason === undefined ? {} : { reason, code: codeOf(reason) }),
    ...(ctx.res.writableFinished ? {} : { aborted: true }),
  }
}

function codeOf(reason: string): string | undefined {
  return reason in errorTable ? errorTable[reason as ErrorReason].code : undefined
}
