/**
 * `npm run campaign -- --random 1000 --each 100 --seed 1`: the kill -9 campaign as a command. Prints a table as docs/reliability.md shows
 * it, and ends with 1 when there is anything in it that must not be; then the data folders stay, to be looked at.
 */
import { parseArgs } from 'node:util'
import { runCampaign } from './campaign.ts'
import { killPoints } from './kill-points.ts'
import { renderTable, Report } from './report.ts'

const progressMs = 30_000

const { values } = parseArgs({
  options: {
    /** Kills at random moments. */
    random: { type: 'string', default: '1000' },
    /** Kills at each named point. */
    each: { type: 'string', default: '100' },
    /** The same choices again; what happens between them is up to the machine. */
    seed: { type: 'string' },
    /** Processes that serve each registry. */
    workers: { type: 'string', default: '2' },
    /** Registries beside each other. */
    lanes: { type: 'string', default: '3' },
    /** Only points whose name contains this. */
    only: { type: 'string', default: '' },
  },
})
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed)
const [random, each] = [Number(values.random), Number(values.each)]
const [workers, lanes] = [Number(values.workers), Number(values.lanes)]
const points = killPoints.filter(({ name }) => name.includes(values.only))
const report = new Report()
const startMs = performance.now()

// Servers that are under way end with this process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.stderr.write(`seed ${seed}: ${points.length} points, each ${each} times, and ${random} random moments\n`)
const progress = setInterval(() => {
  const kills = report.rows.reduce((sum, row) => sum + row.kills, 0)
  process.stderr.write(`${minutesSince(startMs)} min: ${kills} kills, ${report.violations.length} violations\n`)
}, progressMs)

await runCampaign({ seed, random, each, workers, lanes, points, report, keepsFolder: true })
clearInterval(progress)

const { leftovers } = report
const lines = [
  renderTable(report.rows),
  '',
  `Seed ${seed}, ${lanes} registries of ${workers} workers, ${minutesSince(startMs)} minutes.`,
  `${report.clientAborts.toLocaleString('en')} uploads that their client broke off at a random byte were resumed.`,
  `${report.sweeps} times all that was ever acknowledged was looked at, and every byte on disk.`,
  `The slowest cut request was answered after ${(report.slowestHealMs / 1000).toFixed(1)} s.`,
  `Of unfinished uploads ${leftovers.before} sessions and files were left, and ${leftovers.after} when their time had run out.`,
  `${report.orphanFiles} blob files had no row in the end.`,
  ...report.violations.slice(0, 100).map((violation) => `VIOLATION ${violation}`),
]
process.stdout.write(`${lines.join('\n')}\n`)
process.exitCode = report.violations.length === 0 ? 0 : 1

function minutesSince(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 60_000).toFixed(1)
}
