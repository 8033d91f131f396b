/**
 * The one place where requests are recorded in the audit log: sign-ins, pushes, pulls, mounts, deletes, changes that a route
 * names, and denials. Looks at what the request came to, and never changes it.
 *
 * Invariants: a password or a token never gets here into an event, only the name that was tried; a deletion or a change that
 * was answered is durable in the log before the answer goes out.
 */
import type { Middleware } from 'koa'
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import { parseAuthorization } from '../../auth/challenge.ts'
import { endpoints, type EndpointAction } from '../../oci/endpoints.ts'
import { namespaceOf, type RepositoryName } from '../../oci/repository-name.ts'
import { cleanText, type AuditAction, type AuditDetail, type AuditEvent, type AuditVia } from '../../registry/audit.ts'
import type { Context, RequestState, TargetOf } from '../http/exchange.ts'
import { mountSourceName, queryOf } from '../http/query.ts'
import type { Services } from '../services.ts'

/** Reasons that mean: this is not who they say they are. */
const signInFaults: ReadonlySet<string> = new Set(['credentialsWrong', 'loginThrottled', 'secondFactorNeeded', 'codeWrong'])
/** Nothing was computed and no row read for them: a flood of these would push everything else out of the log. */
const freeReasons: ReadonlySet<string> = new Set(['loginThrottled', 'tokenInvalid'])
const signInAgainMs = 3_600_000
/** Of these, one in such a time is recorded for each reason and address. */
const refusalAgainMs = 60_000
const maxRemembered = 10_000
/** No account's name is as long; what was typed may be anything. */
const maxTriedName = 64

const viaNames: Readonly<Record<Caller['via'], AuditVia>> = { nothing: 'nothing', basic: 'password', bearer: 'token', session: 'session' }
const actionNames: Readonly<Record<EndpointAction, AuditAction>> = {
  none: 'access',
  pull: 'pull',
  push: 'push',
  delete: 'delete',
  catalog: 'list',
}

/** What a request does, in the words of the log. */
interface Deed {
  readonly action: AuditAction
  readonly target: string
  readonly detail?: AuditDetail | undefined
}

export function auditRecord(services: Services): Middleware<RequestState> {
  const { audit, clock } = services
  const signIns = new Recently(signInAgainMs)
  const refusals = new Recently(refusalAgainMs)
  const eventOf = (ctx: Context, deed: Deed, outcome: AuditEvent['outcome']): AuditEvent => ({
    atMs: clock(),
    actor: ctx.state.account ?? null,
    via: viaOf(ctx),
    address: services.origins.clientAddress(ctx.req),
    action: deed.action,
    target: deed.target,
    detail: deed.detail,
    outcome,
    requestId: ctx.state.requestId,
  })
  const recordSignIn = (ctx: Context, account: string): void => {
    const { endpoint, caller } = ctx.state
    const token = caller?.identity.kind === 'account' ? caller.identity.token?.name : undefined
    const event = eventOf(ctx, { action: 'login', target: account, detail: { endpoint, token } }, 'ok')
    if (endpoint === 'token' || endpoint === 'session' || signIns.isNew(`${account} ${event.address}`, event.atMs)) audit.record(event)
  }
  const recordRefusal = (event: AuditEvent, freeOf: string | undefined): void => {
    if (freeOf === undefined || refusals.isNew(`${freeOf} ${event.address}`, event.atMs)) audit.record(event)
  }
  return async (ctx, next) => {
    await next()
    const { caller, reason } = ctx.state
    const account = caller && accountNameOf(caller.identity)
    if (caller && account !== undefined && isByCredentials(caller)) recordSignIn(ctx, account)
    if (reason !== undefined) {
      const refused = refusedDeed(ctx, reason)
      if (refused) recordRefusal(eventOf(ctx, refused, refused.outcome), freeReasons.has(reason) ? reason : undefined)
      return
    }
    const deed = doneDeed(ctx, services)
    if (deed === undefined) return
    const event = eventOf(ctx, deed, 'ok')
    if (deed.action === 'pull') audit.recordOften(event)
    else if (deed.action === 'push' || deed.action === 'mount') audit.record(event)
    else await audit.recordDurably(event)
  }
}

/** What happened within the last while, as far as there is room to remember it: with Basic every request brings the password again. */
class Recently {
  readonly #whileMs: number
  readonly #atMs = new Map<string, number>()

  constructor(whileMs: number) {
    this.#whileMs = whileMs
  }

