/**
 * The disk of a running registry, which fails when the test says so, with the errors that the kernel would give. Real bytes
 * go to the real disk until then.
 */
import type { SupportedDigest } from '../../oci/digest.ts'
import type { BlobInspection, BlobReader, BlobStore, CollectedBlobs, PartialBlob } from '../../storage/blobs/blob-store.ts'
import { withFaultsTranslated } from '../../storage/faults.ts'
import type { TestRegistry } from './start-registry.ts'

type Work = 'open' | 'write' | 'commit'

export class FaultyDisk {
  readonly #faults = new Map<Work, { code: string; afterBytes: number }>()
  #written = 0

  /** Puts itself between the registry and its disk. */
  constructor(registry: Pick<TestRegistry, 'services'>) {
    const parts = registry.services.registry as { blobs: BlobStore }
    parts.blobs = new FaultyBlobStore(parts.blobs, this)
  }

  /** From now on this work fails, writing once so many more bytes were taken. */
  fail(work: Work, code: string, afterBytes = 0): void {
    this.#written = 0
    this.#faults.set(work, { code, afterBytes })
  }

  repair(): void {
    this.#faults.clear()
  }

  /** Throws what is due. */
  meet(work: Work, bytes = 0): void {
    this.#written += bytes
    const fault = this.#faults.get(work)
    if (!fault || (work === 'write' && this.#written <= fault.afterBytes)) return
    throw Object.assign(new Error(`${fault.code}: ${work}`), { code: fault.code })
  }
}

class FaultyBlobStore implements BlobStore {
  readonly #inner: BlobStore
  readonly #disk: FaultyDisk

  constructor(inner: BlobStore, disk: FaultyDisk) {
    this.#inner = inner
    this.#disk = disk
  }

  statBlob(digest: SupportedDigest): Promise<number | undefined> {
    return this.#inner.statBlob(digest)
  }

  get collected(): CollectedBlobs {
    return this.#inner.collected
  }

  get inspection(): BlobInspection {
    return this.#inner.inspection
  }

  openBlob(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader> {
    return this.#inner.openBlob(digest, sizeBytes)
  }

  async openPartial(id: string): Promise<PartialBlob> {
    await withFaultsTranslated(async () => this.#disk.meet('open'))
    return new FaultyPartialBlob(await this.#inner.openPartial(id), this.#disk)
  }

  removePartial(id: string): Promise<void> {
    return this.#inner.removePartial(id)
  }

  listPartials(): ReturnType<BlobStore['listPartials']> {
    return this.#inner.listPartials()
  }

  requireWritable(): Promise<void> {
    return this.#inner.requireWritable()
  }

  probe(): Promise<void> {
    return this.#inner.probe()
  }
}

class FaultyPartialBlob implements PartialBlob {
  readonly #inner: PartialBlob
  readonly #disk: FaultyDisk

  constructor(inner: PartialBlob, disk: FaultyDisk) {
    this.#inner = inner
    this.#disk = disk
  }

  sizeBytes(): Promise<number> {
    return this.#inner.sizeBytes()
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    await withFaultsTranslated(async () => this.#disk.meet('write', bytes))
    await this.#inner.write(chunks, position)
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#inner.read(target, position)
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#inner.truncate(sizeBytes)
  }

  async commit(digest: SupportedDigest, sizeBytes: number): Promise<void> {
    await withFaultsTranslated(async () => this.#disk.meet('commit'))
    await this.#inner.commit(digest, sizeBytes)
  }

  isStillThere(digest: SupportedDigest, sizeBytes: number): Promise<boolean> {
    return this.#inner.isStillThere(digest, sizeBytes)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
