/**
 * Fills a data folder's rows to any size, through the storage layer, many rows to a statement and many statements to a transaction.
 *
 *   node bench/fill.ts --data FOLDER [--repositories 10000] [--tags 1] [--blobs 1000000] [--namespace fill]
 *
 * Manifests are complete: they can be pulled and pushed again. Blobs are rows without files, which is enough for everything that
 * looks them up (HEAD, mounts, pushes of manifests that name them) and nothing else: to GET one is a fault of a damaged store.
 */
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { digestFromHex, digestOf, type SupportedDigest } from '../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/repository-name.ts'
import { prepareDataFolder } from '../server/prepare.ts'
import { loadSettings } from '../server/config/load.ts'
import { DataFolderLock } from '../storage/data-folder-lock.ts'
import { dataLayout } from '../storage/layout.ts'
import { Database } from '../storage/metadata/database.ts'
import { namespaceByName } from '../storage/metadata/namespaces.ts'
import { ensureRepository } from '../storage/metadata/repositories.ts'
import { finishScrubRun, openScrubRun } from '../storage/metadata/scrubs.ts'
import type { NewManifest } from '../storage/metadata/manifests.ts'
import type { BlobLinkTable, BlobTable, ReferenceTable, TagTable, Writer } from '../storage/metadata/schema.ts'
import { manifestType } from './client.ts'
import { imageManifest } from './sample-image.ts'

export interface Filling {
  /** The first component of the repositories' names. */
  readonly namespace: string
  readonly repositories: number
  readonly tagsPerRepository: number
  /** Spread evenly over the repositories. */
  readonly blobs: number
}

const rowsPerStatement = 500
const rowsPerTransaction = 20_000
const blobBytes = 1024

/** Names in byte order: `many/r000000`, … */
export function filledRepository({ namespace }: Pick<Filling, 'namespace'>, index: number): RepositoryName {
  return parseRepositoryName(`${namespace}/r${String(index).padStart(6, '0')}`)
}

export function filledTag(index: number): string {
  return `t${String(index).padStart(6, '0')}`
}

/**
 * The digest of blob `index`. Nobody has its bytes: its first digits count upwards over the whole range, so that rows are added at
 * the end of every index and a million of them take seconds.
 */
export function filledDigest({ namespace, blobs }: Pick<Filling, 'namespace' | 'blobs'>, index: number): SupportedDigest {
  const place = Math.floor((index * 0x1_0000_0000) / blobs)
  const rest = digestOf('sha256', Buffer.from(`${namespace} ${index}`)).slice(-56)
  return digestFromHex('sha256', `${place.toString(16).padStart(8, '0')}${rest}`)
}

/** The repository that blob `index` is linked to. */
export function holderOf(filling: Pick<Filling, 'repositories' | 'blobs'>, index: number): number {
  return Math.floor((index * filling.repositories) / filling.blobs)
}

/** The manifest that all tags of a filling point to; its config and layer are linked to every repository. */
export function filledManifest(filling: Pick<Filling, 'namespace'>): Buffer {
  const [config, layer] = contentsOf(filling)
  return imageManifest({ digest: config, size: blobBytes }, [{ digest: layer, size: blobBytes }])
}

/** Creates the folder if it is missing. No server may run on it. Filling it again with another namespace adds to it. */
export async function fillStore(folder: string, filling: Filling): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const env = { LANYARD_DATA: folder, LANYARD_AUTH_BCRYPT_COST: '4', LANYARD_ADMIN_PASSWORD: 'only for the bench' }
  const { settings } = loadSettings({ env, flags: {} })
  const layout = dataLayout(folder)
  const lock = DataFolderLock.acquire(layout, 'bench/fill.ts')
  try {
    await prepareDataFolder(settings, Date.now)
    const database = Database.open(layout.database)
    await fillDatabase(database, filling)
    await database.close()
  } finally {
    lock.release()
  }
}

