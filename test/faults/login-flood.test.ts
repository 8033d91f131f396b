/**
 * Wrong logins as fast as they can be sent (threat 39): hashing takes no more of the processor than it may, whoever is signed in
 * already is served, the excess is told to come back, and a right login passes at once, during the flood and after it.
 *
 * `FLOOD_SECONDS=60` goes on for as long.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { childrenOf } from '../support/child-processes.ts'
import { basic, Client } from '../support/client.ts'
import { runLanyard, startServer } from '../support/spawn-lanyard.ts'
import { adminPassword } from '../support/start-registry.ts'
import { Connection } from './exchange.ts'

const floodMs = Number(process.env['FLOOD_SECONDS'] ?? 3) * 1000
const attackers = 64

test('under a flood of wrong logins whoever is signed in is served, and the excess hears when to come back', async (t) => {
  const server = await startServer(t, { settings: { AUTH_BCRYPT_COST: '10' } })
  const added = await runLanyard(['user', 'add', 'alice', '--password-stdin'], {
    input: adminPassword,
    settings: { DATA: server.data, AUTH_BCRYPT_COST: '10' },
  })
  assert.equal(added.status, 0, added.stderr)
  const image = await new Client(server).pushImage('admin/app', 'v1')
  const scope = 'scope=repository:admin/app:pull'
  const { token } = JSON.parse((await new Client(server).call('GET', `/token?${scope}`)).bytes.toString()) as { token: string }
  const signedIn = new Client(server, `Bearer ${token}`)
  const [worker = 0] = childrenOf(server.pid)
  const startedMs = performance.now()
  const untilMs = startedMs + floodMs
  const cpuBefore = cpuSeconds(worker)
  const statuses = new Map<number, number>()
  let attempts = 0
  const attack = async (): Promise<void> => {
    const connection = new Connection()
    while (performance.now() < untilMs) {
      const headers = { Authorization: basic('admin', `wrong ${attempts++}`) }
      const outcome = await connection.exchange(server.url, { method: 'GET', path: '/v2/', headers })
      assert.equal(outcome.kind, 'answer')
      if (outcome.kind !== 'answer') continue
      statuses.set(outcome.status, (statuses.get(outcome.status) ?? 0) + 1)
      if (outcome.status !== 401) assert.ok(Number(outcome.headers['retry-after']) > 0)
    }
    connection.close()
  }
  const flood = Promise.all(Array.from({ length: attackers }, attack))
  const login = rightLogin(server, untilMs)
  let served = 0
  for (; performance.now() < untilMs; served++) {
    const answer = await signedIn.call('GET', '/v2/admin/app/manifests/v1')
    assert.equal(answer.bytes.toString(), image.text)
  }
  await flood
  const right = await login
  assert.deepEqual([right.status, right.durationMs < 2000], [200, true], `a right login took ${Math.round(right.durationMs)} ms`)
  const seconds = (performance.now() - startedMs) / 1000
  t.diagnostic(
    `${Math.round((served * 1000) / floodMs)} pulls and ${Math.round(attempts / seconds)} wrong logins a second, ${[...statuses].join(' ')}`,
  )
  assert.equal(
    [...statuses.values()].reduce((sum, count) => sum + count, 0),
    attempts,
    'every one was answered',
  )
  assert.deepEqual(
    [...statuses.keys()].filter((status) => status !== 401 && status !== 429 && status !== 503),
    [],
  )
  assert.ok((statuses.get(401) ?? 0) > 0 && served > floodMs / 100)
  assert.ok(cpuSeconds(worker) - cpuBefore < 1.9 * seconds, 'not every core is spent on it')
  assert.equal((await new Client(server).call('GET', '/v2/')).status, 200)
})

/** Somebody who has not signed in before comes in the middle, from the same address. */
async function rightLogin(server: { url: string }, untilMs: number): Promise<{ status: number; durationMs: number }> {
  await setTimeout((untilMs - performance.now()) / 3)
  const sinceMs = performance.now()
  const { status } = await new Client(server, basic('alice')).call('GET', '/v2/')
  return { status, durationMs: performance.now() - sinceMs }
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}
