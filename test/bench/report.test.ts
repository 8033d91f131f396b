/**
 * Results as tables, and their place in docs/performance.md.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Comparison, RowResult } from '../../bench/comparison.ts'
import type { MachineFacts } from '../../bench/machine.ts'
import { renderReport, replaceSections, writeReports, type Report } from '../../bench/report.ts'
import { growthOf, problemsOf, smallSize, type SizeComparison } from '../../bench/sizes.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const machine: MachineFacts = {
  date: '2026-11-25T00:00:00.000Z',
  cores: 2,
  processor: 'Processor 9000',
  kernel: '6.18.0',
  node: 'v24.21.0',
  sha256MibPerSecond: 1660,
  diskMibPerSecond: 320,
  syncMs: 0.25,
  loadBefore: 0,
}
const amounts = { runs: 3, seconds: 5, bigMib: 1024, smallBlobs: 200, tags: 10_000, repositories: 2000 }
const exactly = (value: number) => ({ median: value, min: value, max: value })

/** A row whose targets have these medians. */
function rowOf(medians: Readonly<Record<string, number>>, more: Partial<RowResult> = {}): RowResult {
  const figures = Object.entries(medians).map(([name, median]) => {
    const value = { median, min: median * 0.9, max: median * 1.1 }
    return [name, { value, p50Ms: exactly(2.5), p99Ms: exactly(12.25), cpuSecondsPerOperation: exactly(76e-6), peakRssMib: exactly(370.4) }]
  })
  const row = {
    id: 'manifest-by-tag',
    title: 'GET manifest by tag',
    group: 'reads',
    unit: 'req/s',
    better: 'more',
    operation: 'request',
  } as const
  return { ...row, figures: Object.fromEntries(figures) as RowResult['figures'], ratios: {}, ...more }
}

const comparison: { kind: 'comparison' } & Comparison = {
  kind: 'comparison',
  machine,
  othersShare: 0.01,
  amounts,
  targets: ['lanyard', 'peer', 'floor'],
  rows: [
    rowOf(
      { lanyard: 12_345, peer: 3210, floor: 30_000 },
      { ratios: { peer: { median: 3.846, min: 3.1, max: 4.26 }, floor: exactly(0.41) } },
    ),
    rowOf({ lanyard: 5 }, { title: 'GET manifest by tag, Bearer' }),
  ],
}

test('a comparison shows medians with their spread, ratios, percentiles, CPU and memory, and a dash for what is not offered', () => {
  const text = renderReport(comparison)
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('| GET'))
    .map(cells)
  assert.deepEqual(lines, [
    [
      'GET manifest by tag',
      'req/s ↑',
      '12,300 (11,100–13,600)',
      '3,210 (2,890–3,530)',
      '30,000 (27,000–33,000)',
      '**3.85** (3.10–4.26)',
      '**0.41** (0.41–0.41)',
    ],
    ['GET manifest by tag, Bearer', 'req/s ↑', '5 (4.5–5.5)', '–', '–', '–', '–'],
    ['GET manifest by tag', '2.5 / 12.3', '2.5 / 12.3', '2.5 / 12.3'],
    ['GET manifest by tag, Bearer', '2.5 / 12.3', '–', '–'],
    ['GET manifest by tag', 'request', '76 µs', '76 µs', '76 µs', '370', '370', '370'],
    ['GET manifest by tag, Bearer', 'request', '76 µs', '–', '–', '370', '–', '–'],
  ])
})

test('a report says on what it was measured, and whether the machine was shared', () => {
  const idle = renderReport(comparison)
  assert.ok(
    idle.startsWith('2026-11-25, 2 cores of Processor 9000, Linux 6.18.0, Node.js v24.21.0; sha256 1,660 MiB/s, disk 320 MiB/s '),
    idle,
  )
  assert.match(idle, /the machine was otherwise idle\.$/m)
  const shared = renderReport({ ...comparison, othersShare: 0.42 })
  assert.match(shared, /other processes used 42 % of the processor time meanwhile: the machine was shared\.$/m)
})

