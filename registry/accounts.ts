/**
 * Accounts: the directory that authentication reads, and the changes an administrator makes. Here storage and auth meet.
 *
 * Invariant: there is always an enabled administrator; a change that would take the last one is refused.
 */
import type { TokenScope } from '../auth/access-token.ts'
import type { Account, AccountDirectory, FoundToken } from '../auth/identity.ts'
import { RegistryError } from '../oci/errors.ts'
import { deleteAccessTokensOf, holderById, holderBySecret, type HolderRow } from '../storage/metadata/access-tokens.ts'
import {
  accountById,
  accountByName,
  changeAccount,
  countAdministrators,
  createAccount,
  deleteAccount,
  hasAccounts,
  listAccounts,
  type AccountWish,
  type AccountChange,
  type AccountRow,
} from '../storage/metadata/accounts.ts'
import type { Database } from '../storage/metadata/database.ts'
import { hasGrantedOwner } from '../storage/metadata/grants.ts'
import { ensureNamespace } from '../storage/metadata/namespaces.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import type { TokenUses } from './access-tokens.ts'
import { recordAuditEvent } from './audit.ts'
import { pageOf, type Page, type PageRequest } from './list.ts'
import { isRobotName } from './robots.ts'

const lastAdministrator = 'this is the last enabled administrator: make another account one first'

/** @param uses where the last use of access tokens is noted */
export function accountDirectory(database: Database, uses: Pick<TokenUses, 'note'>): AccountDirectory {
  const byId = database.prepare(accountById)
  const byName = database.prepare(accountByName)
  const tokenById = database.prepare(holderById)
  const tokenBySecret = database.prepare(holderBySecret)
  return {
    findAccountById: async (id) => accountOf(await byId({ id })),
    findAccountByName: async (name) => accountOf(await byName({ name })),
    findTokenById: async (id) => foundTokenOf(await tokenById({ id })),
    findTokenBySecret: async (secretHash) => foundTokenOf(await tokenBySecret({ secretHash })),
    noteUse: (found, address) => uses.note(found, address),
  }
}

export interface NewAccount {
  readonly name: string
  readonly passwordHash: string
  readonly isAdmin: boolean
  readonly nowMs: number
}

/**
 * Creates a person's account, and the namespace of its name if there is none.
 * @throws {RegistryError} nameTaken: there is such an account; parameterInvalid: the name is a namespace that others own, or a robot's,
 * or it would be the first account and no administrator
 */
export async function addAccount(database: Database, account: NewAccount): Promise<void> {
  await database.write(async (tx) => {
    if (await isRobotName(tx, account.name)) {
      const namespace = account.name.slice(0, account.name.lastIndexOf('.'))
      throw new RegistryError('parameterInvalid', { message: `names that begin with "${namespace}." are for the robots of ${namespace}` })
    }
    const isNew = await createAccount(tx, account)
    if (!isNew) throw new RegistryError('nameTaken', { message: `there is an account "${account.name}" already` })
    // The account would own what others put there. Administrators lose nothing by it.
    if (await hasGrantedOwner(tx, account.name)) throw new RegistryError('parameterInvalid', { message: takenByNamespace(account.name) })
    await ensureNamespace(tx, { name: account.name, accountId: null, nowMs: account.nowMs })
    await requireAdministrator(tx, 'there is no administrator yet: the first account must be one')
  })
}

function takenByNamespace(name: string): string {
  return `there is a namespace "${name}" that others own: choose another name, or rename the namespace first`
}

/** Creates the first administrator. @returns false when there are accounts already. */
export async function addFirstAdministrator(database: Database, account: NewAccount): Promise<boolean> {
  return database.write(async (tx) => {
    if (await hasAccounts(tx)) return false
    await ensureNamespace(tx, { name: account.name, accountId: null, nowMs: account.nowMs })
    if (!(await createAccount(tx, { ...account, isAdmin: true }))) return false
    const by = { actor: null, via: 'system', address: null, outcome: 'ok', requestId: null } as const
    await recordAuditEvent(tx, { ...by, atMs: account.nowMs, action: 'user-add', target: account.name, detail: { role: 'admin' } })
    return true
  })
}

