/**
 * Rights in a large company: what the look-up of a role costs beside 100,000 grants, and lists to those who have some of them.
 */
import type { Account, Identity } from '../../auth/identity.ts'
import type { GrantedRole } from '../../auth/roles.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { repositoriesFor } from '../../registry/list.ts'
import { Rights } from '../../registry/rights.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { dataLayout } from '../../storage/layout.ts'
import { accountById } from '../../storage/metadata/accounts.ts'
import { Database } from '../../storage/metadata/database.ts'
import { grantedRole } from '../../storage/metadata/grants.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import type { RoleGrantTable, Schema } from '../../storage/metadata/schema.ts'
import type { Insertable } from 'kysely'
import type { Piece, PieceGroup } from '../piece.ts'

export interface Company {
  readonly accounts: number
  readonly teams: number
  readonly namespaces: number
  readonly repositories: number
  readonly grants: number
}

const company: Company = { accounts: 2000, teams: 100, namespaces: 500, repositories: 10_000, grants: 100_000 }
const rowsPerInsert = 500

export async function rightsPieces(folder: string, size: Company = company): Promise<PieceGroup> {
  const layout = dataLayout(folder)
  await DiskBlobStore.prepare(layout)
  await migrate(layout, 0)
  const database = Database.open(layout.database)
  await fill(database, size)
  return { title: `rights beside ${size.grants} grants`, pieces: piecesOn(database, size), close: () => database.close() }
}

function piecesOn(database: Database, size: Company): Piece[] {
  const role = database.prepare(grantedRole)
  const account = database.prepare(accountById)
  const rights = new Rights(database, { isOpen: false })
  let turn = 0
  const next = () => {
    turn++
    return {
      accountId: 1 + (turn % size.accounts),
      namespace: `team${turn % size.namespaces}`,
      name: nameOf(turn % size.repositories, size),
    }
  }
  const page = async () => {
    const filter = await rights.listingFor(identityOf(next().accountId))
    return repositoriesFor({ database }, filter, { after: undefined, limit: 100 })
  }
  return [
    { title: 'account by id, prepared', run: () => account({ id: next().accountId }) },
    {
      title: 'role in a repository by grants, prepared',
      run: () => {
        const { accountId, namespace, name } = next()
        return role({ namespace, repository: name, accountId })
      },
    },
    { title: 'what an account may list', run: () => rights.listingFor(identityOf(next().accountId)) },
    { title: 'page of 100 repositories by grants', run: page },
  ]
}

/** A repository's name; its namespace follows from its number. */
function nameOf(index: number, { namespaces }: Company) {
  return parseRepositoryName(`team${index % namespaces}/app-${index}`)
}

function identityOf(id: number): Identity {
  const account: Account = {
    id,
    name: `user${id}`,
    isAdmin: false,
    isDisabled: false,
    hasSecondFactor: false,
    passwordHash: '',
    credentialVersion: 1,
    kind: 'person',
    robotOf: undefined,
  }
  return { kind: 'account', account }
}

const roles: readonly GrantedRole[] = ['reader', 'writer', 'maintainer', 'none']

/** Half of the grants are exceptions; every account is in three teams, every team has a role in five namespaces. */
async function fill(database: Database, size: Company): Promise<void> {
  const nowMs = 1
  await insert(database, { table: 'account', count: size.accounts }, (index) => ({
    name: `user${index + 1}`,
    password_hash: '',
    is_admin: 0,
    created_at_ms: nowMs,
  }))
  await insert(database, { table: 'namespace', count: size.namespaces }, (index) => ({ name: `team${index}`, created_at_ms: nowMs }))
  await insert(database, { table: 'team', count: size.teams }, (index) => ({ name: `crew${index}`, created_at_ms: nowMs }))
  await insert(database, { table: 'repository', count: size.repositories }, (index) => ({
    name: nameOf(index, size),
    namespace: `team${index % size.namespaces}`,
    visibility: 'private' as const,
    created_at_ms: nowMs,
  }))
  await insert(database, { table: 'team_member', count: size.accounts * 3 }, (index) => ({
    team_id: 1 + ((Math.floor(index / 3) + (index % 3) * 7) % size.teams),
    account_id: 1 + Math.floor(index / 3),
    added_at_ms: nowMs,
  }))
  await insert(database, { table: 'role_grant', count: size.teams * 5 }, (index) => ({
    namespace_id: 1 + ((Math.floor(index / 5) * 7 + (index % 5)) % size.namespaces),
    account_id: null,
    team_id: 1 + Math.floor(index / 5),
    role: 'writer' as const,
    granted_at_ms: nowMs,
  }))
  await insert(database, { table: 'role_grant', count: size.grants }, (index) => grantRow(index, size))
}

/** Each account gets its grants one after the other, in the namespaces that follow its own number. */
function grantRow(index: number, size: Company): Insertable<RoleGrantTable> {
  const account = index % size.accounts
  const round = Math.floor(index / size.accounts)
  const namespace = (account * 13 + round) % size.namespaces
  const isException = round % 2 === 1
  return {
    namespace_id: 1 + namespace,
    repository: isException ? nameOf(namespace, size) : '',
    account_id: 1 + account,
    team_id: null,
    role: isException ? (roles[index % 4] ?? 'none') : (roles[index % 3] ?? 'reader'),
    granted_at_ms: 1,
  }
}

/** Some hundred rows at a time. */
async function insert<Table extends keyof Schema>(
  database: Database,
  { table, count }: { table: Table; count: number },
  rowOf: (index: number) => Insertable<Schema[Table]>,
): Promise<void> {
  for (let start = 0; start < count; start += rowsPerInsert) {
    const rows = Array.from({ length: Math.min(rowsPerInsert, count - start) }, (_, index) => rowOf(start + index))
    await database.writeRelaxed((tx) =>
      tx
        .insertInto(table)
        .values(rows as never)
        .execute(),
    )
  }
}
