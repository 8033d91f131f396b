/**
 * A command's way to the rows: the data folder of the settings, made ready when no server runs, used beside one that does.
 */
import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import { loadSettingsFor } from './config.ts'
import { DataFolderError, DataFolderLock, readHolder } from '../storage/data-folder-lock.ts'
import { dataLayout, type DataLayout } from '../storage/layout.ts'
import { Database } from '../storage/metadata/database.ts'
import { migrate } from '../storage/metadata/migrate.ts'
import type { Settings } from '../server/config/settings.ts'
import { CommandError } from './terminal.ts'

export interface Opened {
  readonly settings: Settings
  readonly layout: DataLayout
  readonly database: Database
}

/**
 * Runs `work` on the folder's database and closes it.
 * @param options.mayCreate makes a folder that is not there; otherwise a mistyped path would become one
 * @throws {DataFolderError} {SchemaError} {CommandError} the folder cannot be used
 */
export async function withDatabase(command: Command, work: (opened: Opened) => Promise<void>, { mayCreate = false } = {}): Promise<void> {
  const settings = loadSettingsFor(command)
  const layout = dataLayout(settings.data)
  if (!mayCreate) requireDataFolder(layout)
  await makeReady(layout)
  const database = Database.open(layout.database)
  try {
    await work({ settings, layout, database })
  } finally {
    await database.close()
  }
}

/** @throws {CommandError} there is nothing at the place that the settings name */
export function requireDataFolder(layout: DataLayout): void {
  if (existsSync(layout.database)) return
  const advice = 'name its folder with --data or LANYARD_DATA; "lanyard serve" makes a new one'
  throw new CommandError(`there is no registry in ${layout.root}: ${advice}`)
}

/** Without a server the schema may be old or missing: it is brought up to date under the lock. With one it is current. */
async function makeReady(layout: DataLayout): Promise<void> {
  let lock: DataFolderLock
  try {
    lock = DataFolderLock.acquire(layout, 'a command')
  } catch (error) {
    if (error instanceof DataFolderError && existsSync(layout.database) && readHolder(layout)) return
    throw error
  }
  try {
    await migrate(layout, Date.now())
  } finally {
    lock.release()
  }
}
