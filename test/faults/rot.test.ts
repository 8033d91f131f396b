/**
 * A disk that rots under a running registry, as its operator and its clients meet it: real processes, `kill -9`, files that change while
 * their times do not. Whatever is damaged is found, by the pull after an unclean stop or by one scrub; nothing wrong is ever served; a push
 * of the same image heals it.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import type { SupportedDigest } from '../../oci/digest.ts'
import { blobPath, dataLayout } from '../../storage/layout.ts'
import { Client, sha256 } from '../support/client.ts'
import { cutShort, fillWithZeros, flipBit, remove, type Damage } from '../support/damage.ts'
import { eventually } from '../support/eventually.ts'
import { runLanyard, startServer, type LanyardServer } from '../support/spawn-lanyard.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { Random } from './random.ts'

const mebibyte = 1024 * 1024
const repository = 'admin/app'

interface Status {
  readonly running: { readonly phase: string; readonly blobs: number; readonly bytes: number } | null
  readonly last: { readonly found: number; readonly blobs: number } | null
  readonly uncheckedSince: string | null
  readonly damagedBlobs: readonly { readonly digest: string; readonly fault: string }[]
}

async function statusOf(server: Pick<LanyardServer, 'data'>): Promise<Status> {
  const { stdout, stderr, status } = await runLanyard(['scrub', 'status', '--json'], { settings: { DATA: server.data } })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as Status
}

/** Runs a whole scrub. @returns what it found */
async function scrub(server: LanyardServer): Promise<Status> {
  await eventually(async () => (await statusOf(server)).running === null, 'no scrub to be under way')
  const before = server.log().filter(isEnd).length
  const { status, stderr } = await runLanyard(['scrub', 'run'], { settings: { DATA: server.data } })
  assert.equal(status, 0, stderr)
  await eventually(() => server.log().filter(isEnd).length > before, 'the scrub to end')
  return statusOf(server)
}

const isEnd = ({ msg }: { msg?: unknown }): boolean =>
  typeof msg === 'string' && /^(?:damaged content was found|everything that is stored)/.test(msg)

/** Many small blobs and a few of several slices. */
function contents(random: Random): Buffer[] {
  const sizes = [...Array.from({ length: 40 }, () => 1 + random.below(50_000)), 2 * mebibyte, 3 * mebibyte + 1]
  return sizes.map((size) => createHash('shake256', { outputLength: size }).update(String(random.next())).digest())
}

/** Damages a third of them. @returns the digests */
function rot(server: Pick<LanyardServer, 'data'>, blobs: readonly Buffer[], random: Random): Set<string> {
  const ways: readonly Damage[] = [flipBit(random.below(1000) / 1000), flipBit(1), cutShort, fillWithZeros, remove]
  const damaged = blobs.filter((_, index) => index % 3 === 0 || index >= blobs.length - 1).map((content) => sha256(content))
  for (const [index, digest] of damaged.entries()) {
    const way = ways[index % ways.length]
    way?.(blobPath(dataLayout(server.data), digest as SupportedDigest))
  }
  return new Set(damaged)
}

/** @returns the digests that could not be pulled. Fails if an answer has other bytes than its digest. */
async function pullAll(server: LanyardServer, blobs: readonly Buffer[]): Promise<Set<string>> {
  const client = new Client(server)
  const refused = new Set<string>()
  for (const content of blobs) {
    const digest = sha256(content)
    const answer = await client.call('GET', `/v2/${repository}/blobs/${digest}`).catch(() => undefined)
    if (answer?.status !== 200) refused.add(digest)
    else assert.equal(sha256(answer.bytes), digest, 'a 200 with wrong bytes')
  }
  return refused
}

/** As a client pushes an image: asks for each blob, and sends those that are not there. @returns what was sent */
async function pushAll(server: LanyardServer, blobs: readonly Buffer[]): Promise<Set<string>> {
  const client = new Client(server)
  const sent = new Set<string>()
  for (const content of blobs) {
    const digest = sha256(content)
    if ((await client.call('HEAD', `/v2/${repository}/blobs/${digest}`)).status === 200) continue
    await client.pushBlob(repository, content)
    sent.add(digest)
  }
  return sent
}

async function filled(t: TestContext, settings: Record<string, string> = {}) {
  const data = temporaryFolder(t)
  const random = new Random(Number(process.env['SEED'] ?? 1))
  const blobs = contents(random)
  const server = await startServer(t, { data, settings })
  await pushAll(server, blobs)
  return { data, random, blobs, server }
}

