/**
 * Data folders for tests below HTTP: a layout on a temporary folder, with the parts made that a test asks for.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext } from 'node:test'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'

export type Cleanup = Pick<TestContext, 'after'>

/** An empty data folder, gone when the test is over. */
export function emptyDataFolder(t: Cleanup): DataLayout {
  const root = mkdtempSync(join(tmpdir(), 'lanyard-test-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  return dataLayout(root)
}

/** A data folder in which blobs can be stored. Making it costs more than most tests: see shareBlobFolder. */
export async function blobFolder(t: Cleanup): Promise<DataLayout> {
  const layout = emptyDataFolder(t)
  await DiskBlobStore.prepare(layout)
  return layout
}

/**
 * One set of blob folders for all tests of a suite; call inside `suite`. Blobs that a test stores stay for the next, under
 * their digests; uploads, collected ones and rows do not.
 * @returns gives each test a layout with folders of its own for those, and a database.
 */
export function shareBlobFolder(): () => DataLayout {
  let shared: DataLayout | undefined
  let count = 0
  const cleanups: (() => void)[] = []
  before(async () => {
    shared = await blobFolder({ after: (cleanup) => void cleanups.push(cleanup as () => void) })
  })
  after(() => {
    for (const cleanup of cleanups) cleanup()
  })
  return () => {
    assert.ok(shared, 'the folders are made')
    const own = {
      uploads: join(shared.root, `uploads-${++count}`),
      collected: join(shared.root, `collected-${count}`),
      database: join(shared.root, `lanyard-${count}.db`),
    }
    for (const folder of [own.uploads, own.collected]) mkdirSync(folder, { mode: 0o700 })
    return { ...shared, ...own }
  }
}
