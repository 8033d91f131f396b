/**
 * `lanyard keys`: the keys that sign tokens. A running server notices a change within a second.
 */
import { Command } from 'commander'
import { mkdir } from 'node:fs/promises'
import { createSigningKey, listSigningKeys, revokeSigningKey } from '../auth/signing-keys.ts'
import { dataLayout } from '../storage/layout.ts'
import { addDataFlags, loadSettingsFor } from './config.ts'
import { audit, requireDataFolder, withDatabase } from './open-database.ts'
import { CommandError, formatTable, print } from './terminal.ts'

export function addKeyCommands(program: Command): void {
  const keys = program.command('keys').description('keys that sign tokens').helpCommand(false)
  addDataFlags(keys.command('list').description('all keys: the newest signs, older ones still verify what they signed')).action(list)
  addDataFlags(keys.command('rotate').description('make a new key; tokens of the old one stay valid until they expire')).action(rotate)
  addDataFlags(keys.command('revoke <kid>').description('remove a key that leaked; its tokens end at once')).action(revoke)
}

async function folderOf(command: Command): Promise<string> {
  const layout = dataLayout(loadSettingsFor(command).data)
  requireDataFolder(layout)
  await mkdir(layout.keys, { recursive: true, mode: 0o700 })
  return layout.keys
}

async function list(_options: object, command: Command): Promise<void> {
  const keys = await listSigningKeys(await folderOf(command))
  print(formatTable([['KID', 'CREATED'], ...keys.map((key) => [key.kid, new Date(key.createdMs).toISOString()])]))
}

async function rotate(_options: object, command: Command): Promise<void> {
  const key = await createSigningKey(await folderOf(command), Date.now)
  await withDatabase(command, ({ database }) => audit(database, { action: 'key-rotate', target: key.kid }))
  print(`new tokens are signed with ${key.kid}\n`)
}

async function revoke(kid: string, _options: object, command: Command): Promise<void> {
  const folder = await folderOf(command)
  const keys = await listSigningKeys(folder)
  if (!keys.some((key) => key.kid === kid)) throw new CommandError(`there is no key ${kid}: see "lanyard keys list"`)
  if (keys.length === 1) await createSigningKey(folder, Date.now)
  await revokeSigningKey(folder, kid)
  await withDatabase(command, ({ database }) => audit(database, { action: 'key-revoke', target: kid }))
  print(`${kid} is gone: what it signed is refused from now on\n`)
}
