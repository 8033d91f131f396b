/**
 * Every row of the comparison, in the order in which they are run and shown.
 */
import type { Amounts, Row } from './row.ts'
import { listRows } from './rows/lists.ts'
import { readRows } from './rows/reads.ts'
import { startRows } from './rows/starts.ts'
import { transferRows } from './rows/transfers.ts'
import { writeRows } from './rows/writes.ts'

export function allRows(amounts: Amounts): Row[] {
  return [...readRows(), ...transferRows(amounts.bigMib), ...writeRows(), ...listRows(amounts), ...startRows()]
}

/**
 * The rows whose id or group is one of the names, which commas separate; all without any.
 * @throws when a name is neither
 */
export function selectRows(rows: readonly Row[], names: string | undefined): Row[] {
  if (names === undefined) return [...rows]
  const wanted = names.split(',').map((name) => name.trim())
  const unknown = wanted.filter((name) => !rows.some((row) => row.id === name || row.group === name))
  if (unknown.length > 0) {
    const known = [...new Set(rows.map((row) => row.group)), ...rows.map((row) => row.id)]
    throw new Error(`there is no row ${unknown.join(', ')}; there are ${known.join(', ')}`)
  }
  return rows.filter((row) => wanted.includes(row.id) || wanted.includes(row.group))
}
