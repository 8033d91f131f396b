/** Reading the audit log: pages for people and programs, an export that any program can read, a cut that holds and stops nobody. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAuditFilter, readAudit, rotateAudit, type AuditEntries } from '../../registry/read-audit.ts'
import { appendAuditEvents } from '../../storage/metadata/audit.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { auditRow } from '../support/audit-rows.ts'
import { emptyDataFolder } from '../support/data-folder.ts'
import { assertRejected } from '../support/refusal.ts'

const day = 24 * 3_600_000
const start = Date.UTC(2026, 10, 25)

/** A log of so many events, a second apart; every third is bob's. */
async function logOf(t: TestContext, count: number): Promise<{ database: Database; openAnother: () => Database }> {
  const layout = emptyDataFolder(t)
  await migrate(layout, 0)
  const openAnother = (): Database => {
    const database = Database.open(layout.database)
    t.after(() => database.close())
    return database
  }
  const database = openAnother()
  const rows = Array.from({ length: count }, (_, at) =>
    auditRow({ at_ms: start + at * 1000, actor: at % 3 === 0 ? 'bob' : 'alice', target: `team/app${at}`, detail: `{"count":${at}}` }),
  )
  await database.writeRelaxed((tx) => appendAuditEvents(tx, rows))
  return { database, openAnother }
}

const countOf = async (database: Database): Promise<number> => (await database.read.selectFrom('audit_event').select('id').execute()).length

suite('a page', () => {
  test('tells times in ISO 8601 and the detail as an object, and where the next one begins', async (t) => {
    const { database } = await logOf(t, 5)
    const { entries, next } = await readAudit(database, { filter: {}, limit: 2 })
    assert.deepEqual(entries[0], {
      id: 5,
      at: '2026-11-25T00:00:04.000Z',
      actor: 'alice',
      via: 'password',
      address: '192.0.2.1',
      action: 'push',
      target: 'team/app4',
      detail: { count: 4 },
      outcome: 'ok',
      requestId: null,
    })
    const second = await readAudit(database, { filter: {}, after: next, limit: 10 })
    assert.deepEqual([second.entries.map(({ id }) => id), second.next], [[3, 2, 1], undefined])
  })

  test('comes the oldest first when it is to, page after page until all is told', async (t) => {
    const { database } = await logOf(t, 1300)
    const ids: number[] = []
    let page: AuditEntries = { entries: [], next: undefined }
    do {
      const wish = { filter: parseAuditFilter({ from: '2026-11-25T00:00:01Z' }), after: page.next, limit: 500, order: 'oldest' as const }
      page = await readAudit(database, wish)
      ids.push(...page.entries.map(({ id }) => id))
    } while (page.next)
    assert.deepEqual(
      ids,
      Array.from({ length: 1299 }, (_, at) => at + 2),
    )
  })
})

suite('a filter', () => {
  test('is read from what people write', () => {
    const none = { actor: undefined, action: undefined, target: undefined, targetPrefix: undefined, outcome: undefined, fromMs: undefined }
    assert.deepEqual(parseAuditFilter({}), { ...none, toMs: undefined })
    const question = {
      actor: 'a',
      action: 'push',
      target: 'team/*',
      outcome: 'denied',
      from: '2026-11-25',
      to: '2026-11-25T08:30:00+01:00',
    }
    assert.deepEqual(parseAuditFilter(question), {
      actor: 'a',
      action: 'push',
      target: undefined,
      targetPrefix: 'team/',
      outcome: 'denied',
      fromMs: start,
      toMs: start + 7.5 * 3_600_000,
    })
  })

  test('with an outcome or a time that is none is refused', async () => {
    const parse = async (question: object): Promise<unknown> => parseAuditFilter(question)
    await assertRejected('parameterInvalid', parse({ outcome: 'good' }))
    for (const from of ['yesterday', '2026', '2026-13-01', '2026-11-25T08:30', '1', '2026-11-25T08:30:00Z; drop table'])
      await assertRejected('parameterInvalid', parse({ from }))
  })
})

suite('rotation', () => {
  test('holds the cap by age and the cap by number', async (t) => {
    const { database } = await logOf(t, 1700)
    const nowMs = start + 90 * day + 600_000
    assert.equal(await rotateAudit(database, { nowMs, days: 91, maxRows: 1_000_000 }), 0)
    assert.equal(await rotateAudit(database, { nowMs, days: 90, maxRows: 1_000_000 }), 600)
    assert.equal(await countOf(database), 1100)
    assert.equal(await rotateAudit(database, { nowMs, days: 90, maxRows: 1000 }), 100)
    const { entries } = await readAudit(database, { filter: {}, limit: 2000 })
    assert.deepEqual([entries.length, entries.at(-1)?.id], [1000, 701])
    assert.equal(await rotateAudit(database, { nowMs, days: 90, maxRows: 1000 }), 0)
  })

  test('goes in small steps between which others write', async (t) => {
    const { database, openAnother } = await logOf(t, 4000)
    const writer = openAnother()
    const over = new AbortController()
    const rotating = rotateAudit(database, { nowMs: start, days: 1, maxRows: 1000 }).finally(() => over.abort())
    let writes = 0
    for (; !over.signal.aborted; writes++) {
      await writer.writeRelaxed((tx) => appendAuditEvents(tx, [auditRow({ at_ms: start, actor: 'writer' })]))
      // A write of its own waits for nothing: the rotation's turn would never come.
      await nextTurn()
    }
    const removed = await rotating
    assert.ok(removed >= 3000 && writes >= 6, `${writes} writes beside the removal of ${removed}`)
    const { entries } = await readAudit(database, { filter: { actor: 'writer' }, limit: 100_000 })
    assert.equal(entries.length, writes)
    await rotateAudit(database, { nowMs: start, days: 1, maxRows: 1000 })
    assert.equal(await countOf(database), 1000)
  })

  test('ends after the step that is under way when it is told to', async (t) => {
    const { database } = await logOf(t, 3000)
    const removed = await rotateAudit(database, { nowMs: start, days: 1, maxRows: 1000, signal: AbortSignal.abort() })
    assert.equal(removed, 500)
  })
})
