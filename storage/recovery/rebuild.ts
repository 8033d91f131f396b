/**
 * Bringing back a lost or damaged database: the newest snapshot that is whole, the journal since then, and the blobs that lie on the disk.
 *
 * Invariants: only while no server runs, under the folder's lock. The old database is moved aside, never removed. The new one gets its
 * name when it is whole and durable, so that a rebuild which dies is simply done again. A blob gets a row only if its bytes have its digest.
 */
import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { algorithmOf, isDigest, isSupported, parseDigest } from '../../oci/digest.ts'
import { parseManifest } from '../../oci/manifest.ts'
import { commitFile, syncFolder } from '../blobs/durable.ts'
import { allBlobFolders, blobPath, digestOfBlobFile, lostDatabasePath, type DataLayout, type SnapshotFile } from '../layout.ts'
import { applyMigrations, readMigrations } from '../metadata/migrate.ts'
import { findDamage } from './copy-database.ts'
import { copyFileDurably, measureFile } from './copy-file.ts'
import { journalTables, listJournal, readJournal, valueOf, type Change } from './journal.ts'
import { recountUsage } from './recount-usage.ts'
import { listSnapshotFiles } from './snapshot-database.ts'

export interface RebuildReport {
  /** The snapshot it began with; undefined: none was whole, it began with nothing. */
  readonly snapshot: { readonly path: string; readonly takenAt: string } | undefined
  /** Newer ones that are damaged. */
  readonly damagedSnapshots: readonly string[]
  /** Of the journal. */
  readonly transactions: number
  /** Lines of the journal that are damaged, or tell of missing ones. */
  readonly gaps: number
  readonly repositories: number
  readonly manifests: number
  readonly tags: number
  /** Blobs that the snapshot did not know. */
  readonly adopted: number
  /** Files in the places of blobs that have other bytes; they are left where they are. */
  readonly damagedBlobs: readonly string[]
  /** Blobs that manifests need and that are not on the disk. */
  readonly missingBlobs: readonly string[]
  /** Where the old database is now; undefined: there was none. */
  readonly lost: string | undefined
}

/** The database is whole, or it cannot be rebuilt; the message says what to do. */
export class RebuildError extends Error {}

export interface RebuildWish {
  readonly layout: DataLayout
  readonly nowMs: number
  /** Also when nothing is wrong with the database. */
  readonly isForced: boolean
}

/** Call it under the folder's lock. @throws {RebuildError} */
export async function rebuild({ layout, nowMs, isForced }: RebuildWish): Promise<RebuildReport> {
  if (!isForced && existsSync(layout.database) && findDamage(layout.database).length === 0)
    throw new RebuildError('nothing is wrong with the database: rebuilding it could only set it back (--force does it all the same)')
  const { snapshot, damagedSnapshots } = await beginWithSnapshot(layout)
  const sqlite = new Sqlite(layout.rebuilt)
  let facts
  try {
    sqlite.pragma('journal_mode = delete')
    applyMigrations(sqlite, readMigrations().slice(schemaOf(sqlite)), nowMs)
    sqlite.pragma('foreign_keys = off')
    facts = await fill(sqlite, { layout, nowMs, since: snapshot?.journal ?? 0 })
  } finally {
    sqlite.close()
  }
  const damage = findDamage(layout.rebuilt)
  if (damage.length > 0) throw new RebuildError(`the rebuilt database would not be whole: ${damage[0]}. Nothing was changed`)
  const lost = await exchange(layout, nowMs)
  const begun = snapshot && { path: snapshot.path, takenAt: new Date(snapshot.takenAtMs).toISOString() }
  return { snapshot: begun, damagedSnapshots, ...facts, lost }
}

async function beginWithSnapshot(layout: DataLayout): Promise<{ snapshot: SnapshotFile | undefined; damagedSnapshots: string[] }> {
  for (const leftover of ['', '-wal', '-shm', '-journal']) await rm(`${layout.rebuilt}${leftover}`, { force: true })
  const damagedSnapshots: string[] = []
  for (const snapshot of (await listSnapshotFiles(layout)).toReversed()) {
    if (snapshot.version > readMigrations().length) continue
    if (findDamage(snapshot.path).length === 0) {
      await copyFileDurably(snapshot.path, layout.rebuilt)
      return { snapshot, damagedSnapshots }
    }
    damagedSnapshots.push(snapshot.path)
  }
  return { snapshot: undefined, damagedSnapshots }
}

