/**
 * `lanyard user second-factor` and `lanyard user sessions`: for an administrator who helps someone out. Both act beside a running
 * server, on the account's next request.
 */
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import type { Account } from '../auth/identity.ts'
import { LoginAttempts } from '../auth/login-attempts.ts'
import { accountDirectory } from '../registry/accounts.ts'
import { SecondFactors } from '../registry/second-factor.ts'
import { BrowserSessions, type Session } from '../registry/sessions.ts'
import { sessionLimitsOf } from '../server/services.ts'
import { addDataFlags } from './config.ts'
import { type Opened, withDatabase } from './open-database.ts'
import { CommandError, formatTable, print } from './terminal.ts'

/** @param user the command `lanyard user` */
export function addSignInCommands(user: Command): void {
  addDataFlags(
    user
      .command('second-factor <name>')
      .description('whether an account has a second factor; take it away when its device is lost')
      .option('--disable', 'take it away: the password alone opens the account again, and all its sessions end'),
  ).action(secondFactor)
  addDataFlags(
    user
      .command('sessions <name>')
      .description('in which browsers an account is signed in')
      .option('--end', 'end all of them')
      .option('--json', 'one JSON array'),
  ).action(sessions)
}

async function secondFactor(name: string, options: { disable?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const account = await getAccount(database, name)
    const secondFactors = new SecondFactors({ database, attempts: new LoginAttempts(Date.now), clock: Date.now, randomBytes })
    if (options.disable) {
      await secondFactors.disable(account)
      return print(`"${name}" has no second factor any more; its sessions have ended\n`)
    }
    if (!account.hasSecondFactor) return print(`"${name}" has no second factor\n`)
    print(`"${name}" has a second factor; recovery codes left: ${await secondFactors.recoveryCodesLeft(account)}\n`)
  })
}

async function sessions(name: string, options: { end?: true; json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ settings, database }) => {
    const account = await getAccount(database, name)
    const limits = sessionLimitsOf(settings)
    const sessions = new BrowserSessions({
      database,
      accounts: accountDirectory(database, { note: () => undefined }),
      limits,
      clock: Date.now,
      randomBytes,
    })
    if (options.end) return print(`sessions of "${name}" that were ended: ${await sessions.endAll(account)}\n`)
    const rows = (await sessions.list(account)).map(rowOf)
    if (options.json) return print(`${JSON.stringify(rows)}\n`)
    print(
      formatTable([
        ['ID', 'SIGNED IN', 'LAST SEEN', 'ADDRESS', 'BROWSER'],
        ...rows.map((row) => [String(row.id), row.created, row.lastSeen, row.address, printable(row.agent)]),
      ]),
    )
  })
}

function rowOf({ id, createdAtMs, lastSeenAtMs, address, agent }: Session) {
  return { id, created: new Date(createdAtMs).toISOString(), lastSeen: new Date(lastSeenAtMs).toISOString(), address, agent }
}

/** A browser calls itself what it likes; a terminal must not be told to do something by it. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}

async function getAccount(database: Opened['database'], name: string): Promise<Account> {
  const account = await accountDirectory(database, { note: () => undefined }).findAccountByName(name)
  if (!account) throw new CommandError(`there is no account "${name}"`)
  return account
}
