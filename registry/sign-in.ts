/**
 * A person signs in with a browser: the password, the code of the second factor where there is one, and only then a session.
 */
import type { Authenticator } from '../auth/authenticate.ts'
import type { Account } from '../auth/identity.ts'
import type { LoginSource } from '../auth/login-attempts.ts'
import { codeBesidePassword } from '../auth/second-factor.ts'
import type { SecondFactors } from './second-factor.ts'
import type { BrowserSessions, Browser, Session } from './sessions.ts'

export interface SignInParts {
  readonly authenticator: Authenticator
  readonly secondFactors: SecondFactors
  readonly sessions: BrowserSessions
}

export interface Credentials {
  readonly name: string
  readonly password: string
  /** Of the second factor, or a recovery code. */
  readonly code: string | undefined
}

export interface SignedIn {
  readonly account: Account
  readonly session: Session
  /** The value of its cookie. */
  readonly secret: string
}

/**
 * @throws {RegistryError} credentialsWrong: unknown account, a robot, wrong password, disabled account
 * @throws {RegistryError} secondFactorNeeded: the password is right, and a code is wanted beside it
 * @throws {RegistryError} codeWrong: the code is not the one of now, or was used before
 * @throws {RegistryError} loginBusy, loginThrottled: too many try
 */
export async function signIn(
  { authenticator, secondFactors, sessions }: SignInParts,
  { name, password, code }: Credentials,
  { source, browser }: { source: LoginSource; browser: Browser },
): Promise<SignedIn> {
  const account = await authenticator.checkPassword(name, password, source)
  if (account.hasSecondFactor) {
    if (code === undefined || code === '') throw codeBesidePassword(account)
    await secondFactors.pass(account, code, source)
  }
  return { account, ...(await sessions.start(account, browser)) }
}
