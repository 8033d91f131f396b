/**
 * What every use case works with: the stores, the rules an operator set, time and randomness. Built once per process by
 * the composition root; holds no state of its own but the hashes of uploads in progress, platforms that were read before,
 * and what of a suspect store has been found right.
 */
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { BlobStore } from '../storage/blobs/blob-store.ts'
import { linkedBlob } from '../storage/metadata/blobs.ts'
import type { Database } from '../storage/metadata/database.ts'
import { contentSize, manifestByDigest, manifestByTag } from '../storage/metadata/manifests.ts'
import { repositoryByName, type RepositoryRow, type Visibility } from '../storage/metadata/repositories.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { damagedNeed, quarantinedLink } from '../storage/metadata/scrubs.ts'
import { LiveHashes } from './live-hashes.ts'
import { PlatformMemory } from './platform-memory.ts'
import { Suspects } from './suspects.ts'

/** What an operator may set about the registry itself; the settings of the same names say why. */
export interface RegistryRules {
  readonly defaultVisibility: Visibility
  readonly isDeleteEnabled: boolean
  readonly maxReferences: number
  readonly missingContent: 'strict' | 'index' | 'off'
  readonly allowUnknownTypes: boolean
  readonly maxUploadsPerAccount: number
  readonly uploadTtlMs: number
  /** How long a blob stays after a client was told last that it exists. */
  readonly leaseMs: number
  /** How long what was deleted can be restored; 0: not at all. */
  readonly trashMs: number
  /** How long untagged manifests stay where the repository says nothing else; 0: always. */
  readonly untaggedDays: number
}

export interface RegistryParts {
  readonly blobs: BlobStore
  readonly database: Database
  readonly rules: RegistryRules
  /** Gives room back to a full disk. @returns whether there was any to give */
  readonly releaseReserve: () => Promise<boolean>
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** Told when something stored was found damaged, and when it was stored anew. */
  readonly onDamage?: (event: 'found' | 'healed') => void
  /** Unguessable ids. */
  readonly newId: () => string
  /** Names this process in the claims it makes on upload sessions; unique among all that ever run. */
  readonly processId: string
}

export type Registry = RegistryParts & {
  readonly platforms: PlatformMemory
  readonly reads: ReturnType<typeof prepareReads>
  readonly liveHashes: LiveHashes
  readonly suspects: Suspects
  /** Requests that are writing to an upload session right now. */
  readonly writing: InFlight
}

/** Work that must come to its end before the process may. */
export class InFlight {
  readonly #work = new Set<Promise<unknown>>()

  get count(): number {
    return this.#work.size
  }

  async track<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work)
    try {
      return await work
    } finally {
      this.#work.delete(work)
    }
  }

  /** Resolves when nothing is under way; failures are their callers' business. */
  async whenIdle(): Promise<void> {
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
  }
}

export function createRegistry(parts: RegistryParts): Registry {
  return {
    ...parts,
    reads: prepareReads(parts.database),
    platforms: new PlatformMemory(),
    liveHashes: new LiveHashes(),
    suspects: new Suspects(),
    writing: new InFlight(),
  }
}

/** The look-ups on the path of every request, built once. */
function prepareReads(database: Database) {
  return {
    repository: database.prepare(repositoryByName),
    linkedBlob: database.prepare(linkedBlob),
    manifestByDigest: database.prepare(manifestByDigest),
    manifestByTag: database.prepare(manifestByTag),
    contentSize: database.prepare(contentSize),
    quarantinedLink: database.prepare(quarantinedLink),
    damagedNeed: database.prepare(damagedNeed),
  }
}

export async function findRepository(registry: Registry, name: RepositoryName): Promise<RepositoryRow | undefined> {
  return registry.reads.repository({ name })
}

/**
 * For a change of what a request was told is there: a repository that went into the trash meanwhile keeps its number and its rows.
 * @throws {RegistryError} nameUnknown
 */
export async function requireStillThere(tx: Writer, { id, name }: RepositoryRow): Promise<void> {
  if ((await repositoryByName.first(tx, { name }))?.id !== id) throw new RegistryError('nameUnknown')
}

/** A durable write that takes things away: on a full disk it gets the room that is kept for it. */
export async function writeToFree<T>(registry: Registry, work: (tx: Writer) => Promise<T>): Promise<T> {
  try {
    return await registry.database.write(work)
  } catch (error) {
    if (!isRegistryError(error, 'storageFull') || !(await registry.releaseReserve())) throw error
    return registry.database.write(work)
  }
}
