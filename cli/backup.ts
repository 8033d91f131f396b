/**
 * `lanyard backup` and `lanyard restore`: everything into another folder, beside a running server, and back into a new one.
 */
import type { Command } from 'commander'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { backUp, type Amount, type BackupReport } from '../storage/recovery/back-up.ts'
import { restoreBackup } from '../storage/recovery/restore-backup.ts'
import { verifyBackup } from '../storage/recovery/verify-backup.ts'
import { dataLayout } from '../storage/layout.ts'
import { Database } from '../storage/metadata/database.ts'
import { isMigrated, readMigrations } from '../storage/metadata/migrate.ts'
import {
  backupFolder,
  BackupError,
  explainFault,
  listSnapshots,
  readDescription,
  requireBackup,
  snapshotParts,
} from '../storage/recovery/backup-folder.ts'
import { addDataFlags, loadSettingsFor } from './config.ts'
import { audit, requireDataFolder } from './open-database.ts'
import { CommandError, formatBytes, formatTable, print } from './terminal.ts'

const usualKeep = 7

export function addBackupCommands(program: Command): void {
  const backup = program
    .command('backup')
    .description('copy everything into another folder, beside a running server')
    .argument('<folder>', 'the backup folder: new, or one of earlier backups')
    .option('--keep <count>', `how many backups stay in the folder, ${usualKeep} if not given`)
    .option('--copy', 'copy blobs also where they could be linked, on the same file system')
    .option('--json', 'one JSON object')
    .helpCommand(false)
  addDataFlags(backup).action(explained(create))
  backup
    .command('list <folder>')
    .description('the backups in a folder')
    .option('--json', 'one JSON array')
    .action(explained((folder, _options, command) => list(folder, command)))
  backup
    .command('verify <folder>')
    .description('read everything in a backup folder and compare it with what was written')
    .option('--json', 'one JSON object')
    .action(explained((folder, _options, command) => verify(folder, command)))
  addDataFlags(
    program
      .command('restore <folder>')
      .description('make a data folder from a backup; --data names it, and nothing may be there')
      .option('--snapshot <time>', 'which backup, as "lanyard backup list" names it; the newest if not given')
      .option('--allow-missing', 'go on without blobs that are damaged or missing in the backup')
      .option('--json', 'one JSON object'),
  ).action(explained(restore))
}

type Action<O> = (folder: string, options: O, command: Command) => Promise<void>

/** What a disk objects to is one sentence. */
function explained<O>(action: Action<O>): Action<O> {
  return async (folder, options, command) => {
    try {
      await action(folder, options, command)
    } catch (error) {
      throw explainFault(error)
    }
  }
}

/** Of the program: its package says it, which is beside the sources, and one level higher when they were compiled into dist/. */
function programVersion(): string {
  const places = ['../package.json', '../../package.json'].map((place) => new URL(place, import.meta.url))
  const { version } = JSON.parse(readFileSync(places.find((place) => existsSync(place)) ?? '', 'utf8')) as { version: string }
  return version
}

/** The command above has an option of the same name, and commander gives it what stands behind the subcommand. */
function wantsJson(command: Command): boolean {
  return command.optsWithGlobals<{ json?: true }>().json === true
}

async function create(folder: string, options: { keep?: string; copy?: true }, command: Command): Promise<void> {
  const layout = dataLayout(resolve(loadSettingsFor(command).data))
  requireDataFolder(layout)
  const report = await backUp({
    layout,
    folder: backupFolder(resolve(folder)),
    keep: parseKeep(options.keep),
    mayLink: options.copy !== true,
    nowMs: Date.now(),
    version: programVersion(),
  })
  if (isMigrated(layout)) await auditBackup(layout.database, resolve(folder))
  const { damaged } = report.description
  print(wantsJson(command) ? `${JSON.stringify(report)}\n` : describe(folder, report))
  if (damaged.length > 0 || report.objection !== undefined) process.exitCode = 1
}

async function auditBackup(path: string, folder: string): Promise<void> {
  const database = Database.open(path)
  try {
    await audit(database, { action: 'backup', target: folder })
  } finally {
    await database.close()
  }
}

function parseKeep(text: string | undefined): number {
  if (text === undefined) return usualKeep
  const keep = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (keep < 1) throw new CommandError(`--keep is a whole number from 1 on, not "${text}"`)
  return keep
}

