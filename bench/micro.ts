/**
 * Micro-benchmarks: what each hot piece of a request costs by itself, as the median of several rounds.
 *
 * A round repeats the piece often enough to last; the pieces take turns, so that a busy moment of the machine meets all alike.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { measureMachine, NeighbourWatch, type MachineFacts } from './machine.ts'
import type { Piece, PieceGroup } from './piece.ts'
import { purePieces } from './pieces/pure.ts'
import { rightsPieces } from './pieces/rights.ts'
import { storePieces } from './pieces/store.ts'
import { wirePieces } from './pieces/wire.ts'
import type { Bench } from './row.ts'
import { summarize, type Summary } from './summary.ts'

export interface PieceResult {
  readonly group: string
  readonly title: string
  readonly nanoseconds: Summary
}

export interface MicroResult {
  readonly machine: MachineFacts
  readonly othersShare: number
  readonly rounds: number
  readonly pieces: readonly PieceResult[]
}

export interface Rounds {
  readonly count: number
  readonly milliseconds: number
  /** Milliseconds since any moment. */
  readonly clock?: () => number
}

export async function measurePieces(bench: Bench, rounds: Rounds): Promise<MicroResult> {
  const machine = measureMachine(bench.folder, bench.amounts.bigMib)
  const watch = new NeighbourWatch()
  const results: PieceResult[] = []
  const folder = join(bench.folder, 'micro')
  for (const open of [() => purePieces(folder), () => storePieces(folder), () => rightsPieces(folder), () => wirePieces(bench)]) {
    const group = await open()
    results.push(...(await measureGroup(group, rounds, bench.say)))
    await group.close?.()
    rmSync(folder, { recursive: true, force: true })
  }
  return { machine, othersShare: watch.share(), rounds: rounds.count, pieces: results }
}

export async function measureGroup(group: PieceGroup, rounds: Rounds, say: (line: string) => void): Promise<PieceResult[]> {
  const stopwatch = new Stopwatch(rounds.clock ?? (() => performance.now()))
  const timed: { piece: Piece; calls: number; values: number[] }[] = []
  for (const piece of group.pieces)
    timed.push({ piece, calls: piece.measure ? 1 : await stopwatch.callsFor(piece, rounds.milliseconds), values: [] })
  for (let round = 0; round < rounds.count; round++) {
    for (const { piece, calls, values } of timed) {
      const seconds = piece.measure ? await piece.measure() : (await stopwatch.time(piece, calls)) / 1000 / (calls * (piece.times ?? 1))
      values.push(seconds * 1e9)
    }
  }
  return timed.map(({ piece, values }) => {
    const nanoseconds = summarize(values)
    say(`${group.title}: ${piece.title}: ${Math.round(nanoseconds.median)} ns`)
    return { group: group.title, title: piece.title, nanoseconds }
  })
}

class Stopwatch {
  readonly #clock: () => number

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /**
   * How many calls last so long; by the way the piece is compiled. The first call, which may fill a cache, is not looked at, and of
   * two tries the shorter counts: the longer one may have been interrupted.
   */
  async callsFor(piece: Piece, milliseconds: number): Promise<number> {
    await piece.run()
    for (let calls = 1; ; calls *= 2) {
      const took = Math.min(await this.time(piece, calls), await this.time(piece, calls))
      if (took >= milliseconds / 2) return Math.max(1, Math.round((calls * milliseconds) / took))
    }
  }

  /** Milliseconds for so many calls; of a piece that is not asynchronous nothing is awaited. */
  async time({ run }: Piece, calls: number): Promise<number> {
    const begun = this.#clock()
    const first = run()
    if (first instanceof Promise) {
      await first
      for (let count = 1; count < calls; count++) await run()
    } else {
      for (let count = 1; count < calls; count++) run()
    }
    return this.#clock() - begun
  }
}
