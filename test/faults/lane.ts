/**
 * One registry, the clients that load it, and the kills it has to survive: each kill is followed by healing, by looks at what was
 * acknowledged before, and by an fsck; now and then, and at the end, everything is looked at with the load standing still.
 */
import { randomUUID } from 'node:crypto'
import { readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { expireUploads } from '../../registry/expire-uploads.ts'
import { createSilentLogger } from '../../server/log.ts'
import { createMetrics } from '../../server/metrics.ts'
import { createServices } from '../../server/services.ts'
import { defaultSettings } from '../../server/config/settings.ts'
import { dataLayout } from '../../storage/layout.ts'
import type { Target } from './arm.ts'
import { ChoreRunner, type ChorePoint } from './chore-bench.ts'
import { fsck, type Findings } from './fsck.ts'
import type { KillPoint, LoadWork } from './kill-points.ts'
import { LoadClient, type LoadSurroundings } from './load-client.ts'
import { RepositoryModel } from './load-model.ts'
import { ContentPool, Random } from './random.ts'
import { Violated, type Report, type Row } from './report.ts'
import { ServedFolder, poll } from './served-folder.ts'
import type { Sabotage } from './sabotage.ts'
import { abandon, pushInPut } from './upload.ts'

export interface LaneOptions {
  /** Empty, and the lane's own. */
  readonly folder: string
  readonly seed: number
  readonly workers: number
  readonly clients: number
  readonly patienceMs: number
  readonly sabotage?: Sabotage
}

/** A kill at a named point, or at a random moment. */
export interface Kill {
  readonly point: KillPoint | 'random'
  readonly target: Target
}

export const randomName = 'at a random moment'

/** A point is met within so long under this load, or not at all. */
const reachMs = 60_000
/** Kills between two looks at everything. */
const sweepEvery = 50
/** The longest wait before a random kill: about as long as clients need to be in the middle of everything again. */
const randomWaitMs = 250
/** A worker's death has been dealt with by then. */
const anotherWorkerMs = 2_000
const expiryMs = 25 * 3_600_000
const contentCount = 250

export class Lane {
  readonly #report: Report
  readonly #random: Random
  readonly #served: ServedFolder
  readonly #chores: ChoreRunner
  readonly #clients: LoadClient[]
  readonly #surroundings: LoadSurroundings
  readonly #shared = new RepositoryModel('shared/base')
  #row: Row
  #wanted: LoadWork | undefined
  #kills = 0
  /** The number of the last kill after which each client has looked at what it knew. */
  readonly #healed: number[]
  #isPaused = false
  #isOver = false
  #resting = 0
  #workerKilledMs = 0
  #failure: unknown

  private constructor(options: LaneOptions, report: Report, served: ServedFolder) {
    const { folder, seed, clients, patienceMs } = options
    this.#report = report
    this.#random = new Random(seed)
    this.#served = served
    this.#row = report.row(randomName)
    this.#chores = new ChoreRunner(folder, this.#random)
    this.#surroundings = {
      random: this.#random,
      report,
      row: () => this.#row,
      url: served.url,
      failure: () => served.failure,
      patienceMs,
      contents: new ContentPool(seed, contentCount),
      shared: this.#shared,
      wanted: () => this.#wanted,
    }
    this.#clients = Array.from({ length: clients }, (_, index) => {
      return new LoadClient(`client${index}`, { ...this.#surroundings, random: new Random(seed * 1000 + index) })
    })
    this.#healed = this.#clients.map(() => 0)
  }

  /** Starts the registry and carries out the kills under load; looks at everything in the end, and lets the time of unfinished uploads run out. */
  static async run(options: LaneOptions, report: Report, kills: readonly Kill[]): Promise<void> {
    const { folder, workers, sabotage, seed } = options
    const served = await ServedFolder.start({ folder, workers, random: new Random(seed + 1), ...(sabotage ? { sabotage } : {}) })
    const lane = new Lane(options, report, served)
    try {
      await lane.#run(kills)
    } catch (error) {
      // What it was stands in the report; what it left on disk does not yet.
      if (!(error instanceof Violated)) throw error
      lane.#note(await fsck(dataLayout(served.data), 'rows'))
    } finally {
      for (const client of lane.#clients) client.user.close()
      const orphans = await served.close()
      if (orphans > 0) report.violate(lane.#row, 'byHand', `the processes of ${orphans} killed servers lived on`)
    }
  }

  async #run(kills: readonly Kill[]): Promise<void> {
    await this.#stockShared()
    const working = this.#clients.map((_, index) => this.#work(index))
    try {
      for (const kill of kills) await this.#round(kill)
      await this.#sweep()
    } finally {
      this.#isOver = true
      await Promise.all(working)
    }
    await this.#settle()
  }

  async #stockShared(): Promise<void> {
    const { user } = new LoadClient('shared', this.#surroundings)
    for (let count = 0; count < 5; count++) {
      await pushInPut(user, { repository: this.#shared, content: this.#surroundings.contents.pick(this.#random) })
    }
    user.close()
  }

  /** One client's days: work, and after each kill a look back. */
  async #work(index: number): Promise<void> {
    const client = this.#clients[index]
    try {
      while (!this.#isOver) {
        const kill = this.#kills
        if (this.#healed[index] !== kill) {
          await client?.checkRecent()
          this.#healed[index] = kill
        }
        if (!this.#isPaused) await client?.workOnce()
        else await this.#rest()
      }
    } catch (error) {
      this.#failure ??= error
    }
  }

  async #rest(): Promise<void> {
    this.#resting++
    await poll(() => !this.#isPaused || this.#isOver, Infinity)
    this.#resting--
  }

  async #round({ point, target }: Kill): Promise<void> {
    this.#row = this.#report.row(point === 'random' ? randomName : point.name)
    if (point === 'random') await this.#killAtRandom(target)
    else if (point.during === 'load') await this.#killUnderLoad(point, target)
    else if (point.during === 'recovery') await this.#killAmidRecovery(point)
    else await this.#killExpiry(point)
    this.#row.kills++
    this.#kills++
    await this.#until(() => this.#healed.every((kill) => kill === this.#kills))
    if (this.#kills % sweepEvery === 0) await this.#sweep()
    else this.#note(await fsck(dataLayout(this.#served.data), 'rows'))
  }

  async #killAtRandom(target: Target): Promise<void> {
    await pause(this.#random.below(randomWaitMs))
    await this.#until(() => this.#served.kill(target))
  }

  async #killUnderLoad(point: KillPoint & { during: 'load' }, target: Target): Promise<void> {
    const arm = this.#served.arm({ moment: point.moment, nth: 1 + this.#random.below(point.times ?? 1), target })
    this.#wanted = point.work
    await this.#untilFired(arm, point)
    this.#wanted = undefined
  }

  /** Something dies from outside; the primary dies while it cleans up after that, or while it starts again. */
  async #killAmidRecovery(point: KillPoint & { during: 'recovery' }): Promise<void> {
    const arm = this.#served.arm({ moment: point.moment, nth: 1, target: 'self' })
    if (point.work === 'afterAll') await this.#until(() => this.#served.kill('group'))
    // A worker that had only just started had no sessions yet: then another one has to die.
    else await this.#until(() => arm.hasFired() || this.#killNowAndThen())
    await this.#untilFired(arm, point)
  }

  #killNowAndThen(): false {
    const nowMs = performance.now()
    if (nowMs - this.#workerKilledMs > anotherWorkerMs && this.#served.kill('self')) this.#workerKilledMs = nowMs
    return false
  }

  /** Beside the load: uploads that were abandoned long ago go, in a process that dies amid that; others stay. */
  async #killExpiry(point: ChorePoint): Promise<void> {
    const layout = dataLayout(this.#served.data)
    const { user } = new LoadClient('abandoned', this.#surroundings)
    const repository = new RepositoryModel('abandoned/app')
    const uploads: string[] = []
    for (let count = 0; count < 4; count++) {
      uploads.push(await abandon(user, { repository, content: this.#surroundings.contents.pick(this.#random) }))
    }
    const [fresh = '', ...old] = uploads
    const stray = randomUUID()
    writeFileSync(join(layout.uploads, stray), 'what a crash between row and file leaves')
    makeOld(layout, [...old, stray])
    const killed = await this.#chores.run('expire', layout.root, point)
    if (killed.signal !== 'SIGKILL') this.#report.violate(this.#row, 'notReached', `expiry ended with ${killed.code}: ${killed.said}`)
    const { code, said } = await this.#chores.run('expire', layout.root)
    if (code === 0) this.#row.repeated++
    else this.#report.violate(this.#row, 'byHand', `expiry run again: ${said.slice(0, 1000)}`)
    const files = new Set(readdirSync(layout.uploads))
    for (const id of [...old, stray]) {
      this.#row.checked++
      if (files.has(id)) this.#report.violate(this.#row, 'dangling', `the upload ${id} outlived its time`)
      await user.perform({ method: 'GET', path: `/v2/abandoned/app/blobs/uploads/${id}`, expect: [404] })
    }
    await user.perform({ method: 'GET', path: `/v2/abandoned/app/blobs/uploads/${fresh}`, expect: [204] })
    user.close()
  }

  async #untilFired(arm: ReturnType<ServedFolder['arm']>, point: KillPoint): Promise<void> {
    const endMs = performance.now() + reachMs
    await this.#until(() => arm.hasFired() || performance.now() > endMs)
    arm.disarm()
    if (arm.hasFired()) return
    this.#report.violate(this.#row, 'notReached', `"${point.moment}" did not come within ${reachMs} ms`)
    throw new Violated(point.name)
  }

  /** Waits for something that must come; a client that found a violation ends the wait. */
  async #until(isTrue: () => boolean): Promise<void> {
    await poll(() => this.#failure !== undefined || isTrue(), Infinity)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** With the load standing still, everything that was ever acknowledged is looked at, and every byte on disk. */
  async #sweep(): Promise<void> {
    this.#isPaused = true
    await this.#until(() => this.#resting === this.#clients.length)
    for (const client of this.#clients) await client.checkAll()
    this.#note(await fsck(dataLayout(this.#served.data), 'bytes'))
    this.#report.sweeps++
    this.#isPaused = false
  }

  /** After an orderly stop: what unfinished uploads left is gone when their time has run out. */
  async #settle(): Promise<void> {
    const code = await this.#served.stop()
    if (code !== 0) this.#report.violate(this.#row, 'byHand', `the server ended with ${code} when it was asked to stop`)
    const layout = dataLayout(this.#served.data)
    const before = await fsck(layout, 'rows')
    const services = await createServices(defaultSettings({ data: layout.root }), {
      log: createSilentLogger(),
      metrics: createMetrics(),
      clock: () => Date.now() + expiryMs,
      collectMetrics: async () => '',
    })
    await expireUploads(services.registry)
    await services.close()
    const after = await fsck(layout, 'bytes')
    this.#note(after)
    this.#report.orphanFiles += after.orphanFiles
    this.#report.leftovers.before += before.sessions + before.partials
    this.#report.leftovers.after += after.sessions + after.partials
    if (after.sessions + after.partials > 0)
      this.#report.violate(this.#row, 'dangling', `${after.sessions} sessions and ${after.partials} files of uploads outlived their time`)
  }

  #note({ dangling }: Findings): void {
    for (const what of dangling) this.#report.violate(this.#row, 'dangling', what)
  }
}

/** As if nothing had moved on these uploads for longer than they are kept. */
function makeOld({ database, uploads }: ReturnType<typeof dataLayout>, ids: readonly string[]): void {
  const beforeMs = Date.now() - expiryMs
  const sqlite = new Sqlite(database)
  const age = sqlite.prepare('update upload_session set updated_at_ms = ? where id = ?')
  for (const id of ids) age.run(beforeMs, id)
  sqlite.close()
  for (const id of ids) utimesSync(join(uploads, id), beforeMs / 1000, beforeMs / 1000)
}
