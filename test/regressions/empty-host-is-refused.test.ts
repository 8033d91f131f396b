/**
 * Until the first request with a good Host header had come, one with an empty Host passed for the same as the last: its
 * challenge had the realm http:///token.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { startRegistry } from '../support/start-registry.ts'

test('an empty Host header is refused, also when it is the first that comes', async (t) => {
  const registry = await startRegistry(t)
  const ask = async (host: string): Promise<string> => {
    const socket = connect(registry.port, '127.0.0.1')
    socket.write(`GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    return text(socket)
  }
  assert.match(await ask(''), /^HTTP\/1\.1 400 /)
  assert.match(await ask(registry.host), /^HTTP\/1\.1 401 /)
  assert.match(await ask(''), /^HTTP\/1\.1 400 /)
})
