/**
 * A worker that dies takes with it the requests that it was serving, and nothing else: no client waits for ever, and the primary lives.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Connection } from './exchange.ts'
import { childrenOf } from '../support/child-processes.ts'
import { eventually, withDeadline } from '../support/eventually.ts'
import { startServer } from '../support/spawn-lanyard.ts'

const request = { method: 'GET', path: '/healthz' }

test('a connection on its way to a worker that dies is cut, and what follows is served', async (t) => {
  const server = await startServer(t, { settings: { WORKERS: '2' } })
  await eventually(async () => (await servingWorkers(server)).size === 2, 'both workers to serve')
  const [worker = 0] = childrenOf(server.pid)
  // It is handed a connection and cannot take it.
  process.kill(worker, 'SIGSTOP')
  const clients = Array.from({ length: 8 }, () => new Connection())
  const outcomes = clients.map((client) => client.exchange(server.url, request))
  await Promise.race(outcomes)
  process.kill(worker, 'SIGKILL')
  const kinds = (await withDeadline(Promise.all(outcomes), 'every connection to be served or cut')).map(({ kind }) => kind)
  assert.equal(kinds.filter((kind) => kind === 'answer').length, 7, 'the other worker served the rest')
  assert.equal(kinds.filter((kind) => kind === 'cut').length, 1, 'the one in between was cut')
  for (const client of clients) client.close()
})

test('a message to a worker that has just died does not end the primary', async (t) => {
  const server = await startServer(t, { settings: { WORKERS: '2', METRICS_ACCESS: 'anyone' } })
  await eventually(async () => (await servingWorkers(server)).size === 2, 'both workers to serve')
  const clients = Array.from({ length: 4 }, () => new Connection())
  for (const client of clients) await client.exchange(server.url, request)
  const [worker = 0] = childrenOf(server.pid)
  // While the primary stands still both workers ask it for everyone's metrics. Then one of them is dead, which it cannot know yet.
  process.kill(server.pid, 'SIGSTOP')
  const asked = clients.slice(0, 2).map((client) => client.exchange(server.url, { method: 'GET', path: '/metrics' }))
  for (const client of clients.slice(2)) await client.exchange(server.url, request)
  process.kill(worker, 'SIGKILL')
  await eventually(() => isGone(worker), 'the worker to be dead')
  process.kill(server.pid, 'SIGCONT')
  const outcomes = await withDeadline(Promise.all(asked), 'an answer or a cut')
  assert.deepEqual(outcomes.map(({ kind }) => kind).toSorted(), ['answer', 'cut'])
  for (const client of clients) client.close()
  const late = new Connection()
  assert.equal((await late.exchange(server.url, request)).kind, 'answer', 'the primary lives')
  late.close()
})

/** Also when nobody has asked yet how it ended. */
function isGone(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
}

/** The processes that have served a request of a fresh connection. */
async function servingWorkers(server: { url: string; log: () => readonly { pid?: unknown }[] }): Promise<Set<unknown>> {
  const client = new Connection()
  await client.exchange(server.url, request)
  client.close()
  return new Set(server.log().map(({ pid }) => pid))
}
