/**
 * Rows of second factors: the secret beside its account, the step of the code that was taken last, and the recovery codes that are
 * left. What begins or ends a second factor raises the account's credential version in the same statement.
 */
import { sql } from 'kysely'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface SecondFactorRow {
  readonly totp_secret: string | null
  readonly totp_confirmed: number
  readonly totp_last_step: number
}

const secondFactorOf = new Statement<{ accountId: number }, SecondFactorRow>((db, value) =>
  db.selectFrom('account').select(['totp_secret', 'totp_confirmed', 'totp_last_step']).where('id', '=', value('accountId')),
)

/** undefined: there is no such account. */
export async function findSecondFactor(db: Reader | Writer, accountId: number): Promise<SecondFactorRow | undefined> {
  return secondFactorOf.first(db, { accountId })
}

/** A secret that counts for nothing until it is confirmed. @returns false when one is confirmed already. */
export async function setTotpSecret(tx: Writer, { accountId, secret }: { accountId: number; secret: string }): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('account')
    .set({ totp_secret: secret, totp_last_step: 0 })
    .where('id', '=', accountId)
    .where('totp_confirmed', '=', 0)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** @param taken.step of the code that confirmed it, which is used up. @returns false when there is nothing to confirm. */
export async function confirmTotp(tx: Writer, taken: { accountId: number; step: number }): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('account')
    .set({ totp_confirmed: 1, totp_last_step: taken.step, credential_version: sql`credential_version + 1` })
    .where('id', '=', taken.accountId)
    .where('totp_confirmed', '=', 0)
    .where('totp_secret', 'is not', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Uses a code up. @returns false when it, or one after it, was taken before. */
export async function takeTotpStep(tx: Writer, { accountId, step }: { accountId: number; step: number }): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('account')
    .set({ totp_last_step: step })
    .where('id', '=', accountId)
    .where('totp_confirmed', '=', 1)
    .where('totp_last_step', '<', step)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Ends it, with its recovery codes. @returns false when there was none. */
export async function clearSecondFactor(tx: Writer, accountId: number): Promise<boolean> {
  await tx.deleteFrom('recovery_code').where('account_id', '=', accountId).execute()
  const { numUpdatedRows } = await tx
    .updateTable('account')
    .set({ totp_secret: null, totp_confirmed: 0, totp_last_step: 0, credential_version: sql`credential_version + 1` })
    .where('id', '=', accountId)
    .where('totp_secret', 'is not', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** In place of those that were left. @param codes.hashes SHA-256 of each */
export async function setRecoveryCodes(
  tx: Writer,
  { accountId, hashes }: { accountId: number; hashes: readonly Uint8Array[] },
): Promise<void> {
  await tx.deleteFrom('recovery_code').where('account_id', '=', accountId).execute()
  await tx
    .insertInto('recovery_code')
    .values(hashes.map((hash) => ({ account_id: accountId, code_hash: hash })))
    .execute()
}

/** Uses a recovery code up. @returns false when it is none of those that are left. */
export async function takeRecoveryCode(tx: Writer, { accountId, hash }: { accountId: number; hash: Uint8Array }): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('recovery_code')
    .where('account_id', '=', accountId)
    .where('code_hash', '=', hash)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** How many are left. */
export async function countRecoveryCodes(db: Reader | Writer, accountId: number): Promise<number> {
  const rows = await db.selectFrom('recovery_code').select('code_hash').where('account_id', '=', accountId).execute()
  return rows.length
}
