/**
 * The composition root of one process: opens the stores and joins the floors. Tests build the same thing on a folder of
 * their own; nothing below takes part in it.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import type { Authenticator } from '../auth/authenticate.ts'
import { LoginAttempts } from '../auth/login-attempts.ts'
import { Passwords } from '../auth/passwords.ts'
import type { PolicySettings } from '../auth/policy.ts'
import type { SessionLimits } from '../auth/sessions.ts'
import { KeyRing } from '../auth/signing-keys.ts'
import { Tokens } from '../auth/tokens.ts'
import { RegistryError } from '../oci/errors.ts'
import { TokenUses } from '../registry/access-tokens.ts'
import { accountDirectory } from '../registry/accounts.ts'
import { AuditLog } from '../registry/audit.ts'
import { createRegistry, type Registry, type RegistryRules } from '../registry/registry.ts'
import { Rights } from '../registry/rights.ts'
import { isAnythingDamaged } from '../registry/scrub-status.ts'
import { SecondFactors } from '../registry/second-factor.ts'
import { BrowserSessions } from '../registry/sessions.ts'
import { DiskBlobStore } from '../storage/blobs/disk-blob-store.ts'
import { dataLayout } from '../storage/layout.ts'
import { Journal } from '../storage/recovery/journal.ts'
import { releaseReserve } from '../storage/reserve-file.ts'
import { Database } from '../storage/metadata/database.ts'
import { totalBlobs } from '../storage/metadata/blobs.ts'
import { totalLinkedBytes } from '../storage/metadata/usage.ts'
import { findScrubRun } from '../storage/metadata/scrubs.ts'
import type { Settings } from './config/settings.ts'
import { CountedAuthenticator } from './counted-authenticator.ts'
import { OriginReader } from './http/origin.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

const serviceName = 'lanyard'

/** What differs between a worker, the primary and a test. */
export interface Surroundings {
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock: () => number
  /** Prometheus text over all processes. */
  readonly collectMetrics: () => Promise<string>
}

export interface Services extends Surroundings {
  readonly settings: Settings
  readonly policy: PolicySettings
  readonly registry: Registry
  /** The policy, asked with what the rows say about the caller. */
  readonly rights: Rights
  readonly authenticator: Authenticator
  readonly audit: AuditLog
  readonly passwords: Passwords
  readonly tokens: Tokens
  readonly sessions: BrowserSessions
  readonly secondFactors: SecondFactors
  /** The name under which challenges and tokens know this registry. */
  readonly serviceName: string
  readonly origins: OriginReader
  readonly nextRequestId: () => string
  /** @returns what is wrong all the same, in words. @throws {RegistryError} shuttingDown, storageFailed, storageFull */
  readonly checkReady: () => Promise<readonly string[]>
  /** Brings the gauges that come from the rows up to date. */
  readonly measureStore: () => Promise<void>
  /** From now on not ready, so that a load balancer looks elsewhere. */
  readonly startDraining: () => void
  readonly close: () => Promise<void>
}

/** Opens a data folder that prepareDataFolder has made ready. */
export async function createServices(settings: Settings, surroundings: Surroundings): Promise<Services> {
  const { clock } = surroundings
  const layout = dataLayout(settings.data)
  const database = Database.open(layout.database, new Journal(layout))
  const registry = createRegistry({
    blobs: new DiskBlobStore(layout, { reserveBytes: settings.storage.reserveBytes }),
    releaseReserve: () => releaseReserve(layout),
    onDamage: surroundings.metrics.recordDamage,
    database,
    rules: rulesOf(settings),
    clock,
    newId: randomUUID,
    processId: randomUUID(),
  })
  await registry.suspects.refresh(database.read)
  const policy: PolicySettings = { isOpen: settings.access === 'open', namespaceCreation: settings.namespaces.create }
  const audit = createAuditLog(database, surroundings)
  const accounts = accountDirectory(database, new TokenUses(registry))
  const attempts = new LoginAttempts(clock)
  const passwords = new Passwords({
    cost: settings.auth.bcryptCost,
    concurrency: Math.max(1, availableParallelism() - 1),
    queueLimit: settings.auth.loginQueue,
    cacheTtlMs: 5 * 60_000,
    clock,
    attempts,
  })
  const keys = await KeyRing.open(layout.keys, clock)
  const tokens = new Tokens({ keys, issuer: serviceName, service: serviceName, ttlSeconds: settings.auth.tokenSeconds, clock, accounts })
  let isDraining = false
  return {
    ...surroundings,
    settings,
    policy,
    registry,
    rights: new Rights(database, policy),
    authenticator: new CountedAuthenticator({ accounts, passwords, tokens }, surroundings.metrics.recordLogin),
    audit,
    passwords,
    tokens,
    sessions: new BrowserSessions({ database, accounts, limits: sessionLimitsOf(settings), clock, randomBytes }),
    secondFactors: new SecondFactors({ database, attempts, clock, randomBytes }),
    serviceName,
    origins: new OriginReader(settings),
    nextRequestId: requestIds(),
    checkReady: async () => {
      if (isDraining) throw new RegistryError('shuttingDown')
      database.requireWritable()
      await registry.blobs.probe()
      await totalBlobs(database.read)
      return (await isAnythingDamaged(database)) ? [damageWarning] : []
    },
    measureStore: () => measureStore(database, surroundings.metrics),
    startDraining: () => void (isDraining = true),
    close: async () => {
      await audit.close()
      await database.close()
    },
  }
}

/** Not unready: everything else can be pulled, and the damaged content pushed again. */
const damageWarning = 'some content is damaged and is not served until it is pushed again: ask its operator to run "lanyard scrub status"'

async function measureStore(database: Database, metrics: Metrics): Promise<void> {
  metrics.setStored({ ...(await totalBlobs(database.read)), linkedBytes: await totalLinkedBytes(database.read) })
  const finished = await findScrubRun(database.read, 'finished')
  metrics.setDamage({ isAnythingDamaged: await isAnythingDamaged(database), finishedAtMs: finished?.finished_at_ms ?? null })
}

function createAuditLog(database: Database, { clock, log, metrics }: Surroundings): AuditLog {
  return new AuditLog({
    database,
    clock,
    onWritten: (events) => {
      for (const { outcome } of events) metrics.recordAudit(outcome)
    },
    onDropped: (count) => {
      metrics.recordAuditDropped(count)
      log.error({ count }, 'events of the audit log were lost: they could not be written in time')
    },
    onFailed: (error) => log.error({ err: error }, 'the audit log could not be written; it is tried again'),
  })
}

function rulesOf(settings: Settings): RegistryRules {
  return {
    defaultVisibility: settings.repositories.visibility,
    isDeleteEnabled: settings.delete.enabled,
    maxReferences: settings.manifests.maxReferences,
    missingContent: settings.manifests.missing,
    allowUnknownTypes: settings.manifests.allowUnknownTypes,
    maxUploadsPerAccount: settings.uploads.maxPerAccount,
    uploadTtlMs: settings.uploads.expireHours * 3_600_000,
    leaseMs: settings.gc.leaseHours * 3_600_000,
    trashMs: settings.trash.days * 86_400_000,
    untaggedDays: settings.gc.untaggedDays,
  }
}

/** As the settings say. */
export function sessionLimitsOf({ auth }: Pick<Settings, 'auth'>): SessionLimits {
  return { idleMs: auth.sessionIdleHours * 3_600_000, absoluteMs: auth.sessionDays * 86_400_000 }
}

/** Unique over all processes and restarts, without the cost of a random number per request. */
function requestIds(): () => string {
  const prefix = randomUUID().slice(0, 8)
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}
