/**
 * Query strings as clients send them: escaped or not, parameters repeated, unknown ones ignored.
 */
import { isRepositoryName, type RepositoryName } from '../../oci/repository-name.ts'
import type { Context } from './exchange.ts'

export function queryOf(ctx: Context): URLSearchParams {
  const url = ctx.req.url ?? ''
  const mark = url.indexOf('?')
  return new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))
}

/** The repository that a mount wants its blob from; undefined when none, or no valid one, is named. */
export function mountSourceName(query: URLSearchParams): RepositoryName | undefined {
  const from = query.get('from') ?? ''
  return query.has('mount') && isRepositoryName(from) ? from : undefined
}
