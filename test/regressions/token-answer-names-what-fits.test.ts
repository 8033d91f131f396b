/**
 * When a token had no room for all that was granted, the answer named the scopes that had been left out as well: clients
 * that cache by the answer's scope sent a token that did not cover what it was kept for.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

test('the scope of a token answer is what the token covers, not what would have been granted', async (t) => {
  const registry = await startRegistry(t)
  const asked = Array.from({ length: 100 }, (_, index) => `repository:admin/${'x'.repeat(100)}${index}:pull`)
  const url = `${registry.url}/token?${asked.map((scope) => `scope=${scope}`).join('&')}`
  const answer = await fetch(url, { headers: { Authorization: basic('admin') } })
  const { token, scope } = (await answer.json()) as { token: string; scope: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { access: { name: string }[] }
  assert.deepEqual(
    scope.split(' ').map((each) => each.split(':')[1]),
    claims.access.map(({ name }) => name),
  )
  assert.ok(claims.access.length < asked.length, 'not all had room')
})
