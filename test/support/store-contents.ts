/**
 * What the store holds, looked at from below: files on disk and rows, as no client can see them.
 */
import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Client, sha256 } from './client.ts'
import { eventually } from './eventually.ts'
import type { TestRegistry } from './start-registry.ts'

/** Names of what lies in the folder of unfinished uploads. */
export function partialsOf(registry: Pick<TestRegistry, 'data'>): Promise<string[]> {
  return readdir(join(registry.data, 'uploads'))
}

/** Ids of all open sessions. */
export async function sessionsOf(registry: TestRegistry): Promise<string[]> {
  const rows = await registry.services.registry.database.read.selectFrom('upload_session').select('id').execute()
  return rows.map((row) => row.id)
}

/** Names of all finished blobs' files: the hex of their digests. */
export async function blobFilesOf(registry: Pick<TestRegistry, 'data'>): Promise<string[]> {
  const entries = await readdir(join(registry.data, 'blobs'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

/** Waits until so many bytes of an upload are in its file, whether counted or not. */
export async function untilWritten(registry: Pick<TestRegistry, 'data'>, id: string, bytes: number): Promise<void> {
  await eventually(async () => {
    const found = await stat(join(registry.data, 'uploads', id)).catch(() => undefined)
    return found !== undefined && found.size >= bytes
  }, `${bytes} bytes of the upload to be written`)
}

/** Fails unless uploads left nothing: no file and no session. */
export async function assertNoUploads(registry: TestRegistry): Promise<void> {
  assert.deepEqual(await partialsOf(registry), [])
  assert.deepEqual(await sessionsOf(registry), [])
}

/** Fails unless the session is gone without a trace: no row, no file. */
export async function assertSessionGone(registry: TestRegistry, id: string): Promise<void> {
  assert.ok(!(await sessionsOf(registry)).includes(id), 'the session has no row')
  assert.ok(!(await partialsOf(registry)).includes(id), 'the session has no file')
}

/** Fails unless the repository serves exactly these bytes under their sha256, and the disk holds them too. */
export async function assertBlob(registry: TestRegistry, repository: string, content: Uint8Array | string): Promise<void> {
  const bytes = Buffer.from(content)
  const digest = sha256(bytes)
  const answer = await new Client(registry).call('GET', `/v2/${repository}/blobs/${digest}`)
  assert.equal(answer.status, 200)
  assert.ok(answer.bytes.equals(bytes), 'the blob has the bytes that were pushed')
  const encoded = digest.slice('sha256:'.length)
  const file = await readFile(join(registry.data, 'blobs', 'sha256', encoded.slice(0, 2), encoded))
  assert.ok(file.equals(bytes), 'the file has the bytes that were pushed')
}

/** Fails if the repository serves anything under the digest. */
export async function assertNoBlob(registry: TestRegistry, repository: string, digest: string): Promise<void> {
  assert.equal((await new Client(registry).call('HEAD', `/v2/${repository}/blobs/${digest}`)).status, 404)
}
