/**
 * Connections by the thousand: more than there are descriptors (F6), idle ones and ones whose bytes drip (F7, threat 56). They
 * cost memory and descriptors, never a healthy client its answer; when they are gone everything is as before.
 *
 * `CONNECTIONS=10000` opens as many idle ones; the limit of open files must allow twice that.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { childrenOf } from '../support/child-processes.ts'
import { Client } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { startServer, type LanyardServer } from '../support/spawn-lanyard.ts'

const crowd = Number(process.env['CONNECTIONS'] ?? 2000)

test('with 256 descriptors and 1,000 connections nobody dies, and when they are gone everyone is served again', async (t) => {
  const server = await startServer(t)
  const image = await new Client(server).pushImage('admin/app', 'v1')
  const processes = [server.pid, ...childrenOf(server.pid)]
  for (const pid of processes) execFileSync('prlimit', ['--pid', String(pid), '--nofile=256:256'])
  const sockets = await openMany(t, server, 1000)
  for (const socket of sockets) socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  await eventually(() => sockets.filter((socket) => socket.bytesRead > 0 || socket.destroyed).length >= 150, 'some of them to be served')
  for (const socket of sockets) socket.destroy()
  await eventually(async () => (await pull(server)) === image.text, 'a client to be served')
  await new Client(server).pushImage('admin/app', 'v2')
  assert.deepEqual([server.pid, ...childrenOf(server.pid)], processes, 'no process died')
})

test(`${crowd} idle connections and ${crowd / 20} whose requests drip leave a client its answers`, async (t) => {
  const server = await startServer(t)
  const image = await new Client(server).pushImage('admin/app', 'v1')
  const [worker = 0] = childrenOf(server.pid)
  const before = residentMib(worker)
  const idle = await openMany(t, server, crowd)
  const answers = idle.map((socket) => new Promise((resolve) => socket.once('data', resolve)))
  for (const socket of idle) socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  await Promise.all(answers)
  const dripping = await openMany(t, server, crowd / 20)
  const drip = setInterval(() => {
    for (const socket of dripping) socket.write('x')
  }, 20)
  t.after(() => clearInterval(drip))
  for (const [index, socket] of dripping.entries()) socket.write(index % 2 === 0 ? 'GET /v2/ HTTP/1.1\r\nX-Drip: ' : slowBody)
  for (let count = 0; count < 200; count++) assert.equal(await pull(server), image.text)
  const grownMib = residentMib(worker) - before
  assert.ok(grownMib < 40 + crowd / 50, `${grownMib} MiB for ${crowd} connections`)
  assert.equal(idle.filter((socket) => socket.destroyed).length, 0, 'idle connections are kept for their time')
})

const slowBody = 'PUT /v2/admin/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n'

/** Connected, all of them; ended with the test. */
async function openMany(t: TestContext, { port }: LanyardServer, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(200, count - sockets.length) }, () =>
      connect(port, '127.0.0.1').on('error', () => undefined),
    )
    sockets.push(...batch)
    await Promise.all(batch.map((socket) => new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))))
  }
  return sockets
}

/** @returns the manifest, or what went wrong. */
async function pull(server: LanyardServer): Promise<string> {
  try {
    return (await new Client(server).call('GET', '/v2/admin/app/manifests/v1')).bytes.toString()
  } catch (error) {
    return String(error)
  }
}

function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
