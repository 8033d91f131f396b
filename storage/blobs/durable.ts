/**
 * The one place where something on disk becomes true: file synced, renamed, folder synced, in that order.
 *
 * Nothing else in the project renames a file that matters. Only after this returns may a row that names the file be
 * committed. An fsync that failed is never tried again: the kernel may have dropped the pages and a second call would lie.
 */
import { closeSync, fsync, openSync, rename } from 'node:fs'
import { promisify } from 'node:util'

const sync = promisify(fsync)
const move = promisify(rename)

/**
 * Makes the bytes of `file`, an open descriptor, durable under `to`. An existing file is replaced, which for content-addressed
 * data repairs a damaged one; readers that have it open keep the old inode.
 */
export async function commitFile(file: number, from: string, to: { path: string; folder: string }): Promise<void> {
  await syncAndRename(file, from, to.path)
  await syncFolder(to.folder)
}

/**
 * The same but for the folder, for many files at once: whoever says that they are there syncs each of their folders before.
 * @param file an open descriptor of what lies at `from`, a file or a folder
 */
export async function syncAndRename(file: number, from: string, to: string): Promise<void> {
  await sync(file)
  await move(from, to)
}

/** Makes the names in a folder durable: after a create, rename or unlink in it. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = openSync(folder, 'r')
  try {
    await sync(handle)
  } finally {
    closeSync(handle)
  }
}