function schemaOf(sqlite: Sqlite.Database): number {
  const isNew = sqlite.prepare<[], number>("select count(*) from sqlite_schema where name = 'migration'").pluck().get() === 0
  return isNew ? 0 : (sqlite.prepare<[], number>('select max(version) from migration').pluck().get() ?? 0)
}

type Facts = Omit<RebuildReport, 'snapshot' | 'damagedSnapshots' | 'lost'>

async function fill(sqlite: Sqlite.Database, of: { layout: DataLayout; nowMs: number; since: number }): Promise<Facts> {
  const { layout, nowMs, since } = of
  const numbers = (await listJournal(layout)).filter((number) => number > since)
  const sum = { transactions: 0, gaps: 0 }
  for (const number of [...numbers, undefined]) {
    const { transactions, gaps } = await readJournal(layout, number)
    sqlite.transaction(() => {
      for (const changes of transactions) for (const change of changes) replay(sqlite, change)
    })()
    sum.transactions += transactions.length
    sum.gaps += gaps
  }
  const blobs = await adoptBlobs(sqlite, { layout, nowMs })
  sqlite.transaction(() => {
    completeReferences(sqlite)
    assignNamespaces(sqlite)
    linkBlobs(sqlite, nowMs)
    removeOrphans(sqlite)
    recountUsage(sqlite)
  })()
  const count = (sql: string) => sqlite.prepare<[], number>(sql).pluck().get() ?? 0
  return {
    ...sum,
    ...blobs,
    repositories: count('select count(*) from repository'),
    manifests: count('select count(*) from manifest'),
    tags: count('select count(*) from tag where until_ms is null'),
    missingBlobs: missingBlobs(sqlite, layout),
  }
}

/** A row that stands in the way of another, such as a current tag that was ended later, is put again by its own line. */
function replay(sqlite: Sqlite.Database, { table, kind, row }: Change): void {
  if (!(table in journalTables)) return
  const known = new Set(sqlite.prepare<[string], string>('select name from pragma_table_info(?)').pluck().all(table))
  const names = Object.keys(row).filter((name) => known.has(name))
  const values = names.map((name) => valueOf(row[name] ?? null))
  if (kind === 'put') {
    const columns = names.map((name) => `"${name}"`).join(', ')
    sqlite.prepare(`insert or replace into "${table}" (${columns}) values (${names.map(() => '?').join(', ')})`).run(...values)
    return
  }
  sqlite.prepare(`delete from "${table}" where ${names.map((name) => `"${name}" = ?`).join(' and ')}`).run(...values)
}

/** What stands in the way is every file of which the database does not know; its bytes decide. */
async function adoptBlobs(sqlite: Sqlite.Database, { layout, nowMs }: { layout: DataLayout; nowMs: number }) {
  const known = sqlite.prepare<[string], number>('select 1 from blob where digest = ?').pluck()
  const insert = sqlite.prepare('insert into blob (digest, size_bytes, stored_at_ms, leased_at_ms) values (?, ?, ?, ?)')
  // Nobody may link it: then it is to be collected when its lease is over.
  const queue = sqlite.prepare(
    'insert into blob_review (digest, since_ms) values (?, ?) on conflict do update set since_ms = excluded.since_ms',
  )
  const damagedBlobs: string[] = []
  let adopted = 0
  for (const folder of allBlobFolders(layout)) {
    for (const name of await readdir(folder).catch(() => [])) {
      const digest = digestOfBlobFile(folder, name)
      if (digest === undefined || known.get(digest) === 1) continue
      const facts = await measureFile(blobPath(layout, digest), algorithmOf(digest))
      if (facts.digest !== digest) {
        damagedBlobs.push(digest)
        continue
      }
      insert.run(digest, facts.sizeBytes, nowMs, nowMs)
      queue.run(digest, nowMs)
      adopted++
    }
  }
  // All leases begin anew: of those that were renewed since the snapshot nobody knows.
  sqlite.prepare('update blob set leased_at_ms = max(leased_at_ms, ?)').run(nowMs)
  return { adopted, damagedBlobs }
}

interface StoredManifest {
  readonly repository_id: number
  readonly digest: string
  readonly media_type: string
  readonly content: Buffer
}

const anything = { maxReferences: 1_000_000, allowUnknownTypes: true } as const

