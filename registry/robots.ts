/**
 * Robots: accounts that a namespace owns and that machines use, each with one access token. Who may make them is decided before.
 *
 * Invariants: a robot has no password that could be right. Its name is its namespace's, a dot and one of its own without a dot, so
 * that one name never means two robots; no person gets a name of that shape below a namespace that is there.
 */
import type { TokenScope } from '../auth/access-token.ts'
import { parseAccountName } from '../auth/identity.ts'
import { RegistryError } from '../oci/errors.ts'
import { accountByName, changeAccount, deleteAccount } from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import { namespaceByName } from '../storage/metadata/namespaces.ts'
import { createRobot, listRobots, type RobotRow } from '../storage/metadata/robots.ts'
import type { Reader } from '../storage/metadata/schema.ts'
import {
  allTokensOf,
  changeTokenScopes,
  makeTokenIn,
  rotateToken,
  type AccessTokenFacts,
  type MadeToken,
  type Rotation,
} from './access-tokens.ts'

/** No hash of bcrypt's begins like this, and the password of a robot is never compared with it. */
const noPassword = '*'

export interface RobotFacts {
  /** With which it signs in, such as `team.ci`. */
  readonly fullName: string
  readonly name: string
  readonly namespace: string
  readonly description: string
  readonly isDisabled: boolean
  readonly createdAtMs: number
  readonly createdBy: string | undefined
  /** Its own first, then those that were rotated or have ended. */
  readonly tokens: readonly AccessTokenFacts[]
}

export interface RobotWish {
  readonly namespace: string
  /** Within the namespace, without a dot. */
  readonly name: string
  readonly description?: string
  /** As parseTokenScopes returns them. */
  readonly scopes: readonly TokenScope[]
  /** undefined: never. */
  readonly expiresAtMs: number | undefined
  /** Who makes it, for the record; null: the operator. */
  readonly by: string | null
  readonly nowMs: number
}

/** @throws {RegistryError} parameterInvalid: no such namespace, no name for a robot or a taken one, or scopes that no robot of it can use */
export async function makeRobot(database: Database, wish: RobotWish): Promise<MadeToken & { readonly fullName: string }> {
  const { namespace, name, scopes, expiresAtMs, nowMs } = wish
  const fullName = fullNameOf(namespace, name)
  requireUsable(scopes, namespace)
  if (!descriptionPattern.test(wish.description ?? '')) throw invalid('a description is one line of at most 255 characters')
  return database.write(async (tx) => {
    const namespaceId = await getNamespaceId(tx, namespace)
    const { description = '', by: createdBy } = wish
    const id = await createRobot(tx, { name: fullName, namespaceId, passwordHash: noPassword, description, createdBy, nowMs })
    if (id === undefined) throw invalid(`there is an account "${fullName}" already`)
    return { fullName, ...(await makeTokenIn(tx, { account: fullName, name, scopes, expiresAtMs, nowMs })) }
  })
}

/** One page of a namespace's robots by full name, after the one of the full name `after`. @throws {RegistryError} parameterInvalid: no such namespace */
export async function robotsOf(
  database: Database,
  page: { namespace: string; after: string | undefined; limit: number; nowMs: number },
): Promise<RobotFacts[]> {
  const namespaceId = await getNamespaceId(database.read, page.namespace)
  const rows = await listRobots(database.read, { namespaceId, after: page.after, limit: page.limit })
  return Promise.all(rows.map(async (row) => factsOf(row, await allTokensOf(database, row.name, page.nowMs))))
}

export interface NamedRobot {
  readonly namespace: string
  readonly name: string
}

/** Refuses everything to it from its next request on; enabling it again brings its token back. @throws {RegistryError} parameterInvalid */
export async function setRobotDisabled(database: Database, named: NamedRobot, isDisabled: boolean): Promise<void> {
  await database.write(async (tx) => changeAccount(tx, await getFullName(tx, named), { isDisabled }))
}

/** What it pushed stays. @throws {RegistryError} parameterInvalid: no such robot */
export async function removeRobot(database: Database, named: NamedRobot): Promise<void> {
  await database.write(async (tx) => deleteAccount(tx, await getFullName(tx, named)))
}

