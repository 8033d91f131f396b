/**
 * Filled stores: as many rows as were asked for, and a registry that serves them like any others.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filledDigest, filledManifest, filledRepository, filledTag, fillStore, holderOf, type Filling } from '../../bench/fill.ts'
import { dataLayout } from '../../storage/layout.ts'
import { totalBlobs } from '../../storage/metadata/blobs.ts'
import { openSqlite } from '../../storage/metadata/database.ts'
import { Client, expectStatus, manifestType, sha256 } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const filling: Filling = { namespace: 'fill', repositories: 7, tagsPerRepository: 110, blobs: 1200 }

test('a store is filled with exactly the rows that were asked for, all of whose references hold', async (t) => {
  const folder = temporaryFolder(t)
  await fillStore(folder, filling)
  const sqlite = openSqlite(dataLayout(folder).database)
  t.after(() => sqlite.close())
  const count = (table: string): unknown => sqlite.prepare(`select count(*) from ${table}`).pluck().get()
  // The config and the layer of the one manifest come on top.
  assert.deepEqual(
    ['repository', 'manifest', 'tag', 'blob', 'blob_link', 'reference'].map((table) => [table, count(table)]),
    [
      ['repository', 7],
      ['manifest', 7],
      ['tag', 770],
      ['blob', 1202],
      ['blob_link', 1214],
      ['reference', 14],
    ],
  )
  assert.deepEqual(sqlite.pragma('foreign_key_check'), [])
  assert.deepEqual(sqlite.pragma('integrity_check'), [{ integrity_check: 'ok' }])
})

test('a filled store serves its manifests, tags, catalog and the presence of its blobs, and takes pushes', async (t) => {
  const folder = temporaryFolder(t)
  await fillStore(folder, filling)
  const registry = await startRegistry(t, { data: folder, settings: { ACCESS: 'open' } })
  const client = new Client(registry, undefined)
  const manifest = filledManifest(filling)
  const name = filledRepository(filling, 6)

  const pulled = await expectStatus(await client.call('GET', `/v2/${name}/manifests/${filledTag(109)}`), 200)
  assert.deepEqual(pulled.bytes, manifest)
  assert.equal(pulled.headers.get('Docker-Content-Digest'), sha256(manifest))

  const page = await expectStatus(await client.call('GET', `/v2/${name}/tags/list?n=5&last=${filledTag(50)}`), 200)
  assert.deepEqual(JSON.parse(page.bytes.toString()), { name, tags: [51, 52, 53, 54, 55].map(filledTag) })
  const catalog = await expectStatus(await client.call('GET', '/v2/_catalog'), 200)
  assert.deepEqual(JSON.parse(catalog.bytes.toString()), {
    repositories: [0, 1, 2, 3, 4, 5, 6].map((each) => filledRepository(filling, each)),
  })

  for (const index of [0, 171, 172, 1199]) {
    const holder = holderOf(filling, index)
    const path = (repository: number): string => `/v2/${filledRepository(filling, repository)}/blobs/${filledDigest(filling, index)}`
    await expectStatus(await client.call('HEAD', path(holder)), 200)
    await expectStatus(await client.call('HEAD', path((holder + 1) % filling.repositories)), 404)
  }
  const push = { body: manifest, headers: { 'Content-Type': manifestType } }
  await expectStatus(await client.call('PUT', `/v2/${name}/manifests/one-more`, push), 201)
  await client.pushImage(name, 'an-image')
})

test('filling again under another namespace adds to what is there', async (t) => {
  const folder = temporaryFolder(t)
  await fillStore(folder, { ...filling, blobs: 10 })
  await fillStore(folder, { namespace: 'more', repositories: 1, tagsPerRepository: 3, blobs: 10 })
  const { services } = await startRegistry(t, { data: folder })
  const { blobs } = await totalBlobs(services.registry.database.read)
  assert.equal(blobs, 2 * (10 + 2))
})
