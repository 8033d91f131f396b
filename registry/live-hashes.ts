/**
 * The running hashes of upload sessions that this process has received bytes of.
 *
 * Node cannot save a hash's state, so a session that continues here goes on with the live one; one that continues in
 * another process is read again there. A hash is only ever used when it has seen exactly the bytes that the row counts.
 */
import { createHash, type Hash } from 'node:crypto'
import type { DigestAlgorithm } from '../oci/digest.ts'

export interface LiveHash {
  readonly algorithm: DigestAlgorithm
  readonly hash: Hash
  bytes: number
}

/** Each costs about 1 kB and some work of every garbage collection; a session that loses its place here is only read again. */
const capacity = 1024

export class LiveHashes {
  readonly #hashes = new Map<string, LiveHash>()

  /** Takes the hash out, if there is one. Whether it has seen the right bytes is for the caller to look at. */
  take(id: string): LiveHash | undefined {
    const live = this.#hashes.get(id)
    this.#hashes.delete(id)
    return live
  }

  put(id: string, live: LiveHash): void {
    this.#hashes.set(id, live)
    if (this.#hashes.size <= capacity) return
    const oldest = this.#hashes.keys().next().value
    if (oldest !== undefined) this.#hashes.delete(oldest)
  }
}

export function newLiveHash(algorithm: DigestAlgorithm): LiveHash {
  return { algorithm, hash: createHash(algorithm), bytes: 0 }
}
