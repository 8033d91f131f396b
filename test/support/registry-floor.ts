/**
 * The registry below HTTP, for tests of its use cases: real files, real rows, a clock that stands until it is moved, and a blob store
 * that can be watched and made to fail.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { digestOf, type SupportedDigest } from '../../oci/digest.ts'
import type { RegistryError } from '../../oci/errors.ts'
import { appendToUpload, finishUpload, startUpload } from '../../registry/push-blob.ts'
import { createRegistry, findRepository, type Registry, type RegistryRules } from '../../registry/registry.ts'
import type { Chunk } from '../../registry/upload-session.ts'
import type { BlobInspection, BlobReader, BlobStore, CollectedBlobs, PartialBlob } from '../../storage/blobs/blob-store.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { blobFolder, type DataLayout } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import type { SessionKey } from '../../storage/metadata/uploads.ts'
import { emptyDataFolder } from './data-folder.ts'
import { repositoryName } from './metadata-rows.ts'

const usualRules: RegistryRules = {
  defaultVisibility: 'private',
  isDeleteEnabled: true,
  maxReferences: 1000,
  missingContent: 'strict',
  allowUnknownTypes: false,
  maxUploadsPerAccount: 100,
  uploadTtlMs: 24 * 3_600_000,
  leaseMs: 24 * 3_600_000,
  trashMs: 7 * 24 * 3_600_000,
  untaggedDays: 0,
}

export interface Floor {
  readonly registry: Registry
  readonly blobs: WatchedBlobStore
  readonly database: Database
  readonly layout: DataLayout
  /** Moves the clock of every process on this store. */
  readonly advance: (ms: number) => void
  readonly now: () => number
  /** The registry of another process on the same store. */
  readonly another: (processId: string) => Floor
}

export async function openFloor(t: TestContext, rules: Partial<RegistryRules> = {}): Promise<Floor> {
  const layout = emptyDataFolder(t)
  mkdirSync(layout.uploads)
  mkdirSync(layout.collected)
  mkdirSync(layout.quarantine)
  await migrate(layout, 0)
  return openFloorOn(t, layout, rules)
}

/** On a data folder that is migrated. */
export function openFloorOn(t: TestContext, layout: DataLayout, rules: Partial<RegistryRules> = {}): Floor {
  let nowMs = Date.UTC(2026, 10, 24)
  let ids = 0
  const open = (processId: string): Floor => {
    const database = Database.open(layout.database)
    t.after(() => database.close())
    const blobs = new WatchedBlobStore(layout)
    const registry = createRegistry({
      blobs,
      database,
      rules: { ...usualRules, ...rules },
      clock: () => nowMs,
      newId: () => `id-${++ids}`,
      processId,
      releaseReserve: async () => false,
    })
    return { registry, blobs, database, layout, advance: (ms) => void (nowMs += ms), now: () => nowMs, another: open }
  }
  return open('first')
}

type PartialCall = 'open' | 'read' | 'write' | 'truncate' | 'commit' | 'close'

/**
 * The store on disk: counts what is read again, and fails where a test says so. A blob's folder is made when the blob needs it, because
 * making all of them costs more than a test.
 */
export class WatchedBlobStore implements BlobStore {
  readonly #layout: DataLayout
  readonly #store: BlobStore
  readonly collected: CollectedBlobs
  readonly inspection: BlobInspection
  /** Bytes of uploads that were read. */
  bytesReread = 0
  /** Runs before a call on an upload; what it throws is the call's outcome. */
  before: (call: PartialCall) => void | Promise<void> = () => undefined

  constructor(layout: DataLayout) {
    this.#layout = layout
    this.#store = new DiskBlobStore(layout)
    this.collected = this.#store.collected
    this.inspection = this.#store.inspection
  }

  /** Lets the next such call fail. */
  failNext(call: PartialCall, error: RegistryError): void {
    this.before = (made) => {
      if (made !== call) return
      this.before = () => undefined
      throw error
    }
  }

  async openPartial(id: string): Promise<PartialBlob> {
    await this.before('open')
    const partial = await this.#store.openPartial(id)
    return {
      sizeBytes: () => partial.sizeBytes(),
      write: async (chunks, position) => {
        await this.before('write')
        await partial.write(chunks, position)
      },
      read: async (target, position) => {
        await this.before('read')
        const read = await partial.read(target, position)
        this.bytesReread += read
        return read
      },
      truncate: async (sizeBytes) => {
        await this.before('truncate')
        await partial.truncate(sizeBytes)
      },
      commit: async (digest, sizeBytes) => {
        await this.before('commit')
        mkdirSync(blobFolder(this.#layout, digest), { recursive: true })
        await partial.commit(digest, sizeBytes)
      },
      isStillThere: (digest, sizeBytes) => partial.isStillThere(digest, sizeBytes),
      close: async () => {
        await partial.close()
        await this.before('close')
      },
    }
  }

  statBlob(digest: SupportedDigest): Promise<number | undefined> {
    return this.#store.statBlob(digest)
  }

  openBlob(digest: SupportedDigest, sizeBytes: number): Promise<BlobReader> {
    return this.#store.openBlob(digest, sizeBytes)
  }

  removePartial(id: string): Promise<void> {
    return this.#store.removePartial(id)
  }

  listPartials(): AsyncIterable<{ readonly id: string; readonly modifiedAtMs: number }> {
    return this.#store.listPartials()
  }

  requireWritable(): Promise<void> {
    return this.#store.requireWritable()
  }

  probe(): Promise<void> {
    return this.#store.probe()
  }
}

/** The same database but for the ways of writing that are given here. */
export function withWrites(database: Database, replaced: Partial<Pick<Database, 'write' | 'writeRelaxed'>>): Database {
  return new Proxy(database, {
    get: (target, key) => {
      if (key === 'write' && replaced.write) return replaced.write
      if (key === 'writeRelaxed' && replaced.writeRelaxed) return replaced.writeRelaxed
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A chunk of a body as a request carries it, with its length announced. */
export function chunk(content: string | Uint8Array, more: Partial<Chunk> = {}): Chunk {
  const bytes = Buffer.from(content)
  return { body: inPieces([bytes]), announcedBytes: bytes.length, range: undefined, ...more }
}

/** A body that ends after these pieces: as it should, or with an error. */
export async function* inPieces(pieces: readonly (string | Uint8Array)[], breaksOffWith?: Error): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece)
  if (breaksOffWith) throw breaksOffWith
}

/** What is asked for at the end of an upload without a body. */
export function ending(digest: SupportedDigest): Chunk & { digest: SupportedDigest } {
  return { ...chunk(''), digest }
}

/** Starts an upload to a repository, by default anonymously. */
export function begin(registry: Registry, repository: string, more: Partial<Parameters<typeof startUpload>[1]> = {}): Promise<SessionKey> {
  return startUpload(registry, { repository: repositoryName(repository), accountId: null, algorithm: 'sha256', ...more })
}

/** POST, PATCH, PUT. @returns the digest. */
export async function pushBlob(registry: Registry, repository: string, content: string | Uint8Array): Promise<SupportedDigest> {
  const key = await begin(registry, repository)
  await appendToUpload(registry, key, chunk(content))
  const digest = digestOf('sha256', Buffer.from(content))
  await finishUpload(registry, key, ending(digest))
  return digest
}

/** The repository's row; it must be there. */
export async function getRepository(registry: Registry, name: string): Promise<RepositoryRow> {
  const repository = await findRepository(registry, repositoryName(name))
  assert.ok(repository, `there is a repository ${name}`)
  return repository
}
