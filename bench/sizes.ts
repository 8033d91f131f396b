/**
 * Whether the cost of a request grows with the store: the same requests with the same answers on a store that holds next to nothing
 * and on one that is full, in one run and in turn. A second small store shows what the machine's noise alone does to a ratio.
 */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { compare, type Comparison, type RowResult } from './comparison.ts'
import { RegistryClient, sha256 } from './client.ts'
import { filledDigest, filledManifest, filledRepository, filledTag, fillStore, holderOf } from './fill.ts'
import { runAb, runWrk, type Load } from './load-tools.ts'
import { ownTarget } from './own-targets.ts'
import { repeatFor } from './repetition.ts'
import { measure, serverFolder, type Bench, type Row, type Run, type Subject, type Work, workOf } from './row.ts'
import { layerBytes } from './sample-image.ts'
import { selectRows } from './row-table.ts'
import type { Target } from './server.ts'
import { summarizeDurations } from './summary.ts'

/** How much a store holds. */
export interface StoreSize {
  /** In one repository. */
  readonly tags: number
  readonly repositories: number
  readonly blobs: number
}

export interface SizeComparison extends Comparison {
  readonly small: StoreSize
  readonly filled: StoreSize
  /** What the filled store's cost may be, as a multiple of the small one's. */
  readonly limit: number
}

/** Enough for every answer to be as long as the filled store's. */
export const smallSize: StoreSize = { tags: 300, repositories: 300, blobs: 300 }
const limit = 1.2
const pageSize = 100
const pathsAsked = 2000

const many = { namespace: 'many' }
const tagged = { namespace: 'tagged' }

export async function compareSizes(
  bench: Bench,
  { filled, only, save }: { filled: StoreSize; only?: string | undefined; save: (result: SizeComparison) => void },
): Promise<SizeComparison> {
  const stores = [
    { name: 'filled', size: filled },
    { name: 'small', size: smallSize },
    { name: 'small again', size: smallSize },
  ]
  for (const { name, size } of stores) {
    bench.say(`filling ${name}: ${size.tags} tags in one repository, ${size.repositories} repositories, ${size.blobs} blob rows`)
    const folder = serverFolder(bench, { name }, 'open')
    await fillStore(folder, { ...tagged, repositories: 1, tagsPerRepository: size.tags, blobs: 0 })
    await fillStore(folder, { ...many, repositories: size.repositories, tagsPerRepository: 1, blobs: size.blobs })
  }
  const targets = stores.map(({ name }): Target => ({ ...ownTarget, name }))
  const sizeOf = (target: Target): StoreSize => (target.name === 'filled' ? filled : smallSize)
  const rows = selectRows(sizeRows(sizeOf), only)
  const complete = (result: Comparison): SizeComparison => ({ ...result, small: smallSize, filled, limit })
  return complete(await compare(bench, { targets, rows, save: (result) => save(complete(result)) }))
}

/** What a row says about growth, each as a multiple of the small store's figure. */
export interface Growth {
  /** Time for a request on the filled store. */
  readonly time: number
  /** CPU for a request on the filled store; less disturbed by a busy machine than time, but blind for waiting. */
  readonly cpu: number
  /** Time for a request on the second small store: 1 on a machine without noise. */
  readonly noise: number
  /** Unclear: the two small stores differ by more than the limit already. */
  readonly verdict: 'within' | 'over' | 'unclear'
}

export function growthOf({ figures, better }: Pick<RowResult, 'figures' | 'better'>, limit: number): Growth {
  const timesOf = (name: string): number => {
    const ratio = (figures[name]?.value.median ?? Number.NaN) / (figures['small']?.value.median ?? Number.NaN)
    return better === 'more' ? 1 / ratio : ratio
  }
  const cpuOf = (name: string): number => figures[name]?.cpuSecondsPerOperation.median ?? Number.NaN
  const time = timesOf('filled')
  const noise = timesOf('small again')
  const isNoisy = noise > limit || noise < 1 / limit
  return { time, cpu: cpuOf('filled') / cpuOf('small'), noise, verdict: isNoisy ? 'unclear' : time > limit ? 'over' : 'within' }
}

/** What could not be shown, as sentences. */
export function problemsOf({ rows, limit }: SizeComparison): string[] {
  const titlesOf = (verdict: Growth['verdict']): string =>
    rows
      .filter((row) => growthOf(row, limit).verdict === verdict)
      .map((row) => row.title)
      .join('; ')
  const over = titlesOf('over')
  const unclear = titlesOf('unclear')
  return [
    ...(over === '' ? [] : [`on the filled store these cost more than ${limit} times as much: ${over}`]),
    ...(unclear === '' ? [] : [`the machine was too busy to tell: ${unclear}`]),
  ]
}

