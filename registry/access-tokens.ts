/**
 * Access tokens: made, listed, narrowed, rotated and revoked. Their secrets are returned once, by what makes them, and kept nowhere.
 * Who may do this to whose tokens is decided before.
 *
 * Invariant: what is done to a token acts on the next request, also with a bearer token that was issued for it before.
 */
import { hashAccessToken, hintOf, makeAccessToken, type AccessTokenSecret, type TokenKind, type TokenScope } from '../auth/access-token.ts'
import type { FoundToken } from '../auth/identity.ts'
import { RegistryError } from '../oci/errors.ts'
import {
  changeAccessToken,
  createAccessToken,
  deleteEndedAccessTokens,
  findAccessToken,
  holderBySecret,
  listAccessTokens,
  listTokensInUse,
  noteTokenUse,
  type AccessTokenRow,
} from '../storage/metadata/access-tokens.ts'
import { accountByName, type AccountRow } from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { Reader, Writer } from '../storage/metadata/schema.ts'
import { pageOf, type Page, type PageRequest } from './list.ts'
import type { InFlight } from './registry.ts'

const dayMs = 24 * 60 * 60_000
/** How long a token that has ended is still listed. */
const keptMs = 90 * dayMs
const maxTokensPerAccount = 200
/** What needs no quoting in a shell; a rotated token's old secret goes on under a name that nobody can give. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** What is told about a token. Times are milliseconds since the epoch. */
export interface AccessTokenFacts {
  readonly id: number
  readonly name: string
  /** The last characters of the secret. */
  readonly hint: string
  readonly scopes: readonly TokenScope[]
  readonly status: 'active' | 'expired' | 'revoked'
  readonly createdAtMs: number
  /** undefined: never. */
  readonly expiresAtMs: number | undefined
  readonly lastUsedAtMs: number | undefined
  /** The address of the client that used it last. */
  readonly lastUsedFrom: string | undefined
}

export interface MadeToken {
  readonly secret: AccessTokenSecret
  readonly token: AccessTokenFacts
}

export interface TokenWish {
  /** Name of the account, of a person or a robot. */
  readonly account: string
  readonly name: string
  /** As parseTokenScopes returns them. */
  readonly scopes: readonly TokenScope[]
  /** undefined: never. */
  readonly expiresAtMs: number | undefined
  readonly nowMs: number
}

/** For a person. @throws {RegistryError} accountUnknown; nameTaken; parameterInvalid: no name for a token, an expiry that is over, a robot, or too many tokens */
export async function makeToken(database: Database, wish: TokenWish): Promise<MadeToken> {
  return database.write(async (tx) => {
    const made = await makeTokenIn(tx, wish)
    if (made.kind === 'robot') throw invalid(`"${wish.account}" is a robot, which has one token: rotate it, or make another robot`)
    return made
  })
}

/** The same within a transaction and for a robot too, for what makes more than the token. */
export async function makeTokenIn(tx: Writer, wish: TokenWish): Promise<MadeToken & { readonly kind: TokenKind }> {
  const { account: accountName, name, scopes, expiresAtMs, nowMs } = wish
  if (!namePattern.test(name)) throw invalid('the name of a token has 1 to 64 letters, digits, dots, dashes and underscores')
  if (expiresAtMs !== undefined && !(expiresAtMs > nowMs)) throw invalid('a token must expire later than now')
  const account = await getHolder(tx, accountName)
  const present = await findAccessToken(tx, account.id, name)
  if (present && statusOf(present, nowMs) === 'active') {
    const message = `${accountName} has an access token "${name}" already: rotate it, or revoke it first`
    throw new RegistryError('nameTaken', { message })
  }
  if (present) await changeAccessToken(tx, present.id, { name: retiredName(present) })
  await makeRoom(tx, account, nowMs)
  const secret = makeAccessToken(account.kind)
  await createAccessToken(tx, {
    account_id: account.id,
    name,
    secret_hash: hashAccessToken(secret),
    hint: hintOf(secret),
    scopes: JSON.stringify(scopes),
    created_at_ms: nowMs,
    expires_at_ms: expiresAtMs ?? null,
  })
  return { secret, token: factsOf(await getToken(tx, wish), nowMs), kind: account.kind }
}

/** Forgets tokens that ended long ago, and all that have ended where there are many. */
async function makeRoom(tx: Writer, account: { readonly id: number; readonly name: string }, nowMs: number): Promise<void> {
  const isFull = async () => {
    const page = { accountId: account.id, after: undefined, limit: maxTokensPerAccount }
    return (await listAccessTokens(tx, page)).length === maxTokensPerAccount
  }
  await deleteEndedAccessTokens(tx, account.id, nowMs - keptMs)
  if (await isFull()) await deleteEndedAccessTokens(tx, account.id, nowMs)
  if (await isFull()) throw invalid(`${account.name} has ${maxTokensPerAccount} access tokens, as many as there may be: revoke some`)
}

