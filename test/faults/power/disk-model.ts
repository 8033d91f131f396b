/**
 * A disk below a write-back cache: what a power cut surely leaves, and what it may take.
 *
 * Certain is only what was synced: the bytes and the size of a file by a sync of that file begun after they were written, a name by a
 * sync of the folder that holds it. A synced file whose name was not synced may have none, as POSIX has it and no journaling file system
 * would. A rename is one step, and what happens to one name, or to one file's bytes, keeps its order.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootNode, type Name, type Operation } from './operation-log.ts'

export type Change = Extract<Operation, { kind: 'write' | 'truncate' | 'name' | 'move' | 'remove' }>

/** A change that is not certain. */
export interface Pending {
  /** Of this change alone, or of this part of it. */
  readonly id: string
  readonly digest: Digest
  readonly number: number
  readonly change: Change
}

export class DiskModel {
  readonly #disk = new Layers()
  readonly #isIgnored: (node: number, disk: DiskModel) => boolean
  /** Sync → how many operations there were when it began. */
  readonly #begun = new Map<string, number>()
  #pending: readonly Pending[] = []
  #certain = noDigest
  #count = 0

  /** @param isIgnored a sync of this file or folder does nothing: for the proof that it would be noticed */
  constructor(isIgnored: (node: number, disk: DiskModel) => boolean = () => false) {
    this.#isIgnored = isIgnored
  }

  get pending(): readonly Pending[] {
    return this.#pending
  }

  /** The next operation of the log. */
  take(operation: Operation): void {
    const number = this.#count++
    if (operation.kind === 'begin') this.#begun.set(operation.sync, number)
    if (operation.kind === 'end') this.#settle(operation.node, this.#begun.get(operation.sync) ?? 0)
    if (isChange(operation)) this.#pending = [...this.#pending, pendingOf(String(number), number, operation)]
  }

  /** What is left when these of the pending changes, in the order of the log, reached the disk. */
  leave(reached: readonly Pending[]): DiskState {
    const disk = this.#disk.copy()
    for (const each of reached) disk.apply(each)
    return disk.state()
  }

  /** The same for the same state, in all moments of one record: the sum over what has reached the disk, whenever it did. */
  nameOf(reached: readonly Pending[]): string {
    let sum = this.#certain
    for (const { digest } of reached) sum = added(sum, digest)
    return sum.join(' ')
  }

  /** The path that a file or folder has for the processes; undefined: none. */
  pathOf(node: number): string | undefined {
    const { files, folders } = this.leave(this.#pending)
    if (node === rootNode) return ''
    for (const [path, { node: each }] of files) if (each === node) return path
    for (const [path, each] of folders) if (each === node) return path
    return undefined
  }

  #settle(node: number, before: number): void {
    if (this.#isIgnored(node, this)) return
    const isSettled = new Set<Pending>()
    const names = new Set<string>()
    // From the last to the first: what happened to a name before something that is certain cannot come after it.
    for (const each of this.#pending.toReversed()) {
      const isMeant = each.number < before && settlersOf(each.change).includes(node)
      if (!isMeant && !namesOf(each.change).some((name) => names.has(name))) continue
      isSettled.add(each)
      for (const name of namesOf(each.change)) names.add(name)
    }
    for (const each of this.#pending.filter((each) => isSettled.has(each))) {
      this.#disk.apply(each)
      this.#certain = added(this.#certain, each.digest)
    }
    this.#pending = this.#pending.filter((each) => !isSettled.has(each))
  }
}

function isChange(operation: Operation): operation is Change {
  return operation.kind !== 'mark' && operation.kind !== 'begin' && operation.kind !== 'end'
}

/** The files and folders of which one sync makes a change certain. A rename is one step, so that either of its folders will do. */
function settlersOf(change: Change): number[] {
  if (!('name' in change)) return [change.file]
  return change.kind === 'move' ? [change.name.folder, change.from.folder] : [change.name.folder]
}

function namesOf(change: Change): string[] {
  if (!('name' in change)) return []
  const names: Name[] = change.kind === 'move' ? [change.name, change.from] : [change.name]
  return names.map(({ folder, text }) => `${folder}/${text}`)
}

/** 128 bits in four. */
type Digest = readonly [number, number, number, number]

const noDigest: Digest = [0, 0, 0, 0]

export function pendingOf(id: string, number: number, change: Change): Pending {
  const hash = createHash('sha1').update(id).digest()
  const digest: Digest = [hash.readInt32LE(0), hash.readInt32LE(4), hash.readInt32LE(8), hash.readInt32LE(12)]
  return { id, digest, number, change }
}

/** In any order the same. */
function added(sum: Digest, more: Digest): Digest {
  return [sum[0] ^ more[0], sum[1] ^ more[1], sum[2] ^ more[2], sum[3] ^ more[3]]
}

/** The bytes of a file, and what was done to them since. */
interface Content {
  readonly bytes: Buffer
  readonly changes: FileChange[]
}

type FileChange = Extract<Change, { kind: 'write' | 'truncate' }>

/** Files and folders; a copy shares what neither has changed. */
class Layers {
  readonly #contents: Map<number, Content>
  readonly #folders: Map<number, Map<string, number>>
  /** What nobody shares. */
  readonly #own = new Set<number>()

