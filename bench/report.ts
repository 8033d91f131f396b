/**
 * Results as tables: for the terminal, and between the markers of docs/performance.md.
 *
 * A section of the page begins with `<!-- bench: KIND -->` and ends with `<!-- bench end -->`; what stands between is replaced.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { AccessResult } from './access.ts'
import type { Comparison, RowResult, TargetFigures } from './comparison.ts'
import type { FloodResult } from './flood.ts'
import type { FreeingResult } from './freeing.ts'
import type { MachineFacts } from './machine.ts'
import type { MicroResult } from './micro.ts'
import type { ProfileResult, Profiles } from './profile.ts'
import { growthOf, type SizeComparison, type StoreSize } from './sizes.ts'
import type { Summary } from './summary.ts'

/** What `--out` writes and `--report` reads. */
export type Report =
  | ({ readonly kind: 'comparison' } & Comparison)
  | ({ readonly kind: 'sizes' } & SizeComparison)
  | ({ readonly kind: 'micro' } & MicroResult)
  | ({ readonly kind: 'profile' } & Profiles)
  | ({ readonly kind: 'access' } & AccessResult)
  | ({ readonly kind: 'flood' } & FloodResult)
  | ({ readonly kind: 'freeing' } & FreeingResult)

export function renderReport(report: Report): string {
  if (report.kind === 'comparison') return renderComparison(report)
  if (report.kind === 'sizes') return renderSizes(report)
  if (report.kind === 'access') return renderAccess(report)
  if (report.kind === 'flood') return renderFlood(report)
  if (report.kind === 'freeing') return renderFreeing(report)
  return report.kind === 'micro' ? renderMicro(report) : renderProfiles(report)
}

/**
 * Puts the reports' tables into a page.
 * @throws when the page has no section of that kind
 */
export function replaceSections(page: string, reports: readonly Report[]): string {
  return reports.reduce((text, report) => {
    const section = new RegExp(`(<!-- bench: ${report.kind} -->\n)[^]*?(<!-- bench end -->)`)
    if (!section.test(text)) throw new Error(`the page has no section <!-- bench: ${report.kind} -->`)
    return text.replace(section, (_, begin: string, end: string) => `${begin}\n${renderReport(report)}\n${end}`)
  }, page)
}

/** Reads results and writes their tables into the page. */
export function writeReports(pagePath: string, resultPaths: readonly string[]): void {
  const reports = resultPaths.map((path) => JSON.parse(readFileSync(path, 'utf8')) as Report)
  writeFileSync(pagePath, replaceSections(readFileSync(pagePath, 'utf8'), reports))
}

function renderComparison({ machine, othersShare, amounts, targets, rows }: Comparison): string {
  const [own = '', ...others] = targets
  const speed = rows.map((row) => [
    row.title,
    `${row.unit} ${row.better === 'more' ? '↑' : '↓'}`,
    ...targets.map((name) => spread(row.figures[name]?.value)),
    ...others.map((name) => ratio(row.ratios[name])),
  ])
  const slowest = rows.filter((row) => Object.values(row.figures).some(({ p99Ms }) => p99Ms))
  const cost = rows.map((row) => [
    row.title,
    row.operation,
    ...targets.map((name) => duration(row.figures[name]?.cpuSecondsPerOperation.median)),
    ...targets.map((name) => number(row.figures[name]?.peakRssMib.median)),
  ])
  return [
    ...describeMachine(machine, othersShare),
    `Medians of ${amounts.runs} runs with the least and the most; a run that is limited by time lasts ${amounts.seconds} s.`,
    '',
    ...table(['Work', 'Unit', ...targets, ...others.map((name) => `${own} ÷ ${name}`)], speed),
    '',
    ...(slowest.length === 0 ? [] : renderPercentiles(targets, slowest)),
    'CPU time of all the server’s processes for one operation, and their peak resident memory in MiB:',
    '',
    ...table(['Work', 'CPU for one', ...targets, ...targets.map((name) => `MiB ${name}`)], cost),
    '',
  ].join('\n')
}