export interface NamedToken {
  readonly account: string
  readonly name: string
  readonly nowMs: number
  /** Says no, by what it throws, to a token that is not what was expected; runs within the transaction. */
  readonly check?: (current: AccessTokenFacts) => void
}

/** Ends it now. Repeating that changes nothing. @throws {RegistryError} accountUnknown, accessTokenUnknown; and what `check` throws */
export async function revokeToken(database: Database, named: NamedToken): Promise<void> {
  await database.write(async (tx) => {
    const { id, revoked_at_ms: before } = await getCurrent(tx, named)
    if (before === null) await changeAccessToken(tx, id, { revoked_at_ms: named.nowMs })
  })
}

/**
 * Ends the token that a secret shows, whosever it is: for one that was found where it should not be.
 * @returns whose it is and its name. @throws {RegistryError} accessTokenUnknown: nobody's
 */
export async function revokeSecret(
  database: Database,
  { secret, nowMs }: { secret: AccessTokenSecret; nowMs: number },
): Promise<{ account: string; name: string }> {
  return database.write(async (tx) => {
    const holder = await holderBySecret.first(tx, { secretHash: hashAccessToken(secret) })
    if (!holder) throw unknownToken('nobody has this access token: it is of another registry, or was forgotten after it ended')
    if (holder.revoked_at_ms === null) await changeAccessToken(tx, holder.token_id, { revoked_at_ms: nowMs })
    return { account: holder.name, name: holder.token_name }
  })
}

export interface ScopeChange extends NamedToken {
  readonly scopes: readonly TokenScope[]
}

/**
 * Gives a person's token other scopes.
 * @throws {RegistryError} accountUnknown, accessTokenUnknown; parameterInvalid: it has ended, or is a robot's; and what `check` throws
 */
export async function changeTokenScopes(database: Database, change: ScopeChange): Promise<AccessTokenFacts> {
  return database.write(async (tx) => {
    const account = await getHolder(tx, change.account)
    if (account.kind === 'robot') throw invalid(`"${change.account}" is a robot: change what it may do by its namespace`)
    return changeTokenScopesIn(tx, change)
  })
}

/** The same within a transaction and for a robot too. */
export async function changeTokenScopesIn(tx: Writer, change: ScopeChange): Promise<AccessTokenFacts> {
  const row = await getCurrent(tx, change)
  requireActive(row, change)
  await changeAccessToken(tx, row.id, { scopes: JSON.stringify(change.scopes) })
  return factsOf(await getToken(tx, change), change.nowMs)
}

export interface Rotation extends NamedToken {
  /** How long the old secret goes on; 0: not at all. */
  readonly overlapMs: number
  /** Of the new secret; `'same'`: it lives as long as the old one was given. */
  readonly expiresAtMs: number | undefined | 'same'
}

/**
 * A new secret for a token, under its name and with its scopes. The old one goes on for a while, under its name and a number.
 * @throws {RegistryError} accountUnknown, accessTokenUnknown; parameterInvalid: it has ended; and what `check` throws
 */
export async function rotateToken(database: Database, rotation: Rotation): Promise<MadeToken> {
  return database.write((tx) => rotateTokenIn(tx, rotation))
}

/** The same within a transaction. */
export async function rotateTokenIn(tx: Writer, rotation: Rotation): Promise<MadeToken> {
  const { account, name, nowMs, overlapMs } = rotation
  const old = await getCurrent(tx, rotation)
  requireActive(old, rotation)
  const endMs = Math.min(old.expires_at_ms ?? Infinity, nowMs + overlapMs)
  const end = overlapMs > 0 ? { expires_at_ms: endMs } : { revoked_at_ms: nowMs }
  await changeAccessToken(tx, old.id, { name: retiredName(old), ...end })
  const lifeMs = old.expires_at_ms === null ? undefined : old.expires_at_ms - old.created_at_ms
  const sameMs = lifeMs === undefined ? undefined : nowMs + lifeMs
  const expiresAtMs = rotation.expiresAtMs === 'same' ? sameMs : rotation.expiresAtMs
  return makeTokenIn(tx, { account, name, scopes: scopesOf(old), expiresAtMs, nowMs })
}

/** One page of an account's tokens by name, ended ones too. @throws {RegistryError} accountUnknown */
export async function tokensOf(
  database: Database,
  page: PageRequest & { readonly account: string; readonly nowMs: number },
): Promise<Page<AccessTokenFacts>> {
  const { id: accountId } = await getHolder(database.read, page.account)
  return pageOf(page, async (limit) => {
    const rows = await listAccessTokens(database.read, { accountId, after: page.after, limit })
    return rows.map((row) => factsOf(row, page.nowMs))
  })
}

