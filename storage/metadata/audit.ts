/**
 * Rows of the audit log: appended many at once, read in pages by key, cut off at the old end. Never changed.
 *
 * Invariant: a page looks at no more than `scanRows` rows, whatever its filter and however many there are; where that is not enough
 * to fill it, the answer says where to go on. Nothing is ever counted to the end.
 */
import { sql } from 'kysely'
import type { AuditEventTable, Reader, Writer } from './schema.ts'
import { Statement } from './statement.ts'

export interface AuditRow extends Omit<AuditEventTable, 'id' | 'target' | 'detail'> {
  readonly id: number
  readonly target: string
  /** A JSON object. */
  readonly detail: string
}

export type NewAuditRow = Omit<AuditRow, 'id'>

/** Which rows; a member that is undefined admits all. */
export interface AuditFilter {
  readonly actor?: string | undefined
  readonly action?: string | undefined
  readonly target?: string | undefined
  /** What the target begins with. */
  readonly targetPrefix?: string | undefined
  readonly outcome?: AuditRow['outcome'] | undefined
  /** The first moment, itself included. */
  readonly fromMs?: number | undefined
  /** The end, itself not included. */
  readonly toMs?: number | undefined
}

/** A row's place among all others: by its id, and in a list that is limited in time by its time and then its id. */
export interface AuditKey {
  readonly atMs: number
  readonly id: number
}

export interface AuditPage {
  readonly rows: readonly AuditRow[]
  /** Where the next page begins; undefined: there is nothing behind this one. A page may hold few rows, or none, and have a next one. */
  readonly next: AuditKey | undefined
}

export interface AuditPageQuery {
  readonly filter: AuditFilter
  /** Only what comes behind this in the order of the list; undefined starts at its beginning. */
  readonly after: AuditKey | undefined
  readonly limit: number
}

/** Rows that one page looks at: well below 50 ms even when each lies on a page of the disk of its own. */
export const scanRows = 5000

const columns = ['id', 'at_ms', 'actor', 'via', 'address', 'action', 'target', 'detail', 'outcome', 'request_id'] as const
/** Sorts behind every text that begins like the prefix: no text in these rows holds this code point. */
const lastCodePoint = '\u{10ffff}'

const insertEvent = new Statement<NewAuditRow>((db, value) =>
  db.insertInto('audit_event').values({
    at_ms: value('at_ms'),
    actor: value('actor'),
    via: value('via'),
    address: value('address'),
    action: value('action'),
    target: value('target'),
    detail: value('detail'),
    outcome: value('outcome'),
    request_id: value('request_id'),
  }),
)

export async function appendAuditEvents(tx: Writer, rows: readonly NewAuditRow[]): Promise<void> {
  for (const row of rows) await insertEvent.run(tx, row)
}

/**
 * One page, the newest first: in the order in which the rows were written or, when the filter limits the time, in that of their
 * times. The two differ by what writers that work at once, or a clock that was set, make of them. Every next page needs the same filter.
 */
export async function listAuditEvents(db: Reader, page: AuditPageQuery): Promise<AuditPage> {
  const { fromMs, toMs } = page.filter
  const walk = fromMs === undefined && toMs === undefined ? await walkById(db, page) : await walkByTime(db, page, 'desc')
  return readWalk(walk, page.limit)
}

/** The same the other way round, the oldest first, always in the order of their times: for who copies all of them. */
export async function listAuditEventsUpwards(db: Reader, page: AuditPageQuery): Promise<AuditPage> {
  return readWalk(await walkByTime(db, page, 'asc'), page.limit)
}

const deleteBefore = new Statement<{ beforeMs: number; limit: number }>((db, value) =>
  db
    .deleteFrom('audit_event')
    .where('id', 'in', (where) =>
      where.selectFrom('audit_event').select('id').where('at_ms', '<', value('beforeMs')).orderBy('at_ms').limit(value('limit')),
    ),
)

const deleteUpTo = new Statement<{ id: number; limit: number }>((db, value) =>
  db
    .deleteFrom('audit_event')
    .where('id', 'in', (where) =>
      where.selectFrom('audit_event').select('id').where('id', '<=', value('id')).orderBy('id').limit(value('limit')),
    ),
)

