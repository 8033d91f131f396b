/**
 * What a process remembers of logins: who failed lately, and from where accounts signed in rightly. It orders the logins that
 * wait (login-queue.ts) and bounds guesses at second factors; nobody is ever locked out by it.
 *
 * Invariants: bounded, whatever arrives: the oldest is forgotten first. Known to this process alone and lost with it: with more
 * workers an attacker has as many beginnings, each as slow.
 */
import type { Clock } from './clock.ts'

/** Where a login comes from. */
export interface LoginSource {
  /** The client's address; empty when nobody knows it. */
  readonly address: string
  /** What its requests share, such as a socket: of many behind one address those that fail are told from those that do not. */
  readonly connection?: object | undefined
}

/** For whoever calls without a network between. */
export const unknownSource: LoginSource = { address: '' }

/** A login under way. */
export interface Attempt {
  /** The account that was asked for, whether it exists or not. */
  readonly name: string
  readonly network: string
  /** Of account and address together. */
  readonly pair: string
  readonly connection: object | undefined
}

/** How an attempt stands beside others; compareStandings says which goes first. */
export interface Standing {
  /** The account signed in rightly from this address before, and did not fail from there since. */
  readonly isTrusted: boolean
  /** Too many failed from this address, or for this account from this address: they share what is left for such. */
  readonly isSlow: boolean
  /** Failures that still count: of the account from this address (together with others that wait), of the connection, of the account. */
  readonly pair: number
  readonly connection: number
  readonly name: number
}

/** Failures from one address, or of one account from one address, that are taken for the mistakes of people. */
const patience = 5
/** After this a failure is forgotten, one after the other. */
const forgottenMs = 10_000
/** No more are counted, so that a flood is forgotten within five minutes of its end. */
const mostCounted = 30
const maxEntries = 4096
/** Wrong codes of a second factor that may come in a row, and after what time another. */
const codePatience = 10
const codeForgottenMs = 30_000