function sizesOf(rows: readonly RowResult[]): SizeComparison {
  return {
    machine,
    othersShare: 0,
    amounts,
    targets: ['filled', 'small', 'small again'],
    rows,
    small: smallSize,
    filled: smallSize,
    limit: 1.2,
  }
}

const growths: readonly (readonly [says: string, row: RowResult, expected: string])[] = [
  ['as fast as on a small store', rowOf({ filled: 100, small: 100, 'small again': 101 }), 'within'],
  ['nearly as slow as is allowed', rowOf({ filled: 84, small: 100, 'small again': 100 }), 'within'],
  ['slower than is allowed', rowOf({ filled: 82, small: 100, 'small again': 100 }), 'over'],
  ['slower than is allowed, in time', rowOf({ filled: 125, small: 100, 'small again': 100 }, { better: 'less' }), 'over'],
  ['faster, in time', rowOf({ filled: 60, small: 100, 'small again': 100 }, { better: 'less' }), 'within'],
  ['where two small stores differ as much', rowOf({ filled: 100, small: 100, 'small again': 80 }), 'unclear'],
  ['where two small stores differ as much the other way', rowOf({ filled: 50, small: 100, 'small again': 130 }), 'unclear'],
]

for (const [says, row, expected] of growths) {
  test(`a request on a filled store that is ${says} counts as ${expected}`, () => {
    const { verdict } = growthOf(row, 1.2)
    assert.equal(verdict, expected)
    assert.equal(problemsOf(sizesOf([row])).length, expected === 'within' ? 0 : 1)
    assert.match(
      renderReport({ kind: 'sizes', ...sizesOf([row]) }),
      expected === 'within' ? /\| yes +\|$/m : new RegExp(`\\| \\*\\*${expected}\\*\\* +\\|$`, 'm'),
    )
  })
}

test('what could not be shown is told by name', () => {
  const [within, , over, , , unclear] = growths.map(([says, row]) => ({ ...row, title: says }))
  assert.ok(within && over && unclear)
  assert.deepEqual(problemsOf(sizesOf([within, over, unclear])), [
    'on the filled store these cost more than 1.2 times as much: slower than is allowed',
    'the machine was too busy to tell: where two small stores differ as much',
  ])
})

const micro: Report = {
  kind: 'micro',
  machine,
  othersShare: 0,
  rounds: 9,
  pieces: [
    { group: 'rows', title: 'repository by name, prepared', nanoseconds: { median: 3456, min: 3000, max: 1e6 } },
    { group: 'rows', title: 'a long one', nanoseconds: exactly(2.5e9) },
    { group: 'without a disk', title: 'the policy', nanoseconds: exactly(31.96) },
  ],
}

test('pieces are shown by group, in the unit that fits', () => {
  const text = renderReport(micro)
  assert.match(
    text,
    /^Rows:\n\n\| Piece .*\n\|-.*\n\| repository by name, prepared +\| 3\.46 µs +\| 3 µs +\| 1 ms +\|\n\| a long one +\| 2\.5 s +\|/m,
  )
  assert.match(text, /^Without a disk:\n\n\| Piece .*\n\|-.*\n\| the policy +\| 32 ns +\| 32 ns +\| 32 ns +\|$/m)
})

test('a profile shows its largest parts and the rest together', () => {
  const parts = Array.from({ length: 20 }, (_, index) => ({ part: `part ${index}`, microseconds: 10, share: 0.05 }))
  const profiles = [{ title: 'GET manifest by tag', requests: 12_345, microsecondsPerRequest: 200, parts }]
  const text = renderReport({ kind: 'profile', machine, othersShare: 0, profiles })
  assert.match(text, /^GET manifest by tag: 200 µs of a worker’s main thread each, over 12,345:$/m)
  assert.match(text, /^\| part 15 +\| 10\.0 +\| 5\.0 % +\|\n\| 4 others +\| 40\.0 +\| 20\.0 % +\|$/m)
})

const page = [
  '# Page',
  '<!-- bench: micro -->',
  'old',
  '<!-- bench end -->',
  'between',
  '<!-- bench: comparison -->',
  '<!-- bench end -->',
  'end',
  '',
].join('\n')

