/**
 * What the campaign found: a row for each point, and every violation with what it takes to look for it again.
 */

/**
 * lost: an acknowledged effect is not there any more · wrong: bytes or a state that never were · dangling: rows or files that do not
 * fit · refused: an answer that must not be given · notHealed: repeating did not help in time · byHand: it did not come up again by
 * itself · notReached: the campaign itself failed, because its point was not met.
 */
export type Violation = 'lost' | 'wrong' | 'dangling' | 'refused' | 'notHealed' | 'byHand' | 'notReached'

export class Row {
  readonly name: string
  kills = 0
  /** Acknowledged effects that were looked at after a kill. */
  checked = 0
  /** Cut requests that a plain repetition carried out, or found carried out. */
  repeated = 0
  /** Uploads that went on where the registry said they stand. */
  resumed = 0
  /** Uploads that the registry no longer knew and that were started again. */
  startedAgain = 0
  readonly violations: Record<Violation, number> = { lost: 0, wrong: 0, dangling: 0, refused: 0, notHealed: 0, byHand: 0, notReached: 0 }

  constructor(name: string) {
    this.name = name
  }
}

/** Thrown where the work cannot go on; the violation is in the report already. */
export class Violated extends Error {}

export class Report {
  readonly #rows = new Map<string, Row>()
  readonly violations: string[] = []
  /** The longest time from a cut to the answer of the repetition, in ms. */
  slowestHealMs = 0
  /** Uploads that a client broke off at a random byte and resumed. */
  clientAborts = 0
  sweeps = 0
  /** Blob files without a row at the end: content whose push was cut between file and row and never repeated. */
  orphanFiles = 0
  /** What unfinished uploads had left at the end, before and after their time ran out. */
  leftovers = { before: 0, after: 0 }

  row(name: string): Row {
    const known = this.#rows.get(name) ?? new Row(name)
    this.#rows.set(name, known)
    return known
  }

  get rows(): readonly Row[] {
    return [...this.#rows.values()]
  }

  violate(row: Row, kind: Violation, what: string): void {
    row.violations[kind]++
    this.violations.push(`${kind} after "${row.name}": ${what}`)
  }
}

const columns: readonly (readonly [string, (row: Row) => number])[] = [
  ['kills', (row) => row.kills],
  ['effects checked', (row) => row.checked],
  ['lost', (row) => row.violations.lost],
  ['wrong', (row) => row.violations.wrong],
  ['dangling', (row) => row.violations.dangling],
  ['refused', (row) => row.violations.refused],
  ['healed by repeating', (row) => row.repeated],
  ['by resuming', (row) => row.resumed],
  ['by starting again', (row) => row.startedAgain],
  ['not healed', (row) => row.violations.notHealed],
  ['operator actions', (row) => row.violations.byHand],
]

/** A Markdown table; the last line is the sum. */
export function renderTable(rows: readonly Row[]): string {
  const sum = ['**all**', ...columns.map(([, value]) => rows.reduce((total, row) => total + value(row), 0).toLocaleString('en'))]
  const cells = rows.map((row) => [row.name, ...columns.map(([, value]) => value(row).toLocaleString('en'))])
  const head = ['killed', ...columns.map(([name]) => name)]
  const lines = [head, ['---', ...columns.map(() => '---:')], ...cells, sum]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}
