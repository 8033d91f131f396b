/**
 * `npm run campaign -- --random 1000 --each 100 --seed 1`: the kill -9 campaign as a command. Prints its table, and ends with 1 when
 * there is anything in it that must not be; then the data folders stay, to be looked at.
 */
import { readFileSync, writeFileSync } from 'node:fs'
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
    lanes: { type: 'string', default: '4' },
    /** Only points whose name contains this. */
    only: { type: 'string', default: '' },
    /** A page whose table is replaced when nothing was violated: what stands between `<!-- campaign -->` and `<!-- /campaign -->`. */
    write: { type: 'string' },
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
/** Where the table stands in a page, as it is before the first run too. */
const place = /(?<=<!-- campaign -->\n)[^]*?(?=<!-- \/campaign -->)/

if (values.write !== undefined) requirePlace(values.write)
process.stderr.write(`seed ${seed}: ${points.length} points, each ${each} times, and ${random} random moments\n`)
const progress = setInterval(() => {
  const kills = report.rows.reduce((sum, row) => sum + row.kills, 0)
  process.stderr.write(`${minutesSince(startMs)} min: ${kills} kills, ${report.violations.length} violations\n`)
}, progressMs)

await runCampaign({ seed, random, each, workers, lanes, points, report, keepsFolder: true })
clearInterval(progress)

const found = describe()
process.stdout.write(`${found}\n`)
for (const violation of report.violations.slice(0, 100)) process.stdout.write(`VIOLATION ${violation}\n`)
if (values.write !== undefined && report.violations.length === 0) replaceIn(values.write, found)
process.exitCode = report.violations.length === 0 ? 0 : 1

/** As the page shows it. */
function describe(): string {
  const { leftovers } = report
  const facts = [
    `\`--random ${random} --each ${each} --seed ${seed} --lanes ${lanes} --workers ${workers}\`, ${minutesSince(startMs)} minutes`,
    `${report.clientAborts.toLocaleString('en')} uploads that their client broke off at a random byte were resumed`,
    `${report.sweeps.toLocaleString('en')} times, with the load standing still, all that was ever acknowledged was looked at, and every byte on disk`,
    `the slowest repetition of a cut request was answered ${(report.slowestHealMs / 1000).toFixed(1)} s after the cut`,
    `at the end ${leftovers.before} sessions and files of unfinished uploads were left, and ${leftovers.after} when their time had run out`,
    `${report.orphanFiles} blob files had no row at the end`,
  ]
  return [renderTable(report.rows), '', ...facts.map((fact) => `* ${fact}`)].join('\n')
}

/** @throws before an hour of work and not after it */
function requirePlace(page: string): void {
  if (!place.test(readFileSync(page, 'utf8'))) throw new Error(`${page} has no place for the table`)
}

function replaceIn(page: string, text: string): void {
  writeFileSync(
    page,
    readFileSync(page, 'utf8').replace(place, () => `\n${text}\n\n`),
  )
}

function minutesSince(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 60_000).toFixed(1)
}