  constructor(contents = new Map<number, Content>(), folders = new Map([[rootNode, new Map<string, number>()]])) {
    this.#contents = contents
    this.#folders = folders
  }

  copy(): Layers {
    this.#own.clear()
    return new Layers(new Map(this.#contents), new Map(this.#folders))
  }

  apply({ change }: Pending): void {
    switch (change.kind) {
      case 'write':
      case 'truncate':
        this.#contentOf(change.file).changes.push(change)
        return
      case 'name':
        if (change.isFolder && !this.#folders.has(change.node)) this.#folders.set(change.node, new Map())
        this.#namesIn(change.name).set(change.name.text, change.node)
        return
      case 'move':
        this.#namesIn(change.from).delete(change.from.text)
        this.#namesIn(change.name).set(change.name.text, change.node)
        return
      case 'remove':
        this.#namesIn(change.name).delete(change.name.text)
    }
  }

  /** What can be reached from the root. */
  state(): DiskState {
    const state: DiskState = { files: new Map(), folders: new Map() }
    this.#walk(rootNode, '', state)
    return state
  }

  #walk(folder: number, path: string, state: DiskState): void {
    for (const [text, node] of this.#folders.get(folder) ?? []) {
      const below = path === '' ? text : `${path}/${text}`
      if (this.#folders.has(node)) {
        state.folders.set(below, node)
        this.#walk(node, below, state)
      } else {
        const content = this.#contents.get(node)
        state.files.set(below, { node, readBytes: () => flattened(content) })
      }
    }
  }

  #contentOf(file: number): Content {
    const known = this.#contents.get(file) ?? { bytes: Buffer.alloc(0), changes: [] }
    const isLong = known.changes.length >= changesAtOnce
    if (this.#own.has(file) && !isLong) return known
    const content = isLong ? { bytes: flattened(known), changes: [] } : { bytes: known.bytes, changes: [...known.changes] }
    this.#own.add(file)
    this.#contents.set(file, content)
    return content
  }

  #namesIn({ folder }: Name): Map<string, number> {
    const names = this.#folders.get(folder)
    const own = this.#own.has(folder) && names ? names : new Map(names)
    this.#own.add(folder)
    this.#folders.set(folder, own)
    return own
  }
}

/** So many changes of a file are remembered before its bytes are made. */
const changesAtOnce = 200

function flattened(content: Content | undefined): Buffer {
  if (content === undefined) return Buffer.alloc(0)
  const ends = content.changes.map((change) => (change.kind === 'write' ? change.at + change.bytes.length : change.sizeBytes))
  const whole = Buffer.alloc(Math.max(content.bytes.length, ...ends))
  let sizeBytes = content.bytes.copy(whole)
  for (const change of content.changes) {
    if (change.kind === 'write') {
      change.bytes.copy(whole, change.at)
      sizeBytes = Math.max(sizeBytes, change.at + change.bytes.length)
    } else {
      // What is beyond the end is nothing, also when the file grows again.
      whole.fill(0, change.sizeBytes, Math.max(sizeBytes, change.sizeBytes))
      sizeBytes = change.sizeBytes
    }
  }
  return whole.subarray(0, sizeBytes)
}

/** Everything on a disk, by its path below the root. */
export interface DiskState {
  readonly files: Map<string, { readonly node: number; readonly readBytes: () => Buffer }>
  readonly folders: Map<string, number>
}

/** @param root a folder that is not there, or holds nothing but folders that the state has too */
export function writeState({ files, folders }: DiskState, root: string): void {
  mkdirSync(root, { recursive: true })
  // A folder comes before what is in it.
  for (const path of folders.keys()) if (!existsSync(join(root, path))) mkdirSync(join(root, path))
  for (const [path, { readBytes }] of files) writeFileSync(join(root, path), readBytes())
}
