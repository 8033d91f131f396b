/**
 * Browser sessions as a use case: begun at a sign-in, found at each request, listed for their owner, ended one by one or all.
 *
 * Invariant: whether a session counts is asked of its row and its account at every request, so what ends it, in any process, ends
 * it for the next one.
 */
import type { Account, AccountDirectory } from '../auth/identity.ts'
import {
  isSessionAlive,
  newSessionSecret,
  sessionExpiryMs,
  sessionSecretHash,
  type SessionFacts,
  type SessionLimits,
} from '../auth/sessions.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { Database, PreparedRead } from '../storage/metadata/database.ts'
import {
  createSession,
  deleteExpiredSessions,
  deleteOldestSessions,
  deleteSession,
  deleteSessionBySecret,
  deleteSessionsOf,
  listSessions,
  markSeen,
  sessionBySecret,
  type SessionRow,
} from '../storage/metadata/sessions.ts'

export interface Session extends SessionFacts {
  readonly id: number
  /** What pages of this session send beside the cookie. */
  readonly csrfToken: string
  /** What the browser called itself. */
  readonly agent: string
  readonly address: string
  /** When it ends if nothing is seen of it any more. */
  readonly expiresAtMs: number
}

export interface SessionParts {
  readonly database: Database
  readonly accounts: AccountDirectory
  readonly limits: SessionLimits
  /** Milliseconds since 1970. */
  readonly clock: () => number
  readonly randomBytes: (size: number) => Buffer
}

/** From which browser somebody signs in. */
export interface Browser {
  readonly agent: string
  readonly address: string
  /** The value of the cookie that it sent, whose session ends. */
  readonly replaced: string | undefined
}

/** How exactly it is known when a session was last seen: a write for every request would be too many. */
const seenEveryMs = 60_000
/** The oldest of an account make room for new ones, so that a program that signs in again and again fills nothing. */
const maxPerAccount = 100
const maxAgentLength = 255

export class BrowserSessions {
  readonly #parts: SessionParts
  readonly #bySecret: PreparedRead<{ secretHash: Uint8Array }, SessionRow>

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#bySecret = parts.database.prepare(sessionBySecret)
  }

  /**
   * Begins a session of an account whose credentials were checked.
   * @returns it, and the value of its cookie, which is kept nowhere
   */
  async start(account: Account, browser: Browser): Promise<{ secret: string; session: Session }> {
    const { database, clock, randomBytes, limits } = this.#parts
    const nowMs = clock()
    const secret = newSessionSecret(randomBytes)
    const replacedHash = sessionSecretHash(browser.replaced ?? '')
    const row = await database.write(async (tx) => {
      if (replacedHash) await deleteSessionBySecret(tx, replacedHash)
      const created = await createSession(tx, {
        accountId: account.id,
        secretHash: hashOf(secret),
        csrfToken: newSessionSecret(randomBytes),
        credentialVersion: account.credentialVersion,
        agent: browser.agent.slice(0, maxAgentLength),
        address: browser.address,
        nowMs,
        expiresAtMs: sessionExpiryMs({ createdAtMs: nowMs, lastSeenAtMs: nowMs }, limits),
      })
      await deleteOldestSessions(tx, { accountId: account.id, keep: maxPerAccount })
      return created
    })
    return { secret, session: sessionOf(row) }
  }

  /** The session of a cookie's value and its account, as they are now; undefined when there is none or it has ended. */
  async find(secret: string): Promise<{ account: Account; session: Session } | undefined> {
    const secretHash = sessionSecretHash(secret)
    const row = secretHash && (await this.#bySecret({ secretHash }))
    const account = row && (await this.#parts.accounts.findAccountById(row.account_id))
    if (!row || !account) return undefined
    const session = sessionOf(row)
    const { clock, limits } = this.#parts
    if (!isSessionAlive(session, account, { nowMs: clock(), limits })) return undefined
    return { account, session: await this.#see(session) }
  }

  /** Those that still count, the newest first. */
  async list(account: Account): Promise<Session[]> {
    const { database, clock, limits } = this.#parts
    const sessions = (await listSessions(database.read, account.id)).map(sessionOf)
    return sessions.filter((session) => isSessionAlive(session, account, { nowMs: clock(), limits }))
  }

  /** @returns false when the account has no such session */
  async end(account: Account, id: number): Promise<boolean> {
    return this.#parts.database.write((tx) => deleteSession(tx, { id, accountId: account.id }))
  }

  /** Ends all sessions of an account but that one, if one is named. @returns how many */
  async endAll(account: Account, { exceptId }: { exceptId?: number } = {}): Promise<number> {
    return this.#parts.database.write((tx) => deleteSessionsOf(tx, { accountId: account.id, exceptId }))
  }

  /** Removes the rows of those whose time is over. @returns how many */
  async expire(): Promise<number> {
    const { database, clock } = this.#parts
    return database.writeRelaxed((tx) => deleteExpiredSessions(tx, clock()))
  }

  /** Written down at most once a minute. On a disk that takes nothing more the request is answered all the same. */
  async #see(session: Session): Promise<Session> {
    const { database, clock, limits } = this.#parts
    const nowMs = clock()
    if (nowMs - session.lastSeenAtMs < seenEveryMs) return session
    const seen = { ...session, lastSeenAtMs: nowMs, expiresAtMs: sessionExpiryMs({ ...session, lastSeenAtMs: nowMs }, limits) }
    try {
      await database.writeRelaxed((tx) => markSeen(tx, { id: session.id, nowMs, expiresAtMs: seen.expiresAtMs }))
      return seen
    } catch (error) {
      if (isRegistryError(error, 'storageFull') || isRegistryError(error, 'storageFailed')) return session
      throw error
    }
  }
}

function hashOf(secret: string): Buffer {
  const secretHash = sessionSecretHash(secret)
  if (!secretHash) throw new RegistryError('internal', { cause: new Error('a new session has a malformed secret') })
  return secretHash
}

function sessionOf(row: SessionRow): Session {
  return {
    id: row.id,
    csrfToken: row.csrf_token,
    credentialVersion: row.credential_version,
    agent: row.agent,
    address: row.address,
    createdAtMs: row.created_at_ms,
    lastSeenAtMs: row.last_seen_at_ms,
    expiresAtMs: row.expires_at_ms,
  }
}
