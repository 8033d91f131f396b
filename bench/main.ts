/**
 * `npm run bench`: the command line. Whatever was started is ended before this ends, also on Ctrl-C.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { measureAccess } from './access.ts'
import { BigFile } from './big-file.ts'
import { compare, type Contender } from './comparison.ts'
import { measureFloods } from './flood.ts'
import { measureFreeing } from './freeing.ts'
import { requireTools } from './load-tools.ts'
import { measurePieces } from './micro.ts'
import { floorTarget, ownTarget } from './own-targets.ts'
import { Processes } from './processes.ts'
import { profileAll } from './profile.ts'
import { renderReport, writeReports, type Report } from './report.ts'
import { allRows, selectRows } from './row-table.ts'
import type { Amounts, Bench } from './row.ts'
import { compareSizes, sizeRows, smallSize, problemsOf, type StoreSize } from './sizes.ts'

interface Options extends Partial<StoreSize> {
  readonly peer: readonly Contender[]
  readonly floor: boolean
  readonly only?: string
  readonly runs: number
  readonly seconds: number
  readonly big?: number
  readonly small: number
  readonly out: string
  readonly folder: string
  readonly sizes: boolean
  readonly micro: boolean
  readonly profile: boolean
  readonly access: boolean
  readonly flood: boolean
  readonly freeing: boolean
  readonly report?: readonly string[]
}

/** npm runs scripts in the project's folder; paths are meant from where the person is. */
const here = process.env['INIT_CWD'] ?? process.cwd()
const page = join(import.meta.dirname, '..', 'docs', 'performance.md')

const program = new Command('npm run bench --')
  .description('Measures this registry: beside other registries, on stores of different sizes, piece by piece.')
  .option('--peer <name=script>', 'another registry; SCRIPT has the contract of bench/target.sh (may be repeated)', addPeer, [])
  .option('--floor', 'the floor too: a bare Node server that does the same work without this code', false)
  .option('--runs <count>', 'how often each row is run on each target', wholeNumber, 3)
  .option('--seconds <count>', 'how long a run takes that is limited by time', wholeNumber, 5)
  .option('--only <rows>', 'only these rows or groups of rows, with commas between')
  .option('--big <mib>', 'size of the large blob in MiB (1024; with --micro 256)', wholeNumber)
  .option('--small <count>', 'small blobs in one run', wholeNumber, 200)
  .option('--tags <count>', 'tags in the repository that is listed (10000; with --sizes 100000)', wholeNumber)
  .option('--repositories <count>', 'repositories in the catalog (2000; with --sizes 10000)', wholeNumber)
  .option('--blobs <count>', 'blob rows, with --sizes (1000000)', wholeNumber)
  .option('--out <file>', 'where the results go, as JSON', 'bench.json')
  .option('--folder <folder>', 'where the servers keep their data while this runs', tmpdir())
  .option('--sizes', 'instead: the same requests on a small and on a filled store', false)
  .option('--micro', 'instead: the pieces of a request, each by itself', false)
  .option('--profile', 'instead: CPU profiles by part', false)
  .option('--access', 'instead: pulls and lists where 2,000 people have 100,000 roles', false)
  .option('--flood', 'instead: pulls and logins beside a flood of wrong logins; with --seconds 60 a minute each', false)
  .option('--freeing', 'instead: requests while the room of a thousand images comes back', false)
  .option('--report <files...>', 'instead: puts the tables of results into docs/performance.md')

async function main(): Promise<void> {
  const options = program.parse().opts<Options>()
  const processes = new Processes()
  const interruption = onInterruption(processes)
  try {
    if (options.report) writeReports(page, options.report.map(fromHere))
    else await run(openBench(processes, options), options)
  } catch (error) {
    // What an interruption broke is no news, and its own end comes.
    if (interruption.hasCome) return
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  } finally {
    await processes.endAll()
  }
}