/** All of an account's tokens, of which there are not many. @throws {RegistryError} accountUnknown */
export async function allTokensOf(db: Reader, account: string, nowMs: number): Promise<AccessTokenFacts[]> {
  const { id: accountId } = await getHolder(db, account)
  const rows = await listAccessTokens(db, { accountId, after: undefined, limit: maxTokensPerAccount })
  return rows.map((row) => factsOf(row, nowMs))
}

/** Of several accounts, by their ids, those that are in use and those that have ended under the name that they were given. */
export async function tokensInUse(
  db: Reader,
  { accountIds, nowMs }: { accountIds: readonly number[]; nowMs: number },
): Promise<ReadonlyMap<number, readonly AccessTokenFacts[]>> {
  const rows = accountIds.length === 0 ? [] : await listTokensInUse(db, { accountIds, nowMs })
  const byAccount = Map.groupBy(rows, (row) => row.account_id)
  return new Map(Array.from(byAccount, ([id, group]) => [id, group.map((row) => factsOf(row, nowMs))]))
}

/** @throws {RegistryError} accountUnknown, accessTokenUnknown */
export async function tokenNamed(database: Database, named: NamedToken): Promise<AccessTokenFacts> {
  return factsOf(await getToken(database.read, named), named.nowMs)
}

/** Notes the last use of tokens, at most once a minute for each: its row is not written for every request. */
export class TokenUses {
  readonly #parts: { readonly database: Database; readonly clock: () => number; readonly writing: InFlight }
  /** Token → when this process last tried, so that a database that cannot be written is not asked again by every request. */
  readonly #tried = new Map<number, number>()

  constructor(parts: { readonly database: Database; readonly clock: () => number; readonly writing: InFlight }) {
    this.#parts = parts
  }

  /** Neither waits nor fails: whether it was noted is nothing to the request. */
  note({ token, lastUsedAtMs }: FoundToken, address: string | undefined): void {
    const nowMs = this.#parts.clock()
    if (isRecent(lastUsedAtMs, nowMs) || isRecent(this.#tried.get(token.id), nowMs)) return
    if (this.#tried.size >= maxTried) this.#tried.clear()
    this.#tried.set(token.id, nowMs)
    void this.#parts.writing.track(this.#write(token.id, { nowMs, from: address ?? null }))
  }

  /** A power cut may undo it; a disk that is full or gone is told to those who push. */
  async #write(id: number, use: { nowMs: number; from: string | null }): Promise<void> {
    await this.#parts.database
      .writeRelaxed((tx) => noteTokenUse.run(tx, { id, ...use, beforeMs: use.nowMs - useIntervalMs }))
      .catch(() => undefined)
  }
}

const useIntervalMs = 60_000
const maxTried = 10_000

/** A clock that was set back makes a use of the future, which is no reason to wait for it. */
function isRecent(atMs: number | undefined, nowMs: number): boolean {
  return atMs !== undefined && nowMs - atMs < useIntervalMs && atMs <= nowMs
}

/** What is about to be changed, after a look at it. */
async function getCurrent(tx: Writer, named: NamedToken): Promise<AccessTokenRow> {
  const row = await getToken(tx, named)
  named.check?.(factsOf(row, named.nowMs))
  return row
}

async function getToken(db: Reader, { account, name }: { account: string; name: string }): Promise<AccessTokenRow> {
  const row = await findAccessToken(db, (await getHolder(db, account)).id, name)
  if (!row) throw unknownToken(`${account} has no access token "${name}"`)
  return row
}

async function getHolder(db: Reader, name: string): Promise<AccountRow> {
  const account = await accountByName.first(db, { name })
  if (!account) throw new RegistryError('accountUnknown', { message: `there is no account "${name}"` })
  return account
}

function requireActive(row: AccessTokenRow, { account, name, nowMs }: NamedToken): void {
  const status = statusOf(row, nowMs)
  if (status !== 'active') throw invalid(`the access token "${name}" of ${account} is ${status}: create a new one`)
}

function statusOf(row: AccessTokenRow, nowMs: number): AccessTokenFacts['status'] {
  if (row.revoked_at_ms !== null) return 'revoked'
  return row.expires_at_ms !== null && row.expires_at_ms <= nowMs ? 'expired' : 'active'
}

/** `~` is in no name that a token can be given, and the id makes it the only one. */
function retiredName({ name, id }: AccessTokenRow): string {
  return `${name}~${id}`
}

function scopesOf(row: AccessTokenRow): TokenScope[] {
  return JSON.parse(row.scopes) as TokenScope[]
}

function factsOf(row: AccessTokenRow, nowMs: number): AccessTokenFacts {
  return {
    id: row.id,
    name: row.name,
    hint: row.hint,
    scopes: scopesOf(row),
    status: statusOf(row, nowMs),
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms ?? undefined,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
    lastUsedFrom: row.last_used_from ?? undefined,
  }
}

function unknownToken(message: string): RegistryError {
  return new RegistryError('accessTokenUnknown', { message })
}

function invalid(message: string): RegistryError {
  return new RegistryError('parameterInvalid', { message })
}
