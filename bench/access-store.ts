/**
 * Fills a data folder with people, teams, namespaces, roles and a long audit log, past the use cases: a hundred thousand roles take
 * seconds.
 */
import bcrypt from 'bcrypt'
import { prepareDataFolder } from '../server/prepare.ts'
import { loadSettings } from '../server/config/load.ts'
import { DataFolderLock } from '../storage/data-folder-lock.ts'
import { dataLayout } from '../storage/layout.ts'
import { Database } from '../storage/metadata/database.ts'
import type { Schema, Writer } from '../storage/metadata/schema.ts'
import type { Insertable } from 'kysely'
import { account as judge } from './client.ts'

/** How much an access store holds. */
export interface AccessSize {
  readonly accounts: number
  readonly namespaces: number
  /** Roles of accounts and teams, in namespaces and in repositories of them. */
  readonly grants: number
  readonly teams: number
  readonly teamMembers: number
  readonly auditEvents: number
}

const rowsPerStatement = 500
const rowsPerTransaction = 50_000
const teamShare = 20

export const memberName = (index: number): string => `user${String(index).padStart(5, '0')}`
export const namespaceName = (index: number): string => `crowd${String(index).padStart(4, '0')}`
export const teamName = (index: number): string => `team${String(index).padStart(4, '0')}`

/**
 * All accounts have the judge's password. Account 0 is a reader of namespace 0 through team 0 alone; account 1 through an exception in the repository that is named.
 * @param folder no server may run on it
 */
export async function fillAccess(
  folder: string,
  { size, repository, bcryptCost = 4 }: { size: AccessSize; repository: string; bcryptCost?: number },
): Promise<void> {
  const env = { LANYARD_DATA: folder, LANYARD_AUTH_BCRYPT_COST: String(bcryptCost), LANYARD_ADMIN_PASSWORD: 'only for the bench' }
  const { settings } = loadSettings({ env, flags: {} })
  const layout = dataLayout(folder)
  const lock = DataFolderLock.acquire(layout, 'bench/access-store.ts')
  try {
    await prepareDataFolder(settings, Date.now)
    const database = Database.open(layout.database)
    await fillDatabase(database, { size, repository, passwordHash: await bcrypt.hash(judge.password, bcryptCost) })
    await database.close()
  } finally {
    lock.release()
  }
}

async function fillDatabase(
  database: Database,
  { size, repository, passwordHash }: { size: AccessSize; repository: string; passwordHash: string },
): Promise<void> {
  const nowMs = Date.now()
  const add = inserterFor(database)
  await add('account', size.accounts, (index) => ({
    name: memberName(index),
    password_hash: passwordHash,
    is_admin: 0,
    created_at_ms: nowMs,
    description: '',
    kind: 'person' as const,
  }))
  await add('namespace', size.namespaces, (index) => ({
    name: namespaceName(index),
    visibility: null,
    created_at_ms: nowMs,
    created_by: null,
  }))
  await add('team', size.teams, (index) => ({ name: teamName(index), created_at_ms: nowMs }))
  const accounts = await idsOf(database, 'account', { from: memberName(0), count: size.accounts })
  const namespaces = await idsOf(database, 'namespace', { from: namespaceName(0), count: size.namespaces })
  const teams = await idsOf(database, 'team', { from: teamName(0), count: size.teams })
  const at = (ids: readonly number[], index: number): number => ids[index % ids.length] ?? 0
  await add('team_member', size.teamMembers, (index) => ({
    team_id: at(teams, index),
    account_id: at(accounts, index),
    is_manager: 0,
    added_at_ms: nowMs,
  }))
  const perNamespace = Math.ceil(size.grants / size.namespaces)
  await add('role_grant', size.grants, (index) => {
    const [namespace, place] = [Math.floor(index / perNamespace), index % perNamespace]
    const common = { namespace_id: at(namespaces, namespace), granted_at_ms: nowMs, granted_by: null }
    if (index === 0) return { ...common, account_id: null, team_id: at(teams, 0), repository: '', role: 'reader' as const }
    if (index === 1) return { ...common, account_id: at(accounts, 1), team_id: null, repository, role: 'reader' as const }
    if (place % teamShare === 0) {
      return { ...common, account_id: null, team_id: at(teams, 1 + namespace + place / teamShare), repository: '', role: 'writer' as const }
    }
    const isException = place % 4 === 1
    const name = isException ? `${namespaceName(namespace)}/app${place}` : ''
    return { ...common, account_id: at(accounts, 2 + namespace * 7 + place * 9), team_id: null, repository: name, role: 'writer' as const }
  })
  const actions = ['pull', 'push', 'pull', 'login', 'pull', 'delete', 'pull', 'pull']
  await add('audit_event', size.auditEvents, (index) => ({
    at_ms: nowMs - (size.auditEvents - index) * 1000,
    actor: memberName((index * 31) % size.accounts),
    via: 'token',
    address: '192.0.2.1',
    action: actions[index % actions.length] ?? 'pull',
    target: `${namespaceName((index * 13) % size.namespaces)}/app${index % 50}`,
    detail: '{"tag":"latest"}',
    outcome: index % 97 === 0 ? ('denied' as const) : ('ok' as const),
    request_id: null,
  }))
}

type Add = <Table extends keyof Schema>(table: Table, count: number, rowOf: (index: number) => Insertable<Schema[Table]>) => Promise<void>

/** What is there already stays. */
function inserterFor(database: Database): Add {
  return async (table, count, rowOf) => {
    for (let start = 0; start < count; start += rowsPerTransaction) {
      const end = Math.min(start + rowsPerTransaction, count)
      await database.writeRelaxed(async (tx) => {
        for (let from = start; from < end; from += rowsPerStatement) {
          const rows = Array.from({ length: Math.min(rowsPerStatement, end - from) }, (_, index) => rowOf(from + index))
          await insert(tx, table, rows)
        }
      })
    }
  }
}

async function insert(tx: Writer, table: keyof Schema, rows: readonly unknown[]): Promise<void> {
  await tx
    .insertInto(table)
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** In the order of their names, from the one named. */
async function idsOf(
  database: Database,
  table: 'account' | 'namespace' | 'team',
  { from, count }: { from: string; count: number },
): Promise<number[]> {
  const rows = await database.read.selectFrom(table).select('id').where('name', '>=', from).orderBy('name').limit(count).execute()
  return rows.map(({ id }) => id)
}
