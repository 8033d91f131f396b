/**
 * A disk that is full or fails while a blob is pushed: the client is told in a way that it can read, what is acknowledged is
 * there, what is not takes no room, and the client's plain retry heals once there is room again.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { Client, sha256 } from '../support/client.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { chunk, RawConnection, requestHead } from '../support/raw-connection.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoBlob, assertNoUploads, assertSessionGone, partialsOf } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const mebibyte = 1024 * 1024
const large = Buffer.alloc(6 * mebibyte, 'bytes that need room')
const digest = sha256(large)
const head = large.subarray(0, 100)

suite('a disk that is full', () => {
  test('refuses a stream with 403, keeps what was acknowledged and nothing else, and the rest arrives once there is room', async (t) => {
    const registry = await startRegistry(t)
    const disk = new FaultyDisk(registry)
    const upload = await Upload.start(new Client(registry), 'full/stream')
    assert.equal((await upload.stream(head)).status, 202)
    disk.fail('write', 'ENOSPC', 2 * mebibyte)
    const refused = await upload.stream(large.subarray(100))
    assertRefused(refused, 403, 'DENIED')
    assert.match(refused.errors[0]?.message ?? '', /no space left/)
    assert.equal(await upload.range(), '0-99')
    assert.equal((await stat(join(registry.data, 'uploads', upload.id))).size, 100, 'what is not counted takes no room')
    disk.repair()
    assert.equal((await upload.stream(large.subarray(100))).status, 202)
    assert.equal((await upload.finish(digest)).status, 201)
    await assertBlob(registry, 'full/stream', large)
    await assertNoUploads(registry)
  })

  test('refuses a closing request with all the bytes, which then succeeds when it is repeated', async (t) => {
    const registry = await startRegistry(t)
    const disk = new FaultyDisk(registry)
    const upload = await Upload.start(new Client(registry), 'full/put')
    disk.fail('write', 'ENOSPC', mebibyte)
    assertRefused(await upload.finish(digest, { body: large }), 403, 'DENIED')
    await assertNoBlob(registry, 'full/put', digest)
    disk.repair()
    assert.equal((await upload.finish(digest, { body: large })).status, 201)
    await assertBlob(registry, 'full/put', large)
    await assertNoUploads(registry)
  })

  test('refuses a whole push and leaves nothing of it', async (t) => {
    const registry = await startRegistry(t)
    const disk = new FaultyDisk(registry)
    const push = () => new Client(registry).call('POST', `/v2/full/whole/blobs/uploads/?digest=${digest}`, { body: large })
    for (const work of ['open', 'write', 'commit'] as const) {
      disk.fail(work, 'ENOSPC')
      assertRefused(await push(), 403, 'DENIED')
      await assertNoBlob(registry, 'full/whole', digest)
      disk.repair()
      await assertNoUploads(registry)
    }
    assert.equal((await push()).status, 201)
    await assertBlob(registry, 'full/whole', large)
  })

  test('at the last step, when bytes become durable, ends the session: an fsync that failed is not tried again', async (t) => {
    const registry = await startRegistry(t)
    const disk = new FaultyDisk(registry)
    const client = new Client(registry)
    const upload = await Upload.start(client, 'full/commit')
    assert.equal((await upload.stream(large)).status, 202)
    disk.fail('commit', 'ENOSPC')
    assertRefused(await upload.finish(digest), 403, 'DENIED')
    disk.repair()
    await assertSessionGone(registry, upload.id)
    await assertNoBlob(registry, 'full/commit', digest)
    assertRefused(await upload.finish(digest), 404, 'BLOB_UPLOAD_UNKNOWN')
    await client.pushBlob('full/commit', large)
    await assertBlob(registry, 'full/commit', large)
  })

  test('is told apart from one that fails', async (t) => {
    const registry = await startRegistry(t)
    const disk = new FaultyDisk(registry)
    const upload = await Upload.start(new Client(registry), 'full/failing')
    for (const code of ['EIO', 'EROFS', 'EMFILE']) {
      disk.fail('write', code)
      const refused = await upload.stream(head)
      assertRefused(refused, 503, 'UNAVAILABLE')
      assert.match(refused.errors[0]?.message ?? '', /could not store/)
      assert.doesNotMatch(refused.bytes.toString(), new RegExp(code), 'the reason is for the log')
    }
    disk.repair()
    assert.equal((await upload.stream(head)).status, 202)
    assert.equal((await upload.finish(sha256(head))).status, 201)
  })

  test('is told to a client that still sends, which may leave the rest of its body unsent', async (t) => {
    const registry = await startRegistry(t)
    const disk = new FaultyDisk(registry)
    const upload = await Upload.start(new Client(registry), 'full/early')
    disk.fail('write', 'ENOSPC')
    const connection = await RawConnection.open(registry)
    await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers: { 'Transfer-Encoding': 'chunked' } }))
    const piece = chunk(Buffer.alloc(64 * 1024, 'x'))
    const sending = (async () => {
      while (!connection.isOver) await connection.send(piece)
    })()
    const answer = await connection.answer()
    assert.equal(answer.status, 403)
    assert.match(answer.body.toString(), /no space left/)
    await connection.endedByServer()
    assert.ok(connection.bytesSent < 50 * mebibyte, `${connection.bytesSent} bytes went out`)
    connection.cut()
    await sending
    assert.equal((await upload.cancel()).status, 204)
    await assertNoUploads(registry)
  })
})

/** Only root may mount; everybody else has the failing disk above. */
if (mayMount()) {
  suite('a data folder on a file system of 8 MiB', () => {
    test('survives being filled: pushes are refused, pulls and cancels work, and a retry succeeds when there is room', async (t) => {
      const registry = await startRegistry(t, { data: await mountSmall(t, 8) })
      const client = new Client(registry)
      const kept = Buffer.alloc(mebibyte, 'kept')
      await client.pushBlob('small/kept', kept)
      const upload = await Upload.start(client, 'small/app')
      const tooLarge = Buffer.alloc(12 * mebibyte, 'x')
      for (let attempt = 0; attempt < 3; attempt++) assertRefused(await upload.stream(tooLarge), 403, 'DENIED')
      assertRefused(await upload.finish(sha256(tooLarge), { body: tooLarge }), 403, 'DENIED')
      assertRefused(await client.call('POST', `/v2/small/app/blobs/uploads/?digest=${sha256(tooLarge)}`, { body: tooLarge }), 403, 'DENIED')
      await assertBlob(registry, 'small/kept', kept)
      assert.equal(await upload.range(), '0-0')
      assert.ok((await freeBytes(registry)) > 2 * mebibyte, 'the refused pushes gave their room back')
      const fitting = Buffer.alloc(mebibyte, 'fitting')
      assert.equal((await upload.finish(sha256(fitting), { body: fitting })).status, 201)
      await assertBlob(registry, 'small/app', fitting)
      await assertNoUploads(registry)
    })

    test('refuses, but does not forget, when uploads that may go on have filled it; cancelling one makes room', async (t) => {
      const registry = await startRegistry(t, { data: await mountSmall(t, 8) })
      const client = new Client(registry)
      const part = Buffer.alloc(mebibyte, 'part')
      const filling = await Upload.start(client, 'small/filling')
      const waiting = await Upload.start(client, 'small/waiting')
      assert.equal((await waiting.stream(part)).status, 202)
      let parts = 0
      let last = await filling.stream(part)
      for (; last.status === 202; last = await filling.stream(part)) parts++
      assertRefused(last, 403, 'DENIED')
      assert.ok(parts > 1)
      assertRefused(await waiting.stream(part), 403, 'DENIED')
      assert.equal(await waiting.bytesStored(), mebibyte)
      assert.equal(await filling.bytesStored(), parts * mebibyte)
      assert.equal((await filling.cancel()).status, 204)
      assert.equal((await waiting.finish(sha256(Buffer.concat([part, part])), { body: part })).status, 201)
      await assertBlob(registry, 'small/waiting', Buffer.concat([part, part]))
      assert.deepEqual(await partialsOf(registry), [])
    })
  })
}

function mayMount(): boolean {
  if (process.getuid?.() !== 0) return false
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A file system of its own in memory, gone after the test. @returns where it is. */
async function mountSmall(t: TestContext, sizeMebibytes: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lanyard-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMebibytes}m`, 'tmpfs', folder])
  t.after(async () => {
    execFileSync('umount', ['--lazy', folder])
    await rm(folder, { recursive: true })
  })
  return folder
}

async function freeBytes(registry: Pick<TestRegistry, 'data'>): Promise<number> {
  const { bavail, bsize } = await statfs(registry.data)
  return bavail * bsize
}
