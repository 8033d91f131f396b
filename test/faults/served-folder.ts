/**
 * A registry as an operator runs it: `lanyard serve` in a process group of its own under a supervisor that does one thing, start it
 * again when it was killed. What the campaign kills.
 *
 * Owns processes and nothing else. Needs Linux: workers are found through /proc.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, type WriteStream } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { childrenOf } from '../support/child-processes.ts'
import { program } from '../support/spawn-lanyard.ts'
import { adminPassword } from '../support/start-registry.ts'
import { hasFired, prepareArm, writeArm, type Arm, type Target } from './arm.ts'
import type { Random } from './random.ts'
import type { Sabotage } from './sabotage.ts'

const preload = fileURLToPath(new URL('preload.js', import.meta.url))

/** A process that can be armed; nothing of the environment that runs the tests reaches it but the PATH. */
export function armedEnvironment(control: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', NODE_OPTIONS: `--import=${preload}`, CRASH_CONTROL: control, ...more }
}

/** A folder for the arm. */
export function makeControl(parent: string): string {
  const control = mkdtempSync(join(parent, 'control-'))
  prepareArm(control)
  return control
}

export interface ServedOptions {
  /** A folder of its own, which holds everything. */
  readonly folder: string
  readonly workers: number
  readonly random: Random
  readonly sabotage?: Sabotage
}

/** Until the processes of a group that lost its first are all gone; a worker ends when it notices. */
const orphansMs = 20_000

export class ServedFolder {
  readonly data: string
  readonly url: string
  readonly #control: string
  readonly #environment: Record<string, string>
  readonly #log: WriteStream
  readonly #random: Random
  /** The first process of every group that was ever started. */
  readonly #leaders: number[] = []
  #process: ChildProcess | undefined
  #gone = Promise.resolve()
  #arms = 0
  #isWanted = true
  #failure: string | undefined
  /** Nothing lives on when whoever runs this is interrupted: it stands in a group of its own, which no terminal reaches. */
  readonly #endWithUs = (): void => {
    if (this.#process?.pid !== undefined) signalGroup(this.#process.pid, 'SIGKILL')
  }

  private constructor({ folder, workers, random, sabotage }: ServedOptions, port: number) {
    this.data = join(folder, 'data')
    this.url = `http://127.0.0.1:${port}`
    this.#random = random
    this.#control = makeControl(folder)
    this.#log = createWriteStream(join(folder, 'server.log'), { flags: 'a' })
    this.#environment = armedEnvironment(this.#control, {
      CRASH_SABOTAGE: sabotage ?? '',
      LANYARD_DATA: this.data,
      LANYARD_LISTEN: `127.0.0.1:${port}`,
      LANYARD_WORKERS: String(workers),
      LANYARD_LOG_LEVEL: 'warn',
      LANYARD_AUTH_BCRYPT_COST: '4',
      LANYARD_ADMIN_PASSWORD: adminPassword,
      LANYARD_UPLOADS_MAX_PER_ACCOUNT: '100000',
    })
  }

  /** Starts it; it serves a moment later. */
  static async start(options: ServedOptions): Promise<ServedFolder> {
    const served = new ServedFolder(options, await freePort())
    process.once('exit', served.#endWithUs)
    served.#start()
    return served
  }

  /** Why it ended without having been killed: then it needs an operator. */
  get failure(): string | undefined {
    return this.#failure
  }

  /**
   * A worker, the primary, or the whole group dies when the moment comes.
   * @returns disarms it, and says whether it has fired.
   */
  arm(arm: Omit<Arm, 'id'>): { readonly hasFired: () => boolean; readonly disarm: () => void } {
    const id = ++this.#arms
    writeArm(this.#control, { ...arm, id })
    return { hasFired: () => hasFired(this.#control, id), disarm: () => writeArm(this.#control, undefined) }
  }

  /** Kills from outside, now. @returns false when there was nothing to kill. */
  kill(target: Target): boolean {
    const primary = this.#process?.pid
    if (primary === undefined || this.#process?.exitCode !== null || this.#process.signalCode !== null) return false
    try {
      const victim = target === 'self' ? this.#random.pick(childrenOf(primary)) : primary
      return process.kill(target === 'group' ? -victim : victim, 'SIGKILL')
    } catch {
      // It died by itself in this moment, or has no worker yet.
      return false
    }
  }

  /** An orderly end, as a supervisor asks for it. @returns the primary's exit code. */
  async stop(): Promise<number | null> {
    this.#isWanted = false
    this.#process?.kill('SIGTERM')
    await this.#gone
    return this.#process?.exitCode ?? null
  }

  /** Ends everything at once. @returns how many processes had outlived their primary for too long. */
  async close(): Promise<number> {
    this.#isWanted = false
    process.off('exit', this.#endWithUs)
    this.#endWithUs()
    await this.#gone
    this.#log.end()
    await poll(() => !this.#leaders.some((leader) => signalGroup(leader, 0)), orphansMs)
    return this.#leaders.filter((leader) => signalGroup(leader, 'SIGKILL')).length
  }

  #start(): void {
    const child = spawn(process.execPath, [program, 'serve'], {
      env: this.#environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process = child
    if (child.pid !== undefined) this.#leaders.push(child.pid)
    child.stdout.pipe(this.#log, { end: false })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
    this.#gone = once(child, 'exit').then(() => this.#followUp(child, said))
  }

  /** What a supervisor does. */
  #followUp(child: ChildProcess, said: string): void {
    if (!this.#isWanted) return
    if (child.signalCode === 'SIGKILL') this.#start()
    else this.#failure = `the server ended with ${child.exitCode ?? child.signalCode}: ${said.slice(-2000)}`
  }
}

/** @returns false when the group is empty. */
function signalGroup(leader: number, signal: 'SIGKILL' | 0): boolean {
  try {
    return process.kill(-leader, signal)
  } catch {
    return false
  }
}

/** Below those that the system gives to outgoing connections, so that it is still free when the server starts again. */
async function freePort(): Promise<number> {
  for (;;) {
    // Not from the seed: the same campaign may run twice on a machine.
    const port = randomInt(10_000, 30_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Looks again and again until it is true. @returns false when the time ran out. */
export async function poll(isTrue: () => boolean, withinMs: number): Promise<boolean> {
  const endMs = performance.now() + withinMs
  while (!isTrue()) {
    if (performance.now() > endMs) return false
    await pause(5)
  }
  return true
}