/** What goes: rows older than a moment, and those up to an id; at most `limit` of either in one call. */
export interface AuditCut {
  readonly beforeMs: number
  readonly upToId: number
  readonly limit: number
}

/** @returns how many rows went. */
export async function cutAuditEvents(tx: Writer, { beforeMs, upToId, limit }: AuditCut): Promise<number> {
  const old = await deleteBefore.run(tx, { beforeMs, limit })
  return old + (await deleteUpTo.run(tx, { id: upToId, limit }))
}

type Column = 'actor' | 'action' | 'target' | 'outcome' | 'at_ms' | 'id'

interface Condition {
  readonly column: Column
  readonly is: '=' | '<' | '>='
  readonly value: string | number
}

function conditionsOf({ actor, action, target, targetPrefix, outcome }: AuditFilter): Condition[] {
  const equal = { actor, action, target, outcome }
  const conditions: Condition[] = []
  for (const [column, value] of Object.entries(equal))
    if (value !== undefined) conditions.push({ column: column as Column, is: '=', value })
  if (targetPrefix === undefined) return conditions
  return [
    ...conditions,
    { column: 'target', is: '>=', value: targetPrefix },
    { column: 'target', is: '<', value: `${targetPrefix}${lastCodePoint}` },
  ]
}

/** The rows of these conditions, found by the index that begins with `by`; the others are only looked at, never searched by. */
function rowsWith(db: Reader, conditions: readonly Condition[], by: readonly Column[]) {
  let query = db.selectFrom('audit_event')
  for (const { column, is, value } of conditions) {
    // A plus keeps the planner, which knows nothing of how many rows there are of which kind, from an index of its own choice.
    const left = by.includes(column) ? sql.ref(column) : sql`+${sql.ref(column)}`
    query = query.where(sql<boolean>`${left} ${sql.raw(is)} ${value}`)
  }
  return query
}

type Rows = ReturnType<typeof rowsWith>

/** A way through the rows: in order, and with an end because enough have been looked at, not because there are no more. */
interface Walk {
  readonly rows: Rows
  readonly order: readonly (readonly [by: Column, isSorted: boolean, direction: 'asc' | 'desc'])[]
  readonly end: AuditKey | undefined
}

async function readWalk({ rows, order, end }: Walk, limit: number): Promise<AuditPage> {
  let query = rows.select(columns)
  for (const [column, isSorted, direction] of order) query = query.orderBy(isSorted ? sql`+${sql.ref(column)}` : sql.ref(column), direction)
  const found = await query.limit(limit).execute()
  const last = found.at(-1)
  return { rows: found, next: found.length === limit && last ? { atMs: last.at_ms, id: last.id } : end }
}

/** Along the sparsest index that the filter has, downwards; along the rows themselves when it has none. */
async function walkById(db: Reader, { filter, after }: AuditPageQuery): Promise<Walk> {
  const conditions = conditionsOf(filter)
  const newest = await newestAuditId(db)
  const below: Condition = { column: 'id', is: '<', value: Math.min(after?.id ?? newest + 1, newest + 1) }
  const downTo = (by: Column, end: number | undefined): Walk => ({
    rows: rowsWith(db, [...conditions, below, { column: 'id', is: '>=', value: end ?? 0 }], [by, 'id']),
    order: [['id', false, 'desc']],
    end: end === undefined ? undefined : { atMs: 0, id: end },
  })
  const ends = await Promise.all(
    conditions
      .filter(({ column, is }) => is === '=' && column !== 'outcome')
      .map(async (condition) => ({ by: condition.column, end: await idAfterScan(db, [condition, below]) })),
  )
  const [sparsest] = ends.toSorted((a, b) => (a.end ?? 0) - (b.end ?? 0))
  if (sparsest && sparsest.end === undefined) return downTo(sparsest.by, undefined)
  const few = await findFew(db, conditions)
  if (few) return { rows: rowsWith(db, [...conditions, below], [few]), order: [['id', true, 'desc']], end: undefined }
  if (sparsest) return downTo(sparsest.by, sparsest.end)
  const lowest = Number(below.value) - scanRows
  return downTo('id', lowest <= (await oldestId(db)) ? undefined : lowest)
}

/**
 * Along the times, unless there are only few rows that a condition admits: those are taken all and sorted. Rows of the same time lie by
 * their ids.
 */
