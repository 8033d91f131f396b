/**
 * An upload that breaks off after its first byte: `Range: 0-0` says both "one byte" and "nothing", and a client that took it for
 * nothing was refused for ever with the chunk that begins at 0.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { startRegistry } from '../support/start-registry.ts'

test('an upload that broke off after one byte goes on from where its range seems to say: the beginning', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const content = 'more than one byte'
  const location = await client.startUpload('admin/app')
  const connection = await RawConnection.open(registry)
  await connection.send(requestHead({ method: 'PATCH', path: location, headers: { 'Content-Length': String(content.length) } }))
  await connection.send(content.slice(0, 1))
  await eventually(() => registry.services.registry.writing.count === 1, 'the request to hold the session')
  connection.cut()
  await eventually(() => registry.services.registry.writing.count === 0, 'the request to be over')

  assert.equal((await client.call('GET', location)).headers.get('Range'), '0-0')
  const chunk = { body: content, headers: { 'Content-Range': `0-${content.length - 1}` } }
  assert.equal((await client.call('PATCH', location, chunk)).status, 202)
  assert.equal((await client.call('PUT', `${location}?digest=${sha256(content)}`)).status, 201)
})
