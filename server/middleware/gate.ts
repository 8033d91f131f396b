/**
 * The gate of /v2: parses the path, finds the method's row, learns who asks, and lets nothing pass that the policy does
 * not allow. Every endpoint goes through here, HEAD, mounts and uploads included.
 */
import type { Caller } from '../../auth/identity.ts'
import { catalogAccess, formatScope } from '../../auth/scope.ts'
import { endpoints, parseTarget, type RequestTarget } from '../../oci/endpoints.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Found } from '../../registry/rights.ts'
import { noteCaller, type Context, type Exchange } from '../http/exchange.ts'
import { sourceOf } from '../http/login-source.ts'
import { mountSourceName, queryOf } from '../http/query.ts'
import type { Services } from '../services.ts'

export type V2Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
type Action = 'none' | 'pull' | 'push' | 'delete' | 'catalog'

const openCaller: Caller = { identity: { kind: 'anonymous' }, via: 'nothing', access: undefined }

/** @throws {RegistryError} endpointUnknown, methodNotAllowed, nameInvalid, and those of authentication and policy */
export async function passGate(ctx: Context, services: Services): Promise<Exchange> {
  const target = targetOf(ctx)
  ctx.state.endpoint = target.endpoint
  ctx.state.target = target
  const action = actionOf(ctx, target)
  ctx.state.scope = scopeOf(ctx, target, action)
  // Without logins credentials mean nothing, so none are asked for and none are refused.
  const caller = services.policy.isOpen ? openCaller : await callerOf(ctx, services)
  noteCaller(ctx, caller)
  const found = 'name' in target ? await services.rights.findRepository(caller.identity, { name: target.name, action }) : undefined
  await admit(services, caller, { target, action, found })
  return { ctx, services, target, caller, repository: found?.repository }
}

function callerOf(ctx: Context, services: Services): Promise<Caller> {
  return services.authenticator.authenticate(ctx.req.headers.authorization, sourceOf(ctx, services))
}

function targetOf(ctx: Context): RequestTarget {
  const url = ctx.req.url ?? ''
  const mark = url.indexOf('?')
  const target = parseTarget(mark === -1 ? url : url.slice(0, mark))
  if (!target) throw new RegistryError('endpointUnknown')
  return target
}

function actionOf(ctx: Context, target: RequestTarget): Action {
  const methods: Partial<Record<string, { readonly action: Action }>> = endpoints[target.endpoint].methods
  const row = Object.hasOwn(methods, ctx.method) ? methods[ctx.method] : undefined
  if (!row) throw new RegistryError('methodNotAllowed', { headers: { Allow: Object.keys(methods).join(', ') } })
  return row.action
}

/**
 * What a token must cover, in the words of the challenge. A push needs pull too: clients look before they send. A mount needs
 * pull on its source as well, and says so at the first challenge, so that one token does for both.
 */
function scopeOf(ctx: Context, target: RequestTarget, action: Action): string | undefined {
  if (action === 'catalog') return formatScope(catalogAccess)
  if (!('name' in target)) return undefined
  const scope = `repository:${target.name}:${action === 'push' ? 'pull,push' : action}`
  const source = target.endpoint === 'uploads' ? mountSourceName(queryOf(ctx)) : undefined
  return source === undefined || source === target.name ? scope : `${scope} repository:${source}:pull`
}

function admit(
  services: Services,
  caller: Caller,
  asked: { target: RequestTarget; action: Action; found: Found | undefined },
): Promise<void> {
  const { target, action, found } = asked
  const { rights } = services
  if (action === 'none') return rights.authorize(caller, { kind: 'base' })
  if (action === 'catalog') return rights.authorize(caller, { kind: 'catalog' })
  if (!('name' in target)) throw new RegistryError('internal', { cause: new Error(`no rule for ${target.endpoint}`) })
  const { repository, role } = found ?? {}
  return rights.authorize(caller, { kind: 'repository', action, name: target.name, visibility: repository?.visibility, role })
}
