/**
 * Memory does not grow with the size of what is moved (F23): several large blobs up at once and down at once, hashed on arrival.
 *
 * `LARGE_MIB=8192 LARGE_STREAMS=1` moves one of 8 GiB; whoever may write cgroups runs the server under a cap of 512 MiB for all its
 * processes together, page cache included.
 */
import assert from 'node:assert/strict'
import { createCipheriv, createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { childrenOf } from '../support/child-processes.ts'
import { basic, Client } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { startServer } from '../support/spawn-lanyard.ts'

const mebibyte = 1024 * 1024
const largeMib = Number(process.env['LARGE_MIB'] ?? 256)
const streams = Number(process.env['LARGE_STREAMS'] ?? 4)

test(`${streams} blobs of ${largeMib} MiB at once cost a worker less than 200 MiB, all processes less than 512`, async (t) => {
  const server = await startServer(t, { settings: { WORKERS: '2' } })
  await eventually(() => childrenOf(server.pid).length === 2, 'both workers to be there')
  const processes = [server.pid, ...childrenOf(server.pid)]
  const cap = capTo(t, processes, 512)
  const digests = await Promise.all(Array.from({ length: streams }, (_, index) => upload(server, index)))
  const peaks = await Promise.all(processes.map(async (pid) => peakMib(pid)))
  await Promise.all(digests.map((digest) => download(server, digest)))
  const [primary = 0, ...workers] = processes.map(peakMib)
  t.diagnostic(`after uploads ${peaks.join(', ')} MiB; after downloads ${[primary, ...workers].join(', ')} MiB; ${cap}`)
  for (const mib of workers) assert.ok(mib < 200, `${mib} MiB in a worker`)
  assert.ok(primary + workers.reduce((sum, mib) => sum + mib, 0) < 512)
  assert.deepEqual([server.pid, ...childrenOf(server.pid)], processes, 'no process died')
})

/** The same bytes for the same number, without keeping them: what a cipher makes of zeros. */
async function* contentOf(index: number): AsyncGenerator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, index + 1), Buffer.alloc(16))
  const zeros = Buffer.alloc(mebibyte)
  for (let count = 0; count < largeMib; count++) yield cipher.update(zeros)
}

async function upload(server: { readonly url: string }, index: number): Promise<string> {
  const location = await new Client(server).startUpload(`admin/large${index}`)
  const hash = createHash('sha256')
  const body = Readable.from(contentOf(index)).on('data', (chunk: Buffer) => hash.update(chunk))
  const headers = { Authorization: basic('admin') }
  const sent = await fetch(new URL(location, server.url), { method: 'PATCH', headers, body: Readable.toWeb(body) as never, duplex: 'half' })
  assert.equal(sent.status, 202)
  const digest = `sha256:${hash.digest('hex')}`
  const done = await fetch(new URL(`${location}?digest=${digest}`, server.url), { method: 'PUT', headers })
  assert.equal(done.status, 201)
  return `/v2/admin/large${index}/blobs/${digest}`
}

async function download({ url }: { url: string }, path: string): Promise<void> {
  const answer = await fetch(new URL(path, url), { headers: { Authorization: basic('admin') } })
  const hash = createHash('sha256')
  for await (const chunk of answer.body ?? []) hash.update(chunk)
  assert.ok(path.endsWith(hash.digest('hex')))
}

function peakMib(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024)
}

/** @returns what was done, for the report. */
function capTo(t: TestContext, processes: readonly number[], mib: number): string {
  const [root, limit] = existsSync('/sys/fs/cgroup/memory') ? ['memory/', 'memory.limit_in_bytes'] : ['', 'memory.max']
  const group = `/sys/fs/cgroup/${root}lanyard-test-${process.pid}`
  try {
    mkdirSync(group)
    writeFileSync(`${group}/${limit}`, String(mib * mebibyte))
    for (const pid of processes) writeFileSync(`${group}/cgroup.procs`, String(pid))
  } catch (error) {
    return `not capped: ${String(error)}`
  }
  t.after(async () => {
    await eventually(() => readFileSync(`${group}/cgroup.procs`, 'utf8') === '', 'the processes to be gone')
    rmdirSync(group)
  })
  return `capped to ${mib} MiB together`
}
