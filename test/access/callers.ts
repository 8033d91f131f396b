/**
 * Everyone who may knock: one caller for each way of showing, or not showing, who one is. And the repositories that they
 * knock at: three of alice's, one of each visibility, and one that is not there.
 */
import assert from 'node:assert/strict'
import type { GrantedRole } from '../../auth/roles.ts'
import { makeToken, revokeToken } from '../../registry/access-tokens.ts'
import { updateAccount } from '../../registry/accounts.ts'
import { addNamespace, grantRole } from '../../registry/namespaces.ts'
import { addTeam, addToTeam } from '../../registry/teams.ts'
import { giveRobot, giveToken, scopesIn } from '../support/access-tokens.ts'
import { basic, Client, type PushedImage } from '../support/client.ts'
import type { TestRegistry } from '../support/start-registry.ts'
import { es256, partsOf, strangersKey } from './forge.ts'
import { jsonOf, send, type Server } from './wire.ts'

export const identities = [
  'nobody',
  'empty Basic',
  'owner',
  'other user',
  'reader',
  'writer',
  'maintainer',
  'granted owner',
  'team member',
  'member elsewhere',
  'administrator',
  'disabled account',
  'wrong password',
  'unknown account',
  'anonymous token',
  'owner token',
  'other token',
  'administrator token',
  'pull token',
  'push token',
  'token for elsewhere',
  'expired token',
  'token of a changed account',
  'forged token',
  'robot',
  'narrowed token',
  'Bearer of an access token',
  'token of a robot',
  'revoked access token',
  'expired access token',
  'token of a revoked access token',
] as const

export type Identity = (typeof identities)[number]

/** In this order everywhere. */
export const visibilities = ['private', 'internal', 'public', 'absent'] as const

export type Visibility = (typeof visibilities)[number]

/** Alice's, all names of the same length, so that answers about them can be compared by their length too. */
export const repositories: Readonly<Record<Visibility, string>> = {
  private: 'alice/app-secret',
  internal: 'alice/app-inside',
  public: 'alice/app-public',
  absent: 'alice/app-absent',
}

export interface Scene {
  /** What stands in `Authorization`; undefined: nothing. */
  readonly callers: Readonly<Record<Identity, string | undefined>>
  /** What has the tag v1 in each repository that is there; all share one layer. */
  readonly images: Readonly<Record<Exclude<Visibility, 'absent'>, PushedImage>>
}

export interface TokenAnswer {
  readonly token: string
  readonly access_token: string
  readonly expires_in: number
  readonly scope: string
}

/** Asks the token endpoint. @returns what stands in `Authorization` then. */
export async function bearer(server: Server, authorization: string | undefined, ...scopes: readonly string[]): Promise<string> {
  const query = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&')
  const reply = await send(server, `GET /token?service=lanyard&${query}`, { authorization })
  assert.equal(reply.status, 200, reply.text)
  return `Bearer ${(jsonOf(reply) as TokenAnswer).token}`
}

/** Longer than a token's life with its leeway. */
export const pastTokenMs = 17 * 60_000

export async function setScene(registry: TestRegistry): Promise<Scene> {
  const { database } = registry.services.registry
  for (const name of ['alice', 'bob']) await registry.addUser(name)
  // Both could do everything, if they were not what they are.
  for (const name of ['dora', 'changed']) await registry.addUser(name, { isAdmin: true })
  await grantRoles(registry)
  const images = await pushImages(registry)
  const everything = ['registry:catalog:*', ...Object.values(repositories).map((name) => `repository:${name}:pull,push,delete`)]
  const tokenOf = (authorization: string | undefined, ...scopes: string[]) => bearer(registry, authorization, ...scopes)
  const expired = await tokenOf(basic('alice'), ...everything)
  const expiredAccessToken = await giveExpiring(registry)
  registry.advance(pastTokenMs)
  const ofChanged = await tokenOf(basic('changed'), ...everything)
  await updateAccount(database, 'changed', { isAdmin: true })
  await updateAccount(database, 'dora', { isDisabled: true })
  const ownerToken = await tokenOf(basic('alice'), ...everything)
  const named = (actions: string) => Object.values(repositories).map((name) => `repository:${name}:${actions}`)
  const callers: Scene['callers'] = {
    nobody: undefined,
    'empty Basic': basic('', ''),
    owner: basic('alice'),
    'other user': basic('bob'),
    reader: basic('rita'),
    writer: basic('walt'),
    maintainer: basic('mona'),
    'granted owner': basic('olga'),
    'team member': basic('tina'),
    'member elsewhere': basic('eve'),
    administrator: basic('admin'),
    'disabled account': basic('dora'),
    'wrong password': basic('alice', 'not her password'),
    'unknown account': basic('zoe'),
    'anonymous token': await tokenOf(undefined, ...everything),
    'owner token': ownerToken,
    'other token': await tokenOf(basic('bob'), ...everything),
    'administrator token': await tokenOf(basic('admin'), ...everything),
    'pull token': await tokenOf(basic('alice'), ...named('pull')),
    'push token': await tokenOf(basic('alice'), ...named('pull,push')),
    'token for elsewhere': await tokenOf(basic('alice'), 'repository:alice/elsewhere:pull,push,delete'),
    'expired token': expired,
    'token of a changed account': ofChanged,
    'forged token': `Bearer ${es256(partsOf(ownerToken.slice('Bearer '.length)), strangersKey().privateKey)}`,
    'expired access token': basic('alice', expiredAccessToken),
    ...(await showAccessTokens(registry, (authorization) => tokenOf(authorization, ...everything))),
  }
  return { callers, images }
}

