/**
 * Second factors as a use case: begun with a secret, counting once a code confirmed it, asked for at each sign-in, ended by its
 * owner or by an administrator who helps someone out.
 *
 * Invariants: no code is taken twice, in any process: the row that remembers the last one is changed in the same statement that
 * compares it. Beginning and ending one ends what was issued to the account before.
 */
import type { Account } from '../auth/identity.ts'
import type { LoginAttempts, LoginSource } from '../auth/login-attempts.ts'
import { newRecoveryCodes, recoveryCodeHash } from '../auth/recovery-codes.ts'
import { matchTotp, newTotpSecret, totpUri } from '../auth/totp.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import {
  clearSecondFactor,
  confirmTotp,
  countRecoveryCodes,
  findSecondFactor,
  setRecoveryCodes,
  setTotpSecret,
  takeRecoveryCode,
  takeTotpStep,
} from '../storage/metadata/second-factors.ts'
import { renewSession } from '../storage/metadata/sessions.ts'

export interface SecondFactorParts {
  readonly database: Database
  readonly attempts: LoginAttempts
  /** Milliseconds since 1970. */
  readonly clock: () => number
  readonly randomBytes: (size: number) => Buffer
}

/** How apps name the registry. */
const issuer = 'Lanyard'

export class SecondFactors {
  readonly #parts: SecondFactorParts

  constructor(parts: SecondFactorParts) {
    this.#parts = parts
  }

  /**
   * Begins a second factor, which counts for nothing until `confirm`. To begin again replaces the secret.
   * @returns the secret in base32, and the URI that an app reads from a QR code
   * @throws {RegistryError} parameterInvalid: one is confirmed already
   */
  async enrol(account: Account): Promise<{ secret: string; uri: string }> {
    const secret = newTotpSecret(this.#parts.randomBytes)
    const isNew = await this.#parts.database.write((tx) => setTotpSecret(tx, { accountId: account.id, secret }))
    if (!isNew) throw invalid(`"${account.name}" has a second factor already: disable it first`)
    return { secret, uri: totpUri({ secret, account: account.name, issuer }) }
  }

  /**
   * From now on it counts. Tokens and sessions that the password alone has opened end, but for the session that is kept.
   * @returns recovery codes, to be shown once
   * @throws {RegistryError} codeWrong: not a code of the secret that `enrol` gave
   * @throws {RegistryError} parameterInvalid: nothing was begun, or it is confirmed already
   */
  async confirm(account: Account, { code, keptSessionId }: { code: string; keptSessionId?: number }): Promise<string[]> {
    const { database, clock, randomBytes } = this.#parts
    return database.write(async (tx) => {
      const row = await findSecondFactor(tx, account.id)
      if (!row || row.totp_secret === null || row.totp_confirmed === 1)
        throw invalid('there is no second factor to confirm: begin one first')
      const step = matchTotp({ secret: row.totp_secret, code, nowMs: clock(), lastStep: row.totp_last_step })
      if (step === undefined || !(await confirmTotp(tx, { accountId: account.id, step }))) throw new RegistryError('codeWrong')
      if (keptSessionId !== undefined) await renewSession(tx, { id: keptSessionId, accountId: account.id })
      return replaceRecoveryCodes(tx, account, randomBytes)
    })
  }

  /**
   * Returns if this is the account's code of now, or one of its recovery codes; it is used up then.
   * @throws {RegistryError} codeWrong: it is not, or was used before
   * @throws {RegistryError} loginThrottled: too many wrong ones were tried
   */
  async pass(account: Account, code: string, source: LoginSource): Promise<void> {
    const { attempts } = this.#parts
    const attempt = attempts.attemptOf(account.name, source)
    const delayMs = attempts.codeDelayMs(attempt)
    if (delayMs > 0) throw tooManyCodes(delayMs)
    // Counted before it is looked at: of many at once no more are tried than of one after the other.
    attempts.recordWrongCode(attempt)
    if (!(await this.#take(account, code))) throw new RegistryError('codeWrong')
    attempts.recordRightCode(attempt)
  }

  /** New recovery codes in place of those that are left, to be shown once. @throws {RegistryError} parameterInvalid */
  async renewRecoveryCodes(account: Account): Promise<string[]> {
    if (!account.hasSecondFactor) throw noSecondFactor(account)
    const { database, randomBytes } = this.#parts
    return database.write((tx) => replaceRecoveryCodes(tx, account, randomBytes))
  }

  /** Whoever may do this was decided by the caller. What was issued before ends. @throws {RegistryError} parameterInvalid */
  async disable(account: Account, { keptSessionId }: { keptSessionId?: number } = {}): Promise<void> {
    await this.#parts.database.write(async (tx) => {
      if (!(await clearSecondFactor(tx, account.id))) throw noSecondFactor(account)
      if (keptSessionId !== undefined) await renewSession(tx, { id: keptSessionId, accountId: account.id })
    })
  }

  /** How many recovery codes are left. */
  async recoveryCodesLeft(account: Account): Promise<number> {
    return countRecoveryCodes(this.#parts.database.read, account.id)
  }

  async #take(account: Account, code: string): Promise<boolean> {
    const { database, clock } = this.#parts
    const hash = recoveryCodeHash(code)
    if (hash) return database.write((tx) => takeRecoveryCode(tx, { accountId: account.id, hash }))
    const row = await findSecondFactor(database.read, account.id)
    if (!row || row.totp_secret === null) return false
    const step = matchTotp({ secret: row.totp_secret, code, nowMs: clock(), lastStep: row.totp_last_step })
    return step !== undefined && database.write((tx) => takeTotpStep(tx, { accountId: account.id, step }))
  }
}

async function replaceRecoveryCodes(tx: Writer, account: Account, randomBytes: (size: number) => Buffer): Promise<string[]> {
  const codes = newRecoveryCodes(randomBytes)
  const hashes = codes.flatMap((code) => recoveryCodeHash(code) ?? [])
  await setRecoveryCodes(tx, { accountId: account.id, hashes })
  return codes
}

function tooManyCodes(delayMs: number): RegistryError {
  const seconds = Math.ceil(delayMs / 1000)
  return new RegistryError('loginThrottled', {
    message: `too many wrong codes of the second factor were tried: try again in ${seconds} seconds, with the code of then`,
    headers: { 'Retry-After': String(seconds) },
  })
}

function noSecondFactor(account: Account): RegistryError {
  return invalid(`"${account.name}" has no second factor`)
}

function invalid(message: string): RegistryError {
  return new RegistryError('parameterInvalid', { message })
}
