/**
 * Two requests write to one session at once, in one worker or in two: one wins, the other is told where it stands, and the
 * blob is right or refused, never wrong.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Client, sha256, type Answer } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoUploads, assertSessionGone, blobFilesOf, sessionsOf, untilWritten } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const mebibyte = 1024 * 1024
const one = Buffer.alloc(200_000, 'one')
const other = Buffer.alloc(200_000, 'other')

interface Stage {
  readonly registry: TestRegistry
  /** Two clients, in the second case of two workers on one folder. */
  readonly clients: readonly [Client, Client]
}

const stages: readonly (readonly [what: string, prepare: (registry: TestRegistry) => Promise<Stage>])[] = [
  ['one worker', async (registry) => ({ registry, clients: [new Client(registry), new Client(registry)] })],
  ['two workers', async (registry) => ({ registry, clients: [new Client(registry), new Client(await registry.startWorker())] })],
]

for (const [what, prepare] of stages) {
  suite(`two writers on ${what}`, () => {
    test('of one session: exactly one goes on, the other gets 416 with the range, and the winner has its bytes stored', async (t) => {
      const { registry, clients } = await prepare(await startRegistry(t))
      for (let round = 0; round < 8; round++) {
        const upload = await Upload.start(clients[0], 'race/patch')
        const answers = await Promise.all([upload.chunk(one, 0), upload.as(clients[1]).chunk(other, 0)])
        const winner = answers.findIndex((answer) => answer.status === 202)
        assert.deepEqual(statusesOf(answers), [202, 416])
        const loser = answers.find((answer) => answer.status === 416)
        assert.ok(loser)
        assertRefused(loser, 416, 'BLOB_UPLOAD_INVALID')
        assert.equal(loser.headers.get('Location'), upload.location)
        assert.match(loser.headers.get('Range') ?? '', /^0-(0|199999)$/)
        const content = winner === 0 ? one : other
        assert.equal(await upload.bytesStored(), content.length)
        assert.equal((await upload.finish(sha256(content))).status, 201)
        await assertBlob(registry, 'race/patch', content)
      }
      await assertNoUploads(registry)
    })

    test('closing one session with different bytes: one is created and right, the other is refused and invisible', async (t) => {
      const { registry, clients } = await prepare(await startRegistry(t))
      for (let round = 0; round < 8; round++) {
        const contents = [Buffer.concat([one, Buffer.from(`${round}`)]), Buffer.concat([other, Buffer.from(`${round}`)])] as const
        const upload = await Upload.start(clients[0], 'race/put')
        const answers = await Promise.all([
          upload.finish(sha256(contents[0]), { body: contents[0] }),
          upload.as(clients[1]).finish(sha256(contents[1]), { body: contents[1] }),
        ])
        const created = answers.filter((answer) => answer.status === 201)
        assert.equal(created.length, 1, statusesOf(answers).join())
        assert.ok(
          answers.every(({ status }) => [201, 404, 416].includes(status)),
          statusesOf(answers).join(),
        )
        const winner = answers[0]?.status === 201 ? contents[0] : contents[1]
        await assertBlob(registry, 'race/put', winner)
      }
      assert.equal((await blobFilesOf(registry)).length, 8)
      await assertNoUploads(registry)
    })

    test('closing one session with the same bytes: at least one is created, nobody is told that it failed for good', async (t) => {
      const { registry, clients } = await prepare(await startRegistry(t))
      for (let round = 0; round < 8; round++) {
        const content = Buffer.concat([one, Buffer.from(`${round}`)])
        const upload = await Upload.start(clients[0], 'race/same')
        const answers = await Promise.all(clients.map((client) => upload.as(client).finish(sha256(content), { body: content })))
        assert.ok(answers.some(({ status }) => status === 201))
        assert.ok(
          answers.every(({ status }) => status === 201 || status === 416),
          statusesOf(answers).join(),
        )
        for (const client of clients) assert.equal((await upload.as(client).finish(sha256(content), { body: content })).status, 201)
        await assertBlob(registry, 'race/same', content)
      }
      await assertNoUploads(registry)
    })

    test('one that appends while the other cancels: the session is gone or goes on, never half of each', async (t) => {
      const { registry, clients } = await prepare(await startRegistry(t))
      for (let round = 0; round < 10; round++) {
        const upload = await Upload.start(clients[0], 'race/cancel')
        const [appended, cancelled] = await Promise.all([upload.stream(one), upload.as(clients[1]).cancel()])
        if (cancelled.status === 204) {
          assert.ok([202, 404, 416].includes(appended.status), String(appended.status))
          assertRefused(await upload.status(), 404, 'BLOB_UPLOAD_UNKNOWN')
          await assertSessionGone(registry, upload.id)
        } else {
          assertRefused(cancelled, 416, 'BLOB_UPLOAD_INVALID')
          assert.equal(appended.status, 202)
          assert.equal((await upload.finish(sha256(one))).status, 201)
        }
      }
      await assertNoUploads(registry)
    })

    for (const order of ['before', 'after'] as const) {
      test(`one that stood still for longer than its claim cannot harm what its successor publishes ${order} it wakes`, async (t) => {
        const { registry, clients } = await prepare(await startRegistry(t))
        const upload = await Upload.start(clients[0], 'race/stalled')
        const stalled = await RawConnection.open(registry)
        // Enough to be written before the rest arrives, so that both are in the file.
        const slow = Buffer.alloc(2 * mebibyte, 'slow')
        const path = `${upload.location}?digest=${sha256(slow)}`
        await stalled.send(requestHead({ method: 'PUT', path, headers: { 'Content-Length': String(slow.length) } }))
        await stalled.send(slow.subarray(0, slow.length - 1000))
        await untilWritten(registry, upload.id, mebibyte)
        const successor = upload.as(clients[1])
        await eventually(async () => {
          registry.advance(61_000)
          return (await successor.chunk(other, 0)).status === 202
        }, 'the claim to have run out')
        if (order === 'before') assert.equal((await successor.finish(sha256(other))).status, 201)
        await stalled.send(slow.subarray(slow.length - 1000))
        const answer = await stalled.answer()
        stalled.cut()
        assert.ok([404, 416].includes(answer.status), String(answer.status))
        if (order === 'after') assert.equal((await successor.finish(sha256(other))).status, 201)
        await assertBlob(registry, 'race/stalled', other)
        await assertNoUploads(registry)
      })
    }
  })
}