async function walkByTime(db: Reader, { filter, after }: AuditPageQuery, direction: 'asc' | 'desc'): Promise<Walk> {
  const conditions = conditionsOf(filter)
  const isDown = direction === 'desc'
  const { fromMs = 0, toMs = Number.MAX_SAFE_INTEGER } = filter
  // One bound at each end, the nearer one: of two the planner may search by the wrong one and pass by all the rows between them.
  const range = { fromMs, toMs }
  if (after) Object.assign(range, isDown ? { toMs: Math.min(after.atMs + 1, toMs) } : { fromMs: Math.max(after.atMs, fromMs) })
  const ahead = (rows: Rows): Rows => (after === undefined ? rows : rows.where(isBeyond(after, isDown ? '<' : '>')))
  const end = await keyAfterScan(ahead(rowsWith(db, inRange(range), ['at_ms'])), direction)
  const few = end === undefined ? undefined : await findFew(db, conditions)
  const order: Walk['order'] = [
    ['at_ms', few !== undefined, direction],
    ['id', few !== undefined, direction],
  ]
  if (few) return { rows: ahead(rowsWith(db, [...conditions, ...inRange(range)], [few])), order, end: undefined }
  if (end) Object.assign(range, isDown ? { fromMs: end.atMs } : { toMs: end.atMs + 1 })
  const rows = ahead(rowsWith(db, [...conditions, ...inRange(range)], ['at_ms']))
  return { rows: end ? rows.where(isWithin(end, isDown ? '>' : '<')) : rows, order, end }
}

function inRange({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): Condition[] {
  return [
    { column: 'at_ms', is: '>=', value: fromMs },
    { column: 'at_ms', is: '<', value: toMs },
  ]
}

/** Strictly beyond the key, among rows of whose time is known that it is not on the other side. */
function isBeyond({ atMs, id }: AuditKey, is: '<' | '>') {
  return sql<boolean>`(+at_ms ${sql.raw(is)} ${atMs} or +id ${sql.raw(is)} ${id})`
}

/** The same, the key itself included. */
function isWithin({ atMs, id }: AuditKey, is: '<' | '>') {
  return sql<boolean>`(+at_ms ${sql.raw(is)} ${atMs} or +id ${sql.raw(is)}= ${id})`
}

/** The column of an index that alone leaves few rows; undefined when none does. */
async function findFew(db: Reader, conditions: readonly Condition[]): Promise<Column | undefined> {
  const indexed = conditions.filter(({ column }) => column !== 'outcome')
  for (const [column, own] of Map.groupBy(indexed, (condition) => condition.column)) {
    const beyond = await rowsWith(db, own, [column]).select('id').limit(1).offset(scanRows).executeTakeFirst()
    if (!beyond) return column
  }
  return undefined
}

/** The id at which so many rows have been looked at; undefined when there are not so many. */
async function idAfterScan(db: Reader, conditions: readonly Condition[]): Promise<number | undefined> {
  const by = conditions.map(({ column }) => column)
  const row = await rowsWith(db, conditions, by)
    .select('id')
    .orderBy('id', 'desc')
    .limit(1)
    .offset(scanRows - 1)
    .executeTakeFirst()
  return row?.id
}

async function keyAfterScan(rows: Rows, direction: 'asc' | 'desc'): Promise<AuditKey | undefined> {
  const row = await rows
    .select(['at_ms', 'id'])
    .orderBy('at_ms', direction)
    .orderBy('id', direction)
    .limit(1)
    .offset(scanRows - 1)
    .executeTakeFirst()
  return row && { atMs: row.at_ms, id: row.id }
}

/**
 * 0 when there is none. Ids are given out without gaps and taken away from the old end, so that they tell how many there are. The
 * condition lets the plan be a search, which ends at the first row.
 */
export async function newestAuditId(db: Reader): Promise<number> {
  const row = await db.selectFrom('audit_event').select('id').where('id', '>', 0).orderBy('id', 'desc').limit(1).executeTakeFirst()
  return row?.id ?? 0
}

async function oldestId(db: Reader): Promise<number> {
  const row = await db.selectFrom('audit_event').select('id').where('id', '>', 0).orderBy('id').limit(1).executeTakeFirst()
  return row?.id ?? 0
}