/** Says no, by what it throws, to an account that is not what was expected; runs within the transaction. */
export type AccountCheck = (current: AccountRow) => void

/**
 * Every change ends what was issued to the account before. A new password ends its access tokens too: whoever knew the old one may
 * have made some. Robots have no password, and are never administrators.
 * @throws {RegistryError} accountUnknown; parameterInvalid: the last administrator, or not for robots; and what `check` throws
 */
export async function updateAccount(
  database: Database,
  name: string,
  { check, ...change }: AccountChange & { check?: AccountCheck },
): Promise<void> {
  await database.write(async (tx) => {
    const account = await getCurrent(tx, name, check)
    const isForPeople = change.passwordHash !== undefined || change.isAdmin === true
    if (account.kind === 'robot' && isForPeople) {
      const message = `"${name}" is a robot: it has no password but a token, and administers nothing`
      throw new RegistryError('parameterInvalid', { message })
    }
    await changeAccount(tx, name, change)
    if (change.passwordHash !== undefined) await deleteAccessTokensOf(tx, account.id)
    await requireAdministrator(tx, lastAdministrator)
  })
}

/**
 * Its namespace and repositories stay; only administrators and those whom it granted a role reach them then.
 * @throws {RegistryError} accountUnknown; parameterInvalid: the last administrator; and what `check` throws
 */
export async function removeAccount(database: Database, name: string, check?: AccountCheck): Promise<void> {
  await database.write(async (tx) => {
    await getCurrent(tx, name, check)
    await deleteAccount(tx, name)
    await requireAdministrator(tx, lastAdministrator)
  })
}

/** @throws {RegistryError} accountUnknown */
export async function getAccount(database: Database, name: string): Promise<AccountRow> {
  const row = await accountByName.first(database.read, { name })
  if (!row) throw unknownAccount(name)
  return row
}

/** As those who sign in are known. @throws {RegistryError} accountUnknown */
export async function accountNamed(database: Database, name: string): Promise<Account> {
  const account = accountOf(await accountByName.first(database.read, { name }))
  if (!account) throw unknownAccount(name)
  return account
}

/** One page of accounts by name, of those that are asked for. */
export async function accountsPage(
  database: Database,
  { only = {}, ...page }: PageRequest & { readonly only?: AccountWish },
): Promise<Page<AccountRow>> {
  return pageOf(page, (limit) => listAccounts(database.read, { ...only, after: page.after, limit }))
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

async function getCurrent(tx: Writer, name: string, check: AccountCheck = () => undefined): Promise<AccountRow> {
  const row = await accountByName.first(tx, { name })
  if (!row) throw unknownAccount(name)
  check(row)
  return row
}

async function requireAdministrator(tx: Writer, otherwise: string): Promise<void> {
  if ((await countAdministrators(tx, 1)) === 0) throw new RegistryError('parameterInvalid', { message: otherwise })
}

function unknownAccount(name: string): RegistryError {
  return new RegistryError('accountUnknown', { message: `there is no account "${name}"` })
}

function foundTokenOf(row: HolderRow | undefined): FoundToken | undefined {
  const account = accountOf(row)
  if (!row || !account) return undefined
  return {
    account,
    // Written by makeToken, after its scopes were parsed.
    token: { id: row.token_id, name: row.token_name, scopes: JSON.parse(row.scopes) as TokenScope[] },
    expiresAtMs: row.expires_at_ms ?? undefined,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
  }
}

function accountOf(row: AccountRow | undefined): Account | undefined {
  if (!row) return undefined
  return {
    id: row.id,
    name: row.name,
    isAdmin: row.is_admin === 1,
    isDisabled: row.is_disabled === 1,
    hasSecondFactor: row.totp_confirmed === 1,
    passwordHash: row.password_hash,
    credentialVersion: row.credential_version,
    kind: row.kind,
    robotOf: row.robot_of ?? undefined,
  }
}