function describe(folder: string, report: BackupReport): string {
  const { snapshot, description, copied, linked, present, kept, removed, removedBlobs, objection } = report
  const { repositories, manifests, tags, damaged } = description
  const lines = [
    `backed up to ${folder} as ${snapshot}: ${repositories} repositories, ${manifests} manifests, ${tags} tags`,
    `blobs: ${amount(copied)} copied, ${amount(linked)} linked, ${amount(present)} there already`,
    `backups kept: ${kept.length}; removed: ${removed.length}, with ${amount(removedBlobs)} that no other needs`,
    ...damaged.map((digest) => `DAMAGED in the store, and in no backup: ${digest} (push it again)`),
    ...(objection === undefined ? [] : [`NOTHING was removed of what may be superfluous: ${objection} (see "lanyard backup verify")`]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function amount({ blobs, bytes }: Amount): string {
  return `${blobs} (${formatBytes(bytes)})`
}

async function list(path: string, command: Command): Promise<void> {
  const folder = backupFolder(resolve(path))
  requireBackup(folder)
  const entries = []
  for (const id of await listSnapshots(folder)) entries.push({ snapshot: id, ...(await describedOrDamaged(snapshotParts(folder, id))) })
  if (wantsJson(command)) return print(`${JSON.stringify(entries)}\n`)
  const rows = entries.map(({ snapshot, description: found }) =>
    found
      ? [
          snapshot,
          `${found.repositories}`,
          `${found.manifests}`,
          `${found.tags}`,
          `${found.blobs}`,
          formatBytes(found.bytes),
          found.version,
        ]
      : [snapshot, 'damaged', '', '', '', '', ''],
  )
  print(formatTable([['SNAPSHOT', 'REPOSITORIES', 'MANIFESTS', 'TAGS', 'BLOBS', 'SIZE', 'VERSION'], ...rows]))
}

async function describedOrDamaged(parts: ReturnType<typeof snapshotParts>) {
  try {
    return { description: await readDescription(parts) }
  } catch (error) {
    if (!(error instanceof BackupError)) throw error
    return { description: undefined }
  }
}

async function verify(path: string, command: Command): Promise<void> {
  const proof = await verifyBackup(backupFolder(resolve(path)))
  const { snapshots, blobs, bytes, faults, damagedBefore, superfluous } = proof
  if (faults.length > 0) process.exitCode = 1
  if (wantsJson(command)) return print(`${JSON.stringify(proof)}\n`)
  const lines = [
    ...snapshots.map(({ id, isWhole }) => `${id}: ${isWhole ? 'whole' : 'NOT WHOLE'}`),
    ...faults.map(({ path: at, what, advice }) => `${at}: ${what}. ${advice}`),
    ...damagedBefore.map((digest) => `${digest} was damaged in the store when it was backed up`),
    `${blobs} blobs (${formatBytes(bytes)}) were read, ${superfluous} files are superfluous, ${faults.length} things are wrong`,
  ]
  print(lines.map((line) => `${line}\n`).join(''))
}

interface RestoreOptions {
  readonly snapshot?: string
  readonly allowMissing?: true
}

async function restore(path: string, options: RestoreOptions, command: Command): Promise<void> {
  const layout = dataLayout(resolve(loadSettingsFor(command).data))
  const report = await restoreBackup({
    folder: backupFolder(resolve(path)),
    layout,
    snapshot: options.snapshot,
    mayMiss: options.allowMissing === true,
    schema: readMigrations().length,
  })
  const { snapshot, description, blobs, bytes, missing } = report
  if (missing.length > 0) process.exitCode = 1
  if (wantsJson(command)) return print(`${JSON.stringify(report)}\n`)
  const lines = [
    `restored ${snapshot} to ${layout.root}: ${description.repositories} repositories, ${description.manifests} manifests, ${description.tags} tags, ${blobs} blobs (${formatBytes(bytes)})`,
    ...missing.map((digest) => `MISSING: ${digest} (push it again; pulls of what needs it fail until then)`),
    `accounts, tokens and keys are as they were at that time; start it with "lanyard serve --data ${layout.root}"`,
  ]
  print(lines.map((line) => `${line}\n`).join(''))
}