/** In alice's namespace one for each role, a writer by a team, and one who owns another namespace. */
async function grantRoles(registry: TestRegistry): Promise<void> {
  const { database } = registry.services.registry
  const granted = { namespace: 'alice', by: 'alice', nowMs: 1 }
  const people = { rita: 'reader', walt: 'writer', mona: 'maintainer', olga: 'owner' } as const
  for (const [account, role] of Object.entries(people) as [keyof typeof people, GrantedRole][]) {
    await registry.addUser(account)
    await grantRole(database, { ...granted, member: { account }, role })
  }
  for (const account of ['tina', 'eve']) await registry.addUser(account)
  await addTeam(database, { name: 'crew', nowMs: 1 })
  await addToTeam(database, 'crew', { account: 'tina', isManager: false, nowMs: 1 })
  await grantRole(database, { ...granted, member: { team: 'crew' }, role: 'writer' })
  await addNamespace(database, { name: 'elsewhere', owner: 'eve', by: null, nowMs: 1 })
}

type Showing =
  | 'robot'
  | 'narrowed token'
  | 'Bearer of an access token'
  | 'token of a robot'
  | 'revoked access token'
  | 'token of a revoked access token'

async function showAccessTokens(
  registry: TestRegistry,
  buy: (authorization: string) => Promise<string>,
): Promise<Pick<Scene['callers'], Showing>> {
  const { database, clock } = registry.services.registry
  const pulling = await giveRobot(registry, { namespace: 'alice', name: 'puller' }, 'pull alice/app*')
  const revoked = basic('alice', await giveToken(registry, { account: 'alice', name: 'revoked' }, 'pull,push,delete,admin *'))
  const ofRevoked = await buy(revoked)
  await revokeToken(database, { account: 'alice', name: 'revoked', nowMs: clock() })
  return {
    robot: basic('alice.ci', await giveRobot(registry, { namespace: 'alice', name: 'ci' }, 'pull,push,delete *')),
    'narrowed token': basic('alice', await giveToken(registry, { account: 'alice', name: 'narrow' }, `pull ${repositories.private}`)),
    'Bearer of an access token': `Bearer ${await giveToken(registry, { account: 'alice', name: 'all' }, 'pull,push,delete,admin *')}`,
    'token of a robot': await buy(basic('alice.puller', pulling)),
    'revoked access token': revoked,
    'token of a revoked access token': ofRevoked,
  }
}

/** Alice's, for everything, and shorter-lived than what is issued to her. */
async function giveExpiring({ services: { registry } }: TestRegistry): Promise<string> {
  const nowMs = registry.clock()
  const wish = { account: 'alice', name: 'expired', scopes: scopesIn('pull,push,delete,admin *'), expiresAtMs: nowMs + 60_000, nowMs }
  return (await makeToken(registry.database, wish)).secret
}

async function pushImages(registry: TestRegistry): Promise<Scene['images']> {
  const alice = new Client(registry, basic('alice'))
  const push = async (visibility: keyof Scene['images']): Promise<PushedImage> => {
    const image = await alice.pushImage(repositories[visibility], 'v1')
    await registry.setVisibility(repositories[visibility], visibility)
    return image
  }
  return { private: await push('private'), internal: await push('internal'), public: await push('public') }
}
