/**
 * What is not /v2 was found in any case: /Metrics was /metrics. A proxy rule that keeps one from the public let the other
 * through.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

test('a path in another case is another path, which is not there', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_ACCESS: 'anyone' } })
  for (const path of ['/metrics', '/token', '/readyz', '/api/v1/repositories', '/v2/', '/v2/_catalog']) {
    const statusOf = async (text: string) => (await fetch(registry.url + text, { headers: { Authorization: basic('admin') } })).status
    assert.equal(await statusOf(path), 200, path)
    assert.equal(await statusOf(path.toUpperCase()), 404, path.toUpperCase())
  }
})
