/**
 * A worker process: serves requests until the primary tells it to drain, or is gone.
 */
import process from 'node:process'
import { createApp } from './app.ts'
import { parseListen } from './config/listen.ts'
import type { Settings } from './config/settings.ts'
import { Listener, ListenerError } from './listener.ts'
import { createLogger } from './log.ts'
import type { FromPrimary, FromWorker } from './messages.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { createServices } from './services.ts'

/** After the listener has cut the last connections, what they left is written down; this long at most. */
const farewellMs = 2_000

class Worker {
  readonly #metrics: Metrics = createMetrics()
  readonly #pending = new Map<number, (text: string) => void>()
  #requests = 0
  #drain: (() => Promise<void>) | undefined

  run(): void {
    process.on('message', (message: FromPrimary) => void this.#receive(message))
    // Signals reach the whole terminal group; the primary alone decides.
    process.on('SIGINT', () => undefined)
    process.on('SIGTERM', () => undefined)
    // Without a primary the folder's lock is gone: another server may start, so this one must not write any more.
    process.on('disconnect', () => process.exit(1))
    send({ kind: 'loaded' })
  }

  async #receive(message: FromPrimary): Promise<void> {
    switch (message.kind) {
      case 'start':
        return this.#start(message.settings).catch(giveUp)
      case 'drain':
        // Not serving yet: there is nothing to finish, and afterwards nobody would ask again.
        return this.#drain === undefined ? process.exit(0) : this.#drain()
      case 'snapshot':
        return send({ kind: 'snapshot', request: message.request, snapshot: await this.#metrics.snapshot() })
      case 'metrics':
        this.#pending.get(message.request)?.(message.text)
        this.#pending.delete(message.request)
    }
  }

  async #start(settings: Settings): Promise<void> {
    const log = createLogger(settings.log, { isTerminal: process.stdout.isTTY })
    const services = await createServices(settings, {
      log,
      metrics: this.#metrics,
      clock: Date.now,
      collectMetrics: () => this.#collectMetrics(),
    })
    const app = createApp(services)
    const listener = new Listener(settings, log, app.callback())
    await listener.listen(parseListen(settings.listen))
    this.#drain = async () => {
      services.startDraining()
      await listener.close(settings.shutdown.graceSeconds * 1000)
      const farewell = setTimeout(() => process.exit(0), farewellMs)
      await services.registry.writing.whenIdle()
      await services.close()
      clearTimeout(farewell)
      log.flush()
      process.disconnect()
      process.exit(0)
    }
    const address = listener.server.address()
    send({ kind: 'listening', port: typeof address === 'object' && address ? address.port : 0, processId: services.registry.processId })
  }

  #collectMetrics(): Promise<string> {
    const request = ++this.#requests
    return new Promise((resolve) => {
      this.#pending.set(request, resolve)
      send({ kind: 'metrics', request })
    })
  }
}

/** Without a primary the channel breaks before `disconnect` comes; with a callback that is no uncaught error. */
function send(message: FromWorker): void {
  process.send?.(message, () => undefined)
}

/** A worker that cannot serve ends: the primary says why, and tries another one unless it was just starting itself. */
function giveUp(error: unknown): void {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const message: FromWorker = { kind: 'failed', message: error instanceof ListenerError ? error.message : stack }
  process.send?.(message, () => process.exit(1))
}

new Worker().run()
