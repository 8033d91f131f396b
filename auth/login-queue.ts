/**
 * The queue in front of the hashing of passwords: how many run at once, how many wait, and who goes next. It knows nothing of
 * passwords; how an attempt stands is told by login-attempts.ts and looked at again for every turn.
 *
 * Invariants: at most `concurrency` run at once. Of those that stand badly at most one, and after it none for as long as it took:
 * guesses get half of one processor, and whoever has not failed waits for no more than the hash that runs. When the queue is full
 * the one that stands worst is turned away, before anything is computed for it.
 */
import { RegistryError } from '../oci/errors.ts'
import { compareStandings, type Attempt, type LoginAttempts, type Standing } from './login-attempts.ts'

export interface LoginQueueOptions {
  readonly concurrency: number
  /** How many may wait. */
  readonly queueLimit: number
  readonly attempts: LoginAttempts
  readonly timer?: Timer
}

/** Time that only goes forward. */
export interface Timer {
  /** Milliseconds since some moment. */
  readonly now: () => number
  readonly after: (delayMs: number, act: () => void) => void
}

interface Waiting {
  /** undefined: a hash of the registry's own, which goes before all. */
  readonly attempt: Attempt | undefined
  readonly sinceMs: number
  readonly begin: (isSlow: boolean) => void
  readonly refuse: (fault: RegistryError) => void
}

interface Ranked {
  readonly waiting: Waiting
  readonly standing: Standing
}

const ownStanding: Standing = { isTrusted: true, isSlow: false, pair: 0, connection: 0, name: 0 }
/** Clients give up after 15 s, and what nobody waits for any more must not be computed. */
const maxWaitMs = 10_000
const maxPauseMs = 250

const systemTimer: Timer = {
  now: () => performance.now(),
  after: (delayMs, act) => void setTimeout(act, delayMs),
}

export class LoginQueue {
  readonly #concurrency: number
  readonly #queueLimit: number
  readonly #attempts: LoginAttempts
  readonly #timer: Timer
  /** In the order of their coming. */
  readonly #waiting: Waiting[] = []
  /** The one that stands worst of a full queue, for as long as it waits: to look for it anew for each that comes would cost too much. */
  #worst: Ranked | undefined
  #running = 0
  #isSlowRunning = false
  #slowEndedMs = -Infinity
  #slowFromMs = -Infinity
  #isWoken = false

  constructor({ concurrency, queueLimit, attempts, timer = systemTimer }: LoginQueueOptions) {
    this.#concurrency = Math.max(1, concurrency)
    this.#queueLimit = queueLimit
    this.#attempts = attempts
    this.#timer = timer
  }

  /**
   * Runs `work` when it is its turn.
   * @throws {RegistryError} loginBusy: too many wait, or it has waited too long
   * @throws {RegistryError} loginThrottled: the same, for one that stands badly
   */
  async take<T>(attempt: Attempt | undefined, work: () => Promise<T>): Promise<T> {
    if (attempt) this.#attempts.enter(attempt)
    try {
      const isSlow = await new Promise<boolean>((begin, refuse) => {
        this.#add({ attempt, sinceMs: this.#timer.now(), begin, refuse })
      })
      return await this.#run(work, isSlow)
    } finally {
      if (attempt) this.#attempts.leave(attempt)
    }
  }

