/**
 * The one gate: its rules as a table, and that lists and tokens agree with it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Identity } from '../../auth/identity.ts'
import {
  grantScopes,
  isAllowed,
  listableBy,
  mayGiveOut,
  type Listing,
  type PolicySettings,
  type Request,
  type Visibility,
} from '../../auth/policy.ts'
import { roleFrom, type GrantedRole } from '../../auth/roles.ts'
import { formatScopes, parseScopes, type Access, type Action } from '../../auth/scope.ts'
import { namespaceOf, type RepositoryName } from '../../oci/repository-name.ts'
import {
  anonymous,
  anyAccount,
  anyAction,
  anyGrants,
  anyHolder,
  anyIdentity,
  anyName,
  anyRole,
  anySettings,
  anyVisibility,
  holding,
  makeAccount,
  makeRobot,
  repo,
  signedIn,
} from './cast.ts'

const closed = { isOpen: false }
const open = { isOpen: true }

const identities = {
  anonymous,
  stranger: signedIn('bob'),
  owner: signedIn('alice'),
  admin: signedIn('root', { isAdmin: true }),
  robot: signedIn('alice', { kind: 'robot', robotOf: 'ci' }),
  'robot of alice': signedIn('alice-ci', { kind: 'robot', robotOf: 'alice' }),
  'disabled owner': signedIn('alice', { isDisabled: true }),
  'disabled admin': signedIn('root', { isAdmin: true, isDisabled: true }),
} satisfies Record<string, Identity>
type Who = keyof typeof identities

const all = 'pull push delete'
/** What each may do in alice/app, by its visibility; `closed` unless said. */
const rights: readonly (readonly [Visibility | undefined, Partial<Record<Who, string>>])[] = [
  [undefined, { owner: all, 'robot of alice': all, admin: all }],
  ['private', { owner: all, 'robot of alice': all, admin: all }],
  ['internal', { stranger: 'pull', robot: 'pull', owner: all, 'robot of alice': all, admin: all }],
  ['public', { anonymous: 'pull', stranger: 'pull', robot: 'pull', owner: all, 'robot of alice': all, admin: all }],
]

for (const [visibility, table] of rights) {
  test(`in a repository that is ${visibility ?? 'not there'}, each may do what the table says and no more`, () => {
    for (const [who, identity] of Object.entries(identities)) {
      assert.equal(actionsOf(closed, identity, visibility), table[who as Who] ?? '', who)
      assert.equal(
        actionsOf(open, identity, visibility),
        identity.kind === 'account' && identity.account.isDisabled ? '' : all,
        `${who}, open`,
      )
    }
  })
}

function actionsOf(settings: { isOpen: boolean }, identity: Identity, visibility: Visibility | undefined): string {
  const actions: readonly Action[] = ['pull', 'push', 'delete']
  return actions
    .filter((action) => isAllowed(settings, identity, { kind: 'repository', action, name: repo('alice/app'), visibility }))
    .join(' ')
}

