/**
 * The floor does the work that it is compared by: it takes uploads only with the right digest and gives back the same bytes.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { RegistryClient, sha256, withDigest } from '../../bench/client.ts'
import { floorTarget } from '../../bench/own-targets.ts'
import { Processes } from '../../bench/processes.ts'
import { pushSampleImage } from '../../bench/sample-image.ts'
import { Server } from '../../bench/server.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

/** @returns makes clients; each has a connection of its own, and connections go to the floor's processes in turn. */
async function startFloor(t: Cleanup): Promise<() => RegistryClient> {
  const processes = new Processes()
  t.after(() => processes.endAll())
  const server = await Server.start(processes, { target: floorTarget, access: 'open', folder: `${temporaryFolder(t)}/floor` })
  return () => {
    const client = new RegistryClient({ port: server.port })
    t.after(() => client.close())
    return client
  }
}

const sizes = [1, 10 * 1024, 1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024 + 17]

test('what is uploaded in one PUT or in PATCH and PUT comes back as it was, through any of its processes', async (t) => {
  const connect = await startFloor(t)
  const [client, other] = [connect(), connect()]
  for (const size of sizes) {
    const [whole, patched] = [randomBytes(size), randomBytes(size)]
    await client.pushBlob('a/b', whole)
    const { headers } = await client.expect(202, { method: 'PATCH', path: await client.startUpload('a/b'), body: patched })
    await other.expect(201, { method: 'PUT', path: withDigest(headers.location ?? '', sha256(patched)) })
    for (const content of [whole, patched]) {
      const path = `/v2/a/b/blobs/${sha256(content)}`
      assert.equal((await client.expect(200, { method: 'HEAD', path })).headers['content-length'], String(size))
      assert.deepEqual((await other.expect(200, { method: 'GET', path })).bytes, content)
    }
  }
})

test('bytes of another digest are refused', async (t) => {
  const client = (await startFloor(t))()
  const path = withDigest(await client.startUpload('a/b'), sha256(Buffer.from('other bytes')))
  await client.expect(400, { method: 'PUT', path, body: Buffer.from('bytes') })
})

test('the manifest that was pushed first is served under every tag', async (t) => {
  const connect = await startFloor(t)
  const [client, other] = [connect(), connect()]
  const image = await pushSampleImage(client)
  await other.putManifest(image.repository, 'another', Buffer.from('{}'))
  for (const each of [client, other]) {
    const { bytes, headers } = await each.expect(200, { method: 'GET', path: `/v2/${image.repository}/manifests/another` })
    assert.deepEqual(bytes, image.manifest)
    assert.equal(headers['docker-content-digest'], image.manifestDigest)
  }
})
