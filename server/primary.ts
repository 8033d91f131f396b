/**
 * The primary process: holds the data folder, keeps the workers running, runs the clocked jobs, adds up the metrics.
 *
 * It serves no request itself. What it does at start happens before any worker opens the folder.
 */
import cluster, { type Worker } from 'node:cluster'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { recoverCollected } from '../registry/collect-blobs.ts'
import { releaseSessionsOf, resetSessions } from '../registry/expire-uploads.ts'
import type { Registry } from '../registry/registry.ts'
import { noteStart, noteStop } from '../registry/scrub-status.ts'
import { DataFolderLock } from '../storage/data-folder-lock.ts'
import { dataLayout } from '../storage/layout.ts'
import type { Settings } from './config/settings.ts'
import { cutWhatItDidNotTake } from './handed-connections.ts'
import { startJobs } from './jobs.ts'
import { createLogger, type Logger } from './log.ts'
import type { FromPrimary, FromWorker } from './messages.ts'
import { aggregateSnapshots, createMetrics, type MetricsSnapshot } from './metrics.ts'
import { prepareDataFolder, type Preparation } from './prepare.ts'
import { createServices, type Services } from './services.ts'

/** A worker that dies sooner than this after its start is started again only after a pause. */
const earlyDeathMs = 2_000
const restartPauseMs = 1_000
/** How long the primary waits for the snapshot of a worker that does not answer. */
const snapshotMs = 1_000
/** Beyond the grace period: what a worker needs to write down what its cut requests left. */
const farewellMs = 4_000

/** No worker can serve; the message is the sentence that says why. */
export class StartError extends Error {}

export class Primary {
  readonly #settings: Settings
  readonly #log: Logger
  readonly #metrics = createMetrics()
  readonly #workers = new Map<Worker, { processId: string | undefined; startedAtMs: number }>()
  readonly #snapshots = new Map<number, (snapshot: MetricsSnapshot) => void>()
  readonly #prepared = Promise.withResolvers<void>()
  readonly #started = Promise.withResolvers<number>()
  #services: Services | undefined
  #requests = 0
  #isServing = false
  #isDraining = false

  constructor(settings: Settings) {
    this.#settings = settings
    this.#log = createLogger(settings.log, { isTerminal: process.stdout.isTTY })
  }

