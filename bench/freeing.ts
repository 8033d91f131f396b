/**
 * What it costs the others when a thousand images are removed for good: how soon their room is back, and how long requests take
 * meanwhile, compared with the same requests just before.
 */
import { readdirSync, statSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { allBlobFolders, dataLayout } from '../storage/layout.ts'
import { basicAuthorization, RegistryClient, sha256 } from './client.ts'
import { measureMachine, NeighbourWatch, type MachineFacts } from './machine.ts'
import { ownTarget } from './own-targets.ts'
import type { Bench } from './row.ts'
import { imageManifest, layerBytes, pushSampleImage, type SampleImage } from './sample-image.ts'
import { Server } from './server.ts'

export interface FreeingResult {
  readonly machine: MachineFacts
  readonly othersShare: number
  readonly images: number
  readonly seconds: number
  readonly freeings: readonly Freeing[]
}

export interface Freeing {
  readonly title: string
  /** Of files that went, in blocks of the file system. */
  readonly bytes: number
  /** From the answer to the last request that removed something until the last file was gone. */
  readonly freedAfterMs: number
  readonly requests: readonly Slowdown[]
}

interface Slowdown {
  readonly what: string
  /** 99 of 100 took no longer, in milliseconds. */
  readonly usualP99Ms: number
  readonly p99Ms: number
  readonly count: number
}

const images = 1000
/** The collector waits so long after a start; the leases of what is filled in are over by then. */
const collectsAfterMs = 5 * 60_000 + 5000
const pollMs = 20
const patienceMs = 60_000

type Removal = (client: RegistryClient, repository: string, manifests: readonly string[]) => Promise<void>

const removals: Readonly<Record<string, Removal>> = {
  'each manifest deleted, then each purged': async (client, repository, manifests) => {
    for (const digest of manifests) await client.expect(202, { method: 'DELETE', path: `/v2/${repository}/manifests/${digest}` })
    await purge(client, repository)
  },
  'their repository deleted, then purged': async (client, repository) => {
    await client.expect(204, { method: 'DELETE', path: `/api/v1/repositories/${encodeURIComponent(repository)}` })
    await purge(client, repository)
  },
}

export async function measureFreeing(bench: Bench): Promise<FreeingResult> {
  const machine = measureMachine(bench.folder, 16)
  const watch = new NeighbourWatch()
  const target = { ...ownTarget, env: { LANYARD_GC_LEASE_HOURS: '0.02', WORKERS: '2' } }
  const server = await Server.start(bench.processes, { target, access: 'login', folder: `${bench.folder}/freeing` })
  const startedMs = performance.now()
  const client = new RegistryClient({ port: server.port, authorization: basicAuthorization })
  const sample = await pushSampleImage(client)
  const filled: Filled[] = []
  for (const index of Object.keys(removals).keys()) filled.push(await fill(client, repositoryOf(index)))
  bench.say('waiting until the collector begins')
  await pause(Math.max(0, collectsAfterMs - (performance.now() - startedMs)))
  const freeings: Freeing[] = []
  for (const [index, [title, remove]] of Object.entries(removals).entries()) {
    const { manifests, blobs } = filled[index] ?? { manifests: [], blobs: [] }
    const of = { sample, blobs, remove: () => remove(client, repositoryOf(index), manifests) }
    freeings.push({ title, ...(await measureOne(bench, server, of)) })
    bench.say(`${title}: ${JSON.stringify(freeings.at(-1))}`)
  }
  client.close()
  await server.stop()
  return { machine, othersShare: watch.share(), images, seconds: bench.amounts.seconds, freeings }
}

const repositoryOf = (index: number): string => `bench/freed-${index}`

/** Digests. */
interface Filled {
  readonly manifests: readonly string[]
  readonly blobs: readonly string[]
}

/** Images of a config and a layer that no other has. */
async function fill(client: RegistryClient, repository: string): Promise<Filled> {
  const manifests: string[] = []
  const blobs: string[] = []
  for (let index = 0; index < images; index++) {
    const config = Buffer.from(JSON.stringify({ repository, index }))
    const layer = randomBytes(layerBytes)
    const [configDigest, layerDigest] = [await client.pushBlob(repository, config), await client.pushBlob(repository, layer)]
    const manifest = imageManifest({ digest: configDigest, size: config.length }, [{ digest: layerDigest, size: layer.length }])
    await client.putManifest(repository, `t${index}`, manifest)
    manifests.push(sha256(manifest))
    blobs.push(configDigest, layerDigest)
  }
  return { manifests, blobs }
}

async function purge(client: RegistryClient, repository: string): Promise<void> {
  const [namespace] = repository.split('/')
  for (;;) {
    const { bytes } = await client.expect(200, { method: 'GET', path: `/api/v1/namespaces/${namespace}/trash?limit=100` })
    const { items } = JSON.parse(bytes.toString()) as { items: { id: number }[] }
    if (items.length === 0) return
    for (const { id } of items) await client.expect(204, { method: 'DELETE', path: `/api/v1/trash/${id}` })
  }
}

async function measureOne(
  bench: Bench,
  server: Server,
  { sample, blobs, remove }: { sample: SampleImage; blobs: readonly string[]; remove: () => Promise<void> },
): Promise<Omit<Freeing, 'title'>> {
  const seconds = bench.amounts.seconds
  const usual = await loadWhile(server, sample, pause(seconds * 1000))
  const room = roomOf(server)
  const before = new Map(blobs.map((digest) => [digest.replace(/.*:/, ''), room.get(digest.replace(/.*:/, '')) ?? Number.NaN]))
  let freed = { bytes: 0, freedAfterMs: Number.NaN }
  const removing = remove().then(async () => (freed = await waitForRoom(server, before)))
  const meanwhile = await loadWhile(server, sample, removing)
  const requests = [...usual].map(([what, times]) => {
    const beside = meanwhile.get(what) ?? []
    return { what, usualP99Ms: p99(times), p99Ms: p99(beside), count: beside.length }
  })
  return { ...freed, requests }
}

/** @param before the files that are to go, by name, with their bytes */
async function waitForRoom(server: Server, before: ReadonlyMap<string, number>): Promise<{ bytes: number; freedAfterMs: number }> {
  const begun = performance.now()
  for (;;) {
    const now = roomOf(server)
    const left = [...before.keys()].filter((name) => now.has(name)).length
    if (left === 0) return { bytes: [...before.values()].reduce((sum, bytes) => sum + bytes, 0), freedAfterMs: performance.now() - begun }
    if (performance.now() - begun > patienceMs) throw new Error(`${left} of ${before.size} blobs are still there after a minute`)
    await pause(pollMs)
  }
}

/** Bytes by file, of all blobs and of those on their way out. */
function roomOf(server: Server): Map<string, number> {
  const layout = dataLayout(server.folder)
  const room = new Map<string, number>()
  for (const folder of [...allBlobFolders(layout), layout.collected])
    for (const name of readdirSync(folder)) {
      const stats = statSync(join(folder, name), { throwIfNoEntry: false })
      if (stats) room.set(name.replace(/^sha\d+-/, '').replace(/\..*/, ''), stats.blocks * 512)
    }
  return room
}

/** Requests one after the other, each kind on a connection of its own. @returns how long each took, in milliseconds */
async function loadWhile(server: Server, sample: SampleImage, work: Promise<unknown>): Promise<Map<string, readonly number[]>> {
  const { repository, tag, layer } = sample
  const over = new AbortController()
  const kinds: Readonly<Record<string, (client: RegistryClient) => Promise<unknown>>> = {
    'manifest by tag': (client) => client.expect(200, { method: 'GET', path: `/v2/${repository}/manifests/${tag}` }),
    'HEAD of a blob': (client) => client.expect(200, { method: 'HEAD', path: `/v2/${repository}/blobs/${layer}` }),
    '10 KiB blob': (client) => client.expect(200, { method: 'GET', path: `/v2/${repository}/blobs/${layer}` }),
    'push of 10 KiB': (client) => client.pushBlob(repository, randomBytes(layerBytes)),
  }
  const loads = Object.entries(kinds).map(async ([what, send]) => {
    const client = new RegistryClient({ port: server.port, authorization: basicAuthorization })
    const times: number[] = []
    while (!over.signal.aborted) {
      const begun = performance.now()
      await send(client)
      times.push(performance.now() - begun)
    }
    client.close()
    return [what, times] as const
  })
  await work.finally(() => over.abort())
  return new Map(await Promise.all(loads))
}

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? Number.NaN
}
