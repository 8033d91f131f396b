/**
 * Bearer tokens of the registry protocol: issuing them and finding out who sends one; and for whom an access token stands. What
 * a token may be granted is policy.ts's part, what it opens authorize.ts's.
 *
 * Invariants: ES256 by a key of the ring named by its kid, whatever else the header says. An account is loaded anew for
 * every request, and with it the access token that its bearer token was issued for, so that disabling the one, changing its
 * password, or revoking and narrowing the other acts at once. Every fault is tokenInvalid.
 */
import { hash, randomUUID, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { RegistryError } from '../oci/errors.ts'
import { hashAccessToken, isAccessToken } from './access-token.ts'
import type { Clock } from './clock.ts'
import type { AccountDirectory, AccountIdentity, Caller, FoundToken, Identity } from './identity.ts'
import type { Access } from './scope.ts'
import type { KeyRing } from './signing-keys.ts'

export interface TokenOptions {
  readonly keys: KeyRing
  /** The `iss` claim. */
  readonly issuer: string
  /** The `aud` claim: the service of the challenge. */
  readonly service: string
  /** Life of a token; at least 60, to which clients round up. */
  readonly ttlSeconds: number
  readonly clock: Clock
  readonly accounts: AccountDirectory
  readonly newTokenId?: () => string
}

export interface IssuedToken {
  readonly token: string
  readonly expiresInSeconds: number
  /** What it covers: all that was granted, or as much of it as a header has room for. */
  readonly access: readonly Access[]
}

/** What a registry token says; checked member by member before anything is believed. */
interface Claims {
  readonly sub: string
  readonly exp: number
  readonly nbf: number
  readonly iat: number
  readonly ver: number
  /** The access token that it was issued for; absent: a password was shown. */
  readonly tid?: number
  readonly access: readonly Access[]
}

interface Verified {
  readonly kid: string
  readonly claims: Claims
}

const leewaySeconds = 60
const maxTokenLength = 8 * 1024
/** Bytes of the access claim's JSON; base64 and the other claims then stay within the token's limit. */
const maxAccessBytes = 5 * 1024
const maxRemembered = 4096
/** Tells a registry token from any other that this server may sign one day. */
const tokenUse = 'registry'
const tokenPattern = /^([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
const accountIdPattern = /^[1-9]\d{0,14}$/

export class Tokens {
  readonly #options: TokenOptions
  /**
   * SHA-256 of a token → its claims, once its signature was found right: that costs about 100 µs and the answer for the same
   * bytes cannot change. Time, key and account are looked at again for every request.
   */
  readonly #remembered = new Map<string, Verified>()

  constructor(options: TokenOptions) {
    this.#options = options
  }

  /** A token for this identity that covers this access, which the policy has granted. */
  async issue(identity: Identity, access: readonly Access[]): Promise<IssuedToken> {
    const { keys, issuer, service, ttlSeconds, clock, newTokenId = randomUUID } = this.#options
    await keys.refreshIfChanged()
    const key = keys.current()
    const nowSeconds = Math.floor(clock() / 1000)
    const fitting = fitToHeader(access)
    const claims = {
      iss: issuer,
      aud: service,
      use: tokenUse,
      ...subjectOf(identity),
      iat: nowSeconds,
      nbf: nowSeconds,
      exp: nowSeconds + ttlSeconds,
      jti: newTokenId(),
      access: fitting.map(({ type, name, actions }) => ({ type, name, actions })),
    }
    const token = jwt.sign(claims, key.privateKey, { algorithm: 'ES256', keyid: key.kid })
    return { token, expiresInSeconds: ttlSeconds, access: fitting }
  }

  /**
   * Who sends this token and what it covers.
   * @throws {RegistryError} tokenInvalid: forged, expired, not yet valid, of another issuer, service or kind, or its account
   *   is gone, disabled or has other credentials since, or the access token that it was issued for is gone, expired or revoked
   */
  async verify(token: string, address?: string): Promise<Caller> {
    const fingerprint = hash('sha256', token, 'base64')
    const { claims } = this.#recall(fingerprint) ?? (await this.#read(token, fingerprint))
    return { identity: await this.#identityOf(claims, address), via: 'bearer', access: claims.access }
  }

  /** Whom an access token stands for; undefined: it is nobody's, expired, revoked, mistyped, or its account is disabled. */
  async identify(secret: string, address?: string): Promise<AccountIdentity | undefined> {
    const { accounts } = this.#options
    return isAccessToken(secret) ? this.#holderOf(await accounts.findTokenBySecret(hashAccessToken(secret)), address) : undefined
  }

  #holderOf(found: FoundToken | undefined, address: string | undefined): AccountIdentity | undefined {
    const { accounts, clock } = this.#options
    const isOver = !found || found.revokedAtMs !== undefined || (found.expiresAtMs ?? Infinity) <= clock()
    if (isOver || found.account.isDisabled) return undefined
    accounts.noteUse(found, address)
    return { kind: 'account', account: found.account, token: found.token }
  }

  /** Without a turn of the event loop, because it is done for every request; undefined when there is something to look at first. */
  #recall(fingerprint: string): Verified | undefined {
    const { keys, clock } = this.#options
    const known = this.#remembered.get(fingerprint)
    return known && keys.isFresh() && keys.find(known.kid) && isCurrent(known.claims, clock()) ? known : undefined
  }

  async #read(token: string, fingerprint: string): Promise<Verified> {
    await this.#options.keys.refreshIfChanged()
    const known = this.#recall(fingerprint)
    if (known) return known
    this.#remembered.delete(fingerprint)
    const verified = await this.#checkSignature(token)
    const oldest = this.#remembered.keys().next()
    if (this.#remembered.size >= maxRemembered && !oldest.done) this.#remembered.delete(oldest.value)
    this.#remembered.set(fingerprint, verified)
    return verified
  }

  async #checkSignature(token: string): Promise<Verified> {
    const { keys, issuer, service, clock } = this.#options
    const key = await keys.findFresh(kidOf(token))
    if (!key) throw new RegistryError('tokenInvalid')
    // Algorithm and key are ours to say; of the header only the kid was read, never jwk, jku, x5u or x5c.
    const payload = verifyOrUndefined(token, key.publicKey, {
      algorithms: ['ES256'],
      issuer,
      audience: service,
      clockTimestamp: Math.floor(clock() / 1000),
      clockTolerance: leewaySeconds,
    })
    const claims = findClaims(payload)
    if (!claims || !isCurrent(claims, clock())) throw new RegistryError('tokenInvalid')
    return { kid: key.kid, claims }
  }

  async #identityOf({ sub, ver, tid }: Claims, address: string | undefined): Promise<Identity> {
    if (sub === '') return { kind: 'anonymous' }
    const { accounts } = this.#options
    if (tid !== undefined) {
      const holder = this.#holderOf(await accounts.findTokenById(tid), address)
      if (!holder || String(holder.account.id) !== sub || holder.account.credentialVersion !== ver) throw new RegistryError('tokenInvalid')
      return holder
    }
    const account = accountIdPattern.test(sub) ? await accounts.findAccountById(Number(sub)) : undefined
    if (!account || account.isDisabled || account.credentialVersion !== ver) throw new RegistryError('tokenInvalid')
    return { kind: 'account', account }
  }
}

