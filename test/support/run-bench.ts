/**
 * The bench as a person starts it, in its smallest form; and scripts that stand for other registries.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFile, temporaryFolder, type Cleanup } from './temporary-folder.ts'

const root = join(import.meta.dirname, '../..')

export interface BenchRun {
  readonly process: ChildProcess
  /** Where it keeps what it needs while it runs. */
  readonly folder: string
  readonly ended: Promise<{ status: number | null; stdout: string; stderr: string; result: unknown }>
}

export function startBench(t: Cleanup, args: readonly string[], env: Readonly<Record<string, string>> = {}): BenchRun {
  const folder = temporaryFolder(t)
  const out = join(temporaryFolder(t), 'result.json')
  const smallest = ['--runs', '1', '--seconds', '1', '--small', '4', '--tags', '12', '--repositories', '8', '--big', '1']
  const child = spawn(process.execPath, [join(root, 'bench/main.ts'), ...smallest, ...args, '--folder', folder, '--out', out], {
    env: { ...process.env, WORKERS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // Not SIGKILL: it has processes of its own to end.
  t.after(() => child.kill('SIGTERM'))
  const ended = Promise.all([textOf(child.stdout), textOf(child.stderr), once(child, 'exit')]).then(([stdout, stderr, [status]]) => ({
    status: status as number | null,
    stdout,
    stderr,
    result: existsSync(out) ? (JSON.parse(readFileSync(out, 'utf8')) as unknown) : undefined,
  }))
  return { process: child, folder, ended }
}

/** An executable script for `--peer`. @param lines what it does when it is called with `serve` */
export function peerScript(t: Cleanup, lines: readonly string[]): string {
  const path = temporaryFile(t, 'peer.sh', ['#!/bin/bash', ...lines, ''].join('\n'))
  chmodSync(path, 0o755)
  return path
}

/** Lines of a peer that is this registry once more, and notes its process id. */
export function ownScriptNotingPid(pidFile: string): string[] {
  return [`echo $$ > '${pidFile}'`, `exec '${join(root, 'bench/target.sh')}' "$@"`]
}

/** Whether the process is there; one that ended and was not yet waited for does not count. */
export function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}