/** Its folder is gone when this process is. */
function openBench(processes: Processes, options: Options): Bench {
  const parent = fromHere(options.folder)
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, 'lanyard-bench-'))
  process.on('exit', () => {
    processes.killAll()
    rmSync(folder, { recursive: true, force: true })
  })
  const amounts = amountsOf(options)
  return {
    processes,
    folder,
    amounts,
    bigFile: new BigFile(join(folder, 'big'), amounts.bigMib),
    say: (line) => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`),
  }
}

async function run(bench: Bench, options: Options): Promise<void> {
  const save = (report: Report): Report => {
    writeFileSync(fromHere(options.out), `${JSON.stringify(report, undefined, 2)}\n`)
    return report
  }
  const show = (report: Report): void => void process.stdout.write(`${renderReport(save(report))}\n`)
  if (options.micro) {
    requireTools(['curl'])
    return show({ kind: 'micro', ...(await measurePieces(bench, { count: bench.amounts.runs * 3, milliseconds: 50 })) })
  }
  if (options.profile) {
    requireTools(['wrk'])
    return show({ kind: 'profile', ...(await profileAll(bench)) })
  }
  if (options.access) {
    requireTools(['wrk'])
    return show({ kind: 'access', ...(await measureAccess(bench)) })
  }
  if (options.flood) {
    requireTools(['wrk'])
    return show({ kind: 'flood', ...(await measureFloods(bench)) })
  }
  if (options.freeing) return show({ kind: 'freeing', ...(await measureFreeing(bench)) })
  if (options.sizes) return runSizes(bench, options, { save, show })
  const rows = selectRows(allRows(bench.amounts), options.only)
  requireTools(rows.flatMap((row) => row.tools))
  const targets = [ownTarget, ...options.peer, ...(options.floor ? [floorTarget] : [])]
  show({ kind: 'comparison', ...(await compare(bench, { targets, rows, save: (result) => save({ kind: 'comparison', ...result }) })) })
}

async function runSizes(
  bench: Bench,
  { tags = 100_000, repositories = 10_000, blobs = 1_000_000, only }: Options,
  { save, show }: { save: (report: Report) => unknown; show: (report: Report) => void },
): Promise<void> {
  const filled = { tags, repositories, blobs }
  requireTools(
    selectRows(
      sizeRows(() => smallSize),
      only,
    ).flatMap((row) => row.tools),
  )
  const result = await compareSizes(bench, { filled, only, save: (each) => save({ kind: 'sizes', ...each }) })
  show({ kind: 'sizes', ...result })
  const problems = problemsOf(result)
  if (problems.length > 0) throw new Error(problems.join('\n  '))
}

function amountsOf({ runs, seconds, big, small, tags = 10_000, repositories = 2000, micro }: Options): Amounts {
  return { runs, seconds, bigMib: big ?? (micro ? 256 : 1024), smallBlobs: small, tags, repositories }
}

/** The first signal ends everything in order, the second at once. */
function onInterruption(processes: Processes): { hasCome: boolean } {
  const interruption = { hasCome: false }
  const stop = (): void => {
    if (interruption.hasCome) process.exit(130)
    interruption.hasCome = true
    process.stderr.write('\nbench: stopping\n')
    void processes.endAll().finally(() => process.exit(130))
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return interruption
}

function addPeer(text: string, peers: readonly Contender[]): readonly Contender[] {
  const [, name, script] = /^([\w.-]+)=(.+)$/.exec(text) ?? []
  if (name === undefined || script === undefined) throw new InvalidArgumentError('expected NAME=SCRIPT')
  const isTaken = [ownTarget, floorTarget, ...peers].some((target) => target.name === name)
  if (isTaken) throw new InvalidArgumentError(`there is a target "${name}" already`)
  return [...peers, { name, script: fromHere(script) }]
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number, at least 1')
  return Number(text)
}

function fromHere(path: string): string {
  return resolve(here, path)
}

await main()