/** The journal has no references: the bytes of a manifest tell them. Only what has none is read, which is what it brought; damaged ones are empty. */
function completeReferences(sqlite: Sqlite.Database): void {
  sqlite.exec(
    'delete from reference where not exists (select 1 from manifest where manifest.repository_id = reference.repository_id and manifest.digest = reference.manifest_digest)',
  )
  const bare = sqlite
    .prepare<[], StoredManifest>(
      'select repository_id, digest, media_type, content from manifest where length(content) > 0 and not exists (select 1 from reference where reference.repository_id = manifest.repository_id and reference.manifest_digest = manifest.digest)',
    )
    .all()
  const insert = sqlite.prepare('insert or ignore into reference (repository_id, manifest_digest, digest, role) values (?, ?, ?, ?)')
  for (const { repository_id: id, digest, media_type: type, content } of bare) {
    const { references } = parseManifest(content, type, anything)
    for (const { role, descriptor } of references) insert.run(id, digest, descriptor.digest, role)
  }
}

/**
 * Whose namespace's a repository is: lines of the journal that are older than that number do not have it. Links follow, which without
 * foreign keys they have not done.
 */
function assignNamespaces(sqlite: Sqlite.Database): void {
  sqlite.exec(`update repository set namespace_id = coalesce((select id from namespace where name = coalesce(
      (select trash_item.namespace from trash_item where holder_id = repository.id), repository.namespace)), 0) where namespace_id = 0;
    update blob_link set namespace_id = repository.namespace_id from repository
      where repository.id = blob_link.repository_id and repository.namespace_id <> blob_link.namespace_id`)
}

/** A blob that a manifest of the repository references was linked there. */
function linkBlobs(sqlite: Sqlite.Database, nowMs: number): void {
  sqlite
    .prepare(
      "insert or ignore into blob_link (repository_id, digest, linked_at_ms, namespace_id) select reference.repository_id, reference.digest, ?, repository.namespace_id from reference join blob on blob.digest = reference.digest join repository on repository.id = reference.repository_id where reference.role <> 'manifest'",
    )
    .run(nowMs)
}

/** What belonged to a repository or a namespace that was removed since the snapshot; without foreign keys nothing went with it. */
function removeOrphans(sqlite: Sqlite.Database): void {
  sqlite.exec('delete from upload_session')
  const deletions = orphanDeletions(sqlite).map((sql) => sqlite.prepare(sql))
  // What one of them removes may be what another table refers to.
  while (deletions.reduce((removed, deletion) => removed + deletion.run().changes, 0) > 0);
}

interface ForeignKeyColumn {
  readonly child: string
  readonly id: number
  readonly parent: string
  readonly from: string
  readonly to: string
}

function orphanDeletions(sqlite: Sqlite.Database): string[] {
  const columns = sqlite
    .prepare<[], ForeignKeyColumn>(
      `select child.name as child, key.id, key."table" as parent, key."from", key."to"
       from sqlite_schema as child join pragma_foreign_key_list(child.name) as key where child.type = 'table' order by child.name, key.id, key.seq`,
    )
    .all()
  const keys = Map.groupBy(columns, ({ child, id }) => `${child}/${id}`)
  return [...keys.values()].map((key) => {
    const [{ child, parent } = { child: '', parent: '' }] = key
    const isSet = key.map(({ from }) => `"${child}"."${from}" is not null`).join(' and ')
    const isSame = key.map(({ from, to }) => `parent."${to}" = "${child}"."${from}"`).join(' and ')
    return `delete from "${child}" where ${isSet} and not exists (select 1 from "${parent}" as parent where ${isSame})`
  })
}

function missingBlobs(sqlite: Sqlite.Database, layout: DataLayout): string[] {
  const needed = sqlite.prepare<[], string>("select distinct digest from reference where role in ('config', 'layer', 'blob')").pluck().all()
  return needed.filter((digest) => !isThere(layout, digest)).toSorted()
}

function isThere(layout: DataLayout, digest: string): boolean {
  if (!isDigest(digest)) return false
  const parsed = parseDigest(digest)
  return isSupported(parsed) && existsSync(blobPath(layout, parsed))
}

/** @returns where the old database is now */
async function exchange(layout: DataLayout, nowMs: number): Promise<string | undefined> {
  const lost = existsSync(layout.database) ? lostDatabasePath(layout, nowMs) : undefined
  await mkdir(layout.lost, { recursive: true, mode: 0o700 })
  // The log first: beside the new database it would be taken for its own.
  for (const part of ['-wal', '-shm', '-journal', '']) {
    const path = `${layout.database}${part}`
    if (existsSync(path)) await rename(path, `${lostDatabasePath(layout, nowMs)}${part}`)
  }
  await syncFolder(layout.lost)
  await chmod(layout.rebuilt, 0o600)
  const file = await open(layout.rebuilt, 'r')
  try {
    await commitFile(file.fd, layout.rebuilt, { path: layout.database, folder: layout.root })
  } finally {
    await file.close()
  }
  await stat(layout.database)
  return lost
}