function renderPercentiles(targets: readonly string[], rows: readonly RowResult[]): string[] {
  const lines = rows.map((row) => [row.title, ...targets.map((name) => percentiles(row.figures[name]))])
  return ['Time within which half and 99 of 100 requests were answered, in milliseconds:', '', ...table(['Work', ...targets], lines), '']
}

function renderSizes(result: SizeComparison): string {
  const { machine, othersShare, amounts, rows, small, filled, limit } = result
  const lines = rows.map((row) => {
    const { time, cpu, noise, verdict } = growthOf(row, limit)
    const figures = ['small', 'filled'].map((name) => spread(row.figures[name]?.value))
    return [row.title, row.unit, ...figures, ...[time, cpu, noise].map(times), verdict === 'within' ? 'yes' : `**${verdict}**`]
  })
  const sizeOf = ({ tags, repositories, blobs }: StoreSize): string =>
    `${tags.toLocaleString('en')} tags in one repository, ${repositories.toLocaleString('en')} repositories and ${blobs.toLocaleString('en')} blob rows`
  return [
    ...describeMachine(machine, othersShare),
    `The small store holds ${sizeOf(small)}; the filled one ${sizeOf(filled)}. Blobs are rows without files.`,
    `Medians of ${amounts.runs} runs of ${amounts.seconds} s. Growth is the filled store’s cost as a multiple of the small one’s; noise is the`,
    'same of a second small store, in time. Where that is over the limit already, the machine was too busy to tell.',
    '',
    ...table(['Request', 'Unit', 'small', 'filled', 'growth in time', 'in CPU', 'noise', `within ${limit} ×`], lines),
    '',
  ].join('\n')
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} ×`
}

function renderMicro({ machine, othersShare, rounds, pieces }: MicroResult): string {
  const groups = [...new Set(pieces.map(({ group }) => group))]
  const tables = groups.flatMap((group) => {
    const rows = pieces.filter((piece) => piece.group === group)
    const lines = rows.map(({ title, nanoseconds: { median, min, max } }) => [
      title,
      ...[median, min, max].map((each) => duration(each / 1e9)),
    ])
    return [`${group.charAt(0).toUpperCase()}${group.slice(1)}:`, '', ...table(['Piece', 'median', 'least', 'most'], lines), '']
  })
  return [...describeMachine(machine, othersShare), `Medians of ${rounds} rounds.`, '', ...tables].join('\n')
}

const shownParts = 16

function renderProfiles({ machine, othersShare, profiles }: Profiles): string {
  return [...describeMachine(machine, othersShare), '', ...profiles.flatMap(renderProfile)].join('\n')
}

function renderProfile({ title, requests, microsecondsPerRequest, parts }: ProfileResult): string[] {
  const rest = parts.slice(shownParts)
  const others = {
    part: `${rest.length} others`,
    microseconds: rest.reduce((sum, each) => sum + each.microseconds, 0),
    share: rest.reduce((sum, each) => sum + each.share, 0),
  }
  const shown = rest.length === 0 ? parts : [...parts.slice(0, shownParts), others]
  const lines = shown.map(({ part, microseconds, share }) => [part, microseconds.toFixed(1), `${(share * 100).toFixed(1)} %`])
  return [
    `${title}: ${microsecondsPerRequest.toFixed(0)} µs of a worker’s main thread each, over ${requests.toLocaleString('en')}:`,
    '',
    ...table(['Part', 'µs', 'share'], lines),
    '',
  ]
}

function renderAccess({ machine, othersShare, full, pulls, pages }: AccessResult): string {
  const count = (value: number): string => value.toLocaleString('en')
  const held = `${count(full.accounts)} accounts, ${count(full.namespaces)} namespaces, ${count(full.grants)} roles, ${count(full.auditEvents)} events`
  return [
    ...describeMachine(machine, othersShare),
    `The full store holds ${held}; one worker.`,
    '',
    ...table(
      ['Manifest by tag, with a token', 'small store, req/s', 'full store, req/s', "of the administrator's"],
      pulls.map(({ who, small, full, ofAdministrator }) => [who, spread(small), spread(full), ratio(ofAdministrator)]),
    ),
    '',
    ...table(
      ['Page of 100 on the full store', 'median', 'slowest'],
      pages.map(({ path, medianMs, slowestMs }) => [`\`${path}\``, duration(medianMs / 1e3), duration(slowestMs / 1e3)]),
    ),
  ].join('\n')
}

