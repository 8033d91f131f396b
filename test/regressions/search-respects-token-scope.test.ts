/**
 * /v1/search looked only at whose token it was, not at what it covers: one for a single repository listed the names of all
 * that its account may pull, which the catalog refuses (threat 30).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

test('a token searches only when it covers the catalog', async (t) => {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('admin/hidden', 'v1')
  const searchWith = async (scope: string) => {
    const answer = await fetch(`${registry.url}/token?scope=${scope}`, { headers: { Authorization: basic('admin') } })
    const { token } = (await answer.json()) as { token: string }
    const found = await fetch(`${registry.url}/v1/search?q=hidden`, { headers: { Authorization: `Bearer ${token}` } })
    return { status: found.status, text: await found.text() }
  }
  const refused = await searchWith('repository:admin/other:pull')
  assert.equal(refused.status, 401)
  assert.ok(!refused.text.includes('admin/hidden'))
  const answered = await searchWith('registry:catalog:*')
  assert.equal(answered.status, 200)
  assert.ok(answered.text.includes('admin/hidden'))
})
