/**
 * The audit log's reading side: pages with filters, and the cut at its old end. Decides nothing about who may read it.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { RegistryError } from '../oci/errors.ts'
import {
  cutAuditEvents,
  listAuditEvents,
  listAuditEventsUpwards,
  newestAuditId,
  type AuditFilter,
  type AuditKey,
  type AuditRow,
} from '../storage/metadata/audit.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { AuditDetail, AuditOutcome } from './audit.ts'

/** An event as it is told to people and programs. */
export interface AuditEntry {
  readonly id: number
  /** ISO 8601, in UTC, to the millisecond. */
  readonly at: string
  readonly actor: string | null
  readonly via: string
  readonly address: string | null
  readonly action: string
  readonly target: string
  readonly detail: AuditDetail
  readonly outcome: AuditOutcome
  readonly requestId: string | null
}

/** A filter as people write it; what is undefined admits all. */
export interface AuditQuestion {
  readonly actor?: string | undefined
  readonly action?: string | undefined
  /** Exactly this or, with `*` at its end, what begins so. */
  readonly target?: string | undefined
  readonly outcome?: string | undefined
  /** The first moment, included, and the end, not included: ISO 8601. */
  readonly from?: string | undefined
  readonly to?: string | undefined
}

export interface AuditPageWish {
  readonly filter: AuditFilter
  /** What the page before gave as `next`; undefined starts at the beginning. */
  readonly after?: AuditKey | undefined
  readonly limit: number
  readonly order?: 'newest' | 'oldest'
}

export interface AuditEntries {
  readonly entries: readonly AuditEntry[]
  /** For the next page, under the same filter; undefined: this was the last. A page in between may hold few entries, or none. */
  readonly next: AuditKey | undefined
}

const outcomes: readonly AuditOutcome[] = ['ok', 'denied', 'failed']

/** @throws {RegistryError} parameterInvalid: an outcome or a time that is none */
export function parseAuditFilter({ actor, action, target, outcome, from, to }: AuditQuestion): AuditFilter {
  const isPrefix = target?.endsWith('*') === true
  return {
    actor,
    action,
    target: isPrefix ? undefined : target,
    targetPrefix: isPrefix ? target?.slice(0, -1) : undefined,
    outcome: outcome === undefined ? undefined : parseOutcome(outcome),
    fromMs: from === undefined ? undefined : parseTime(from),
    toMs: to === undefined ? undefined : parseTime(to),
  }
}

/** One page, the newest first unless the wish says otherwise. */
export async function readAudit(database: Database, { order = 'newest', ...wish }: AuditPageWish): Promise<AuditEntries> {
  const list = order === 'newest' ? listAuditEvents : listAuditEventsUpwards
  const { rows, next } = await list(database.read, { ...wish, after: wish.after })
  return { entries: rows.map(entryOf), next }
}

export interface AuditRotation {
  readonly nowMs: number
  readonly days: number
  readonly maxRows: number
  /** Ends the work after the step that is under way. */
  readonly signal?: AbortSignal
}

const rotationStep = 500
/** Between two steps, so that requests that write get their turn. */
const rotationPauseMs = 2
const dayMs = 24 * 3_600_000

/** Removes what is older than so many days, and all but the newest so many events. @returns how many went. */
export async function rotateAudit(database: Database, { nowMs, days, maxRows, signal }: AuditRotation): Promise<number> {
  // What is added meanwhile is the next rotation's: this one must come to an end.
  const upToId = (await newestAuditId(database.read)) - maxRows
  const cut = { beforeMs: nowMs - days * dayMs, upToId, limit: rotationStep }
  for (let removed = 0; ;) {
    const step = await database.writeRelaxed((tx) => cutAuditEvents(tx, cut))
    removed += step
    if (step === 0 || signal?.aborted) return removed
    await pause(rotationPauseMs)
  }
}

function entryOf(row: AuditRow): AuditEntry {
  const { id, at_ms: atMs, actor, via, address, action, target, detail, outcome, request_id: requestId } = row
  const at = new Date(atMs).toISOString()
  return { id, at, actor, via, address, action, target, detail: JSON.parse(detail) as AuditDetail, outcome, requestId }
}

function parseOutcome(text: string): AuditOutcome {
  const outcome = outcomes.find((each) => each === text)
  if (outcome) return outcome
  throw new RegistryError('parameterInvalid', { message: `an outcome is one of ${outcomes.join(', ')}` })
}

const timePattern = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/

function parseTime(text: string): number {
  const atMs = timePattern.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(atMs)) return atMs
  throw new RegistryError('parameterInvalid', { message: 'a time is a day such as 2026-11-25 or a moment such as 2026-11-25T08:30:00Z' })
}
