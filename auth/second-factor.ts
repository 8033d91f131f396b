/**
 * What a second factor changes: a password alone no longer opens the account, neither for machines nor for browsers. Machines
 * need an access token then, people the code beside the password.
 */
import { RegistryError } from '../oci/errors.ts'
import type { Account } from './identity.ts'

/** Whether name and password are enough where no code can be asked for: under /v2, at the token endpoint, on the API. */
export function mayUsePasswordAlone(account: Account): boolean {
  return !account.hasSecondFactor
}

/** What a client hears that sent the right password and nothing else. */
export function tokenInsteadOfPassword(account: Account): RegistryError {
  return new RegistryError('secondFactorNeeded', { message: `"${account.name}" has a second factor: use an access token as the password` })
}

/** What a browser hears that sent the right password and no code. */
export function codeBesidePassword(account: Account): RegistryError {
  return new RegistryError('secondFactorNeeded', {
    message: `"${account.name}" has a second factor: send the code that its app shows now, or a recovery code`,
  })
}
