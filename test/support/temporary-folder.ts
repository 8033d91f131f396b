/** A folder for one test, gone when the test is over. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export type Cleanup = Pick<TestContext, 'after'>

export function temporaryFolder(t: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), 'lanyard-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** @returns the path of a new file with this content, in a folder of its own. */
export function temporaryFile(t: Cleanup, name: string, content: string): string {
  const path = join(temporaryFolder(t), name)
  writeFileSync(path, content)
  return path
}