  isNew(key: string, nowMs: number): boolean {
    const known = this.#atMs.get(key)
    if (known !== undefined && nowMs - known < this.#whileMs && nowMs >= known) return false
    this.#atMs.delete(key)
    const oldest = this.#atMs.keys().next()
    if (this.#atMs.size >= maxRemembered && !oldest.done) this.#atMs.delete(oldest.value)
    this.#atMs.set(key, nowMs)
    return true
  }
}

/** A password or an access token was shown; what was issued for one, a bearer token or a cookie, is no sign-in of its own. */
function isByCredentials({ via, access }: Caller): boolean {
  return via === 'basic' || (via === 'bearer' && access === undefined)
}

function viaOf(ctx: Context): AuditVia {
  const { caller, triedName } = ctx.state
  if (caller) return viaNames[caller.via]
  if (triedName !== undefined) return 'password'
  const { kind } = parseAuthorization(ctx.req.headers.authorization)
  if (kind === 'bearer') return 'token'
  return kind === 'basic' ? 'password' : 'nothing'
}

/** What was done, if it is of a kind that is recorded. */
function doneDeed(ctx: Context, { settings }: Services): Deed | undefined {
  const { target, deed, isMounted } = ctx.state
  if (ctx.status >= 400) return undefined
  if (deed) return deed
  if (target?.endpoint === 'manifest') {
    const isRecorded = ctx.method === 'GET' ? settings.audit.pulls : ctx.method !== 'HEAD'
    return isRecorded ? manifestDeed(ctx, target) : undefined
  }
  if (target?.endpoint === 'blob' && ctx.method === 'DELETE')
    return { action: 'delete', target: target.name, detail: { blob: target.digest } }
  return target?.endpoint === 'uploads' && isMounted ? mountDeed(ctx, target.name) : undefined
}

function manifestDeed({ method, res }: Context, { name, reference }: TargetOf<'manifest'>): Deed {
  const digest = res.getHeader('Docker-Content-Digest') as string | undefined
  const tags = res.getHeader('OCI-Tag') as string | readonly string[] | undefined
  const asked = referenceOf(reference)
  return { action: manifestActions[method] ?? 'access', target: name, detail: { ...asked, digest: digest ?? asked.digest, tags } }
}

/** Within a namespace it gives nobody anything; without a source it may come from any. */
function mountDeed(ctx: Context, name: RepositoryName): Deed | undefined {
  const query = queryOf(ctx)
  const source = mountSourceName(query)
  if (source !== undefined && namespaceOf(source) === namespaceOf(name)) return undefined
  return { action: 'mount', target: name, detail: { blob: query.get('mount'), from: source ?? null } }
}

const manifestActions: Readonly<Partial<Record<string, AuditAction>>> = { GET: 'pull', PUT: 'push', DELETE: 'delete' }

function referenceOf(reference: string): { tag?: string; digest?: string } {
  return reference.includes(':') ? { digest: reference } : { tag: reference }
}

/** What was refused, if it is recorded: wrong credentials, denials of those who brought some, and changes that failed. */
function refusedDeed(ctx: Context, reason: string): (Deed & { readonly outcome: 'denied' | 'failed' }) | undefined {
  if (signInFaults.has(reason)) return { action: 'login', target: triedNameOf(ctx), detail: { reason }, outcome: 'failed' }
  const isDenied = (ctx.status === 403 && reason !== 'storageFull') || (ctx.status === 401 && hasCredentials(ctx))
  if (!isDenied && (ctx.status === 401 || !isChange(ctx))) return undefined
  const { action, target, detail } = askedDeed(ctx)
  return { action, target, detail: { ...detail, reason }, outcome: isDenied ? 'denied' : 'failed' }
}

function askedDeed({ state: { target, deed, asked, endpoint }, method }: Context): Deed {
  if (deed) return deed
  if (!target) return { action: 'access', target: endpoint, detail: asked }
  const action = askedAction(target.endpoint, method)
  if (target.endpoint === 'manifest') return { action, target: target.name, detail: referenceOf(target.reference) }
  return { action, target: 'name' in target ? target.name : endpoint }
}

/** Of what this file records when it succeeds, all but reading and mounting. */
function isChange({ state: { target, deed }, method }: Context): boolean {
  if (deed) return true
  if (target?.endpoint === 'manifest') return method === 'PUT' || method === 'DELETE'
  return target?.endpoint === 'blob' && method === 'DELETE'
}

function askedAction(endpoint: keyof typeof endpoints, method: string): AuditAction {
  const methods: Readonly<Partial<Record<string, { readonly action: EndpointAction }>>> = endpoints[endpoint].methods
  return actionNames[methods[method]?.action ?? 'none']
}

function hasCredentials(ctx: Context): boolean {
  return ctx.state.triedName !== undefined || parseAuthorization(ctx.req.headers.authorization).kind !== 'none'
}

function triedNameOf(ctx: Context): string {
  if (ctx.state.triedName !== undefined) return cleanText(ctx.state.triedName, maxTriedName)
  const authorization = parseAuthorization(ctx.req.headers.authorization)
  if (authorization.kind === 'basic') return cleanText(authorization.username, maxTriedName)
  // Somebody who is signed in and is asked for the password or a code again.
  return ctx.state.account ?? ''
}
