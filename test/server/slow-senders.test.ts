/**
 * Bodies that drip (F7): ended below the rate, never above it, and never when it is the server that does not read. Time is given,
 * bytes are real.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { SlowSenders } from '../../server/slow-senders.ts'

const rules = { minBytesPerSecond: 256, windowMs: 60_000 }
const head = 'PATCH / HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 100000\r\n\r\n'

/** A request whose head has arrived, on a server that reads it or not. */
async function arrive(t: TestContext, isRead: boolean, senders = new SlowSenders(rules)) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client: Socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    client.destroy()
    server.close()
  })
  client.write(head)
  const [req] = (await once(server, 'request')) as [IncomingMessage]
  senders.watch(req, 0)
  if (isRead) req.resume()
  return { senders, client, req }
}

/** Sends and waits until the server's kernel has handed the bytes over, read or not. */
async function deliver({ client, req }: { client: Socket; req: IncomingMessage }, bytes: number): Promise<void> {
  const before = req.socket.bytesRead
  client.write(Buffer.alloc(bytes))
  while (req.socket.bytesRead < before + bytes) await new Promise((resolve) => setImmediate(resolve))
}

test('a body below the rate is ended after its window, not before', async (t) => {
  const request = await arrive(t, true)
  await deliver(request, 1000)
  assert.equal(request.senders.sweep(59_000), 0)
  assert.equal(request.senders.sweep(60_000), 1)
  await once(request.client, 'close')
})

test('a slow body above the rate goes on as long as it likes', async (t) => {
  const request = await arrive(t, true)
  for (let window = 1; window <= 4; window++) {
    await deliver(request, 256 * 60)
    assert.equal(request.senders.sweep(window * 60_000), 0)
  }
  assert.equal(request.client.destroyed, false)
})

test('a body that the server does not read is not the fault of its sender', async (t) => {
  const request = await arrive(t, false)
  await deliver(request, 1000)
  while (request.req.readableLength === 0) await new Promise((resolve) => setImmediate(resolve))
  for (const at of [60_000, 120_000, 600_000]) assert.equal(request.senders.sweep(at), 0)
})

test('a request that is over is looked at no more', async (t) => {
  const request = await arrive(t, true)
  request.req.on('error', () => undefined)
  const closed = new Promise((resolve) => request.req.once('close', resolve))
  request.client.destroy()
  await closed
  assert.equal(request.senders.sweep(120_000), 0)
})

test('with a rate of 0 nothing is ended', async (t) => {
  const { senders } = await arrive(t, true, new SlowSenders({ ...rules, minBytesPerSecond: 0 }))
  assert.equal(senders.sweep(600_000), 0)
})