/** A new secret; the old one goes on for a while. @throws {RegistryError} parameterInvalid: no such robot, or its token has ended */
export async function rotateRobot(
  database: Database,
  rotation: NamedRobot & Omit<Rotation, 'account'>,
): Promise<MadeToken & { fullName: string }> {
  const fullName = await getFullName(database.read, rotation)
  return { fullName, ...(await rotateToken(database, { ...rotation, account: fullName })) }
}

/** @throws {RegistryError} parameterInvalid: no such robot, its token has ended, or scopes that no robot of the namespace can use */
export async function changeRobotScopes(
  database: Database,
  change: NamedRobot & { readonly scopes: readonly TokenScope[]; readonly nowMs: number },
): Promise<void> {
  requireUsable(change.scopes, change.namespace)
  const account = await getFullName(database.read, change)
  await changeTokenScopes(database, { ...change, account })
}

/** Whether an account's name could be that of a robot: such a one no person gets. */
export async function isRobotName(db: Reader, name: string): Promise<boolean> {
  const dot = name.lastIndexOf('.')
  return dot > 0 && (await namespaceByName.first(db, { name: name.slice(0, dot) })) !== undefined
}

/** @throws {RegistryError} parameterInvalid: a dot in the name, or no name for an account with its namespace */
function fullNameOf(namespace: string, name: string): string {
  if (name.includes('.')) throw invalid('the name of a robot has no dot: one stands between its namespace and it')
  const fullName = `${namespace}.${name}`
  parseAccountName(namespace)
  parseAccountName(name)
  if (fullName.length > maxFullNameLength)
    throw invalid(`a robot and its namespace have together at most ${maxFullNameLength} characters, with the dot`)
  return parseAccountName(fullName)
}

const maxFullNameLength = 64
const descriptionPattern = /^[^\p{Cc}]{0,255}$/u

/** Elsewhere a robot pulls what is open to every account, and no more: what could never be used is a mistake. */
function requireUsable(scopes: readonly TokenScope[], namespace: string): void {
  if (scopes.some(({ actions }) => actions.includes('admin')))
    throw invalid('a robot administers nothing: give the access token of a person for that')
  const isOwn = (pattern: string) => pattern === '*' || pattern === namespace || pattern.startsWith(`${namespace}/`)
  const outside = scopes.find(({ actions, repositories }) => !isOwn(repositories) && actions.some((action) => action !== 'pull'))
  if (outside) throw invalid(`a robot of ${namespace} pushes and deletes in ${namespace}/ alone, not on ${outside.repositories}`)
}

async function getFullName(db: Reader, { namespace, name }: NamedRobot): Promise<string> {
  const row = await accountByName.first(db, { name: `${namespace}.${name}` })
  if (row?.kind === 'robot' && row.robot_of === namespace) return row.name
  const renamed = await findOwnedRobot(db, namespace, name)
  if (renamed === undefined) throw invalid(`${namespace} has no robot "${name}"`)
  return renamed
}

/** A robot keeps signing in under its name when its namespace gets another. */
async function findOwnedRobot(db: Reader, namespace: string, name: string): Promise<string | undefined> {
  const owner = await namespaceByName.first(db, { name: namespace })
  const robots = owner ? await listRobots(db, { namespaceId: owner.id, after: undefined, limit: maxRobots }) : []
  return robots.find((robot) => ownNameOf(robot.name) === name)?.name
}

function ownNameOf(fullName: string): string {
  return fullName.slice(fullName.lastIndexOf('.') + 1)
}

/** More than a namespace has. */
const maxRobots = 10_000

function factsOf(row: RobotRow, tokens: readonly AccessTokenFacts[]): RobotFacts {
  const namespace = row.robot_of ?? ''
  const name = ownNameOf(row.name)
  return {
    fullName: row.name,
    name,
    namespace,
    description: row.description,
    isDisabled: row.is_disabled === 1,
    createdAtMs: row.created_at_ms,
    createdBy: row.created_by ?? undefined,
    tokens: tokens.toSorted((a, b) => Number(b.name === name) - Number(a.name === name)),
  }
}

async function getNamespaceId(db: Reader, name: string): Promise<number> {
  const namespace = await namespaceByName.first(db, { name })
  if (!namespace) throw invalid(`there is no namespace "${name}"`)
  return namespace.id
}

function invalid(message: string): RegistryError {
  return new RegistryError('parameterInvalid', { message })
}
