/**
 * Many clients push the same blob at once, as the jobs of a build do with a new base layer: every push succeeds, the bytes are
 * kept once.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { basic, Client, sha256, sha512 } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoUploads, blobFilesOf } from '../support/store-contents.ts'
import { Upload } from '../support/upload.ts'

const content = Buffer.alloc(300_000, 'a base layer that everybody pushes')
const digest = sha256(content)
const ways: readonly ((client: Client, repository: string) => Promise<number>)[] = [
  async (client, repository) => (await client.call('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: content })).status,
  async (client, repository) => (await (await Upload.start(client, repository)).finish(digest, { body: content })).status,
  async (client, repository) => {
    const upload = await Upload.start(client, repository)
    await upload.stream(content)
    return (await upload.finish(digest)).status
  },
  async (client, repository) => {
    const upload = await Upload.start(client, repository)
    await upload.chunk(content.subarray(0, 100_000), 0)
    return (await upload.finish(digest, { body: content.subarray(100_000) })).status
  },
]

suite('fifty clients push one new blob', () => {
  const spreads: readonly (readonly [what: string, repositoryOf: (index: number) => string])[] = [
    ['into fifty repositories', (index) => `team/app-${index}`],
    ['into one repository', () => 'team/app'],
  ]
  for (const [what, repositoryOf] of spreads) {
    test(`${what}: all get 201, and there is one file`, async (t) => {
      const registry = await startRegistry(t)
      const clients = [new Client(registry), new Client(await registry.startWorker())] as const
      const pushes = Array.from({ length: 50 }, (_, index) => {
        const push = ways[index % ways.length] ?? assert.fail('there are four')
        return push(clients[index % 2 === 0 ? 0 : 1], repositoryOf(index))
      })
      assert.deepEqual([...new Set(await Promise.all(pushes))], [201])
      assert.deepEqual(await blobFilesOf(registry), [digest.slice('sha256:'.length)])
      for (const repository of new Set(Array.from({ length: 50 }, (_, index) => repositoryOf(index)))) {
        await assertBlob(registry, repository, content)
      }
      await assertNoUploads(registry)
      const total = await registry.services.registry.database.read.selectFrom('blob_total').selectAll().executeTakeFirstOrThrow()
      assert.deepEqual({ blobs: total.blobs, bytes: total.bytes }, { blobs: 1, bytes: content.length })
    })
  }

  test('while others mount it, read it and push it under another algorithm: nobody sees anything but it or nothing', async (t) => {
    const registry = await startRegistry(t)
    await registry.addUser('alice')
    const admin = new Client(registry)
    const alice = new Client(registry, basic('alice'))
    const work = Array.from({ length: 60 }, async (_, index): Promise<void> => {
      const repository = `alice/app-${index % 6}`
      if (index % 4 === 0) return assert.equal(await ways[1]?.(admin, repository), 201)
      if (index % 4 === 1) {
        const mounted = await alice.call('POST', `/v2/alice/other-${index}/blobs/uploads/?mount=${digest}&from=${repository}`)
        return assert.ok([201, 202].includes(mounted.status))
      }
      if (index % 4 === 2) {
        const answer = await (await Upload.start(alice, repository)).finish(sha512(content), { body: content })
        return assert.equal(answer.status, 201)
      }
      const got = await alice.call('GET', `/v2/${repository}/blobs/${digest}`)
      return assert.ok(got.status === 404 || got.bytes.equals(content), String(got.status))
    })
    await Promise.all(work)
    assert.equal((await blobFilesOf(registry)).length, 2)
    for (const index of [0, 2, 4]) await assertBlob(registry, `alice/app-${index}`, content)
  })
})
