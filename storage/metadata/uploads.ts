/**
 * Rows of upload sessions: how far each got, the digest of what is there, and which request is writing to it.
 *
 * The row is the truth about the offset; the file may hold more after an interruption, never less while the system ran.
 * Written without an fsync: a session that a power cut takes costs its client a retry.
 */
import { sql } from 'kysely'
import type { DigestAlgorithm, SupportedDigest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/repository-name.ts'
import type { Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

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

interface NewSession extends SessionKey {
  readonly algorithm: DigestAlgorithm
  readonly nowMs: number
}

const insertSession = new Statement<NewSession>((db, value) =>
  db.insertInto('upload_session').values({
    id: value('id'),
    repository: value('repository'),
    account_id: value('accountId'),
    started_at_ms: value('nowMs'),
    updated_at_ms: value('nowMs'),
    algorithm: value('algorithm'),
  }),
)

export async function createSession(tx: Writer, session: NewSession): Promise<void> {
  await insertSession.run(tx, session)
}

const sessionByKey = new Statement<SessionKey, UploadSessionRow>((db, value) =>
  db
    .selectFrom('upload_session')
    .select(columns)
    .where('id', '=', value('id'))
    .where('repository', '=', value('repository'))
    .where('account_id', 'is', value('accountId'))
    .$castTo<UploadSessionRow>(),
)

export async function findSession(db: Reader | Writer, key: SessionKey): Promise<UploadSessionRow | undefined> {
  return sessionByKey.first(db, key)
}

const nthSession = new Statement<{ accountId: number | null; before: number }, { id: string }>((db, value) =>
  db
    .selectFrom('upload_session')
    .select('id')
    .where('account_id', 'is', value('accountId'))
    .limit(sql<number>`1`)
    .offset(value('before')),
)

/** Whether the account has at least `count` sessions open. */
export async function hasSessions(db: Reader, accountId: number | null, count: number): Promise<boolean> {
  return (await nthSession.first(db, { accountId, before: count - 1 })) !== undefined
}

interface Claim {
  readonly id: string
  readonly writer: string
  readonly nowMs: number
  readonly untilMs: number
}

const setWriter = new Statement<Claim>((db, value) =>
  db
    .updateTable('upload_session')
    .set({ writer: value('writer'), writer_until_ms: value('untilMs') })
    .where('id', '=', value('id'))
    .where((where) => where.or([where('writer', 'is', null), where('writer_until_ms', '<', value('nowMs'))])),
)

/** Takes the session for one writing request until `untilMs`. @returns false when another holds it. */
export async function claimSession(tx: Writer, claim: Claim): Promise<boolean> {
  return (await setWriter.run(tx, claim)) > 0
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

interface Progress {
  readonly id: string
  readonly writer: string
  readonly nowMs: number
  readonly bytesStored: number
  readonly digestSoFar: SupportedDigest | null
}

const setProgress = new Statement<Progress>((db, value) =>
  db
    .updateTable('upload_session')
    .set({
      writer: sql`null`,
      writer_until_ms: sql`0`,
      updated_at_ms: value('nowMs'),
      bytes_stored: value('bytesStored'),
      digest_so_far: value('digestSoFar'),
    })
    .where('id', '=', value('id'))
    .where('writer', '=', value('writer')),
)

/** Records how far the session got and lets it go. @returns false when it is no longer the writer's. */
export async function releaseSession(tx: Writer, progress: Progress): Promise<boolean> {
  return (await setProgress.run(tx, progress)) > 0
}

const removeSession = new Statement<{ id: string }>((db, value) => db.deleteFrom('upload_session').where('id', '=', value('id')))

/** @returns whether there was such a session. */
export async function deleteSession(tx: Writer, id: string): Promise<boolean> {
  return (await removeSession.run(tx, { id })) > 0
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
