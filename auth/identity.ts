/**
 * Who is asking: accounts, the anonymous caller, and how a request showed it. The rows are storage's, the checks of
 * passwords and tokens are in their own files, and what a caller may do is decided in policy.ts alone.
 *
 * Invariant: an account's name is one component of a repository name, because it is also the namespace that it owns.
 */
import { RegistryError } from '../oci/errors.ts'
import { isRepositoryName } from '../oci/repository-name.ts'
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
}

export type Identity = { readonly kind: 'anonymous' } | { readonly kind: 'account'; readonly account: Account }

/** Finds accounts as they are now. Disabled ones are found too: those who ask decide. */
export interface AccountDirectory {
  findAccountByName(name: string): Promise<Account | undefined>
  findAccountById(id: number): Promise<Account | undefined>
}

export interface Caller {
  readonly identity: Identity
  /** How the request showed it: no credentials at all, a password, a token, or the cookie of a browser. */
  readonly via: 'nothing' | 'basic' | 'bearer' | 'session'
  /** What the bearer token covers; undefined: not limited by a token. */
  readonly access: readonly Access[] | undefined
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
