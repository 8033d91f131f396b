/**
 * What operations on access tokens and on robots have in common: what a token covers, how long it lives, and what is told of it.
 */
import { z } from 'zod'
import { parseTokenScopes, tokenActions, type TokenScope } from '../../auth/access-token.ts'
import { authorizeScopes } from '../../auth/authorize.ts'
import type { Caller } from '../../auth/identity.ts'
import type { AccessTokenFacts } from '../../registry/access-tokens.ts'
import { isoTime, time } from './fields.ts'

const usualLifeSeconds = 90 * 86_400
/** A hundred years. */
const maxSeconds = 100 * 365 * 86_400

const scope = z
  .strictObject({
    actions: z.array(z.enum(tokenActions)).meta({ description: 'admin: what administers, as far as the owner may.' }),
    repositories: z.string().meta({
      description: 'The name of a repository, the beginning of names and *, or * alone.',
      examples: ['team/app*'],
    }),
  })
  .meta({ id: 'TokenScope' })

/** What a token is to cover; parsed by scopesOf. */
export const scopes = z.array(scope).meta({
  description: 'What it may be used for, as far as its owner may: at least one, at most 32 patterns.',
  examples: [[{ actions: ['pull'], repositories: 'team/*' }]],
})

export const lifetimeSeconds = z
  .int()
  .min(1)
  .max(maxSeconds)
  .nullable()
  .optional()
  .meta({ description: `How long it lives; null: it does not expire; left out: ${usualLifeSeconds}, which is 90 days.` })

export const rotation = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(maxSeconds)
      .optional()
      .meta({ description: 'How long the old secret goes on; left out: not at all.' }),
    lifetimeSeconds: lifetimeSeconds.meta({
      description: 'How long the new secret lives; null: it does not expire; left out: as long as the old one was given.',
    }),
  })
  .meta({ id: 'TokenRotation' })

export const tokenSchema = z
  .strictObject({
    name: z.string().meta({ description: 'That of an old secret that goes on after a rotation, or of one that has ended, may have a ~.' }),
    hint: z.string().meta({ description: 'The last characters of the secret.' }),
    scopes,
    status: z.enum(['active', 'expired', 'revoked']),
    createdAt: time,
    expiresAt: time.nullable().meta({ description: 'null: never.' }),
    lastUsedAt: time.nullable().meta({ description: 'To the minute; null: never.' }),
    lastUsedFrom: z.string().nullable().meta({ description: 'The address of the client that used it last.' }),
  })
  .meta({ id: 'AccessToken' })

export const secret = z.string().meta({ description: 'To be used as a password or as a Bearer token. It is shown only this once.' })

/** @throws {RegistryError} parameterInvalid; denied: the access token that the caller shows does not hold them itself */
export function scopesOf(caller: Caller, given: z.output<typeof scopes>): TokenScope[] {
  const parsed = parseTokenScopes(given)
  authorizeScopes(caller, parsed)
  return parsed
}

/** In milliseconds since the epoch; undefined: never. */
export function expiryOf(lifeSeconds: number | null | undefined, nowMs: number): number | undefined {
  return lifeSeconds === null ? undefined : nowMs + (lifeSeconds ?? usualLifeSeconds) * 1000
}

export function rotationOf({ overlapSeconds = 0, lifetimeSeconds: life }: z.output<typeof rotation>, nowMs: number) {
  return { nowMs, overlapMs: overlapSeconds * 1000, expiresAtMs: life === undefined ? ('same' as const) : expiryOf(life, nowMs) }
}

export function describeToken(token: AccessTokenFacts): z.input<typeof tokenSchema> {
  return {
    name: token.name,
    hint: token.hint,
    scopes: token.scopes.map(({ actions, repositories }) => ({ actions: [...actions], repositories })),
    status: token.status,
    createdAt: isoTime(token.createdAtMs),
    expiresAt: timeOrNull(token.expiresAtMs),
    lastUsedAt: timeOrNull(token.lastUsedAtMs),
    lastUsedFrom: token.lastUsedFrom ?? null,
  }
}

/** What of a token can be changed: that it was used is no change. */
export function essenceOf({ id, scopes: held, status, expiresAtMs }: AccessTokenFacts): unknown {
  return [id, held, status, expiresAtMs ?? null]
}

function timeOrNull(atMs: number | undefined): string | null {
  return atMs === undefined ? null : isoTime(atMs)
}

/** For the audit log: `pull,push team/app*`. */
export function scopesText(given: z.output<typeof scopes> | undefined): readonly string[] | undefined {
  return given?.map(({ actions, repositories }) => `${actions.join()} ${repositories}`)
}
