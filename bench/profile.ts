/**
 * Where the processor time of a request goes: Node's CPU profile of a worker under load, grouped by the file that the code is in.
 *
 * Only what was sampled during the load counts, not the start. Native functions are shown by name, under the part that called
 * them.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { randomBytes } from 'node:crypto'
import { RegistryClient } from './client.ts'
import { runWrk } from './load-tools.ts'
import { measureMachine, NeighbourWatch, type MachineFacts } from './machine.ts'
import { repeatFor } from './repetition.ts'
import type { Bench } from './row.ts'
import { layerBytes, pushSampleImage } from './sample-image.ts'
import { Server } from './server.ts'

/** As V8 writes it; times in microseconds of the machine's monotonic clock. */
export interface CpuProfile {
  readonly startTime: number
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string }; children?: readonly number[] }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface Part {
  readonly part: string
  /** Self time for each request. */
  readonly microseconds: number
  /** Of all time that was not idle, 0 to 1. */
  readonly share: number
}

export interface ProfileResult {
  readonly title: string
  readonly requests: number
  readonly microsecondsPerRequest: number
  readonly parts: readonly Part[]
}

export interface Profiles {
  readonly machine: MachineFacts
  readonly othersShare: number
  readonly profiles: readonly ProfileResult[]
}

const root = fileURLToPath(new URL('..', import.meta.url))
const uploadsAtOnce = 16

export async function profileAll(bench: Bench): Promise<Profiles> {
  const machine = measureMachine(bench.folder, bench.amounts.bigMib)
  const watch = new NeighbourWatch()
  const profiles = [
    await profile(bench, { title: 'GET manifest by tag', load: getManifests }),
    await profile(bench, { title: 'upload of 10 KiB: POST and PUT', load: uploadBlobs }),
  ]
  return { machine, othersShare: watch.share(), profiles }
}

/** @returns how many requests, or pairs of them, were sent. */
type LoadWork = (bench: Bench, server: Server) => Promise<() => Promise<number>>

async function profile(bench: Bench, { title, load }: { title: string; load: LoadWork }): Promise<ProfileResult> {
  bench.say(`profiling ${title}`)
  const folder = join(bench.folder, title.replaceAll(/\W+/g, '-'))
  const target = {
    name: 'lanyard',
    script: join(import.meta.dirname, 'profiled.sh'),
    env: { PROFILES: `${folder}.profiles`, WORKERS: '1' },
  }
  mkdirSync(`${folder}.profiles`)
  const server = await Server.start(bench.processes, { target, access: 'open', folder })
  const run = await server.guard(() => load(bench, server))
  const from = nowMicroseconds()
  const requests = await server.guard(run)
  const to = nowMicroseconds()
  await server.stop()
  const parts = groupByPart(busiestProfile(`${folder}.profiles`), { from, to })
  const total = [...parts.values()].reduce((sum, each) => sum + each, 0)
  return {
    title,
    requests,
    microsecondsPerRequest: total / requests,
    parts: [...parts]
      .map(([part, microseconds]) => ({ part, microseconds: microseconds / requests, share: microseconds / total }))
      .toSorted((a, b) => b.microseconds - a.microseconds),
  }
}

const getManifests: LoadWork = async (bench, server) => {
  const client = new RegistryClient({ port: server.port })
  const { repository, tag } = await pushSampleImage(client).finally(() => client.close())
  const url = `${server.url}/v2/${repository}/manifests/${tag}`
  await runWrk(bench.processes, { url, seconds: 1, headers: {} })
  return async () => (await runWrk(bench.processes, { url, seconds: bench.amounts.seconds, headers: {} })).requests
}

const uploadBlobs: LoadWork = async (bench, server) => {
  const client = new RegistryClient({ port: server.port, connections: uploadsAtOnce })
  const upload = async (seconds: number): Promise<number> => {
    const lane = () => repeatFor({ seconds, atLeast: 1 }, () => client.pushBlob('bench/small', randomBytes(layerBytes)))
    const durations = await Promise.all(Array.from({ length: uploadsAtOnce }, lane))
    return durations.flat().length
  }
  await upload(1)
  return () => upload(bench.amounts.seconds).finally(() => client.close())
}

/** The primary writes one as well; the worker's has the most time that was not idle. */
function busiestProfile(folder: string): CpuProfile {
  const profiles = readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile)
  const busy = (each: CpuProfile): number => [...groupByPart(each).values()].reduce((sum, time) => sum + time, 0)
  const [busiest] = profiles.toSorted((a, b) => busy(b) - busy(a))
  if (!busiest) throw new Error('the server wrote no profile')
  return busiest
}

/** Self time in microseconds for each part, idle time left out. @param during the samples that count, by the profile's clock */
export function groupByPart(profile: CpuProfile, during = { from: 0, to: Infinity }): Map<string, number> {
  const partOfNode = partsOf(profile)
  const parts = new Map<string, number>()
  let at = profile.startTime
  for (const [index, node] of profile.samples.entries()) {
    const delta = profile.timeDeltas[index] ?? 0
    at += delta
    const part = partOfNode.get(node)
    if (part === undefined || at < during.from || at > during.to) continue
    parts.set(part, (parts.get(part) ?? 0) + delta)
  }
  return parts
}

/** By node id; nodes that are idle are missing. */
function partsOf({ nodes }: CpuProfile): Map<number, string> {
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)))
  const parts = new Map<number, string>()
  for (const node of nodes) {
    const { functionName, url } = node.callFrame
    if (functionName === '(idle)' || functionName === '(root)') continue
    let caller: (typeof nodes)[number] | undefined = node
    while (caller && caller.callFrame.url === '') caller = parents.get(caller.id)
    const isNative = url === '' && !functionName.startsWith('(')
    parts.set(node.id, isNative && caller ? `${partOf(caller.callFrame.url)}: ${functionName} (native)` : partOf(url, functionName))
  }
  return parts
}

/** The project's files by their path, packages by their name, Node's own by what they belong to. */
function partOf(url: string, functionName = ''): string {
  if (url === '') return special[functionName] ?? 'native code'
  if (url.startsWith('node:')) return `node: ${nodeAreaOf(url.slice('node:'.length))}`
  const path = url.startsWith('file://') ? fileURLToPath(url) : url
  const installed = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]
  if (installed !== undefined) return installed
  return path.startsWith(root) ? path.slice(root.length) : path
}

const special: Readonly<Record<string, string>> = {
  '(garbage collector)': 'garbage collector',
  '(program)': 'outside JavaScript (kernel, event loop, HTTP parser)',
}

function nodeAreaOf(name: string): string {
  const path = name.replace(/^internal\//, '')
  if (/http/.test(path)) return 'http'
  if (/stream|net$|buffer/.test(path)) return 'streams and sockets'
  if (/^(timers|process\/task_queues|process\/promises|async_hooks|async_local_storage)/.test(path)) return 'timers and promises'
  if (/^(fs|crypto|events|url|querystring)/.test(path)) return path.split('/')[0] ?? path
  return 'other'
}

function nowMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1000n)
}
