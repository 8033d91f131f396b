/**
 * Rows of upload sessions: how far each got, the digest of what is there, and which request is writing to it.
 *
 * The row is the truth about the offset; the file may hold more after an interruption, never less while the system ran.
 * Written without an fsync: a session that a power cut takes costs its client a retry.
 */
import type { DigestAlgorithm, SupportedDigest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import type { Reader, Writer } from './schema.ts'

export interface UploadSessionRow {
  readonly id: string
  readonly repository: RepositoryName
  readonly account_id: number | null
  readonly bytes_stored: number
  readonly algorithm: DigestAlgorithm
  readonly digest_so_far: SupportedDigest | null
}

/** A session belongs to one repository and one account; asking for another's is asking for one that does not exist. */
export interface SessionKey {
  readonly id: string
  readonly repository: RepositoryName
  readonly accountId: number | null
}

const columns = ['id', 'repository', 'account_id', 'bytes_stored', 'algorithm', 'digest_so_far'] as const

export async function createSession(tx: Writer, session: SessionKey & { algorithm: DigestAlgorithm; nowMs: number }): Promise<void> {
  await tx
    .insertInto('upload_session')
    .values({
      id: session.id,
      repository: session.repository,
      account_id: session.accountId,
      started_at_ms: session.nowMs,
      updated_at_ms: session.nowMs,
      algorithm: session.algorithm,
    })
    .execute()
}

export async function findSession(db: Reader, key: SessionKey): Promise<UploadSessionRow | undefined> {
  return db
    .selectFrom('upload_session')
    .select(columns)
    .where('id', '=', key.id)
    .where('repository', '=', key.repository)
    .where('account_id', 'is', key.accountId)
    .$castTo<UploadSessionRow>()
    .executeTakeFirst()
}

/** How many sessions the account has open, counted up to `limit`. */
export async function countSessions(db: Reader, accountId: number | null, limit: number): Promise<number> {
  const rows = await db.selectFrom('upload_session').select('id').where('account_id', 'is', accountId).limit(limit).execute()
  return rows.length
}

/** Takes the session for one writing request until `untilMs`. @returns false when another holds it. */
export async function claimSession(tx: Writer, claim: { id: string; writer: string; nowMs: number; untilMs: number }): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('upload_session')
    .set({ writer: claim.writer, writer_until_ms: claim.untilMs })
    .where('id', '=', claim.id)
    .where((where) =>
      where.or([where('writer', 'is', null), where('writer', '=', claim.writer), where('writer_until_ms', '<', claim.nowMs)]),
    )
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Says that the writer is still at work. @returns false when the session is no longer its own. */
export async function keepSession(tx: Writer, keep: { id: string; writer: string; nowMs: number; untilMs: number }): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('upload_session')
    .set({ writer_until_ms: keep.untilMs, updated_at_ms: keep.nowMs })
    .where('id', '=', keep.id)
    .where('writer', '=', keep.writer)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Records how far the session got and lets it go. */
export async function releaseSession(
  tx: Writer,
  progress: { id: string; writer: string; nowMs: number; bytesStored: number; digestSoFar: SupportedDigest | null },
): Promise<void> {
  await tx
    .updateTable('upload_session')
    .set({
      writer: null,
      writer_until_ms: 0,
      updated_at_ms: progress.nowMs,
      bytes_stored: progress.bytesStored,
      digest_so_far: progress.digestSoFar,
    })
    .where('id', '=', progress.id)
    .where('writer', '=', progress.writer)
    .execute()
}

/** @returns whether there was such a session. */
export async function deleteSession(tx: Writer, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('upload_session').where('id', '=', id).executeTakeFirst()
  return numDeletedRows > 0n
}

/** Sessions on which nothing moved since `beforeMs` and that no request holds. */
export async function listExpiredSessions(db: Reader, expired: { beforeMs: number; nowMs: number; limit: number }): Promise<string[]> {
  const rows = await db
    .selectFrom('upload_session')
    .select('id')
    .where('updated_at_ms', '<', expired.beforeMs)
    .where('writer_until_ms', '<', expired.nowMs)
    .orderBy('updated_at_ms')
    .limit(expired.limit)
    .execute()
  return rows.map((row) => row.id)
}

/** Deletes a session unless something moved on it since. @returns whether it was deleted. */
export async function deleteExpiredSession(tx: Writer, expired: { id: string; beforeMs: number; nowMs: number }): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('upload_session')
    .where('id', '=', expired.id)
    .where('updated_at_ms', '<', expired.beforeMs)
    .where('writer_until_ms', '<', expired.nowMs)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Those of `ids` that are sessions. */
export async function knownSessions(db: Reader, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('upload_session')
    .select('id')
    .where('id', 'in', [...ids])
    .execute()
  return new Set(rows.map((row) => row.id))
}

/** Lets go of what a process that ended was writing to. @param writerPrefix what its claims begin with; '' for all. */
export async function releaseWriters(tx: Writer, writerPrefix: string): Promise<void> {
  await tx
    .updateTable('upload_session')
    .set({ writer: null, writer_until_ms: 0 })
    .where('writer', 'is not', null)
    .where('writer', 'like', `${writerPrefix}%`)
    .execute()
}

/**
 * After a start nobody knows whether the last one ended with a power cut: the digests of unfinished uploads are forgotten,
 * so that what is continued is first read again from the disk.
 */
export async function forgetDigests(tx: Writer): Promise<void> {
  await tx.updateTable('upload_session').set({ digest_so_far: null }).where('digest_so_far', 'is not', null).execute()
}