test('tables go between the markers of their kind; everything else stays, and doing it again changes nothing', () => {
  const once = replaceSections(page, [comparison, micro])
  assert.equal(
    once,
    [
      '# Page',
      '<!-- bench: micro -->',
      '',
      renderReport(micro),
      '<!-- bench end -->',
      'between',
      '<!-- bench: comparison -->',
      '',
      renderReport(comparison),
      '<!-- bench end -->',
      'end',
      '',
    ].join('\n'),
  )
  assert.equal(replaceSections(once, [micro, comparison]), once)
})

test('a page without a place for the tables is refused', () => {
  assert.throws(() => replaceSections(page, [{ kind: 'sizes', ...sizesOf([]) }]), /no section <!-- bench: sizes -->/)
})

const size = { accounts: 2, namespaces: 1, grants: 2, teams: 1, teamMembers: 1, auditEvents: 0 }
const summary = { median: 2, min: 1, max: 3 }

test('rights are shown by who pulls and page by page, a flood by what goes on beside it', () => {
  const pulls = [{ who: 'a reader', small: summary, full: summary, ofAdministrator: summary }]
  const pages = [{ path: '/teams', medianMs: 1.5, slowestMs: 30 }]
  const access = renderReport({ kind: 'access', machine, othersShare: 0, small: size, full: size, pulls, pages })
  assert.match(access, /\| a reader +\| 2 \(1–3\) +\| 2 \(1–3\) +\| \*\*2\.00\*\* \(1\.00–3\.00\) +\|/)
  assert.match(access, /\| `\/teams` +\| 1\.5 ms +\| 30 ms +\|/)
  const logins = { count: 3, slowestMs: 1250, refused: 1 }
  const floods = [{ title: 'none', requestsPerSecond: 0, pullsPerSecond: 5000, ratio: 1.25, logins }]
  const flood = renderReport({ kind: 'flood', machine, othersShare: 0, bcryptCost: 12, connections: 64, seconds: 60, floods })
  assert.match(flood, /\| none +\| 0 +\| 5,000 +\| 1\.25 +\| 3 +\| 1\.25 s +\| 1 +\|/)
})

test('what comes back is shown with how long others waited meanwhile', () => {
  const requests = ['a pull', 'a push'].map((what) => ({ what, usualP99Ms: 2, p99Ms: 3, count: 9 }))
  const freeings = [{ title: 'purged', bytes: 3 * 2 ** 20, freedAfterMs: 700, requests }]
  const text = renderReport({ kind: 'freeing', machine, othersShare: 0, images: 1000, seconds: 5, freeings })
  assert.match(text, /\| purged +\| 3\.0 MiB \| 700 ms +\| a pull +\| 2 ms +\| 3 ms +\| 1\.50 +\|/)
  assert.match(text, /\| +\| +\| +\| a push +\|/)
})

test('docs/performance.md has a place for every kind of result, and files of results are put into it', (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'performance.md')
  const present = readFileSync(join(import.meta.dirname, '../../docs/performance.md'), 'utf8')
  writeFileSync(path, present)
  const reports: Report[] = [
    comparison,
    { kind: 'sizes', ...sizesOf([]) },
    micro,
    { kind: 'profile', machine, othersShare: 0, profiles: [] },
    { kind: 'access', machine, othersShare: 0, small: size, full: size, pulls: [], pages: [] },
    { kind: 'flood', machine, othersShare: 0, bcryptCost: 12, connections: 64, seconds: 60, floods: [] },
    { kind: 'freeing', machine, othersShare: 0, images: 1000, seconds: 5, freeings: [] },
  ]
  const files = reports.map((report) => {
    const file = join(folder, `${report.kind}.json`)
    writeFileSync(file, JSON.stringify(report))
    return file
  })
  writeReports(path, files)
  const text = readFileSync(path, 'utf8')
  for (const report of reports) assert.ok(text.includes(renderReport(report)), report.kind)
  const outside = (page: string): string => page.replaceAll(/(<!-- bench: \w+ -->)[^]*?(<!-- bench end -->)/g, '$1$2')
  assert.equal(outside(text), outside(present))
})
