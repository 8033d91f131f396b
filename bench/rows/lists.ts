/**
 * Lists of names: all tags of a repository, one page of them, the catalog page by page.
 */
import { setupClient, type RegistryClient } from '../client.ts'
import { forEachAtOnce, repeatFor } from '../repetition.ts'
import { measure, type Row, type Subject } from '../row.ts'
import { pushSampleImage } from '../sample-image.ts'
import type { Server } from '../server.ts'
import { summarizeDurations } from '../summary.ts'

const repository = 'bench/tags'
const pageSize = 100
const fillConnections = 4

interface List {
  readonly id: string
  readonly title: string
  readonly path: string
  /** Follow the Link header to the end. */
  readonly isWalked: boolean
  /** Fewer entries would be less work. */
  readonly entries: number
}

export function listRows({ tags, repositories }: { tags: number; repositories: number }): Row[] {
  const filled = new WeakMap<Server, Promise<void>>()
  const middle = `last=${tagName(Math.floor(tags / 2))}`
  const page = Math.min(pageSize, tags - Math.floor(tags / 2) - 1)
  const lists: readonly List[] = [
    { id: 'tags-all', title: `list of ${tags} tags`, path: `/v2/${repository}/tags/list`, isWalked: true, entries: tags },
    {
      id: 'tags-page',
      title: `page of ${page} tags from the middle`,
      path: `/v2/${repository}/tags/list?n=${pageSize}&${middle}`,
      isWalked: false,
      entries: page,
    },
    {
      id: 'catalog-walk',
      title: `catalog of ${repositories} repositories by ${pageSize}`,
      path: `/v2/_catalog?n=${pageSize}`,
      isWalked: true,
      entries: repositories,
    },
  ]
  return lists.map((list) => ({
    id: list.id,
    title: list.title,
    group: 'lists',
    capability: 'lists',
    access: 'open',
    tools: [],
    unit: 'ms',
    better: 'less',
    operation: 'list',
    prepare: async (subject) => {
      if (!filled.has(subject.server)) filled.set(subject.server, fill(subject, { tags, repositories }))
      await filled.get(subject.server)
      return () => time(subject, list)
    },
  }))
}

async function time(subject: Subject, list: List) {
  const client = setupClient(subject.server)
  await read(client, list)
  const limit = { seconds: subject.bench.amounts.seconds / 2, atLeast: 3 }
  const sample = await measure(subject.server, async () => {
    const { p50Ms, p99Ms, operations } = summarizeDurations(await repeatFor(limit, () => read(client, list)))
    return { value: p50Ms, operations, p50Ms, p99Ms }
  })
  client.close()
  return sample
}

/** @throws when there are fewer entries than expected */
async function read(client: RegistryClient, { path, isWalked, entries }: List): Promise<void> {
  let found = 0
  for (let next: string | undefined = path; next !== undefined;) {
    const { bytes, headers } = await client.expect(200, { method: 'GET', path: next })
    found += namesIn(bytes)
    next = isWalked ? /^<([^>]+)>/.exec(String(headers['link'] ?? ''))?.[1] : undefined
  }
  if (found < entries) throw new Error(`${path} listed ${found} entries, expected ${entries}`)
}

function namesIn(bytes: Buffer): number {
  const { tags, repositories } = JSON.parse(bytes.toString('utf8')) as { tags?: string[]; repositories?: string[] }
  return (tags ?? repositories ?? []).length
}

/** Through the registry's own door, because every target has one. */
async function fill(subject: Subject, { tags, repositories }: { tags: number; repositories: number }): Promise<void> {
  const client = setupClient(subject.server, fillConnections)
  subject.bench.say(`filling ${subject.target.name} with ${tags} tags and ${repositories} repositories`)
  const { manifest, config, layer } = await pushSampleImage(client, repository)
  await forEachAtOnce(tags, fillConnections, (index) => client.putManifest(repository, tagName(index), manifest))
  await forEachAtOnce(repositories, fillConnections, async (index) => {
    const name = `many/r${String(index).padStart(6, '0')}`
    for (const digest of [config, layer]) await client.mountBlob(name, digest, repository)
    await client.putManifest(name, 'latest', manifest)
  })
  client.close()
}

function tagName(index: number): string {
  return `t${String(index).padStart(6, '0')}`
}
