/**
 * Who is asking: accounts, the anonymous caller, and how a request showed it. The rows are storage's, the checks of
 * passwords and tokens are in their own files, and what a caller may do is decided in policy.ts alone.
 *
 * Invariant: a person's name is one component of a repository name, because it is also the namespace that it owns.
 */
import { RegistryError } from '../oci/errors.ts'
import { isRepositoryName } from '../oci/repository-name.ts'
import type { TokenScope } from './access-token.ts'
import type { Access } from './scope.ts'

export interface Account {
  readonly id: number
  readonly name: string
  readonly isAdmin: boolean
  readonly isDisabled: boolean
  /** A confirmed one: a password alone does not open the account then. */
  readonly hasSecondFactor: boolean
  /** bcrypt, with its own salt and cost inside. */
  readonly passwordHash: string
  /** Grows with every change of password, role or status; whatever was issued under another value is void. */
  readonly credentialVersion: number
  /** A robot is a machine's account: it works in one namespace and manages nothing. */
  readonly kind: 'person' | 'robot'
  /** The name of a robot's namespace; undefined for a person. */
  readonly robotOf: string | undefined
}

/** An access token as it is now. It narrows what its account may, and never widens it. */
export interface HeldToken {
  readonly id: number
  /** As its owner called it. */
  readonly name: string
  readonly scopes: readonly TokenScope[]
}

export interface AccountIdentity {
  readonly kind: 'account'
  readonly account: Account
  /** The access token that was shown in place of a password, or for which a bearer token was issued. */
  readonly token?: HeldToken
}

export type Identity = { readonly kind: 'anonymous' } | AccountIdentity

export interface FoundToken {
  readonly account: Account
  readonly token: HeldToken
  /** Milliseconds since the epoch, as the others; undefined: it does not expire. */
  readonly expiresAtMs: number | undefined
  readonly revokedAtMs: number | undefined
  readonly lastUsedAtMs: number | undefined
}

/** Finds accounts and access tokens as they are now. Disabled, expired and revoked ones are found too: those who ask decide. */
export interface AccountDirectory {
  findAccountByName(name: string): Promise<Account | undefined>
  findAccountById(id: number): Promise<Account | undefined>
  /** @param secretHash SHA-256 of the secret, 32 bytes */
  findTokenBySecret(secretHash: Uint8Array): Promise<FoundToken | undefined>
  findTokenById(id: number): Promise<FoundToken | undefined>
  /** Notes that a token is being used, now and then; neither waits nor fails. */
  noteUse(found: FoundToken, address: string | undefined): void
}

export interface Caller {
  readonly identity: Identity
  /** How the request showed it: no credentials at all, a password, a token, or the cookie of a browser. */
  readonly via: 'nothing' | 'basic' | 'bearer' | 'session'
  /** What the bearer token covers; undefined: not limited by a token. */
  readonly access: readonly Access[] | undefined
  /** Of the browser whose cookie showed it. */
  readonly sessionId?: number
}

/** The account's name for logs and rows; undefined for the anonymous caller. */
export function accountNameOf(identity: Identity): string | undefined {
  return identity.kind === 'account' ? identity.account.name : undefined
}

/** The account's id for rows that it owns; null, as in the row, for the anonymous caller. */
export function accountIdOf(identity: Identity): number | null {
  return identity.kind === 'account' ? identity.account.id : null
}

const maxNameLength = 64
const nameRule =
  'an account name has 1 to 64 lower-case letters and digits, which single . _ __ or any number of - may separate: ' +
  'it is also the namespace of the account, the first part of the names of its repositories'

/**
 * The name of a new account, 1 to 64 characters.
 * @throws {RegistryError} parameterInvalid: it could not be the first component of a repository name, or is too long
 */
export function parseAccountName(text: string): string {
  const isName = text.length <= maxNameLength && isRepositoryName(text) && !text.includes('/')
  if (!isName) throw new RegistryError('parameterInvalid', { message: nameRule })
  return text
}
