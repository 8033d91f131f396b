/**
 * `/api/v1/session`: the browser's session. Signing in, signing out, and who is signed in; and for the other handlers of the API
 * who sends a cookie. Nothing below /v2 and no token endpoint asks here: they take no cookies.
 *
 * Invariant: a request that changes something must show that it comes from a page of this registry, because browsers send cookies
 * along with whatever a foreign page makes them ask.
 */
import { z } from 'zod'
import type { Account, Caller } from '../../auth/identity.ts'
import { isCsrfToken, sessionCookieName } from '../../auth/sessions.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Session } from '../../registry/sessions.ts'
import { signIn } from '../../registry/sign-in.ts'
import { cookieOf, formatCookie } from '../http/cookies.ts'
import { noteCaller, type Context } from '../http/exchange.ts'
import { sourceOf } from '../http/login-source.ts'
import { replyEmpty, replyJson } from '../http/reply.ts'
import { readBody } from '../http/request-body.ts'
import type { Services } from '../services.ts'

const bodyBytes = 16 * 1024
const signInSchema = z.strictObject({ name: z.string(), password: z.string(), code: z.string().optional() })
const bodyRule = 'the body is JSON: {"name": "...", "password": "..."}, and "code" where the account has a second factor'
const neverStored = { 'Cache-Control': 'no-store' }

export interface SessionCaller {
  readonly caller: Caller
  readonly account: Account
  readonly session: Session
}

/**
 * Who sends this cookie; undefined without one, with one whose session has ended, and with credentials beside it, which count then.
 * @throws {RegistryError} requestForged: the request would change something and does not show that a page of this registry made it
 */
export async function callerOfSession(ctx: Context, services: Services): Promise<SessionCaller | undefined> {
  if (ctx.req.headers.authorization !== undefined) return undefined
  const secret = cookieOf(ctx.req.headers.cookie, sessionCookieName(isSecure(ctx)))
  const found = secret === undefined ? undefined : await services.sessions.find(secret)
  if (!found) return undefined
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') requireOwnPage(ctx, found.session)
  const caller: Caller = {
    identity: { kind: 'account', account: found.account },
    via: 'session',
    access: undefined,
    sessionId: found.session.id,
  }
  noteCaller(ctx, caller)
  return { caller, ...found }
}

/** Signs in: a new cookie in any case, and the session of the one that was sent ends. */
export async function postSession(ctx: Context, services: Services): Promise<void> {
  // Nobody is signed in yet, so there is no token to ask for; that no foreign page signs its visitors in must be seen all the same.
  if (isOwnPage(ctx) === false) throw foreignPage()
  const { name, password, code } = parseSignIn(ctx, await readBody(ctx, bodyBytes, 'requestTooLarge'))
  ctx.state.triedName = name
  const source = sourceOf(ctx, services)
  const cookieName = sessionCookieName(isSecure(ctx))
  const browser = {
    agent: ctx.req.headers['user-agent'] ?? '',
    address: source.address,
    replaced: cookieOf(ctx.req.headers.cookie, cookieName),
  }
  const { account, session, secret } = await signIn(services, { name, password, code }, { source, browser })
  noteCaller(ctx, { identity: { kind: 'account', account }, via: 'basic', access: undefined })
  const maxAgeSeconds = services.settings.auth.sessionDays * 86_400
  ctx.set('Set-Cookie', formatCookie({ name: cookieName, value: secret, maxAgeSeconds, isSecure: isSecure(ctx) }))
  replyJson(ctx, describe(account, session), neverStored)
}

export async function getSession(ctx: Context, services: Services): Promise<void> {
  const { account, session } = await requireSession(ctx, services)
  replyJson(ctx, describe(account, session), neverStored)
}

/** Signs out. */
export async function deleteSession(ctx: Context, services: Services): Promise<void> {
  const { account, session } = await requireSession(ctx, services)
  ctx.state.deed = { action: 'session-end', target: account.name, detail: { session: session.id } }
  await services.sessions.end(account, session.id)
  const cookie = { name: sessionCookieName(isSecure(ctx)), value: '', maxAgeSeconds: 0, isSecure: isSecure(ctx) }
  replyEmpty(ctx, 204, { ...neverStored, 'Set-Cookie': formatCookie(cookie) })
}

async function requireSession(ctx: Context, services: Services): Promise<SessionCaller> {
  const caller = await callerOfSession(ctx, services)
  if (!caller) throw new RegistryError('sessionUnknown')
  return caller
}

function describe(account: Account, session: Session): Record<string, unknown> {
  return {
    account: { name: account.name, isAdmin: account.isAdmin, hasSecondFactor: account.hasSecondFactor },
    csrfToken: session.csrfToken,
    createdAt: new Date(session.createdAtMs).toISOString(),
    expiresAt: new Date(session.expiresAtMs).toISOString(),
  }
}

/** A page of another site cannot send JSON without asking first, and is not answered when it asks. */
function parseSignIn(ctx: Context, body: Buffer): z.infer<typeof signInSchema> {
  if (!/^application\/json\s*(?:;|$)/i.test(ctx.req.headers['content-type'] ?? '')) {
    throw new RegistryError('requestInvalid', { message: 'the Content-Type must be application/json' })
  }
  const result = signInSchema.safeParse(parseJson(body))
  if (!result.success) throw new RegistryError('requestInvalid', { message: bodyRule })
  return result.data
}

/** Neither value nor cause reaches an error: there is a password in it. */
function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    throw new RegistryError('requestInvalid', { message: bodyRule })
  }
}

function requireOwnPage(ctx: Context, session: Session): void {
  if (isOwnPage(ctx) !== true) throw foreignPage()
  const sent = ctx.req.headers['x-csrf-token']
  if (typeof sent !== 'string' || !isCsrfToken(sent, session.csrfToken)) {
    throw new RegistryError('requestForged', { message: 'the X-CSRF-Token header is missing or not the one of this session' })
  }
}

function foreignPage(): RegistryError {
  const message =
    'the request comes from a page of another address than this one; behind a proxy set externalUrl or trustedProxies, so that the registry knows its address'
  return new RegistryError('requestForged', { message })
}

/** Whether the page that made the request is one of this registry; undefined when the client does not tell, as no browser does. */
function isOwnPage(ctx: Context): boolean | undefined {
  const { origin, 'sec-fetch-site': site } = ctx.req.headers
  if (origin !== undefined) return origin.toLowerCase() === ctx.state.origin.toLowerCase()
  return site === undefined ? undefined : site === 'same-origin'
}

function isSecure(ctx: Context): boolean {
  return ctx.state.origin.startsWith('https:')
}
