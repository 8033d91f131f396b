/** A process that makes a backup and stops at one moment of it, to be killed there. */
import process from 'node:process'
import { backUp, type BackupHooks } from '../../storage/recovery/back-up.ts'
import { dataLayout } from '../../storage/layout.ts'
import { backupFolder } from '../../storage/recovery/backup-folder.ts'

const [data = '', folder = '', moment = '', nowMs = '0'] = process.argv.slice(2)

/** Says that the moment has come, and never goes on. */
async function stop(): Promise<never> {
  process.stdout.write('there\n')
  return new Promise(() => setInterval(() => undefined, 1000))
}

const hooks: BackupHooks = { [moment]: stop }
await backUp({ layout: dataLayout(data), folder: backupFolder(folder), keep: 1, mayLink: false, version: '1', nowMs: Number(nowMs), hooks })
process.stdout.write('over\n')
