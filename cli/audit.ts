/**
 * `lanyard audit`: who did what, from where, and what came of it; for a person as a table, for a program as JSON.
 */
import type { Command } from 'commander'
import type { AuditEntry } from '../registry/read-audit.ts'
import { listAuditEvents } from '../server/api/audit.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems } from './remote.ts'
import { CommandError, formatTable, print, writeOut } from './terminal.ts'

const usualLimit = 100
const sinceText = 'only what happened since: 30m, 24h, 7d, or a time such as 2026-11-25T08:30:00Z'

interface ListOptions {
  readonly actor?: string
  readonly action?: string
  readonly target?: string
  readonly outcome?: string
  readonly since?: string
  readonly limit?: string
  readonly json?: true
}

export function addAuditCommands(program: Command): void {
  const audit = program.command('audit').description('what was done, tried and refused').helpCommand(false)
  addApiFlags(
    audit
      .command('list')
      .description('the newest events, filtered')
      .option('--actor <name>', 'only what this account did')
      .option('--action <action>', 'only this, such as login, push, pull or delete')
      .option('--target <name>', 'only what was done to this; with * at its end, to what begins so')
      .option('--outcome <outcome>', 'only ok, denied or failed')
      .option('--since <time>', sinceText)
      .option('--limit <count>', `how many at most, ${usualLimit} if not given`)
      .option('--json', 'one JSON array'),
  ).action(list)
  addApiFlags(audit.command('export').description('all events as JSON lines, the oldest first').option('--since <time>', sinceText)).action(
    exportLines,
  )
}

async function list({ since, limit, json, ...question }: ListOptions, command: Command): Promise<void> {
  const most = limit === undefined ? usualLimit : parseLimit(limit)
  await withApi(command, async (api) => {
    const query = { ...given(question, since), limit: String(Math.min(most, 1000)) }
    const entries: AuditEntry[] = []
    for await (const entry of allItems(api, listAuditEvents, { query })) if (entries.push(entry) === most) break
    if (json) return print(`${plainJson(entries)}\n`)
    print(formatTable([['TIME', 'ACTOR', 'VIA', 'ADDRESS', 'ACTION', 'TARGET', 'OUTCOME', 'DETAIL'], ...entries.map(cellsOf)]))
  })
}

async function exportLines({ since }: { since?: string }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const query = { ...given({}, since), order: 'oldest' }
    for await (const entry of allItems(api, listAuditEvents, { query })) await writeOut(`${plainJson(entry)}\n`)
  })
}

function given(question: Omit<ListOptions, 'since' | 'limit' | 'json'>, since: string | undefined) {
  const { actor, action, target, outcome } = question
  return { actor, action, target, outcome, from: since === undefined ? undefined : parseSince(since, Date.now()) }
}

function cellsOf({ at, actor, via, address, action, target, outcome, detail }: AuditEntry): string[] {
  const facts = Object.entries(detail).map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(',') : String(value)}`)
  return [at, actor ?? '-', via, address ?? '-', action, target, outcome, facts.join(' ')]
}

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 24 * 3_600_000 }

/** A time in ISO 8601, given as such or as how long ago it was. */
export function parseSince(text: string, nowMs: number): string {
  const [, count, unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? []
  if (count === undefined) return text
  return new Date(nowMs - Number(count) * (unitsMs[unit] ?? 0)).toISOString()
}

function parseLimit(text: string): number {
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (limit < 1) throw new CommandError(`--limit is a whole number from 1 on, not "${text}"`)
  return limit
}

/** JSON in which every character that a terminal might act on is escaped, also where a row should hold one after all. */
export function plainJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''),
  )
}
