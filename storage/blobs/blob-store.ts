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

  /** Blobs on their way out. */
  readonly collected: CollectedBlobs

  /** What looking for damage needs. */
  readonly inspection: BlobInspection

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

/** Finding what is wrong with the blobs, and keeping what is. */
export interface BlobInspection {
  /**
   * Takes a damaged blob from its place and keeps it, within the transaction that records it.
   * @param bad.sizeBytes what the rows say
   * @param bad.copy the one that was read and found wrong; undefined: none was, and only the size can tell
   * @param bad.id of this damage alone
   * @returns what is wrong with what lies there; undefined: nothing that is known, it was stored anew meanwhile
   * @throws {RegistryError} storageFailed
   */
  setAside(
    digest: SupportedDigest,
    bad: { readonly id: string; readonly sizeBytes: number; readonly copy: string | undefined },
  ): Promise<'missing' | 'size' | 'copy' | undefined>
  /** Keeps damaged bytes that were no blob. @throws {RegistryError} storageFull, storageFailed */
  keepBytes(digest: SupportedDigest, id: string, bytes: Uint8Array): Promise<void>
  /** Opens a blob so that its bytes come from the disk, not from memory, where that can be done; otherwise as openBlob. */
  openOnDisk(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader>
  /** Blobs are kept on so many shelves. */
  readonly shelves: number
  /** The digests of all blobs on a shelf, with rows or without, in any order. @param shelf from 0 on */
  listShelf(shelf: number): Promise<readonly SupportedDigest[]>
  /** When a blob got its place, in milliseconds since 1970, whenever its bytes were written; undefined: it is not there. */
  placedAtMs(digest: SupportedDigest): Promise<number | undefined>
}

export interface BlobReader {
  readonly sizeBytes: number
  /** Tells this copy of the blob from one that was stored later, as long as the reader is open. */
  readonly copy: string
  /**
   * Makes sure that all bytes are right before some of them are read; absent where a check is not called for.
   * @throws {RegistryError} blobDamaged
   */
  verify?(): Promise<void>
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
  /**
   * Whether what `commit` published, or another upload of the same, is still at its place, durably. Asked within the transaction that
   * promises the blob, and so costs next to nothing as long as it is its own.
   * @throws {RegistryError} storageFailed
   */
  isStillThere(digest: SupportedDigest, sizeBytes: number): Promise<boolean>
  /** Closing again does nothing. @throws {RegistryError} storageFull, storageFailed: what was written may be lost, and no later sync would say so */
  close(): Promise<void>
}
