/** The audit log's rows: pages by key under every filter, and the cut at the old end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  appendAuditEvents,
  cutAuditEvents,
  listAuditEvents,
  listAuditEventsUpwards,
  newestAuditId,
  scanRows,
  type AuditFilter,
  type AuditKey,
  type AuditRow,
  type NewAuditRow,
} from '../../../storage/metadata/audit.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { auditRow, isAdmitted } from '../../support/audit-rows.ts'
import type { MetadataFactory } from './metadata-store.ts'

type List = typeof listAuditEvents

async function append(database: Database, rows: readonly NewAuditRow[]): Promise<void> {
  await database.writeRelaxed((tx) => appendAuditEvents(tx, rows))
}

const allRows = (database: Database): Promise<AuditRow[]> => database.read.selectFrom('audit_event').selectAll().orderBy('id').execute()

/** Every page of a list, one after the other. */
async function walk(database: Database, list: List, { filter, limit }: { filter: AuditFilter; limit: number }): Promise<number[]> {
  const ids: number[] = []
  for (let after: AuditKey | undefined; ;) {
    const { rows, next } = await list(database.read, { filter, after, limit })
    assert.ok(rows.length <= limit)
    ids.push(...rows.map((row) => row.id))
    if (next === undefined) return ids
    after = next
  }
}

const byTime = (a: AuditRow, b: AuditRow): number => a.at_ms - b.at_ms || a.id - b.id
const isTimed = (filter: AuditFilter): boolean => filter.fromMs !== undefined || filter.toMs !== undefined

function expected(rows: readonly AuditRow[], filter: AuditFilter): number[] {
  const admitted = rows.filter((row) => isAdmitted(row, filter))
  return (isTimed(filter) ? admitted.toSorted(byTime) : admitted).map((row) => row.id).toReversed()
}

const actors = ['alice', 'bob', 'carol']
const targets = ['team', 'team/app', 'team/app2', 'team/b', 'tean', 'téam/x', '']
const anyRow = fc.record({
  // Few times: many rows have the same.
  at_ms: fc.integer({ min: 0, max: 8 }),
  actor: fc.constantFrom(...actors, null),
  action: fc.constantFrom('push', 'pull', 'login'),
  target: fc.constantFrom(...targets),
  outcome: fc.constantFrom('ok' as const, 'denied' as const, 'failed' as const),
})
/** Mostly not there: all conditions together admit hardly a row. */
const maybe = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: values })
const anyFilter: fc.Arbitrary<AuditFilter> = fc.record({
  actor: maybe(fc.constantFrom(...actors, 'nobody')),
  action: maybe(fc.constantFrom('push', 'pull', 'delete')),
  target: maybe(fc.constantFrom(...targets)),
  targetPrefix: maybe(fc.constantFrom('', 't', 'team/', 'team/app', 'té', 'x')),
  outcome: maybe(fc.constantFrom('ok' as const, 'failed' as const)),
  fromMs: maybe(fc.integer({ min: 0, max: 9 })),
  toMs: maybe(fc.integer({ min: 0, max: 9 })),
})

/** Filters that take each way through many rows: of `rare` there are few, of `common` more than one page looks at. */
const wide: readonly AuditFilter[] = [
  {},
  { actor: 'common' },
  { actor: 'rare' },
  { actor: 'rare', action: 'common' },
  { actor: 'common', action: 'common', target: 'team/app' },
  { actor: 'common', outcome: 'denied' },
  { outcome: 'denied' },
  { targetPrefix: 'team/' },
  { targetPrefix: 'few/' },
  { targetPrefix: 'few/', actor: 'common' },
  { fromMs: 5000 },
  { toMs: 9000, actor: 'rare' },
  { fromMs: 100, toMs: 110 },
  { fromMs: 100, toMs: 11_000, actor: 'common', outcome: 'denied' },
  { fromMs: 100, targetPrefix: 'few/' },
  { toMs: 11_500, target: 'team/app', action: 'common', outcome: 'denied' },
]

function wideRows(): NewAuditRow[] {
  return Array.from({ length: Math.round(scanRows * 2.4) }, (_, at) =>
    auditRow({
      // Writers that work at once hand in their rows a little out of order.
      at_ms: at + ((at * 7) % 13),
      actor: at % 997 === 0 ? 'rare' : 'common',
      action: at % 3 === 0 ? 'other' : 'common',
      target: at % 1201 === 0 ? 'few/app' : 'team/app',
      outcome: at % 1499 === 0 ? 'denied' : 'ok',
    }),
  )
}

