/**
 * Operations on the access tokens of a person: one's own below `/me/tokens`, those of an account for its owner and for administrators.
 * A secret stands in the answer of what makes it, and nowhere else.
 *
 * Invariant: by an access token none is made, changed or renewed that does more than it.
 */
import { z } from 'zod'
import { parseAccessToken } from '../../auth/access-token.ts'
import { authorizeScopes } from '../../auth/authorize.ts'
import {
  changeTokenScopes,
  makeToken,
  revokeSecret,
  revokeToken,
  rotateToken,
  tokenNamed,
  tokensOf,
  type AccessTokenFacts,
  type MadeToken,
} from '../../registry/access-tokens.ts'
import { accountName } from './fields.ts'
import { apiRoot, operation, type Deed } from './operation.ts'
import { ownOf } from './own.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { administration, ofAccount } from './right.ts'
import * as fields from './token-fields.ts'
import { versionOf } from './version.ts'

const tag = 'tokens'
const ofOne = {
  account: accountName,
  token: z
    .string()
    .min(1)
    .max(255)
    .meta({ description: 'The name of an access token.', examples: ['ci'] }),
}
const example = { path: { account: 'alice', token: 'ci' } }
const pullScopes = [{ actions: ['pull'], repositories: 'alice/*' }]

const madeSchema = z
  .strictObject({ account: z.string(), ...fields.tokenSchema.shape, secret: fields.secret })
  .meta({ id: 'NewAccessToken' })

export const listTokens = operation({
  id: 'listTokens',
  method: 'GET',
  path: '/accounts/{account}/tokens',
  tag,
  summary: 'List the access tokens of an account',
  description: 'By name. Those that have ended are listed for some time.',
  right: ofAccount,
  parameters: { account: accountName },
  query: pageQuery(['text']),
  answer: { status: 200, description: 'A page of access tokens.', schema: pageOf('AccessTokenPage', fields.tokenSchema) },
  errors: ['accountUnknown'],
  example: { path: { account: 'alice' } },
  handle: async ({ services: { registry }, path, query: { cursor, limit } }) => {
    const page = await tokensOf(registry.database, { account: path.account, after: cursor?.[0], limit, nowMs: registry.clock() })
    return { body: pageBody(page, { itemOf: fields.describeToken, keyOf: ({ name }) => [name] }) }
  },
})

export const createToken = operation({
  id: 'createToken',
  method: 'POST',
  path: '/accounts/{account}/tokens',
  tag,
  summary: 'Make an access token for an account',
  description: 'It never grants more than its account has, then and later.',
  right: ofAccount,
  parameters: { account: accountName },
  body: z
    .strictObject({
      name: z.string().meta({ description: '1 to 64 letters, digits, dots, dashes and underscores.', examples: ['ci'] }),
      scopes: fields.scopes,
      lifetimeSeconds: fields.lifetimeSeconds,
    })
    .meta({ id: 'AccessTokenWish' }),
  answer: { status: 201, description: 'The access token with its secret; Location says where it is.', schema: madeSchema },
  errors: ['accountUnknown', 'nameTaken'],
  example: { path: { account: 'alice' }, body: { name: 'ci', scopes: pullScopes } },
  deed: ({ path, body }) =>
    deedOf('token-add', { account: path.account, token: body?.name ?? '' }, { scopes: fields.scopesText(body?.scopes) }),
  handle: async ({ services: { registry }, caller, path: { account }, body: { name, ...body } }) => {
    const nowMs = registry.clock()
    const scopes = fields.scopesOf(caller, body.scopes)
    const expiresAtMs = fields.expiryOf(body.lifetimeSeconds, nowMs)
    const made = await makeToken(registry.database, { account, name, scopes, expiresAtMs, nowMs })
    return { ...shown(account, made), location: `${apiRoot}/accounts/${account}/tokens/${name}` }
  },
})

export const getToken = operation({
  id: 'getToken',
  method: 'GET',
  path: '/accounts/{account}/tokens/{token}',
  tag,
  summary: 'Describe an access token',
  right: ofAccount,
  parameters: ofOne,
  answer: { status: 200, description: 'The access token.', schema: fields.tokenSchema },
  errors: ['accountUnknown', 'accessTokenUnknown'],
  example,
  handle: async ({ services: { registry }, path }) => reply(await tokenNamed(registry.database, named(path, registry.clock()))),
})

export const changeToken = operation({
  id: 'changeToken',
  method: 'PATCH',
  path: '/accounts/{account}/tokens/{token}',
  tag,
  summary: 'Change what an access token covers',
  description: 'Acts on its next request. Its secret stays.',
  right: ofAccount,
  parameters: ofOne,
  body: z.strictObject({ scopes: fields.scopes }).meta({ id: 'AccessTokenChange' }),
  answer: { status: 200, description: 'The access token as it is now.', schema: fields.tokenSchema },
  isConditional: true,
  errors: ['accountUnknown', 'accessTokenUnknown'],
  example: { ...example, body: { scopes: pullScopes } },
  deed: ({ path, body }) => deedOf('token-change', path, { scopes: fields.scopesText(body?.scopes) }),
  handle: async ({ services: { registry }, caller, path, body, requireVersion }) => {
    const check = (current: AccessTokenFacts): void => requireVersion(versionIn(current))
    const scopes = fields.scopesOf(caller, body.scopes)
    return reply(await changeTokenScopes(registry.database, { ...named(path, registry.clock()), scopes, check }))
  },
})

