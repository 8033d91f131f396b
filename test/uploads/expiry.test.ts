/**
 * Uploads that nobody goes on with: gone after their time, row and file. One that still moves, however slowly, is never
 * touched, and nothing that lies in the folder can stop the work.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { expireUploads } from '../../registry/expire-uploads.ts'
import { startUpload } from '../../registry/push-blob.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { basic, Client, sha256 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { assertBlob, assertNoUploads, partialsOf, sessionsOf } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const hourMs = 3_600_000
const content = 'the bytes of a blob'

suite('an upload that nobody goes on with', () => {
  test('is kept for its time and gone after it, with its file, as if it had never been', async (t) => {
    const registry = await startRegistry(t)
    const client = new Client(registry)
    const abandoned = await Upload.start(client, 'expiry/app')
    assert.equal((await abandoned.stream(content)).status, 202)
    const empty = await Upload.start(client, 'expiry/app')
    registry.advance(23 * hourMs)
    const younger = await Upload.start(client, 'expiry/app')
    assert.equal((await younger.stream(content)).status, 202)
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 0 })
    assert.equal(await abandoned.bytesStored(), content.length)
    registry.advance(hourMs + 1000)
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 2, files: 0 })
    for (const upload of [abandoned, empty]) {
      assertRefused(await upload.status(), 404, 'BLOB_UPLOAD_UNKNOWN')
      assertRefused(await upload.stream('x'), 404, 'BLOB_UPLOAD_UNKNOWN')
      assertRefused(await upload.finish(sha256(content)), 404, 'BLOB_UPLOAD_UNKNOWN')
    }
    assert.deepEqual(await partialsOf(registry), [younger.id])
    assert.equal((await younger.finish(sha256(content))).status, 201)
    await assertNoUploads(registry)
  })

  test('lives as long as the setting says', async (t) => {
    const registry = await startRegistry(t, { settings: { UPLOADS_EXPIRE_HOURS: '2' } })
    const upload = await Upload.start(new Client(registry), 'expiry/setting')
    registry.advance(2 * hourMs - 1000)
    assert.equal((await expireUploads(registry.services.registry)).sessions, 0)
    assert.equal(await upload.range(), '0-0')
    registry.advance(2000)
    assert.equal((await expireUploads(registry.services.registry)).sessions, 1)
  })

  test('makes room for others of its account', async (t) => {
    const registry = await startRegistry(t, { settings: { UPLOADS_MAX_PER_ACCOUNT: '1' } })
    const client = new Client(registry)
    await Upload.start(client, 'expiry/room')
    assertRefused(await client.call('POST', '/v2/expiry/room/blobs/uploads/'), 429, 'TOOMANYREQUESTS')
    registry.advance(25 * hourMs)
    await expireUploads(registry.services.registry)
    await Upload.start(client, 'expiry/room')
  })

  test('is one of any number, and all go in one run, also when two processes clear up at once', async (t) => {
    const registry = await startRegistry(t)
    const worker = await registry.startWorker()
    const start = { repository: parseRepositoryName('expiry/many'), accountId: null, algorithm: 'sha256' } as const
    for (let count = 0; count < 350; count++) await startUpload(registry.services.registry, start)
    registry.advance(25 * hourMs)
    const runs = await Promise.all([expireUploads(registry.services.registry), expireUploads(worker.services.registry)])
    assert.equal((runs[0]?.sessions ?? 0) + (runs[1]?.sessions ?? 0), 350)
    assert.deepEqual(await sessionsOf(registry), [])
  })

  test('whose account was removed leaves a file that goes as well', async (t) => {
    const registry = await startRegistry(t)
    await registry.addUser('alice')
    const upload = await Upload.start(new Client(registry, basic('alice')), 'alice/app')
    assert.equal((await upload.stream(content)).status, 202)
    await registry.services.registry.database.write((tx) => tx.deleteFrom('account').where('name', '=', 'alice').execute())
    assert.deepEqual(await sessionsOf(registry), [])
    await grow(registry, upload.id)
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 1 })
    await assertNoUploads(registry)
  })
})

suite('an upload that still moves', () => {
  test('by a chunk a day is never removed, and ends well', async (t) => {
    const registry = await startRegistry(t)
    const upload = await Upload.start(new Client(registry), 'expiry/slow')
    for (const [index, character] of Array.from(content).entries()) {
      registry.advance(23 * hourMs)
      assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 0 })
      assert.equal((await upload.chunk(character, index)).status, 202)
    }
    assert.equal((await upload.finish(sha256(content))).status, 201)
    await assertBlob(registry, 'expiry/slow', content)
    await assertNoUploads(registry)
  })

  test('in one request that takes days is never removed while its worker gives signs of life', async (t) => {
    const registry = await startRegistry(t)
    const upload = await Upload.start(new Client(registry), 'expiry/days')
    t.mock.timers.enable({ apis: ['setInterval'] })
    const connection = await RawConnection.open(registry)
    await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers: { 'Content-Length': String(content.length) } }))
    for (const byte of content.slice(0, -1)) {
      await connection.send(byte)
      await eventually(() => registry.services.registry.writing.count === 1, 'the request to arrive')
      registry.advance(23 * hourMs)
      const since = await movedAt(registry, upload.id)
      await eventually(async () => {
        t.mock.timers.tick(20_000)
        return (await movedAt(registry, upload.id)) > since
      }, 'a sign of life')
      registry.advance(2 * hourMs)
      assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 0 })
    }
    await connection.send(content.slice(-1))
    assert.equal((await connection.answer()).status, 202)
    connection.cut()
    t.mock.timers.reset()
    assert.equal((await upload.finish(sha256(content))).status, 201)
    await assertBlob(registry, 'expiry/days', content)
  })
})

suite('what else lies in the folder of uploads', () => {
  test('cannot stop the clearing up, which touches nothing outside and removes what a crash left', async (t) => {
    const registry = await startRegistry(t)
    const uploads = join(registry.data, 'uploads')
    const outside = join(registry.data, 'outside')
    await writeFile(outside, 'not an upload')
    const left = randomUUID()
    await writeFile(join(uploads, left), 'what a crash left')
    await mkdir(join(uploads, randomUUID()))
    await mkdir(join(uploads, 'a folder'))
    await writeFile(join(uploads, 'a folder', 'a file'), 'in a folder')
    await symlink(outside, join(uploads, 'link'))
    await symlink(outside, join(uploads, randomUUID()))
    await symlink(join(uploads, 'nowhere'), join(uploads, randomUUID()))
    execFileSync('mkfifo', [join(uploads, randomUUID())])
    for (const name of ['.hidden', 'with space', 'with\nline break', '-rf', 'ü', 'x'.repeat(255)]) await writeFile(join(uploads, name), '')
    const abandoned = await Upload.start(new Client(registry), 'expiry/odd')
    assert.equal((await abandoned.stream(content)).status, 202)
    registry.advance(25 * hourMs)
    const young = await Upload.start(new Client(registry), 'expiry/odd')
    assert.equal((await young.stream(content)).status, 202)
    const ended = await expireUploads(registry.services.registry)
    assert.equal(ended.sessions, 1)
    assert.ok(ended.files >= 1)
    const remaining = await partialsOf(registry)
    assert.ok(!remaining.includes(left), 'what a crash left is gone')
    assert.ok(!remaining.includes(abandoned.id), 'what was abandoned is gone')
    assert.ok(remaining.includes(young.id), 'what is young stays')
    assert.equal(await readFile(outside, 'utf8'), 'not an upload')
    assert.ok((await lstat(join(uploads, 'a folder', 'a file'))).isFile())
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 0 }, 'a second run finds nothing to do')
    assert.equal((await young.finish(sha256(content))).status, 201)
  })

  test('and is young stays, because its row may be about to come', async (t) => {
    const registry = await startRegistry(t)
    const id = randomUUID()
    await writeFile(join(registry.data, 'uploads', id), 'just begun')
    registry.advance(23 * hourMs)
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 0 })
    assert.deepEqual(await partialsOf(registry), [id])
    await grow(registry, id)
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 1 })
    assert.deepEqual(await partialsOf(registry), [])
  })

  test('by the thousand is cleared in one run, and what belongs to a session stays', async (t) => {
    const registry = await startRegistry(t)
    const upload = await Upload.start(new Client(registry), 'expiry/thousand')
    assert.equal((await upload.stream(content)).status, 202)
    await Promise.all(Array.from({ length: 1000 }, () => writeFile(join(registry.data, 'uploads', randomUUID()), '')))
    registry.advance(23 * hourMs)
    assert.equal((await upload.stream('!')).status, 202)
    registry.advance(2 * hourMs)
    assert.deepEqual(await expireUploads(registry.services.registry), { sessions: 0, files: 1000 })
    assert.deepEqual(await partialsOf(registry), [upload.id])
    assert.equal((await upload.finish(sha256(`${content}!`))).status, 201)
  })
})

/** Makes a file look a month old. */
async function grow(registry: Pick<TestRegistry, 'data'>, id: string): Promise<void> {
  const then = new Date(Date.now() - 30 * 24 * hourMs)
  await utimes(join(registry.data, 'uploads', id), then, then)
}

/** When something last moved on a session, by the registry's clock. */
async function movedAt(registry: TestRegistry, id: string): Promise<number> {
  const { read } = registry.services.registry.database
  return (await read.selectFrom('upload_session').select('updated_at_ms').where('id', '=', id).executeTakeFirstOrThrow()).updated_at_ms
}