export function auditTests(create: MetadataFactory): void {
  test('many are appended in one transaction, in their order, and come back as they were', async (t) => {
    const { database } = await create(t)
    const rows = [auditRow({ detail: '{"tag":"v1"}' }), auditRow({ actor: null, address: null, target: '', request_id: 'r-1' })]
    await append(database, rows)
    assert.deepEqual(
      await allRows(database),
      rows.map((row, at) => ({ id: at + 1, ...row })),
    )
  })

  test('an outcome that does not exist is refused, and with it the whole batch', async (t) => {
    const { database } = await create(t)
    const bad = auditRow({ outcome: 'perhaps' as 'ok' })
    await assert.rejects(append(database, [auditRow(), bad]), /constraint/i)
    assert.deepEqual(await allRows(database), [])
  })

  test('pages under any filter hold what a plain array would, the newest first, and upwards the oldest first', async (t) => {
    const { database } = await create(t)
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRow, { maxLength: 40, size: 'max' }),
        fc.array(fc.tuple(anyFilter, fc.integer({ min: 1, max: 12 })), { minLength: 4, maxLength: 8, size: 'max' }),
        async (news, questions) => {
          await database.writeRelaxed((tx) => tx.deleteFrom('audit_event').execute())
          await append(database, news.map(auditRow))
          const rows = await allRows(database)
          for (const [filter, limit] of questions) {
            assert.deepEqual(await walk(database, listAuditEvents, { filter, limit }), expected(rows, filter))
            const upwards = rows.filter((row) => isAdmitted(row, filter)).toSorted(byTime)
            assert.deepEqual(
              await walk(database, listAuditEventsUpwards, { filter, limit }),
              upwards.map((row) => row.id),
            )
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  test('the same holds where there are more rows than a page looks at, whichever way it takes', async (t) => {
    const { database } = await create(t)
    await append(database, wideRows())
    const rows = await allRows(database)
    for (const filter of wide) {
      for (const limit of [100, scanRows * 3]) {
        const what = `${JSON.stringify(filter)} by ${limit}`
        assert.deepEqual(await walk(database, listAuditEvents, { filter, limit }), expected(rows, filter), what)
        const upwards = rows.filter((row) => isAdmitted(row, filter)).toSorted(byTime)
        assert.deepEqual(
          await walk(database, listAuditEventsUpwards, { filter, limit }),
          upwards.map((row) => row.id),
          what,
        )
      }
    }
  })

  test('a page that finds nothing looks at no more rows than it may, and says where to go on', async (t) => {
    const { database } = await create(t)
    await append(database, wideRows())
    for (const filter of [{ outcome: 'failed' }, { actor: 'common', outcome: 'failed' }, { fromMs: 0, outcome: 'failed' }] as const) {
      const steps: number[] = []
      for (let after: AuditKey | undefined; steps.length < 10;) {
        const { rows, next } = await listAuditEvents(database.read, { filter, after, limit: 100 })
        assert.deepEqual(rows, [])
        if (next === undefined) break
        steps.push((after?.id ?? scanRows * 2.4) - next.id)
        after = next
      }
      assert.equal(steps.length, 2, JSON.stringify(filter))
      for (const step of steps) assert.ok(step > 0.9 * scanRows && step < 1.1 * scanRows, `${step} rows`)
    }
  })

  test('what is written while somebody pages comes before the first page, and changes none behind it', async (t) => {
    const { database } = await create(t)
    await append(
      database,
      Array.from({ length: 10 }, (_, at) => auditRow({ at_ms: at })),
    )
    for (const filter of [{}, { fromMs: 0 }]) {
      const first = await listAuditEvents(database.read, { filter, after: undefined, limit: 4 })
      await append(database, [auditRow({ at_ms: 1000 })])
      const second = await listAuditEvents(database.read, { filter, after: first.next, limit: 4 })
      const ids = [...first.rows, ...second.rows].map((row) => row.id)
      assert.deepEqual(
        ids,
        Array.from({ length: 8 }, (_, at) => (ids[0] ?? 0) - at),
      )
    }
  })

  test('a page whose beginning was cut off meanwhile goes on behind it', async (t) => {
    const { database } = await create(t)
    await append(
      database,
      Array.from({ length: 10 }, (_, at) => auditRow({ at_ms: at })),
    )
    const { next } = await listAuditEvents(database.read, { filter: { fromMs: 0 }, after: undefined, limit: 4 })
    await database.write((tx) =>
      tx
        .deleteFrom('audit_event')
        .where('id', '=', next?.id ?? 0)
        .execute(),
    )
    const { rows } = await listAuditEvents(database.read, { filter: { fromMs: 0 }, after: next, limit: 4 })
    assert.deepEqual(
      rows.map((row) => row.id),
      [6, 5, 4, 3],
    )
  })

  test('the cut takes what is too old and what lies below an id, the oldest first, no more than it may at once', async (t) => {
    const { database } = await create(t)
    await append(
      database,
      Array.from({ length: 20 }, (_, at) => auditRow({ at_ms: at })),
    )
    const cut = (more: object): Promise<number> => database.write((tx) => cutAuditEvents(tx, { beforeMs: 0, upToId: 0, limit: 3, ...more }))
    const ids = async (): Promise<number[]> => (await allRows(database)).map((row) => row.id)
    assert.equal(await cut({}), 0)
    assert.equal(await cut({ beforeMs: 2 }), 2)
    assert.equal(await cut({ beforeMs: 10 }), 3)
    assert.equal((await ids())[0], 6)
    assert.equal(await cut({ upToId: 8 }), 3)
    assert.equal(await cut({ upToId: 8 }), 0)
    assert.equal(await cut({ upToId: 9 }), 1)
    assert.deepEqual(await ids(), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
    await append(database, [auditRow()])
    assert.equal((await ids()).at(-1), 21, 'an id never comes back')
  })

  test('a log that was cut to nothing goes on with new ids', async (t) => {
    const { database } = await create(t)
    await append(database, [auditRow(), auditRow()])
    await database.write((tx) => cutAuditEvents(tx, { beforeMs: 10, upToId: 0, limit: 10 }))
    assert.deepEqual(await listAuditEvents(database.read, { filter: {}, after: undefined, limit: 10 }), { rows: [], next: undefined })
    await append(database, [auditRow()])
    assert.deepEqual(await walk(database, listAuditEvents, { filter: {}, limit: 10 }), [3])
    assert.equal(await newestAuditId(database.read), 3)
  })
}
