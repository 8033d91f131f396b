/**
 * The authenticator with its outcomes counted. Every password passes here, whether it came by Basic, by the form of the
 * token endpoint or by a browser's; tokens and anonymous callers are not logins.
 */
import { Authenticator, type AuthenticatorParts } from '../auth/authenticate.ts'
import { hasAccessTokenForm } from '../auth/access-token.ts'
import type { Account, Caller } from '../auth/identity.ts'
import type { LoginSource } from '../auth/login-attempts.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Metrics } from './metrics.ts'

export class CountedAuthenticator extends Authenticator {
  readonly #recordLogin: Metrics['recordLogin']

  constructor(parts: AuthenticatorParts, recordLogin: Metrics['recordLogin']) {
    super(parts)
    this.#recordLogin = recordLogin
  }

  /** An access token in place of the password is a login too, though it is no password that is checked. */
  override async authenticatePassword(username: string, password: string, source?: LoginSource): Promise<Caller> {
    const authenticate = () => super.authenticatePassword(username, password, source)
    return hasAccessTokenForm(password) ? this.#count(authenticate) : authenticate()
  }

  override async checkPassword(username: string, password: string, source: LoginSource): Promise<Account> {
    return this.#count(() => super.checkPassword(username, password, source))
  }

  async #count<T>(login: () => Promise<T>): Promise<T> {
    try {
      const result = await login()
      this.#recordLogin('accepted')
      return result
    } catch (error) {
      if (isRegistryError(error, 'credentialsWrong')) this.#recordLogin('refused')
      if (isRegistryError(error, 'loginBusy') || isRegistryError(error, 'loginThrottled')) this.#recordLogin('busy')
      throw error
    }
  }
}
