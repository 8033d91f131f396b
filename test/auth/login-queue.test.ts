/**
 * The queue of logins, with a clock and a hasher that stand until they are moved: a flood of guesses takes half of one turn, and
 * whoever has not failed waits for no more than the hash that runs (threat 39).
 */
import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { test } from 'node:test'
import { LoginAttempts, type Attempt, type LoginSource } from '../../auth/login-attempts.ts'
import { LoginQueue } from '../../auth/login-queue.ts'
import { RegistryError } from '../../oci/errors.ts'
import { TestClock } from './cast.ts'

const hashMs = 200

/** What became of one login. */
interface Login {
  readonly name: string
  readonly address: string
  startedMs: number | undefined
  endedMs: number | undefined
  refusal: RegistryError | undefined
}

class Stage {
  readonly clock = new TestClock()
  readonly attempts = new LoginAttempts(this.clock.now)
  readonly queue: LoginQueue
  readonly startMs = this.clock.ms
  /** What the queue wants to be woken for, and the hashes that run: when each is due. */
  #due: { atMs: number; act: () => void }[] = []
  /** The names of the logins that were hashed, in order. */
  readonly hashed: string[] = []
  mostAtOnce = 0
  /** What happens in the middle of a flood. */
  beside: { atMs: number; act: () => void } | undefined
  #running = 0

  constructor(options: { concurrency?: number; queueLimit?: number } = {}) {
    const { concurrency = 1, queueLimit = 64 } = options
    const timer = { now: this.clock.now, after: (delayMs: number, act: () => void) => this.#at(delayMs, act) }
    this.queue = new LoginQueue({ concurrency, queueLimit, attempts: this.attempts, timer })
  }

  get nowMs(): number {
    return this.clock.ms - this.startMs
  }

  login(name: string, source: LoginSource, isRight = false): Login {
    const attempt = this.attempts.attemptOf(name, source)
    const login: Login = { name, address: source.address, startedMs: undefined, endedMs: undefined, refusal: undefined }
    const hash = async (): Promise<boolean> => {
      login.startedMs = this.nowMs
      this.hashed.push(name)
      this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#running)
      await new Promise<void>((resolve) => this.#at(hashMs, resolve))
      this.#running--
      return isRight
    }
    void this.#settle(login, attempt, this.queue.take(attempt, hash))
    return login
  }

  async #settle(login: Login, attempt: Attempt, turn: Promise<boolean>): Promise<void> {
    try {
      const isRight = await turn
      login.endedMs = this.nowMs
      if (isRight) this.attempts.recordSuccess(attempt)
      else this.attempts.recordFailure(attempt)
    } catch (error) {
      assert.ok(error instanceof RegistryError)
      login.refusal = error
    }
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.clock.ms + ms
    await setImmediate()
    for (;;) {
      const next = this.#due.toSorted((a, b) => a.atMs - b.atMs)[0]
      if (!next || next.atMs > untilMs) break
      this.#due = this.#due.filter((each) => each !== next)
      this.clock.ms = next.atMs
      next.act()
      await setImmediate()
    }
    this.clock.ms = untilMs
  }

  /** As many clients as say, each of which tries again as soon as it was answered; one that stops leaves its last try behind. */
  async flood(ms: number, clients: readonly (() => Login)[]): Promise<Login[]> {
    const all: Login[] = []
    const current = clients.map((start) => start())
    for (const untilMs = this.nowMs + ms; this.nowMs < untilMs;) {
      await this.pass(10)
      for (const [index, start] of clients.entries()) {
        const login = current[index]
        if (!login || (login.endedMs === undefined && login.refusal === undefined)) continue
        all.push(login)
        current[index] = start()
      }
      if (this.beside && this.nowMs >= this.beside.atMs) {
        this.beside.act()
        this.beside = undefined
      }
    }
    return all
  }

  #at(delayMs: number, act: () => void): void {
    this.#due.push({ atMs: this.clock.ms + delayMs, act })
  }
}

/** Attackers that keep their connections, at one address. */
function attackersOf(stage: Stage, { count = 64, name = 'admin', address = '10.6.6.6' } = {}): (() => Login)[] {
  return Array.from({ length: count }, () => {
    const connection = {}
    return () => stage.login(name, { address, connection })
  })
}

/** The login that begins in the middle of a flood. */
async function floodBeside(stage: Stage, clients: readonly (() => Login)[], right: () => Login): Promise<Login> {
  const sinceMs = stage.nowMs
  let login: Login | undefined
  stage.beside = { atMs: sinceMs + 5000, act: () => (login = right()) }
  await stage.flood(8000, clients)
  assert.ok(login)
  return login
}

function assertServed(login: Login, withinMs: number, sinceMs: number): void {
  assert.equal(login.refusal, undefined)
  assert.ok(login.endedMs !== undefined && login.endedMs - sinceMs <= withinMs, `after ${(login.endedMs ?? Infinity) - sinceMs} ms`)
}

test('guesses from one address get half of one turn, however many connections they come over', async () => {
  const stage = new Stage({ concurrency: 4, queueLimit: 256 })
  await stage.flood(5000, attackersOf(stage))
  const before = stage.hashed.length
  await stage.flood(20_000, attackersOf(stage))
  const share = ((stage.hashed.length - before) * hashMs) / 20_000
  assert.ok(share > 0.4 && share <= 0.55, `${share}`)
})

