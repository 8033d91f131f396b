/**
 * Runs rows on several targets, run by run in turn (A B A B), so that whatever else the machine does meets all of them alike.
 *
 * The first target is the one that is judged; its ratio to each other one is taken pair by pair of the same turn.
 */
import type { MachineFacts } from './machine.ts'
import { measureMachine, NeighbourWatch } from './machine.ts'
import type { Amounts, Bench, Capability, Row, Run, Sample } from './row.ts'
import { Servers } from './row.ts'
import type { Target } from './server.ts'
import { summarize, type Summary } from './summary.ts'

/** A target and what it can be asked for; everything unless it says otherwise. */
export type Contender = Target & { readonly capabilities?: readonly Capability[] }

export interface TargetFigures {
  /** In the row's unit. */
  readonly value: Summary
  readonly p50Ms?: Summary
  readonly p99Ms?: Summary
  readonly cpuSecondsPerOperation: Summary
  readonly peakRssMib: Summary
}

export interface RowResult extends Pick<Row, 'id' | 'title' | 'group' | 'unit' | 'better' | 'operation'> {
  /** By name; a target that does not offer the work is missing. */
  readonly figures: Readonly<Record<string, TargetFigures>>
  /** The first target's value divided by that of the target named. */
  readonly ratios: Readonly<Record<string, Summary>>
}

export interface Comparison {
  readonly machine: MachineFacts
  /** Share of the machine's processor time, 0 to 1, that went to processes which are none of the bench's. */
  readonly othersShare: number
  readonly amounts: Amounts
  readonly targets: readonly string[]
  readonly rows: readonly RowResult[]
}

/**
 * @param save called after each row with all there is so far
 * @throws {TargetError} a target failed
 */
export async function compare(
  bench: Bench,
  { targets, rows, save = () => undefined }: { targets: readonly Contender[]; rows: readonly Row[]; save?: (result: Comparison) => void },
): Promise<Comparison> {
  const machine = measureMachine(bench.folder, bench.amounts.bigMib)
  const watch = new NeighbourWatch()
  const servers = new Servers(bench)
  const results: RowResult[] = []
  const result = (): Comparison => ({
    machine,
    othersShare: watch.share(),
    amounts: bench.amounts,
    targets: targets.map(({ name }) => name),
    rows: results,
  })
  for (const row of rows) {
    const samples = await runInTurn(row, { bench, targets, servers })
    results.push(resultOf(row, targets, samples))
    bench.say(lineOf(results.at(-1)))
    save(result())
  }
  await servers.close()
  return result()
}

type Samples = ReadonlyMap<string, readonly Sample[]>

async function runInTurn(
  row: Row,
  { bench, targets, servers }: { bench: Bench; targets: readonly Contender[]; servers: Servers },
): Promise<Samples> {
  const runs: { name: string; samples: Sample[]; run: Run }[] = []
  for (const target of targets) {
    if (target.capabilities?.includes(row.capability) === false) continue
    const server = await servers.get(target, row.access)
    const run = await server.guard(() => row.prepare({ bench, target, server }))
    if (run) runs.push({ name: target.name, samples: [], run: (index) => server.guard(() => run(index)) })
  }
  for (let index = 0; index < bench.amounts.runs; index++) {
    for (const { run, samples } of runs) samples.push(await run(index))
  }
  return new Map(runs.map(({ name, samples }) => [name, samples]))
}

function resultOf(row: Row, targets: readonly Contender[], samples: Samples): RowResult {
  const { id, title, group, unit, better, operation } = row
  const figures = Object.fromEntries([...samples].map(([name, each]) => [name, figuresOf(each)]))
  const [own, ...others] = targets
  const ownSamples = own ? samples.get(own.name) : undefined
  const ratios: Record<string, Summary> = {}
  for (const { name } of others) {
    const theirs = samples.get(name)
    if (ownSamples && theirs) ratios[name] = summarize(ownSamples.map((sample, run) => sample.value / (theirs[run]?.value ?? Number.NaN)))
  }
  return { id, title, group, unit, better, operation, figures, ratios }
}

function figuresOf(samples: readonly Sample[]): TargetFigures {
  const p50 = samples.map(({ p50Ms }) => p50Ms).filter((each) => each !== undefined)
  const p99 = samples.map(({ p99Ms }) => p99Ms).filter((each) => each !== undefined)
  return {
    value: summarize(samples.map(({ value }) => value)),
    ...(p50.length === 0 ? {} : { p50Ms: summarize(p50) }),
    ...(p99.length === 0 ? {} : { p99Ms: summarize(p99) }),
    cpuSecondsPerOperation: summarize(samples.map(({ cpuSeconds, operations }) => cpuSeconds / operations)),
    peakRssMib: summarize(samples.map(({ peakRssMib }) => peakRssMib)),
  }
}

function lineOf(row: RowResult | undefined): string {
  if (!row) return ''
  const figures = Object.entries(row.figures).map(([name, { value }]) => `${name} ${value.median.toPrecision(4)}`)
  return `${row.id} (${row.unit}): ${figures.join(', ')}`
}