suite('many clients that finish, append to and cancel the same few sessions', () => {
  test('leave only right blobs, and every session ends', async (t) => {
    const registry = await startRegistry(t)
    const clients = [new Client(registry), new Client(await registry.startWorker())] as const
    const uploads = await Promise.all(Array.from({ length: 5 }, () => Upload.start(clients[0], 'race/many')))
    const work = Array.from({ length: 100 }, async (_, index) => {
      const upload = (uploads[index % 5] ?? assert.fail('there are five')).as(clients[index % 2 === 0 ? 0 : 1])
      const part = Buffer.alloc(10_000, String(index))
      const deed = index % 7
      if (deed < 4) return upload.stream(part)
      if (deed < 6) return upload.finish(sha256(part), { body: part })
      return upload.cancel()
    })
    for (const { status } of await Promise.all(work)) assert.ok([201, 202, 204, 400, 404, 416].includes(status), String(status))
    for (const upload of uploads) assert.ok([204, 404].includes((await upload.cancel()).status))
    assert.deepEqual(await sessionsOf(registry), [])
    await assertNoUploads(registry)
    for (const hex of await blobFilesOf(registry)) {
      const blob = await clients[0].call('GET', `/v2/race/many/blobs/sha256:${hex}`)
      assert.equal(sha256(blob.bytes), `sha256:${hex}`)
    }
  })
})

function statusesOf(answers: readonly Answer[]): number[] {
  return answers.map(({ status }) => status).toSorted((left, right) => left - right)
}
