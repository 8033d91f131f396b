/**
 * Looks at the states that a power cut may leave of a record, all or some of them, and counts.
 */
import { join } from 'node:path'
import { checkState, type Fault } from './check.ts'
import { cutsIn, type CutState } from './cuts.ts'
import type { DiskModel } from './disk-model.ts'
import type { Operation } from './operation-log.ts'
import { story } from './story.ts'

/** What was under way, or answered last, when the power went. */
export interface Row {
  cuts: number
  /** Different ones. */
  states: number
  /** Of these, how many differ in what SQLite reads; 0 where that was not asked for. */
  read: number
  /** How many were looked at. */
  checked: number
  readonly faults: Record<Fault, number>
}

export interface Exploration {
  readonly rows: Record<string, Row>
  readonly violations: string[]
}

export interface ExploreOptions {
  /** After which operations the power is cut. All by default. */
  readonly isCut?: (operation: Operation) => boolean
  /** Which of the states is looked at, by their number. All by default. */
  readonly isWanted?: (number: number) => boolean
  /** Of states that differ only in frames that SQLite does not read, looks at one. */
  readonly isAsRead?: boolean
  /** Whether to go on after so many violations. */
  readonly maxViolations?: number
  readonly model?: DiskModel
  /** For the folders in which registries are started. */
  readonly scratch: string
}

export async function explore(operations: readonly Operation[], options: ExploreOptions): Promise<Exploration> {
  const { isCut = () => true, isWanted = () => true, isAsRead = false, maxViolations = Infinity, model, scratch } = options
  const found: Exploration = { rows: {}, violations: [] }
  const seen = new SeenStates(isAsRead)
  let name = 'first start'
  for (const cut of cutsIn(operations, model)) {
    const operation = operations[cut.after - 1]
    if (operation === undefined) continue
    if (operation.kind === 'mark') name = nameAfter(operation.text)
    if (!isCut(operation)) continue
    const row = rowOf(found, name)
    row.cuts++
    for (const state of cut.states) {
      if (!seen.add(state, row) || !isWanted(seen.count)) continue
      row.checked++
      const objections = await checkState(state.make(), join(scratch, 'data'), cut.promises)
      for (const { fault, text } of objections) {
        row.faults[fault]++
        found.violations.push(`${fault}, cut after operation ${cut.after} (${name}), state ${state.name}: ${text}`)
      }
      if (found.violations.length >= maxViolations) return found
    }
  }
  return found
}

class SeenStates {
  readonly #isAsRead: boolean
  readonly #names = new Set<string>()
  readonly #namesAsRead = new Set<string>()

  constructor(isAsRead: boolean) {
    this.#isAsRead = isAsRead
  }

  get count(): number {
    return this.#names.size
  }

  /** @returns whether it is new. */
  add(state: CutState, row: Row): boolean {
    if (this.#names.has(state.name)) return false
    this.#names.add(state.name)
    row.states++
    if (!this.#isAsRead) return true
    const name = state.nameAsRead()
    if (this.#namesAsRead.has(name)) return false
    this.#namesAsRead.add(name)
    row.read++
    return true
  }
}

/** What happens between this mark and the next. */
function nameAfter(mark: string): string {
  const [word = '', group, place] = mark.split(' ')
  if (word !== 'asked' && word !== 'told') return word === 'stopped' ? 'after the orderly stop' : 'started'
  const step = story[Number(group)]?.[Number(place)]?.name ?? mark
  return word === 'asked' ? step : `answered: ${step}`
}

export function rowOf(found: Exploration, name: string): Row {
  const empty: Row = { cuts: 0, states: 0, read: 0, checked: 0, faults: { 'does not start': 0, lost: 0, dangling: 0, 'not repeatable': 0 } }
  return (found.rows[name] ??= empty)
}
