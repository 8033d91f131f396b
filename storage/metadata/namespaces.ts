/**
 * Rows of namespaces: find, create, describe, rename with everything that carries the name, and what one holds.
 *
 * Who may do that is not decided here; the roles in a namespace are rows of grants.ts.
 */
import { sql } from 'kysely'
import type { NamespaceTable, Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'
import { namespaceUsage, type UsageRow } from './usage.ts'

export interface NamespaceRow {
  readonly id: number
  readonly name: string
  readonly description: string
  /** Of a new repository; null: as the setting says. */
  readonly visibility: NamespaceTable['visibility']
  readonly created_at_ms: number
  /** Account name. */
  readonly created_by: string | null
}

const columns = ['id', 'name', 'description', 'visibility', 'created_at_ms', 'created_by'] as const

/** On the path of pushes that may create one. */
export const namespaceByName = new Statement<{ name: string }, NamespaceRow>((db, value) =>
  db.selectFrom('namespace').select(columns).where('name', '=', value('name')),
)

export interface NewNamespace {
  readonly name: string
  readonly description: string
  readonly visibility: NamespaceTable['visibility']
  /** Account name; null: nobody in particular. */
  readonly by: string | null
  readonly nowMs: number
}

/** @returns its id; undefined when the name is taken. */
export async function createNamespace(tx: Writer, { name, description, visibility, by, nowMs }: NewNamespace): Promise<number | undefined> {
  const row = await tx
    .insertInto('namespace')
    .values({ name, description, visibility, created_at_ms: nowMs, created_by: by })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('id')
    .executeTakeFirst()
  return row?.id
}

export interface EnsuredNamespace {
  readonly name: string
  /** Who becomes the owner of one that is new; null: nobody. A person whose name it is, and a robot, get no grant. */
  readonly accountId: number | null
  readonly nowMs: number
}

/** The namespace of this name, created when it is new. */
export async function ensureNamespace(tx: Writer, fresh: EnsuredNamespace): Promise<NamespaceRow> {
  const found = await namespaceByName.first(tx, { name: fresh.name })
  if (found) return found
  const creator = tx.selectFrom('account').select('account.name').where('account.id', 'is', fresh.accountId)
  const row = await tx
    .insertInto('namespace')
    .values({ name: fresh.name, visibility: null, created_at_ms: fresh.nowMs, created_by: creator })
    .returning(columns)
    .executeTakeFirstOrThrow()
  await tx
    .insertInto('role_grant')
    .columns(['namespace_id', 'account_id', 'role', 'granted_at_ms', 'granted_by'])
    .expression(
      tx
        .selectFrom('account')
        .select([
          sql.val(row.id).as('namespace_id'),
          'account.id',
          sql.val('owner').as('role'),
          sql.val(fresh.nowMs).as('at'),
          'account.name',
        ])
        .where('account.id', 'is', fresh.accountId)
        .where('account.kind', '=', 'person')
        .where('account.name', '<>', fresh.name),
    )
    .execute()
  return row
}

export interface NamespaceChange {
  readonly description?: string
  readonly visibility?: NamespaceTable['visibility']
}

/** @returns whether there is such a namespace. */
export async function changeNamespace(tx: Writer, name: string, change: NamespaceChange): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('namespace')
    .set({
      // So that a change of nothing is a statement too, and tells whether the namespace is there.
      name,
      ...(change.description === undefined ? {} : { description: change.description }),
      ...(change.visibility === undefined ? {} : { visibility: change.visibility }),
    })
    .where('name', '=', name)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Takes the namespace's grants and robots with it, not its repositories. @returns whether there was such a namespace. */
export async function deleteNamespace(tx: Writer, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('namespace').where('name', '=', name).executeTakeFirst()
  return numDeletedRows > 0n
}

/** Gives the namespace, all repositories below it and the grants in single repositories the new name, which must be free. */
export async function renameNamespace(tx: Writer, { id, from, to }: { id: number; from: string; to: string }): Promise<void> {
  const behind = from.length + 1
  await tx.updateTable('namespace').set({ name: to }).where('id', '=', id).execute()
  await tx
    .updateTable('repository')
    .set({ namespace: to, name: sql<string>`${to} || substr(name, ${behind})` })
    .where('namespace', '=', from)
    .execute()
  await tx
    .updateTable('role_grant')
    .set({ repository: sql<string>`${to} || substr(repository, ${behind})` })
    .where('namespace_id', '=', id)
    .where('repository', '<>', '')
    .execute()
}

/** What a namespace holds, counted now. */
export interface NamespaceContent {
  readonly repositories: number
  /** Accounts and teams with a role in all of it. */
  readonly members: number
  /** Roles in single repositories. */
  readonly exceptions: number
  readonly robots: number
  /** Characters of its longest repository name, 0 without any. */
  readonly longest_name: number
  /** With what it has in the trash. */
  readonly usage: UsageRow
}

export async function measureNamespace(db: Reader, { id, name }: { id: number; name: string }): Promise<NamespaceContent> {
  const { rows } = await sql<Omit<NamespaceContent, 'usage'>>`select
    (select count(*) from repository where namespace = ${name}) as repositories,
    (select count(*) from role_grant where namespace_id = ${id} and repository = '') as members,
    (select count(*) from role_grant where namespace_id = ${id} and repository > '') as exceptions,
    (select count(*) from account where namespace_id = ${id}) as robots,
    (select coalesce(max(length(name)), 0) from repository where namespace = ${name}) as longest_name`.execute(db)
  return { ...(rows[0] as Omit<NamespaceContent, 'usage'>), usage: await namespaceUsage(db, id) }
}

export interface NamespacePage {
  /** Names strictly greater in byte order. */
  readonly after: string | undefined
  readonly limit: number
}

/** One page of all namespaces by name. */
export async function listNamespaces(db: Reader, page: NamespacePage): Promise<NamespaceRow[]> {
  return db
    .selectFrom('namespace')
    .select(columns)
    .where('name', '>', page.after ?? '')
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

/** One page of the namespaces in which an account or one of its teams has a role, and that of its own name. */
export async function listNamespacesOf(
  db: Reader,
  { account, ...page }: NamespacePage & { readonly account: { readonly id: number; readonly name: string } },
): Promise<NamespaceRow[]> {
  const own = db.selectFrom('role_grant').select('namespace_id').where('account_id', '=', account.id).where('repository', '=', '')
  const ofTeams = db
    .selectFrom('team_member')
    .innerJoin('role_grant', 'role_grant.team_id', 'team_member.team_id')
    .select('role_grant.namespace_id')
    .where('team_member.account_id', '=', account.id)
    .where('role_grant.repository', '=', '')
  // The plus keeps SQLite on the index of names, which gives the order: there are few namespaces, and each is looked for in two sets.
  const id = sql<number>`+namespace.id`
  return db
    .selectFrom('namespace')
    .select(columns)
    .where('name', '>', page.after ?? '')
    .where((where) => where.or([where('name', '=', account.name), where(id, 'in', own), where(id, 'in', ofTeams)]))
    .orderBy('name')
    .limit(page.limit)
    .execute()
}
