/**
 * What the recorded clients do, step by step, and what each step makes true: the same list for the recording and for whoever repeats a
 * step that a power cut has interrupted. Every step can be repeated.
 */
import Sqlite from 'better-sqlite3'
import { digestOf } from '../../../oci/digest.ts'
import { recoverCollected } from '../../../registry/collect-blobs.ts'
import { Collector } from '../../../registry/collect.ts'
import { dataLayout } from '../../../storage/layout.ts'
import { deleteBlobRow } from '../../../storage/metadata/reviews.ts'
import { expectStatus, imageManifest, sha256, type Answer, type Client } from '../../support/client.ts'
import type { TestRegistry } from '../../support/start-registry.ts'
import { Upload } from '../../support/upload.ts'

export interface Stage {
  readonly registry: TestRegistry
  readonly client: Client
}

/**
 * What is so: a tag's digest, or whether a manifest or a blob is there; `any` where nothing was promised. Keys are
 * `repository tag NAME`, `repository manifest DIGEST` and `repository blob DIGEST`.
 */
export type Facts = Readonly<Record<string, string>>

export interface Step {
  readonly name: string
  readonly makes: Facts
  readonly run: (stage: Stage) => Promise<unknown>
}

interface Image {
  readonly repository: string
  readonly contents: readonly string[]
  readonly text: string
  readonly digest: string
}

const app = 'team/app'
const dayMs = 86_400_000

function imageOf(repository: string, name: string, layerBytes = 100): Image {
  const config = JSON.stringify({ architecture: 'amd64', os: 'linux', name })
  const layers = [`${name} `.repeat(Math.ceil(layerBytes / (name.length + 1))), `${name} on top`]
  const text = JSON.stringify(imageManifest(config, layers))
  return { repository, contents: [config, ...layers], text, digest: sha256(text) }
}

const first = imageOf(app, 'first', 10_000)
const second = imageOf(app, 'second')
const doomed = imageOf(app, 'doomed')
const lonely = 'a blob that nothing references'

function uploadBlob(repository: string, content: string): Step {
  return {
    name: 'blob in one piece',
    makes: { [`${repository} blob ${sha256(content)}`]: 'there' },
    run: ({ client }) => client.pushBlob(repository, content),
  }
}

function uploadChunks(repository: string, content: string): Step {
  const half = Math.floor(content.length / 2)
  return {
    name: 'blob in chunks',
    makes: { [`${repository} blob ${sha256(content)}`]: 'there' },
    run: async ({ client }) => {
      const upload = await Upload.start(client, repository)
      await expectStatus(await upload.chunk(content.slice(0, half), 0), 202)
      await expectStatus(await upload.chunk(content.slice(half), half), 202)
      await expectStatus(await upload.finish(sha256(content)), 201)
    },
  }
}

function putManifest(image: Image, tag: string, name = 'manifest'): Step {
  const { repository, text, digest } = image
  return {
    name,
    makes: { [`${repository} manifest ${digest}`]: 'there', [`${repository} tag ${tag}`]: digest },
    run: async ({ client }) => expectStatus(await client.putManifest(repository, tag, text), 201),
  }
}

function pushImage(image: Image, tag: string): Step[][] {
  return [...image.contents.map((content) => [uploadBlob(image.repository, content)]), [putManifest(image, tag)]]
}

/** As one step, so that several can run beside each other. */
function pushWhole(image: Image, tag: string): Step {
  const steps = pushImage(image, tag).flat()
  return {
    name: 'image beside others',
    makes: Object.assign({}, ...steps.map(({ makes }) => makes)) as Facts,
    run: async (stage) => {
      for (const step of steps) await step.run(stage)
    },
  }
}

function deleteAt(path: string, { name, makes }: { name: string; makes: Facts }): Step {
  return { name, makes, run: async ({ client }) => expectGone(await client.call('DELETE', `/v2/${app}/${path}`)) }
}

