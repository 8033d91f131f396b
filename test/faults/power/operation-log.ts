/**
 * What recorder.c wrote down, as operations on files and folders that have numbers of their own: the system gives an inode's number
 * again, and a rename does not make another file.
 *
 * Marks stand between them: what a client has asked for and what it was told, in the order in which it happened.
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Operation =
  | { readonly kind: 'write'; readonly file: number; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: number; readonly sizeBytes: number }
  /** A name gets this file or folder. */
  | { readonly kind: 'name'; readonly name: Name; readonly node: number; readonly isFolder: boolean }
  /** A file moves as one step: there is no moment with both names, nor with none. */
  | { readonly kind: 'move'; readonly from: Name; readonly name: Name; readonly node: number }
  | { readonly kind: 'remove'; readonly name: Name }
  /** Begins and ends are paired by `sync`. */
  | { readonly kind: 'begin'; readonly node: number; readonly sync: string }
  | { readonly kind: 'end'; readonly node: number; readonly sync: string }
  | { readonly kind: 'mark'; readonly text: string }

export interface Name {
  readonly folder: number
  readonly text: string
}

/** The number of the folder in which everything lies; it is there from the beginning. */
export const rootNode = 0

const headBytes = 33

/** @returns the path of the library in `folder`. @throws when there is no compiler: without the recorder nothing is shown. */
export function buildRecorder(folder: string): string {
  const library = join(folder, 'recorder.so')
  const source = fileURLToPath(new URL('recorder.c', import.meta.url))
  const { status, error, stderr } = spawnSync('gcc', ['-O1', '-Wall', '-Werror', '-shared', '-fPIC', '-o', library, source, '-ldl'])
  if (status !== 0) throw new Error(`the recorder needs gcc to be built: ${error?.message ?? stderr.toString()}`)
  return library
}

/** For the process that is recorded. */
export function writeMark(log: string, text: string): void {
  const body = Buffer.from(text)
  const head = Buffer.alloc(headBytes)
  head.writeUInt32LE(headBytes + body.length, 0)
  head.write('m', 4)
  head.writeUInt32LE(body.length, 29)
  appendFileSync(log, Buffer.concat([head, body]))
}

interface Record {
  readonly kind: string
  readonly inode: number
  readonly number: bigint
  readonly path: string
  readonly to: string
  readonly bytes: Buffer
}

export function readOperations(log: string): Operation[] {
  const reader = new RecordReader()
  return [...recordsIn(readFileSync(log))].map((record) => reader.read(record))
}

function* recordsIn(log: Buffer): Iterable<Record> {
  for (let at = 0; at < log.length;) {
    const end = at + log.readUInt32LE(at)
    const pathEnd = at + headBytes + log.readUInt32LE(at + 21)
    const toEnd = pathEnd + log.readUInt32LE(at + 25)
    yield {
      kind: String.fromCharCode(log[at + 4] ?? 0),
      inode: Number(log.readBigUInt64LE(at + 5)),
      number: log.readBigUInt64LE(at + 13),
      path: log.toString('utf8', at + headBytes, pathEnd),
      to: log.toString('utf8', pathEnd, toEnd),
      bytes: log.subarray(toEnd, end),
    }
    at = end
  }
}

/** Follows names and inodes as they were while it was recorded. */
class RecordReader {
  readonly #nodes = new Map<string, number>([['', rootNode]])
  readonly #byInode = new Map<number, number>()
  #made = rootNode

  read(record: Record): Operation {
    const { kind, path, to, number, bytes } = record
    switch (kind) {
      case 'c':
      case 'd':
        return { kind: 'name', name: this.#name(path), node: this.#make(record), isFolder: kind === 'd' }
      case 'w':
        return { kind: 'write', file: this.#node(record), at: Number(number), bytes }
      case 't':
        return { kind: 'truncate', file: this.#node(record), sizeBytes: Number(number) }
      case 'r':
        return { kind: 'move', from: this.#name(path), name: this.#name(to), node: this.#move(path, to) }
      case 'l':
        this.#nodes.set(to, this.#at(path))
        return { kind: 'name', name: this.#name(to), node: this.#at(path), isFolder: false }
      case 'u':
        this.#nodes.delete(path)
        return { kind: 'remove', name: this.#name(path) }
      case 's':
      case 'e':
        return { kind: kind === 's' ? 'begin' : 'end', node: this.#node(record), sync: String(number) }
      case 'm':
        return { kind: 'mark', text: bytes.toString('utf8') }
      default:
        throw new Error(`the recorder wrote a record of kind ${kind}`)
    }
  }

  #make({ inode, path }: Record): number {
    const node = ++this.#made
    this.#nodes.set(path, node)
    this.#byInode.set(inode, node)
    return node
  }

  #move(from: string, to: string): number {
    const node = this.#at(from)
    this.#nodes.delete(from)
    this.#nodes.set(to, node)
    return node
  }

  /** The root is older than the record. */
  #node({ inode }: Record): number {
    return this.#byInode.get(inode) ?? rootNode
  }

  #at(path: string): number {
    const node = this.#nodes.get(path)
    if (node === undefined) throw new Error(`${path} is older than the record`)
    return node
  }

  #name(path: string): Name {
    const parent = dirname(path)
    return { folder: this.#at(parent === '.' ? '' : parent), text: path.slice(path.lastIndexOf('/') + 1) }
  }
}
