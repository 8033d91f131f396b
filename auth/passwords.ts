/**
 * Passwords: hashing, checking, and what a new one must be like. Which account is meant, and what a refusal looks like
 * on the wire, is decided elsewhere.
 *
 * Invariants: at most `concurrency` hashes run at once, whatever arrives. A check costs the same whether the account
 * exists, is disabled or the password is wrong. bcrypt never sees more than 72 bytes, which it would cut silently.
 */
import { hash, randomBytes as systemRandomBytes } from 'node:crypto'
import bcrypt from 'bcrypt'
import { RegistryError } from '../oci/errors.ts'
import type { Clock } from './clock.ts'
import type { Account } from './identity.ts'

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
  readonly randomBytes?: (size: number) => Buffer
}

const maxCacheTtlMs = 5 * 60 * 1000
const maxCacheEntries = 10_000
const maxPasswordBytes = 72
const minPasswordLength = 8

export class Passwords {
  readonly #cost: number
  readonly #dummyHash: string
  readonly #turns: Turns
  readonly #clock: Clock
  readonly #cacheTtlMs: number
  readonly #cacheSecret: string
  /** Digest of the secret, the account and its right password → when it was checked. */
  readonly #right = new Map<string, number>()
  readonly #running = new Map<string, Promise<boolean>>()

  constructor({ cost, concurrency, queueLimit, cacheTtlMs, clock, randomBytes = systemRandomBytes }: PasswordOptions) {
    this.#cost = cost
    // Of the right shape, so that bcrypt does all its work; what comes out is thrown away.
    this.#dummyHash = `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
    this.#turns = new Turns(concurrency, queueLimit)
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
    return this.#turns.take(() => bcrypt.hash(password, this.#cost))
  }

  /**
   * Whether this is the password of that account, which exists and is not disabled. Pass the name that was asked for,
   * so that checks of two unknown accounts are never taken for the same one, which would show in their time.
   * @throws {RegistryError} loginBusy: too many checks are waiting
   */
  async check(account: Account | undefined, password: string, askedName = account?.name ?? ''): Promise<boolean> {
    const key = this.#keyOf(account, password, askedName)
    const mayPass = account !== undefined && !account.isDisabled && hashingFault(password) === undefined
    if (mayPass && this.#isRemembered(key)) return true
    const running = this.#running.get(key)
    if (running) return running
    const check = this.#compare(mayPass ? account : undefined, password).finally(() => this.#running.delete(key))
    this.#running.set(key, check)
    if (!(await check)) return false
    this.#remember(key)
    return true
  }

  async #compare(account: Account | undefined, password: string): Promise<boolean> {
    if (account) return this.#turns.take(() => bcrypt.compare(password, account.passwordHash))
    await this.#turns.take(() => bcrypt.compare('', this.#dummyHash))
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

/** So many at once, so many waiting in order, and not one more. */
class Turns {
  readonly #concurrency: number
  readonly #queueLimit: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(concurrency: number, queueLimit: number) {
    this.#concurrency = Math.max(1, concurrency)
    this.#queueLimit = queueLimit
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#concurrency) this.#taken += 1
    else await this.#wait()
    try {
      return await work()
    } finally {
      // A turn is handed on, not given back, so that no newcomer gets between.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#taken -= 1
    }
  }

  async #wait(): Promise<void> {
    if (this.#waiting.length >= this.#queueLimit) throw new RegistryError('loginBusy', { headers: { 'Retry-After': '1' } })
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

/**
 * A password that an account may get: at least 8 characters, at most 72 bytes of UTF-8, not the account's name.
 * @throws {RegistryError} parameterInvalid: it is not; the message says why and does not repeat it
 */
export function parseNewPassword(text: string, accountName: string): string {
  const fault = Array.from(text).length < minPasswordLength ? `a password has at least ${minPasswordLength} characters` : hashingFault(text)
  if (fault !== undefined) throw new RegistryError('parameterInvalid', { message: fault })
  if (text === accountName) throw new RegistryError('parameterInvalid', { message: 'a password must not be the name of its account' })
  return text
}

function hashingFault(password: string): string | undefined {
  if (password.includes('\0')) return 'a password must not contain a NUL character'
  if (Buffer.byteLength(password) > maxPasswordBytes) return `a password has at most ${maxPasswordBytes} bytes (of UTF-8)`
  return undefined
}