const other: readonly (readonly [Request, readonly Who[]])[] = [
  [{ kind: 'base' }, ['anonymous', 'stranger', 'owner', 'admin', 'robot', 'robot of alice']],
  [{ kind: 'catalog' }, ['anonymous', 'stranger', 'owner', 'admin', 'robot', 'robot of alice']],
  [{ kind: 'administration' }, ['admin']],
  [{ kind: 'metrics' }, ['admin']],
  [{ kind: 'settings', name: repo('alice/app') }, ['owner', 'admin']],
  [{ kind: 'settings', name: repo('alice') }, ['owner', 'admin']],
  [{ kind: 'settings', name: repo('alice-2/app') }, ['admin']],
  [{ kind: 'settings', name: repo('team/alice') }, ['admin']],
  [{ kind: 'settings', name: repo('bob/app'), role: 'owner' }, ['stranger', 'owner', 'admin']],
  [{ kind: 'settings', name: repo('bob/app'), role: 'maintainer' }, ['stranger', 'admin']],
  [{ kind: 'settings', name: repo('alice/app'), role: 'none' }, ['owner', 'admin']],
  [{ kind: 'namespace', action: 'see', namespace: 'alice' }, ['owner', 'admin', 'robot of alice']],
  [{ kind: 'namespace', action: 'manage', namespace: 'alice' }, ['owner', 'admin']],
  [{ kind: 'namespace', action: 'see', namespace: 'team', role: 'reader' }, ['stranger', 'owner', 'admin']],
  [{ kind: 'namespace', action: 'manage', namespace: 'team', role: 'maintainer' }, ['admin']],
  [{ kind: 'namespace', action: 'manage', namespace: 'team', role: 'owner' }, ['stranger', 'owner', 'admin']],
  [{ kind: 'namespace', action: 'see', namespace: 'team', isNamespaceAbsent: true }, ['admin']],
  [{ kind: 'namespaceCreation' }, ['admin']],
  [{ kind: 'team', action: 'see', team: 'crew', membership: undefined }, ['admin']],
  [{ kind: 'team', action: 'see', team: 'crew', membership: 'member' }, ['stranger', 'owner', 'admin']],
  [{ kind: 'team', action: 'members', team: 'crew', membership: 'member' }, ['admin']],
  [{ kind: 'team', action: 'members', team: 'crew', membership: 'manager' }, ['stranger', 'owner', 'admin']],
  [{ kind: 'team', action: 'manage', team: 'crew', membership: 'manager' }, ['admin']],
  [{ kind: 'team', action: 'see', team: 'crew' }, ['admin']],
  [{ kind: 'directory' }, ['stranger', 'owner', 'admin']],
  [{ kind: 'account', account: 'alice' }, ['owner', 'admin']],
  [{ kind: 'credentials', account: 'alice' }, ['owner']],
]

for (const [request, allowed] of other) {
  test(`${JSON.stringify(request)} is for ${allowed.join(', ')}, open or not`, () => {
    for (const settings of [closed, open]) {
      const may = Object.entries(identities).filter(([, identity]) => isAllowed(settings, identity, request))
      assert.deepEqual(
        may.map(([who]) => who),
        allowed,
      )
    }
  })
}

test('a repository that does not exist is decided exactly like a private one', () => {
  fc.assert(
    fc.property(anySettings, anyIdentity, fc.record({ action: anyAction, name: anyName }), (settings, identity, { action, name }) => {
      const decide = (visibility: Visibility | undefined) => isAllowed(settings, identity, { kind: 'repository', action, name, visibility })
      assert.equal(decide(undefined), decide('private'))
    }),
  )
})

test('a disabled account may do nothing at all', () => {
  fc.assert(
    fc.property(
      anySettings,
      fc.boolean(),
      fc.record({ action: anyAction, name: anyName, visibility: anyVisibility }),
      (settings, isAdmin, wish) => {
        const identity = signedIn('alice', { isAdmin, isDisabled: true })
        const requests: Request[] = [
          { kind: 'repository', ...wish },
          { kind: 'settings', name: wish.name },
          { kind: 'base' },
          { kind: 'catalog' },
          { kind: 'administration' },
          { kind: 'metrics' },
        ]
        for (const request of requests) assert.equal(isAllowed(settings, identity, request), false)
      },
    ),
  )
})

function isListed(listing: Listing, name: RepositoryName, visibility: Visibility): boolean {
  if (!(listing.within?.some(({ from, before }) => from <= name && name < before) ?? true)) return false
  if (listing.kind === 'all' || listing.visibilities.includes(visibility) || listing.repositories.includes(name)) return true
  return listing.namespaces.includes(namespaceOf(name)) && !listing.without.includes(name)
}

test('a list names exactly what may be pulled', () => {
  const anyExisting = fc.record({ name: anyName, visibility: fc.constantFrom<Visibility>('private', 'internal', 'public') })
  fc.assert(
    fc.property(anySettings, anyIdentity, fc.tuple(anyExisting, anyGrants), (settings, identity, [{ name, visibility }, grants]) => {
      const role = roleFrom(grants, name)
      const isPullable = isAllowed(settings, identity, { kind: 'repository', action: 'pull', name, visibility, role })
      assert.equal(isListed(listableBy(settings, identity, grants), name, visibility), isPullable)
    }),
    { numRuns: 500 },
  )
})

