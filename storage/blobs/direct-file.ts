/**
 * Writes past the page cache (O_DIRECT), for the far part of large blobs.
 *
 * Fast for a measured reason: a page of the cache for each 4 KiB written costs more than hashing them, and a model of many GiB would
 * push out of memory what everybody pulls. The kernel wants file offsets, lengths and addresses at multiples of a block; the
 * memory of WebAssembly is the only one in Node that begins at a page. Who cannot write so (a file system without it, all buffers
 * taken) is told, and writes as usual: both ways may take turns in one file.
 */
import { closeSync, constants, openSync, write } from 'node:fs'
import { promisify } from 'node:util'
import { systemCode } from '../faults.ts'

/** What is used of it here; the types of Node leave it out. */
declare const WebAssembly: { readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer } }

const writeInPool = promisify(write)

/** Offsets and lengths must be multiples of it; no disk in use has larger blocks. */
export const blockBytes = 4096

const wasmPageBytes = 65_536
const pagesPerBuffer = 17
const buffersAtMost = 8
/** One batch of receive.ts: 1 MiB and what the last chunk had beyond it. */
const bufferBytes = pagesPerBuffer * wasmPageBytes

/** Buffers that begin at a page, made when the first is needed. */
export class AlignedBuffers {
  #unused: Uint8Array[] | undefined

  /** @returns undefined when all are taken. */
  take(): Uint8Array | undefined {
    this.#unused ??= newBuffers()
    return this.#unused.pop()
  }

  giveBack(buffer: Uint8Array): void {
    this.#unused?.push(buffer)
  }
}

function newBuffers(): Uint8Array[] {
  const pages = buffersAtMost * pagesPerBuffer
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
  return Array.from({ length: buffersAtMost }, (_, index) => new Uint8Array(buffer, index * bufferBytes, bufferBytes))
}

export class DirectFile {
  readonly #file: number
  readonly #buffers: AlignedBuffers
  #isRefused = false

  private constructor(file: number, buffers: AlignedBuffers) {
    this.#file = file
    this.#buffers = buffers
  }

  /** @returns undefined where the file system knows no such writing. */
  static open(path: string, buffers: AlignedBuffers): DirectFile | undefined {
    try {
      return new DirectFile(openSync(path, constants.O_WRONLY | constants.O_DIRECT), buffers)
    } catch (error) {
      if (systemCode(error) === 'EINVAL') return undefined
      throw error
    }
  }

  /**
   * Writes all chunks at `position`, in order, if it can.
   * @returns false: nothing may be counted as written, and the caller writes the same bytes at the same place in another way
   */
  async write(chunks: readonly Uint8Array[], position: number): Promise<boolean> {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (this.#isRefused || length > bufferBytes || position % blockBytes > 0 || length % blockBytes > 0) return false
    const buffer = this.#buffers.take()
    if (!buffer) return false
    try {
      let filled = 0
      for (const chunk of chunks) {
        buffer.set(chunk, filled)
        filled += chunk.length
      }
      const { bytesWritten } = await writeInPool(this.#file, buffer, 0, length, position)
      return bytesWritten === length
    } catch (error) {
      if (systemCode(error) !== 'EINVAL') throw error
      this.#isRefused = true
      return false
    } finally {
      this.#buffers.giveBack(buffer)
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}
