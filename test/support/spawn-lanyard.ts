/**
 * The program as an operator runs it: a child process with a folder of its own, on a free port, ended with its test. Nothing of the
 * environment that runs the tests reaches it but the PATH.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withDeadline } from './eventually.ts'
import type { LogLine } from './log-capture.ts'
import { adminPassword } from './start-registry.ts'
import type { Cleanup } from './temporary-folder.ts'

export const program = fileURLToPath(new URL('../../cli/lanyard.js', import.meta.url))

export interface RunOptions {
  /** Settings as environment variables without the prefix, beside a free port and cheap passwords. */
  readonly settings?: Readonly<Record<string, string>>
  /** What standard input holds. */
  readonly input?: string
  /** Options of node itself. */
  readonly nodeOptions?: readonly string[]
  readonly program?: string
  /** Runs as this user. */
  readonly uid?: number
}

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end. */
export async function runLanyard(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = start(args, options)
  const output = collect(child)
  child.stdin?.end(options.input ?? '')
  const status = await withDeadline(ended(child), `the end of lanyard ${args.join(' ')}`)
  return { status, stdout: output.stdout(), stderr: output.stderr() }
}

export interface LanyardServer {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Of the primary. */
  readonly pid: number
  readonly data: string
  readonly stdout: () => string
  readonly stderr: () => string
  /** The log so far, from standard output. */
  readonly log: () => readonly LogLine[]
  /** Resolves with the exit status (null after a signal) when the process and all its workers are gone. */
  readonly gone: Promise<number | null>
  /** Sends a signal to the primary and waits until everything is gone. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>
}

export interface ServerOptions extends RunOptions {
  /** A folder to use again. */
  readonly data?: string
  readonly args?: readonly string[]
}

/** `lanyard serve`; resolves when it says that it listens. @throws with what it said instead. */
export async function startServer(t: Cleanup, options: ServerOptions = {}): Promise<LanyardServer> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), 'lanyard-test-'))
  const settings = { DATA: data, WORKERS: '1', ADMIN_PASSWORD: adminPassword, ...options.settings }
  const child = start(['serve', ...(options.args ?? [])], { ...options, settings })
  const output = collect(child)
  const gone = ended(child)
  t.after(async () => {
    child.kill('SIGKILL')
    await gone
    // Not before: a server that still starts would make files in it.
    if (options.data === undefined) rmSync(data, { recursive: true, force: true })
  })
  const port = await withDeadline(Promise.race([listening(child, output.stderr), failed(gone, output)]), 'the server to listen')
  const scheme = output.stderr().includes('listening on https://') ? 'https' : 'http'
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    port,
    pid: child.pid ?? 0,
    data,
    stdout: output.stdout,
    stderr: output.stderr,
    log: () => wholeLines(output.stdout()).map((line) => JSON.parse(line) as LogLine),
    gone,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal)
      return withDeadline(gone, `the server to be gone after ${signal}`)
    },
  }
}

function start(args: readonly string[], options: RunOptions): ChildProcess {
  const defaults = { LISTEN: '127.0.0.1:0', AUTH_BCRYPT_COST: '4' }
  const settings = Object.entries({ ...defaults, ...options.settings }).map(([name, value]) => [`LANYARD_${name}`, value])
  return spawn(process.execPath, [...(options.nodeOptions ?? []), options.program ?? program, ...args], {
    cwd: tmpdir(),
    env: { PATH: process.env['PATH'], ...Object.fromEntries(settings) },
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
}

function collect(child: ChildProcess): { stdout: () => string; stderr: () => string } {
  const chunks: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] }
  child.stdout?.on('data', (chunk: Buffer) => chunks.stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => chunks.stderr.push(chunk))
  return { stdout: () => Buffer.concat(chunks.stdout).toString('utf8'), stderr: () => Buffer.concat(chunks.stderr).toString('utf8') }
}

/** `close`, not `exit`: workers hold the same pipes, so that it comes when the last of them is gone. */
function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve(status))
  })
}

function listening(child: ChildProcess, stderr: () => string): Promise<number> {
  return new Promise((resolve) => {
    child.stderr?.on('data', () => {
      const port = /listening on https?:\/\/\S+:(\d+)\n/.exec(stderr())?.[1]
      if (port !== undefined) resolve(Number(port))
    })
  })
}

async function failed(gone: Promise<number | null>, output: { stdout: () => string; stderr: () => string }): Promise<never> {
  const status = await gone
  throw new Error(`the server ended with ${status}: ${output.stderr()}${output.stdout()}`)
}

function wholeLines(text: string): string[] {
  return text.split('\n').slice(0, -1)
}
