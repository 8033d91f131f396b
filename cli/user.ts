/**
 * `lanyard user`: accounts of people, on the data folder and on a running registry. Every change acts on the account's next request.
 */
import { Command } from 'commander'
import { parseAccountName } from '../auth/identity.ts'
import { parseNewPassword } from '../auth/passwords.ts'
import { changeAccount, createAccount, deleteAccount, getAccount, listAccounts } from '../server/api/accounts.ts'
import type { Got } from '../server/api/operation.ts'
import { addSignInCommands } from './user-sign-in.ts'
import { addApiFlags, requireFreeInput, withApi } from './api-access.ts'
import { allItems, type Api } from './remote.ts'
import { CommandError, formatTable, print, readPassword } from './terminal.ts'

export function addUserCommands(program: Command): void {
  const user = program.command('user').description('accounts of people').helpCommand(false)
  addApiFlags(
    user
      .command('add <name>')
      .description('create an account; it owns the repositories below its own name')
      .option('--admin', 'an administrator: may do everything')
      .option('--password-stdin', 'read the password from standard input'),
  ).action(add)
  addApiFlags(
    user
      .command('list')
      .description('all accounts')
      .option('--filter <text>', 'only those whose name contains a text')
      .option('--json', 'one JSON array'),
  ).action(list)
  addApiFlags(user.command('show <name>').description('one account').option('--json', 'one JSON object')).action(show)
  addApiFlags(
    user
      .command('passwd <name>')
      .description('set a new password; what was issued for the old one ends')
      .option('--password-stdin', 'read the password from standard input'),
  ).action(passwd)
  addApiFlags(user.command('disable <name>').description('refuse everything to an account, from its next request on')).action(disable)
  addApiFlags(user.command('enable <name>').description('undo disable')).action(enable)
  addApiFlags(
    user
      .command('role <name> <role>')
      .description('what an account may do: admin (everything) or user (what its name owns and others share)'),
  ).action(role)
  addSignInCommands(user)
  addApiFlags(user.command('remove <name>').description('delete an account; its repositories stay')).action(remove)
}

async function add(nameText: string, options: { admin?: true; passwordStdin?: true }, command: Command): Promise<void> {
  const name = parseAccountName(nameText)
  const body = { name, password: await newPassword(name, options, command), role: options.admin ? ('admin' as const) : ('user' as const) }
  const work = async (api: Api): Promise<void> => {
    await api.call(createAccount, { body })
    print(`${options.admin ? 'administrator' : 'account'} "${name}" was created\n`)
  }
  await withApi(command, work, { mayCreate: true })
}

async function list(options: { json?: true; filter?: string }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const accounts = await Array.fromAsync(allItems(api, listAccounts, { query: { kind: 'person', q: options.filter } }))
    if (options.json) return print(`${JSON.stringify(accounts)}\n`)
    printTable(accounts)
  })
}

async function show(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const account = await api.call(getAccount, { path: { account: name } })
    if (options.json) return print(`${JSON.stringify(account)}\n`)
    printTable([account])
  })
}

async function passwd(name: string, options: { passwordStdin?: true }, command: Command): Promise<void> {
  const password = await newPassword(name, options, command)
  await withApi(command, async (api) => {
    await api.call(changeAccount, { path: { account: name }, body: { password } })
    print(`the password of "${name}" was changed\n`)
  })
}

async function disable(name: string, _options: object, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(changeAccount, { path: { account: name }, body: { disabled: true } })
    print(`"${name}" is disabled\n`)
  })
}

async function enable(name: string, _options: object, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(changeAccount, { path: { account: name }, body: { disabled: false } })
    print(`"${name}" is enabled\n`)
  })
}

async function role(...[name, roleText, , command]: [string, string, object, Command]): Promise<void> {
  if (roleText !== 'admin' && roleText !== 'user') throw new CommandError(`a role is "admin" or "user", not "${roleText}"`)
  await withApi(command, async (api) => {
    await api.call(changeAccount, { path: { account: name }, body: { role: roleText } })
    print(`"${name}" is ${roleText === 'admin' ? 'an administrator' : 'a user'} now\n`)
  })
}

async function remove(name: string, _options: object, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(deleteAccount, { path: { account: name } })
    print(`"${name}" was removed; the repositories under ${name}/ stay, and whoever gets an account of that name owns them\n`)
  })
}

/** @throws {CommandError} {RegistryError} none was given, or one against the rules */
async function newPassword(name: string, { passwordStdin }: { passwordStdin?: true }, command: Command): Promise<string> {
  if (passwordStdin) requireFreeInput(command)
  return parseNewPassword(await readPassword({ fromStdin: passwordStdin === true }), name)
}

function printTable(accounts: readonly Got<NonNullable<typeof getAccount.answer.schema>>[]): void {
  const rows = accounts.map(({ name, role, disabled, secondFactor, createdAt }) => [
    name,
    role,
    disabled ? 'disabled' : 'enabled',
    secondFactor ? 'yes' : 'no',
    createdAt,
  ])
  print(formatTable([['NAME', 'ROLE', 'STATUS', 'SECOND FACTOR', 'CREATED'], ...rows]))
}