export class LoginAttempts {
  readonly #clock: Clock
  readonly #networks = new LeakyCounts(forgottenMs)
  readonly #pairs = new LeakyCounts(forgottenMs)
  readonly #names = new LeakyCounts(forgottenMs)
  readonly #codes = new LeakyCounts(codeForgottenMs)
  /** How many attempts of each pair wait or are checked; as many as their queue lets in. */
  readonly #pending = new Map<string, number>()
  readonly #connections = new WeakMap<object, { failures: number }>()
  /** Pairs whose password was right, and those whose second factor was too, the newest last. */
  readonly #trusted = new Set<string>()
  readonly #passedSecondFactor = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  attemptOf(name: string, source: LoginSource): Attempt {
    const network = networkOf(source.address)
    return { name, network, pair: `${network} ${name}`, connection: source.connection }
  }

  /** An attempt waits from now on. People send one after the other: many at once count like failures, before any is known to be one. */
  enter({ pair }: Attempt): void {
    this.#pending.set(pair, (this.#pending.get(pair) ?? 0) + 1)
  }

  /** It was answered or turned away. */
  leave({ pair }: Attempt): void {
    const left = (this.#pending.get(pair) ?? 0) - 1
    if (left > 0) this.#pending.set(pair, left)
    else this.#pending.delete(pair)
  }

  recordFailure(attempt: Attempt): void {
    const nowMs = this.#clock()
    if (attempt.network !== '') this.#networks.add(attempt.network, nowMs)
    this.#pairs.add(attempt.pair, nowMs)
    this.#names.add(attempt.name, nowMs)
    if (attempt.connection === undefined) return
    const known = this.#connections.get(attempt.connection)
    if (known) known.failures++
    else this.#connections.set(attempt.connection, { failures: 1 })
  }

  recordSuccess(attempt: Attempt): void {
    this.#pairs.delete(attempt.pair)
    renew(this.#trusted, attempt.pair)
  }

  standingOf(attempt: Attempt): Standing {
    const nowMs = this.#clock()
    const pair = this.#pairs.levelOf(attempt.pair, nowMs) + Math.max(0, (this.#pending.get(attempt.pair) ?? 0) - 1)
    const isPatient = pair < patience
    return {
      // An address may be shared with whoever guesses: trust ends when it is abused.
      isTrusted: isPatient && this.#trusted.has(attempt.pair),
      isSlow: !isPatient || this.#networks.levelOf(attempt.network, nowMs) >= patience,
      pair,
      connection: (attempt.connection && this.#connections.get(attempt.connection)?.failures) ?? 0,
      name: this.#names.levelOf(attempt.name, nowMs),
    }
  }

  /**
   * How long until a code of the account's second factor may be tried again; 0: now. Who guesses knows the password already; guesses
   * from elsewhere do not keep out whoever passed from this address before.
   */
  codeDelayMs(attempt: Attempt): number {
    const usedMs = this.#codes.remainingMs(this.#codeKeyOf(attempt), this.#clock())
    return Math.max(0, usedMs - (codePatience - 1) * codeForgottenMs)
  }

  recordWrongCode(attempt: Attempt): void {
    this.#codes.add(this.#codeKeyOf(attempt), this.#clock())
  }

  recordRightCode(attempt: Attempt): void {
    this.#codes.delete(this.#codeKeyOf(attempt))
    renew(this.#passedSecondFactor, attempt.pair)
  }

  #codeKeyOf(attempt: Attempt): string {
    return this.#passedSecondFactor.has(attempt.pair) ? attempt.pair : attempt.name
  }
}

/** Negative: `a` goes first. By what weighs most; 0: by their age. */
export function compareStandings(a: Standing, b: Standing): number {
  return (
    Number(b.isTrusted) - Number(a.isTrusted) ||
    Number(a.isSlow) - Number(b.isSlow) ||
    a.pair - b.pair ||
    a.connection - b.connection ||
    a.name - b.name
  )
}

/** Counts that leak away, one in each `leakMs`, as whole numbers upwards. */
class LeakyCounts {
  readonly #leakMs: number
  /** By when the last one is gone, the one that was added to last at the end. */
  readonly #emptyAtMs = new Map<string, number>()

  constructor(leakMs: number) {
    this.#leakMs = leakMs
  }

  add(key: string, nowMs: number): void {
    const level = Math.min(this.remainingMs(key, nowMs) / this.#leakMs + 1, mostCounted)
    this.#emptyAtMs.delete(key)
    this.#emptyAtMs.set(key, nowMs + level * this.#leakMs)
    deleteOldest(this.#emptyAtMs)
  }

  levelOf(key: string, nowMs: number): number {
    return Math.ceil(this.remainingMs(key, nowMs) / this.#leakMs)
  }

  delete(key: string): void {
    this.#emptyAtMs.delete(key)
  }

  /** Until the count is at nothing. A clock that was set back makes nobody wait longer than a full count does. */
  remainingMs(key: string, nowMs: number): number {
    const remainingMs = (this.#emptyAtMs.get(key) ?? nowMs) - nowMs
    return Math.min(Math.max(0, remainingMs), mostCounted * this.#leakMs)
  }
}

function renew(pairs: Set<string>, pair: string): void {
  pairs.delete(pair)
  pairs.add(pair)
  deleteOldest(pairs)
}

function deleteOldest(entries: Map<string, unknown> | Set<string>): void {
  if (entries.size <= maxEntries) return
  for (const oldest of entries.keys()) {
    entries.delete(oldest)
    return
  }
}

/** An address, of IPv6 its first 64 bits: nobody is given less, and whoever has one may call from any address in it. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? []
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length - (address.includes('.') ? 1 : 0)
  const whole = [...groups, ...Array.from({ length: Math.max(0, zeros) }, () => '0'), ...rest]
  return `${whole
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
