/**
 * What the registry needs from a place that keeps bytes: finished blobs by digest, and the bytes of unfinished uploads.
 *
 * The disk answers it today, an object store later; `test/storage/blob-store-suite.ts` is what each must pass. Which
 * repository may read which blob is not known here: that is a row.
 */
import type { SupportedDigest } from '../../oci/digest.ts'

export interface BlobStore {
  /** Size in bytes of a finished blob, undefined when there is none. */
  statBlob(digest: SupportedDigest): Promise<number | undefined>

  /**
   * Opens a finished blob for reading; the caller closes it.
   * @param sizeBytes what the rows say; a file of another size is never served.
   * @throws {RegistryError} blobDamaged: the file is missing or has another size.
   */
  openBlob(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader>

  /** Whether there is a finished blob of this size; costs next to nothing, because it is asked within transactions. */
  isBlobHere(digest: SupportedDigest, sizeBytes: number): Promise<boolean>

  /** Blobs on their way out. */
  readonly collected: CollectedBlobs

  /** Opens the bytes of an upload session for writing, creating them when there are none; the caller closes it. */
  openPartial(id: string): Promise<PartialBlob>

  /** Forgets an upload's bytes. Nothing happens when there are none. */
  removePartial(id: string): Promise<void>

  /** Ids of all uploads that have bytes here, with the time of their last write. */
  listPartials(): AsyncIterable<{ readonly id: string; readonly modifiedAtMs: number }>

  /**
   * Refuses a push before it begins. Reading and removing go on.
   * @throws {RegistryError} storageFull: the room left is kept in reserve; storageFailed: a sync failed and none has passed since
   */
  requireWritable(): Promise<void>

  /** Proves that writing works right now. @throws {RegistryError} storageFull, storageFailed */
  probe(): Promise<void>
}

/**
 * Blobs that were taken from their place and can still be put back: the row of a blob goes between the two, so that neither a crash nor
 * an upload of the same digest meets a row without its bytes.
 */
export interface CollectedBlobs {
  /**
   * Begins a time in which no backup does: backups need every file that a row named when they began.
   * @returns what ends it, after the transaction; undefined: a backup is under way, and nothing may be taken away
   */
  startTaking(): (() => void) | undefined
  /**
   * Takes a blob from its place, within the transaction that deletes its row.
   * @param id of this collection alone
   * @returns a name for the other calls; undefined: there was no such blob
   * @throws {RegistryError} storageFailed
   */
  takeAway(digest: SupportedDigest, id: string): Promise<string | undefined>
  /** Undoes that; a blob that has its place again stays as it is. Nothing happens when it was put back or removed before. */
  putBack(name: string): Promise<void>
  /** Removes it for good, after its row is gone durably. @returns bytes that the file system got back */
  remove(name: string): Promise<number>
  /** All names, with their digests: what is not being collected right now was left by a process that was killed. */
  list(): Promise<readonly { readonly name: string; readonly digest: SupportedDigest }[]>
}

export interface BlobReader {
  readonly sizeBytes: number
  /** Fills `target` from `position` on; returns the number of bytes read, less than asked only at the end. */
  read(target: Uint8Array, position: number): Promise<number>
  /** Closing again does nothing. */
  close(): Promise<void>
}

export interface PartialBlob {
  /** Bytes that are there now; an interrupted write may have left more than the session counts. */
  sizeBytes(): Promise<number>
  /** Writes all chunks at `position`, in order. @throws {RegistryError} storageFull, storageFailed */
  write(chunks: readonly Uint8Array[], position: number): Promise<void>
  read(target: Uint8Array, position: number): Promise<number>
  /** Gives back what lies beyond the first `sizeBytes` bytes. @throws {RegistryError} storageFailed */
  truncate(sizeBytes: number): Promise<void>
  /**
   * Makes exactly the first `sizeBytes` bytes durable as the blob `digest`, which the caller has verified. When this
   * returns, no crash and no power cut can lose them. The partial is gone afterwards.
   */
  commit(digest: SupportedDigest, sizeBytes: number): Promise<void>
  /** Closing again does nothing. @throws {RegistryError} storageFull, storageFailed: what was written may be lost, and no later sync would say so */
  close(): Promise<void>
}