/** `name` is for those who read logs; only `sub`, `ver` and `tid` count. */
function subjectOf(identity: Identity): Record<string, string | number> {
  if (identity.kind === 'anonymous') return { sub: '', ver: 0 }
  const { id, name, credentialVersion } = identity.account
  const tid = identity.token === undefined ? {} : { tid: identity.token.id }
  return { sub: String(id), ver: credentialVersion, ...tid, name }
}

/** Granting less is no error; a token that no header holds would be. */
function fitToHeader(access: readonly Access[]): Access[] {
  let bytes = 0
  return access.filter((entry) => {
    bytes += JSON.stringify(entry).length + 1
    return bytes <= maxAccessBytes
  })
}

function isCurrent({ exp, nbf, iat }: Claims, nowMs: number): boolean {
  const nowSeconds = nowMs / 1000
  return exp + leewaySeconds > nowSeconds && Math.max(nbf, iat) - leewaySeconds <= nowSeconds
}

/** The kid of a token that has the shape of ours; empty, which is no key's, for any other. */
function kidOf(token: string): string {
  const [, header] = token.length <= maxTokenLength ? (tokenPattern.exec(token) ?? []) : []
  if (header === undefined) return ''
  try {
    const parsed: unknown = JSON.parse(Buffer.from(header, 'base64url').toString('utf8'))
    return isRecord(parsed) && typeof parsed['kid'] === 'string' && !('crit' in parsed) ? parsed['kid'] : ''
  } catch {
    return ''
  }
}

/** The reason is not kept: an error of the parser quotes what it read, and the client is told the same in any case. */
function verifyOrUndefined(token: string, publicKey: KeyObject, options: jwt.VerifyOptions): unknown {
  try {
    return jwt.verify(token, publicKey, options)
  } catch {
    return undefined
  }
}

function findClaims(payload: unknown): Claims | undefined {
  if (!isRecord(payload) || payload['use'] !== tokenUse || typeof payload['jti'] !== 'string') return undefined
  const { sub, exp, nbf, iat, ver, tid, access } = payload
  if (typeof sub !== 'string' || !isTime(exp) || !isTime(nbf) || !isTime(iat) || !isTime(ver)) return undefined
  if (!Array.isArray(access) || !access.every(isAccess)) return undefined
  const claims = { sub, exp, nbf, iat, ver, access }
  if (tid === undefined) return claims
  return isTime(tid) ? { ...claims, tid } : undefined
}

function isAccess(value: unknown): value is Access {
  if (!isRecord(value) || typeof value['type'] !== 'string' || typeof value['name'] !== 'string') return false
  return Array.isArray(value['actions']) && value['actions'].every((action) => typeof action === 'string')
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
