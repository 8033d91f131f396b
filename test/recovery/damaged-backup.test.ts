/** Every kind of damage in a backup folder: verify finds it, and a restore refuses it without leaving anything behind. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import Sqlite from 'better-sqlite3'
import { verifyBackup } from '../../storage/recovery/verify-backup.ts'
import { blobPath } from '../../storage/layout.ts'
import { snapshotParts, type BackupFolder, type SnapshotParts } from '../../storage/recovery/backup-folder.ts'
import { openBackedUp, pushImage, type BackedUp } from '../support/backup.ts'
import { sha256Of } from '../support/metadata-rows.ts'

const layer = 'the bytes of a layer'

async function backedUp(t: TestContext): Promise<BackedUp & { readonly parts: SnapshotParts }> {
  const backed = await openBackedUp(t)
  await pushImage(backed.floor.registry, { repository: 'team/app', tag: '1', layer })
  const { snapshot } = await backed.backUp()
  return { ...backed, parts: snapshotParts(backed.folder, snapshot) }
}

interface Place {
  readonly folder: BackupFolder
  readonly parts: SnapshotParts
}

/** Changes one bit in the middle. */
function flip(path: string): void {
  const bytes = readFileSync(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

function change(path: string, sql: string): void {
  const sqlite = new Sqlite(path)
  sqlite.exec(sql)
  sqlite.close()
}

const keyOf = ({ parts }: Place) => join(parts.keys, readdirSync(parts.keys)[0] ?? 'none')
const blobOf = ({ folder }: Place) => blobPath(folder, sha256Of(layer))

const damages: Readonly<Record<string, { readonly harm: (place: Place) => void; readonly found: RegExp }>> = {
  'a bit of a blob': { harm: (place) => flip(blobOf(place)), found: /not the bytes of its digest/ },
  'the end of a blob': { harm: (place) => truncateSync(blobOf(place), 5), found: /not the bytes of its digest/ },
  'more at the end of a blob': { harm: (place) => writeFileSync(blobOf(place), `${layer}!`), found: /not the bytes of its digest/ },
  'an empty blob': { harm: (place) => truncateSync(blobOf(place), 0), found: /not the bytes of its digest/ },
  'a missing blob': { harm: (place) => rmSync(blobOf(place)), found: /missing/ },
  'a folder in place of a blob': {
    harm: (place) => {
      rmSync(blobOf(place))
      mkdirSync(blobOf(place))
    },
    found: /missing/,
  },
  'all blobs': { harm: ({ folder }) => rmSync(folder.blobs, { recursive: true }), found: /missing/ },
  'a bit of a key': { harm: (place) => flip(keyOf(place)), found: /not what was written/ },
  'a missing key': { harm: (place) => rmSync(keyOf(place)), found: /missing/ },
  'a bit of the database': { harm: ({ parts }) => flip(parts.database), found: /not what was written/ },
  'the end of the database': { harm: ({ parts }) => truncateSync(parts.database, 8192), found: /not what was written/ },
  'a missing database': { harm: ({ parts }) => rmSync(parts.database), found: /missing/ },
  'a row that somebody changed': {
    harm: ({ parts }) => change(parts.database, "update account set is_admin = 1; update repository set visibility = 'public'"),
    found: /not what was written/,
  },
  'a bit of the description': { harm: ({ parts }) => flip(parts.description), found: /missing or damaged/ },
  'a number in the description': {
    harm: ({ parts }) => writeFileSync(parts.description, readFileSync(parts.description, 'utf8').replace('"tags": 1', '"tags": 2')),
    found: /missing or damaged/,
  },
  'half of the description': { harm: ({ parts }) => truncateSync(parts.description, 40), found: /missing or damaged/ },
  'a missing description': { harm: ({ parts }) => rmSync(parts.description), found: /missing or damaged/ },
}

suite('damage to a backup', () => {
  test('there is none to find in one that is whole', async (t) => {
    const { folder } = await backedUp(t)
    const { faults, blobs, bytes, snapshots, superfluous } = await verifyBackup(folder)
    assert.deepEqual([faults, blobs, bytes, superfluous], [[], 2, layer.length + 2, 0])
    assert.deepEqual(
      snapshots.map(({ isWhole }) => isWhole),
      [true],
    )
  })

  for (const [name, { harm, found }] of Object.entries(damages))
    test(`${name}: verify finds it, and nothing is restored`, async (t) => {
      const { folder, parts, restore } = await backedUp(t)
      harm({ folder, parts })
      const { faults, snapshots } = await verifyBackup(folder)
      assert.ok(
        faults.some(({ what }) => found.test(what)),
        JSON.stringify(faults),
      )
      assert.deepEqual(
        snapshots.map(({ isWhole }) => isWhole),
        [false],
      )
      for (const { path, advice } of faults) assert.ok(path.startsWith(folder.root) && advice.length > 10, 'it says where and what to do')
      await assert.rejects(restore(), { name: 'Error' })
      assert.deepEqual(readdirSync(join(folder.root, '..')), ['backup'], 'nothing is left')
    })

  test('a key that somebody has added is found', async (t) => {
    const { folder, parts } = await backedUp(t)
    writeFileSync(join(parts.keys, 'mine.pem'), 'a key')
    assert.match((await verifyBackup(folder)).faults[0]?.what ?? '', /not of this backup/)
  })

  test('a blob that no snapshot needs is no damage', async (t) => {
    const { folder } = await backedUp(t)
    writeFileSync(blobPath(folder, sha256Of('other')), 'other')
    const { faults, superfluous } = await verifyBackup(folder)
    assert.deepEqual([faults, superfluous], [[], 1])
  })

  test('a damaged marker, a folder without one, and one without a backup are told apart', async (t) => {
    const { folder, parts } = await backedUp(t)
    rmSync(parts.root, { recursive: true })
    await assert.rejects(verifyBackup(folder), /holds no complete backup/)
    writeFileSync(folder.marker, 'x')
    await assert.rejects(verifyBackup(folder), /backup.json is damaged/)
    rmSync(folder.marker)
    await assert.rejects(verifyBackup(folder), /no backup folder/)
  })
})

suite('a restore', () => {
  test('of everything but a damaged blob is possible if that is wished', async (t) => {
    const { folder, parts, restore } = await backedUp(t)
    flip(blobOf({ folder, parts }))
    const { missing, layout, blobs } = await restore({ mayMiss: true })
    assert.deepEqual([missing, blobs], [[sha256Of(layer)], 1])
    assert.ok(existsSync(layout.database))
    assert.equal(existsSync(blobPath(layout, sha256Of(layer))), false)
  })

  test('of an earlier snapshot is possible when the newest is damaged', async (t) => {
    const { folder, parts, floor, backUp, restore } = await backedUp(t)
    await pushImage(floor.registry, { repository: 'team/app', tag: '2', layer: 'another' })
    const { snapshot } = await backUp()
    rmSync(snapshotParts(folder, snapshot).database)
    await assert.rejects(restore())
    const earlier = parts.root.split('/').at(-1)
    assert.equal((await restore({ snapshot: earlier })).description.tags, 1)
    await assert.rejects(restore({ snapshot: '2020-01-01T00-00-00-000Z' }), /holds no backup/)
  })

  test('writes only to an empty place', async (t) => {
    const { restore, floor } = await backedUp(t)
    const before = readdirSync(floor.layout.root)
    await assert.rejects(restore({ layout: floor.layout }), /not empty/)
    assert.deepEqual(readdirSync(floor.layout.root), before)
  })

  test('leaves an empty folder that was there empty when it fails', async (t) => {
    const { folder, parts, restore } = await backedUp(t)
    const { layout } = await restore()
    rmSync(layout.root, { recursive: true })
    mkdirSync(layout.root)
    rmSync(keyOf({ folder, parts }))
    await assert.rejects(restore({ layout }))
    assert.deepEqual(readdirSync(layout.root), [])
  })

  test('of a newer schema is refused', async (t) => {
    const { restore } = await backedUp(t)
    await assert.rejects(restore({ schema: 1 }), /newer version of Lanyard/)
  })
})
