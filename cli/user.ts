/**
 * `lanyard user`: accounts, on a running server and on a stopped one. Every change acts on the account's next request.
 */
import { Command } from 'commander'
import { parseAccountName } from '../auth/identity.ts'
import { parseNewPassword, Passwords } from '../auth/passwords.ts'
import { addAccount, allAccounts, removeAccount, updateAccount } from '../registry/accounts.ts'
import type { Settings } from '../server/config/settings.ts'
import { addSignInCommands } from './user-sign-in.ts'
import { addDataFlags } from './config.ts'
import { audit, type Opened, withDatabase } from './open-database.ts'
import { CommandError, formatTable, print, readPassword } from './terminal.ts'

export function addUserCommands(program: Command): void {
  const user = program.command('user').description('accounts of people').helpCommand(false)
  addDataFlags(
    user
      .command('add <name>')
      .description('create an account; it owns the repositories below its own name')
      .option('--admin', 'an administrator: may do everything')
      .option('--password-stdin', 'read the password from standard input'),
  ).action(add)
  addDataFlags(user.command('list').description('all accounts').option('--json', 'one JSON array')).action(list)
  addDataFlags(
    user
      .command('passwd <name>')
      .description('set a new password; what was issued for the old one ends')
      .option('--password-stdin', 'read the password from standard input'),
  ).action(passwd)
  addDataFlags(user.command('disable <name>').description('refuse everything to an account, from its next request on')).action(disable)
  addDataFlags(user.command('enable <name>').description('undo disable')).action(enable)
  addDataFlags(
    user
      .command('role <name> <role>')
      .description('what an account may do: admin (everything) or user (what its name owns and others share)'),
  ).action(role)
  addSignInCommands(user)
  addDataFlags(user.command('remove <name>').description('delete an account; its repositories stay')).action(remove)
}

async function add(nameText: string, options: { admin?: true; passwordStdin?: true }, command: Command): Promise<void> {
  const name = parseAccountName(nameText)
  const password = parseNewPassword(await readPassword({ fromStdin: options.passwordStdin === true }), name)
  const work = async ({ settings, database }: Opened): Promise<void> => {
    const passwordHash = await hash(settings, password)
    await addAccount(database, { name, passwordHash, isAdmin: options.admin === true, nowMs: Date.now() })
    await audit(database, { action: 'user-add', target: name, detail: { role: options.admin ? 'admin' : 'user' } })
    print(`${options.admin ? 'administrator' : 'account'} "${name}" was created\n`)
  }
  await withDatabase(command, work, { mayCreate: true })
}

async function list(options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const people = (await Array.fromAsync(allAccounts(database))).filter(({ kind }) => kind === 'person')
    const accounts = people.map((row) => ({
      name: row.name,
      role: row.is_admin === 1 ? 'admin' : 'user',
      status: row.is_disabled === 1 ? 'disabled' : 'enabled',
      created: new Date(row.created_at_ms).toISOString(),
    }))
    if (options.json) return print(`${JSON.stringify(accounts)}\n`)
    print(
      formatTable([
        ['NAME', 'ROLE', 'STATUS', 'CREATED'],
        ...accounts.map(({ name, role, status, created }) => [name, role, status, created]),
      ]),
    )
  })
}

async function passwd(name: string, options: { passwordStdin?: true }, command: Command): Promise<void> {
  const password = parseNewPassword(await readPassword({ fromStdin: options.passwordStdin === true }), name)
  await withDatabase(command, async ({ settings, database }) => {
    await updateAccount(database, name, { passwordHash: await hash(settings, password) })
    await audit(database, { action: 'user-password', target: name })
    print(`the password of "${name}" was changed\n`)
  })
}

async function disable(name: string, _options: object, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await updateAccount(database, name, { isDisabled: true })
    await audit(database, { action: 'user-disable', target: name })
    print(`"${name}" is disabled\n`)
  })
}

async function enable(name: string, _options: object, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await updateAccount(database, name, { isDisabled: false })
    await audit(database, { action: 'user-enable', target: name })
    print(`"${name}" is enabled\n`)
  })
}

async function role(...[name, roleText, , command]: [string, string, object, Command]): Promise<void> {
  if (roleText !== 'admin' && roleText !== 'user') throw new CommandError(`a role is "admin" or "user", not "${roleText}"`)
  await withDatabase(command, async ({ database }) => {
    await updateAccount(database, name, { isAdmin: roleText === 'admin' })
    await audit(database, { action: 'user-role', target: name, detail: { role: roleText } })
    print(`"${name}" is ${roleText === 'admin' ? 'an administrator' : 'a user'} now\n`)
  })
}

async function remove(name: string, _options: object, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await removeAccount(database, name)
    await audit(database, { action: 'user-remove', target: name })
    print(`"${name}" was removed; the repositories under ${name}/ stay, and whoever gets an account of that name owns them\n`)
  })
}

function hash(settings: Settings, password: string): Promise<string> {
  return new Passwords({ cost: settings.auth.bcryptCost, concurrency: 1, queueLimit: 1, cacheTtlMs: 0, clock: Date.now }).hash(password)
}
