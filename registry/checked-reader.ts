/**
 * Reads a blob and its digest at the same time: whoever reads from the first byte to the last gets the last ones only if all were right.
 *
 * Invariant: the read that reaches the end throws when the digest is another, and the blob is in quarantine then. Who wants a part of the
 * blob must have all of it verified before.
 */
import { createHash, type Hash } from 'node:crypto'
import { algorithmOf, digestFromHex, type SupportedDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { BlobReader } from '../storage/blobs/blob-store.ts'
import { tryToQuarantine } from './quarantine.ts'
import type { Registry } from './registry.ts'

const sliceBytes = 1024 * 1024

export class CheckedReader implements BlobReader {
  readonly #registry: Registry
  readonly #digest: SupportedDigest
  readonly #blob: BlobReader
  readonly #hash: Hash
  #hashedBytes = 0
  #isSound = false

  constructor(registry: Registry, digest: SupportedDigest, blob: BlobReader) {
    this.#registry = registry
    this.#digest = digest
    this.#blob = blob
    this.#hash = createHash(algorithmOf(digest))
  }

  get sizeBytes(): number {
    return this.#blob.sizeBytes
  }

  get copy(): string {
    return this.#blob.copy
  }

  /** @throws {RegistryError} blobDamaged: these would be the last bytes, and some are wrong */
  async read(target: Uint8Array, position: number): Promise<number> {
    if (!this.#isSound && position !== this.#hashedBytes) await this.verify()
    const read = await this.#blob.read(target, position)
    if (this.#isSound) return read
    this.#hash.update(target.subarray(0, read))
    this.#hashedBytes += read
    if (this.#hashedBytes === this.sizeBytes) await this.#require(this.#hash)
    return read
  }

  /** @throws {RegistryError} blobDamaged */
  async verify(): Promise<void> {
    await this.#registry.suspects.once(this.#digest, async () => this.#require(await this.#hashAll()))
    this.#isSound = true
  }

  async close(): Promise<void> {
    await this.#blob.close()
  }

  async #hashAll(): Promise<Hash> {
    const hash = createHash(algorithmOf(this.#digest))
    const buffer = Buffer.allocUnsafeSlow(Math.min(sliceBytes, this.sizeBytes))
    for (let at = 0, read = 1; read > 0 && at < this.sizeBytes; at += read) {
      read = await this.#blob.read(buffer, at)
      hash.update(buffer.subarray(0, read))
    }
    return hash
  }

  async #require(hash: Hash): Promise<void> {
    const digest = this.#digest
    const actual = digestFromHex(algorithmOf(digest), hash.digest('hex'))
    if (actual === digest) {
      this.#isSound = true
      this.#registry.suspects.noteSound(digest)
      return
    }
    await tryToQuarantine(this.#registry, { digest, sizeBytes: this.sizeBytes, read: { copy: this.copy, fault: 'content' } })
    throw new RegistryError('blobDamaged', { detail: { digest }, cause: new Error(`the bytes read have the digest ${actual}`) })
  }
}