/** A repetition finds nothing any more. */
function expectGone(answer: Answer): void {
  if (answer.status !== 202 && answer.status !== 404) throw new Error(`a deletion was answered with ${answer.status}`)
}

const deleteDoomed = (): Step =>
  deleteAt(`manifests/${doomed.digest}`, {
    name: 'manifest deletion',
    makes: { [`${app} manifest ${doomed.digest}`]: 'gone', [`${app} tag doomed`]: 'gone' },
  })

const restoreDoomed: Step = {
  name: 'restoring',
  makes: { [`${app} manifest ${doomed.digest}`]: 'there', [`${app} tag doomed`]: doomed.digest },
  run: async ({ client }) => {
    const page = await expectStatus(await client.call('GET', `/api/v1/repositories/${encodeURIComponent(app)}/trash`), 200)
    const { items } = JSON.parse(page.bytes.toString('utf8')) as { items: { id: number; digest: string }[] }
    const item = items.find(({ digest }) => digest === doomed.digest)
    // Restored already.
    if (item) await expectStatus(await client.call('POST', `/api/v1/trash/${item.id}/restore`), 200)
  },
}

const collection: Step = {
  name: 'collection',
  makes: {
    ...Object.fromEntries(doomed.contents.map((content) => [`${app} blob ${sha256(content)}`, 'any'])),
    [`${app} blob ${sha256(lonely)}`]: 'any',
  },
  run: async ({ registry }) => {
    registry.advance(9 * dayMs)
    const parts = { registry: registry.services.registry, startMs: 0, monotonic: () => performance.now() }
    const collector = await Collector.open(parts)
    return collector.round(AbortSignal.timeout(60_000))
  },
}

const abandoned = 'a blob whose collector is killed'

const deleteAbandoned: Step = {
  name: 'blob deletion',
  makes: { [`${app} blob ${sha256(abandoned)}`]: 'gone' },
  run: async ({ client }) => expectGone(await client.call('DELETE', `/v2/${app}/blobs/${sha256(abandoned)}`)),
}

/** The next one clears up after it, while its commit is not on the disk yet. */
export const collectorDeath: Step = {
  name: 'collector killed after its commit',
  makes: {},
  run: async ({ registry }) => {
    const { registry: parts } = registry.services
    const digest = digestOf('sha256', Buffer.from(abandoned))
    await parts.database.writeRelaxed(async (tx) => {
      await deleteBlobRow.run(tx, { digest })
      await parts.blobs.collected.takeAway(digest, parts.newId())
    })
    await recoverCollected(parts)
  },
}

/** Folds the log into the database; what is committed next is written over the log's beginning. */
const checkpoint: Step = {
  name: 'checkpoint',
  makes: {},
  run: async ({ registry }) => {
    const sqlite = new Sqlite(dataLayout(registry.data).database, { timeout: 10_000 })
    sqlite.pragma('wal_checkpoint(restart)')
    sqlite.close()
  },
}

/** Groups of steps, one after the other; the steps of a group run at the same time. */
export const story: readonly (readonly Step[])[] = [
  [uploadBlob(app, lonely)],
  [uploadChunks(app, first.contents[1] ?? '')],
  ...pushImage(first, 'latest'),
  ...pushImage(second, 'other'),
  [putManifest(second, 'latest', 'tag overwritten')],
  ...pushImage(doomed, 'doomed'),
  [deleteAt('manifests/other', { name: 'tag deletion', makes: { [`${app} tag other`]: 'gone' } })],
  [deleteDoomed()],
  [restoreDoomed],
  [['one', 'two', 'three'].map((name) => pushWhole(imageOf(`team/${name}`, name), 'latest'))].flat(),
  [uploadBlob(app, abandoned)],
  [deleteAbandoned],
  [collectorDeath],
  [checkpoint],
  ...pushImage(imageOf(app, 'later'), 'later'),
  [deleteDoomed()],
  [collection],
  ...pushImage(doomed, 'doomed'),
]
