/**
 * Statements that are built once by the query builder and run many times with named values: for the path of every request, where
 * building costs more than running (a query through the builder 20 to 50 µs and its garbage, the statement itself 3).
 *
 * Knows no table. A statement holds nothing of any database: its text is remembered for each dialect that compiled it.
 */
import { CompiledQuery, type Compilable } from 'kysely'
import type { Reader, Writer } from './schema.ts'

/** Stands in a query for the value of that name. */
type Placeholders<V> = <K extends keyof V & string>(name: K) => V[K]

/** An adapter of Kysely's that can run a statement at once on its connection: past the builder's layers, each some promises deep. */
export interface DirectAdapter {
  /** The first row, undefined when there is none. */
  first(sql: string, parameters: readonly unknown[]): unknown
  /** @returns how many rows were changed. */
  run(sql: string, parameters: readonly unknown[]): number
}

interface Text<V> {
  readonly sql: string
  /** The names of the values, in the order of the text's placeholders; one may stand twice. */
  readonly names: readonly (keyof V)[]
}

class Placeholder {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export class Statement<V extends object, Row = unknown> {
  readonly #build: (db: Reader, value: Placeholders<V>) => Compilable<Row>
  readonly #texts = new Map<unknown, Text<V>>()

  /** @param build every value of the query comes from `value`, or is the same each time. */
  constructor(build: (db: Reader, value: Placeholders<V>) => Compilable<Row>) {
    this.#build = build
  }

  /** The text for the dialect of `db`. */
  textFor(db: Reader | Writer): Text<V> {
    const dialect = db.getExecutor().adapter.constructor
    const known = this.#texts.get(dialect)
    if (known) return known
    // The builder keeps it among the parameters, where its place is read.
    const { sql, parameters } = this.#build(db, (name) => new Placeholder(name) as never).compile()
    const names = parameters.map((parameter) => {
      if (parameter instanceof Placeholder) return parameter.name as keyof V
      throw new Error(`a statement's values must be named, this one is not: ${sql}`)
    })
    const text = { sql, names }
    this.#texts.set(dialect, text)
    return text
  }

  /** The first row, undefined when there is none. */
  async first(db: Reader | Writer, values: V): Promise<Row | undefined> {
    const { sql, parameters } = this.#bind(db, values)
    const { adapter } = db.getExecutor()
    if (isDirect(adapter)) return adapter.first(sql, parameters) as Row | undefined
    return (await db.executeQuery<Row>(CompiledQuery.raw(sql, parameters))).rows[0]
  }

  /** @returns how many rows were changed. */
  async run(tx: Writer, values: V): Promise<number> {
    const { sql, parameters } = this.#bind(tx, values)
    const { adapter } = tx.getExecutor()
    if (isDirect(adapter)) return adapter.run(sql, parameters)
    return Number((await tx.executeQuery(CompiledQuery.raw(sql, parameters))).numAffectedRows ?? 0)
  }

  #bind(db: Reader | Writer, values: V): { sql: string; parameters: unknown[] } {
    const { sql, names } = this.textFor(db)
    return { sql, parameters: names.map((name) => values[name]) }
  }
}

function isDirect(adapter: object): adapter is DirectAdapter {
  return 'first' in adapter && 'run' in adapter
}