test('a right login for the same account from elsewhere waits for no more than the hash that runs', async () => {
  const stage = new Stage()
  const login = await floodBeside(stage, attackersOf(stage), () => stage.login('admin', { address: '10.0.0.1' }, true))
  assertServed(login, 2 * hashMs, 5000)
})

test('a right login for another account from the same address does so too', async () => {
  const stage = new Stage()
  const login = await floodBeside(stage, attackersOf(stage), () => stage.login('alice', { address: '10.6.6.6', connection: {} }, true))
  // The pause that guesses leave is not left for it, but its address is slow as a whole.
  assertServed(login, 3 * hashMs, 5000)
})

test('even for the same account from the same address a new connection goes before those that failed', async () => {
  const stage = new Stage()
  const login = await floodBeside(stage, attackersOf(stage), () => stage.login('admin', { address: '10.6.6.6', connection: {} }, true))
  assertServed(login, 4 * hashMs, 5000)
})

test('the newest of a flood without kept connections goes first, so that a right one among them need not wait for all', async () => {
  const stage = new Stage()
  const attackers = Array.from({ length: 40 }, () => () => stage.login('admin', { address: '10.6.6.6', connection: {} }))
  const login = await floodBeside(stage, attackers, () => stage.login('admin', { address: '10.6.6.6', connection: {} }, true))
  assertServed(login, 4 * hashMs, 5000)
})

test('while many addresses guess at one account, those who signed in before and other accounts go first', async () => {
  const stage = new Stage()
  stage.login('admin', { address: '10.0.0.1' }, true)
  await stage.pass(1000)
  const attackers = Array.from({ length: 64 }, (_, index) => attackersOf(stage, { count: 1, address: `10.6.6.${index}` })).flat()
  let other: Login | undefined
  const known = await floodBeside(stage, attackers, () => {
    other = stage.login('alice', { address: '10.0.0.2' }, true)
    return stage.login('admin', { address: '10.0.0.1' }, true)
  })
  assertServed(known, 2 * hashMs, 6000)
  assert.ok(other)
  assertServed(other, 3 * hashMs, 6000)
})

test('when the queue is full the one that stands worst is turned away with 429, and one that stands well comes in', async () => {
  const stage = new Stage({ queueLimit: 4 })
  await stage.flood(3000, attackersOf(stage, { count: 6 }))
  const flood = attackersOf(stage, { count: 20 }).map((start) => start())
  await stage.pass(0)
  const refusals = flood.flatMap(({ refusal }) => refusal ?? [])
  assert.ok(refusals.length > 10)
  for (const { reason, status, headers } of refusals)
    assert.deepEqual([reason, status, headers], ['loginThrottled', 429, { 'Retry-After': '5' }])
  const right = stage.login('alice', { address: '10.0.0.1' }, true)
  await stage.pass(2 * hashMs)
  assertServed(right, 2 * hashMs, 3000)
})

test('those who have not failed are served in the order of their coming, and one too many hears 503', async () => {
  const stage = new Stage({ queueLimit: 3 })
  const logins = ['a', 'b', 'c', 'd', 'e'].map((name, index) => stage.login(name, { address: `10.0.0.${index}` }))
  await stage.pass(5 * hashMs)
  assert.deepEqual(stage.hashed, ['a', 'b', 'c', 'd'])
  assert.deepEqual([logins[4]?.refusal?.reason, logins[4]?.refusal?.headers], ['loginBusy', { 'Retry-After': '1' }])
})

test('a guess that has waited for ten seconds is turned away: its client has left', async () => {
  const stage = new Stage()
  await stage.flood(3000, attackersOf(stage, { count: 6 }))
  const old = attackersOf(stage, { count: 64 }).map((start) => start())
  await stage.pass(11_000)
  assert.deepEqual(
    old.filter(({ endedMs, refusal }) => endedMs === undefined && refusal === undefined),
    [],
  )
  assert.ok(old.some(({ refusal }) => refusal?.reason === 'loginThrottled'))
})

test('as many run at once as may, and not one more', async () => {
  const stage = new Stage({ concurrency: 3 })
  for (let index = 0; index < 20; index++) stage.login('alice', { address: `10.0.0.${index}` })
  await stage.pass(20 * hashMs)
  assert.equal(stage.mostAtOnce, 3)
  assert.equal(stage.hashed.length, 20)
})

test('from the first moment of a flood on a right login does not wait for those that came before it', async () => {
  const stage = new Stage({ queueLimit: 256 })
  for (const start of attackersOf(stage)) start()
  await stage.pass(1)
  const others = [stage.login('alice', { address: '10.6.6.6' }, true), stage.login('admin', { address: '10.0.0.1' }, true)]
  const same = stage.login('admin', { address: '10.6.6.6', connection: {} }, true)
  await stage.pass(8 * hashMs)
  for (const login of [...others, same]) assertServed(login, 6 * hashMs, 0)
})

test('after a flood nothing is left behind: whoever comes is served at once', async () => {
  const stage = new Stage()
  await stage.flood(5000, attackersOf(stage))
  await stage.pass(60_000)
  const sinceMs = stage.nowMs
  const login = stage.login('admin', { address: '10.6.6.6' }, true)
  await stage.pass(hashMs)
  assertServed(login, hashMs, sinceMs)
})
