/**
 * Rows of robots: accounts that a namespace owns. What they share with the accounts of people is in accounts.ts.
 */
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
  'account.description',
  'account.created_by',
  'namespace.name as robot_of',
] as const

/** The id of a namespace, created if it is that of an account or of a repository; undefined: there is none of that name. */
export async function ensureOwnerNamespace(tx: Writer, name: string, nowMs: number): Promise<number | undefined> {
  const known = await findNamespaceId(tx, name)
  if (known !== undefined) return known
  const isPerson = tx.selectFrom('account').select('id').where('name', '=', name).where('kind', '=', 'person')
  const isUsed = tx.selectFrom('repository').select('id').where('namespace', '=', name).limit(1)
  if (!(await isPerson.executeTakeFirst()) && !(await isUsed.executeTakeFirst())) return undefined
  const { id } = await tx.insertInto('namespace').values({ name, created_at_ms: nowMs }).returning('id').executeTakeFirstOrThrow()
  return id
}

/** undefined: there is no namespace of that name. */
export async function findNamespaceId(db: Reader, name: string): Promise<number | undefined> {
  return (await db.selectFrom('namespace').select('id').where('name', '=', name).executeTakeFirst())?.id
}

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
