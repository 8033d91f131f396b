/**
 * A session that is continued in another worker: a load balancer sends every request where it likes. The other worker has
 * neither the hash of what came before nor anything else in memory; the blob must be right all the same.
 */
import assert from 'node:assert/strict'
import { appendFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import * as fc from 'fast-check'
import { releaseSessionsOf, resetSessions } from '../../registry/expire-uploads.ts'
import { claimSession } from '../../storage/metadata/uploads.ts'
import { Client, sha256, sha512 } from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { startRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoUploads, assertSessionGone } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const parts = ['the first part, ', 'the second part, ', 'the third part, ', 'and the last one'] as const
const content = parts.join('')
const offsets = parts.map((_, index) => parts.slice(0, index).join('').length)

suite('an upload in two workers', () => {
  const shared = shareRegistry()
  let other: Awaited<ReturnType<ReturnType<typeof shared>['startWorker']>>
  before(async () => void (other = await shared().startWorker()))
  after(() => other.close())
  const clients = (): [Client, Client] => [new Client(shared()), new Client(other)]

  for (const hint of ['', '?digest-algorithm=sha256', '?digest-algorithm=sha512']) {
    for (const digestOf of [sha256, sha512]) {
      const digest = digestOf(content)
      const title = `with ${hint === '' ? 'no hint' : hint} that ends as ${digest.slice(0, 6)}`

      test(`started on one, sent to the other, closed on the first, ${title}`, async () => {
        const [one, two] = clients()
        const upload = await Upload.start(one, 'workers/once', hint)
        assert.equal((await upload.as(two).stream(content)).status, 202)
        assert.equal((await upload.finish(digest)).status, 201)
        assert.equal((await two.call('GET', `/v2/workers/once/blobs/${digest}`)).bytes.toString(), content)
        await assertSessionGone(shared(), upload.id)
      })

      test(`with chunks that alternate between them, ${title}`, async () => {
        const [one, two] = clients()
        const upload = await Upload.start(one, 'workers/alternating', hint)
        const turns = [upload, upload.as(two), upload, upload.as(two)]
        for (const [index, turn] of turns.entries()) {
          assert.equal((await turn.chunk(parts[index] ?? '', offsets[index] ?? 0)).status, 202)
          for (const each of [upload, upload.as(two)])
            assert.equal(await each.bytesStored(), (offsets[index] ?? 0) + (parts[index]?.length ?? 0))
        }
        assert.equal((await upload.finish(digest)).status, 201)
        assert.equal((await two.call('GET', `/v2/workers/alternating/blobs/${digest}`)).bytes.toString(), content)
      })

      test(`with the last bytes in a closing request elsewhere, ${title}`, async () => {
        const [one, two] = clients()
        const upload = await Upload.start(one, 'workers/closing', hint)
        for (const index of [0, 1, 2]) assert.equal((await upload.chunk(parts[index] ?? '', offsets[index] ?? 0)).status, 202)
        const answer = await upload.as(two).finish(digest, { body: parts[3] })
        assert.equal(answer.status, 201)
        assert.equal((await one.call('GET', `/v2/workers/closing/blobs/${digest}`)).bytes.toString(), content)
      })
    }
  }

  test('a wrong digest is found out wherever it is closed', async () => {
    const [one, two] = clients()
    for (const digestOf of [sha256, sha512]) {
      const upload = await Upload.start(one, 'workers/wrong')
      assert.equal((await upload.chunk(parts[0], 0)).status, 202)
      assert.equal((await upload.as(two).chunk(parts[1], parts[0].length)).status, 202)
      assertRefused(await upload.finish(digestOf(parts[0])), 400, 'DIGEST_INVALID')
      await assertSessionGone(shared(), upload.id)
    }
  })

  test('refusals, interruptions and repetitions on either leave no trace in what the blob becomes', async () => {
    const [one, two] = clients()
    const anyDeed = fc.record({
      worker: fc.nat({ max: 1 }),
      deed: fc.constantFrom('chunk', 'chunk', 'early', 'late', 'long', 'empty', 'status'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(anyDeed, { maxLength: 12 }), fc.constantFrom(sha256, sha512), async (deeds, digestOf) => {
        const upload = await Upload.start(one, 'workers/any')
        let stored = ''
        for (const { worker, deed } of deeds) {
          const here = worker === 0 ? upload : upload.as(two)
          const part = `${deed} ${stored.length} `
          if (deed === 'chunk') {
            assert.equal((await here.chunk(part, stored.length)).status, 202)
            stored += part
          }
          if (deed === 'early') assert.equal((await here.chunk(part, stored.length + 1)).status, 416)
          if (deed === 'late' && stored !== '') assert.equal((await here.chunk(part, stored.length - 1)).status, 416)
          if (deed === 'long') {
            const tooLong = new Blob([part, part]).stream()
            assert.equal((await here.patch(tooLong, `${stored.length}-${stored.length + part.length - 1}`)).status, 400)
          }
          if (deed === 'empty') assert.equal((await here.stream('')).status, 202)
          if (deed === 'status') assert.equal(await here.bytesStored(), stored.length)
        }
        const digest = digestOf(stored)
        assert.equal((await upload.as(two).finish(digest)).status, 201)
        assert.equal((await one.call('GET', `/v2/workers/any/blobs/${digest}`)).bytes.toString(), stored)
      }),
      { numRuns: 40, endOnFailure: true },
    )
    await assertNoUploads(shared())
  })

  test('a session started by POST on one is found, closed again and cancelled on the other', async () => {
    const [one, two] = clients()
    const upload = await Upload.start(one, 'workers/found')
    assert.equal(await upload.as(two).range(), '0-0')
    assert.equal((await upload.as(two).finish(sha256(content), { body: content })).status, 201)
    assert.equal((await upload.finish(sha256(content))).status, 201, 'the retry of a lost answer')
    const cancelled = await Upload.start(one, 'workers/found')
    assert.equal((await cancelled.as(two).cancel()).status, 204)
    assertRefused(await cancelled.status(), 404, 'BLOB_UPLOAD_UNKNOWN')
  })
})

suite('a worker that dies in the middle of an upload', () => {
  test('leaves the session to the others once the primary has let it go, with what was counted', async (t) => {
    const registry = await startRegistry(t)
    const upload = await Upload.start(new Client(registry), 'workers/dies')
    assert.equal((await upload.chunk(parts[0], 0)).status, 202)
    // What a process that was killed leaves: its claim in the row, and bytes in the file that nobody counted.
    const claim = { id: upload.id, writer: 'dead-process:a-request', nowMs: Date.now(), untilMs: Date.now() + 60_000 }
    assert.ok(await registry.services.registry.database.write((tx) => claimSession(tx, claim)))
    await appendFile(join(registry.data, 'uploads', upload.id), 'bytes that nobody counted')
    assertRefused(await upload.chunk(parts[1], parts[0].length), 416, 'BLOB_UPLOAD_INVALID')
    await releaseSessionsOf(registry.services.registry, 'another-process')
    assertRefused(await upload.chunk(parts[1], parts[0].length), 416, 'BLOB_UPLOAD_INVALID')
    await releaseSessionsOf(registry.services.registry, 'dead-process')
    assert.equal(await upload.bytesStored(), parts[0].length)
    const rest = content.slice(parts[0].length)
    assert.equal((await upload.chunk(rest, parts[0].length)).status, 202)
    assert.equal((await upload.finish(sha256(content))).status, 201)
    await assertBlob(registry, 'workers/dies', content)
    await assertNoUploads(registry)
  })

  test('before it counted anything leaves a file that the successor cuts to what is true', async (t) => {
    const registry = await startRegistry(t)
    const upload = await Upload.start(new Client(registry), 'workers/tail')
    await appendFile(join(registry.data, 'uploads', upload.id), 'bytes of a request that was never answered, and many of them')
    assert.equal((await upload.finish(sha256('short'), { body: 'short' })).status, 201)
    await assertBlob(registry, 'workers/tail', 'short')
  })

  test('together with the power may leave less in the file than the row counts: then the client starts again', async (t) => {
    const registry = await startRegistry(t)
    const upload = await Upload.start(new Client(registry), 'workers/power')
    assert.equal((await upload.stream(content)).status, 202)
    await truncate(join(registry.data, 'uploads', upload.id), content.length - 1)
    assertRefused(await upload.finish(sha256(content)), 404, 'BLOB_UPLOAD_UNKNOWN')
    await assertNoUploads(registry)
    assert.equal((await (await Upload.start(new Client(registry), 'workers/power')).finish(sha256(content), { body: content })).status, 201)
  })

  test('with all the others: after a restart nothing is trusted that was not read again', async (t) => {
    const registry = await startRegistry(t)
    const client = new Client(registry)
    const upload = await Upload.start(client, 'workers/restart')
    assert.equal((await upload.stream(content)).status, 202)
    const { database } = registry.services.registry
    await resetSessions(registry.services.registry)
    const row = await database.read.selectFrom('upload_session').select(['digest_so_far', 'writer']).executeTakeFirstOrThrow()
    assert.deepEqual(row, { digest_so_far: null, writer: null })
    const successor = upload.as(new Client(await registry.startWorker()))
    assert.equal((await successor.finish(sha256(content))).status, 201)
    await assertBlob(registry, 'workers/restart', content)
  })
})
