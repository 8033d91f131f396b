/**
 * The moments at which a process of the campaign can be made to die, noticed from outside the product: what it asks of node:fs, of
 * SQLite and of its HTTP responses, told apart by path, by statement and by request. The product holds no code for it.
 *
 * Names: `<what> before`, `<what> after`; a few have more. A file is named for its folder, a transaction for what it changes.
 */
import cluster from 'node:cluster'
import fs from 'node:fs'
import fsPromises, { type FileHandle } from 'node:fs/promises'
import { IncomingMessage, ServerResponse } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import Sqlite from 'better-sqlite3'
import { ArmReader, type Arm } from './arm.ts'
import { statementName, transactionName } from './transactions.ts'

type Callable = (...args: unknown[]) => unknown

/** @param control the folder with the arm. */
export function makeMoments(control: string): void {
  const reader = new ArmReader(control)
  const kill = process.kill.bind(process)
  const reach: Reach = (moment, weight = 1) => {
    const arm = reader.due(moment, weight)
    if (arm) die(reader, arm, kill)
  }
  const isDue = (moment: string): boolean => reader.due(moment, 1) !== undefined
  watchFiles(reach, isDue)
  watchSqlite(reach)
  watchHttp(reach)
  syncBuiltinESMExports()
}

/** Tells that a moment has come. Does not return when it is the one to die at. */
type Reach = (moment: string, weight?: number) => void

function die(reader: ArmReader, arm: Arm, kill: typeof process.kill): void {
  if (!reader.claim(arm)) return
  const primary = cluster.isPrimary ? process.pid : process.ppid
  if (arm.target === 'group') kill(-primary, 'SIGKILL')
  else kill(arm.target === 'primary' ? primary : process.pid, 'SIGKILL')
  // A worker outlives its primary until it notices. Everyone else is dead when the signal is delivered.
  if (arm.target === 'primary' && cluster.isWorker) return
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
}

/** What a path is to the product; undefined: nothing to stop at. */
function nameOf(path: string): string | undefined {
  if (path.includes('/uploads/')) return 'upload'
  if (path.includes('/collected/')) return 'collected'
  if (path.includes('/blobs/')) return 'blob folder'
  if (path.includes('/keys')) return path.endsWith('keys') ? 'key folder' : 'key'
  if (path.includes('/snapshots/')) return 'snapshot'
  if (path.includes('/unfinished')) return 'backup part'
  if (path.endsWith('/rebuilt.db')) return 'rebuilt'
  if (path.endsWith('/lanyard.db')) return 'database'
  return path.endsWith('-wal') ? 'log' : undefined
}

function watchFiles(reach: Reach, isDue: (moment: string) => boolean): void {
  const paths = new Map<number, string>()
  const nameOfFile = (file: unknown): string | undefined => nameOf(typeof file === 'number' ? (paths.get(file) ?? '') : String(file))
  const original = { openSync: fs.openSync, writeSync: fs.writeSync, open: fs.open }
  replace(fs, 'openSync', (...args) => {
    const file = (original.openSync as Callable)(...args) as number
    paths.set(file, String(args[0]))
    return file
  })
  replace(fs, 'open', (...args) => {
    const done = args.pop() as Callable
    const opened = (error: unknown, file: number): void => {
      if (!error) paths.set(file, String(args[0]))
      done(error, file)
    }
    ;(original.open as Callable)(...args, opened)
  })
  for (const call of ['fsync', 'fdatasync', 'rename', 'writev'] as const) {
    const before = fs[call] as Callable
    replace(fs, call, (...args) => {
      const name = nameOfFile(args[0])
      const done = args.pop() as Callable
      if (name === undefined) return before(...args, done)
      if (call === 'writev' && isDue('upload writev torn')) writePart(original.writeSync, args, () => reach('upload writev torn'))
      reach(`${name} ${call} before`)
      return before(...args, (...results: unknown[]) => {
        reach(`${name} ${call} after`)
        done(...results)
      })
    })
  }
  const { renameSync } = fs
  replace(fs, 'renameSync', (...args) => {
    const name = nameOf(String(args[0]))
    reach(`${name} renameSync before`)
    ;(renameSync as Callable)(...args)
    reach(`${name} renameSync after`)
  })
  for (const call of ['rename', 'rm', 'unlink', 'mkdir'] as const) {
    const before = fsPromises[call] as Callable
    replace(fsPromises, call, async (...args) => {
      const name = nameOf(String(args[0]))
      reach(`${name} ${call} before`)
      const result = await before(...args)
      reach(`${name} ${call} after`)
      return result
    })
  }
  const openHandle = fsPromises.open as Callable
  replace(fsPromises, 'open', async (...args) => {
    const handle = (await openHandle(...args)) as FileHandle
    const name = nameOf(String(args[0]))
    const sync = handle.sync.bind(handle)
    handle.sync = async () => {
      reach(`${name} sync before`)
      await sync()
      reach(`${name} sync after`)
    }
    return handle
  })
}

