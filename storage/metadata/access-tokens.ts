/**
 * Rows of access tokens. One that has ended stays for a while under another name, so that its name is free for the next; whether
 * it counts is decided by those who ask.
 */
import { sql } from 'kysely'
import type { AccountRow } from './accounts.ts'
import type { AccessTokenTable, Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface AccessTokenRow {
  readonly id: number
  readonly account_id: number
  readonly name: string
  readonly hint: string
  /** JSON, as in the table's comment. */
  readonly scopes: string
  readonly created_at_ms: number
  readonly expires_at_ms: number | null
  readonly last_used_at_ms: number | null
  readonly last_used_from: string | null
  readonly revoked_at_ms: number | null
}

/** An access token and, in the other columns, its account. */
export interface HolderRow extends AccountRow {
  readonly token_id: number
  readonly token_name: string
  readonly scopes: string
  readonly expires_at_ms: number | null
  readonly last_used_at_ms: number | null
  readonly revoked_at_ms: number | null
}

const columns = [
  'id',
  'account_id',
  'name',
  'hint',
  'scopes',
  'created_at_ms',
  'expires_at_ms',
  'last_used_at_ms',
  'last_used_from',
  'revoked_at_ms',
] as const

const holderColumns = [
  'access_token.id as token_id',
  'access_token.name as token_name',
  'access_token.scopes',
  'access_token.expires_at_ms',
  'access_token.last_used_at_ms',
  'access_token.revoked_at_ms',
  'account.id',
  'account.name',
  'account.password_hash',
  'account.is_admin',
  'account.is_disabled',
  'account.credential_version',
  'account.totp_confirmed',
  'account.created_at_ms',
  'account.kind',
] as const

/** A sub-query, not a join: it is not even run for a person, who has no such namespace. */
const robotOf = sql<string | null>`(select namespace.name from namespace where namespace.id = account.namespace_id)`.as('robot_of')

/** On the path of every request that shows an access token. */
export const holderBySecret = new Statement<{ secretHash: Uint8Array }, HolderRow>((db, value) =>
  db
    .selectFrom('access_token')
    .innerJoin('account', 'account.id', 'access_token.account_id')
    .select(holderColumns)
    .select(robotOf)
    .where('access_token.secret_hash', '=', value('secretHash')),
)

/** On the path of every request with a bearer token that was issued for an access token. */
export const holderById = new Statement<{ id: number }, HolderRow>((db, value) =>
  db
    .selectFrom('access_token')
    .innerJoin('account', 'account.id', 'access_token.account_id')
    .select(holderColumns)
    .select(robotOf)
    .where('access_token.id', '=', value('id')),
)

/** Changes nothing when another process has noted a use since `beforeMs`. */
export const noteTokenUse = new Statement<{ id: number; nowMs: number; from: string | null; beforeMs: number }>((db, value) =>
  db
    .updateTable('access_token')
    .set({ last_used_at_ms: value('nowMs'), last_used_from: value('from') })
    .where('id', '=', value('id'))
    .where((where) => where.or([where('last_used_at_ms', 'is', null), where('last_used_at_ms', '<=', value('beforeMs'))])),
)

export type NewAccessTokenRow = Pick<
  AccessTokenTable,
  'account_id' | 'name' | 'secret_hash' | 'hint' | 'scopes' | 'created_at_ms' | 'expires_at_ms'
>

/** @returns its id. @throws when the account has a token of that name */
export async function createAccessToken(tx: Writer, token: NewAccessTokenRow): Promise<number> {
  const { id } = await tx.insertInto('access_token').values(token).returning('id').executeTakeFirstOrThrow()
  return id
}

export async function findAccessToken(db: Reader, accountId: number, name: string): Promise<AccessTokenRow | undefined> {
  return db.selectFrom('access_token').select(columns).where('account_id', '=', accountId).where('name', '=', name).executeTakeFirst()
}

/** One page of an account's tokens by name, ended ones too. */
export async function listAccessTokens(
  db: Reader,
  page: { accountId: number; after: string | undefined; limit: number },
): Promise<AccessTokenRow[]> {
  return db
    .selectFrom('access_token')
    .select(columns)
    .where('account_id', '=', page.accountId)
    .where('name', '>', page.after ?? '')
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

/** Those tokens of several accounts that have not ended by this time, and those under the names that they were given. */
export async function listTokensInUse(
  db: Reader,
  { accountIds, nowMs }: { accountIds: readonly number[]; nowMs: number },
): Promise<AccessTokenRow[]> {
  return db
    .selectFrom('access_token')
    .select(columns)
    .where('account_id', 'in', accountIds)
    .where((where) =>
      where.or([
        where(sql<number>`instr(name, '~')`, '=', 0),
        where.and([where('revoked_at_ms', 'is', null), where.or([where('expires_at_ms', 'is', null), where('expires_at_ms', '>', nowMs)])]),
      ]),
    )
    .orderBy('account_id')
    .orderBy('name')
    .execute()
}

export type AccessTokenChange = Partial<Pick<AccessTokenTable, 'name' | 'scopes' | 'expires_at_ms' | 'revoked_at_ms'>>

/** @returns false when there is no such token. */
export async function changeAccessToken(tx: Writer, id: number, change: AccessTokenChange): Promise<boolean> {
  const { numUpdatedRows } = await tx.updateTable('access_token').set(change).where('id', '=', id).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Ends every token of an account. */
export async function deleteAccessTokensOf(tx: Writer, accountId: number): Promise<void> {
  await tx.deleteFrom('access_token').where('account_id', '=', accountId).execute()
}

/** Forgets an account's tokens that ended at this time or before. */
export async function deleteEndedAccessTokens(tx: Writer, accountId: number, untilMs: number): Promise<void> {
  await tx
    .deleteFrom('access_token')
    .where('account_id', '=', accountId)
    .where((where) => where.or([where('revoked_at_ms', '<=', untilMs), where('expires_at_ms', '<=', untilMs)]))
    .execute()
}
