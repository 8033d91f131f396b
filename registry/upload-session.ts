/**
 * One request writing to one upload session: claims the row, appends, publishes or lets go.
 *
 * Invariants: one writer at a time, in any process; the row never counts a byte that is not in the file; a blob becomes
 * visible only after its digest was verified, its file is durable and its rows are committed, in that order.
 */
import { algorithmOf, digestFromHex, type DigestAlgorithm, type SupportedDigest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { uploadRange } from '../oci/content-range.ts'
import { uploadLocation } from '../oci/locations.ts'
import type { PartialBlob } from '../storage/blobs/blob-store.ts'
import { receive, rehash } from '../storage/blobs/receive.ts'
import { linkBlob, putBlob } from '../storage/metadata/blobs.ts'
import { ensureRepository } from '../storage/metadata/repositories.ts'
import {
  claimSession,
  deleteSession,
  findSession,
  keepSession,
  releaseSession,
  type SessionKey,
  type UploadSessionRow,
} from '../storage/metadata/uploads.ts'
import { newLiveHash, type LiveHash } from './live-hashes.ts'
import { healBlob } from './quarantine.ts'
import type { Registry } from './registry.ts'

/** How long a claim outlives its last sign of life; a process that died is noticed sooner, by the primary. */
const claimMs = 60_000
const heartbeatMs = 20_000

/** A part of a blob as a request carries it. */
export interface Chunk {
  readonly body: AsyncIterable<Uint8Array>
  /** Told of each piece of the body that is not needed any more, so that its memory can be used again. */
  readonly release?: (bytes: Uint8Array) => void
  /** Content-Length in bytes; undefined for chunked transfer. */
  readonly announcedBytes: number | undefined
  /** Where the client says the chunk belongs, both ends inclusive; undefined: wherever the session stands. */
  readonly range: { readonly start: number; readonly end: number } | 'malformed' | undefined
}

/**
 * Runs `work` as the only writer of the session and lets it go afterwards, whatever happened.
 * @throws {RegistryError} uploadUnknown: no such session of this repository and account; uploadBusy: another request writes.
 */
export function writingToSession<T>(registry: Registry, key: SessionKey, work: (session: SessionWriter) => Promise<T>): Promise<T> {
  return registry.writing.track(claimAndRun(registry, key, work))
}

async function claimAndRun<T>(registry: Registry, key: SessionKey, work: (session: SessionWriter) => Promise<T>): Promise<T> {
  const claim = await SessionWriter.claim(registry, key)
  try {
    return await work(claim)
  } finally {
    await claim.release()
  }
}

export class SessionWriter {
  readonly #registry: Registry
  readonly #key: SessionKey
  readonly #writer: string
  readonly #partial: PartialBlob
  readonly #heartbeat: NodeJS.Timeout
  #claimedUntilMs: number
  #algorithm: DigestAlgorithm
  #bytesStored: number
  /** Of the bytes that were there when this request took the session. */
  readonly #digestBefore: SupportedDigest | null
  /** Has seen all bytes stored, once this request has appended any. */
  #live: LiveHash | undefined
  #isOver = false

  private constructor(
    registry: Registry,
    claimed: { session: UploadSessionRow; key: SessionKey; writer: string; untilMs: number; partial: PartialBlob },
  ) {
    this.#registry = registry
    this.#key = claimed.key
    this.#writer = claimed.writer
    this.#partial = claimed.partial
    this.#claimedUntilMs = claimed.untilMs
    this.#algorithm = claimed.session.algorithm
    this.#bytesStored = claimed.session.bytes_stored
    this.#digestBefore = claimed.session.digest_so_far
    this.#heartbeat = setInterval(() => void this.#keep().catch(leaveToNextBeat), heartbeatMs).unref()
  }

  static async claim(registry: Registry, key: SessionKey): Promise<SessionWriter> {
    const { database, clock } = registry
    const writer = `${registry.processId}:${registry.newId()}`
    const nowMs = clock()
    const untilMs = nowMs + claimMs
    const session = await database.writeRelaxed(async (tx) => {
      const found = await findSession(tx, key)
      if (!found) throw new RegistryError('uploadUnknown')
      const isClaimed = await claimSession(tx, { id: key.id, writer, nowMs, untilMs })
      if (!isClaimed) throw new RegistryError('uploadBusy', { headers: sessionHeaders(key, found.bytes_stored) })
      return found
    })
    const partial = await openOrLetGo(registry, writer, session)
    const claimed = new SessionWriter(registry, { session, key, writer, untilMs, partial })
    // A power cut may have taken bytes that the row still counts: the session is lost, and the client starts again.
    if ((await partial.sizeBytes()) < session.bytes_stored) {
      await claimed.drop()
      await claimed.release()
      throw new RegistryError('uploadUnknown')
    }
    return claimed
  }

  get bytesStored(): number {
    return this.#bytesStored
  }

  /**
   * Appends a chunk where the session stands.
   * @throws {RegistryError} uploadOutOfOrder, uploadSizeMismatch: the session is as before; uploadInterrupted: what
   * arrived is kept; storageFull, storageFailed: the session is as before; uploadBusy: another request took it over.
   */
  async append(chunk: Chunk, algorithm: DigestAlgorithm = this.#algorithm): Promise<void> {
    const expected = this.#expectedBytes(chunk)
    try {
      await this.#receive(chunk, { expected, algorithm })
    } catch (error) {
      await this.#giveBack().catch(keepFirstFault)
      throw error
    }
  }

  async #receive(chunk: Chunk, { expected, algorithm }: { expected: number | undefined; algorithm: DigestAlgorithm }): Promise<void> {
    await this.#registry.blobs.requireWritable()
    const live = await this.#liveHash(algorithm)
    const { receivedBytes, interruption } = await receive(chunk.body, {
      partial: { write: (chunks, position) => this.#writeAsHolder(chunks, position) },
      position: this.#bytesStored,
      hash: live.hash,
      ...(chunk.release === undefined ? {} : { release: chunk.release }),
      ...(expected === undefined ? {} : { limitBytes: expected }),
    })
    if (expected !== undefined && interruption === undefined && receivedBytes !== expected) {
      throw new RegistryError('uploadSizeMismatch', { detail: { expectedBytes: expected, receivedBytes } })
    }
    // One byte alone would be told as `0-0`, as nothing is, and a client that goes on from 0 would never get past it: not kept.
    if (interruption !== undefined && this.#bytesStored + receivedBytes === 1) {
      throw new RegistryError('uploadInterrupted', { cause: interruption })
    }
    live.bytes += receivedBytes
    this.#bytesStored = live.bytes
    this.#algorithm = algorithm
    this.#live = live
    if (interruption !== undefined) throw new RegistryError('uploadInterrupted', { cause: interruption })
  }

  /**
   * Publishes the session's bytes as the blob `digest` in its repository. Durable when this returns.
   * @throws {RegistryError} digestMismatch: the session is dropped; storageFull, storageFailed: dropped as well, because a
   * failed fsync must never be tried again on the same file; uploadBusy: another request took the session over; blobCollected: its
   * file was collected just now, and the bytes are to be sent again.
   */
  async publish(digest: SupportedDigest): Promise<void> {
    const { database, clock, rules } = this.#registry
    const actual = await this.#digestAs(algorithmOf(digest))
    await this.#requireClaim()
    if (actual !== digest) {
      await this.drop()
      throw new RegistryError('digestMismatch', { detail: { expected: digest, received: actual } })
    }
    try {
      await this.#partial.commit(digest, this.#bytesStored)
    } catch (error) {
      await this.drop()
      throw error
    }
    const publishing = database.write(async (tx) => {
      const nowMs = clock()
      // The collector takes files away under the same lock: one that took this one is seen here, before anything is promised.
      if (!(await this.#partial.isStillThere(digest, this.#bytesStored)))
        throw new RegistryError('blobCollected', { detail: { digest }, headers: { 'Retry-After': '1' } })
      await putBlob(tx, { digest, sizeBytes: this.#bytesStored, nowMs })
      await healBlob(tx, this.#registry, digest)
      const repositoryId = await ensureRepository(tx, {
        name: this.#key.repository,
        visibility: rules.defaultVisibility,
        accountId: this.#key.accountId,
        nowMs,
      })
      await linkBlob(tx, { repositoryId, digest, nowMs })
      await deleteSession(tx, this.#key.id)
    })
    await this.#dropIfCollected(publishing)
    this.#end()
  }

  /** Nothing is left of a session whose bytes were collected under it. */
  async #dropIfCollected(publishing: Promise<void>): Promise<void> {
    try {
      await publishing
    } catch (error) {
      if (isRegistryError(error, 'blobCollected')) await this.drop()
      throw error
    }
  }

  /** Forgets the session and its bytes. */
  async drop(): Promise<void> {
    this.#end()
    await this.#registry.database.writeRelaxed((tx) => deleteSession(tx, this.#key.id))
    await this.#registry.blobs.removePartial(this.#key.id)
  }

  #end(): void {
    this.#isOver = true
    this.#registry.liveHashes.take(this.#key.id)
  }

  /** @throws {RegistryError} storageFull, storageFailed: bytes that were counted may be lost, so the session is dropped */
  async release(): Promise<void> {
    clearInterval(this.#heartbeat)
    try {
      await this.#partial.close()
    } catch (error) {
      if (!this.#isOver) await this.drop()
      throw error
    }
    if (this.#isOver) return
    const digestSoFar = this.#live ? digestSeenBy(this.#live) : this.#digestBefore
    const progress = { id: this.#key.id, writer: this.#writer, bytesStored: this.#bytesStored, digestSoFar }
    const isRecorded = await this.#registry.database.writeRelaxed((tx) =>
      releaseSession(tx, { ...progress, nowMs: this.#registry.clock() }),
    )
    // Only what the row counts: otherwise another process may store other bytes up to the same number.
    if (this.#live && isRecorded) this.#registry.liveHashes.put(this.#key.id, this.#live)
  }

  /** Bytes the chunk must have; undefined when it does not say. */
  #expectedBytes({ range, announcedBytes }: Chunk): number | undefined {
    if (!range) return announcedBytes
    if (range === 'malformed' || range.start !== this.#bytesStored) {
      throw new RegistryError('uploadOutOfOrder', {
        detail: { bytesStored: this.#bytesStored },
        headers: sessionHeaders(this.#key, this.#bytesStored),
      })
    }
    const expected = range.end - range.start + 1
    if (announcedBytes !== undefined && announcedBytes !== expected) {
      throw new RegistryError('uploadSizeMismatch', { detail: { rangeBytes: expected, announcedBytes } })
    }
    return expected
  }

  /** A hash that has seen exactly the bytes stored: the live one, or one that reads them again, at once. */
  async #liveHash(algorithm: DigestAlgorithm): Promise<LiveHash> {
    const live = this.#live ?? this.#registry.liveHashes.take(this.#key.id)
    if (live?.algorithm === algorithm && live.bytes === this.#bytesStored) return live
    const fresh = newLiveHash(algorithm)
    if (this.#bytesStored > 0) await rehash(this.#partial, this.#bytesStored, fresh.hash)
    fresh.bytes = this.#bytesStored
    return fresh
  }

  /** The digest of all bytes stored. */
  async #digestAs(algorithm: DigestAlgorithm): Promise<SupportedDigest> {
    if (!this.#live && this.#digestBefore && algorithmOf(this.#digestBefore) === algorithm) return this.#digestBefore
    return digestSeenBy(await this.#liveHash(algorithm))
  }

  /**
   * What is not counted must not take room: it may be what filled the disk, for everybody, until the session expires. Not when
   * the claim may have run out: the file may be another's by now.
   */
  async #giveBack(): Promise<void> {
    if (this.#registry.clock() <= this.#claimedUntilMs) await this.#partial.truncate(this.#bytesStored)
  }

  async #writeAsHolder(chunks: readonly Uint8Array[], position: number): Promise<void> {
    await this.#requireClaim()
    await this.#partial.write(chunks, position)
  }

  /**
   * A process that stood still for longer than its claim (stopped, or its machine suspended) may find its session taken over
   * and even published: its open file is then another's blob. Asks the row only when the claim may have run out.
   */
  async #requireClaim(): Promise<void> {
    if (this.#registry.clock() <= this.#claimedUntilMs) return
    if (await this.#keep()) return
    throw new RegistryError('uploadBusy', { headers: sessionHeaders(this.#key, this.#bytesStored) })
  }

  /** @returns whether the session is still this writer's. */
  async #keep(): Promise<boolean> {
    const { database, clock } = this.#registry
    const nowMs = clock()
    const untilMs = nowMs + claimMs
    const isKept = await database.writeRelaxed((tx) => keepSession(tx, { id: this.#key.id, writer: this.#writer, nowMs, untilMs }))
    if (isKept) this.#claimedUntilMs = untilMs
    return isKept
  }
}

function digestSeenBy({ algorithm, hash }: LiveHash): SupportedDigest {
  return digestFromHex(algorithm, hash.copy().digest('hex'))
}

/** The fault that led here is the one to tell. */
function keepFirstFault(): void {}

/** One that failed (the disk is full, say) must not end the process; if all do, the claim runs out. */
function leaveToNextBeat(): void {}

/** A session whose file cannot be opened is let go at once, so that the client's retry does not find it busy. */
async function openOrLetGo(registry: Registry, writer: string, session: UploadSessionRow): Promise<PartialBlob> {
  const { database, blobs, clock } = registry
  try {
    return await blobs.openPartial(session.id)
  } catch (error) {
    const progress = { id: session.id, writer, bytesStored: session.bytes_stored, digestSoFar: session.digest_so_far }
    await database.writeRelaxed((tx) => releaseSession(tx, { ...progress, nowMs: clock() }))
    throw error
  }
}

/** What tells a client where its session stands, on success and on refusal alike. Spec: protocol's end-5, end-13. */
export function sessionHeaders(key: SessionKey, bytesStored: number): Record<string, string> {
  return { Location: uploadLocation(key.repository, key.id), Range: uploadRange(bytesStored), 'Docker-Upload-UUID': key.id }
}
