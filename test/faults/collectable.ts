/**
 * A data folder with something of everything that a collector meets: what is needed, what was deleted, what is untagged and what nobody
 * references, with blobs of its own and blobs that are shared.
 */
import { randomUUID } from 'node:crypto'
import Sqlite from 'better-sqlite3'
import { digestOf, type SupportedDigest } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { removeRepository } from '../../registry/change-repository.ts'
import { pushWholeBlob } from '../../registry/push-blob.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { deleteByReference } from '../../registry/read-manifest.ts'
import { createRegistry, findRepository, type Registry, type RegistryRules } from '../../registry/registry.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import type { DataLayout } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { imageManifest } from './documents.ts'
import { sha256 } from './random.ts'

const weekMs = 7 * 24 * 3_600_000
const team = 'team/app'

/** What the collector may remove at once is removed at once. */
const rules: RegistryRules = {
  defaultVisibility: 'private',
  isDeleteEnabled: true,
  maxReferences: 1000,
  missingContent: 'strict',
  allowUnknownTypes: false,
  maxUploadsPerAccount: 1000,
  uploadTtlMs: weekMs,
  leaseMs: 0,
  trashMs: 0,
  untaggedDays: 1,
}

/** @returns the digests of the blobs that must be left. */
export async function fillCollectable(layout: DataLayout): Promise<{ kept: readonly string[] }> {
  await DiskBlobStore.prepare(layout)
  // Its content is older than any rule allows.
  const clock = (): number => Date.now() - weekMs
  await migrate(layout, clock())
  const database = Database.open(layout.database)
  const registry = registryOn({ layout, database, clock })
  try {
    const kept = await pushImage(registry, { repository: team, tag: 'latest', contents: ['config', 'shared', 'kept'] })
    const deleted = await pushImage(registry, { repository: team, tag: 'deleted', contents: ['config', 'shared', 'deleted'] })
    await deleteByReference(registry, await findRepository(registry, parseRepositoryName(team)), {
      reference: parseReference(deleted.digest),
      by: null,
    })
    await pushImage(registry, { repository: team, tag: undefined, contents: ['config', 'shared', 'untagged'] })
    await pushImage(registry, { repository: 'team/gone', tag: 'latest', contents: ['config', 'gone', 'too'] })
    await removeRepository(registry, parseRepositoryName('team/gone'))
    for (const content of ['nobody', 'references', 'these']) await pushBlob(registry, team, content)
    return { kept: kept.blobs }
  } finally {
    await database.close()
  }
}

export function registryOn({ layout, database, clock }: { layout: DataLayout; database: Database; clock: () => number }): Registry {
  const parts = { blobs: new DiskBlobStore(layout), database, clock, rules, newId: randomUUID, processId: randomUUID() }
  return createRegistry({ ...parts, releaseReserve: async () => false })
}

export async function pushImage(
  registry: Registry,
  { repository, tag, contents }: { repository: string; tag: string | undefined; contents: readonly string[] },
): Promise<{ digest: string; blobs: readonly string[] }> {
  for (const content of contents) await pushBlob(registry, repository, content)
  const [config, ...layers] = contents.map((content) => ({ digest: sha256(Buffer.from(content)), bytes: Buffer.from(content) }))
  if (!config) throw new Error('an image has a config')
  const { digest, text, mediaType, blobs } = imageManifest(config, layers, 0)
  await pushManifest(registry, {
    repository: parseRepositoryName(repository),
    reference: parseReference(tag ?? digest),
    extraTags: [],
    contentType: mediaType,
    bytes: Buffer.from(text),
    by: null,
  })
  return { digest, blobs }
}

async function pushBlob(registry: Registry, repository: string, content: string): Promise<SupportedDigest> {
  const bytes = Buffer.from(content)
  const digest = digestOf('sha256', bytes)
  const body = (async function* once() {
    yield bytes
  })()
  const start = { repository: parseRepositoryName(repository), accountId: null }
  await pushWholeBlob(registry, start, { digest, body, announcedBytes: bytes.length, range: undefined })
  return digest
}

/** Digests of the blobs that have rows. */
export function blobsIn(layout: DataLayout): string[] {
  const sqlite = new Sqlite(layout.database, { readonly: true })
  const digests = sqlite.prepare<[], string>('select digest from blob').pluck().all()
  sqlite.close()
  return digests
}
