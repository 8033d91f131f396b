/**
 * Copies and reads files with their digest computed in the flow: what is copied is what was asked for, or nothing.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { link, open, rm } from 'node:fs/promises'
import { algorithmOf, type SupportedDigest } from '../../oci/digest.ts'
import { systemCode } from '../faults.ts'
import { syncAndRename } from '../blobs/durable.ts'

const bufferBytes = 1024 * 1024

/** What a file holds. */
export interface FileFacts {
  readonly sizeBytes: number
  /** In the form of an OCI digest. */
  readonly digest: string
}

/** Reads a file to its end. @throws when there is none */
export async function measureFile(path: string, algorithm: 'sha256' | 'sha512' = 'sha256'): Promise<FileFacts> {
  return pass(path, algorithm, async () => undefined)
}

export interface CopyWish {
  readonly from: string
  /** Where it is made, on the file system of `to`. */
  readonly unfinished: string
  readonly to: string
  readonly digest: SupportedDigest
  readonly sizeBytes: number
  /** Links it instead, if both are on one file system. */
  readonly mayLink: boolean
}

/** `absent`: there is no file; `damaged`: it holds other bytes. Then nothing is left at `to`. */
export type CopyOutcome = 'copied' | 'linked' | 'absent' | 'damaged'

/**
 * Brings a blob to another place, durably but for the folder it is then in, whose sync is the caller's.
 * What is linked is read, too: a link to damaged bytes would be no copy.
 */
export async function copyVerified(wish: CopyWish): Promise<CopyOutcome> {
  const { from, unfinished, to, digest, sizeBytes } = wish
  const algorithm = algorithmOf(digest)
  try {
    await rm(unfinished, { force: true })
    const isLinked = wish.mayLink && (await linked(from, unfinished))
    const facts = isLinked ? await measureFile(unfinished, algorithm) : await copy(from, unfinished, algorithm)
    if (facts.digest !== digest || facts.sizeBytes !== sizeBytes) return 'damaged'
    const file = await open(unfinished, 'r')
    try {
      await syncAndRename(file.fd, unfinished, to)
    } finally {
      await file.close()
    }
    return isLinked ? 'linked' : 'copied'
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 'absent'
    throw error
  } finally {
    // A rename of a link onto another link to the same file leaves both.
    await rm(unfinished, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    // Another file system, one without links, or a file that has all the links it can have.
    if (['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS'].includes(systemCode(error) ?? '')) return false
    throw error
  }
}

/** Copies a file that is no blob, synced. @returns what was copied */
export async function copyFileDurably(from: string, to: string): Promise<FileFacts> {
  const facts = await copy(from, to, 'sha256')
  const file = await open(to, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
  return facts
}

async function copy(from: string, to: string, algorithm: 'sha256' | 'sha512'): Promise<FileFacts> {
  const target = await open(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    return await pass(from, algorithm, async (bytes) => {
      for (let written = 0; written < bytes.length;) written += (await target.write(bytes, written)).bytesWritten
    })
  } finally {
    await target.close()
  }
}

async function pass(from: string, algorithm: 'sha256' | 'sha512', take: (bytes: Uint8Array) => Promise<void>): Promise<FileFacts> {
  const source = await open(from, 'r')
  try {
    const hash = createHash(algorithm)
    const buffer = Buffer.allocUnsafe(bufferBytes)
    let sizeBytes = 0
    for (;;) {
      const { bytesRead } = await source.read(buffer, 0, buffer.length, sizeBytes)
      if (bytesRead === 0) return { sizeBytes, digest: `${algorithm}:${hash.digest('hex')}` }
      const bytes = buffer.subarray(0, bytesRead)
      hash.update(bytes)
      await take(bytes)
      sizeBytes += bytesRead
    }
  } finally {
    await source.close()
  }
}
