/**
 * GET /token took a Bearer token for credentials: whoever held one for a single pull could exchange it for one that covers
 * all its account may do, and that one for the next, for ever (threat 30).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

test('a token cannot be exchanged for another, neither a wider nor a later one', async (t) => {
  const registry = await startRegistry(t)
  const ask = (authorization: string, scope: string) =>
    fetch(`${registry.url}/token?service=lanyard&scope=${scope}`, { headers: { Authorization: authorization } })
  const narrow = await ask(basic('admin'), 'repository:admin/app:pull')
  const { token } = (await narrow.json()) as { token: string }
  for (const scope of ['repository:admin/app:pull', 'repository:admin/app:*', 'registry:catalog:*']) {
    const response = await ask(`Bearer ${token}`, scope)
    assert.equal(response.status, 401)
    assert.ok(!(await response.text()).includes('access_token'))
  }
})
