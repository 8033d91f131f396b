/**
 * The audit log's writing side: what an event is, and the log that requests and use cases record to.
 *
 * Invariants: recording never waits, but for an event that must be durable; what cannot be kept is counted, logged and itself
 * recorded. No text in a row holds a control character, whoever sent it, and nothing secret is ever given to this file.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { appendAuditEvents, type NewAuditRow } from '../storage/metadata/audit.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { Writer } from '../storage/metadata/schema.ts'

/** Every action that is recorded, and what it means; docs/audit.md names them all. */
export const auditActions = {
  login: 'somebody signed in, or tried to',
  pull: 'a manifest was read',
  push: 'a manifest was stored, with its tags',
  mount: 'a blob was taken from another namespace',
  delete: 'a tag, a manifest, a blob or a repository was removed',
  list: 'the catalog was asked for',
  access: 'anything else was asked for; only denials are recorded',
  visibility: 'who may see a repository was changed',
  'user-add': 'an account was made',
  'user-password': 'a password was set',
  'user-disable': 'an account was disabled',
  'user-enable': 'an account was enabled again',
  'user-role': 'an account was made an administrator, or a user again',
  'user-remove': 'an account was removed',
  'user-second-factor': 'a second factor was set or removed',
  'session-end': 'a browser session was ended',
  'namespace-add': 'a namespace was made',
  'namespace-change': 'a namespace was renamed or described anew, or its default visibility was changed',
  'namespace-remove': 'a namespace was removed',
  'team-add': 'a team was made',
  'team-change': 'a team was renamed or described anew',
  'team-remove': 'a team was removed',
  'member-add': 'an account was added to a team',
  'member-remove': 'an account was removed from a team',
  grant: 'a role was given, or changed',
  revoke: 'a role was taken away',
  'token-add': 'an access token was made',
  'token-change': 'what an access token covers was changed',
  'token-rotate': 'an access token got a new secret',
  'token-revoke': 'an access token was ended',
  'robot-add': 'a robot was made',
  'robot-change': 'a robot was changed',
  'robot-remove': 'a robot was removed',
  'key-rotate': 'a new key signs tokens',
  'key-revoke': 'a key that signed tokens was removed',
  collect: 'the collector removed what nothing needed, or was told to; the detail says how much',
  damage: 'a blob or a manifest was found damaged, and is not served any more',
  repair: 'what was damaged was pushed again, or is back',
  scrub: 'reading everything that is stored was asked for',
  restore: 'a tag, a manifest or a repository was brought back',
  purge: 'what could still be restored was removed for good',
  backup: 'a backup of everything was made',
  overflow: 'events were lost because they could not be written in time; the detail says how many',
} as const satisfies Record<string, string>

export type AuditAction = keyof typeof auditActions
export type AuditOutcome = NewAuditRow['outcome']
/** How somebody showed who they are. */
export type AuditVia = 'password' | 'token' | 'session' | 'cli' | 'system' | 'nothing'

export type AuditDetail = Readonly<Record<string, string | number | boolean | null | readonly string[] | undefined>>

export interface AuditEvent {
  readonly atMs: number
  /** An account's name, or on the command line the system's user; null when nobody was signed in. */
  readonly actor: string | null
  readonly via: AuditVia
  /** The client's; null where there is none. */
  readonly address: string | null
  readonly action: AuditAction
  /** What it was done to: a repository, an account, a namespace, a key. */
  readonly target: string
  readonly detail?: AuditDetail | undefined
  readonly outcome: AuditOutcome
  readonly requestId: string | null
}

export interface AuditLimits {
  /** How long an event waits for others before they are written together. */
  readonly everyMs: number
  /** So many are written at once, without waiting longer. */
  readonly batch: number
  /** So many wait at most; the next is dropped. */
  readonly maxWaiting: number
  /** After a write that failed. */
  readonly retryMs: number
}

export interface AuditLogParts {
  readonly database: Database
  readonly clock: () => number
  readonly limits?: Partial<AuditLimits>
  readonly onWritten?: (events: readonly Pick<AuditEvent, 'outcome'>[]) => void
  /** Told for all that were dropped since it was told last. */
  readonly onDropped?: (count: number) => void
  /** A write failed and is tried again; told once until one succeeds. */
  readonly onFailed?: (error: unknown) => void
}

const usualLimits: AuditLimits = { everyMs: 250, batch: 200, maxWaiting: 20_000, retryMs: 1000 }
/** Of one transaction, so that a log which has fallen behind does not hold up others' writes. */
const maxTransaction = 500

/** An event that is to be written, and how often it happened. */
interface Waiting {
  readonly event: AuditEvent
  times: number
}

/** One process's way into the audit log. */
export class AuditLog {
  readonly #parts: AuditLogParts
  readonly #limits: AuditLimits
  /** In the order in which they came; those under way are still in it, so that a write which fails loses none. */
  readonly #waiting: Waiting[] = []
  /** Those that may happen again before they are written, by what they are but for their time. */
  readonly #repeatable = new Map<string, Waiting>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #isFailing = false
  #isClosed = false
  /** Dropped, and not recorded as an event yet. */
  #lost = 0
  /** Dropped, and not told to onDropped yet. */
  #untold = 0

  constructor(parts: AuditLogParts) {
    this.#parts = parts
    this.#limits = { ...usualLimits, ...parts.limits }
  }

  /** Keeps the event for the next write. Costs its caller no more than an array's push. */
  record(event: AuditEvent): void {
    this.#add({ event, times: 1 })
  }