export function sizeRows(sizeOf: (target: Target) => StoreSize): Row[] {
  const row = { group: 'reads', capability: 'content', access: 'open', better: 'more', operation: 'request' } as const
  const get = { ...row, tools: ['wrk'], unit: 'req/s' } as const
  const repository = filledRepository(tagged, 0)
  return [
    {
      ...get,
      id: 'manifest-by-tag',
      title: 'GET manifest by tag, tags at random',
      prepare: (subject) =>
        gets(
          subject,
          spread(sizeOf(subject.target).tags, (index) => `/v2/${repository}/manifests/${filledTag(index)}`),
        ),
    },
    {
      ...get,
      id: 'blob-head',
      title: 'HEAD blob, another one in each run',
      tools: ['ab'],
      prepare: async (subject) => heads(subject, sizeOf(subject.target)),
    },
    {
      ...get,
      id: 'tags-page',
      title: `page of ${pageSize} tags at random`,
      prepare: (subject) =>
        gets(
          subject,
          spread(sizeOf(subject.target).tags - pageSize, (index) => `/v2/${repository}/tags/list?n=${pageSize}&last=${filledTag(index)}`),
        ),
    },
    {
      ...get,
      id: 'catalog-page',
      title: `page of ${pageSize} repositories at random`,
      prepare: (subject) =>
        gets(
          subject,
          spread(
            sizeOf(subject.target).repositories - pageSize,
            (index) => `/v2/_catalog?n=${pageSize}&last=${filledRepository(many, index)}`,
          ),
        ),
    },
    { ...row, id: 'tag-put', title: 'PUT of a new tag', unit: 'tags/s', tools: [], prepare: async (subject) => tagPuts(subject) },
    {
      ...row,
      id: 'small-upload',
      title: 'upload of 10 KiB: POST, PUT',
      unit: 'uploads/s',
      tools: [],
      prepare: async (subject) => smallUploads(subject),
    },
  ]
}

/** So many paths from all over the store: a single one would always meet what was just read. */
function spread(count: number, pathOf: (index: number) => string): string[] {
  const asked = Math.min(count, pathsAsked)
  return Array.from({ length: asked }, (_, index) => pathOf(Math.floor((index * count) / asked)))
}

async function gets({ bench, server }: Subject, paths: readonly string[]): Promise<Run> {
  const pathsFile = `${server.folder}.paths`
  const load = (seconds: number): Promise<Load> => {
    writeFileSync(pathsFile, paths.join('\n'))
    return runWrk(bench.processes, { url: server.url, seconds, headers: {}, pathsFile })
  }
  await load(1)
  return () => measure(server, async () => workOf(await load(bench.amounts.seconds)))
}

async function heads({ bench, server }: Subject, size: StoreSize): Promise<Run> {
  const load = (index: number, seconds: number): Promise<Load> => {
    const filling = { ...many, ...size }
    const name = filledRepository(filling, holderOf(filling, index))
    return runAb(bench.processes, {
      url: `${server.url}/v2/${name}/blobs/${filledDigest(filling, index)}`,
      seconds,
      headers: {},
      folder: bench.folder,
    })
  }
  await load(0, 1)
  return (run) =>
    measure(server, async () => workOf(await load(Math.floor((size.blobs * (run + 1)) / (bench.amounts.runs + 1)), bench.amounts.seconds)))
}

function tagPuts(subject: Subject): Run {
  const manifest = filledManifest(tagged)
  return (run) => inSequence(subject, (client, index) => client.putManifest(filledRepository(tagged, 0), `new-${run}-${index}`, manifest))
}

function smallUploads(subject: Subject): Run {
  return () =>
    inSequence(subject, (client) => {
      const content = randomBytes(layerBytes)
      return client.pushBlob(filledRepository(many, 0), content, sha256(content))
    })
}

async function inSequence({ bench, server }: Subject, work: (client: RegistryClient, index: number) => Promise<unknown>) {
  const client = new RegistryClient({ port: server.port })
  const limit = { seconds: bench.amounts.seconds, atLeast: 1 }
  const done = async (): Promise<Work> => summarizeDurations(await repeatFor(limit, (index) => work(client, index)))
  return measure(server, done).finally(() => client.close())
}
