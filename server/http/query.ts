/**
 * Query strings as clients send them: escaped or not, parameters repeated, unknown ones ignored.
 */
import type { Context } from './exchange.ts'

export function queryOf(ctx: Context): URLSearchParams {
  const url = ctx.req.url ?? ''
  const mark = url.indexOf('?')
  return new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))
}
