/**
 * The one place where something on disk becomes true: file synced, renamed, folder synced, in that order.
 *
 * Nothing else in the project renames a file that matters. Only after this returns may a row that names the file be
 * committed. An fsync that failed is never tried again: the kernel may have dropped the pages and a second call would lie.
 */
import { open, rename, type FileHandle } from 'node:fs/promises'

/**
 * Makes the bytes of `file` durable under `to`. An existing file is replaced, which for content-addressed data repairs a
 * damaged one; readers that have it open keep the old inode.
 */
export async function commitFile(file: FileHandle, from: string, to: { path: string; folder: string }): Promise<void> {
  await file.sync()
  await rename(from, to.path)
  await syncFolder(to.folder)
}

/** Makes the names in a folder durable: after a create, rename or unlink in it. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
