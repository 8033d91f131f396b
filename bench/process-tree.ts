/**
 * What a process and all its descendants use: CPU time and memory, as Linux counts them under /proc.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Linux has counted in hundredths of a second on every architecture for decades (USER_HZ). */
const ticksPerSecond = 100

export class ProcessTree {
  readonly #root: number

  constructor(root: number) {
    this.#root = root
  }

  /** The root and every process below it. */
  pids(): number[] {
    const children = new Map<number, number[]>()
    for (const name of readdirSync('/proc')) {
      const parent = /^\d+$/.test(name) ? statOf(Number(name))?.parent : undefined
      if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
    }
    const found = [this.#root]
    for (let at = 0; at < found.length; at++) found.push(...(children.get(found[at] ?? 0) ?? []))
    return found
  }

  /** User and system time so far, that of descendants which have ended included. */
  cpuSeconds(): number {
    return this.pids().reduce((sum, pid) => sum + (statOf(pid)?.cpuTicks ?? 0), 0) / ticksPerSecond
  }

  /** Resident memory of all processes added up; what they share counts once for each. */
  rssMib(): number {
    return this.#sum('status', 'VmRSS')
  }

  /** The same, with shared memory divided among those that share it. */
  pssMib(): number {
    return this.#sum('smaps_rollup', 'Pss')
  }

  /** The most resident memory that each process had since `resetPeak`, added up. */
  peakRssMib(): number {
    return this.#sum('status', 'VmHWM')
  }

  resetPeak(): void {
    for (const pid of this.pids()) unlessGone(() => writeFileSync(`/proc/${pid}/clear_refs`, '5'))
  }

  #sum(file: string, key: string): number {
    const pattern = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm')
    const kib = this.pids().map((pid) =>
      Number(pattern.exec(unlessGone(() => readFileSync(`/proc/${pid}/${file}`, 'utf8')) ?? '')?.[1] ?? 0),
    )
    return kib.reduce((sum, each) => sum + each, 0) / 1024
  }
}

/** Busy time of all cores since the machine started. */
export function machineCpuSeconds(): { busy: number; total: number } {
  const ticks = (readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? '').split(/\s+/).slice(1, 9).map(Number)
  const total = ticks.reduce((sum, each) => sum + each, 0)
  const [, , , idle = 0, waiting = 0] = ticks
  return { busy: (total - idle - waiting) / ticksPerSecond, total: total / ticksPerSecond }
}

/** Undefined for a process that is gone. Fields by proc(5), counted after the name, which may hold anything. */
function statOf(pid: number): { parent: number; cpuTicks: number } | undefined {
  const text = unlessGone(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const cpuTicks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return { parent: Number(fields[1]), cpuTicks }
}

/** Processes come and go while their files are read. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
