/**
 * Rows of accounts. Every change that must end what was issued before raises the credential version in the same statement.
 */
import { sql } from 'kysely'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface AccountRow {
  readonly id: number
  readonly name: string
  readonly password_hash: string
  readonly is_admin: number
  readonly is_disabled: number
  readonly credential_version: number
  readonly created_at_ms: number
  readonly kind: 'person' | 'robot'
  /** The name of a robot's namespace. */
  readonly robot_of: string | null
  readonly totp_confirmed: number
}

const columns = [
  'id',
  'name',
  'password_hash',
  'is_admin',
  'is_disabled',
  'credential_version',
  'created_at_ms',
  'kind',
  'totp_confirmed',
] as const

/** A sub-query, not a join: it is not even run for a person, who has no such namespace. */
const robotOf = sql<string | null>`(select namespace.name from namespace where namespace.id = account.namespace_id)`.as('robot_of')

/** On the path of every request with a token. */
export const accountById = new Statement<{ id: number }, AccountRow>((db, value) =>
  db.selectFrom('account').select(columns).select(robotOf).where('id', '=', value('id')),
)

/** On the path of every request with Basic credentials. */
export const accountByName = new Statement<{ name: string }, AccountRow>((db, value) =>
  db.selectFrom('account').select(columns).select(robotOf).where('name', '=', value('name')),
)

/** What of the accounts is asked for. */
export interface AccountWish {
  readonly kind?: AccountRow['kind'] | undefined
  /** A part of the name. */
  readonly text?: string | undefined
}

export async function listAccounts(
  db: Reader,
  { kind, text, ...page }: AccountWish & { after: string | undefined; limit: number },
): Promise<AccountRow[]> {
  return db
    .selectFrom('account')
    .select(columns)
    .select(robotOf)
    .where('name', '>', page.after ?? '')
    .$if(kind !== undefined, (query) => query.where('kind', '=', kind ?? 'person'))
    .$if(text !== undefined, (query) => query.where(sql<number>`instr(name, ${text})`, '>', 0))
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

export async function hasAccounts(db: Reader): Promise<boolean> {
  return (await db.selectFrom('account').select('id').limit(1).executeTakeFirst()) !== undefined
}

/** @returns false when the name is taken. */
export async function createAccount(
  tx: Writer,
  account: { name: string; passwordHash: string; isAdmin: boolean; nowMs: number },
): Promise<boolean> {
  const result = await tx
    .insertInto('account')
    .values({ name: account.name, password_hash: account.passwordHash, is_admin: Number(account.isAdmin), created_at_ms: account.nowMs })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .executeTakeFirst()
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n
}

export interface AccountChange {
  readonly passwordHash?: string
  readonly isAdmin?: boolean
  readonly isDisabled?: boolean
}

/** @returns false when there is no such account. */
export async function changeAccount(tx: Writer, name: string, change: AccountChange): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('account')
    .set({
      credential_version: sql`credential_version + 1`,
      ...(change.passwordHash === undefined ? {} : { password_hash: change.passwordHash }),
      ...(change.isAdmin === undefined ? {} : { is_admin: Number(change.isAdmin) }),
      ...(change.isDisabled === undefined ? {} : { is_disabled: Number(change.isDisabled) }),
    })
    .where('name', '=', name)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** @returns false when there is no such account. */
export async function deleteAccount(tx: Writer, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('account').where('name', '=', name).executeTakeFirst()
  return numDeletedRows > 0n
}

/** Enabled administrators, counted up to `limit`. */
export async function countAdministrators(db: Reader, limit: number): Promise<number> {
  const rows = await db.selectFrom('account').select('id').where('is_admin', '=', 1).where('is_disabled', '=', 0).limit(limit).execute()
  return rows.length
}
