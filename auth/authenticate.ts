/**
 * From an `Authorization` header to a caller. What the caller may do then is authorize.ts's part.
 *
 * Invariant: an unknown account, a wrong password, a disabled account and a header that cannot be read are refused with
 * the same error; the first three after the same work.
 */
import { RegistryError } from '../oci/errors.ts'
import { parseAuthorization } from './challenge.ts'
import type { Account, AccountDirectory, Caller } from './identity.ts'
import { unknownSource, type LoginSource } from './login-attempts.ts'
import type { Passwords } from './passwords.ts'
import { mayUsePasswordAlone, tokenInsteadOfPassword } from './second-factor.ts'
import type { Tokens } from './tokens.ts'

export interface AuthenticatorParts {
  readonly accounts: AccountDirectory
  readonly passwords: Passwords
  readonly tokens: Tokens
}

/** No account's name is as long; a longer one, or one with a NUL, is not even looked for. */
const maxUsernameLength = 255

export class Authenticator {
  readonly #accounts: AccountDirectory
  readonly #passwords: Passwords
  readonly #tokens: Tokens

  constructor({ accounts, passwords, tokens }: AuthenticatorParts) {
    this.#accounts = accounts
    this.#passwords = passwords
    this.#tokens = tokens
  }

  /**
   * Who sends this header. Without one, or with Basic that has neither user nor password: the anonymous caller.
   * @throws {RegistryError} credentialsWrong: unknown account, wrong password, disabled account, or no header of ours
   * @throws {RegistryError} secondFactorNeeded: the password is right, but the account does not open by it alone
   * @throws {RegistryError} tokenInvalid: as Tokens.verify says
   * @throws {RegistryError} loginBusy, loginThrottled: too many passwords are being checked
   */
  async authenticate(header: string | undefined, source: LoginSource = unknownSource): Promise<Caller> {
    const authorization = parseAuthorization(header)
    if (authorization.kind === 'none') return { identity: { kind: 'anonymous' }, via: 'nothing', access: undefined }
    if (authorization.kind === 'basic') return this.authenticatePassword(authorization.username, authorization.password, source)
    if (authorization.kind === 'bearer') return this.#tokens.verify(authorization.token)
    throw new RegistryError('credentialsWrong')
  }

  /**
   * The same for a user name and a password that came in another way, such as the form of the token endpoint.
   * @throws {RegistryError} credentialsWrong: unknown account, wrong password, disabled account
   * @throws {RegistryError} secondFactorNeeded: the password is right, but the account does not open by it alone
   * @throws {RegistryError} loginBusy, loginThrottled: too many passwords are being checked
   */
  async authenticatePassword(username: string, password: string, source: LoginSource = unknownSource): Promise<Caller> {
    const account = await this.checkPassword(username, password, source)
    if (!mayUsePasswordAlone(account)) throw tokenInsteadOfPassword(account)
    return { identity: { kind: 'account', account }, via: 'basic', access: undefined }
  }

  /**
   * The account whose name and password these are. Alone they open nothing: whoever asks looks for its second factor.
   * @throws {RegistryError} credentialsWrong: unknown account, wrong password, disabled account
   * @throws {RegistryError} loginBusy, loginThrottled: too many passwords are being checked
   */
  async checkPassword(username: string, password: string, source: LoginSource): Promise<Account> {
    const account = await this.#findAccount(username)
    const asked = { name: username, address: source.address, connection: source.connection }
    const isRight = await this.#passwords.check(account, password, asked)
    if (!account || !isRight) throw new RegistryError('credentialsWrong')
    return account
  }

  async #findAccount(username: string): Promise<Account | undefined> {
    if (username.length > maxUsernameLength || username.includes('\0')) return undefined
    return this.#accounts.findAccountByName(username)
  }
}
