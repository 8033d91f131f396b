/** Backups for tests: a registry below HTTP with something in it, its backup, and what came back. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { digestOf, type SupportedDigest } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { backUp, type BackupReport, type BackupWish } from '../../storage/recovery/back-up.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { restoreBackup, type RestoreReport, type RestoreWish } from '../../storage/recovery/restore-backup.ts'
import { createSigningKey } from '../../auth/signing-keys.ts'
import type { Registry } from '../../registry/registry.ts'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'
import { readMigrations } from '../../storage/metadata/migrate.ts'
import { backupFolder, type BackupFolder } from '../../storage/recovery/backup-folder.ts'
import { repositoryName } from './metadata-rows.ts'
import { openFloor, pushBlob, type Floor } from './registry-floor.ts'
import { temporaryFolder } from './temporary-folder.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** Pushes an image of one layer under a tag. @returns what was pushed */
export async function pushImage(
  registry: Registry,
  image: { repository: string; tag: string; layer: string },
): Promise<{ manifest: SupportedDigest; layer: SupportedDigest; bytes: Buffer }> {
  const { repository, tag, layer: content } = image
  const layer = await pushBlob(registry, repository, content)
  const config = await pushBlob(registry, repository, '{}')
  const descriptor = (mediaType: string, digest: string, size: number) => ({ mediaType, digest, size })
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor('application/vnd.oci.image.config.v1+json', config, 2),
      layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer, Buffer.from(content).length)],
    }),
  )
  const push = {
    repository: repositoryName(repository),
    reference: parseReference(tag),
    extraTags: [],
    contentType: manifestType,
    bytes,
    by: null,
  }
  await pushManifest(registry, push)
  return { manifest: digestOf('sha256', bytes), layer, bytes }
}

export interface BackedUp {
  readonly floor: Floor
  readonly folder: BackupFolder
  /** Makes a backup, each a minute later than the one before. */
  readonly backUp: (more?: Partial<BackupWish>) => Promise<BackupReport>
  /** Restores into a folder of its own. */
  readonly restore: (more?: Partial<RestoreWish>) => Promise<RestoreReport & { readonly layout: DataLayout }>
}

/** A registry with a signing key, and a backup folder beside it that is not made yet. */
export async function openBackedUp(t: TestContext, rules: Parameters<typeof openFloor>[1] = {}): Promise<BackedUp> {
  const floor = await openFloor(t, rules)
  mkdirSync(floor.layout.keys)
  await createSigningKey(floor.layout.keys, floor.now)
  const place = temporaryFolder(t)
  const folder = backupFolder(join(place, 'backup'))
  let restored = 0
  let minutes = 0
  return {
    floor,
    folder,
    backUp: (more = {}) =>
      backUp({ layout: floor.layout, folder, keep: 7, mayLink: false, version: '1', nowMs: floor.now() + ++minutes * 60_000, ...more }),
    restore: async (more = {}) => {
      const layout = dataLayout(join(place, `restored-${++restored}`))
      const wish = { folder, layout, snapshot: undefined, mayMiss: false, schema: readMigrations().length, ...more }
      return { layout, ...(await restoreBackup(wish)) }
    },
  }
}

/** The file of a blob holds what it should. */
export function assertBlob(path: string, content: string): void {
  assert.equal(readFileSync(path, 'utf8'), content)
}