test('after kill -9 every damaged blob is found by the pull, nothing wrong is served, and a push heals all', async (t) => {
  const { data, random, blobs, server } = await filled(t, { WORKERS: '2' })
  await server.stop('SIGKILL')
  const damaged = rot(server, blobs, random)
  const next = await startServer(t, { data, settings: { WORKERS: '2', SCRUB_EVERY_DAYS: '0' } })
  assert.ok(next.log().some(({ msg }) => /did not end in order/.test(String(msg))))
  assert.notEqual((await statusOf(next)).uncheckedSince, null)
  assert.deepEqual(await pullAll(next, blobs), damaged)
  assert.deepEqual(new Set((await statusOf(next)).damagedBlobs.map(({ digest }) => digest)), damaged)
  assert.deepEqual(await pushAll(next, blobs), damaged, 'exactly what is damaged is sent again')
  assert.deepEqual(await pullAll(next, blobs), new Set())
  assert.deepEqual((await statusOf(next)).damagedBlobs, [])
  const { last, uncheckedSince } = await scrub(next)
  assert.deepEqual({ found: last?.found, uncheckedSince }, { found: 0, uncheckedSince: null })
})

test('after an orderly stop one scrub finds them all, and a push heals all', async (t) => {
  const { data, random, blobs, server } = await filled(t)
  assert.equal(await server.stop(), 0)
  const damaged = rot(server, blobs, random)
  const next = await startServer(t, { data, settings: { SCRUB_EVERY_DAYS: '0', SCRUB_MIB_PER_SECOND: '1000', METRICS_ACCESS: 'anyone' } })
  const { last, uncheckedSince, damagedBlobs } = await scrub(next)
  assert.equal(uncheckedSince, null)
  assert.equal(last?.found, damaged.size)
  assert.deepEqual(new Set(damagedBlobs.map(({ digest }) => digest)), damaged)
  assert.deepEqual(await pullAll(next, blobs), damaged)
  assert.deepEqual(await pushAll(next, blobs), damaged)
  assert.deepEqual(await pullAll(next, blobs), new Set())
  const metrics = await (await fetch(`${next.url}/metrics`)).text()
  for (const event of ['found', 'healed'])
    assert.match(metrics, new RegExp(`^lanyard_damage_total\\{event="${event}"\\} ${damaged.size}$`, 'm'))
  assert.match(metrics, /^lanyard_scrub_read_bytes_total [1-9]/m)
  assert.match(metrics, /^lanyard_scrub_finished_timestamp_seconds [1-9]/m)
  assert.equal((await scrub(next)).last?.found, 0)
})

test('a start that fails is no unclean stop, and does not hide one', async (t) => {
  const data = temporaryFolder(t)
  const server = await startServer(t, { data })
  const other = await startServer(t)
  await server.stop()
  const fails = () => runLanyard(['serve'], { settings: { DATA: data, LISTEN: other.host, ADMIN_PASSWORD: 'correct horse battery' } })
  assert.equal((await fails()).status, 1)
  const next = await startServer(t, { data })
  assert.equal((await statusOf(next)).uncheckedSince, null)
  await next.stop('SIGKILL')
  assert.equal((await fails()).status, 1)
  const last = await startServer(t, { data, settings: { SCRUB_EVERY_DAYS: '0' } })
  assert.notEqual((await statusOf(last)).uncheckedSince, null)
})

test('SIGTERM ends a scrub within a second, and the next server goes on with it', async (t) => {
  const { data, blobs, server } = await filled(t, { SCRUB_EVERY_DAYS: '0', SCRUB_MIB_PER_SECOND: '1' })
  await runLanyard(['scrub', 'run'], { settings: { DATA: data } })
  await eventually(async () => ((await statusOf(server)).running?.blobs ?? 0) > 0, 'a blob to be read')
  const startedMs = performance.now()
  assert.equal(await server.stop(), 0)
  assert.ok(performance.now() - startedMs < 1500, `it took ${performance.now() - startedMs} ms`)
  const { running } = await statusOf(server)
  assert.ok(running && running.blobs > 0 && running.blobs < blobs.length, JSON.stringify(running))
  const next = await startServer(t, { data, settings: { SCRUB_EVERY_DAYS: '0', SCRUB_MIB_PER_SECOND: '1000' } })
  await eventually(() => next.log().some(isEnd), 'the scrub to end')
  const { last } = await statusOf(next)
  assert.deepEqual({ found: last?.found, blobs: last?.blobs }, { found: 0, blobs: blobs.length })
})
