/**
 * What one row of a comparison is: a kind of work, how it is prepared on a server and how it is done and measured once.
 */
import { rmSync } from 'node:fs'
import type { BigFile } from './big-file.ts'
import type { Load, Tool } from './load-tools.ts'
import type { Processes } from './processes.ts'
import { Server, type Target } from './server.ts'

/** How much of everything. */
export interface Amounts {
  /** How often each row is run on each target. */
  readonly runs: number
  /** Of a run that is limited by time. */
  readonly seconds: number
  readonly bigMib: number
  /** Small blobs in one run. */
  readonly smallBlobs: number
  /** Tags in the repository whose tags are listed. */
  readonly tags: number
  /** Repositories in the catalog that is walked. */
  readonly repositories: number
}

/** What every row works with. */
export interface Bench {
  readonly processes: Processes
  /** A folder of this run, deleted at its end. */
  readonly folder: string
  readonly amounts: Amounts
  readonly bigFile: BigFile
  /** A line for the person who waits. */
  readonly say: (line: string) => void
}

/** What a target can be asked for: contents by name, lists of names, logins. */
export type Capability = 'content' | 'lists' | 'login'

export interface Row {
  readonly id: string
  readonly title: string
  readonly group: 'reads' | 'transfers' | 'writes' | 'lists' | 'starts'
  readonly capability: Capability
  /** Which of a target's servers it runs on. */
  readonly access: 'open' | 'login'
  readonly tools: readonly Tool[]
  readonly unit: string
  readonly better: 'more' | 'less'
  /** What one CPU figure is for. */
  readonly operation: string
  /** Once for each target, not measured; undefined when the target does not offer what is asked for. */
  readonly prepare: (subject: Subject) => Promise<Run | undefined>
}

/** Does the work once. @param index 0 for the first run of a target */
export type Run = (index: number) => Promise<Sample>

/** What the client saw. */
export interface Work {
  /** In the row's unit. */
  readonly value: number
  readonly operations: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

export interface Sample extends Work {
  /** Of the server's processes. */
  readonly cpuSeconds: number
  readonly peakRssMib: number
}

/** A target that a row is run on. */
export interface Subject {
  readonly bench: Bench
  readonly target: Target
  readonly server: Server
}

export function workOf(load: Load): Work {
  return { value: load.requestsPerSecond, operations: load.requests, p50Ms: load.p50Ms, p99Ms: load.p99Ms }
}

/** Does the work and adds what the server's processes used for it. */
export async function measure(server: Server, work: () => Promise<Work>): Promise<Sample> {
  const { tree } = server
  tree.resetPeak()
  const before = tree.cpuSeconds()
  const done = await work()
  return { ...done, cpuSeconds: tree.cpuSeconds() - before, peakRssMib: tree.peakRssMib() }
}

/** Where a target's server keeps its data. */
export function serverFolder({ folder }: Pick<Bench, 'folder'>, { name }: Pick<Target, 'name'>, access: 'open' | 'login'): string {
  return `${folder}/${name.replaceAll(' ', '-')}-${access}`
}

/** A target's servers, started when a row first needs them, each on a data folder of its own. */
export class Servers {
  readonly #bench: Pick<Bench, 'processes' | 'folder'>
  readonly #started = new Map<string, Server>()

  constructor(bench: Pick<Bench, 'processes' | 'folder'>) {
    this.#bench = bench
  }

  async get(target: Target, access: 'open' | 'login'): Promise<Server> {
    const key = `${target.name}-${access}`
    const known = this.#started.get(key)
    if (known) return known
    const server = await Server.start(this.#bench.processes, { target, access, folder: serverFolder(this.#bench, target, access) })
    this.#started.set(key, server)
    return server
  }

  /** Stops all and deletes what they stored. */
  async close(): Promise<void> {
    for (const server of this.#started.values()) {
      await server.stop()
      rmSync(server.folder, { recursive: true, force: true })
    }
    this.#started.clear()
  }
}
