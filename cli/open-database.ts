/**
 * A command's way to the rows: the data folder of the settings, made ready when no server runs, used beside one that does.
 */
import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { recordAuditEvent, type AuditEvent } from '../registry/audit.ts'
import { loadSettingsFor } from './config.ts'
import { DataFolderError, DataFolderLock } from '../storage/data-folder-lock.ts'
import { systemCode } from '../storage/faults.ts'
import { dataLayout, type DataLayout } from '../storage/layout.ts'
import { Database } from '../storage/metadata/database.ts'
import { Journal } from '../storage/recovery/journal.ts'
import { isMigrated, migrate } from '../storage/metadata/migrate.ts'
import type { Settings } from '../server/config/settings.ts'
import { CommandError } from './terminal.ts'

/** How long a command waits for another process to make the folder ready. */
const patienceMs = 10_000
const pollMs = 50

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
  const { settings, layout } = await readyFolder(command, { mayCreate })
  const database = Database.open(layout.database, new Journal(layout))
  try {
    await work({ settings, layout, database })
  } finally {
    await database.close()
  }
}

/**
 * The settings of a command and their data folder, up to date.
 * @param options.mayCreate as withDatabase says
 * @throws {DataFolderError} {SchemaError} {CommandError} the folder cannot be used
 */
export async function readyFolder(command: Command, { mayCreate = false } = {}): Promise<{ settings: Settings; layout: DataLayout }> {
  const settings = loadSettingsFor(command)
  const layout = dataLayout(settings.data)
  if (!mayCreate) requireDataFolder(layout)
  await makeReady(layout)
  return { settings, layout }
}

/** Records what a command changed, durably, by the user of the system who ran it. Call it right after the change. */
export async function audit(database: Database, event: Pick<AuditEvent, 'action' | 'target' | 'detail'>): Promise<void> {
  const from = { atMs: Date.now(), actor: systemUser(), via: 'cli', address: null, outcome: 'ok', requestId: null } as const
  await database.write((tx) => recordAuditEvent(tx, { ...from, ...event }))
}

/** A container may run as a user who has no name. */
function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** @throws {CommandError} there is nothing at the place that the settings name */
export function requireDataFolder(layout: DataLayout): void {
  if (existsSync(layout.database)) return
  const advice = 'name its folder with --data or LANYARD_DATA; "lanyard serve" makes a new one'
  throw new CommandError(`there is no registry in ${layout.root}: ${advice}`)
}

/**
 * Without a server the schema may be old or missing: it is brought up to date under the lock. Whoever else holds the lock, a
 * server that starts or another command, does the same: that is waited for.
 */
async function makeReady(layout: DataLayout): Promise<void> {
  const giveUpAt = performance.now() + patienceMs
  for (;;) {
    const lock = acquireIfFree(layout, { mustBeFree: performance.now() > giveUpAt })
    if (lock) return migrateAndRelease(layout, lock)
    if (isMigrated(layout)) return
    await pause(pollMs)
  }
}

function acquireIfFree(layout: DataLayout, { mustBeFree }: { mustBeFree: boolean }): DataFolderLock | undefined {
  try {
    return DataFolderLock.acquire(layout, 'a command')
  } catch (error) {
    const isHeld = error instanceof DataFolderError && systemCode(error.cause) === 'SQLITE_BUSY'
    if (!isHeld || mustBeFree) throw error
    return undefined
  }
}

async function migrateAndRelease(layout: DataLayout, lock: DataFolderLock): Promise<void> {
  try {
    await migrate(layout, Date.now())
  } finally {
    lock.release()
  }
}
