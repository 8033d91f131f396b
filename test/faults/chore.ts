/**
 * One piece of work that runs in a process of its own, so that it can be killed amid it: `chore.ts <work> <data folder>`.
 *
 * Loads only what its work needs: a campaign starts some thousands of these.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Registry, RegistryRules } from '../../registry/registry.ts'
import { dataLayout } from '../../storage/layout.ts'
import type { Migration } from '../../storage/metadata/migrate.ts'
import type { Chore } from './kill-points.ts'
import { recoveryPlaces } from './recovery-places.ts'

/** What later versions might ship: one that changes a table with rows, one that makes a table from them. */
function laterThan(shipped: readonly Migration[]): Migration[] {
  const newest = shipped.at(-1)?.version ?? 0
  return [
    { version: newest + 1, name: 'notes', sql: "alter table repository add column note text not null default 'none'" },
    {
      version: newest + 2,
      name: 'sizes',
      sql: `create table manifest_size (digest text primary key, size_bytes integer not null) strict;
          insert or ignore into manifest_size select digest, size_bytes from manifest`,
    },
  ]
}

const [work, data = '', password = ''] = process.argv.slice(2)
const layout = dataLayout(data)

/** As the settings are by default, but for what a chore changes. */
const rules = {
  defaultVisibility: 'private',
  isDeleteEnabled: true,
  maxReferences: 1000,
  missingContent: 'strict',
  allowUnknownTypes: false,
  maxUploadsPerAccount: 1000,
  uploadTtlMs: 24 * 3_600_000,
  leaseMs: 24 * 3_600_000,
  trashMs: 7 * 24 * 3_600_000,
  untaggedDays: 0,
} as const

/** Runs `work` on the registry of the folder. */
async function withRegistry(changed: Partial<RegistryRules>, work: (registry: Registry) => Promise<unknown>): Promise<void> {
  const { createRegistry } = await import('../../registry/registry.ts')
  const { DiskBlobStore } = await import('../../storage/blobs/disk-blob-store.ts')
  const { Database } = await import('../../storage/metadata/database.ts')
  const database = Database.open(layout.database)
  const parts = { blobs: new DiskBlobStore(layout), database, clock: Date.now, newId: randomUUID, processId: randomUUID() }
  await work(createRegistry({ ...parts, rules: { ...rules, ...changed }, releaseReserve: async () => false }))
  await database.close()
}

const chores: Record<Chore, () => Promise<unknown>> = {
  backup: async () => {
    const { backUp } = await import('../../storage/recovery/back-up.ts')
    const { backupFolder } = await import('../../storage/recovery/backup-folder.ts')
    const folder = backupFolder(recoveryPlaces(data).backup)
    await backUp({ layout, folder, keep: 1, mayLink: false, version: '1', nowMs: Date.now() })
  },
  /** Everything at once. */
  collect: async () => {
    const { Collector } = await import('../../registry/collect.ts')
    await withRegistry({ leaseMs: 0, trashMs: 0, untaggedDays: 1 }, async (registry) => {
      const collector = await Collector.open({ registry, startMs: 0, monotonic: () => performance.now() })
      await collector.round(new AbortController().signal)
    })
  },
  expire: async () => {
    const { expireUploads } = await import('../../registry/expire-uploads.ts')
    await withRegistry({}, expireUploads)
  },
  migrate: async () => {
    const { migrate, readMigrations } = await import('../../storage/metadata/migrate.ts')
    const shipped = readMigrations()
    await migrate(layout, Date.now(), [...shipped, ...laterThan(shipped)])
  },
  prepare: async () => {
    const { prepareDataFolder } = await import('../../server/prepare.ts')
    const { defaultSettings } = await import('../../server/config/settings.ts')
    await prepareDataFolder(defaultSettings({ data, 'auth.bcryptCost': 4, 'admin.password': password }), Date.now)
  },
  rebuild: async () => {
    const { rebuild, RebuildError } = await import('../../storage/recovery/rebuild.ts')
    await rebuild({ layout, nowMs: Date.now(), isForced: false }).catch((error: unknown) => {
      // It was over before the kill, and says so to who repeats it.
      if (!(error instanceof RebuildError) || !error.message.startsWith('nothing is wrong')) throw error
    })
  },
  restore: async () => {
    const { restoreBackup } = await import('../../storage/recovery/restore-backup.ts')
    const { backupFolder } = await import('../../storage/recovery/backup-folder.ts')
    const { readMigrations } = await import('../../storage/metadata/migrate.ts')
    const { backup, restored } = recoveryPlaces(data)
    const wish = { folder: backupFolder(backup), layout: dataLayout(restored), snapshot: undefined, mayMiss: false }
    // As with the command, a folder that has its database is complete.
    if (!existsSync(dataLayout(restored).database)) await restoreBackup({ ...wish, schema: readMigrations().length })
  },
  rotate: async () => {
    const { createSigningKey } = await import('../../auth/signing-keys.ts')
    await createSigningKey(layout.keys, Date.now)
  },
}

await chores[work as Chore]()
