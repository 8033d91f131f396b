/**
 * `lanyard rebuild`: a database that is lost or damaged is brought back from what else lies in the data folder.
 */
import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { rebuild, type RebuildReport } from '../storage/recovery/rebuild.ts'
import { DataFolderLock } from '../storage/data-folder-lock.ts'
import { dataLayout } from '../storage/layout.ts'
import { addDataFlags, loadSettingsFor } from './config.ts'
import { CommandError, print } from './terminal.ts'

export function addRebuildCommand(program: Command): void {
  addDataFlags(
    program
      .command('rebuild')
      .description('bring back a lost or damaged database from its snapshots, the journal and the blobs; while no server runs')
      .option('--force', 'also when nothing is wrong with the database')
      .option('--json', 'one JSON object'),
  ).action(run)
}

async function run(options: { force?: true; json?: true }, command: Command): Promise<void> {
  const layout = dataLayout(resolve(loadSettingsFor(command).data))
  if (!existsSync(layout.blobs))
    throw new CommandError(`there is no registry in ${layout.root}: name its folder with --data or LANYARD_DATA`)
  const lock = DataFolderLock.acquire(layout, 'a command')
  let report: RebuildReport
  try {
    report = await rebuild({ layout, nowMs: Date.now(), isForced: options.force === true })
  } finally {
    lock.release()
  }
  if (report.gaps + report.missingBlobs.length + report.damagedBlobs.length > 0 || !report.snapshot) process.exitCode = 1
  print(options.json ? `${JSON.stringify(report)}\n` : describe(report))
}

function describe(report: RebuildReport): string {
  const { snapshot, damagedSnapshots, transactions, gaps, repositories, manifests, tags, adopted, damagedBlobs, missingBlobs, lost } =
    report
  const begun = snapshot
    ? `begun with ${snapshot.path} of ${snapshot.takenAt}; accounts, rights and tokens are as they were then`
    : 'NO snapshot was whole: accounts, rights and tokens are lost, and the next start makes a new administrator'
  const lines = [
    begun,
    ...damagedSnapshots.map((path) => `passed over, because it is damaged: ${path}`),
    `${transactions} changes were taken from the journal`,
    ...(gaps > 0 ? [`the journal is damaged or has gaps in ${gaps} places: look whether the newest tags are what you expect`] : []),
    `there are ${repositories} repositories, ${manifests} manifests and ${tags} tags; ${adopted} blobs were found that the snapshot did not know`,
    ...damagedBlobs.map((digest) => `DAMAGED, and left out: ${digest}`),
    ...missingBlobs.map((digest) => `MISSING: ${digest} (push it again; pulls of what needs it fail until then)`),
    ...(lost === undefined ? [] : [`the old database is ${lost}`]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
