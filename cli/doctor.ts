/**
 * `lanyard doctor`: what is wrong with a registry, and what to do about it.
 */
import type { Command } from 'commander'
import { examine } from '../server/doctor/examine.ts'
import type { Finding } from '../server/doctor/finding.ts'
import { dataLayout, type DataLayout } from '../storage/layout.ts'
import { openSqlite } from '../storage/metadata/database.ts'
import { isMigrated } from '../storage/metadata/migrate.ts'
import { recountUsage } from '../storage/recovery/recount-usage.ts'
import { addSettingFlags, loadSettingsFor } from './config.ts'
import { CommandError, print, printable } from './terminal.ts'

export function addDoctorCommand(program: Command): void {
  addSettingFlags(
    program
      .command('doctor')
      .description('look for what is wrong with the data folder, the settings and a server that runs, and say what to do')
      .option('--recount', 'before that, count anew what repositories and namespaces take')
      .option('--json', 'one JSON array'),
  ).action(run)
}

async function run(options: { json?: true; recount?: true }, command: Command): Promise<void> {
  const settings = loadSettingsFor(command)
  if (options.recount) recount(dataLayout(settings.data))
  const findings = await examine(settings, Date.now)
  if (findings.some(({ state }) => state === 'fault')) process.exitCode = 1
  print(options.json ? `${JSON.stringify(findings)}\n` : findings.map(describe).join(''))
}

function recount(layout: DataLayout): void {
  if (!isMigrated(layout)) throw new CommandError(`there is no database of this version in ${layout.root}`)
  const sqlite = openSqlite(layout.database)
  try {
    sqlite.transaction(() => recountUsage(sqlite)).immediate()
  } finally {
    sqlite.close()
  }
}

const signs = { ok: 'ok     ', warning: 'WARNING', fault: 'FAULT  ' } as const

function describe({ check, state, message, advice }: Finding): string {
  const lines = [`${signs[state]}  ${check.padEnd(11)}  ${printable(message)}`]
  if (advice !== undefined) lines.push(`${' '.repeat(22)}${printable(advice)}`)
  return lines.map((line) => `${line}\n`).join('')
}