/** A write that the system carries out in part before the process dies. */
function writePart(write: typeof fs.writeSync, [file, chunks, position]: unknown[], end: () => void): void {
  const bytes = Buffer.concat(chunks as Uint8Array[])
  write(file as number, bytes, 0, Math.ceil(bytes.length / 3), position as number)
  end()
}

function replace(on: object, name: string, by: Callable): void {
  const original = (on as Record<string, Callable>)[name]
  // promisify looks for a symbol of its own on the function.
  Object.defineProperties(by, Object.getOwnPropertyDescriptors(original))
  Object.assign(on, { [name]: by })
}

interface RunningStatement {
  readonly source: string
  readonly database: object
}

function watchSqlite(reach: Reach): void {
  const running = new WeakMap<object, Set<string>>()
  const memory = new Sqlite(':memory:')
  const statements = memory.prepare('select 1').constructor.prototype as Record<'run', Callable>
  memory.close()
  const { run } = statements
  statements.run = function (this: RunningStatement, ...args) {
    const text = this.source.toLowerCase()
    if (text.startsWith('begin')) running.set(this.database, new Set())
    const done = running.get(this.database)
    if (text !== 'commit') {
      const result = run.apply(this, args)
      const name = statementName(text)
      if (name !== undefined) {
        done?.add(name)
        reach(`${name} after`)
      }
      return result
    }
    const name = transactionName(done ?? new Set())
    reach(`commit ${name} before`)
    const result = run.apply(this, args)
    reach(`commit ${name} after`)
    return result
  }
  const databases = Sqlite.prototype as unknown as Record<'backup', (path: string, options?: Sqlite.BackupOptions) => Promise<unknown>>
  const { backup } = databases
  databases.backup = async function (path, options) {
    // Page by page at first, so that there is a middle.
    const progress = (): number => {
      reach('snapshot under way')
      return 20
    }
    return backup.call(this, path, { ...options, progress })
  }
}

function watchHttp(reach: Reach): void {
  const responses = ServerResponse.prototype as unknown as Record<'end', Callable>
  const { end } = responses
  responses.end = function (this: ServerResponse, ...args) {
    const name = this.statusCode < 300 ? answerName(this.req.method ?? '', this.req.url ?? '') : undefined
    if (name !== undefined) {
      reach(`answer ${name} before`)
      this.once('finish', () => reach(`answer ${name} after`))
    }
    return end.apply(this, args)
  }
  const requests = IncomingMessage.prototype as unknown as Record<'push', Callable>
  const { push } = requests
  requests.push = function (this: IncomingMessage, ...args) {
    const [chunk] = args
    if (chunk instanceof Uint8Array && this.method === 'PATCH') reach('chunk byte', chunk.length)
    return push.apply(this, args)
  }
}

const answers: readonly (readonly [RegExp, string])[] = [
  [/^POST .*\/blobs\/uploads\/\?.*mount=/, 'mount'],
  [/^POST .*\/blobs\/uploads\/\?.*digest=/, 'blob'],
  [/^POST .*\/blobs\/uploads\//, 'start'],
  [/^PATCH /, 'chunk'],
  [/^PUT .*\/blobs\/uploads\//, 'blob'],
  [/^DELETE .*\/blobs\/uploads\//, 'cancel'],
  [/^GET .*\/blobs\/sha/, 'pull'],
  [/^PUT .*\/manifests\//, 'manifest'],
  [/^DELETE .*\/manifests\/sha/, 'manifest delete'],
  [/^DELETE .*\/manifests\//, 'tag delete'],
  [/^DELETE .*\/blobs\/sha/, 'blob delete'],
]

function answerName(method: string, url: string): string | undefined {
  return answers.find(([pattern]) => pattern.test(`${method} ${url}`))?.[1]
}
