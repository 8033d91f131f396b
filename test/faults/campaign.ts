/**
 * The kill -9 campaign: spreads kills over a few registries that run beside each other, and gathers what was found.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Target } from './arm.ts'
import { ChoreBench, type ChorePoint } from './chore-bench.ts'
import { killPoints, type KillPoint } from './kill-points.ts'
import { Lane, type Kill } from './lane.ts'
import { Random } from './random.ts'
import { Report } from './report.ts'
import type { Sabotage } from './sabotage.ts'

export interface CampaignOptions {
  readonly seed: number
  /** Kills at random moments. */
  readonly random: number
  /** Kills at each point. */
  readonly each: number
  readonly points?: readonly KillPoint[]
  /** Processes that serve one registry. */
  readonly workers?: number
  readonly lanes?: number
  readonly clients?: number
  /** How long a client repeats a request before that counts as not healed. */
  readonly patienceMs?: number
  /** What dies; undefined: mostly a worker, at times the primary, at times all. */
  readonly target?: Target
  readonly sabotage?: Sabotage
  /** Whether the data folders of a campaign that found something stay; otherwise they are removed in any case. */
  readonly keepsFolder?: boolean
  /** To look at while it fills. */
  readonly report?: Report
}

/** Runs to its end, or until something is found that makes going on senseless. */
export async function runCampaign(options: CampaignOptions): Promise<Report> {
  const { seed, each, random: randomKills, points = killPoints, lanes = 3, target, report = new Report() } = options
  const random = new Random(seed)
  for (const { name } of points) report.row(name)
  const onLanes = points.filter((point) => point.during !== 'chore' || point.work === 'expire')
  const onBench = points.filter((point): point is ChorePoint => point.during === 'chore' && point.work !== 'expire')
  const kills: Kill[] = [
    ...onLanes.flatMap((point) => Array.from({ length: each }, (_, index) => ({ point, target: target ?? targetOf(index, 20) }))),
    ...Array.from({ length: randomKills }, (_, index) => ({ point: 'random' as const, target: target ?? targetOf(index, 10) })),
  ]
  const folder = mkdtempSync(join(tmpdir(), 'lanyard-crash-'))
  const shuffled = random.shuffle(kills)
  const shares = Array.from({ length: lanes }, (_, lane) => shuffled.filter((_, index) => index % lanes === lane))
  try {
    const ended = await Promise.allSettled([
      ...shares.filter((share) => share.length > 0).map((share, index) => runLane({ options, report, folder, share, index })),
      runBench({
        report,
        folder,
        random: new Random(seed + 1),
        rounds: random.shuffle(onBench.flatMap((point) => Array<ChorePoint>(each).fill(point))),
      }),
    ])
    for (const each of ended) if (each.status === 'rejected') throw each.reason
  } finally {
    if (report.violations.length === 0 || options.keepsFolder !== true) rmSync(folder, { recursive: true, force: true })
  }
  return report
}

/** Mostly a worker dies; once in `outOf` the primary, and once all processes together. */
function targetOf(index: number, outOf: number): Target {
  if (index % outOf === 3) return 'primary'
  return index % outOf === 7 ? 'group' : 'self'
}

interface LaneRun {
  readonly options: CampaignOptions
  readonly report: Report
  readonly folder: string
  readonly share: readonly Kill[]
  readonly index: number
}

async function runLane({ options, report, folder, share, index }: LaneRun): Promise<void> {
  const { seed, workers = 2, clients = 3, patienceMs = 60_000, sabotage } = options
  const laneFolder = mkdtempSync(join(folder, `lane${index}-`))
  const laneOptions = { folder: laneFolder, seed: seed * 100 + index, workers, clients, patienceMs, ...(sabotage ? { sabotage } : {}) }
  await Lane.run(laneOptions, report, share)
}

async function runBench({
  report,
  folder,
  random,
  rounds,
}: {
  report: Report
  folder: string
  random: Random
  rounds: readonly ChorePoint[]
}): Promise<void> {
  if (rounds.length === 0) return
  const bench = new ChoreBench(mkdtempSync(join(folder, 'bench-')), { random, report })
  for (const point of rounds) await bench.round(point)
}
