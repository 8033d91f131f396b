/**
 * The authenticator with its outcomes counted. Every password passes here, whether it came by Basic or by the form of the
 * token endpoint; tokens and anonymous callers are not logins.
 */
import { Authenticator, type AuthenticatorParts } from '../auth/authenticate.ts'
import type { Caller } from '../auth/identity.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Metrics } from './metrics.ts'

export class CountedAuthenticator extends Authenticator {
  readonly #recordLogin: Metrics['recordLogin']

  constructor(parts: AuthenticatorParts, recordLogin: Metrics['recordLogin']) {
    super(parts)
    this.#recordLogin = recordLogin
  }

  override async authenticatePassword(username: string, password: string, address?: string): Promise<Caller> {
    try {
      const caller = await super.authenticatePassword(username, password, address)
      this.#recordLogin('accepted')
      return caller
    } catch (error) {
      if (isRegistryError(error, 'credentialsWrong')) this.#recordLogin('refused')
      if (isRegistryError(error, 'loginBusy')) this.#recordLogin('busy')
      throw error
    }
  }
}