  /**
   * The same for what somebody may do thousands of times a second: what happens again before it is written, and differs in nothing but
   * its time and request, is one event that tells how often. A loop neither costs a row each time nor pushes others out.
   */
  recordOften(event: AuditEvent): void {
    const { actor, via, address, action, target, detail = {} } = event
    const key = [actor, via, address, action, target, ...Object.values(detail)].join('\n')
    const before = this.#repeatable.get(key)
    if (before) return void before.times++
    const waiting = { event, times: 1 }
    if (this.#add(waiting)) this.#repeatable.set(key, waiting)
  }

  /** @returns whether there was room for it */
  #add(waiting: Waiting): boolean {
    if (this.#isClosed || this.#waiting.length >= this.#limits.maxWaiting) {
      this.#drop(1)
      return false
    }
    this.#waiting.push(waiting)
    if (this.#timer === undefined || this.#waiting.length === this.#limits.batch) this.#wake()
    return true
  }

  /** Writes the event within a transaction of the caller's: it is there exactly if what it tells of is. */
  async recordIn(tx: Writer, event: AuditEvent): Promise<void> {
    await recordAuditEvent(tx, event)
    this.#parts.onWritten?.([event])
  }

  /** Returns when the event is durable; for what has been done already. If the disk does not take it, it waits like any other. */
  async recordDurably(event: AuditEvent): Promise<void> {
    try {
      await this.#parts.database.write((tx) => recordAuditEvent(tx, event))
      this.#parts.onWritten?.([event])
    } catch (error) {
      this.#fail(error)
      this.record(event)
    }
  }

  /** Resolves when everything that was recorded before has been written, or could not be. */
  async flush(): Promise<void> {
    await this.#write(0)
  }

  /** Writes what is waiting; what is recorded from then on, and what cannot be written, counts as dropped. */
  async close(): Promise<void> {
    do await this.flush()
    while (this.#waiting.length > 0 && !this.#isFailing)
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#drop(this.#waiting.splice(0).reduce((sum, { times }) => sum + times, 0))
    this.#tell()
  }

  #wake(): void {
    if (this.#isClosed || this.#writing !== undefined || this.#waiting.length === 0) return
    const { batch, everyMs, retryMs } = this.#limits
    if (this.#waiting.length >= batch && !this.#isFailing) return void this.#write(batch - 1)
    this.#timer ??= setTimeout(() => void this.#write(0), this.#isFailing ? retryMs : everyMs)
  }

  /** One write after the other, until no more than `rest` wait. */
  async #write(rest: number): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const turn = (this.#writing ?? nextTurn()).then(() => this.#writeDownTo(rest))
    this.#writing = turn
    await turn
    if (this.#writing !== turn) return
    this.#writing = undefined
    this.#wake()
  }

  async #writeDownTo(rest: number): Promise<void> {
    const { database, onWritten } = this.#parts
    try {
      while (this.#waiting.length > rest || this.#lost > 0) {
        // From here on one that happens again is another.
        this.#repeatable.clear()
        const [lost, events] = [this.#lost, this.#waiting.slice(0, maxTransaction)]
        const rows = [...events.map(toldOnce), ...(lost > 0 ? [this.#overflowOf(lost)] : [])]
        await database.writeRelaxed((tx) => appendAuditEvents(tx, rows.map(rowOf)))
        this.#waiting.splice(0, events.length)
        this.#lost -= lost
        this.#isFailing = false
        onWritten?.(rows)
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#tell()
  }

  #fail(error: unknown): void {
    if (!this.#isFailing) this.#parts.onFailed?.(error)
    this.#isFailing = true
  }

  #drop(count: number): void {
    this.#lost += count
    this.#untold += count
    if (this.#isClosed) this.#tell()
  }

  #tell(): void {
    const count = this.#untold
    this.#untold = 0
    if (count > 0) this.#parts.onDropped?.(count)
  }

  #overflowOf(dropped: number): AuditEvent {
    const atMs = this.#parts.clock()
    return {
      atMs,
      actor: null,
      via: 'system',
      address: null,
      action: 'overflow',
      target: '',
      detail: { dropped },
      outcome: 'failed',
      requestId: null,
    }
  }
}

function toldOnce({ event, times }: Waiting): AuditEvent {
  return times === 1 ? event : { ...event, detail: { ...event.detail, times } }
}

/** One event within a transaction, for who has no log open: a command, the first start. */
export async function recordAuditEvent(tx: Writer, event: AuditEvent): Promise<void> {
  await appendAuditEvents(tx, [rowOf(event)])
}

const maxNameLength = 255
const maxTextLength = 512
const maxListLength = 100

function rowOf(event: AuditEvent): NewAuditRow {
  return {
    at_ms: event.atMs,
    actor: event.actor === null ? null : cleanText(event.actor, maxNameLength),
    via: event.via,
    address: event.address === null ? null : cleanText(event.address, maxNameLength),
    action: event.action,
    target: cleanText(event.target, maxTextLength),
    detail: event.detail === undefined ? '{}' : JSON.stringify(cleanDetail(event.detail)),
    outcome: event.outcome,
    request_id: event.requestId,
  }
}

function cleanDetail(detail: AuditDetail): AuditDetail {
  const cleaned: Record<string, AuditDetail[string]> = {}
  for (const [key, value] of Object.entries(detail)) {
    if (typeof value === 'string') cleaned[key] = cleanText(value, maxTextLength)
    else cleaned[key] = Array.isArray(value) ? value.slice(0, maxListLength).map((each: string) => cleanText(each, maxTextLength)) : value
  }
  return cleaned
}

/**
 * A text as it may stand in a row and be shown anywhere: cut at a length, and everything that is not a visible character (controls,
 * changes of direction, halves of pairs, code points that are no characters) as `\u{…}`.
 */
export function cleanText(text: string, maxLength: number): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text
  if (/^[ -~]*$/.test(cut)) return cut
  return cut.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
