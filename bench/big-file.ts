/**
 * A large file to upload, of bytes that do not compress, with another digest for each upload.
 *
 * Only its last bytes change: the hash of all before them is kept, so that a new digest costs no reading.
 */
import { createHash, randomBytes, type Hash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'

const blockBytes = 1024 * 1024
const tailBytes = 64

export class BigFile {
  readonly path: string
  readonly sizeMib: number
  #hashOfBody: Hash | undefined

  constructor(path: string, sizeMib: number) {
    this.path = path
    this.sizeMib = sizeMib
  }

  /** Changes the file. @returns the digest that it has now */
  renew(): string {
    this.#hashOfBody ??= this.#create()
    const tail = randomBytes(tailBytes)
    const file = openSync(this.path, 'r+')
    writeSync(file, tail, 0, tailBytes, this.sizeMib * blockBytes - tailBytes)
    closeSync(file)
    return `sha256:${this.#hashOfBody.copy().update(tail).digest('hex')}`
  }

  /** @returns the hash of all but the tail. */
  #create(): Hash {
    const hash = createHash('sha256')
    const file = openSync(this.path, 'w')
    for (let count = 1; count <= this.sizeMib; count++) {
      const block = randomBytes(count === this.sizeMib ? blockBytes - tailBytes : blockBytes)
      hash.update(block)
      writeSync(file, block)
    }
    writeSync(file, Buffer.alloc(tailBytes))
    closeSync(file)
    return hash
  }
}
