/**
 * The scrub: reads everything that is stored again, blobs, then manifests, then the names of all files, and puts what is damaged into
 * quarantine. Runs beside any number of requests, uploads and collectors.
 *
 * How far it has come is a row, so that it goes on there after a stop; only a blob that was being read is begun again. Invariant: what it
 * finds is judged once more within the transaction that acts on it, because it may have been stored anew or collected meanwhile.
 */
import { createHash } from 'node:crypto'
import { algorithmOf, digestFromHex, digestOf, isSupported, type Digest, type SupportedDigest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { BlobReader } from '../storage/blobs/blob-store.ts'
import { systemCode } from '../storage/faults.ts'
import {
  findScrubRun,
  finishScrubRun,
  getServerState,
  listBlobsAfter,
  listManifestsAfter,
  manifestContent,
  noteScrub,
  quarantineOf,
  setServerState,
  type BlobToRead,
  type ManifestKey,
  type ScrubProgress,
  type ScrubRunRow,
} from '../storage/metadata/scrubs.ts'
import { healBlob, quarantineBlob, quarantineManifest, type BadBlob } from './quarantine.ts'
import type { Registry } from './registry.ts'
import { OrphanRemoval } from './scrub-orphans.ts'
import { ScrubPace } from './scrub-pace.ts'

const sliceBytes = 1024 * 1024
/** Rows that are read at once. */
const batch = 100
/** How often it is written down how far the scrub has come. */
const noteEveryMs = 1000
/** Rather a disk that was not mounted than so much damage; each costs a durable row and an event of the audit log. */
const usualMissingInARow = 1000

export interface ScrubParts {
  readonly registry: Registry
  readonly bytesPerSecond: number
  /** Milliseconds, never going back. */
  readonly monotonic: () => number
  /** After so many blobs without a file, one after the other, it stops: 1,000 if not given. */
  readonly missingInARow?: number
  /** Told of bytes that were read. */
  readonly onRead?: (bytes: number) => void
}

/**
 * Goes on with the scrub that is open until it is finished, or `signal` ends it.
 * @returns the finished scrub; undefined: none was open, or it was ended
 * @throws {RegistryError} storageFailed, storageFull: the disk does not even let it look, or note what it found; it can go on later
 */
export async function continueScrub(parts: ScrubParts, signal: AbortSignal): Promise<ScrubRunRow | undefined> {
  const { database } = parts.registry
  const run = await findScrubRun(database.read, 'open')
  if (!run) return undefined
  const scrub = new Scrub(parts, run, signal)
  try {
    await scrub.run()
  } catch (error) {
    if (!signal.aborted) throw error
    return undefined
  } finally {
    await scrub.note()
  }
  await finish(parts.registry, run)
  return findScrubRun(database.read, 'finished')
}

async function finish({ database, clock }: Registry, run: ScrubRunRow): Promise<void> {
  await database.write(async (tx) => {
    await finishScrubRun(tx, clock())
    const { unclean_at_ms: uncleanAtMs } = await getServerState(tx)
    // Everything that was there before the last unclean stop has been read since.
    if (uncleanAtMs !== null && uncleanAtMs <= run.started_at_ms) await setServerState(tx, { unclean_at_ms: null })
  })
}

type Progress = { -readonly [K in keyof ScrubProgress]: ScrubProgress[K] }

class Scrub {
  readonly #parts: ScrubParts
  readonly #registry: Registry
  readonly #signal: AbortSignal
  readonly #pace: ScrubPace
  readonly #progress: Progress
  readonly #buffer = Buffer.allocUnsafeSlow(sliceBytes)
  #notedMs: number
  #missing = 0

  constructor(parts: ScrubParts, run: ScrubRunRow, signal: AbortSignal) {
    const { state: _state, started_at_ms: _started, finished_at_ms: _finished, ...progress } = run
    this.#parts = parts
    this.#registry = parts.registry
    this.#signal = signal
    this.#pace = new ScrubPace({ ...parts, signal })
    this.#progress = progress
    this.#notedMs = parts.monotonic()
  }

  /** @throws when the signal comes */
  async run(): Promise<void> {
    const progress = this.#progress
    if (progress.phase === 'blobs') {
      await this.#readBlobs()
      Object.assign(progress, { phase: 'manifests', cursor: '' })
    }
    if (progress.phase === 'manifests') {
      await this.#readManifests()
      Object.assign(progress, { phase: 'files', cursor: '' })
    }
    await this.#lookAtFiles()
  }

  /** Writes down how far it has come. */
  async note(): Promise<void> {
    this.#notedMs = this.#parts.monotonic()
    await this.#registry.database.writeRelaxed((tx) => noteScrub(tx, this.#progress))
  }

  async #passed(cursor: string): Promise<void> {
    this.#progress.cursor = cursor
    await this.#noteSometimes()
  }

  async #noteSometimes(): Promise<void> {
    if (this.#parts.monotonic() - this.#notedMs >= noteEveryMs) await this.note()
  }

  async #readBlobs(): Promise<void> {
    for (;;) {
      const rows = await listBlobsAfter(this.#registry.database.read, { after: this.#progress.cursor, limit: batch })
      if (rows.length === 0) return
      for (const row of rows) {
        this.#signal.throwIfAborted()
        await this.#readBlob(row)
        this.#progress.blobs++
        await this.#passed(row.digest)
      }
    }
  }

  async #readBlob({ digest, size_bytes: sizeBytes }: BlobToRead): Promise<void> {
    if (!isSupported(digest)) return
    const reader = await this.#openBlob(digest, sizeBytes)
    if (!reader) return
    try {
      const fault = await this.#faultOf(digest, reader)
      if (fault) return await this.#condemn({ digest, sizeBytes, read: { copy: reader.copy, fault } })
      await this.#acquit(digest, sizeBytes)
    } finally {
      await reader.close()
    }
  }

  /** @returns undefined: it is missing or has another size, and that is settled */
  async #openBlob(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader | undefined> {
    try {
      return await this.#registry.blobs.inspection.openOnDisk(digest, sizeBytes)
    } catch (error) {
      if (!isRegistryError(error, 'blobDamaged')) throw error
      await this.#condemn({ digest, sizeBytes })
      return undefined
    }
  }

  async #condemn(bad: BadBlob): Promise<void> {
    const verdict = await quarantineBlob(this.#registry, bad)
    if (verdict.kind !== 'damaged' || !verdict.isNew) return
    this.#progress.found++
    this.#missing = verdict.fault === 'missing' ? this.#missing + 1 : 0
    const { missingInARow = usualMissingInARow } = this.#parts
    if (this.#missing < missingInARow) return
    throw new RegistryError('storageFailed', { cause: new Error(`${this.#missing} blobs in a row have no file: is the disk mounted?`) })
  }

  /** A blob that was in quarantine and whose file is back: a disk was mounted again, or a copy came from a backup. */
  async #acquit(digest: SupportedDigest, sizeBytes: number): Promise<void> {
    this.#missing = 0
    const { database, blobs } = this.#registry
    if (!(await quarantineOf.first(database.read, { digest }))) return
    await database.write(async (tx) => {
      if ((await blobs.statBlob(digest)) === sizeBytes) await healBlob(tx, this.#registry, digest)
    })
  }

  async #faultOf(digest: SupportedDigest, reader: BlobReader): Promise<'content' | 'unreadable' | undefined> {
    const hash = createHash(algorithmOf(digest))
    try {
      for (let at = 0, read = 1; read > 0 && at < reader.sizeBytes; at += read) {
        read = await reader.read(this.#buffer.subarray(0, Math.min(sliceBytes, reader.sizeBytes - at)), at)
        hash.update(this.#buffer.subarray(0, read))
        await this.#spend(read)
      }
      if (reader.sizeBytes === 0) await this.#spend(0)
    } catch (error) {
      if (!isRegistryError(error, 'storageFailed') || systemCode(error.cause) !== 'EIO') throw error
      // A disk that fails as a whole says nothing about one blob.
      await this.#registry.blobs.probe()
      return 'unreadable'
    }
    return digestFromHex(algorithmOf(digest), hash.digest('hex')) === digest ? undefined : 'content'
  }

  async #spend(bytes: number): Promise<void> {
    this.#progress.bytes += bytes
    this.#parts.onRead?.(bytes)
    await this.#pace.spend(bytes)
    await this.#noteSometimes()
  }

  async #readManifests(): Promise<void> {
    for (;;) {
      const after = parseManifestCursor(this.#progress.cursor)
      const rows = await listManifestsAfter(this.#registry.database.read, { after, limit: batch })
      if (rows.length === 0) return
      for (const row of rows) {
        this.#signal.throwIfAborted()
        await this.#readManifest(row)
        this.#progress.manifests++
        await this.#passed(`${row.repositoryId} ${row.digest}`)
      }
    }
  }

  async #readManifest({ repositoryId, digest }: ManifestKey): Promise<void> {
    const row = await manifestContent.first(this.#registry.database.read, { repositoryId, digest })
    // Deleted meanwhile, or known to be damaged.
    if (!row || row.content.length === 0 || !isSupported(digest)) return
    const isSound = digestOf(algorithmOf(digest), row.content) === digest
    if (!isSound && (await quarantineManifest(this.#registry, { repositoryId, digest }, row.content))) this.#progress.found++
    await this.#spend(row.content.length)
  }

  async #lookAtFiles(): Promise<void> {
    const { inspection } = this.#registry.blobs
    const removal = new OrphanRemoval(this.#registry, this.#progress.orphans)
    for (let shelf = Number(this.#progress.cursor); shelf < inspection.shelves; shelf++) {
      this.#signal.throwIfAborted()
      const { orphans, bytes } = await removal.look(await inspection.listShelf(shelf), this.#signal)
      this.#progress.orphans += orphans
      this.#progress.orphan_bytes += bytes
      await this.#passed(String(shelf + 1))
    }
  }
}

function parseManifestCursor(cursor: string): ManifestKey {
  const [repositoryId = '', digest = ''] = cursor.split(' ')
  return { repositoryId: Number(repositoryId), digest: digest as Digest }
}
