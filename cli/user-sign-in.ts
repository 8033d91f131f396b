/**
 * `lanyard user second-factor` and `lanyard user sessions`: for an administrator who helps someone out. Both act on the account's next
 * request.
 */
import type { Command } from 'commander'
import { getSecondFactor, removeSecondFactor } from '../server/api/credentials.ts'
import { endSession, endSessions, listSessions } from '../server/api/sessions.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems } from './remote.ts'
import { CommandError, formatTable, print } from './terminal.ts'

/** @param user the command `lanyard user` */
export function addSignInCommands(user: Command): void {
  addApiFlags(
    user
      .command('second-factor <name>')
      .description('whether an account has a second factor; take it away when its device is lost')
      .option('--disable', 'take it away: the password alone opens the account again, and all its sessions end'),
  ).action(secondFactor)
  addApiFlags(
    user
      .command('sessions <name>')
      .description('in which browsers an account is signed in')
      .option('--end [id]', 'end all of them, or one')
      .option('--json', 'one JSON array'),
  ).action(sessions)
}

async function secondFactor(name: string, options: { disable?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    if (options.disable) {
      await api.call(removeSecondFactor, { path: { account: name } })
      return print(`"${name}" has no second factor any more; its sessions have ended\n`)
    }
    const { enabled, recoveryCodesLeft } = await api.call(getSecondFactor, { path: { account: name } })
    print(enabled ? `"${name}" has a second factor; recovery codes left: ${recoveryCodesLeft}\n` : `"${name}" has no second factor\n`)
  })
}

async function sessions(name: string, options: { end?: true | string; json?: true }, command: Command): Promise<void> {
  const { end } = options
  if (typeof end === 'string' && !/^\d{1,15}$/.test(end)) throw new CommandError(`--end takes the ID of a session, not "${end}"`)
  await withApi(command, async (api) => {
    const path = { account: name }
    if (typeof end === 'string') {
      await api.call(endSession, { path: { ...path, session: end } })
      return print(`the session ${end} of "${name}" has ended\n`)
    }
    if (end) return print(`sessions of "${name}" that were ended: ${(await api.call(endSessions, { path })).ended}\n`)
    const found = await Array.fromAsync(allItems(api, listSessions, { path }))
    if (options.json) return print(`${JSON.stringify(found)}\n`)
    const rows = found.map(({ id, createdAt, lastSeenAt, address, agent }) => [String(id), createdAt, lastSeenAt, address, agent])
    print(formatTable([['ID', 'SIGNED IN', 'LAST SEEN', 'ADDRESS', 'BROWSER'], ...rows]))
  })
}