const anyAccess: fc.Arbitrary<Access> = fc.record({
  type: fc.constantFrom('repository', 'registry', 'other'),
  name: fc.oneof(anyName, fc.constantFrom('catalog', '../etc', 'A/b', 'h:5000/a', '')),
  actions: fc.array(fc.constantFrom('pull', 'push', 'delete', '*', 'fly'), { maxLength: 4 }),
})

test('what is granted was asked for and is allowed; all that was asked for and is allowed is granted', async () => {
  const anyWish = fc.record({
    identity: anyIdentity,
    requested: fc.array(anyAccess, { maxLength: 5 }),
    visibility: anyVisibility,
    role: anyRole,
  })
  await fc.assert(
    fc.asyncProperty(anySettings, anyWish, async (settings, { identity, requested, visibility, role }) => {
      const granted = await grantScopes(settings, {
        identity,
        requested,
        visibilityOf: async () => visibility,
        standingIn: async () => ({ role }),
      })
      const expected = requested.flatMap((access) => {
        const actions = ['pull', 'push', 'delete', '*'].filter((action) =>
          mayHave({ access, action, settings, identity, visibility, role }),
        )
        return actions.length > 0 ? [{ ...access, actions }] : []
      })
      assert.deepEqual(granted, expected)
    }),
    { numRuns: 500 },
  )
})

interface Wish {
  access: Access
  action: string
  settings: { isOpen: boolean }
  identity: Identity
  visibility: Visibility | undefined
  role: GrantedRole | undefined
}

/** The rule of granting, said again in another way. */
function mayHave({ access, action, settings, identity, visibility, role }: Wish): boolean {
  const isAsked = access.actions.includes(action) || access.actions.includes('*')
  if (access.type === 'registry')
    return isAsked && action === '*' && access.name === 'catalog' && isAllowed(settings, identity, { kind: 'catalog' })
  if (access.type !== 'repository' || action === '*' || !isAsked || !/^[a-z][a-z0-9-]*(\/[a-z]+)*$/.test(access.name)) return false
  return isAllowed(settings, identity, { kind: 'repository', action: action as Action, name: repo(access.name), visibility, role })
}

const grants: readonly (readonly [string, Identity, string, string])[] = [
  ['anonymous gets pull of what is public', anonymous, 'repository:bob/open:pull,push repository:bob/app:pull', 'repository:bob/open:pull'],
  [
    'a wider wish is narrowed without an error',
    signedIn('alice'),
    'repository:bob/open:* repository:bob/app:*',
    'repository:bob/open:pull',
  ],
  ['* is everything for the owner', signedIn('bob'), 'repository:bob/app:*', 'repository:bob/app:pull,push,delete'],
  ['the owner may push what is not there yet', signedIn('bob'), 'repository:bob/new:push,pull', 'repository:bob/new:pull,push'],
  ['a role is as good as a name', signedIn('alice'), 'repository:bob/shared:*', 'repository:bob/shared:pull,push'],
  ['a role is none of a robot', signedIn('ci', { kind: 'robot', robotOf: 'ci' }), 'repository:bob/shared:*', ''],
  ['anyone gets the catalog', anonymous, 'registry:catalog:* registry:other:*', 'registry:catalog:*'],
  ['a disabled account gets nothing', signedIn('bob', { isDisabled: true }), 'repository:bob/open:pull registry:catalog:*', ''],
  [
    'names that are not valid are dropped',
    signedIn('root', { isAdmin: true }),
    'repository:A:pull repository:../a:pull repository:h:5000/a:pull',
    '',
  ],
]

for (const [title, identity, asked, expected] of grants) {
  test(`of scopes, ${title}`, async () => {
    const standingIn = async (name: string) => (name === 'bob/shared' ? ({ role: 'writer' } as const) : {})
    const visibilityOf = async (name: string): Promise<Visibility | undefined> =>
      ({ 'bob/open': 'public', 'bob/app': 'private' } as const)[name]
    assert.equal(formatScopes(await grantScopes(closed, { identity, requested: parseScopes([asked]), visibilityOf, standingIn })), expected)
  })
}

