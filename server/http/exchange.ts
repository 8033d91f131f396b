/**
 * What a handler of a /v2 endpoint gets: the request already parsed, its caller known and allowed, its repository found.
 */
import type Koa from 'koa'
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import type { RequestTarget } from '../../oci/endpoints.ts'
import type { AuditAction, AuditDetail } from '../../registry/audit.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import type { Services } from '../services.ts'

/** What the outer middleware notes about a request for those inside it. */
export interface RequestState {
  requestId: string
  /** Scheme, host and port as the client called them. */
  origin: string
  /** The route's name for logs and metrics; never a client's text. */
  endpoint: string
  /** Account name, once known. */
  account: string | undefined
  /** What a token must cover for this request, for the challenge. */
  scope: string | undefined
  /** Our reason when the request failed. */
  reason: string | undefined
  /** Who asks, once known. */
  caller: Caller | undefined
  /** What the gate of /v2 made of the path. */
  target: RequestTarget | undefined
  /** The user name of a sign-in that did not come in the Authorization header. */
  triedName: string | undefined
  /** The blob was mounted. */
  isMounted: boolean | undefined
  /** Of a request to the API: which operation, and of what. */
  asked: AuditDetail | undefined
  /** What a route outside /v2 changes; it is recorded whether it succeeds, is denied or fails. */
  deed: { readonly action: AuditAction; readonly target: string; readonly detail?: AuditDetail | undefined } | undefined
}

export type Context = Koa.ParameterizedContext<RequestState>

/** For the log, the audit log, and whoever asks later in the request. */
export function noteCaller(ctx: Context, caller: Caller): void {
  ctx.state.caller = caller
  ctx.state.account = accountNameOf(caller.identity)
}

export interface Exchange<Target extends RequestTarget = RequestTarget> {
  readonly ctx: Context
  readonly services: Services
  readonly target: Target
  readonly caller: Caller
  /** The repository of the target's name; undefined when there is none yet. */
  readonly repository: RepositoryRow | undefined
}

type Matching<Endpoint, Target> = Target extends { readonly endpoint: infer Known } ? (Endpoint extends Known ? Target : never) : never

/** What the parser makes of a path of this endpoint. */
export type TargetOf<Endpoint extends RequestTarget['endpoint']> = Endpoint extends unknown ? Matching<Endpoint, RequestTarget> : never

/** Answers one method of one endpoint. */
export type Handler<Endpoint extends RequestTarget['endpoint']> = (exchange: Exchange<TargetOf<Endpoint>>) => Promise<void> | void
