/**
 * Looks through a whole data folder, rows against rows and rows against files, through the storage layer, and says what does not fit.
 *
 * May run beside a server: rows are read in one transaction, and no file that a row names is ever removed. Dangling is what a reader
 * would miss; an orphan is only space.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import Sqlite from 'better-sqlite3'
import { algorithmOf, digestOf, type SupportedDigest } from '../../oci/digest.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { allBlobFolders, type DataLayout } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import type { Reader } from '../../storage/metadata/schema.ts'

export interface Findings {
  readonly dangling: readonly string[]
  /** Blob files that no row names. */
  readonly orphanFiles: number
  readonly sessions: number
  /** Files of uploads, with a session or without. */
  readonly partials: number
}

/** @param depth `bytes` reads every blob and asks SQLite about every page; `rows` looks at sizes only. */
export async function fsck(layout: DataLayout, depth: 'rows' | 'bytes'): Promise<Findings> {
  const database = Database.open(layout.database)
  try {
    const found = await database.read.transaction().execute((tx) => inspectRows(tx))
    const blobs = new DiskBlobStore(layout)
    const files = await Promise.all(found.blobs.map((blob) => inspectBlob(blobs, blob, depth)))
    const engine = depth === 'bytes' ? integrityOf(layout) : []
    const known = new Set(found.blobs.map(({ digest }) => digest.split(':')[1]))
    const orphanFiles = depth === 'bytes' ? (await blobFiles(layout)).filter((name) => !known.has(name)).length : 0
    return {
      dangling: [...found.dangling, ...files.filter((problem) => problem !== undefined), ...engine],
      orphanFiles,
      sessions: found.sessions,
      partials: (await readdir(layout.uploads)).filter((name) => !name.startsWith('.')).length,
    }
  } finally {
    await database.close()
  }
}

interface BlobRow {
  readonly digest: SupportedDigest
  readonly size_bytes: number
}

async function inspectRows(tx: Reader) {
  const blobs = await tx.selectFrom('blob').select(['digest', 'size_bytes']).$castTo<BlobRow>().execute()
  const links = await tx.selectFrom('blob_link').select(['repository_id', 'digest']).execute()
  const manifests = await tx.selectFrom('manifest').select(['repository_id', 'digest', 'content', 'size_bytes']).execute()
  const references = await tx.selectFrom('reference').select(['repository_id', 'manifest_digest', 'digest', 'role']).execute()
  const tags = await tx.selectFrom('tag').select(['repository_id', 'name', 'digest']).where('until_ms', 'is', null).execute()
  const total = await tx.selectFrom('blob_total').select(['blobs', 'bytes']).executeTakeFirstOrThrow()
  const holders = await tx.selectFrom('trash_item').select('holder_id').where('kind', '=', 'manifest').execute()
  const sessions = await tx.selectFrom('upload_session').select('id').execute()

  const stored = new Set<string>(blobs.map(({ digest }) => digest))
  const linked = new Set(links.map(keyOf))
  const held = new Set(manifests.map(keyOf))
  const dangling: string[] = []
  for (const link of links) if (!stored.has(link.digest)) dangling.push(`link ${keyOf(link)} without a blob`)
  for (const manifest of manifests) {
    const digest = manifest.digest as SupportedDigest
    if (digestOf(algorithmOf(digest), manifest.content) !== digest) dangling.push(`manifest ${keyOf(manifest)} with other bytes`)
  }
  const isHolder = new Set(holders.map((item) => item.holder_id))
  for (const reference of references) {
    // A deleted index does not hold what it lists: that is looked at when it comes back.
    if (reference.role === 'manifest' && isHolder.has(reference.repository_id)) continue
    const isThere = reference.role === 'manifest' ? held.has(keyOf(reference)) : linked.has(keyOf(reference))
    if (!isThere) dangling.push(`${reference.role} ${keyOf(reference)} is missing, ${reference.manifest_digest} needs it`)
  }
  for (const tag of tags)
    if (!held.has(keyOf(tag))) dangling.push(`tag ${tag.repository_id}/${tag.name} without its manifest ${tag.digest}`)
  const bytes = blobs.reduce((sum, { size_bytes: size }) => sum + size, 0)
  if (total.blobs !== blobs.length || total.bytes !== bytes)
    dangling.push(`the total says ${total.blobs} blobs of ${total.bytes} bytes, there are ${blobs.length} of ${bytes}`)
  return { blobs, dangling, sessions: sessions.length }
}

function keyOf(row: { readonly repository_id: number; readonly digest: string }): string {
  return `${row.repository_id}/${row.digest}`
}

/** @returns what is wrong with the file. */
async function inspectBlob(blobs: DiskBlobStore, row: BlobRow, depth: 'rows' | 'bytes'): Promise<string | undefined> {
  const { digest, size_bytes: sizeBytes } = row
  const actual = await blobs.statBlob(digest)
  if (actual !== sizeBytes) return `blob ${digest}: ${actual ?? 'no'} bytes on disk, ${sizeBytes} in its row`
  if (depth === 'rows') return undefined
  const reader = await blobs.openBlob(digest, sizeBytes)
  const bytes = Buffer.alloc(sizeBytes)
  await reader.read(bytes, 0)
  await reader.close()
  const hash = createHash(algorithmOf(digest)).update(bytes).digest('hex')
  return digest.endsWith(hash) ? undefined : `blob ${digest}: its file has other bytes`
}

/** What SQLite itself finds wrong. */
function integrityOf(layout: DataLayout): string[] {
  const sqlite = new Sqlite(layout.database, { readonly: true })
  try {
    const problems = sqlite.prepare<[], string>('pragma integrity_check').pluck().all()
    const broken = sqlite.prepare<[], { table: string }>('pragma foreign_key_check').all()
    return [...problems.filter((text) => text !== 'ok'), ...broken.map(({ table }) => `a row of ${table} refers to nothing`)]
  } finally {
    sqlite.close()
  }
}

async function blobFiles(layout: DataLayout): Promise<string[]> {
  const names = await Promise.all(allBlobFolders(layout).map((folder) => readdir(join(folder))))
  return names.flat()
}
