/**
 * Rows of robots: accounts that a namespace owns. What they share with the accounts of people is in accounts.ts.
 */
import { sql } from 'kysely'
import type { AccountRow } from './accounts.ts'
import type { Reader, Writer } from './schema.ts'

export interface RobotRow extends AccountRow {
  readonly description: string
  readonly created_by: string | null
}

const columns = [
  'account.id',
  'account.name',
  'account.password_hash',
  'account.is_admin',
  'account.is_disabled',
  'account.credential_version',
  'account.created_at_ms',
  'account.kind',
  'account.totp_confirmed',
  'account.description',
  'account.created_by',
  'namespace.name as robot_of',
] as const

export interface NewRobotRow {
  /** The full name. */
  readonly name: string
  readonly namespaceId: number
  readonly passwordHash: string
  readonly description: string
  readonly createdBy: string | null
  readonly nowMs: number
}

/** @returns its id; undefined when the name is taken. */
export async function createRobot(tx: Writer, robot: NewRobotRow): Promise<number | undefined> {
  const row = await tx
    .insertInto('account')
    .values({
      name: robot.name,
      password_hash: robot.passwordHash,
      is_admin: 0,
      created_at_ms: robot.nowMs,
      kind: 'robot',
      namespace_id: robot.namespaceId,
      description: robot.description,
      created_by: robot.createdBy,
    })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('id')
    .executeTakeFirst()
  return row?.id
}

/** Those of a namespace whose own name, without that of a namespace, is this: more than one when it was renamed. */
export async function listRobotsNamed(db: Reader, robot: { namespaceId: number; name: string }): Promise<RobotRow[]> {
  const ending = `.${robot.name}`
  return db
    .selectFrom('account')
    .innerJoin('namespace', 'namespace.id', 'account.namespace_id')
    .select(columns)
    .where('account.namespace_id', '=', robot.namespaceId)
    .where(sql<string>`substr(account.name, ${-ending.length})`, '=', ending)
    .execute()
}

/** Ends nothing that was issued to it. */
export async function setRobotDescription(tx: Writer, robot: { id: number; description: string }): Promise<void> {
  await tx.updateTable('account').set({ description: robot.description }).where('id', '=', robot.id).execute()
}

/** One page of a namespace's robots by their full names. */
export async function listRobots(db: Reader, page: { namespaceId: number; after: string | undefined; limit: number }): Promise<RobotRow[]> {
  return db
    .selectFrom('account')
    .innerJoin('namespace', 'namespace.id', 'account.namespace_id')
    .select(columns)
    .where('account.namespace_id', '=', page.namespaceId)
    .where('account.name', '>', page.after ?? '')
    .orderBy('account.name')
    .limit(page.limit)
    .execute()
}
