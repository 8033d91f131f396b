/**
 * How long something lives, as people write it on a command line: `90d`, `12h`, `30m`, `never`. Knows nothing of what it is that
 * lives.
 */
import { CommandError } from './terminal.ts'

const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }
const maxMs = 100 * 365 * 86_400_000

/**
 * Milliseconds; undefined for `never`.
 * @throws {CommandError} not a number of minutes, hours or days, or more than a hundred years
 */
export function parseLifetime(text: string): number | undefined {
  if (text === 'never') return undefined
  const lifeMs = parseDuration(text)
  if (lifeMs === 0) throw new CommandError('a lifetime is more than nothing')
  return lifeMs
}

/** Milliseconds, 0 too. @throws {CommandError} as parseLifetime */
export function parseDuration(text: string): number {
  const { amount = '', unit = '' } = /^(?<amount>\d{1,9})(?<unit>[mhd])$/.exec(text)?.groups ?? {}
  const durationMs = Number(amount) * (unitMs[unit] ?? Infinity)
  if (amount === '' || durationMs > maxMs)
    throw new CommandError(`a time is minutes, hours or days, such as 30m, 12h or 90d, not "${text}"`)
  return durationMs
}
