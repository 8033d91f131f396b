/**
 * Watches what a process asks of the disk, and lets chosen calls fail: for child processes, because the product takes the functions
 * of node:fs when its modules load. Import it first and load the product afterwards.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const watched = [
  'open',
  'openSync',
  'fsync',
  'fsyncSync',
  'fdatasync',
  'fdatasyncSync',
  'ftruncate',
  'rename',
  'renameSync',
  'writev',
  'read',
] as const
type Call = (typeof watched)[number]

export interface Fault {
  readonly call: Call
  /** What the path must contain, below the traced folder. */
  readonly path: string
  /** The system's code, or the number of bytes after which a write stops. */
  readonly outcome: string | number
  /** How many such calls go well before. */
  readonly after?: number
}

export class DiskTrace {
  /** `+call path` when a call begins, `-call path` when it has ended, and what `note` adds. */
  readonly events: string[] = []
  readonly #root: string
  readonly #paths = new Map<number, string>()
  #faults: (Fault & { left: number })[] = []

  /** @param root what paths are shown relative to. */
  constructor(root: string) {
    this.#root = root
    for (const call of watched) this.#watch(call)
    syncBuiltinESMExports()
  }

  note(event: string): void {
    this.events.push(event)
  }

  fail(...faults: Fault[]): void {
    this.#faults = faults.map((fault) => ({ ...fault, left: fault.after ?? 0 }))
  }

  /** The events since the last call, without those of the given calls. */
  take(...without: Call[]): string[] {
    return this.events.splice(0).filter((event) => !without.some((call) => event.slice(1).startsWith(`${call} `)))
  }

  #watch(call: Call): void {
    const original = (fs as unknown as Record<string, (...args: unknown[]) => unknown>)[call] as (...args: unknown[]) => unknown
    const watcher = call.endsWith('Sync') ? this.#synchronous(call, original) : this.#asynchronous(call, original)
    // promisify looks for a symbol of its own on the function.
    Object.defineProperties(watcher, Object.getOwnPropertyDescriptors(original))
    Object.assign(fs, { [call]: watcher })
  }

  #asynchronous(call: Call, original: (...args: unknown[]) => unknown) {
    return (...args: unknown[]): void => {
      const done = args.at(-1) as (error: unknown, ...results: unknown[]) => void
      const path = this.#pathOf(args)
      this.events.push(`+${call} ${path}`)
      const end = (error: unknown, ...results: unknown[]): void => {
        if (call === 'open' && typeof results[0] === 'number') this.#paths.set(results[0], String(args[0]))
        this.events.push(`-${call} ${path}`)
        done(error, ...results)
      }
      const outcome = this.#outcomeOf(call, path)
      if (typeof outcome === 'string') return void setImmediate(() => end(systemError(outcome)))
      const given = outcome === undefined ? args.slice(0, -1) : [args[0], [shortened(args[1], outcome)], args[2]]
      original(...given, end)
    }
  }

  #synchronous(call: Call, original: (...args: unknown[]) => unknown) {
    return (...args: unknown[]): unknown => {
      const path = this.#pathOf(args)
      this.events.push(`+${call} ${path}`)
      const outcome = this.#outcomeOf(call, path)
      if (typeof outcome === 'string') throw systemError(outcome)
      const result = original(...args)
      if (call === 'openSync') this.#paths.set(result as number, String(args[0]))
      this.events.push(`-${call} ${path}`)
      return result
    }
  }

  #outcomeOf(call: Call, path: string): string | number | undefined {
    const fault = this.#faults.find((each) => each.call === call && path.includes(each.path))
    if (!fault || fault.left-- > 0) return undefined
    return fault.outcome
  }

  #pathOf([first, second]: unknown[]): string {
    const paths = typeof second === 'string' && second.startsWith('/') ? [first, second] : [first]
    return paths
      .map((path) => this.#shown(typeof path === 'number' ? (this.#paths.get(path) ?? `descriptor ${path}`) : String(path)))
      .join(' to ')
  }

  #shown(path: string): string {
    return path.startsWith(this.#root) ? path.slice(this.#root.length + 1) || '.' : path
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made up by a test`), { code })
}

function shortened(chunks: unknown, length: number): Uint8Array {
  return Buffer.concat(chunks as Uint8Array[]).subarray(0, length)
}
