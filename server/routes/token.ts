/**
 * The token endpoint: credentials and wanted scopes in, a short-lived token with what of it is allowed out.
 * Spec: protocol of the Distribution project's token authentication; what clients send stands in docs/protocol notes.
 */
import type { Caller } from '../../auth/identity.ts'
import { grantScopes } from '../../auth/policy.ts'
import { formatScopes, parseScopes } from '../../auth/scope.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import { findRepository } from '../../registry/registry.ts'
import { noteCaller, type Context } from '../http/exchange.ts'
import { sourceOf } from '../http/login-source.ts'
import { queryOf } from '../http/query.ts'
import { replyJson } from '../http/reply.ts'
import { readBody } from '../http/request-body.ts'
import type { Services } from '../services.ts'

const formBytes = 64 * 1024

/** GET: Basic credentials or none; docker, podman and most others. */
export async function getToken(ctx: Context, services: Services): Promise<void> {
  const caller = await services.authenticator.authenticate(ctx.req.headers.authorization, sourceOf(ctx, services))
  // A token of this endpoint that bought the next one would outgrow its scope and outlive its time. An access token does not.
  if (caller.access !== undefined)
    throw new RegistryError('scopeInsufficient', { message: 'a token buys no other: sign in with user name and password' })
  await replyToken(ctx, services, { caller, scopes: queryOf(ctx).getAll('scope') })
}

/** POST: the OAuth2 password form; containerd's first choice. Refresh tokens are never given, so never taken. */
export async function postToken(ctx: Context, services: Services): Promise<void> {
  const form = new URLSearchParams((await readBody(ctx, formBytes, 'requestTooLarge')).toString('utf8'))
  if (form.get('grant_type') !== 'password') throw new RegistryError('requestInvalid', { message: 'grant_type must be password' })
  ctx.state.triedName = form.get('username') ?? ''
  const source = sourceOf(ctx, services)
  const caller = await services.authenticator.authenticatePassword(ctx.state.triedName, form.get('password') ?? '', source)
  await replyToken(ctx, services, { caller, scopes: form.getAll('scope') })
}

async function replyToken(ctx: Context, services: Services, wish: { caller: Caller; scopes: readonly string[] }): Promise<void> {
  const { identity } = wish.caller
  noteCaller(ctx, wish.caller)
  const visibilityOf = async (name: RepositoryName) => (await findRepository(services.registry, name))?.visibility
  const standingIn = (name: RepositoryName) => services.rights.standingOf(identity, name)
  const granted = await grantScopes(services.policy, { identity, requested: parseScopes(wish.scopes), visibilityOf, standingIn })
  const { token, expiresInSeconds, access } = await services.tokens.issue(identity, granted)
  // No issued_at: clients would add it to expires_in and compare with their own clock, which may be wrong.
  replyJson(ctx, { token, access_token: token, expires_in: expiresInSeconds, scope: formatScopes(access) }, { 'Cache-Control': 'no-store' })
}
