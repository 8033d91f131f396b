/**
 * From an `Authorization` header to a caller. What the caller may do then is authorize.ts's part.
 *
 * Invariant: an unknown account, a wrong password, a disabled account and a header that cannot be read are refused with
 * the same error; the first three after the same work. So are access tokens in place of a password, among themselves: whether
 * one is nobody's, another's, expired or revoked, it costs one look-up, and no password is checked.
 */
import { RegistryError } from '../oci/errors.ts'
import { hasAccessTokenForm } from './access-token.ts'
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
   * @param source where from: orders guesses at passwords, and stands in the record of a token's last use
   * @throws {RegistryError} credentialsWrong: unknown account, wrong password, disabled account, or no header of ours
   * @throws {RegistryError} secondFactorNeeded: the password is right, but the account does not open by it alone
   * @throws {RegistryError} tokenInvalid: as Tokens.verify says
   * @throws {RegistryError} loginBusy, loginThrottled: too many passwords are being checked
   */
  async authenticate(header: string | undefined, source: LoginSource = unknownSource): Promise<Caller> {
    const authorization = parseAuthorization(header)
    if (authorization.kind === 'none') return { identity: { kind: 'anonymous' }, via: 'nothing', access: undefined }
    if (authorization.kind === 'basic') return this.authenticatePassword(authorization.username, authorization.password, source)
    if (authorization.kind === 'bearer') return this.#authenticateBearer(authorization.token, source)
    throw new RegistryError('credentialsWrong')
  }

  /**
   * The same for a user name and a password that came in another way, such as the form of the token endpoint. In place of the
   * password an access token does, with the name of its account; it is no guess at a password, and needs no second factor.
   * @throws {RegistryError} credentialsWrong: unknown account, wrong password, disabled account, a token that does not count
   * @throws {RegistryError} secondFactorNeeded: the password is right, but the account does not open by it alone
   * @throws {RegistryError} loginBusy, loginThrottled: too many passwords are being checked
   */
  async authenticatePassword(username: string, password: string, source: LoginSource = unknownSource): Promise<Caller> {
    if (hasAccessTokenForm(password)) {
      const identity = await this.#tokens.identify(password, addressOf(source))
      if (identity?.account.name !== username) throw new RegistryError('credentialsWrong')
      return { identity, via: 'basic', access: undefined }
    }
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
    const found = await this.#findAccount(username)
    // A robot has no password: the check costs what it costs for a name that nobody has.
    const account = found?.kind === 'robot' ? undefined : found
    const asked = { name: username, address: source.address, connection: source.connection }
    const isRight = await this.#passwords.check(account, password, asked)
    if (!account || !isRight) throw new RegistryError('credentialsWrong')
    return account
  }

  /** A token of the registry protocol, or an access token as it is. */
  async #authenticateBearer(token: string, source: LoginSource): Promise<Caller> {
    const address = addressOf(source)
    if (!hasAccessTokenForm(token)) return this.#tokens.verify(token, address)
    const identity = await this.#tokens.identify(token, address)
    if (!identity) throw new RegistryError('tokenInvalid')
    return { identity, via: 'bearer', access: undefined }
  }

  async #findAccount(username: string): Promise<Account | undefined> {
    if (username.length > maxUsernameLength || username.includes('\0')) return undefined
    return this.#accounts.findAccountByName(username)
  }
}

function addressOf({ address }: LoginSource): string | undefined {
  return address === '' ? undefined : address
}
