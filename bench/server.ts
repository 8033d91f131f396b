/**
 * A registry under test: started by its script on a port of its own, asked until it answers, ended by its process id.
 *
 * The contract of a script is that of bench/target.sh: `SCRIPT serve` with PORT, DATA and AUTH=0|1 in the environment runs the
 * server in the foreground; with AUTH=1 it knows the user alice with the password s3cret.
 */
import type { ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { ProcessTree } from './process-tree.ts'
import type { Processes } from './processes.ts'

/** A registry that can be started. */
export interface Target {
  readonly name: string
  /** Path of its script. */
  readonly script: string
  readonly env?: Readonly<Record<string, string>>
}

export interface ServerOptions {
  readonly target: Target
  /** `login`: with AUTH=1. */
  readonly access: 'open' | 'login'
  /** Its data folder; the log goes beside it. */
  readonly folder: string
}

const startLimitMs = 30_000
const pollMs = 2
const shownLogLines = 20

/** What a target did wrong, with the end of its log. */
export class TargetError extends Error {}

export class Server {
  readonly target: Target
  readonly access: 'open' | 'login'
  readonly folder: string
  readonly port: number
  readonly url: string
  readonly tree: ProcessTree
  /** From the start of the script until the first answer. */
  readonly startMs: number
  readonly #child: ChildProcess
  readonly #processes: Processes

  private constructor(options: ServerOptions, started: { child: ChildProcess; port: number; startMs: number; processes: Processes }) {
    this.target = options.target
    this.access = options.access
    this.folder = options.folder
    this.port = started.port
    this.url = `http://127.0.0.1:${started.port}`
    this.startMs = started.startMs
    this.tree = new ProcessTree(started.child.pid ?? 0)
    this.#child = started.child
    this.#processes = started.processes
  }

  /** @throws {TargetError} the script ended, could not be started, or nothing answered in time */
  static async start(processes: Processes, options: ServerOptions): Promise<Server> {
    const { target, access, folder } = options
    const port = await findFreePort()
    mkdirSync(folder, { recursive: true })
    const log = openSync(logOf(folder), 'a')
    const env = { ...target.env, PORT: String(port), DATA: folder, AUTH: access === 'login' ? '1' : '0' }
    const begun = performance.now()
    const child = processes.start(target.script, ['serve'], { env, stdio: ['ignore', log, log] })
    closeSync(log)
    try {
      await untilAnswering(child, port)
    } catch (error) {
      await processes.end(child)
      throw faultOf(target, folder, error)
    }
    return new Server(options, { child, port, startMs: performance.now() - begun, processes })
  }

  /** Runs what needs this server; a fault is told with the end of the server's log. @throws {TargetError} */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw faultOf(this.target, this.folder, error)
    }
  }

  async stop(): Promise<void> {
    await this.#processes.end(this.#child)
  }
}

async function untilAnswering(child: ChildProcess, port: number): Promise<void> {
  const giveUpMs = performance.now() + startLimitMs
  let failure: Error | undefined
  child.once('error', (error) => (failure = error))
  while (performance.now() < giveUpMs) {
    const status = await statusOf(port)
    if (status === 200 || status === 401) return
    if (failure) throw failure
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the script ended with ${child.exitCode ?? child.signalCode} before the server answered`)
    await setTimeout(pollMs)
  }
  throw new Error(`nothing answered on port ${port} within ${startLimitMs / 1000} s`)
}

/** Of GET /v2/; undefined while nothing listens. */
function statusOf(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/v2/', agent: false, timeout: 5000 }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    request.once('timeout', () => request.destroy())
    request.once('error', () => resolve(undefined))
  })
}

async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function logOf(folder: string): string {
  return `${folder}.log`
}

function faultOf(target: Target, folder: string, cause: unknown): TargetError {
  if (cause instanceof TargetError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  const lines = readFileSync(logOf(folder), 'utf8').trim().split('\n').slice(-shownLogLines)
  const shown =
    lines.join('') === '' ? 'it wrote nothing to its log' : `the end of its log:\n${lines.map((line) => `    ${line}`).join('\n')}`
  return new TargetError(`${target.name} (${target.script}): ${message}\n  ${shown}`, { cause })
}