test('no repository is looked up for a name that is not valid, or for no known action', async () => {
  const looked: string[] = []
  const visibilityOf = async (name: string): Promise<Visibility> => {
    looked.push(name)
    return 'public'
  }
  const requested = [
    { type: 'repository', name: '../a', actions: ['pull'] },
    { type: 'repository', name: 'a', actions: ['fly'] },
    { type: 'repository', name: 'b', actions: ['pull'] },
  ]
  await grantScopes(closed, { identity: anonymous, requested, visibilityOf, standingIn: async () => ({}) })
  assert.deepEqual(looked, ['b'])
})

const anyRequest: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ kind: fc.constant('repository' as const), action: anyAction, name: anyName, visibility: anyVisibility }),
  fc.record({ kind: fc.constant('settings' as const), name: anyName }),
  fc.constantFrom<Request>({ kind: 'base' }, { kind: 'catalog' }, { kind: 'administration' }, { kind: 'metrics' }),
)

test('an access token never allows what its account may not, nor what it does not cover, and all of the rest', () => {
  fc.assert(
    fc.property(anySettings, anyHolder, anyRequest, (settings, { account, token }, request) => {
      const isOurs = isAllowed(settings, { kind: 'account', account }, request)
      const isAllowedWith = isAllowed(settings, { kind: 'account', account, ...(token ? { token } : {}) }, request)
      assert.equal(isAllowedWith, isOurs && isCoveredByHand(token?.scopes ?? [], request))
    }),
    { numRuns: 2000 },
  )
})

/** What a token covers, said again in another way. */
function isCoveredByHand(scopes: readonly { actions: readonly string[]; repositories: string }[], request: Request): boolean {
  if (request.kind === 'base' || request.kind === 'catalog') return true
  const action = request.kind === 'repository' ? request.action : 'admin'
  return scopes.some(({ actions, repositories }) => {
    if (!actions.includes(action)) return false
    if (!('name' in request)) return repositories === '*'
    return new RegExp(`^${repositories.replaceAll('*', '.*')}$`).test(request.name)
  })
}

test('no access token opens what opens the account, and gives out more than it holds', () => {
  const everything = { actions: ['pull', 'push', 'delete', 'admin'] as const, repositories: '*' }
  const account = makeAccount('alice')
  const request = { kind: 'credentials', account: 'alice' } as const
  assert.ok(isAllowed(closed, { kind: 'account', account }, request))
  assert.ok(!isAllowed(closed, holding(account, everything), request))
  assert.ok(mayGiveOut({ kind: 'account', account }, [everything]))
  const pull = { actions: ['pull'] as const, repositories: 'alice/*' }
  assert.deepEqual([mayGiveOut(holding(account, pull), [pull]), mayGiveOut(holding(account, pull), [pull, everything])], [true, false])
})

test('a token for everything changes nothing', () => {
  const everything = { actions: ['pull', 'push', 'delete', 'admin'] as const, repositories: '*' }
  fc.assert(
    fc.property(anySettings, anyAccount, anyRequest, (settings, account, request) => {
      assert.equal(isAllowed(settings, holding(account, everything), request), isAllowed(settings, { kind: 'account', account }, request))
      assert.deepEqual(listableBy(settings, holding(account, everything), []), listableBy(settings, { kind: 'account', account }, []))
    }),
  )
})

test('a robot does in its namespace what a maintainer does, and elsewhere what any account may', () => {
  const robot = { kind: 'account', account: makeRobot('alice', 'ci') } as const
  for (const visibility of [undefined, 'private', 'internal', 'public'] as const) assert.equal(actionsOf(closed, robot, visibility), all)
  const stranger = { kind: 'account', account: makeRobot('bob', 'ci') } as const
  const rights = ([undefined, 'private', 'internal', 'public'] as const).map((visibility) => actionsOf(closed, stranger, visibility))
  assert.deepEqual(rights, ['', '', 'pull', 'pull'])
  for (const request of [{ kind: 'settings', name: repo('alice/app') }, { kind: 'administration' }, { kind: 'metrics' }] as const)
    assert.equal(isAllowed(closed, robot, request), false)
})

