/**
 * A real registry for a test: real server on port 0, real folder, real SQLite, real bcrypt at the lowest cost. Only time
 * can be moved. Everything is gone when the test is over.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { addAccount } from '../../registry/accounts.ts'
import { recoverCollected } from '../../registry/collect-blobs.ts'
import { resetSessions } from '../../registry/expire-uploads.ts'
import { createApp } from '../../server/app.ts'
import { loadSettings } from '../../server/config/load.ts'
import type { Settings } from '../../server/config/settings.ts'
import { Listener } from '../../server/listener.ts'
import { createSilentLogger, type Logger } from '../../server/log.ts'
import { aggregateSnapshots, createMetrics } from '../../server/metrics.ts'
import { prepareDataFolder } from '../../server/prepare.ts'
import { createServices, type Services } from '../../server/services.ts'
import { changeVisibility } from '../../registry/visibility.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import type { Visibility } from '../../storage/metadata/repositories.ts'

export const adminPassword = 'correct horse battery'

export interface TestRegistry {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly data: string
  readonly settings: Settings
  readonly services: Services
  /** Moves the registry's clock. */
  readonly advance: (ms: number) => void
  /** Creates an account; its password is adminPassword too. */
  readonly addUser: (name: string, options?: { isAdmin?: boolean }) => Promise<void>
  readonly setVisibility: (name: string, visibility: Visibility) => Promise<void>
  /** A second server on the same folder, as another worker would be. */
  readonly startWorker: () => Promise<{ url: string; services: Services; close: () => Promise<void> }>
  readonly close: () => Promise<void>
}

export interface StartOptions {
  /** As environment variables, without the prefix: `{ MANIFESTS_MISSING: 'off' }`. */
  readonly settings?: Readonly<Record<string, string>>
  readonly log?: Logger
  /** A folder to use again; it is not removed. */
  readonly data?: string
}

export async function startRegistry(t: Pick<TestContext, 'after'>, options: StartOptions = {}): Promise<TestRegistry> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), 'lanyard-test-')))
  const { settings } = loadSettings({ env: environment({ DATA: data, ...options.settings }), flags: {} })
  let offsetMs = 0
  const clock = (): number => Date.now() + offsetMs
  await prepareDataFolder(settings, clock)
  const first = await startWorker(settings, { clock, log: options.log ?? createSilentLogger() })
  await resetSessions(first.services.registry)
  await recoverCollected(first.services.registry)
  const others: { close: () => Promise<void> }[] = []
  const registry: TestRegistry = {
    ...first,
    data,
    settings,
    advance: (ms) => void (offsetMs += ms),
    addUser: async (name, { isAdmin = false } = {}) => {
      const passwordHash = await first.services.passwords.hash(adminPassword)
      await addAccount(first.services.registry.database, { name, passwordHash, isAdmin, nowMs: clock() })
    },
    setVisibility: (name, visibility) => changeVisibility(first.services.registry.database, parseRepositoryName(name), visibility),
    startWorker: async () => {
      const worker = await startWorker(settings, { clock, log: options.log ?? createSilentLogger() })
      others.push(worker)
      return worker
    },
  }
  t.after(async () => {
    for (const each of [first, ...others]) await each.close()
    if (options.data === undefined) await rm(data, { recursive: true, force: true })
  })
  return registry
}

function environment(settings: Readonly<Record<string, string>>): Record<string, string> {
  const all = {
    LISTEN: '127.0.0.1:0',
    AUTH_BCRYPT_COST: '4',
    STORAGE_RESERVE_BYTES: '0',
    LOG_REQUESTS: 'true',
    ADMIN_PASSWORD: adminPassword,
    ...settings,
  }
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [`LANYARD_${name}`, value]))
}

async function startWorker(settings: Settings, { clock, log }: { clock: () => number; log: Logger }) {
  const metrics = createMetrics()
  const services = await createServices(settings, {
    log,
    metrics,
    clock,
    collectMetrics: async () => aggregateSnapshots([await metrics.snapshot()]),
  })
  const listener = new Listener(settings, log, createApp(services).callback())
  await listener.listen({ host: '127.0.0.1', port: 0 })
  const { port } = listener.server.address() as AddressInfo
  let isClosed = false
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    await listener.close(0)
    await services.registry.writing.whenIdle()
    await services.close()
  }
  const scheme = settings.tls.certificate === undefined ? 'http' : 'https'
  return { url: `${scheme}://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, port, services, close }
}
