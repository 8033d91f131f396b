/**
 * Robots: accounts that a namespace owns and that machines use, each with one access token. Who may make them is decided before.
 *
 * Invariants: a robot has no password that could be right. Its name is its namespace's, a dot and one of its own without a dot, so
 * that one name never means two robots; no person gets a name of that shape below a namespace that is there.
 */
import type { TokenScope } from '../auth/access-token.ts'
import { parseAccountName } from '../auth/identity.ts'
import { RegistryError } from '../oci/errors.ts'
import { changeAccount, deleteAccount } from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import { namespaceByName } from '../storage/metadata/namespaces.ts'
import { createRobot, listRobots, listRobotsNamed, setRobotDescription, type RobotRow } from '../storage/metadata/robots.ts'
import type { Reader, Writer } from '../storage/metadata/schema.ts'
import {
  allTokensOf,
  changeTokenScopesIn,
  makeTokenIn,
  rotateTokenIn,
  tokensInUse,
  type AccessTokenFacts,
  type MadeToken,
  type Rotation,
} from './access-tokens.ts'
import { pageOf, type Page, type PageRequest } from './list.ts'

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

export interface MadeRobot extends MadeToken {
  readonly fullName: string
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

/** @throws {RegistryError} namespaceUnknown; nameTaken; parameterInvalid: no name for a robot, or scopes that no robot of it can use */
export async function makeRobot(database: Database, wish: RobotWish): Promise<MadeRobot> {
  const { namespace, name, scopes, expiresAtMs, nowMs } = wish
  const fullName = fullNameOf(namespace, name)
  requireUsable(scopes, namespace)
  const description = parseDescription(wish.description ?? '')
  return database.write(async (tx) => {
    const namespaceId = await getNamespaceId(tx, namespace)
    const { by: createdBy } = wish
    const id = await createRobot(tx, { name: fullName, namespaceId, passwordHash: noPassword, description, createdBy, nowMs })
    if (id === undefined) throw new RegistryError('nameTaken', { message: `there is an account "${fullName}" already` })
    return { fullName, ...(await makeTokenIn(tx, { account: fullName, name, scopes, expiresAtMs, nowMs })) }
  })
}

/**
 * One page of a namespace's robots by full name, after the one of the full name `after`; of their tokens their own and those that go on.
 * @throws {RegistryError} namespaceUnknown
 */
export async function robotsOf(
  database: Database,
  page: PageRequest & { readonly namespace: string; readonly nowMs: number },
): Promise<Page<RobotFacts>> {
  const namespaceId = await getNamespaceId(database.read, page.namespace)
  const { items: rows, hasMore } = await pageOf(page, (limit) => listRobots(database.read, { namespaceId, after: page.after, limit }))
  const tokens = await tokensInUse(database.read, { accountIds: rows.map(({ id }) => id), nowMs: page.nowMs })
  return { items: rows.map((row) => factsOf(row, tokens.get(row.id) ?? [])), hasMore }
}

export interface NamedRobot {
  readonly namespace: string
  /** Within the namespace. */
  readonly name: string
}

/** With all its tokens, those that have ended too. @throws {RegistryError} namespaceUnknown, robotUnknown */
export async function robotNamed(database: Database, named: NamedRobot, nowMs: number): Promise<RobotFacts> {
  return describeRobot(database.read, await getRobot(database.read, named), nowMs)
}

/** Says no, by what it throws, to a robot that is not what was expected; runs within the transaction. */
export type RobotCheck = (current: RobotFacts) => void

export interface RobotChange extends NamedRobot {
  readonly scopes?: readonly TokenScope[] | undefined
  /** Refuses everything to it from its next request on; enabling it again brings its token back. */
  readonly isDisabled?: boolean | undefined
  readonly description?: string | undefined
  readonly nowMs: number
  readonly check?: RobotCheck
}

/**
 * What is left out stays as it is.
 * @returns the robot as it is then
 * @throws {RegistryError} namespaceUnknown, robotUnknown; parameterInvalid: its token has ended, or scopes that no robot of it can use;
 * and what `check` throws
 */
export async function changeRobot(database: Database, change: RobotChange): Promise<RobotFacts> {
  const { scopes, isDisabled, nowMs, namespace } = change
  if (scopes) requireUsable(scopes, namespace)
  const description = change.description === undefined ? undefined : parseDescription(change.description)
  return database.write(async (tx) => {
    const robot = await getCurrent(tx, change)
    const { id, name: account } = robot
    if (scopes) await changeTokenScopesIn(tx, { account, name: ownNameOf(account), scopes, nowMs })
    if (isDisabled !== undefined) await changeAccount(tx, account, { isDisabled })
    if (description !== undefined) await setRobotDescription(tx, { id, description })
    return describeRobot(tx, await getRobot(tx, change), nowMs)
  })
}

/** What it pushed stays. @throws {RegistryError} namespaceUnknown, robotUnknown; and what `check` throws */
export async function removeRobot(
  database: Database,
  named: NamedRobot & { readonly nowMs: number; readonly check?: RobotCheck },
): Promise<void> {
  await database.write(async (tx) => deleteAccount(tx, (await getCurrent(tx, named)).name))
}

/** A new secret; the old one goes on for a while. @throws {RegistryError} namespaceUnknown, robotUnknown; parameterInvalid: its token has ended; and what `check` throws */
export async function rotateRobot(database: Database, rotation: NamedRobot & Omit<Rotation, 'account'>): Promise<MadeRobot> {
  return database.write(async (tx) => {
    const { name: fullName } = await getRobot(tx, rotation)
    return { fullName, ...(await rotateTokenIn(tx, { ...rotation, account: fullName })) }
  })
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

/** @throws {RegistryError} parameterInvalid: more than a line */
function parseDescription(text: string): string {
  if (!descriptionPattern.test(text)) throw invalid('a description is one line of at most 255 characters')
  return text
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

/** What is about to be changed, after a look at it. */
async function getCurrent(tx: Writer, { check, nowMs, ...named }: NamedRobot & { nowMs: number; check?: RobotCheck }): Promise<RobotRow> {
  const robot = await getRobot(tx, named)
  check?.(await describeRobot(tx, robot, nowMs))
  return robot
}

/** A robot keeps signing in under its name when its namespace gets another; one that was made since then comes first. */
async function getRobot(db: Reader, { namespace, name }: NamedRobot): Promise<RobotRow> {
  const namesakes = await listRobotsNamed(db, { namespaceId: await getNamespaceId(db, namespace), name })
  const robot = namesakes.find((each) => each.name === `${namespace}.${name}`) ?? namesakes[0]
  if (!robot) throw new RegistryError('robotUnknown', { message: `${namespace} has no robot "${name}"` })
  return robot
}

async function describeRobot(db: Reader, robot: RobotRow, nowMs: number): Promise<RobotFacts> {
  return factsOf(robot, await allTokensOf(db, robot.name, nowMs))
}

function ownNameOf(fullName: string): string {
  return fullName.slice(fullName.lastIndexOf('.') + 1)
}

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
  if (!namespace) throw new RegistryError('namespaceUnknown', { message: `there is no namespace "${name}"` })
  return namespace.id
}

function invalid(message: string): RegistryError {
  return new RegistryError('parameterInvalid', { message })
}
