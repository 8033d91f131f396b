/**
 * Backups of a server under full load, by the command, restored elsewhere and compared: everything that was acknowledged before the
 * backup began is there, byte for byte, and nothing dangles. `BACKUP_ROUNDS=100` runs more than the usual five.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { restoreBackup } from '../../storage/recovery/restore-backup.ts'
import { verifyBackup } from '../../storage/recovery/verify-backup.ts'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'
import { readMigrations } from '../../storage/metadata/migrate.ts'
import { backupFolder } from '../../storage/recovery/backup-folder.ts'
import { fsck } from '../faults/fsck.ts'
import { basic, Client, type PushedImage } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { runLanyard, startServer, type LanyardServer } from '../support/spawn-lanyard.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const rounds = Number(process.env['BACKUP_ROUNDS'] ?? 5)
const clients = 4

/** An image that a client was told is there. */
interface Acknowledged {
  readonly repository: string
  readonly tag: string
  readonly image: PushedImage
  /** Its deletion was asked for: from then on it may be there or not. */
  isDoomed: boolean
}

/** Pushes images, and deletes some, until it is told to stop. */
class Load {
  readonly acknowledged: Acknowledged[] = []
  deleted = 0
  #isStopping = false
  #gate = Promise.withResolvers<void>()
  readonly #server: LanyardServer
  readonly #running: Promise<unknown>

  constructor(server: LanyardServer) {
    this.#server = server
    this.#gate.resolve()
    this.#running = Promise.all(Array.from({ length: clients }, (_, index) => this.#run(index)))
  }

  /** What must be in a backup that begins now. */
  certain(): Acknowledged[] {
    return this.acknowledged.filter(({ isDoomed }) => !isDoomed)
  }

  /** While what came of a backup is looked at: a store that grows meanwhile would only make the next look longer. */
  pause(): void {
    this.#gate = Promise.withResolvers()
  }

  resume(): void {
    this.#gate.resolve()
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    this.resume()
    await this.#running
  }

  async #run(index: number): Promise<void> {
    const client = new Client(this.#server)
    const repository = `load/client-${index}`
    for (let count = 0; !this.#isStopping; count++) {
      await this.#gate.promise
      const tag = `v${count}`
      // Large enough that copying takes a while; shared with the one before, so that deletions do not free everything.
      const layers = [`${repository} ${count} ${'x'.repeat(20_000)}`, `${repository} ${count >> 1} shared`]
      // A lease of seconds may be over before a slow machine has pushed the manifest: then nothing was acknowledged.
      const image = await client.pushImage(repository, tag, layers).catch(() => undefined)
      if (image) this.acknowledged.push({ repository, tag, image, isDoomed: false })
      if (count % 3 === 2) await this.#deleteNewest(client, repository)
    }
  }

  async #deleteNewest(client: Client, repository: string): Promise<void> {
    const newest = this.acknowledged.findLast((each) => each.repository === repository && !each.isDoomed)
    if (!newest) return
    newest.isDoomed = true
    const { status } = await client.call('DELETE', `/v2/${repository}/manifests/${newest.image.digest}`)
    assert.equal(status, 202)
    this.deleted++
  }
}

/** Fails unless the folder holds the image with every byte of its manifest, its tag, and links to its blobs, which fsck has read. */
function assertHas(layout: DataLayout, images: readonly Acknowledged[]): void {
  const sqlite = new Sqlite(layout.database, { readonly: true })
  try {
    const content = sqlite
      .prepare<[string, string], Buffer>(
        'select content from manifest join repository on repository.id = repository_id where name = ? and digest = ?',
      )
      .pluck()
    const tagged = sqlite
      .prepare<[string, string], string>(
        'select digest from tag join repository on repository.id = repository_id where repository.name = ? and tag.name = ? and until_ms is null',
      )
      .pluck()
    const linked = sqlite
      .prepare<[string, string], number>(
        'select 1 from blob_link join repository on repository.id = repository_id where name = ? and digest = ?',
      )
      .pluck()
    for (const { repository, tag, image } of images) {
      assert.equal(content.get(repository, image.digest)?.toString(), image.text, `${repository}:${tag}`)
      assert.equal(tagged.get(repository, tag), image.digest)
      for (const digest of [image.config, ...image.layers]) assert.equal(linked.get(repository, digest), 1, `${repository} has ${digest}`)
    }
  } finally {
    sqlite.close()
  }
}

suite('a backup under load', () => {
  test(`has everything that was acknowledged before it began, in ${rounds} of ${rounds} rounds, and the last one starts`, async (t) => {
    // A lease of seconds, so that the collector works all the time; what is deleted goes at once.
    const settings = { WORKERS: '2', GC_LEASE_HOURS: '0.001', TRASH_DAYS: '0', AUTH_BCRYPT_COST: '4', STORAGE_RESERVE_BYTES: '0' }
    const server = await startServer(t, { settings })
    const place = temporaryFolder(t)
    const folder = backupFolder(join(place, 'backup'))
    const load = new Load(server)
    await eventually(() => load.deleted >= clients, 'a deletion by each client')
    let during = 0
    let last: { layout: DataLayout; images: Acknowledged[] } | undefined
    for (let round = 0; round < rounds; round++) {
      load.resume()
      const some = load.acknowledged.length + 2 * clients
      await eventually(() => load.acknowledged.length >= some, 'the load to be under way')
      const before = load.certain()
      const pushed = load.acknowledged.length
      const { status, stderr } = await runLanyard(['backup', folder.root, '--keep', '2', '--json'], { settings: { DATA: server.data } })
      assert.deepEqual([status, stderr], [0, ''])
      load.pause()
      during += load.acknowledged.length - pushed
      const images = before.filter(({ isDoomed }) => !isDoomed)
      assert.ok(images.length > 0)
      assert.deepEqual((await verifyBackup(folder)).faults, [])
      const layout = dataLayout(join(place, `restored-${round}`))
      const { missing } = await restoreBackup({ folder, layout, snapshot: undefined, mayMiss: false, schema: readMigrations().length })
      assert.deepEqual(missing, [])
      assert.deepEqual((await fsck(layout, 'bytes')).dangling, [])
      assertHas(layout, images)
      last = { layout, images }
    }
    await load.stop()
    assert.ok(during > 0, 'pushes went on meanwhile')
    assert.ok(load.deleted > 0)
    assert.match(server.stdout(), /what nothing needed was removed/, 'the collector worked')
    assert.equal(await server.stop(), 0)

    const restored = await startServer(t, { data: last?.layout.root ?? '', settings })
    const client = new Client(restored, basic('admin'))
    const newest = last?.images.at(-1)
    assert.ok(newest)
    const answer = await client.call('GET', `/v2/${newest.repository}/manifests/${newest.tag}`)
    assert.deepEqual([answer.status, answer.bytes.toString()], [200, newest.image.text])
    const layer = await client.call('GET', `/v2/${newest.repository}/blobs/${newest.image.layers[0]}`)
    assert.deepEqual([layer.status, layer.bytes.length > 20_000], [200, true])
  })
})
