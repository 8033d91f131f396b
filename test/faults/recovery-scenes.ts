/**
 * What a backup, a restore and a rebuild of the campaign work on, and what must be so when one that was killed has been run again.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { createSigningKey } from '../../auth/signing-keys.ts'
import { backUp } from '../../storage/recovery/back-up.ts'
import { restoreBackup } from '../../storage/recovery/restore-backup.ts'
import { snapshotIfDue } from '../../storage/recovery/snapshot-database.ts'
import { verifyBackup } from '../../storage/recovery/verify-backup.ts'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import { readMigrations } from '../../storage/metadata/migrate.ts'
import { backupFolder } from '../../storage/recovery/backup-folder.ts'
import { Journal } from '../../storage/recovery/journal.ts'
import { blobsIn, fillCollectable, pushImage, registryOn } from './collectable.ts'
import { fsck } from './fsck.ts'
import type { Chore } from './kill-points.ts'
import { recoveryPlaces } from './recovery-places.ts'

const works = ['backup', 'restore', 'rebuild'] as const
export type RecoveryWork = (typeof works)[number]

export function isRecovery(work: Chore): work is RecoveryWork {
  return works.some((each) => each === work)
}

export interface RecoveryScene {
  /** The data folder that the work is given. */
  readonly data: string
  /** What is wrong afterwards. */
  readonly faults: () => Promise<readonly string[]>
}

/** @param place an empty folder */
export async function setRecoveryScene(work: RecoveryWork, place: string): Promise<RecoveryScene> {
  const layout = dataLayout(join(place, 'data'))
  mkdirSync(layout.root)
  await fillCollectable(layout)
  mkdirSync(layout.keys)
  await createSigningKey(layout.keys, Date.now)
  if (work === 'rebuild') return lostDatabase(layout)
  const places = recoveryPlaces(layout.root)
  const folder = backupFolder(places.backup)
  const wish = { folder, snapshot: undefined, mayMiss: false, schema: readMigrations().length }
  if (work === 'restore') {
    await backUp({ layout, folder, keep: 1, mayLink: false, version: '1', nowMs: Date.now() })
    return { data: layout.root, faults: () => faultsOfCopy(layout, dataLayout(places.restored)) }
  }
  return {
    data: layout.root,
    faults: async () => {
      const { faults, superfluous } = await verifyBackup(folder)
      await restoreBackup({ ...wish, layout: dataLayout(places.restored) })
      const copied = await faultsOfCopy(layout, dataLayout(places.restored))
      const left = readdirSync(folder.unfinished)
      return [
        ...faults.map((fault) => JSON.stringify(fault)),
        ...copied,
        ...extra(superfluous + left.length, 'files too many in the backup'),
      ]
    },
  }
}

async function faultsOfCopy(source: DataLayout, copy: DataLayout): Promise<readonly string[]> {
  const { dangling, orphanFiles, partials } = await fsck(copy, 'bytes')
  const isSame = same(rowsOf(source), rowsOf(copy)) && same(blobsIn(source), blobsIn(copy)) && same(keysOf(source), keysOf(copy))
  return [...dangling, ...extra(orphanFiles + partials, 'files too many'), ...(isSame ? [] : ['the copy holds something else'])]
}

/** A database that is gone, with changes behind its last snapshot. */
async function lostDatabase(layout: DataLayout): Promise<RecoveryScene> {
  const database = Database.open(layout.database, new Journal(layout))
  const registry = registryOn({ layout, database, clock: Date.now })
  await pushImage(registry, { repository: 'team/app', tag: 'latest', contents: ['config', 'shared', 'before'] })
  await snapshotIfDue({ database, layout }, { nowMs: Date.now(), everyMs: 1, keep: 2 })
  for (const tag of ['latest', 'new'])
    await pushImage(registry, { repository: 'team/app', tag, contents: ['config', 'shared', `after, ${tag}`] })
  await database.close()
  const rows = rowsOf(layout)
  const sqlite = new Sqlite(layout.database)
  // Damaged, and not gone: then there is something to move away.
  sqlite.exec("pragma foreign_keys = off; insert into blob_link (repository_id, digest, linked_at_ms, namespace_id) values (99, 'x', 1, 0)")
  sqlite.close()
  for (const part of ['-wal', '-shm']) rmSync(`${layout.database}${part}`, { force: true })
  return {
    data: layout.root,
    faults: async () => {
      const { dangling } = await fsck(layout, 'bytes')
      return [...dangling, ...(same(rowsOf(layout), rows) ? [] : ['the rebuilt database holds something else'])]
    },
  }
}

function extra(count: number, what: string): string[] {
  return count === 0 ? [] : [`${count} ${what}`]
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function keysOf(layout: DataLayout): string[] {
  return readdirSync(layout.keys).toSorted()
}

function rowsOf(layout: DataLayout): unknown[] {
  const sqlite = new Sqlite(layout.database, { readonly: true })
  try {
    return [
      'select id, name from repository order by id',
      'select repository_id, digest, hex(content) from manifest order by 1, 2',
      'select repository_id, manifest_digest, digest, role from reference order by 1, 2, 3, 4',
      'select repository_id, name, digest, since_ms, until_ms from tag order by id',
    ].map((question) => sqlite.prepare(question).all())
  } finally {
    sqlite.close()
  }
}
