/**
 * Who appears in the tests of auth/: accounts, a directory that holds them, a clock that stands until it is moved.
 */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { hashAccessToken, type AccessTokenSecret, type TokenAction, type TokenScope } from '../../auth/access-token.ts'
import type { Account, AccountDirectory, AccountIdentity, Caller, FoundToken, Identity } from '../../auth/identity.ts'
import { roles, type Grant } from '../../auth/roles.ts'
import type { Access } from '../../auth/scope.ts'
import { RegistryError, type ErrorReason } from '../../oci/errors.ts'
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../../oci/repository-name.ts'

export const anonymous: Identity = { kind: 'anonymous' }

export function makeAccount(name: string, facts: Partial<Account> = {}): Account {
  const account = { id: 1, name, isAdmin: false, isDisabled: false, hasSecondFactor: false, passwordHash: '', credentialVersion: 1 }
  return { ...account, kind: 'person', robotOf: undefined, ...facts }
}

/** A robot of the namespace, with its full name. */
export function makeRobot(namespace: string, name: string, facts: Partial<Account> = {}): Account {
  return makeAccount(`${namespace}.${name}`, { kind: 'robot', robotOf: namespace, ...facts })
}

/** Someone with an access token of these scopes. */
export function holding(account: Account, ...scopes: readonly TokenScope[]): AccountIdentity {
  return { kind: 'account', account, token: { id: 5, name: 'ci', scopes } }
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

/** A token in a directory, with the secret that shows it. */
export type KnownToken = Omit<FoundToken, 'account'> & { readonly accountId: number; readonly secret: AccessTokenSecret }

/** A directory over lists that a test may change between two requests. `used` gets a line for each use of a token. */
export function directoryOf(accounts: Account[], tokens: KnownToken[] = [], used: string[] = []): AccountDirectory {
  const find = (isIt: (token: KnownToken) => boolean): FoundToken | undefined => {
    const known = tokens.find(isIt)
    const account = accounts.find(({ id }) => id === known?.accountId)
    if (!known || !account) return undefined
    const { accountId: _accountId, secret: _secret, ...facts } = known
    return { ...facts, account }
  }
  return {
    findAccountByName: async (name) => accounts.find((account) => account.name === name),
    findAccountById: async (id) => accounts.find((account) => account.id === id),
    findTokenBySecret: async (secretHash) => find(({ secret }) => hashAccessToken(secret).equals(secretHash)),
    findTokenById: async (id) => find(({ token }) => token.id === id),
    noteUse: ({ token }, address) => void used.push(`${token.name} from ${address}`),
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

/** People whose names make them owners of some of the repositories above, and robots of their namespaces. */
export const anyAccount: fc.Arbitrary<Account> = fc.oneof(
  fc
    .record({ name: fc.constantFrom('alice', 'bob', 'carol', 'team'), isAdmin: fc.boolean(), isDisabled: fc.boolean() })
    .map(({ name, ...facts }) => makeAccount(name, facts)),
  fc
    .record({ namespace: fc.constantFrom('alice', 'bob', 'team'), isDisabled: fc.boolean() })
    .map(({ namespace, isDisabled }) => makeRobot(namespace, 'ci', { isDisabled })),
)
export const anyScope: fc.Arbitrary<TokenScope> = fc.record({
  actions: fc.subarray<TokenAction>(['pull', 'push', 'delete', 'admin'], { minLength: 1 }),
  repositories: fc.constantFrom('*', 'a*', 'alice/*', 'alice/app', 'alice/app*', 'bob/app*', 'bob/app/*', 'team/alice', 'zoe/*'),
})
export const anyHolder: fc.Arbitrary<AccountIdentity> = fc
  .tuple(anyAccount, fc.array(anyScope, { minLength: 1, maxLength: 4 }))
  .map(([account, scopes]) => holding(account, ...scopes))

/** Every kind of identity. */
export const anyIdentity: fc.Arbitrary<Identity> = fc.oneof(
  fc.constant(anonymous),
  anyAccount.map((account) => ({ kind: 'account' as const, account })),
  anyHolder,
)
export const anyName = fc.constantFrom(...names).map(repo)
export const anyVisibility = fc.constantFrom(undefined, ...visibilities)
export const anyAction = fc.constantFrom('pull', 'push', 'delete')
export const anyRole = fc.constantFrom(undefined, 'none' as const, ...roles)

/** Grants of one account over the names above, several for one place included. */
export const anyGrants: fc.Arbitrary<Grant[]> = fc.array(
  fc.oneof(
    fc.record({
      namespace: fc.constantFrom('alice', 'bob', 'team', 'alice-2'),
      repository: fc.constant(''),
      role: fc.constantFrom(...roles),
    }),
    fc
      .record({ repository: fc.constantFrom(...names), role: fc.constantFrom('none' as const, ...roles) })
      .map((grant) => ({ ...grant, namespace: namespaceOf(repo(grant.repository)) })),
  ),
  { maxLength: 6 },
)
export const anySettings = fc.record({ isOpen: fc.boolean() })
