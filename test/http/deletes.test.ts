/** DELETE of tags, manifests and blobs: what goes, what stays, that it is so at once, and that it can be switched off. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client, descriptorOf, emptyDigest, expectStatus, indexType, sha256 } from '../support/client.ts'
import { codeOf, rawRequest } from '../support/raw-request.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const absent = `sha256:${'0'.repeat(64)}`
const index = '{"schemaVersion":2,"manifests":[]}'

const del = (path: string, status = 202, code?: string): Row => ({
  rule: `DELETE ${path} is ${status}`,
  method: 'DELETE',
  path,
  status,
  ...(code === undefined ? { content: '', gives: { 'Content-Length': '0', 'Content-Type': null } } : { code }),
})
const gone = (path: string, code: string): Row => ({ rule: `GET ${path} is 404`, path, status: 404, code })
const here = (path: string): Row => ({ rule: `GET ${path} is 200`, path, status: 200 })

test('deleting', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  /** Runs rows in their order, as the steps of one test. */
  const steps = async (...rows: readonly Row[]): Promise<void> => {
    for (const row of rows) await checkRow(registry, row)
  }

  await t.test('a tag takes the tag alone', async () => {
    const { digest } = await client.pushImage('team/tag', 'v1')
    await expectStatus(await client.call('PUT', '/v2/team/tag/manifests/v2', { body: index, headers: { 'Content-Type': indexType } }), 201)
    const at = '/v2/team/tag/manifests'
    await steps(del(`${at}/v1`), gone(`${at}/v1`, 'MANIFEST_UNKNOWN'), here(`${at}/${digest}`), here(`${at}/v2`))
    await steps(del(`${at}/v1`, 404, 'MANIFEST_UNKNOWN'))
  })

  await t.test('a manifest takes it and every tag on it, and no other', async () => {
    const { digest, text } = await client.pushImage('team/manifest', 'v1')
    for (const tag of ['v2', 'latest']) await expectStatus(await client.putManifest('team/manifest', tag, text), 201)
    await expectStatus(await client.putManifest('team/manifest', 'other', index), 201)
    const at = '/v2/team/manifest/manifests'
    await steps(del(`${at}/${digest}`))
    for (const reference of [digest, 'v1', 'v2', 'latest']) await steps(gone(`${at}/${reference}`, 'MANIFEST_UNKNOWN'))
    await steps(here(`${at}/other`), del(`${at}/${digest}`, 404, 'MANIFEST_UNKNOWN'))
    await checkRow(registry, {
      rule: '',
      path: '/v2/team/manifest/tags/list',
      status: 200,
      json: { name: 'team/manifest', tags: ['other'] },
    })
  })

  await t.test('a blob takes this repository’s link, and leaves the blob to others', async () => {
    for (const name of ['team/blob', 'team/other']) await client.pushBlob(name, 'shared')
    const path = `/v2/team/blob/blobs/${sha256('shared')}`
    await steps(del(path), gone(path, 'BLOB_UNKNOWN'), here(`/v2/team/other/blobs/${sha256('shared')}`), del(path, 404, 'BLOB_UNKNOWN'))
    await client.pushBlob('team/blob', 'shared')
    await steps(here(path))
  })

  await t.test('a blob that a manifest uses is refused until the manifest is gone', async () => {
    const image = await client.pushImage('team/used', 'v1')
    for (const digest of [image.config, ...image.layers]) await steps(del(`/v2/team/used/blobs/${digest}`, 405, 'UNSUPPORTED'))
    await steps(here(`/v2/team/used/blobs/${image.config}`), del('/v2/team/used/manifests/v1'))
    // Without its tag the manifest still needs them.
    await steps(del(`/v2/team/used/blobs/${image.config}`, 405, 'UNSUPPORTED'), del(`/v2/team/used/manifests/${image.digest}`))
    for (const digest of [image.config, ...image.layers])
      await steps(del(`/v2/team/used/blobs/${digest}`), gone(`/v2/team/used/blobs/${digest}`, 'BLOB_UNKNOWN'))
  })

  await t.test('a blob that two manifests use needs both to go', async () => {
    const first = await client.pushImage('team/both', 'v1', ['one', 'two'])
    const second = await client.pushImage('team/both', 'v2', ['one', 'three'])
    const shared = `/v2/team/both/blobs/${sha256('one')}`
    await steps(del(`/v2/team/both/manifests/${first.digest}`), del(shared, 405, 'UNSUPPORTED'))
    await steps(del(`/v2/team/both/manifests/${second.digest}`), del(shared))
  })

  await t.test('a blob that only another repository’s manifest uses may go', async () => {
    const image = await client.pushImage('team/elsewhere', 'v1', ['a layer of two'])
    await client.pushBlob('team/free', 'a layer of two')
    await steps(del(`/v2/team/free/blobs/${sha256('a layer of two')}`), here(`/v2/team/elsewhere/blobs/${image.layers[0]}`))
  })

  await t.test('a manifest that an index lists may go', async () => {
    await expectStatus(await client.putManifest('team/listed', 'child', index), 201)
    const parent = JSON.stringify({ schemaVersion: 2, manifests: [descriptorOf(index, indexType)] })
    await expectStatus(await client.putManifest('team/listed', 'parent', parent), 201)
    await steps(del(`/v2/team/listed/manifests/${sha256(index)}`), here('/v2/team/listed/manifests/parent'))
  })

  await t.test('what was deleted is pushed again and is there again', async () => {
    const push = async (): Promise<string> => (await client.pushImage('team/again', 'v1')).digest
    const digest = await push()
    for (let time = 0; time < 3; time++) {
      await steps(del(`/v2/team/again/manifests/${digest}`), gone('/v2/team/again/manifests/v1', 'MANIFEST_UNKNOWN'))
      await push()
      await steps(here('/v2/team/again/manifests/v1'), here(`/v2/team/again/manifests/${digest}`))
    }
  })

  await t.test('the empty blob is deleted like any other', async () => {
    await client.pushBlob('team/empty', '')
    await steps(del(`/v2/team/empty/blobs/${emptyDigest}`), gone(`/v2/team/empty/blobs/${emptyDigest}`, 'BLOB_UNKNOWN'))
  })

  await client.pushImage('team/app', 'v1')
  await runTable(t, registry, [
    del('/v2/team/app/manifests/none', 404, 'MANIFEST_UNKNOWN'),
    del(`/v2/team/app/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN'),
    del(`/v2/team/app/blobs/${absent}`, 404, 'BLOB_UNKNOWN'),
    del('/v2/team/none/manifests/v1', 404, 'NAME_UNKNOWN'),
    del(`/v2/team/none/manifests/${absent}`, 404, 'NAME_UNKNOWN'),
    del(`/v2/team/none/blobs/${absent}`, 404, 'BLOB_UNKNOWN'),
    del('/v2/team/app/manifests/.x', 400, 'NAME_INVALID'),
    del('/v2/team/app/manifests/sha256:0', 400, 'DIGEST_INVALID'),
    del('/v2/team/app/tags/list', 405, 'UNSUPPORTED'),
    del(`/v2/team/app/referrers/${absent}`, 405, 'UNSUPPORTED'),
    del('/v2/_catalog', 405, 'UNSUPPORTED'),
    del('/v2/', 405, 'UNSUPPORTED'),
  ])

  await t.test('is for those who may: nobody, a stranger and the owner', async () => {
    for (const name of ['owner', 'stranger']) await registry.addUser(name)
    const { config, digest } = await new Client(registry, basic('owner')).pushImage('owner/app', 'v1')
    await registry.setVisibility('owner/app', 'public')
    for (const path of ['/v2/owner/app/manifests/v1', `/v2/owner/app/manifests/${digest}`, `/v2/owner/app/blobs/${config}`]) {
      await checkRow(registry, { ...del(path, 401, 'UNAUTHORIZED'), as: null })
      await checkRow(registry, { ...del(path, 403, 'DENIED'), as: basic('stranger') })
    }
    await checkRow(registry, { ...del(`/v2/owner/app/manifests/${digest}`), as: basic('owner') })
  })
})

const countOf = (answers: readonly { status: number }[], status: number): number =>
  answers.filter((answer) => answer.status === status).length

test('many deletes at once: one of them finds it', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  for (const reference of ['v1', sha256(index)]) {
    await expectStatus(await client.putManifest('team/app', 'v1', index), 201)
    const answers = await Promise.all(Array.from({ length: 10 }, () => client.call('DELETE', `/v2/team/app/manifests/${reference}`)))
    assert.deepEqual([countOf(answers, 202), countOf(answers, 404)], [1, 9])
  }
  await client.pushBlob('team/app', 'a blob')
  const answers = await Promise.all(Array.from({ length: 10 }, () => client.call('DELETE', `/v2/team/app/blobs/${sha256('a blob')}`)))
  assert.deepEqual([countOf(answers, 202), countOf(answers, 404)], [1, 9])
})

test('with delete.enabled = false nothing can be deleted', async (t) => {
  const registry = await startRegistry(t, { settings: { DELETE_ENABLED: 'false' } })
  const client = new Client(registry)
  const { digest, config, layers } = await client.pushImage('team/app', 'v1')
  await client.pushBlob('team/app', 'of no manifest')
  const refused = [
    '/v2/team/app/manifests/v1',
    `/v2/team/app/manifests/${digest}`,
    `/v2/team/app/blobs/${config}`,
    `/v2/team/app/blobs/${layers[0]}`,
    `/v2/team/app/blobs/${sha256('of no manifest')}`,
    '/v2/team/app/manifests/none',
    `/v2/team/app/manifests/${absent}`,
    `/v2/team/app/blobs/${absent}`,
    '/v2/team/none/manifests/v1',
    `/v2/team/none/blobs/${absent}`,
  ]
  await runTable(
    t,
    registry,
    refused.map((path) => del(path, 405, 'UNSUPPORTED')),
  )

  await t.test('nothing is gone', async () => {
    for (const path of refused.slice(0, 5)) await checkRow(registry, here(path))
    await checkRow(registry, { rule: '', path: '/v2/team/app/tags/list', status: 200, json: { name: 'team/app', tags: ['v1'] } })
  })

  await t.test('an upload can still be cancelled, which needs no more than push', async () => {
    const location = await client.startUpload('team/app')
    const answer = await rawRequest(registry.port, { method: 'DELETE', path: location, headers: [`Authorization: ${basic('admin')}`] })
    assert.equal(answer.status, 204)
  })

  await t.test('a tag can still be moved', async () => {
    await expectStatus(await client.putManifest('team/app', 'v1', index), 201)
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/v1', status: 200, content: index })
  })

  await t.test('who may not delete is told that, not that nobody can', async () => {
    await registry.addUser('stranger')
    await checkRow(registry, { ...del('/v2/team/app/manifests/v1', 403, 'DENIED'), as: basic('stranger') })
    assert.equal(codeOf(await rawRequest(registry.port, { method: 'DELETE', path: '/v2/team/app/manifests/v1' })), 'UNAUTHORIZED')
  })
})
