/**
 * Passwords: hashing, checking, and what a new one must be like. Which account is meant, and what a refusal looks like
 * on the wire, is decided elsewhere; who waits for whom, in login-queue.ts.
 *
 * Invariants: at most `concurrency` hashes run at once, whatever arrives. A check costs the same, and waits the same, whether the
 * account exists, is disabled or the password is wrong. bcrypt never sees more than 72 bytes, which it would cut silently.
 */
import { hash, randomBytes as systemRandomBytes } from 'node:crypto'
import bcrypt from 'bcrypt'
import { RegistryError } from '../oci/errors.ts'
import { hasAccessTokenForm } from './access-token.ts'
import type { Clock } from './clock.ts'
import { isCommonPassword } from './common-passwords.ts'
import type { Account } from './identity.ts'
import { LoginAttempts, unknownSource, type LoginSource } from './login-attempts.ts'
import { LoginQueue } from './login-queue.ts'

export interface PasswordOptions {
  /** bcrypt's, as a power of two; 12 is about 0.2 s. */
  readonly cost: number
  /** Hashes computed at once. */
  readonly concurrency: number
  /** Hashes that may wait for their turn; the next is refused. */
  readonly queueLimit: number
  /** How long a password that was right is remembered; at most five minutes, 0 for never. */
  readonly cacheTtlMs: number
  readonly clock: Clock
  /** What is remembered of logins; without it, what these passwords see. */
  readonly attempts?: LoginAttempts
  readonly randomBytes?: (size: number) => Buffer
}

/** A login as it came: the name that was asked for, whether or not there is such an account, and from where. */
export interface AskedLogin extends LoginSource {
  readonly name: string
}

const maxCacheTtlMs = 5 * 60 * 1000
const maxCacheEntries = 10_000
const maxPasswordBytes = 72
const minPasswordLength = 8

export class Passwords {
  readonly #cost: number
  readonly #dummyHash: string
  readonly #attempts: LoginAttempts
  readonly #queue: LoginQueue
  readonly #clock: Clock
  readonly #cacheTtlMs: number
  readonly #cacheSecret: string
  /** Digest of the secret, the account and its right password → when it was checked. */
  readonly #right = new Map<string, number>()
  readonly #running = new Map<string, Promise<boolean>>()

  constructor(options: PasswordOptions) {
    const { cost, concurrency, queueLimit, cacheTtlMs, clock, randomBytes = systemRandomBytes } = options
    this.#cost = cost
    // Of the right shape, so that bcrypt does all its work; what comes out is thrown away.
    this.#dummyHash = `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
    this.#attempts = options.attempts ?? new LoginAttempts(clock)
    this.#queue = new LoginQueue({ concurrency, queueLimit, attempts: this.#attempts })
    this.#clock = clock
    this.#cacheTtlMs = Math.min(cacheTtlMs, maxCacheTtlMs)
    this.#cacheSecret = randomBytes(32).toString('base64')
  }

  /**
   * The bcrypt hash of a password.
   * @throws {RegistryError} parameterInvalid: more than 72 bytes, or a NUL in it
   * @throws {RegistryError} loginBusy: too many hashes are waiting
   */
  async hash(password: string): Promise<string> {
    const fault = hashingFault(password)
    if (fault !== undefined) throw new RegistryError('parameterInvalid', { message: fault })
    return this.#queue.take(undefined, () => bcrypt.hash(password, this.#cost))
  }

  /**
   * Whether this is the password of that account, which exists and is not disabled. Pass the name that was asked for,
   * so that checks of two unknown accounts are never taken for the same one, which would show in their time.
   * @throws {RegistryError} loginBusy: too many checks are waiting
   * @throws {RegistryError} loginThrottled: too many are waiting, and of this account or from this address too many were wrong
   */
  async check(account: Account | undefined, password: string, asked: AskedLogin = loginOf(account)): Promise<boolean> {
    const key = this.#keyOf(account, password, asked.name)
    const mayPass = account !== undefined && !account.isDisabled && hashingFault(password) === undefined
    if (mayPass && this.#isRemembered(key)) return true
    const attempt = this.#attempts.attemptOf(asked.name, asked)
    const isRight = await this.#sharedCheck(key, () =>
      this.#queue.take(attempt, () => this.#compare(mayPass ? account : undefined, password)),
    )
    if (!isRight) {
      this.#attempts.recordFailure(attempt)
      return false
    }
    this.#attempts.recordSuccess(attempt)
    this.#remember(key)
    return true
  }

  /** The same check, many times at once, is one. */
  #sharedCheck(key: string, start: () => Promise<boolean>): Promise<boolean> {
    const running = this.#running.get(key)
    if (running) return running
    const check = start().finally(() => this.#running.delete(key))
    this.#running.set(key, check)
    return check
  }

  async #compare(account: Account | undefined, password: string): Promise<boolean> {
    if (account) return bcrypt.compare(password, account.passwordHash)
    await bcrypt.compare('', this.#dummyHash)
    return false
  }

  /** The disabled state is part of it: a check that began before the change must not answer one that came after. */
  #keyOf(account: Account | undefined, password: string, askedName: string): string {
    const facts = [account?.id, account?.credentialVersion, account?.isDisabled, account?.passwordHash, askedName, password]
    // In one call, because it is made for every request with Basic: an HMAC's object alone takes 8 µs, all of this half of one.
    return hash('sha256', JSON.stringify([this.#cacheSecret, ...facts]), 'base64')
  }

  #isRemembered(key: string): boolean {
    const sinceMs = this.#right.get(key)
    if (sinceMs === undefined) return false
    const ageMs = this.#clock() - sinceMs
    if (ageMs >= 0 && ageMs < this.#cacheTtlMs) return true
    this.#right.delete(key)
    return false
  }

  #remember(key: string): void {
    if (this.#cacheTtlMs <= 0) return
    const oldest = this.#right.keys().next()
    if (this.#right.size >= maxCacheEntries && !oldest.done) this.#right.delete(oldest.value)
    this.#right.set(key, this.#clock())
  }
}

function loginOf(account: Account | undefined): AskedLogin {
  return { ...unknownSource, name: account?.name ?? '' }
}

/**
 * A password that an account may get: at least 8 characters, at most 72 bytes of UTF-8, not the account's name, none of the most
 * common, no access token. The message of a refusal says what to do.
 * @throws {RegistryError} parameterInvalid: it is not; the message says why and does not repeat it
 */
export function parseNewPassword(text: string, accountName: string): string {
  const fault = newPasswordFault(text, accountName)
  if (fault !== undefined) throw new RegistryError('parameterInvalid', { message: fault })
  return text
}

/** Why an account may not get this password, as a sentence that says what to do; undefined: it may. */
export function newPasswordFault(text: string, accountName: string): string | undefined {
  if (Array.from(text).length < minPasswordLength)
    return `a password has at least ${minPasswordLength} characters: several words in a row are easy to remember`
  const fault = hashingFault(text)
  if (fault !== undefined) return fault
  if (text.toLowerCase() === accountName.toLowerCase()) return 'a password must not be the name of its account'
  if (isCommonPassword(text))
    return 'this password is among the most common ones, which are tried first: choose several words that do not belong together'
  // In place of a password it would be looked for among the access tokens, and never be right.
  if (hasAccessTokenForm(text)) return 'a password must not look like an access token: it could never sign in'
  return undefined
}

function hashingFault(password: string): string | undefined {
  if (password.includes('\0')) return 'a password must not contain a NUL character'
  if (Buffer.byteLength(password) > maxPasswordBytes) return `a password has at most ${maxPasswordBytes} bytes (of UTF-8)`
  return undefined
}