function renderFlood({ machine, othersShare, bcryptCost, connections, seconds, floods }: FloodResult): string {
  return [
    ...describeMachine(machine, othersShare),
    `${connections} connections for ${seconds} s each, bcrypt at cost ${bcryptCost}, two workers; the pulls are one after the other.`,
    '',
    ...table(
      ['Flood', 'req/s', 'pulls/s beside it', 'of those beside the plain one', 'right logins', 'slowest', 'turned away'],
      floods.map(({ title, requestsPerSecond, pullsPerSecond, ratio, logins }) => [
        title,
        number(requestsPerSecond),
        number(pullsPerSecond),
        ratio.toFixed(2),
        String(logins.count),
        duration(logins.slowestMs / 1e3),
        String(logins.refused),
      ]),
    ),
  ].join('\n')
}

function renderFreeing({ machine, othersShare, images, seconds, freeings }: FreeingResult): string {
  return [
    ...describeMachine(machine, othersShare),
    `${images.toLocaleString('en')} images of two blobs each; the usual is of ${seconds} s just before, with the same requests; two workers.`,
    '',
    ...table(
      ['Removed', 'freed', 'room back after', 'request', 'usual p99', 'p99 meanwhile', 'times'],
      freeings.flatMap(({ title, bytes, freedAfterMs, requests }) =>
        requests.map(({ what, usualP99Ms, p99Ms }, index) => [
          ...(index === 0 ? [title, `${(bytes / 2 ** 20).toFixed(1)} MiB`, duration(freedAfterMs / 1e3)] : ['', '', '']),
          what,
          duration(usualP99Ms / 1e3),
          duration(p99Ms / 1e3),
          (p99Ms / usualP99Ms).toFixed(2),
        ]),
      ),
    ),
  ].join('\n')
}

function describeMachine(machine: MachineFacts, othersShare: number): string[] {
  const others = Math.round(othersShare * 100)
  const quiet =
    others < 3
      ? 'the machine was otherwise idle'
      : `other processes used ${others} % of the processor time meanwhile: the machine was shared`
  return [
    `${machine.date.slice(0, 10)}, ${machine.cores} cores of ${machine.processor}, Linux ${machine.kernel}, Node.js ${machine.node}; sha256 ` +
      `${machine.sha256MibPerSecond.toLocaleString('en')} MiB/s, disk ${machine.diskMibPerSecond} MiB/s written and synced, ` +
      `${machine.syncMs} ms to sync 4 KiB; ${quiet}.`,
  ]
}

function percentiles(figures: TargetFigures | undefined): string {
  return figures?.p50Ms && figures.p99Ms ? `${number(figures.p50Ms.median)} / ${number(figures.p99Ms.median)}` : '–'
}

function spread(summary: Summary | undefined): string {
  return summary ? `${number(summary.median)} (${number(summary.min)}–${number(summary.max)})` : '–'
}

function ratio(summary: Summary | undefined): string {
  return summary ? `**${summary.median.toFixed(2)}** (${summary.min.toFixed(2)}–${summary.max.toFixed(2)})` : '–'
}

/** Three digits that count. */
function number(value: number | undefined): string {
  return value === undefined ? '–' : value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

function duration(seconds: number | undefined): string {
  if (seconds === undefined) return '–'
  if (seconds === 0) return '0'
  if (seconds >= 1) return `${number(seconds)} s`
  if (seconds >= 1e-3) return `${number(seconds * 1e3)} ms`
  return seconds >= 1e-6 ? `${number(seconds * 1e6)} µs` : `${number(seconds * 1e9)} ns`
}

/** Aligned, so that it also reads well in a terminal. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)]
}
