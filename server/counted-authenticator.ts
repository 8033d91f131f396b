/**
 * The authenticator with its outcomes counted. Every password passes here, whether it came by Basic, by the form of the
 * token endpoint or by a browser's; tokens and anonymous callers are not logins.
 */
import { Authenticator, type AuthenticatorParts } from '../auth/authenticate.ts'
import type { Account } from '../auth/identity.ts'
import type { LoginSource } from '../auth/login-attempts.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Metrics } from './metrics.ts'

export class CountedAuthenticator extends Authenticator {
  readonly #recordLogin: Metrics['recordLogin']

  constructor(parts: AuthenticatorParts, recordLogin: Metrics['recordLogin']) {
    super(parts)
    this.#recordLogin = recordLogin
  }

  override async checkPassword(username: string, password: string, source: LoginSource): Promise<Account> {
    try {
      const account = await super.checkPassword(username, password, source)
      this.#recordLogin('accepted')
      return account
    } catch (error) {
      if (isRegistryError(error, 'credentialsWrong')) this.#recordLogin('refused')
      if (isRegistryError(error, 'loginBusy') || isRegistryError(error, 'loginThrottled')) this.#recordLogin('busy')
      throw error
    }
  }
}
