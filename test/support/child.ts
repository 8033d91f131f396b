/** Child processes of tests: run to their end for what they print, or kept until they are ended. */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Cleanup } from './data-folder.ts'

/** Runs a TypeScript file as a process of its own. @returns what it printed, read as JSON. @throws when it ends with another status than 0. */
export async function runChild(file: URL, ...args: string[]): Promise<unknown> {
  const child = spawn(process.execPath, [file.pathname, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, complaints] = [gather(child.stdout), gather(child.stderr)]
  const [status] = (await once(child, 'close')) as [number | null]
  assert.equal(status, 0, (await complaints).slice(0, 2000))
  return JSON.parse(await output)
}

export interface RunningChild {
  readonly process: ChildProcess
  /** The next line that it prints. */
  readonly nextLine: () => Promise<string>
  /** Ends it at once, as a crash does. Resolves when it is gone. */
  readonly kill: () => Promise<void>
}

/** Starts a TypeScript file as a process that goes on until it is killed; the end of the test does that at the latest. */
export function startChild(t: Cleanup, file: URL, ...args: string[]): RunningChild {
  const child = spawn(process.execPath, [file.pathname, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const gone = once(child, 'close')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await gone
  }
  t.after(kill)
  return {
    process: child,
    kill,
    nextLine: async () => {
      const line = await lines.next()
      assert.ok(!line.done, 'the child ended before it printed another line')
      return line.value
    },
  }
}

async function gather(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}
