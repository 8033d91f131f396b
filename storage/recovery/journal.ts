/**
 * The journal: every change of a manifest, a tag and what they lie in, beside the database, for the day on which that is lost.
 *
 * One line for each transaction, with a checksum: appended within it, just before its commit, under the lock that all writers share, so
 * that the order of the lines is that of the commits. It costs a push no sync: lines are brought to the disk once a second, by the
 * process that wrote them. Invariant: a journal that cannot be written keeps nobody from pushing or deleting; the gap is told.
 *
 * Triggers of the connection itself tell what changes, so that no use case has to, and none can forget it.
 */
import { closeSync, fdatasync, fstatSync, ftruncateSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import type Sqlite from 'better-sqlite3'
import { systemCode } from '../faults.ts'
import { currentJournalPath, finishedJournalPath, journalNumberOf, type DataLayout } from '../layout.ts'

type JournalPlace = Pick<DataLayout, 'journal'>

/**
 * The tables whose rows are kept, with the columns that name a row. Leases are not: what is brought back gets a new one. Nor are references,
 * which a manifest's bytes tell: eight of them would cost a push more than all the rest.
 */
export const journalTables = {
  namespace: ['id'],
  repository: ['id'],
  manifest: ['repository_id', 'digest'],
  tag: ['id'],
  trash_item: ['id'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type JournalTable = keyof typeof journalTables

const withoutColumns: ReadonlySet<string> = new Set(['leased_at_ms'])

/** A row as it is now, or only its key when it is gone. */
export interface Change {
  readonly table: JournalTable
  readonly kind: 'put' | 'end'
  readonly row: Readonly<Record<string, Value>>
}

export type Value = string | number | bigint | null | { readonly base64: string }

const syncEveryMs = 1000

export class Journal {
  readonly #place: JournalPlace
  readonly #columns = new Map<string, readonly string[]>()
  /** Of the transaction under way. */
  #changes: Change[] = []
  #file: { readonly descriptor: number; readonly inode: number } | undefined
  #sizeBefore = 0
  /** Lines are missing. */
  #hasGap = false
  #syncing: NodeJS.Timeout | undefined

  constructor(place: JournalPlace) {
    this.#place = place
  }

  /** Lets a connection tell what it changes. */
  attach(sqlite: Sqlite.Database): void {
    sqlite.function('journal_row', { varargs: true }, (table, kind, ...values) =>
      this.#note(table as JournalTable, kind as 'put' | 'end', values as (Value | Buffer)[]),
    )
    for (const table of Object.keys(journalTables) as JournalTable[]) {
      const present = sqlite.prepare<[string], string>('select name from pragma_table_info(?)').pluck().all(table)
      const columns = present.filter((name) => !withoutColumns.has(name))
      // A folder of an older schema is opened to be brought up to date.
      if (columns.length === 0) continue
      this.#columns.set(table, columns)
      sqlite.exec(triggersOf(table, columns))
    }
  }

  /** Writes down what the transaction has changed. Call it last, before the commit. */
  append(): void {
    if (this.#changes.length === 0) return
    const line = renderLine(this.#changes)
    this.#changes = []
    try {
      const file = this.#open()
      this.#sizeBefore = fstatSync(file).size
      // It begins with a line's end: what a full disk has torn, of any process, must not take this line with it.
      const bytes = Buffer.from(`\n${this.#hasGap ? gapLine : ''}${line}`)
      this.#hasGap = writeSync(file, bytes) !== bytes.length
      this.#syncing ??= setTimeout(() => this.#sync(), syncEveryMs).unref()
    } catch {
      this.#hasGap = true
    }
  }

  /** The transaction came to nothing. @param isWritten `append` was called for it, and the lock is still held */
  forget({ isWritten }: { isWritten: boolean }): void {
    this.#changes = []
    if (!isWritten || !this.#file) return
    try {
      ftruncateSync(this.#file.descriptor, this.#sizeBefore)
    } catch {
      this.#hasGap = true
    }
  }

  close(): void {
    clearTimeout(this.#syncing)
    if (this.#file) {
      const { descriptor } = this.#file
      fdatasync(descriptor, () => closeSync(descriptor))
    }
    this.#file = undefined
  }

  #note(table: JournalTable, kind: Change['kind'], values: readonly (Value | Buffer)[]): null {
    const names = kind === 'put' ? (this.#columns.get(table) ?? []) : journalTables[table]
    const row: Record<string, Value> = {}
    for (const [index, name] of names.entries()) row[name] = written(values[index] ?? null)
    this.#changes.push({ table, kind, row })
    return null
  }

  /** Another process may have begun a new file; that happens under the lock as well. */
  #open(): number {
    const path = currentJournalPath(this.#place)
    const inode = statSync(path, { throwIfNoEntry: false })?.ino
    if (this.#file !== undefined && inode === this.#file.inode) return this.#file.descriptor
    if (this.#file) closeSync(this.#file.descriptor)
    this.#file = undefined
    const descriptor = openForAppending(path)
    this.#file = { descriptor, inode: fstatSync(descriptor).ino }
    return descriptor
  }

  #sync(): void {
    this.#syncing = undefined
    // Its failure is met by the database's own sync, on the same disk.
    if (this.#file) fdatasync(this.#file.descriptor, () => undefined)
  }
}

function openForAppending(path: string): number {
  try {
    return openSync(path, 'a', 0o600)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    return openSync(path, 'a', 0o600)
  }
}

function triggersOf(table: JournalTable, columns: readonly string[]): string {
  const keys: readonly string[] = journalTables[table]
  const call = (kind: string, of: 'new' | 'old', names: readonly string[]) =>
    `select journal_row('${table}', '${kind}', ${names.map((name) => `${of}."${name}"`).join(', ')})`
  const hasMoved = keys.map((name) => `old."${name}" <> new."${name}"`).join(' or ')
  return `
    create temp trigger journal_${table}_made after insert on main.${table} begin ${call('put', 'new', columns)}; end;
    create temp trigger journal_${table}_changed after update of ${columns.map((name) => `"${name}"`).join(', ')} on main.${table} begin
      ${call('end', 'old', keys)} where ${hasMoved}; ${call('put', 'new', columns)}; end;
    create temp trigger journal_${table}_gone after delete on main.${table} begin ${call('end', 'old', keys)}; end;`
}

const gapLine = renderText('{"gap":true}')

function written(value: Value | Buffer): Value {
  return Buffer.isBuffer(value) ? { base64: value.toString('base64') } : value
}

/** A value as a row has it. */
export function valueOf(value: Value): string | number | bigint | null | Buffer {
  return typeof value === 'object' && value !== null ? Buffer.from(value.base64, 'base64') : value
}

function renderLine(changes: readonly Change[]): string {
  return renderText(JSON.stringify({ changes }))
}

function renderText(json: string): string {
  return `{"crc":${crc32(json)},"entry":${json}}\n`
}

/**
 * Ends the file that is written now. Call it within a write transaction.
 * @returns the number of the newest finished file; 0: there is none
 */
export function finishJournal(place: JournalPlace, numbers: readonly number[]): number {
  const newest = Math.max(0, ...numbers)
  try {
    renameSync(currentJournalPath(place), finishedJournalPath(place, newest + 1))
    return newest + 1
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return newest
    throw error
  }
}

/** The finished files, the oldest first. */
export async function listJournal(place: JournalPlace): Promise<number[]> {
  const names = await readdir(place.journal).catch(() => [])
  return names.flatMap((name) => journalNumberOf(name) ?? []).toSorted((a, b) => a - b)
}

export async function removeJournal(place: JournalPlace, number: number): Promise<void> {
  await rm(finishedJournalPath(place, number), { force: true })
}

/** What a file of the journal says. */
export interface JournalContent {
  /** Of one transaction each. */
  readonly transactions: readonly (readonly Change[])[]
  /** Lines that are damaged or tell of missing ones; a torn last line is none. */
  readonly gaps: number
}

/** @param number a finished file; undefined: the one that is written now. A file that is not there is empty. */
export async function readJournal(place: JournalPlace, number: number | undefined): Promise<JournalContent> {
  const path = number === undefined ? currentJournalPath(place) : finishedJournalPath(place, number)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return ''
    throw error
  })
  const lines = text.split('\n')
  // What stands behind the last line's end was being written when the process died.
  lines.pop()
  const transactions: (readonly Change[])[] = []
  let gaps = 0
  for (const line of lines.filter((each) => each !== '')) {
    const changes = parseLine(line)
    if (changes) transactions.push(changes)
    else gaps++
  }
  return { transactions, gaps }
}

function parseLine(line: string): readonly Change[] | undefined {
  const [, crc, json = ''] = /^\{"crc":(\d+),"entry":(.*)\}$/.exec(line) ?? []
  if (crc === undefined || crc32(json) !== Number(crc)) return undefined
  const { changes } = JSON.parse(json) as { changes?: readonly Change[] }
  return changes
}