  async #run<T>(work: () => Promise<T>, isSlow: boolean): Promise<T> {
    const startedMs = this.#timer.now()
    try {
      return await work()
    } finally {
      this.#running--
      if (isSlow) this.#endSlow(startedMs)
      this.#next()
    }
  }

  #add(waiting: Waiting): void {
    this.#waiting.push(waiting)
    const standing = this.#standingOf(waiting)
    if (!standing.isSlow || this.#mayBeSlow()) this.#next()
    else if (!this.#isSlowRunning) this.#wakeLater()
    if (this.#waiting.length > this.#queueLimit) this.#dropWorst({ waiting, standing })
  }

  #mayBeSlow(): boolean {
    return !this.#isSlowRunning && this.#timer.now() >= this.#slowFromMs
  }

  #endSlow(startedMs: number): void {
    const nowMs = this.#timer.now()
    this.#isSlowRunning = false
    this.#slowEndedMs = nowMs
    this.#slowFromMs = nowMs + Math.min(nowMs - startedMs, maxPauseMs)
  }

  /** Begins as many as may run now. */
  #next(): void {
    while (this.#running < this.#concurrency) {
      const best = this.#takeBest()
      if (!best) return
      this.#running++
      if (best.standing.isSlow) this.#isSlowRunning = true
      best.waiting.begin(best.standing.isSlow)
    }
  }

  #takeBest(): Ranked | undefined {
    this.#dropOld()
    const mayBeSlow = this.#mayBeSlow()
    const ranked = this.#rank()
    const best = ranked
      .filter(({ standing }) => mayBeSlow || !standing.isSlow)
      .reduce<Ranked | undefined>((first, each) => better(first, each, this.#slowEndedMs), undefined)
    if (best) this.#remove(best.waiting)
    else if (ranked.length > 0 && !this.#isSlowRunning) this.#wakeLater()
    return best
  }

  #remove(waiting: Waiting): void {
    this.#waiting.splice(this.#waiting.lastIndexOf(waiting), 1)
    if (this.#worst?.waiting === waiting) this.#worst = undefined
  }

  /** Only those that stand badly are left, and it is not their time yet. */
  #wakeLater(): void {
    if (this.#isWoken) return
    this.#isWoken = true
    this.#timer.after(Math.max(1, this.#slowFromMs - this.#timer.now()), () => {
      this.#isWoken = false
      this.#next()
    })
  }

  #dropOld(): void {
    const sinceMs = this.#timer.now() - maxWaitMs
    for (let oldest = this.#waiting[0]; oldest && oldest.sinceMs < sinceMs; oldest = this.#waiting[0]) {
      this.#remove(oldest)
      oldest.refuse(faultFor(this.#standingOf(oldest)))
    }
  }

  /** Among equals the last is turned away, so that whoever waits is not pushed out by the next. */
  #dropWorst(newcomer: Ranked): void {
    this.#worst ??= this.#rank().reduce((worst, each) => (compareStandings(worst.standing, each.standing) > 0 ? worst : each))
    const dropped = compareStandings(this.#worst.standing, newcomer.standing) > 0 ? this.#worst : newcomer
    this.#remove(dropped.waiting)
    dropped.waiting.refuse(faultFor(dropped.standing))
  }

  #rank(): Ranked[] {
    return this.#waiting.map((waiting) => ({ waiting, standing: this.#standingOf(waiting) }))
  }

  #standingOf({ attempt }: Waiting): Standing {
    return attempt === undefined ? ownStanding : this.#attempts.standingOf(attempt)
  }
}

/**
 * The one of two that goes first, `b` having come later. Among equals the first. But among those that stand badly the last: it makes
 * no difference which guess of a flood waits, and whoever comes into it with the right password does not wait for all of them. What
 * came after the last guess was answered is left for the next turn: it is the same guesser, trying again at once.
 */
function better(a: Ranked | undefined, b: Ranked, slowEndedMs: number): Ranked {
  if (a === undefined) return b
  const order = compareStandings(a.standing, b.standing)
  if (order !== 0) return order < 0 ? a : b
  const isLate = b.waiting.sinceMs >= slowEndedMs && a.waiting.sinceMs < slowEndedMs
  return b.standing.isSlow && !isLate ? b : a
}

function faultFor(standing: Standing): RegistryError {
  if (standing.isSlow) return new RegistryError('loginThrottled', { headers: { 'Retry-After': '5' } })
  return new RegistryError('loginBusy', { headers: { 'Retry-After': '1' } })
}