async function fillDatabase(database: Database, filling: Filling): Promise<void> {
  const nowMs = Date.now()
  const ids = await createRepositories(database, filling, nowMs)
  const { id: namespaceId = 0 } = (await database.prepare(namespaceByName)({ name: filling.namespace })) ?? {}
  const linkRow = (repositoryId: number | undefined, digest: string) => ({
    repository_id: repositoryId ?? 0,
    digest,
    linked_at_ms: nowMs,
    namespace_id: namespaceId,
  })
  const content = filledManifest(filling)
  const digest = digestOf('sha256', content)
  const contents = contentsOf(filling)
  const add = inserterFor(database)
  await add('blob', contents.length, (index) => blobRow(contents[index] ?? digest, nowMs))
  await add('blob_link', ids.length * contents.length, (index) => linkRow(ids[index >> 1], contents[index & 1] ?? digest))
  await add('manifest', ids.length, (index) => manifestRow(ids[index] ?? 0, { content, digest, nowMs }))
  await add('reference', ids.length * contents.length, (index) => {
    const isConfig = (index & 1) === 0
    return {
      repository_id: ids[index >> 1] ?? 0,
      manifest_digest: digest,
      digest: contents[index & 1] ?? digest,
      role: isConfig ? 'config' : 'layer',
    }
  })
  await add('tag', ids.length * filling.tagsPerRepository, (index) => {
    const repositoryId = ids[Math.floor(index / filling.tagsPerRepository)] ?? 0
    return tagRow(repositoryId, filledTag(index % filling.tagsPerRepository), { digest, nowMs })
  })
  await add('blob', filling.blobs, (index) => blobRow(filledDigest(filling, index), nowMs))
  await add('blob_link', filling.blobs, (index) => linkRow(ids[holderOf(filling, index)], filledDigest(filling, index)))
  await noteScrubbed(database, nowMs)
}

/** As if all had been read: a scrub would find that no blob has a file. */
async function noteScrubbed(database: Database, nowMs: number): Promise<void> {
  await database.writeRelaxed(async (tx) => {
    await openScrubRun(tx, nowMs)
    await finishScrubRun(tx, nowMs)
  })
}

async function createRepositories(database: Database, filling: Filling, nowMs: number): Promise<number[]> {
  return database.writeRelaxed(async (tx) => {
    const ids: number[] = []
    for (let index = 0; index < filling.repositories; index++) {
      ids.push(await ensureRepository(tx, { name: filledRepository(filling, index), visibility: 'private', nowMs }))
    }
    return ids
  })
}

interface NewRows {
  blob: BlobTable
  blob_link: BlobLinkTable
  manifest: NewManifest
  reference: ReferenceTable
  tag: Omit<TagTable, 'id'>
}

type Add = <Table extends keyof NewRows>(table: Table, count: number, rowOf: (index: number) => NewRows[Table]) => Promise<void>

/** What is there already stays. */
function inserterFor(database: Database): Add {
  return async (table, count, rowOf) => {
    for (let start = 0; start < count; start += rowsPerTransaction) {
      const end = Math.min(start + rowsPerTransaction, count)
      await database.writeRelaxed(async (tx) => {
        for (let at = start; at < end; at += rowsPerStatement) {
          const rows = Array.from({ length: Math.min(rowsPerStatement, end - at) }, (_, index) => rowOf(at + index))
          await insert(tx, table, rows)
        }
      })
    }
  }
}

async function insert<Table extends keyof NewRows>(tx: Writer, table: Table, rows: NewRows[Table][]): Promise<void> {
  await tx
    .insertInto<keyof NewRows>(table)
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

function contentsOf({ namespace }: Pick<Filling, 'namespace'>): [config: SupportedDigest, layer: SupportedDigest] {
  return [digestOf('sha256', Buffer.from(`${namespace} config`)), digestOf('sha256', Buffer.from(`${namespace} layer`))]
}

function blobRow(digest: SupportedDigest, nowMs: number): BlobTable {
  return { digest, size_bytes: blobBytes, stored_at_ms: nowMs, leased_at_ms: nowMs }
}

function manifestRow(
  repositoryId: number,
  { content, digest, nowMs }: { content: Buffer; digest: SupportedDigest; nowMs: number },
): NewManifest {
  return {
    repository_id: repositoryId,
    digest,
    media_type: manifestType,
    artifact_type: 'application/vnd.oci.image.config.v1+json',
    size_bytes: content.length,
    subject_digest: null,
    annotations: null,
    pushed_by: null,
    pushed_at_ms: nowMs,
    content,
  }
}

function tagRow(repositoryId: number, name: string, { digest, nowMs }: { digest: SupportedDigest; nowMs: number }): NewRows['tag'] {
  return { repository_id: repositoryId, name, digest, since_ms: nowMs, until_ms: null, set_by: null, ended_by: null }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      repositories: { type: 'string', default: '10000' },
      tags: { type: 'string', default: '1' },
      blobs: { type: 'string', default: '1000000' },
      namespace: { type: 'string', default: 'fill' },
    },
  })
  if (values.data === undefined) throw new Error('--data must name a folder')
  const begun = performance.now()
  await fillStore(resolve(values.data), {
    namespace: values.namespace,
    repositories: Number(values.repositories),
    tagsPerRepository: Number(values.tags),
    blobs: Number(values.blobs),
  })
  process.stderr.write(`filled in ${((performance.now() - begun) / 1000).toFixed(1)} s; blobs are rows without files\n`)
}

if (import.meta.main) await main()
