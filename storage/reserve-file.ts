/**
 * A file that is there to be given up: on a disk without a byte left, deleting needs a little room for its own rows.
 *
 * Owns `reserve` in the data folder. Made when there is room for it many times over, and only ever removed otherwise.
 */
import { open, rm, stat, statfs } from 'node:fs/promises'
import type { DataLayout } from './layout.ts'

export const reserveBytes = 8 * 1024 * 1024
/** It is made only where this many times its size is free: it must not be what fills the disk. */
const plenty = 16
const block = Buffer.alloc(1024 * 1024)

/** Makes the file if it is missing and there is plenty of room. */
export async function keepReserve({ root, reserve }: DataLayout): Promise<void> {
  const present = await stat(reserve).catch(() => undefined)
  const { bavail, bsize } = await statfs(root)
  if (present?.size === reserveBytes || bavail * bsize < plenty * reserveBytes) return
  const file = await open(reserve, 'w', 0o600)
  try {
    // Written, not only made longer: a hole would hold no room.
    for (let at = 0; at < reserveBytes; at += block.length) await file.write(block, 0, block.length, at)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Gives the room back to the disk. @returns whether there was any to give. */
export async function releaseReserve({ reserve }: DataLayout): Promise<boolean> {
  const present = await stat(reserve).catch(() => undefined)
  if (!present) return false
  await rm(reserve, { force: true })
  return true
}
