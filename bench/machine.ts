/**
 * What a comparison ran on: facts about the machine, how fast its disk and its hash were right then, and how much of its processors
 * others used meanwhile. Figures of a machine that was not idle are worth less, so every report says it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { machineCpuSeconds, ProcessTree } from './process-tree.ts'
import { median } from './summary.ts'

export interface MachineFacts {
  /** ISO 8601. */
  readonly date: string
  readonly cores: number
  readonly processor: string
  readonly kernel: string
  readonly node: string
  readonly sha256MibPerSecond: number
  /** Writing a large file and syncing it. */
  readonly diskMibPerSecond: number
  /** Appending 4 KiB and syncing them: what a durable commit cannot be faster than. */
  readonly syncMs: number
  /** Of one minute, before the run began. */
  readonly loadBefore: number
}

const mib = 1024 * 1024

/** @param probeMib how much is written to measure the disk, at most */
export function measureMachine(folder: string, probeMib: number): MachineFacts {
  const [first] = cpus()
  return {
    date: new Date().toISOString(),
    cores: cpus().length,
    processor: first?.model ?? 'unknown',
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
    sha256MibPerSecond: Math.round(measureHash()),
    ...measureDisk(join(folder, 'disk-probe'), Math.min(probeMib, 256)),
  }
}

function measureHash(): number {
  const bytes = randomBytes(64 * mib)
  const begun = performance.now()
  createHash('sha256').update(bytes).digest()
  return 64_000 / (performance.now() - begun)
}

function measureDisk(path: string, sizeMib: number): { diskMibPerSecond: number; syncMs: number } {
  const bytes = randomBytes(mib)
  const file = openSync(path, 'w')
  try {
    const begun = performance.now()
    for (let count = 0; count < sizeMib; count++) writeSync(file, bytes)
    fsyncSync(file)
    const seconds = (performance.now() - begun) / 1000
    const syncs = Array.from({ length: 50 }, () => {
      const syncBegun = performance.now()
      writeSync(file, bytes, 0, 4096)
      fdatasyncSync(file)
      return performance.now() - syncBegun
    })
    return { diskMibPerSecond: Math.round(sizeMib / seconds), syncMs: Math.round(median(syncs) * 1000) / 1000 }
  } finally {
    closeSync(file)
    rmSync(path)
  }
}

/** Watches how much processor time goes to processes that are not the bench's. */
export class NeighbourWatch {
  readonly #own = new ProcessTree(process.pid)
  readonly #before = this.#look()

  /** Share of the machine's processor time, 0 to 1, that others used since this was made. */
  share(): number {
    const now = this.#look()
    const total = now.total - this.#before.total
    const others = now.busy - this.#before.busy - (now.own - this.#before.own)
    return total === 0 ? 0 : Math.max(0, others / total)
  }

  #look(): { busy: number; total: number; own: number } {
    return { ...machineCpuSeconds(), own: this.#own.cpuSeconds() }
  }
}
