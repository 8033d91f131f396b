/**
 * Accounts: the directory that authentication reads, and the changes an administrator makes. Here storage and auth meet.
 *
 * Invariant: there is always an enabled administrator; a change that would take the last one is refused.
 */
import type { Account, AccountDirectory } from '../auth/identity.ts'
import { RegistryError } from '../oci/errors.ts'
import {
  accountById,
  accountByName,
  changeAccount,
  countAdministrators,
  createAccount,
  deleteAccount,
  hasAccounts,
  listAccounts,
  type AccountChange,
  type AccountRow,
} from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { recordAuditEvent } from './audit.ts'

const lastAdministrator = 'this is the last enabled administrator: make another account one first'

export function accountDirectory(database: Database): AccountDirectory {
  const byId = database.prepare(accountById)
  const byName = database.prepare(accountByName)
  return {
    findAccountById: async (id) => accountOf(await byId({ id })),
    findAccountByName: async (name) => accountOf(await byName({ name })),
  }
}

export interface NewAccount {
  readonly name: string
  readonly passwordHash: string
  readonly isAdmin: boolean
  readonly nowMs: number
}

/** @throws {RegistryError} parameterInvalid: the name is taken, or it would be the first account and no administrator */
export async function addAccount(database: Database, account: NewAccount): Promise<void> {
  await database.write(async (tx) => {
    const isNew = await createAccount(tx, account)
    if (!isNew) throw new RegistryError('parameterInvalid', { message: `there is an account "${account.name}" already` })
    await requireAdministrator(tx, 'there is no administrator yet: the first account must be one')
  })
}

/** Creates the first administrator. @returns false when there are accounts already. */
export async function addFirstAdministrator(database: Database, account: NewAccount): Promise<boolean> {
  return database.write(async (tx) => {
    if ((await hasAccounts(tx)) || !(await createAccount(tx, { ...account, isAdmin: true }))) return false
    const by = { actor: null, via: 'system', address: null, outcome: 'ok', requestId: null } as const
    await recordAuditEvent(tx, { ...by, atMs: account.nowMs, action: 'user-add', target: account.name, detail: { role: 'admin' } })
    return true
  })
}

/** Every change ends what was issued to the account before. @throws {RegistryError} parameterInvalid */
export async function updateAccount(database: Database, name: string, change: AccountChange): Promise<void> {
  await database.write(async (tx) => {
    if (!(await changeAccount(tx, name, change))) throw unknownAccount(name)
    await requireAdministrator(tx, lastAdministrator)
  })
}

/** Its repositories stay; only administrators reach them then. @throws {RegistryError} parameterInvalid */
export async function removeAccount(database: Database, name: string): Promise<void> {
  await database.write(async (tx) => {
    if (!(await deleteAccount(tx, name))) throw unknownAccount(name)
    await requireAdministrator(tx, lastAdministrator)
  })
}

/** All accounts by name. */
export async function* allAccounts(database: Database): AsyncGenerator<AccountRow> {
  const limit = 500
  for (let after: string | undefined; ;) {
    const rows = await listAccounts(database.read, { after, limit })
    yield* rows
    if (rows.length < limit) return
    after = rows.at(-1)?.name
  }
}

async function requireAdministrator(tx: Writer, otherwise: string): Promise<void> {
  if ((await countAdministrators(tx, 1)) === 0) throw new RegistryError('parameterInvalid', { message: otherwise })
}

function unknownAccount(name: string): RegistryError {
  return new RegistryError('parameterInvalid', { message: `there is no account "${name}"` })
}

function accountOf(row: AccountRow | undefined): Account | undefined {
  if (!row) return undefined
  return {
    id: row.id,
    name: row.name,
    isAdmin: row.is_admin === 1,
    isDisabled: row.is_disabled === 1,
    passwordHash: row.password_hash,
    credentialVersion: row.credential_version,
  }
}
