/** Names of the files of a store, as they lie on the disk. */
import { readdirSync } from 'node:fs'
import type { DataLayout } from '../../storage/layout.ts'

/** The hex of the digests of all blobs, in order. */
export function blobFilesIn({ blobs }: DataLayout): string[] {
  const entries = readdirSync(blobs, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .toSorted()
}

export function collectedFilesIn({ collected }: DataLayout): string[] {
  return readdirSync(collected)
}
