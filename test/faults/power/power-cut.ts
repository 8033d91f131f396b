/**
 * `npm run power-cuts`: records the work, cuts its power at every moment, looks at every state that may be left, and prints a table. Ends
 * with 1 when anything was violated.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runChild } from '../../support/child.ts'
import { rowOf, type Exploration, type Row } from './explore.ts'
import { makeScratch, recordWork } from './record.ts'

const { values } = parseArgs({
  options: {
    /** How many of the states are looked at: 1 for all of them. */
    share: { type: 'string', default: '1' },
    /** Also those that differ from others only in what SQLite does not read: the end of a log without the end of its commit. */
    raw: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    /** That look at states beside each other. */
    processes: { type: 'string', default: '2' },
    /** A page whose table between `<!-- power cuts -->` and `<!-- /power cuts -->` is replaced when nothing was violated. */
    write: { type: 'string' },
  },
})
const place = /(?<=<!-- power cuts -->\n)[^]*?(?=<!-- \/power cuts -->)/
if (values.write !== undefined && !place.test(readFileSync(values.write, 'utf8')))
  throw new Error(`${values.write} has no place for the table`)

const startMs = performance.now()
const scratch = makeScratch()
const { log } = await recordWork(scratch)
const parts = Array.from({ length: Number(values.processes) }, (_, part) => part)
const found = await Promise.all(
  parts.map((part) =>
    runChild(
      new URL('part.ts', import.meta.url),
      log,
      ...[part, parts.length, values.share, values.seed, values.raw ? 'raw' : 'read'].map(String),
    ),
  ),
)
rmSync(scratch, { recursive: true, force: true })
const all = sumOf(found as Exploration[])
const text = describe(all)
process.stdout.write(`${text}\n`)
for (const violation of all.violations.slice(0, 100)) process.stdout.write(`VIOLATION ${violation}\n`)
if (values.write !== undefined && all.violations.length === 0) {
  const page = readFileSync(values.write, 'utf8')
  writeFileSync(
    values.write,
    page.replace(place, () => `\n${text}\n\n`),
  )
}
process.exitCode = all.violations.length === 0 ? 0 : 1

/** Every process counts all cuts and states; each looks at its own. */
function sumOf(parts: readonly Exploration[]): Exploration {
  const sum: Exploration = { rows: {}, violations: parts.flatMap(({ violations }) => violations) }
  for (const { rows } of parts)
    for (const [name, { cuts, states, read, checked, faults }] of Object.entries(rows)) {
      const row = rowOf(sum, name)
      Object.assign(row, { cuts, states, read, checked: row.checked + checked })
      for (const fault of Object.keys(faults) as (keyof Row['faults'])[]) row.faults[fault] += faults[fault]
    }
  return sum
}

function describe({ rows }: Exploration): string {
  const head = [
    'cut during',
    'moments',
    'states',
    'as SQLite reads them',
    'looked at',
    'does not start',
    'lost',
    'dangling',
    'not repeatable',
  ]
  const lines = [...Object.entries(rows), ['**all**', totalOf(Object.values(rows))] as const].map(
    ([name, { cuts, states, read, checked, faults }]) => [
      name,
      ...[cuts, states, read, checked, ...Object.values(faults)].map((count) => count.toLocaleString('en')),
    ],
  )
  const table = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...lines].map((cells) => `| ${cells.join(' | ')} |`)
  const minutes = ((performance.now() - startMs) / 60_000).toFixed(1)
  const day = new Date().toISOString().slice(0, 10)
  return [
    ...table,
    '',
    `* \`--share ${values.share} --seed ${values.seed} --processes ${values.processes}\`, ${minutes} minutes, ${day}`,
  ].join('\n')
}

function totalOf(rows: readonly Row[]): Row {
  const total = rowOf({ rows: {}, violations: [] }, 'all')
  for (const { cuts, states, read, checked, faults } of rows) {
    total.cuts += cuts
    total.states += states
    total.read += read
    total.checked += checked
    for (const fault of Object.keys(faults) as (keyof Row['faults'])[]) total.faults[fault] += faults[fault]
  }
  return total
}
