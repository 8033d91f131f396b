/**
 * Every process that the bench starts, so that none outlives it: each leads a process group of its own and is ended by its id.
 *
 * A terminal's Ctrl-C therefore reaches only the bench, which then ends the others in order.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'

/** How long a process may take to end after it was asked to. */
const graceMs = 15_000

export interface StartOptions {
  /** Added to the bench's own environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdio?: StdioOptions
  readonly cwd?: string
}

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

export class Processes {
  readonly #running = new Set<ChildProcess>()
  #isOver = false

  /** Starts a program; one that cannot be started ends at once, with exit code null and signal null. */
  start(command: string, args: readonly string[], { env = {}, stdio = 'ignore', cwd }: StartOptions = {}): ChildProcess {
    if (this.#isOver) throw new Error('everything has been ended')
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio,
      detached: true,
      ...(cwd === undefined ? {} : { cwd }),
    })
    this.#running.add(child)
    child.once('exit', () => this.#running.delete(child))
    child.once('error', () => this.#running.delete(child))
    return child
  }

  /**
   * Runs a program to its end.
   * @throws when it cannot be started, or ends with another code than 0; the message holds what it wrote to standard error
   */
  async run(command: string, args: readonly string[], options: StartOptions = {}): Promise<Output> {
    const child = this.start(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), exitCodeOf(child)])
    if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr.trim().slice(-1000)}`)
    return { stdout, stderr }
  }

  /** Asks a process to end, and makes it after a while. */
  async end(child: ChildProcess): Promise<void> {
    if (this.#running.has(child)) {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await Promise.race([gone, setTimeout(graceMs, undefined, { ref: false })])
    }
    killGroup(child)
  }

  /** From now on nothing can be started. */
  async endAll(): Promise<void> {
    this.#isOver = true
    await Promise.all([...this.#running].map((child) => this.end(child)))
  }

  /** Without waiting: for the bench's own last moment. */
  killAll(): void {
    for (const child of this.#running) killGroup(child)
  }
}

/** Also what a script left behind when it ended. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    const isGone = error instanceof Error && 'code' in error && error.code === 'ESRCH'
    if (!isGone) throw error
  }
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  const parts: Buffer[] = []
  if (stream) for await (const part of stream) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString('utf8')
}

/** The exit code, or the name of the signal that ended the process. @throws when it could not be started */
export async function exitCodeOf(child: ChildProcess): Promise<number | string> {
  if (child.exitCode !== null) return child.exitCode
  if (child.signalCode !== null) return child.signalCode
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  return code ?? signal ?? 'nothing'
}
