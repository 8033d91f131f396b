/**
 * A disk below a write-back cache: what a power cut surely leaves, and what it may take.
 *
 * Certain is only what was synced: the bytes and the size of a file by a sync of that file begun after they were written, a name by a
 * sync of the folder that holds it. A synced file whose name was not synced may have none, as POSIX has it and no journaling file system
 * would. A rename is one step, and what happens to one name, or to one file's bytes, keeps its order.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootNode, type Name, type Operation } from './operation-log.ts'

export type Change = Extract<Operation, { kind: 'write' | 'truncate' | 'name' | 'move' | 'remove' }>

/** A change that is not certain. */
export interface Pending {
  /** Of this change alone, or of this part of it. */
  readonly id: string
  readonly number: number
  readonly change: Change
}

type Folder = ReadonlyMap<string, number>

export class DiskModel {
  readonly #disk = new Layers()
  readonly #isIgnored: (node: number, disk: DiskModel) => boolean
  /** Sync → how many operations there were when it began. */
  readonly #begun = new Map<string, number>()
  #pending: readonly Pending[] = []
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
    if (operation.kind === 'mark') return
    if (operation.kind === 'begin') this.#begun.set(operation.sync, number)
    else if (operation.kind === 'end') this.#settle(operation.node, this.#begun.get(operation.sync) ?? 0)
    else this.#pending = [...this.#pending, { id: String(number), number, change: operation }]
  }

  /** What is left when these of the pending changes reached the disk, in the order of the log. */
  leave(reached: readonly Pending[]): DiskState {
    const disk = this.#disk.copy()
    for (const each of reached) disk.apply(each)
    return disk.state()
  }

  /** The path that a file or folder has for the processes; undefined: none. */
  pathOf(node: number): string | undefined {
    const { files, folders } = this.leave(this.#pending)
    return [...files, ...folders].find(([, entry]) => entry.node === node)?.[0]
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
    for (const each of this.#pending) if (isSettled.has(each)) this.#disk.apply(each)
    this.#pending = this.#pending.filter((each) => !isSettled.has(each))
  }
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

interface Content {
  readonly bytes: Buffer
  /** What has been done to it: the same for the same bytes. */
  readonly history: string
}

const nothing: Content = { bytes: Buffer.alloc(0), history: '' }

/** Files and folders; a copy shares what neither changes. */
class Layers {
  readonly #contents: Map<number, Content>
  readonly #folders: Map<number, Folder>
  readonly #hashes: Map<string, string>

  constructor(contents = new Map<number, Content>(), folders = new Map<number, Folder>([[rootNode, new Map()]]), hashes = new Map()) {
    this.#contents = contents
    this.#folders = folders
    this.#hashes = hashes
  }

  copy(): Layers {
    return new Layers(new Map(this.#contents), new Map(this.#folders), this.#hashes)
  }

  apply({ id, change }: Pending): void {
    switch (change.kind) {
      case 'write':
      case 'truncate':
        this.#change(change.file, id, change)
        return
      case 'name':
        if (change.isFolder && !this.#folders.has(change.node)) this.#folders.set(change.node, new Map())
        this.#rename(change.name, change.node)
        return
      case 'move':
        this.#rename(change.from, undefined)
        this.#rename(change.name, change.node)
        return
      case 'remove':
        this.#rename(change.name, undefined)
    }
  }

  /** What can be reached from the root. */
  state(): DiskState {
    const state = new DiskState()
    this.#walk(rootNode, '', state)
    return state
  }

  #walk(folder: number, path: string, state: DiskState): void {
    for (const [text, node] of this.#folders.get(folder) ?? []) {
      const below = path === '' ? text : `${path}/${text}`
      if (this.#folders.has(node)) {
        state.folders.set(below, { node })
        this.#walk(node, below, state)
      } else {
        const content = this.#contents.get(node) ?? nothing
        state.files.set(below, { node, bytes: content.bytes, hash: this.#hashOf(node, content) })
      }
    }
  }

  #hashOf(node: number, { bytes, history }: Content): string {
    const key = `${node}:${history}`
    const known = this.#hashes.get(key) ?? createHash('sha1').update(bytes).digest('hex')
    this.#hashes.set(key, known)
    return known
  }

  #change(file: number, id: string, change: Extract<Change, { kind: 'write' | 'truncate' }>): void {
    const { bytes, history } = this.#contents.get(file) ?? nothing
    const end = change.kind === 'write' ? change.at + change.bytes.length : change.sizeBytes
    const sizeBytes = change.kind === 'write' ? Math.max(bytes.length, end) : end
    const next = Buffer.alloc(sizeBytes)
    bytes.copy(next)
    if (change.kind === 'write') change.bytes.copy(next, change.at)
    this.#contents.set(file, { bytes: next, history: createHash('sha1').update(`${history} ${id}`).digest('hex') })
  }

  #rename({ folder, text }: Name, node: number | undefined): void {
    const names = new Map(this.#folders.get(folder))
    if (node === undefined) names.delete(text)
    else names.set(text, node)
    this.#folders.set(folder, names)
  }
}

/** Everything on a disk, by its path below the root. */
export class DiskState {
  readonly files = new Map<string, { readonly node: number; readonly bytes: Buffer; readonly hash: string }>()
  readonly folders = new Map<string, { readonly node: number }>()

  /** The same for the same names and bytes. */
  get hash(): string {
    const lines = [...this.folders.keys(), ...[...this.files].map(([path, { hash }]) => `${path} ${hash}`)]
    return createHash('sha1').update(lines.toSorted().join('\n')).digest('hex')
  }

  /** @param root a folder that is empty, or not there */
  writeTo(root: string): void {
    mkdirSync(root, { recursive: true })
    // A folder comes before what is in it.
    for (const path of this.folders.keys()) mkdirSync(join(root, path))
    for (const [path, { bytes }] of this.files) writeFileSync(join(root, path), bytes)
  }
}
