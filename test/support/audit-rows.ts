/** Audit events for tests: made with few words, and read back when the log has been written. */
import assert from 'node:assert/strict'
import type { AuditEvent } from '../../registry/audit.ts'
import { readAudit, type AuditEntry } from '../../registry/read-audit.ts'
import type { AuditFilter, AuditRow, NewAuditRow } from '../../storage/metadata/audit.ts'
import type { Database } from '../../storage/metadata/database.ts'
import type { TestRegistry } from './start-registry.ts'

export function auditRow(more: Partial<NewAuditRow> = {}): NewAuditRow {
  return {
    at_ms: 1,
    actor: 'alice',
    via: 'password',
    address: '192.0.2.1',
    action: 'push',
    target: 'team/app',
    detail: '{}',
    outcome: 'ok',
    request_id: null,
    ...more,
  }
}

export function auditEvent(more: Partial<AuditEvent> = {}): AuditEvent {
  return {
    atMs: 1,
    actor: 'alice',
    via: 'password',
    address: '192.0.2.1',
    action: 'push',
    target: 'team/app',
    outcome: 'ok',
    requestId: null,
    ...more,
  }
}

/** Whether a row is one of the filter's, by the plainest reading of it. */
export function isAdmitted(row: AuditRow, filter: AuditFilter): boolean {
  const { actor, action, target, targetPrefix, outcome, fromMs, toMs } = filter
  return (
    (actor === undefined || row.actor === actor) &&
    (action === undefined || row.action === action) &&
    (target === undefined || row.target === target) &&
    (targetPrefix === undefined || row.target.startsWith(targetPrefix)) &&
    (outcome === undefined || row.outcome === outcome) &&
    (fromMs === undefined || row.at_ms >= fromMs) &&
    (toMs === undefined || row.at_ms < toMs)
  )
}

/** Everything in the log of a database, the oldest first. */
export async function auditedIn(database: Database): Promise<AuditEntry[]> {
  const { entries, next } = await readAudit(database, { filter: {}, limit: 10_000, order: 'oldest' })
  assert.equal(next, undefined)
  return [...entries]
}

/** What a registry recorded after its start, when all of it is written. */
export async function auditOf(registry: Pick<TestRegistry, 'services'>): Promise<AuditEntry[]> {
  await registry.services.audit.flush()
  const entries = await auditedIn(registry.services.registry.database)
  return entries.filter(({ via }) => via !== 'system')
}

/** The facts of an entry that do not differ from run to run, in one line. */
export function inWords({ actor, via, action, target, outcome }: AuditEntry): string {
  return `${actor ?? 'nobody'} by ${via}: ${action} ${target}: ${outcome}`
}
