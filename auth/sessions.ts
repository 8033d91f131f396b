/**
 * The rules of browser sessions: what their cookie is, how long they last, and what a request must show that changes something.
 * The rows are storage's, the headers the server's.
 *
 * Invariant: of a cookie's value only the digest is kept, and a value that was not made here opens nothing.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { Account } from './identity.ts'

/** How long a session lasts. */
export interface SessionLimits {
  /** Without a request. */
  readonly idleMs: number
  /** In any case. */
  readonly absoluteMs: number
}

/** What of a session decides whether it still counts. */
export interface SessionFacts {
  readonly createdAtMs: number
  readonly lastSeenAtMs: number
  /** The account's when it signed in. */
  readonly credentialVersion: number
}

const secretBytes = 32

/** The value of a new cookie, or a token against forged requests: 256 random bits in base64url. */
export function newSessionSecret(randomBytes: (size: number) => Buffer): string {
  return randomBytes(secretBytes).toString('base64url')
}

/** The digest that is kept of a cookie's value; undefined: it cannot be one. */
export function sessionSecretHash(secret: string): Buffer | undefined {
  return /^[\w-]{43}$/.test(secret) ? hash('sha256', secret, 'buffer') : undefined
}

/**
 * The cookie's name. Over TLS one that browsers accept only from this very host, for every path and with Secure, so that no other
 * host of the domain can plant it. Source: RFC 6265bis, "Cookie Name Prefixes".
 */
export function sessionCookieName(isSecure: boolean): string {
  return isSecure ? '__Host-lanyard' : 'lanyard-session'
}

/** Whether it still opens the account: a changed password, second factor, role or status ends it, as does its time. */
export function isSessionAlive(
  session: SessionFacts,
  account: Account,
  { nowMs, limits }: { nowMs: number; limits: SessionLimits },
): boolean {
  if (account.isDisabled || account.credentialVersion !== session.credentialVersion) return false
  return nowMs < sessionExpiryMs(session, limits)
}

/** When it ends if nothing is seen of it any more. */
export function sessionExpiryMs({ createdAtMs, lastSeenAtMs }: Omit<SessionFacts, 'credentialVersion'>, limits: SessionLimits): number {
  return Math.min(lastSeenAtMs + limits.idleMs, createdAtMs + limits.absoluteMs)
}

/** Whether the token that a page sent is its session's. */
export function isCsrfToken(sent: string, token: string): boolean {
  return timingSafeEqual(hash('sha256', sent, 'buffer'), hash('sha256', token, 'buffer'))
}
