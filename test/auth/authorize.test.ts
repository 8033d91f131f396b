/**
 * How a refusal looks: which reason, which words, and that neither tells what exists (threats 30, 31, 35).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { authorize } from '../../auth/authorize.ts'
import type { Caller } from '../../auth/identity.ts'
import { isAllowed, type Request, type Visibility } from '../../auth/policy.ts'
import { parseScopes, type Action } from '../../auth/scope.ts'
import { isRegistryError } from '../../oci/errors.ts'
import {
  anonymous,
  anyAction,
  anyIdentity,
  anyName,
  anyVisibility,
  basic,
  bearer,
  faultOf,
  holding,
  makeAccount,
  makeRobot,
  nobody,
  repo,
  signedIn,
} from './cast.ts'

const closed = { isOpen: false }
const open = { isOpen: true }
const alice = signedIn('alice')
const bob = signedIn('bob')
const admin = signedIn('root', { isAdmin: true })

const on = (action: Action, visibility?: Visibility): Request => ({ kind: 'repository', action, name: repo('alice/app'), visibility })
const withToken = (identity: typeof bob, ...scopes: string[]): Caller => bearer(identity, parseScopes(scopes))
const robot = holding(makeRobot('alice', 'ci'), { actions: ['pull'], repositories: 'alice/app*' })
const reader = holding(makeAccount('alice'), { actions: ['pull'], repositories: 'alice/*' })
const administration: Request = { kind: 'administration' }
const settings: Request = { kind: 'settings', name: repo('alice/app') }

const refused: readonly (readonly [string, Caller, Request, string, string])[] = [
  ['no credentials, private', nobody, on('pull', 'private'), 'unauthenticated', 'authentication required: log in to pull alice/app'],
  ['no credentials, not there', nobody, on('pull'), 'unauthenticated', 'authentication required: log in to pull alice/app'],
  ['no credentials, even public', nobody, on('pull', 'public'), 'unauthenticated', 'authentication required: log in to pull alice/app'],
  ['no credentials, catalog', nobody, { kind: 'catalog' }, 'unauthenticated', 'authentication required: log in to list the repositories'],
  [
    'no credentials, administration',
    nobody,
    administration,
    'unauthenticated',
    'authentication required: log in to administer this registry',
  ],
  ['no credentials, the base', nobody, { kind: 'base' }, 'unauthenticated', 'authentication required: log in to use this registry'],
  ['no credentials, metrics', nobody, { kind: 'metrics' }, 'unauthenticated', 'authentication required: log in to read the metrics'],
  [
    'anonymous token without the scope',
    withToken(anonymous),
    on('push', 'public'),
    'scopeInsufficient',
    'authentication required: log in to push to alice/app',
  ],
  [
    'anonymous token, public, not asked for',
    withToken(anonymous),
    on('pull', 'public'),
    'scopeInsufficient',
    'the token does not cover pull on alice/app: ask for the scope repository:alice/app:pull',
  ],
  [
    'anonymous token for what was public once',
    withToken(anonymous, 'repository:alice/app:pull'),
    on('pull', 'private'),
    'scopeInsufficient',
    'authentication required: log in to pull alice/app',
  ],
  [
    'token for another repository',
    withToken(alice, 'repository:alice/other:*'),
    on('push'),
    'scopeInsufficient',
    'the token does not cover push on alice/app: ask for the scope repository:alice/app:push',
  ],
  [
    'token for another action',
    withToken(alice, 'repository:alice/app:pull'),
    on('delete'),
    'scopeInsufficient',
    'the token does not cover delete on alice/app: ask for the scope repository:alice/app:delete',
  ],
  [
    'token of one who may never',
    withToken(bob),
    on('push'),
    'scopeInsufficient',
    'account "bob" may not push to alice/app, which takes the role writer: push to bob/app, or ask an owner of alice or an administrator for it',
  ],
  [
    'token of one who may no longer',
    withToken(bob, 'repository:alice/app:pull'),
    on('pull', 'private'),
    'denied',
    'account "bob" may not pull alice/app, which takes the role reader: ask an owner of alice or an administrator for it',
  ],
  [
    'token on the catalog',
    withToken(alice, 'repository:alice/app:*'),
    { kind: 'catalog' },
    'scopeInsufficient',
    'the token does not cover the catalog: ask for the scope registry:catalog:*',
  ],
  [
    'token of an administrator on administration',
    withToken(admin, 'repository:alice/app:*', 'registry:catalog:*'),
    administration,
    'scopeInsufficient',
    'a token of the registry protocol does not open this: sign in with user name and password',
  ],
  [
    'token of the owner on settings',
    withToken(alice, 'repository:alice/app:*'),
    settings,
    'scopeInsufficient',
    'a token of the registry protocol does not open this: sign in with user name and password',
  ],
  [
    'password, deleting',
    basic(bob),
    on('delete', 'public'),
    'denied',
    'account "bob" may not delete from alice/app, which takes the role maintainer: ask an owner of alice or an administrator for it',
  ],
  [
    'password, settings',
    basic(bob),
    settings,
    'denied',
    'account "bob" may not change the settings of alice/app, which takes the role owner: ask an owner of alice or an administrator for it',
  ],
  [
    'password, administration',
    basic(bob),
    administration,
    'denied',
    'account "bob" may not administer this registry: ask an administrator for it',
  ],
  [
    'access token of a robot, for another action',
    basic(robot),
    on('push'),
    'denied',
    'the access token "ci" covers pull on alice/app*, not push to alice/app: ask an owner of alice for a token that does',
  ],
  [
    'the same through docker, which got a token for as much as there was',
    bearer(robot, parseScopes(['repository:alice/app:pull'])),
    on('push'),
    'scopeInsufficient',
    'the access token "ci" covers pull on alice/app*, not push to alice/app: ask an owner of alice for a token that does',
  ],
  [
    'access token that covers it, through a token that was not asked for it',
    bearer(robot, parseScopes(['repository:alice/other:pull'])),
    on('pull'),
    'scopeInsufficient',
    'the token does not cover pull on alice/app: ask for the scope repository:alice/app:pull',
  ],
  [
    'access token narrowed after a token was issued for it',
    bearer(holding(makeAccount('alice'), { actions: ['pull'], repositories: 'alice/base' }), parseScopes(['repository:alice/app:pull'])),
    on('pull', 'public'),
    'denied',
    'the access token "ci" covers pull on alice/base, not pull on alice/app: ask alice for a token that does',
  ],
  [
    'access token of a person, settings',
    basic(reader),
    settings,
    'denied',
    'the access token "ci" covers pull on alice/*, not what it takes to change the settings of alice/app: ask alice for a token that does',
  ],
  [
    'access token of one who could not either: no word about what there is',
    basic(holding(makeAccount('bob'), { actions: ['pull'], repositories: 'bob/*' })),
    on('pull', 'internal'),
    'denied',
    'the access token "ci" covers pull on bob/*, not pull on alice/app: ask bob for a token that does',
  ],
  [
    'robot of another namespace whose token covers it',
    basic(holding(makeRobot('bob', 'ci'), { actions: ['pull'], repositories: '*' })),
    on('pull', 'private'),
    'denied',
    'robot "bob.ci" may not pull alice/app, because it works in bob alone: ask an owner of alice or an administrator for it',
  ],
  ['password, metrics', basic(bob), { kind: 'metrics' }, 'denied', 'account "bob" may not read the metrics: ask an administrator for it'],
]

for (const [title, caller, request, reason, message] of refused) {
  test(`refuses: ${title}`, () => {
    const fault = faultOf(() => authorize(closed, caller, request))
    assert.equal(fault.reason, reason)
    assert.equal(fault.message, message)
  })
}

const accepted: readonly (readonly [string, Caller, Request])[] = [
  ['any token on the base, as docker login wants it', withToken(anonymous), { kind: 'base' }],
  ['a password on the base', basic(bob), { kind: 'base' }],
  ['an anonymous token for what is public', withToken(anonymous, 'repository:alice/app:pull'), on('pull', 'public')],
  ['a token that covers what the owner may', withToken(alice, 'repository:alice/app:pull,push'), on('push')],
  ['a password', basic(alice), on('delete', 'private')],
  ['an access token for what it covers', basic(robot), on('pull', 'private')],
  ['an access token that covers little, on the base, as docker login wants it', basic(robot), { kind: 'base' }],
  ['an access token on the catalog, which names what it covers', basic(robot), { kind: 'catalog' }],
  ['a password on settings', basic(alice), settings],
  ['a password on the catalog', basic(bob), { kind: 'catalog' }],
  ['a token on the catalog', withToken(anonymous, 'registry:catalog:*'), { kind: 'catalog' }],
  ['an administrator with a password', basic(admin), administration],
]

for (const [title, caller, request] of accepted) {
  test(`lets through: ${title}`, () => assert.doesNotThrow(() => authorize(closed, caller, request)))
}

test('an open registry lets everyone do everything with repositories, whatever a token covers', () => {
  for (const caller of [nobody, withToken(anonymous), withToken(bob, 'repository:other:pull'), basic(bob)]) {
    for (const request of [
      on('pull'),
      on('push', 'private'),
      on('delete', 'public'),
      { kind: 'catalog' } as const,
      { kind: 'base' } as const,
    ]) {
      assert.doesNotThrow(() => authorize(open, caller, request))
    }
  }
})

test('an open registry keeps administration, settings and metrics closed', () => {
  for (const request of [administration, settings, { kind: 'metrics' } as const]) {
    assert.equal(faultOf(() => authorize(open, nobody, request)).reason, 'unauthenticated')
    assert.equal(faultOf(() => authorize(open, withToken(alice), request)).reason, 'scopeInsufficient')
    assert.equal(faultOf(() => authorize(open, basic(bob), request)).reason, 'denied')
  }
})

test('a disabled account is refused everything, even by an open registry', () => {
  const disabled = signedIn('alice', { isDisabled: true })
  assert.equal(faultOf(() => authorize(open, basic(disabled), on('pull', 'public'))).reason, 'denied')
  assert.equal(faultOf(() => authorize(closed, withToken(disabled, 'repository:alice/app:*'), on('pull', 'public'))).reason, 'denied')
})

const anyCaller = fc.oneof(
  fc.constant(nobody),
  anyIdentity.map(basic),
  fc.tuple(anyIdentity, fc.array(fc.tuple(anyName, anyAction))).map(([identity, pairs]) =>
    bearer(
      identity,
      pairs.map(([name, action]) => ({ type: 'repository', name, actions: [action] })),
    ),
  ),
)
const anyRequest = fc.record({ kind: fc.constant('repository' as const), action: anyAction, name: anyName, visibility: anyVisibility })

test('nothing passes that the policy does not allow', () => {
  fc.assert(
    fc.property(fc.boolean(), anyCaller, anyRequest, (isOpen, caller, request) => {
      if (isAllowed({ isOpen }, caller.identity, request)) return
      assert.throws(
        () => authorize({ isOpen }, caller, request),
        (error) => isRegistryError(error),
      )
    }),
    { numRuns: 500 },
  )
})

test('a repository that is not there answers to the last word like a private one', () => {
  fc.assert(
    fc.property(fc.boolean(), anyCaller, anyRequest, (isOpen, caller, request) => {
      const answer = (visibility: Visibility | undefined) => {
        try {
          authorize({ isOpen }, caller, { ...request, visibility })
          return 'allowed'
        } catch (error) {
          assert.ok(isRegistryError(error))
          return [error.reason, error.message, error.details, error.headers]
        }
      }
      assert.deepEqual(answer(undefined), answer('private'))
    }),
    { numRuns: 500 },
  )
})
