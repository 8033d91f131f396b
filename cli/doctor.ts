/**
 * `lanyard doctor`: what is wrong with a registry, and what to do about it.
 */
import type { Command } from 'commander'
import { examine } from '../server/doctor/examine.ts'
import type { Finding } from '../server/doctor/finding.ts'
import { addSettingFlags, loadSettingsFor } from './config.ts'
import { print, printable } from './terminal.ts'

export function addDoctorCommand(program: Command): void {
  addSettingFlags(
    program
      .command('doctor')
      .description('look for what is wrong with the data folder, the settings and a server that runs, and say what to do')
      .option('--json', 'one JSON array'),
  ).action(run)
}

async function run(options: { json?: true }, command: Command): Promise<void> {
  const findings = await examine(loadSettingsFor(command), Date.now)
  if (findings.some(({ state }) => state === 'fault')) process.exitCode = 1
  print(options.json ? `${JSON.stringify(findings)}\n` : findings.map(describe).join(''))
}

const signs = { ok: 'ok     ', warning: 'WARNING', fault: 'FAULT  ' } as const

function describe({ check, state, message, advice }: Finding): string {
  const lines = [`${signs[state]}  ${check.padEnd(11)}  ${printable(message)}`]
  if (advice !== undefined) lines.push(`${' '.repeat(22)}${printable(advice)}`)
  return lines.map((line) => `${line}\n`).join('')
}
