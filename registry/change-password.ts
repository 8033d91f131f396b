/**
 * A person changes the own password: the old one is asked for again, because whoever finds an open browser must not keep the account.
 */
import type { Authenticator } from '../auth/authenticate.ts'
import type { Account } from '../auth/identity.ts'
import type { LoginSource } from '../auth/login-attempts.ts'
import { parseNewPassword, type Passwords } from '../auth/passwords.ts'
import { RegistryError } from '../oci/errors.ts'
import { deleteAccessTokensOf } from '../storage/metadata/access-tokens.ts'
import { changeAccount } from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import { renewSession } from '../storage/metadata/sessions.ts'

export interface PasswordChange {
  readonly account: Account
  readonly oldPassword: string
  readonly newPassword: string
  readonly source: LoginSource
  /** The session that the change comes from; all others end, and all tokens. */
  readonly keptSessionId?: number
}

/**
 * @throws {RegistryError} parameterInvalid: the new one is against the rules, or is the old one
 * @throws {RegistryError} credentialsWrong: the old one is not right
 * @throws {RegistryError} loginBusy, loginThrottled: too many passwords are being checked
 */
export async function changePassword(
  parts: { readonly database: Database; readonly authenticator: Authenticator; readonly passwords: Passwords },
  { account, oldPassword, newPassword, source, keptSessionId }: PasswordChange,
): Promise<void> {
  const password = parseNewPassword(newPassword, account.name)
  await parts.authenticator.checkPassword(account.name, oldPassword, source)
  if (password === oldPassword)
    throw new RegistryError('parameterInvalid', { message: 'the new password is the old one: nothing was changed' })
  const passwordHash = await parts.passwords.hash(password)
  await parts.database.write(async (tx) => {
    await changeAccount(tx, account.name, { passwordHash })
    // Whoever knew the old one may have made some.
    await deleteAccessTokensOf(tx, account.id)
    if (keptSessionId !== undefined) await renewSession(tx, { id: keptSessionId, accountId: account.id })
  })
}
