/** The step that brings the collection: what was superfluous before it is looked at after it, and nothing that is needed goes. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { digestOf } from '../../oci/digest.ts'
import { Collector } from '../../registry/collect.ts'
import { blobPath } from '../../storage/layout.ts'
import { migrate, readMigrations } from '../../storage/metadata/migrate.ts'
import { blobFolder } from '../support/data-folder.ts'
import { openFloorOn } from '../support/registry-floor.ts'

const blobs = ['needed', 'of no manifest', 'of no repository', 'of an untagged manifest'] as const
const day = 86_400_000

test('blobs and manifests of before are collected by the rules, as if they had been queued all along', async (t) => {
  const layout = await blobFolder(t)
  await migrate(layout, 1, readMigrations().slice(0, 3))
  const old = new Sqlite(layout.database)
  old.exec("insert into repository (name, namespace, visibility, created_at_ms) values ('team/app', 'team', 'private', 1)")
  const digests = Object.fromEntries(blobs.map((content) => [content, digestOf('sha256', Buffer.from(content))]))
  for (const content of blobs) {
    const digest = digestOf('sha256', Buffer.from(content))
    old.prepare('insert into blob values (?, ?, 1, 1)').run(digest, content.length)
    if (content !== 'of no repository') old.prepare('insert into blob_link values (1, ?, 1)').run(digest)
    mkdirSync(layout.collected, { recursive: true })
    writeFileSync(blobPath(layout, digest), content)
  }
  const addManifest = old.prepare(
    "insert into manifest (repository_id, digest, media_type, size_bytes, pushed_at_ms, content) values (1, ?, 'a/b', 1, 1, x'00')",
  )
  for (const [manifest, content] of [
    ['tagged', 'needed'],
    ['untagged', 'of an untagged manifest'],
  ] as const) {
    addManifest.run(manifest)
    old.prepare("insert into reference values (1, ?, ?, 'layer')").run(manifest, digests[content])
  }
  old.exec("insert into tag (repository_id, name, digest, since_ms) values (1, 'latest', 'tagged', 1)")
  old.close()

  await migrate(layout, 2)
  const { registry, database } = openFloorOn(t, layout, { untaggedDays: 0, leaseMs: day })
  const left = async () => {
    const rows = await database.read.selectFrom('blob').select('digest').execute()
    return blobs.filter((content) => rows.some(({ digest }) => digest === digests[content]))
  }
  const round = async (untaggedDays: number) => {
    const rules = { ...registry.rules, untaggedDays }
    const collector = await Collector.open({ registry: { ...registry, rules }, monotonic: registry.clock, startMs: 0 })
    await collector.round(new AbortController().signal)
  }
  await round(0)
  assert.deepEqual(await left(), ['needed', 'of an untagged manifest'])
  await round(1)
  assert.deepEqual(await left(), ['needed'])
})