test('the name of a robot is no namespace of its own', () => {
  const robot = { kind: 'account', account: makeRobot('team', 'ci') } as const
  assert.equal(isAllowed(closed, robot, { kind: 'repository', action: 'pull', name: repo('team.ci/app'), visibility: 'private' }), false)
})

test('a robot with a token for pull on some repositories gets no more, not even of what is public', () => {
  const robot = holding(makeRobot('team', 'ci'), { actions: ['pull'], repositories: 'team/app*' })
  const may = (action: Action, name: string, visibility: Visibility) =>
    isAllowed(closed, robot, { kind: 'repository', action, name: repo(name), visibility })
  assert.ok(may('pull', 'team/app', 'private') && may('pull', 'team/app/web', 'private'))
  assert.ok(!may('push', 'team/app', 'private') && !may('delete', 'team/app', 'private'))
  assert.ok(!may('pull', 'team/other', 'public') && !may('pull', 'base/linux', 'public'))
  const base = holding(makeRobot('team', 'ci'), { actions: ['pull', 'push'], repositories: 'base/*' })
  assert.deepEqual(
    (['pull', 'push'] as const).map((action) =>
      isAllowed(closed, base, { kind: 'repository', action, name: repo('base/linux'), visibility: 'public' }),
    ),
    [true, false],
    'but what is public elsewhere can be named',
  )
})

test('scopes are granted within the access token, and what it does not cover is not there', async () => {
  const identity = holding(
    makeAccount('bob'),
    { actions: ['pull'], repositories: 'bob/app*' },
    { actions: ['push'], repositories: 'bob/new' },
  )
  const requested = parseScopes(['repository:bob/app:* repository:bob/new:pull,push repository:bob/open:pull registry:catalog:*'])
  const granted = await grantScopes(closed, { identity, requested, visibilityOf: async () => 'public', standingIn: async () => ({}) })
  assert.equal(formatScopes(granted), 'repository:bob/app:pull repository:bob/new:push registry:catalog:*')
})

test('roles are looked up for what nothing else allows, and for nobody whom grants cannot concern', async () => {
  const looked: string[] = []
  const wish = { requested: parseScopes(['repository:alice/app:push repository:bob/open:pull repository:team/app:push']) }
  const visibilityOf = async (name: string): Promise<Visibility> => (name === 'bob/open' ? 'public' : 'private')
  for (const [who, identity] of Object.entries(identities)) {
    const standingIn = async (name: string) => {
      looked.push(`${who} in ${name}`)
      return {}
    }
    await grantScopes(closed, { ...wish, identity, visibilityOf, standingIn })
  }
  assert.deepEqual(looked, ['stranger in alice/app', 'stranger in team/app', 'owner in team/app'])
})

test('a namespace that is not there is for everyone to create where the setting says so, but not for robots', () => {
  const absent = { isNamespaceAbsent: true } as const
  const everyone = { isOpen: false, namespaceCreation: 'everyone' } as const
  const mayCreate = (settings: PolicySettings) =>
    Object.entries(identities)
      .filter(([, identity]) => isAllowed(settings, identity, { kind: 'namespaceCreation' }))
      .map(([who]) => who)
  const mayPush = (settings: PolicySettings) =>
    Object.entries(identities)
      .filter(([, identity]) =>
        isAllowed(settings, identity, { kind: 'repository', action: 'push', name: repo('new/app'), visibility: undefined, ...absent }),
      )
      .map(([who]) => who)
  for (const may of [mayCreate, mayPush]) {
    assert.deepEqual(may(everyone), ['stranger', 'owner', 'admin'])
    assert.deepEqual(may({ isOpen: false, namespaceCreation: 'administrators' }), ['admin'])
    assert.deepEqual(may(closed), ['admin'])
  }
})

test('a robot that a row makes an administrator manages nothing all the same', () => {
  const robot = signedIn('ci', { kind: 'robot', robotOf: 'ci', isAdmin: true })
  for (const [request] of other) {
    if (request.kind !== 'base' && request.kind !== 'catalog') assert.equal(isAllowed(closed, robot, request), false, request.kind)
  }
  assert.notEqual(listableBy(closed, robot, []).kind, 'all')
})
