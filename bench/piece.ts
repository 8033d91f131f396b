/**
 * What a micro-benchmark measures: pieces of the program, in groups that share what they are made ready with.
 */

/** A piece of work that is measured by itself. */
export interface Piece {
  readonly title: string
  /** Does it once; a piece that does more at once says how many times in `times`. */
  readonly run: () => unknown
  readonly times?: number
  /** A piece that measures itself: seconds for one operation. `run` is not called then. */
  readonly measure?: () => Promise<number>
}

export interface PieceGroup {
  readonly title: string
  readonly pieces: readonly Piece[]
  readonly close?: () => Promise<void>
}
