/**
 * Many clients tag at once: no tag is lost, a tag that all want is one of theirs, and everything that was acknowledged can be
 * pulled.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Client, imageManifest, sha256 } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const repository = 'race/app'
const config = '{"architecture":"amd64","os":"linux"}'
const layer = 'a layer'

/** A registry with two workers whose repository has what the manifests reference. */
async function startWithLayers(
  t: Parameters<typeof startRegistry>[0],
): Promise<{ registry: TestRegistry; clientOf: (index: number) => Client }> {
  const registry = await startRegistry(t)
  const clients = [new Client(registry), new Client(await registry.startWorker())] as const
  for (const content of [config, layer]) await clients[0].pushBlob(repository, content)
  return { registry, clientOf: (index) => clients[index % 2 === 0 ? 0 : 1] }
}

/** Another manifest for every number. */
function manifestOf(index: number): string {
  return JSON.stringify(imageManifest(config, [layer], { annotations: { build: String(index) } }))
}

async function tagsOf(client: Client): Promise<string[]> {
  const answer = await client.call('GET', `/v2/${repository}/tags/list`)
  return (JSON.parse(answer.bytes.toString()) as { tags: string[] }).tags
}

async function assertPullable(client: Client, reference: string, text: string): Promise<void> {
  const answer = await client.call('GET', `/v2/${repository}/manifests/${reference}`)
  assert.equal(answer.status, 200)
  assert.equal(answer.bytes.toString(), text)
  assert.equal(answer.headers.get('Docker-Content-Digest'), sha256(text))
}

suite('clients that tag at once', () => {
  test('two hundred push distinct tags to one repository: all are there, each with its own manifest', async (t) => {
    const { clientOf } = await startWithLayers(t)
    const tags = Array.from({ length: 200 }, (_, index) => `build-${String(index).padStart(3, '0')}`)
    const answers = await Promise.all(tags.map((tag, index) => clientOf(index).putManifest(repository, tag, manifestOf(index))))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201])
    for (const index of [0, 1]) assert.deepEqual(await tagsOf(clientOf(index)), tags)
    await Promise.all(tags.map((tag, index) => assertPullable(clientOf(index + 1), tag, manifestOf(index))))
  })

  test('fifty push the same tag: it is one of theirs, and all fifty can be pulled by digest', async (t) => {
    const { registry, clientOf } = await startWithLayers(t)
    const texts = Array.from({ length: 50 }, (_, index) => manifestOf(index))
    const answers = await Promise.all(texts.map((text, index) => clientOf(index).putManifest(repository, 'latest', text)))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201])
    assert.deepEqual(await tagsOf(clientOf(0)), ['latest'])
    const digests = texts.map((text) => sha256(text))
    const seen = await Promise.all([0, 1].map((index) => clientOf(index).call('HEAD', `/v2/${repository}/manifests/latest`)))
    const current = seen.map((answer) => answer.headers.get('Docker-Content-Digest') ?? '')
    assert.equal(current[0], current[1], 'both workers see the same')
    assert.ok(digests.includes(current[0] ?? ''))
    await Promise.all(texts.map((text, index) => assertPullable(clientOf(index), sha256(text), text)))
    const history = await registry.services.registry.database.read.selectFrom('tag').select(['digest', 'until_ms']).execute()
    assert.deepEqual(history.map(({ digest }) => digest).toSorted(), digests.toSorted(), 'every change of the tag is in its history')
    assert.deepEqual(
      history.filter(({ until_ms }) => until_ms === null).map(({ digest }) => digest),
      [current[0]],
    )
  })

  test('some move a tag while others read it: every answer is the old manifest or a new one, whole', async (t) => {
    const { clientOf } = await startWithLayers(t)
    const texts = Array.from({ length: 30 }, (_, index) => manifestOf(index))
    assert.equal((await clientOf(0).putManifest(repository, 'latest', texts[0] ?? '')).status, 201)
    const moving = texts.map((text, index) => clientOf(index).putManifest(repository, 'latest', text))
    const reading = Array.from({ length: 100 }, async (_, index) => {
      const answer = await clientOf(index).call('GET', `/v2/${repository}/manifests/latest`)
      assert.equal(answer.status, 200)
      assert.ok(texts.includes(answer.bytes.toString()))
      assert.equal(answer.headers.get('Docker-Content-Digest'), sha256(answer.bytes))
    })
    for (const { status } of await Promise.all(moving)) assert.equal(status, 201)
    await Promise.all(reading)
  })

  test('the same manifest under the same tag, as a retried push sends it: all succeed and nothing is counted twice', async (t) => {
    const { registry, clientOf } = await startWithLayers(t)
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => clientOf(index).putManifest(repository, 'same', manifestOf(1))),
    )
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201])
    const { read } = registry.services.registry.database
    assert.equal((await read.selectFrom('tag').select('id').execute()).length, 1)
    assert.equal((await read.selectFrom('manifest').select('digest').execute()).length, 1)
  })
})
