/**
 * Who appears in the tests of auth/: accounts, a directory that holds them, a clock that stands until it is moved.
 */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import type { Account, AccountDirectory, Caller, Identity } from '../../auth/identity.ts'
import type { Access } from '../../auth/scope.ts'
import { RegistryError, type ErrorReason } from '../../oci/errors.ts'
import { parseRepositoryName, type RepositoryName } from '../../oci/repository-name.ts'

export const anonymous: Identity = { kind: 'anonymous' }

export function makeAccount(name: string, facts: Partial<Account> = {}): Account {
  return { id: 1, name, isAdmin: false, isDisabled: false, hasSecondFactor: false, passwordHash: '', credentialVersion: 1, ...facts }
}

export function signedIn(name: string, facts: Partial<Account> = {}): Identity {
  return { kind: 'account', account: makeAccount(name, facts) }
}

export function bearer(identity: Identity, access: readonly Access[]): Caller {
  return { identity, via: 'bearer', access }
}

export function basic(identity: Identity): Caller {
  return { identity, via: 'basic', access: undefined }
}

export const nobody: Caller = { identity: anonymous, via: 'nothing', access: undefined }

/** A directory over a list that a test may change between two requests. */
export function directoryOf(accounts: Account[]): AccountDirectory {
  return {
    findAccountByName: async (name) => accounts.find((account) => account.name === name),
    findAccountById: async (id) => accounts.find((account) => account.id === id),
  }
}

export class TestClock {
  ms = Date.UTC(2026, 10, 20)
  readonly now = (): number => this.ms
}

export function repo(text: string): RepositoryName {
  return parseRepositoryName(text)
}

/** The RegistryError that this throws, so that more of it can be looked at. */
export function faultOf(act: () => unknown): RegistryError {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof RegistryError, `expected a RegistryError, got ${String(error)}`)
    return error
  }
  return assert.fail('expected a RegistryError, but nothing was thrown')
}

export async function rejects(promise: Promise<unknown>, reason: ErrorReason): Promise<RegistryError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  assert.ok('error' in outcome, `expected ${reason}, but it was accepted`)
  assert.ok(outcome.error instanceof RegistryError, `expected a RegistryError, got ${String('error' in outcome && outcome.error)}`)
  assert.equal(outcome.error.reason, reason)
  return outcome.error
}

export const names = ['alice', 'alice/app', 'bob/app', 'bob/app/web', 'alice-2/app', 'team/alice'] as const
export const visibilities = ['private', 'internal', 'public'] as const

/** Every kind of identity, over names that make owners of some of the repositories above. */
export const anyIdentity: fc.Arbitrary<Identity> = fc.oneof(
  fc.constant(anonymous),
  fc
    .record({ name: fc.constantFrom('alice', 'bob', 'carol', 'team'), isAdmin: fc.boolean(), isDisabled: fc.boolean() })
    .map(({ name, isAdmin, isDisabled }) => signedIn(name, { isAdmin, isDisabled })),
)
export const anyName = fc.constantFrom(...names).map(repo)
export const anyVisibility = fc.constantFrom(undefined, ...visibilities)
export const anyAction = fc.constantFrom('pull', 'push', 'delete')
export const anySettings = fc.record({ isOpen: fc.boolean() })
