/** Records the work once, in a process of its own, and reads what it asked of its disk. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildRecorder } from './operation-log.ts'

const work = fileURLToPath(new URL('work.ts', import.meta.url))

/** Where files are in memory, if there is such a place: what is made here is a copy of a disk, and starting on it syncs a lot. */
export function makeScratch(): string {
  return mkdtempSync(join(memoryFolder(), 'lanyard-power-'))
}

function memoryFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return tmpdir()
  }
}

/** @returns the folder on which it worked and what was recorded, both within `scratch`. @throws when the work failed */
export async function recordWork(scratch: string): Promise<{ data: string; log: string }> {
  const data = join(realpathSync(scratch), 'recorded')
  const log = join(scratch, 'log')
  mkdirSync(data)
  const child = spawn(process.execPath, [work, data, log], {
    // io_uring would go past libc.
    env: {
      PATH: process.env['PATH'],
      LD_PRELOAD: buildRecorder(scratch),
      POWER_ROOT: data,
      POWER_LOG: log,
      UV_USE_IO_URING: '0',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
  const [status] = (await once(child, 'close')) as [number | null]
  if (status !== 0) throw new Error(`the work that is recorded ended with ${status}: ${said.slice(-2000)}`)
  return { data, log }
}
