/**
 * Proving a backup folder: everything that a restore would read is read, and compared with what was written.
 *
 * Changes nothing, also on a medium that cannot be written. Not to be run while a backup into the folder is made: what that removes
 * would look like damage.
 */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { isDigest, isSupported, parseDigest, requireSupported } from '../../oci/digest.ts'
import { systemCode } from '../faults.ts'
import { allBlobFolders, blobPath, digestOfBlobFile } from '../layout.ts'
import {
  BackupError,
  keyFolder,
  listSnapshots,
  partPath,
  readDescription,
  requireBackup,
  snapshotParts,
  type BackupFolder,
  type SnapshotDescription,
  type SnapshotParts,
} from './backup-folder.ts'
import { blobsIn, findDamage, readFacts } from './copy-database.ts'
import { measureFile } from './copy-file.ts'

/** Something that a restore would miss, and what to do. */
export interface BackupFault {
  readonly path: string
  readonly what: string
  readonly advice: string
}

export interface BackupProof {
  readonly snapshots: readonly { readonly id: string; readonly takenAt: string | undefined; readonly isWhole: boolean }[]
  /** Blobs that were read, each once. */
  readonly blobs: number
  readonly bytes: number
  readonly faults: readonly BackupFault[]
  /** Blobs that were damaged in the store already when a backup was made. */
  readonly damagedBefore: readonly string[]
  /** Files that no snapshot needs: a backup that was interrupted leaves them, the next one takes them away. */
  readonly superfluous: number
}

/** @throws {BackupError} the folder is no backup folder, or holds no backup */
export async function verifyBackup(folder: BackupFolder): Promise<BackupProof> {
  requireBackup(folder)
  const ids = await listSnapshots(folder)
  if (ids.length === 0) throw new BackupError(`${folder.root} holds no complete backup`)
  const proof = new Proof(folder)
  const snapshots = []
  for (const id of ids) snapshots.push(await proof.snapshot(id))
  return { snapshots, ...(await proof.end()) }
}

class Proof {
  readonly #folder: BackupFolder
  readonly #faults: BackupFault[] = []
  readonly #damagedBefore = new Set<string>()
  /** SHA-256 of the digests that were looked at: 20 bytes each instead of 100, for a million blobs. */
  readonly #seen = new Set<string>()
  #bytes = 0

  constructor(folder: BackupFolder) {
    this.#folder = folder
  }

  async snapshot(id: string): Promise<BackupProof['snapshots'][number]> {
    const before = this.#faults.length
    const parts = snapshotParts(this.#folder, id)
    const description = await this.#description(parts)
    if (description) {
      await this.#files(parts, description)
      for (const digest of description.damaged) this.#damagedBefore.add(digest)
    }
    await this.#database(parts, description)
    return { id, takenAt: description?.takenAt, isWhole: this.#faults.length === before }
  }

  async end(): Promise<Omit<BackupProof, 'snapshots'>> {
    return {
      blobs: this.#seen.size,
      bytes: this.#bytes,
      faults: this.#faults,
      damagedBefore: [...this.#damagedBefore].toSorted(),
      superfluous: await this.#superfluous(),
    }
  }

  #fault(path: string, what: string, advice: string): void {
    this.#faults.push({ path, what, advice })
  }

  async #description(parts: SnapshotParts): Promise<SnapshotDescription | undefined> {
    try {
      return await readDescription(parts)
    } catch (error) {
      if (!(error instanceof BackupError)) throw error
      this.#fault(parts.description, 'missing or damaged', `restore another snapshot; delete ${parts.root} and make a new backup`)
      return undefined
    }
  }

  async #files(parts: SnapshotParts, { files }: SnapshotDescription): Promise<void> {
    const advice = `restore another snapshot; delete ${parts.root} and make a new backup`
    for (const [name, expected] of Object.entries(files)) {
      const path = partPath(parts, name)
      const actual = await measured(path)
      if (!actual) this.#fault(path, 'missing', advice)
      else if (actual.digest !== expected.digest || actual.sizeBytes !== expected.sizeBytes)
        this.#fault(path, 'not what was written', advice)
    }
    const keys = await readdir(parts.keys).catch(() => [])
    for (const name of keys.filter((each) => !(`${keyFolder}/${each}` in files)))
      this.#fault(
        partPath(parts, `${keyFolder}/${name}`),
        'not of this backup',
        'find out who put it there: what it signs would be believed',
      )
  }

  async #database(parts: SnapshotParts, description: SnapshotDescription | undefined): Promise<void> {
    const advice = `restore another snapshot; delete ${parts.root} and make a new backup`
    const damage = findDamage(parts.database)
    if (damage.length > 0) return this.#fault(parts.database, damage[0] ?? '', advice)
    const facts = readFacts(parts.database)
    const differs = description && Object.entries(facts).find(([key, value]) => description[key as keyof typeof facts] !== value)
    if (differs) this.#fault(parts.database, `${differs[0]} are ${differs[1]}, and not as its description says`, advice)
    const excused = new Set(description?.damaged)
    for (const blob of blobsIn(parts.database)) if (!excused.has(blob.digest)) await this.#blob(blob.digest, blob.sizeBytes)
  }

  async #blob(digest: string, sizeBytes: number): Promise<void> {
    const key = createHash('sha256').update(digest).digest('base64').slice(0, 27)
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    if (!isDigest(digest) || !isSupported(digest)) return this.#fault(digest, 'no digest that this version knows', 'use a newer version')
    const known = requireSupported(parseDigest(digest))
    const path = blobPath(this.#folder, known)
    const actual = await measured(path, known)
    const again = 'make a new backup: the store may still have it'
    if (!actual) return this.#fault(path, 'missing', again)
    this.#bytes += actual.sizeBytes
    if (actual.digest !== digest || actual.sizeBytes !== sizeBytes)
      this.#fault(path, 'not the bytes of its digest', `delete it and ${again}`)
  }

  async #superfluous(): Promise<number> {
    let count = 0
    for (const each of allBlobFolders(this.#folder)) {
      for (const name of await readdir(each).catch(() => [])) {
        const digest = digestOfBlobFile(each, name)
        const key = createHash('sha256')
          .update(digest ?? '')
          .digest('base64')
          .slice(0, 27)
        if (digest === undefined || !this.#seen.has(key)) count++
      }
    }
    return count
  }
}

async function measured(path: string, digest?: string) {
  try {
    return await measureFile(path, digest?.startsWith('sha512:') ? 'sha512' : 'sha256')
  } catch (error) {
    const code = systemCode(error) ?? ''
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(code)) return undefined
    if (code === 'EIO') return { digest: '', sizeBytes: -1 }
    throw error
  }
}
