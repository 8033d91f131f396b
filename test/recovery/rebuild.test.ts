/** A database that is lost: what comes back from snapshots, the journal and the disk, and what a journal survives. */
import assert from 'node:assert/strict'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import Sqlite from 'better-sqlite3'
import { sql } from 'kysely'
import { parseReference } from '../../oci/reference.ts'
import { createRegistry } from '../../registry/registry.ts'
import { deleteByReference } from '../../registry/read-manifest.ts'
import { rebuild, type RebuildReport } from '../../storage/recovery/rebuild.ts'
import { listSnapshotFiles, snapshotIfDue } from '../../storage/recovery/snapshot-database.ts'
import { startJobs } from '../../server/jobs.ts'
import { blobPath, currentJournalPath, dataLayout, finishedJournalPath } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import { deleteRepository } from '../../storage/metadata/repositories.ts'
import { Journal, listJournal, readJournal } from '../../storage/recovery/journal.ts'
import { pushImage } from '../support/backup.ts'
import { LogLines } from '../support/log-lines.ts'
import { sha256Of } from '../support/metadata-rows.ts'
import { startRegistry } from '../support/start-registry.ts'
import { getRepository, openFloor, pushBlob, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000

interface Kept extends Floor {
  /** Takes a snapshot as the clock does. */
  readonly snapshot: () => Promise<void>
  /** All rows that must come back. */
  readonly rows: () => Record<string, unknown[]>
  /** The database is gone; what comes back is the report. */
  readonly lose: (how?: 'removed' | 'damaged') => Promise<RebuildReport>
}

const questions = {
  repositories: 'select id, name, visibility, description from repository order by id',
  manifests: 'select repository_id, digest, media_type, subject_digest, annotations, content from manifest order by 1, 2',
  references: 'select repository_id, manifest_digest, digest, role from reference order by 1, 2, 3, 4',
  tags: 'select id, repository_id, name, digest, since_ms, until_ms, set_by from tag order by id',
  links: 'select distinct repository_id, blob_link.digest from blob_link join reference using (repository_id, digest) order by 1, 2',
  total: 'select blobs, bytes from blob_total',
}

async function openKept(t: TestContext): Promise<Kept> {
  const floor = await openFloor(t)
  mkdirSync(floor.layout.blobs, { recursive: true })
  const database = Database.open(floor.layout.database, new Journal(floor.layout))
  t.after(() => database.close())
  const registry = createRegistry({ ...floor.registry, database })
  return {
    ...floor,
    database,
    registry,
    snapshot: async () => {
      floor.advance(7 * hour)
      assert.ok(await snapshotIfDue({ database, layout: floor.layout }, { nowMs: floor.now(), everyMs: 6 * hour, keep: 2 }))
    },
    rows: () => rowsOf(floor.layout.database),
    lose: async (how = 'removed') => {
      await database.close()
      await floor.database.close()
      for (const part of ['', '-wal', '-shm']) if (how === 'removed') rmSync(`${floor.layout.database}${part}`, { force: true })
      if (how === 'damaged') writeFileSync(floor.layout.database, readFileSync(floor.layout.database).fill(0x5a, 4096))
      return rebuild({ layout: floor.layout, nowMs: floor.now(), isForced: false })
    },
  }
}

function rowsOf(path: string): Record<string, unknown[]> {
  const sqlite = new Sqlite(path, { readonly: true })
  try {
    return Object.fromEntries(Object.entries(questions).map(([name, sql]) => [name, sqlite.prepare(sql).all()]))
  } finally {
    sqlite.close()
  }
}

const push = ({ registry }: Floor, repository: string, tag: string) =>
  pushImage(registry, { repository, tag, layer: `${repository} ${tag}` })

async function change(kept: Kept, round: string): Promise<void> {
  await push(kept, 'team/app', round)
  kept.advance(1000)
  await push(kept, 'team/app', 'latest')
  kept.advance(1000)
  const { manifest } = await push(kept, `team/${round}`, 'gone')
  const row = await getRepository(kept.registry, `team/${round}`)
  await deleteByReference(kept.registry, row, { reference: parseReference(manifest), by: 'alice' })
  await push(kept, 'team/removed', round)
  const removed = await getRepository(kept.registry, 'team/removed')
  await kept.database.write((tx) => deleteRepository(tx, removed.id))
  await pushImage(kept.registry, { repository: 'team/app', tag: 'latest', layer: `moved ${round}` })
}

suite('a rebuilt database', () => {
  for (const how of ['removed', 'damaged'] as const)
    test(`has every repository, manifest, reference, tag and its history, and every blob, when the old one was ${how}`, async (t) => {
      const kept = await openKept(t)
      await change(kept, 'one')
      await kept.snapshot()
      await change(kept, 'two')
      await kept.snapshot()
      await change(kept, 'three')
      const before = kept.rows()
      const report = await kept.lose(how)
      assert.deepEqual(kept.rows(), before)
      assert.deepEqual([report.gaps, report.missingBlobs, report.damagedBlobs, report.damagedSnapshots], [0, [], [], []])
      assert.ok(report.transactions > 0 && report.adopted > 0)
      assert.equal(report.lost !== undefined && existsSync(report.lost), how === 'damaged')
    })

  test('comes from an earlier snapshot when the newest is damaged, and from the journal alone when there is none', async (t) => {
    const kept = await openKept(t)
    await change(kept, 'one')
    await kept.snapshot()
    await change(kept, 'two')
    await kept.snapshot()
    await change(kept, 'three')
    const before = kept.rows()
    const [first = { path: '' }, second = { path: '' }] = await listSnapshotFiles(kept.layout)
    truncateSync(second.path, 5000)
    assert.deepEqual((await kept.lose()).damagedSnapshots, [second.path])
    assert.deepEqual(kept.rows(), before)

    const alone = await openKept(t)
    await change(alone, 'one')
    const all = alone.rows()
    assert.equal((await alone.lose()).snapshot, undefined)
    assert.deepEqual(alone.rows(), all)
    assert.ok(existsSync(first.path))
  })

  test('is made anew where a rebuild was killed: amid its work, and between the two renames', async (t) => {
    const kept = await openKept(t)
    await change(kept, 'one')
    await kept.snapshot()
    const before = kept.rows()
    for (const part of ['', '-wal', '-journal']) writeFileSync(`${kept.layout.rebuilt}${part}`, 'half')
    await kept.lose('damaged')
    assert.deepEqual(kept.rows(), before)
    renameSync(kept.layout.database, kept.layout.rebuilt)
    const { lost } = await rebuild({ layout: kept.layout, nowMs: kept.now(), isForced: false })
    assert.deepEqual([kept.rows(), lost], [before, undefined])
  })

  test('names blobs that are missing or damaged, and never gives a row to wrong bytes', async (t) => {
    const kept = await openKept(t)
    const { layer } = await push(kept, 'team/app', '1')
    await pushBlob(kept.registry, 'team/app', 'alone')
    rmSync(blobPath(kept.layout, layer))
    writeFileSync(blobPath(kept.layout, sha256Of('alone')), 'other')
    const { missingBlobs, damagedBlobs } = await kept.lose()
    assert.deepEqual([missingBlobs, damagedBlobs], [[layer], [sha256Of('alone')]])
  })

  test('is refused while nothing is wrong, unless it is forced; then the old one is kept', async (t) => {
    const kept = await openKept(t)
    await push(kept, 'team/app', '1')
    await kept.database.close()
    await kept.another('x').database.close()
    await assert.rejects(rebuild({ layout: kept.layout, nowMs: 1, isForced: false }), /nothing is wrong/)
    const before = kept.rows()
    const { lost } = await rebuild({ layout: kept.layout, nowMs: kept.now(), isForced: true })
    assert.deepEqual(kept.rows(), before)
    assert.deepEqual(rowsOf(lost ?? ''), before)
  })
})

suite('the journal', () => {
  test('ignores a torn last line, and counts a damaged one as a gap; what follows is read', async (t) => {
    const kept = await openKept(t)
    await pushBlob(kept.registry, 'team/app', 'the repository is there')
    for (const tag of ['1', '2']) await push(kept, 'team/app', tag)
    const path = currentJournalPath(kept.layout)
    const whole = readFileSync(path, 'utf8')
    const { transactions } = await readJournal(kept.layout, undefined)
    assert.equal(transactions.length, 3)
    appendFileSync(path, '\n{"crc":12,"entry":{"chan')
    assert.deepEqual(
      [(await readJournal(kept.layout, undefined)).transactions.length, (await readJournal(kept.layout, undefined)).gaps],
      [3, 0],
    )
    writeFileSync(path, whole.replace('"name":"2"', '"name":"9"'))
    const damaged = await readJournal(kept.layout, undefined)
    assert.deepEqual([damaged.transactions.length, damaged.gaps], [2, 1])
  })

  test('goes on behind a line that was torn', async (t) => {
    const kept = await openKept(t)
    await pushBlob(kept.registry, 'team/app', 'the repository is there')
    appendFileSync(currentJournalPath(kept.layout), '{"crc":12,"en')
    await push(kept, 'team/app', '2')
    const { transactions, gaps } = await readJournal(kept.layout, undefined)
    assert.deepEqual([transactions.length, gaps], [2, 1])
  })

  test('says nothing of what was rolled back', async (t) => {
    const kept = await openKept(t)
    await push(kept, 'team/app', '1')
    const before = readFileSync(currentJournalPath(kept.layout), 'utf8')
    const { id } = await getRepository(kept.registry, 'team/app')
    const failing = kept.database.write(async (tx) => {
      await deleteRepository(tx, id)
      throw new Error('no')
    })
    await assert.rejects(failing, /no/)
    assert.equal(readFileSync(currentJournalPath(kept.layout), 'utf8'), before)
    await push(kept, 'team/app', '2')
    assert.equal((await readJournal(kept.layout, undefined)).transactions.length, 3)
  })

  test('takes back the line of a transaction whose commit fails', async (t) => {
    const kept = await openKept(t)
    await push(kept, 'team/app', '1')
    const before = readFileSync(currentJournalPath(kept.layout), 'utf8')
    const failing = kept.database.write(async (tx) => {
      // Looked at only by the commit.
      await sql`pragma defer_foreign_keys = on`.execute(tx)
      await tx.insertInto('tag').values({ repository_id: 99, name: 'x', digest: 'x', since_ms: 1 }).execute()
    })
    await assert.rejects(failing, /FOREIGN KEY/)
    assert.equal(readFileSync(currentJournalPath(kept.layout), 'utf8'), before)
    await push(kept, 'team/app', '2')
    assert.equal((await readJournal(kept.layout, undefined)).gaps, 0)
  })

  test('that cannot be written keeps nobody from pushing, and tells of the gap when it can be again', async (t) => {
    const kept = await openKept(t)
    await push(kept, 'team/app', '1')
    const folder = dirname(currentJournalPath(kept.layout))
    rmSync(folder, { recursive: true })
    writeFileSync(folder, 'in the way')
    await push(kept, 'team/app', '2')
    rmSync(folder)
    await push(kept, 'team/app', '3')
    const { transactions, gaps } = await readJournal(kept.layout, undefined)
    assert.deepEqual([transactions.length, gaps], [1, 1])
  })

  test('costs what it does not keep nothing: a blob and its lease write no line', async (t) => {
    const kept = await openKept(t)
    await push(kept, 'team/app', '1')
    const before = readFileSync(currentJournalPath(kept.layout), 'utf8')
    await pushBlob(kept.registry, 'team/app', 'more')
    assert.equal(readFileSync(currentJournalPath(kept.layout), 'utf8'), before)
  })

  test('is one of all processes: each follows when another begins a new file', async (t) => {
    const kept = await openKept(t)
    const other = Database.open(kept.layout.database, new Journal(kept.layout))
    t.after(() => other.close())
    const registry = createRegistry({ ...kept.registry, database: other })
    await push(kept, 'team/app', '1')
    await pushImage(registry, { repository: 'team/app', tag: '2', layer: 'two' })
    await kept.snapshot()
    await pushImage(registry, { repository: 'team/app', tag: '3', layer: 'three' })
    await push(kept, 'team/app', '4')
    assert.deepEqual(await listJournal(kept.layout), [])
    assert.equal((await readJournal(kept.layout, undefined)).transactions.length, 2)
  })
})

suite('snapshots by the clock', () => {
  test('are a job of the primary, which says so in the log, and ends at once; where they are switched off none is taken', async (t) => {
    const log = new LogLines()
    const on = await startRegistry(t, { log: log.logger })
    const off = await startRegistry(t, { settings: { SNAPSHOTS_EVERY_HOURS: '0' } })
    const stops = [off, on].map(({ services }) => startJobs(services, { firstSnapshotAfterMs: 0 }))
    await log.find('tells of a snapshot', ({ msg }) => msg === 'a snapshot of the database was taken')
    for (const stop of stops) await stop()
    const taken = await Promise.all([on, off].map(({ data }) => listSnapshotFiles(dataLayout(data))))
    assert.deepEqual(
      taken.map(({ length }) => length),
      [1, 0],
    )
  })

  test('are taken when the last one is old enough, and so many are kept, with the journal that the oldest needs', async (t) => {
    const kept = await openKept(t)
    const rule = () => ({ nowMs: kept.now(), everyMs: 6 * hour, keep: 2 })
    const store = { database: kept.database, layout: kept.layout }
    for (const tag of ['1', '2', '3', '4']) {
      await push(kept, 'team/app', tag)
      assert.ok(await snapshotIfDue(store, rule()))
      kept.advance(6 * hour - 1)
      assert.equal(await snapshotIfDue(store, rule()), undefined)
      kept.advance(1)
    }
    const files = await listSnapshotFiles(kept.layout)
    assert.deepEqual(
      files.map(({ kind, journal }) => [kind, journal]),
      [
        ['scheduled', 3],
        ['scheduled', 4],
      ],
    )
    assert.deepEqual(await listJournal(kept.layout), [4])
    assert.ok(existsSync(finishedJournalPath(kept.layout, 4)))
    kept.advance(-100 * hour)
    assert.ok(await snapshotIfDue(store, rule()), 'a clock that was set back')
  })

  test('leave those before a migration alone, and a damaged database costs none', async (t) => {
    const kept = await openKept(t)
    await push(kept, 'team/app', '1')
    mkdirSync(kept.layout.snapshots)
    const other = `${kept.layout.snapshots}/schema-3-2026-11-24T22-57-01-250Z.db`
    writeFileSync(other, 'before a migration')
    writeFileSync(`${kept.layout.snapshots}/notes`, 'not ours')
    for (let count = 0; count < 3; count++) await kept.snapshot()
    const before = readdirSync(kept.layout.snapshots)
    assert.equal(before.length, 4)
    const sqlite = new Sqlite(kept.layout.database)
    sqlite.pragma('foreign_keys = off')
    sqlite.exec("insert into blob_link (repository_id, digest, linked_at_ms, namespace_id) values (99, 'x', 1, 0)")
    sqlite.close()
    await assert.rejects(kept.snapshot(), /the database is damaged: a row of blob_link refers to nothing/)
    assert.deepEqual(
      readdirSync(kept.layout.snapshots).filter((name) => name !== 'copying'),
      before,
    )
  })
})