  /**
   * Resolves when the first worker accepts connections, with the port, also when 0 asked for any.
   * @param onPrepared called as soon as the folder is ready: what it tells once must be told even if the start fails later
   * @throws {DataFolderError} {SchemaError} {SigningKeyError} the folder cannot be used
   * @throws {StartError} the address or the certificate cannot
   */
  async start(onPrepared: (preparation: Preparation) => void): Promise<number> {
    const lock = DataFolderLock.acquire(dataLayout(this.#settings.data), this.#settings.listen)
    try {
      // The workers load their modules while the folder is made ready.
      cluster.setupPrimary({ exec: fileURLToPath(new URL('start-worker.js', import.meta.url)) })
      for (let count = 0; count < this.#settings.workers; count++) this.#fork()
      onPrepared(await prepareDataFolder(this.#settings, Date.now))
      this.#services = await createServices(this.#settings, {
        log: this.#log,
        metrics: this.#metrics,
        clock: Date.now,
        collectMetrics: () => this.#collectMetrics(),
      })
      await resetSessions(this.#services.registry)
      await recoverCollected(this.#services.registry)
      await this.#noteStart(this.#services.registry)
      this.#prepared.resolve()
      const port = await this.#started.promise
      const stopJobs = startJobs(this.#services)
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void this.#stop(signal, { lock, stopJobs }))
      return port
    } catch (error) {
      this.#isDraining = true
      for (const worker of this.#workers.keys()) worker.process.kill('SIGKILL')
      await this.#noteStop()
      lock.release()
      throw error
    }
  }

  #fork(): Worker {
    const worker = cluster.fork({ UV_THREADPOOL_SIZE: '16' })
    this.#workers.set(worker, { processId: undefined, startedAtMs: Date.now() })
    worker.on('message', (message: FromWorker) => void this.#receive(worker, message))
    worker.on('exit', (code, signal) => void this.#replace(worker, { code, signal }))
    // A message to a worker that has just died. Its end is met above; without a listener the error would end the primary.
    worker.on('error', (error) => this.#log.debug({ worker: worker.process.pid, err: error }, 'a worker could not be told something'))
    cutWhatItDidNotTake(worker)
    return worker
  }

  async #receive(worker: Worker, message: FromWorker): Promise<void> {
    switch (message.kind) {
      case 'loaded':
        await this.#prepared.promise
        return this.#send(worker, { kind: 'start', settings: this.#settings })
      case 'listening':
        this.#workers.set(worker, { processId: message.processId, startedAtMs: Date.now() })
        this.#isServing = true
        return this.#started.resolve(message.port)
      case 'failed':
        if (this.#isServing) this.#log.error({ worker: worker.process.pid }, message.message)
        return this.#started.reject(new StartError(message.message))
      case 'snapshot':
        this.#snapshots.get(message.request)?.(message.snapshot)
        this.#snapshots.delete(message.request)
        return
      case 'metrics':
        return this.#send(worker, { kind: 'metrics', request: message.request, text: await this.#collectMetrics() })
    }
  }

  /** A dead worker's upload sessions are free at once, and another worker takes its place. */
  async #replace(worker: Worker, end: { code: number; signal: string }): Promise<void> {
    const known = this.#workers.get(worker)
    this.#workers.delete(worker)
    if (this.#isDraining || !known) return
    this.#log.error({ worker: worker.process.pid, ...end }, 'a worker died, another takes its place')
    this.#metrics.recordWorkerRestart()
    await this.#releaseSessions(known.processId)
    const pauseMs = Date.now() - known.startedAtMs < earlyDeathMs ? restartPauseMs : 0
    setTimeout(() => !this.#isDraining && this.#fork(), pauseMs)
  }

  /** A disk that fails here must not take the primary with it: the claims run out by themselves in a minute. */
  async #releaseSessions(processId: string | undefined): Promise<void> {
    if (processId === undefined || !this.#services) return
    try {
      await releaseSessionsOf(this.#services.registry, processId)
    } catch (error) {
      this.#log.error({ err: error }, 'the upload sessions of a dead worker could not be released')
    }
  }

  /** Text over the primary and all workers; one that does not answer in time is left out. */
  async #collectMetrics(): Promise<string> {
    await this.#measureStore()
    const workers = [...this.#workers.keys()].map((worker) => this.#snapshotOf(worker))
    const snapshots = await Promise.all([this.#metrics.snapshot(), ...workers])
    return aggregateSnapshots(snapshots.filter((snapshot) => snapshot !== undefined))
  }

  /** Metrics are looked at most when something fails: without the rows the other numbers are still told. */
  async #measureStore(): Promise<void> {
    try {
      await this.#services?.measureStore()
    } catch (error) {
      this.#log.error({ err: error }, 'the store could not be measured')
    }
  }

  #snapshotOf(worker: Worker): Promise<MetricsSnapshot | undefined> {
    const request = ++this.#requests
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#snapshots.delete(request)
        resolve(undefined)
      }, snapshotMs)
      this.#snapshots.set(request, (snapshot) => {
        clearTimeout(late)
        resolve(snapshot)
      })
      this.#send(worker, { kind: 'snapshot', request })
    })
  }

  async #stop(signal: string, held: { lock: DataFolderLock; stopJobs: () => Promise<void> }): Promise<void> {
    if (this.#isDraining) return
    this.#isDraining = true
    this.#log.info({ signal }, 'stopping: running requests may finish')
    const gone = [...this.#workers.keys()].map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
    for (const worker of this.#workers.keys()) this.#send(worker, { kind: 'drain' })
    const late = setTimeout(
      () => {
        for (const worker of this.#workers.keys()) worker.process.kill('SIGKILL')
      },
      this.#settings.shutdown.graceSeconds * 1000 + farewellMs,
    )
    await Promise.all([...gone, held.stopJobs()])
    clearTimeout(late)
    await this.#noteStop()
    await this.#services?.close()
    held.lock.release()
    this.#log.info('stopped')
    this.#log.flush()
    process.exit(0)
  }

  /** After a stop that was none in order the workers read with suspicion. A full disk must not keep anybody from pulling. */
  async #noteStart(registry: Registry): Promise<void> {
    try {
      if (await noteStart(registry)) this.#log.warn('the last server did not end in order: what is read is checked until it has been once')
    } catch (error) {
      this.#log.error({ err: error }, 'whether the last server ended in order could not be noted')
    }
  }

  /** What fails here costs the next start its trust, no more. */
  async #noteStop(): Promise<void> {
    try {
      if (this.#services) await noteStop(this.#services.registry)
    } catch (error) {
      this.#log.error({ err: error }, 'the orderly end could not be noted')
    }
  }

  /** A worker may be gone before it is known to be; with a callback that is no uncaught error, and its end is met elsewhere. */
  #send(worker: Worker, message: FromPrimary): void {
    if (worker.isConnected()) worker.send(message, () => undefined)
  }
}
