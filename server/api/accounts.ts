/**
 * Operations on accounts, for administrators. No answer holds a password or what is kept of it.
 */
import { z } from 'zod'
import { accountNameOf } from '../../auth/identity.ts'
import { parseNewPassword } from '../../auth/passwords.ts'
import { RegistryError } from '../../oci/errors.ts'
import { accountsPage, addAccount, getAccount as findAccount, removeAccount, updateAccount } from '../../registry/accounts.ts'
import type { AuditAction, AuditDetail } from '../../registry/audit.ts'
import type { AccountRow } from '../../storage/metadata/accounts.ts'
import type { Services } from '../services.ts'
import { accountName, isoTime, nameFilter, newAccountName, time } from './fields.ts'
import { apiRoot, operation } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { administration } from './right.ts'
import { versionOf } from './version.ts'

const role = z.enum(['admin', 'user']).meta({ description: 'admin may do everything, user what its name owns and others share.' })
const password = z
  .string()
  .meta({ description: 'At least 8 characters and at most 72 bytes.', format: 'password', examples: ['correct horse battery'] })

const accountSchema = z
  .strictObject({
    name: z.string(),
    kind: z.enum(['person', 'robot']).meta({ description: 'A robot is the account of a machine.' }),
    role,
    disabled: z.boolean().meta({ description: 'Whether everything is refused to it.' }),
    secondFactor: z.boolean().meta({ description: 'Whether its password opens nothing without a code.' }),
    createdAt: time,
  })
  .meta({ id: 'Account' })

const tag = 'accounts'
const parameters = { account: accountName }
const example = { path: { account: 'alice' } }

export const listAccounts = operation({
  id: 'listAccounts',
  method: 'GET',
  path: '/accounts',
  tag,
  summary: 'List the accounts',
  description: 'In byte order of their names.',
  right: administration,
  query: { q: nameFilter, kind: z.enum(['person', 'robot']).optional(), ...pageQuery(['text']) },
  answer: { status: 200, description: 'A page of accounts.', schema: pageOf('AccountPage', accountSchema) },
  handle: async ({ services, query }) => {
    const only = { kind: query.kind, text: query.q }
    const page = await accountsPage(services.registry.database, { only, after: query.cursor?.[0], limit: query.limit })
    return { body: pageBody(page, { itemOf: describe, keyOf: ({ name }) => [name] }) }
  },
})

export const createAccount = operation({
  id: 'createAccount',
  method: 'POST',
  path: '/accounts',
  tag,
  summary: 'Create an account',
  description: 'It owns the repositories below its own name.',
  right: administration,
  body: z.strictObject({ name: newAccountName, password, role: role.optional() }).meta({ id: 'NewAccount' }),
  answer: { status: 201, description: 'The account; Location says where it is.', schema: accountSchema },
  errors: ['parameterInvalid', 'nameTaken', 'loginBusy'],
  example: { body: { name: 'alice', password: 'correct horse battery' } },
  deed: ({ body }) => ({ action: 'user-add', target: body?.name ?? '', detail: body && { role: body.role ?? 'user' } }),
  handle: async ({ services, body: { name, password, role } }) => {
    const passwordHash = await hashNew(services, { name, password })
    await addAccount(services.registry.database, { name, passwordHash, isAdmin: role === 'admin', nowMs: services.registry.clock() })
    return { ...(await reply(services, name)), location: `${apiRoot}/accounts/${name}` }
  },
})

export const getAccount = operation({
  id: 'getAccount',
  method: 'GET',
  path: '/accounts/{account}',
  tag,
  summary: 'Describe an account',
  right: administration,
  parameters,
  answer: { status: 200, description: 'The account.', schema: accountSchema },
  errors: ['accountUnknown'],
  example,
  handle: ({ services, path }) => reply(services, path.account),
})

export const changeAccount = operation({
  id: 'changeAccount',
  method: 'PATCH',
  path: '/accounts/{account}',
  tag,
  summary: 'Change the role, the status or the password of an account',
  description:
    'Ends everything that was issued to the account before, at once. Members that are left out stay as they are. Your own password you change below /me.',
  right: administration,
  parameters,
  body: z
    .strictObject({ role: role.optional(), disabled: z.boolean().optional(), password: password.optional() })
    .refine((change) => Object.keys(change).length > 0, { error: 'nothing to change: give role, disabled or password' })
    .meta({ id: 'AccountChange', minProperties: 1 }),
  answer: { status: 200, description: 'The account as it is now.', schema: accountSchema },
  isConditional: true,
  errors: ['parameterInvalid', 'accountUnknown', 'loginBusy'],
  example: { ...example, body: { disabled: true } },
  deed: ({ path, body }) => ({ action: changeAction(body), target: path.account, detail: body && detailOf(body) }),
  handle: async ({ services, caller, path: { account: name }, body: { role, disabled, password }, requireVersion }) => {
    const { database } = services.registry
    if (password !== undefined && accountNameOf(caller.identity) === name) throw ownPassword()
    await findAccount(database, name)
    await updateAccount(database, name, {
      ...(role === undefined ? {} : { isAdmin: role === 'admin' }),
      ...(disabled === undefined ? {} : { isDisabled: disabled }),
      ...(password === undefined ? {} : { passwordHash: await hashNew(services, { name, password }) }),
      check: (current) => requireVersion(versionOf(describe(current))),
    })
    return reply(services, name)
  },
})

export const deleteAccount = operation({
  id: 'deleteAccount',
  method: 'DELETE',
  path: '/accounts/{account}',
  tag,
  summary: 'Remove an account',
  description: 'Its repositories stay; whoever gets an account of the same name owns them then.',
  right: administration,
  parameters,
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['parameterInvalid', 'accountUnknown'],
  example,
  deed: ({ path }) => ({ action: 'user-remove', target: path.account }),
  handle: async ({ services, path, requireVersion }) => {
    await removeAccount(services.registry.database, path.account, (current) => requireVersion(versionOf(describe(current))))
    return { body: undefined }
  },
})

interface AccountChange {
  readonly role?: 'admin' | 'user' | undefined
  readonly disabled?: boolean | undefined
  readonly password?: string | undefined
}

/** The one that weighs most, where several are changed at once: the detail names all. */
function changeAction({ role, disabled, password }: AccountChange = {}): AuditAction {
  if (role !== undefined) return 'user-role'
  if (disabled !== undefined) return disabled ? 'user-disable' : 'user-enable'
  return password === undefined ? 'user-role' : 'user-password'
}

function detailOf({ role, disabled, password }: AccountChange): AuditDetail {
  return { role, disabled, password: password === undefined ? undefined : 'set' }
}

/** Whoever finds an open browser, or a token, must not keep the account. */
function ownPassword(): RegistryError {
  const message = 'this is your own password: change it at /api/v1/me/password, with the one that you have'
  return new RegistryError('denied', { message })
}

function hashNew({ passwords }: Services, { name, password }: { name: string; password: string }): Promise<string> {
  return passwords.hash(parseNewPassword(password, name))
}

async function reply(services: Services, name: string) {
  const body = describe(await findAccount(services.registry.database, name))
  return { body, version: versionOf(body) }
}

function describe(row: AccountRow) {
  return {
    name: row.name,
    kind: row.kind,
    role: row.is_admin === 1 ? ('admin' as const) : ('user' as const),
    disabled: row.is_disabled === 1,
    secondFactor: row.totp_confirmed === 1,
    createdAt: isoTime(row.created_at_ms),
  }
}
