/**
 * Every moment at which the power may go, and every state that it may leave then.
 *
 * Of the last three changes that are not certain, each subset reaches the disk; of those before them all or none. The last one may also be
 * torn. Their order needs no enumeration: a state is what is there in the end, and where two changes touch the same bytes or name the
 * file system keeps their order, so that what another order would leave a subset leaves too.
 */
import { DiskModel, pendingOf, type DiskState, type Pending } from './disk-model.ts'
import type { Operation } from './operation-log.ts'
import { withoutOpenCommits } from './open-commits.ts'
import { Promises } from './promises.ts'

const lastChanges = 3
const sectorBytes = 512
const pageBytes = 4096

export interface Cut {
  /** How many operations of the record had happened. */
  readonly after: number
  readonly promises: Promises
  /** As long as this cut is the last. */
  readonly states: Iterable<CutState>
}

export interface CutState {
  /** The same for the same state and the same promises. */
  readonly name: string
  /** The same also for states that differ only in frames of a log that SQLite does not read. */
  readonly nameAsRead: () => string
  readonly make: () => DiskState
}

/** What a cut tells is true until the next one is asked for. */
export function* cutsIn(operations: readonly Operation[], model: DiskModel = new DiskModel()): Iterable<Cut> {
  const promises = new Promises()
  for (const [index, operation] of operations.entries()) {
    model.take(operation)
    if (operation.kind === 'mark') promises.take(operation.text)
    // The begin of a sync changes nothing.
    if (operation.kind !== 'begin') yield { after: index + 1, promises, states: statesOf(model, promises.version) }
  }
}

function* statesOf(model: DiskModel, version: number): Iterable<CutState> {
  const { pending } = model
  const older = pending.slice(0, -lastChanges)
  const last = pending.slice(-lastChanges)
  for (const before of older.length === 0 ? [[]] : [older, []])
    for (const some of subsetsOf(last))
      for (const each of tornOf(some, pending.at(-1))) {
        const reached = [...before, ...each]
        yield {
          name: `${version} ${model.nameOf(reached)}`,
          nameAsRead: () => `${version} ${model.nameOf(withoutOpenCommits(pending, reached))}`,
          make: () => model.leave(reached),
        }
      }
}

function subsetsOf<T>(items: readonly T[]): T[][] {
  return items.reduce<T[][]>((subsets, item) => [...subsets, ...subsets.map((subset) => [...subset, item])], [[]])
}

/** The same changes, and with the newest of all cut at a sector, cut at a page, and as a file that got its size but not its bytes. */
function tornOf(reached: readonly Pending[], newest: Pending | undefined): (readonly Pending[])[] {
  const last = reached.at(-1)
  if (last === undefined || last !== newest || last.change.kind !== 'write') return [reached]
  const { change } = last
  const { bytes } = change
  const pages = Math.floor((bytes.length - 1) / pageBytes) * pageBytes
  const torn = [...new Set([bytes.subarray(0, sectorBytes), bytes.subarray(0, pages)])].filter(
    ({ length }) => length > 0 && length < bytes.length,
  )
  const parts = [...torn, Buffer.alloc(bytes.length)].map((part, place) =>
    pendingOf(`${last.id} torn ${place}`, last.number, { ...change, bytes: part }),
  )
  return [reached, ...parts.map((part) => [...reached.slice(0, -1), part])]
}
