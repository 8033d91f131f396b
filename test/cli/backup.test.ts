/** The commands of backups, as a person types them. */
import assert from 'node:assert/strict'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { snapshotIfDue } from '../../storage/recovery/snapshot-database.ts'
import { dataLayout } from '../../storage/layout.ts'
import { Client } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { runLanyard, startServer } from '../support/spawn-lanyard.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

interface Typed {
  readonly registry: TestRegistry
  readonly lanyard: CommandLine
  readonly place: string
  readonly folder: string
}

async function withImage(t: TestContext): Promise<Typed> {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('admin/app', '1.0')
  const place = temporaryFolder(t)
  return { registry, lanyard: commandLine(registry.data), place, folder: join(place, 'backup') }
}

suite('lanyard backup', () => {
  test('beside a server says what it did, lists, verifies and restores; the restored folder starts', async (t) => {
    const { lanyard, registry, place, folder } = await withImage(t)
    const said = await lanyard.does(`backup ${folder}`)
    assert.match(said, /^backed up to .* as \d{4}-.*Z: 1 repositories, 1 manifests, 1 tags\n/)
    assert.match(said, /blobs: 2 \(.*\) (?:copied|linked)|0 \(0 B\) copied, 2 \(.*\) linked/)
    assert.match(await lanyard.does(`backup list ${folder}`), /^SNAPSHOT .*\n\d{4}-\S+Z +1 +1 +1 +2 /)
    assert.match(
      await lanyard.does(`backup verify ${folder}`),
      /: whole\n2 blobs .* were read, 0 files are superfluous, 0 things are wrong\n$/,
    )
    const events = await registry.services.registry.database.read
      .selectFrom('audit_event')
      .select('target')
      .where('action', '=', 'backup')
      .execute()
    assert.deepEqual(events, [{ target: folder }])

    const data = join(place, 'restored')
    const restoring = commandLine(data)
    assert.match(await restoring.does(`restore ${folder}`), /^restored .* 1 repositories, 1 manifests, 1 tags, 2 blobs/)
    const server = await startServer(t, { data })
    const { status } = await new Client(server).call('GET', '/v2/admin/app/manifests/1.0')
    assert.equal(status, 200)
    assert.match(await restoring.refuses(`restore ${folder}`), /is not empty/)
  })

  test('as JSON tells the same', async (t) => {
    const { lanyard, place, folder } = await withImage(t)
    const made = JSON.parse(await lanyard.does(`backup ${folder} --copy --json`)) as { copied: { blobs: number }; snapshot: string }
    assert.equal(made.copied.blobs, 2)
    const [listed] = JSON.parse(await lanyard.does(`backup list ${folder} --json`)) as { snapshot: string }[]
    assert.equal(listed?.snapshot, made.snapshot)
    assert.deepEqual((JSON.parse(await lanyard.does(`backup verify ${folder} --json`)) as { faults: unknown[] }).faults, [])
    const restored = await commandLine(join(place, 'restored')).does(`restore ${folder} --snapshot ${made.snapshot} --json`)
    assert.deepEqual((JSON.parse(restored) as { missing: unknown[] }).missing, [])
  })

  test('keeps as many as it is told, and refuses nonsense', async (t) => {
    const { lanyard, folder } = await withImage(t)
    for (let count = 0; count < 3; count++) await lanyard.does(`backup ${folder} --keep 2`)
    assert.equal(readdirSync(join(folder, 'snapshots')).length, 2)
    assert.match(await lanyard.refuses(`backup ${folder} --keep 0`), /--keep is a whole number from 1 on/)
    assert.match(await lanyard.refuses(`backup verify ${folder}-not`), /is no backup folder/)
    assert.match(await commandLine(`${folder}-none`).refuses(`backup ${folder}`), /there is no registry in/)
  })

  test('with damage ends with status 1, and still does what can be done', async (t) => {
    const { registry, place, folder } = await withImage(t)
    const blobs = join(registry.data, 'blobs', 'sha256')
    const [file] = readdirSync(blobs, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
    assert.ok(file)
    writeFileSync(join(file.parentPath, file.name), 'x')
    const made = await runLanyard(['backup', folder], { settings: { DATA: registry.data } })
    assert.equal(made.status, 1)
    assert.match(made.stdout, new RegExp(`DAMAGED in the store, and in no backup: sha256:${file.name}`))
    const restored = await runLanyard(['restore', folder], { settings: { DATA: join(place, 'restored') } })
    assert.equal(restored.status, 1)
    assert.match(restored.stdout, new RegExp(`MISSING: sha256:${file.name}`))
    rmSync(join(folder, 'blobs'), { recursive: true })
    const verified = await runLanyard(['backup', 'verify', folder])
    assert.equal(verified.status, 1)
    assert.match(verified.stdout, /NOT WHOLE\n.*missing\. make a new backup/)
  })
})

suite('lanyard rebuild', () => {
  test('brings back what a server had, and that starts', async (t) => {
    const data = join(temporaryFolder(t), 'data')
    const server = await startRegistry(t, { data })
    const store = { database: server.services.registry.database, layout: dataLayout(data) }
    assert.ok(await snapshotIfDue(store, { nowMs: Date.now(), everyMs: 1, keep: 1 }))
    const { text } = await new Client(server).pushImage('admin/app', '1.0')
    await server.close()
    for (const part of ['', '-wal', '-shm']) rmSync(join(data, `lanyard.db${part}`), { force: true })
    const lanyard = commandLine(data)
    assert.match(await lanyard.refuses('user list'), /there is no registry in/)
    assert.match(
      await lanyard.does('rebuild'),
      /begun with .*\n\d+ changes were taken from the journal\nthere are 1 repositories, 1 manifests and 1 tags/,
    )
    assert.match(await lanyard.refuses('rebuild'), /nothing is wrong with the database/)
    const again = await startServer(t, { data })
    const answer = await new Client(again).call('GET', '/v2/admin/app/manifests/1.0')
    assert.deepEqual([answer.status, answer.bytes.toString()], [200, text])
    assert.match(await lanyard.refuses('rebuild --force'), /is in use by process/)
  })
})