export const revokeAccessToken = operation({
  id: 'revokeToken',
  method: 'DELETE',
  path: '/accounts/{account}/tokens/{token}',
  tag,
  summary: 'End an access token',
  description: 'From its next request on. It is listed as revoked for some time; another may have its name at once.',
  right: ofAccount,
  parameters: ofOne,
  answer: { status: 204, description: 'It is revoked.' },
  isConditional: true,
  errors: ['accountUnknown', 'accessTokenUnknown'],
  example,
  deed: ({ path }) => deedOf('token-revoke', path),
  handle: async ({ services: { registry }, path, requireVersion }) => {
    const check = (current: AccessTokenFacts): void => requireVersion(versionIn(current))
    await revokeToken(registry.database, { ...named(path, registry.clock()), check })
    return { body: undefined }
  },
})

export const rotateAccessToken = operation({
  id: 'rotateToken',
  method: 'POST',
  path: '/accounts/{account}/tokens/{token}/rotate',
  tag,
  summary: 'Give an access token a new secret',
  description: 'Under its name and with its scopes. The old secret may go on for a while, under another name.',
  right: ofAccount,
  parameters: ofOne,
  body: fields.rotation,
  answer: { status: 200, description: 'The access token with its new secret.', schema: madeSchema },
  errors: ['accountUnknown', 'accessTokenUnknown'],
  example: { ...example, body: { overlapSeconds: 3600 } },
  deed: ({ path }) => deedOf('token-rotate', path),
  handle: async ({ services: { registry }, caller, path, body }) => {
    const nowMs = registry.clock()
    const check = (current: AccessTokenFacts): void => authorizeScopes(caller, current.scopes)
    const made = await rotateToken(registry.database, { ...named(path, nowMs), ...fields.rotationOf(body, nowMs), check })
    return shown(path.account, made)
  },
})

export const revokeLeakedToken = operation({
  id: 'revokeLeakedToken',
  method: 'POST',
  path: '/revoked-tokens',
  tag,
  summary: 'End the access token that a secret belongs to, whosever it is',
  description: 'For one that was found where it should not be.',
  right: administration,
  body: z.strictObject({ secret: z.string().meta({ description: 'That of the access token.' }) }).meta({ id: 'LeakedToken' }),
  answer: {
    status: 200,
    description: 'Whose it was: it is revoked.',
    schema: z.strictObject({ account: z.string(), name: z.string() }).meta({ id: 'RevokedToken' }),
  },
  errors: ['accessTokenUnknown'],
  example: { body: { secret: 'lyp_...' } },
  // Whose it is shows only when it is done; the secret stands nowhere.
  deed: () => ({ action: 'token-revoke', target: 'the one with a secret that leaked' }),
  handle: async ({ services: { registry }, body }) => ({
    body: await revokeSecret(registry.database, { secret: parseAccessToken(body.secret), nowMs: registry.clock() }),
  }),
})

export const listOwnTokens = ownOf(listTokens, { id: 'listOwnTokens', summary: 'List your own access tokens' })
export const createOwnToken = ownOf(createToken, { id: 'createOwnToken', summary: 'Make an access token for yourself' })
export const getOwnToken = ownOf(getToken, { id: 'getOwnToken', summary: 'Describe an access token of your own' })
export const changeOwnToken = ownOf(changeToken, { id: 'changeOwnToken', summary: 'Change what an access token of your own covers' })
export const revokeOwnToken = ownOf(revokeAccessToken, { id: 'revokeOwnToken', summary: 'End an access token of your own' })
export const rotateOwnToken = ownOf(rotateAccessToken, { id: 'rotateOwnToken', summary: 'Give an access token of your own a new secret' })

interface OfOne {
  readonly account: string
  readonly token: string
}

function named({ account, token }: OfOne, nowMs: number) {
  return { account, name: token, nowMs }
}

function versionIn(token: AccessTokenFacts): string {
  return versionOf(fields.essenceOf(token))
}

function reply(token: AccessTokenFacts) {
  return { body: fields.describeToken(token), version: versionIn(token) }
}

function shown(account: string, { token, secret }: MadeToken) {
  return { body: { account, ...fields.describeToken(token), secret } }
}

function deedOf(action: Deed['action'], { account, token }: OfOne, detail?: Deed['detail']): Deed {
  return { action, target: `${account}/${token}`, ...(detail && { detail }) }
}
