/**
 * Rows of browser sessions. Which of them still count is a rule of auth/; a row whose time is over is deleted by a clocked job.
 */
import { sql } from 'kysely'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface SessionRow {
  readonly id: number
  readonly account_id: number
  readonly csrf_token: string
  readonly credential_version: number
  readonly agent: string
  readonly address: string
  readonly created_at_ms: number
  readonly last_seen_at_ms: number
  readonly expires_at_ms: number
}

const columns = [
  'id',
  'account_id',
  'csrf_token',
  'credential_version',
  'agent',
  'address',
  'created_at_ms',
  'last_seen_at_ms',
  'expires_at_ms',
] as const

/** On the path of every request with a cookie. */
export const sessionBySecret = new Statement<{ secretHash: Uint8Array }, SessionRow>((db, value) =>
  db.selectFrom('browser_session').select(columns).where('secret_hash', '=', value('secretHash')),
)

export interface NewSession {
  readonly accountId: number
  readonly secretHash: Uint8Array
  readonly csrfToken: string
  readonly credentialVersion: number
  readonly agent: string
  readonly address: string
  readonly nowMs: number
  readonly expiresAtMs: number
}

export async function createSession(tx: Writer, session: NewSession): Promise<SessionRow> {
  return tx
    .insertInto('browser_session')
    .values({
      account_id: session.accountId,
      secret_hash: session.secretHash,
      csrf_token: session.csrfToken,
      credential_version: session.credentialVersion,
      agent: session.agent,
      address: session.address,
      created_at_ms: session.nowMs,
      last_seen_at_ms: session.nowMs,
      expires_at_ms: session.expiresAtMs,
    })
    .returning(columns)
    .executeTakeFirstOrThrow()
}

/** The newest first. */
export async function listSessions(db: Reader | Writer, accountId: number): Promise<SessionRow[]> {
  return db.selectFrom('browser_session').select(columns).where('account_id', '=', accountId).orderBy('id', 'desc').execute()
}

export async function markSeen(tx: Writer, seen: { id: number; nowMs: number; expiresAtMs: number }): Promise<void> {
  await tx
    .updateTable('browser_session')
    .set({ last_seen_at_ms: seen.nowMs, expires_at_ms: seen.expiresAtMs })
    .where('id', '=', seen.id)
    .execute()
}

/** Lets a session outlive a change of its account that ends the others. */
export async function renewSession(tx: Writer, { id, accountId }: { id: number; accountId: number }): Promise<void> {
  await tx
    .updateTable('browser_session')
    .set((from) => ({
      credential_version: from
        .selectFrom('account')
        .select('credential_version')
        .where('account.id', '=', accountId)
        .$asScalar()
        .$notNull(),
    }))
    .where('id', '=', id)
    .where('account_id', '=', accountId)
    .execute()
}

/** @returns false when the account has no such session. */
export async function deleteSession(tx: Writer, { id, accountId }: { id: number; accountId: number }): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('browser_session')
    .where('id', '=', id)
    .where('account_id', '=', accountId)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** The one whose cookie has this value, whoever's it is. */
export async function deleteSessionBySecret(tx: Writer, secretHash: Uint8Array): Promise<void> {
  await tx.deleteFrom('browser_session').where('secret_hash', '=', secretHash).execute()
}

/** All of an account but one. @returns how many. */
export async function deleteSessionsOf(
  tx: Writer,
  { accountId, exceptId }: { accountId: number; exceptId: number | undefined },
): Promise<number> {
  const { numDeletedRows } = await tx
    .deleteFrom('browser_session')
    .where('account_id', '=', accountId)
    .where('id', '!=', exceptId ?? -1)
    .executeTakeFirst()
  return Number(numDeletedRows)
}

/** All but the newest `keep` of an account. */
export async function deleteOldestSessions(tx: Writer, { accountId, keep }: { accountId: number; keep: number }): Promise<void> {
  await tx
    .deleteFrom('browser_session')
    .where('account_id', '=', accountId)
    .where('id', '<=', (from) =>
      from
        .selectFrom('browser_session as newer')
        .select('newer.id')
        .where('newer.account_id', '=', accountId)
        .orderBy('newer.id', 'desc')
        .limit(sql<number>`1`)
        .offset(keep),
    )
    .execute()
}

/** Those whose time was over. @returns how many. */
export async function deleteExpiredSessions(tx: Writer, nowMs: number): Promise<number> {
  const { numDeletedRows } = await tx.deleteFrom('browser_session').where('expires_at_ms', '<=', nowMs).executeTakeFirst()
  return Number(numDeletedRows)
}
