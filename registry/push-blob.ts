/**
 * Pushing a blob: start a session, append to it, finish or cancel it, or take the blob from another repository.
 *
 * The rules of a push; the mechanics of one writing request are upload-session.ts.
 */
import { algorithmOf, type DigestAlgorithm, type SupportedDigest } from '../oci/digest.ts'
import { RegistryError, isRegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { isLinkedSomewhere, linkBlob, renewLease } from '../storage/metadata/blobs.ts'
import { ensureRepository, type RepositoryFilter, type RepositoryRow } from '../storage/metadata/repositories.ts'
import { hasSessions, createSession, deleteSession, findSession, type SessionKey } from '../storage/metadata/uploads.ts'
import { findRepository, type Registry } from './registry.ts'
import { writingToSession, type Chunk } from './upload-session.ts'

export interface UploadStart {
  readonly repository: RepositoryName
  /** Whose session it is; null when nobody is signed in. */
  readonly accountId: number | null
  /** The algorithm the closing request will probably use; another one costs reading the bytes again. */
  readonly algorithm: DigestAlgorithm
}

/**
 * Opens an upload session. Costs no fsync.
 * @throws {RegistryError} tooManyUploads
 */
export async function startUpload(registry: Registry, start: UploadStart): Promise<SessionKey> {
  const { database, rules, clock } = registry
  await registry.blobs.requireWritable()
  const limit = rules.maxUploadsPerAccount
  const key: SessionKey = { id: registry.newId(), repository: start.repository, accountId: start.accountId }
  // Counted in the transaction that creates it: requests that arrive at once would all see room for one more.
  await database.writeRelaxed(async (tx) => {
    if (await hasSessions(tx, start.accountId, limit))
      throw new RegistryError('tooManyUploads', { detail: { limit }, headers: { 'Retry-After': '60' } })
    await createSession(tx, { ...key, algorithm: start.algorithm, nowMs: clock() })
  })
  return key
}

/** Bytes stored so far. @throws {RegistryError} uploadUnknown */
export async function statUpload(registry: Registry, key: SessionKey): Promise<number> {
  const session = await findSession(registry.database.read, key)
  if (!session) throw new RegistryError('uploadUnknown')
  return session.bytes_stored
}

/**
 * Appends a chunk. @returns bytes stored so far.
 * @throws {RegistryError} uploadUnknown, uploadBusy, uploadOutOfOrder, uploadSizeMismatch, uploadInterrupted
 */
export async function appendToUpload(registry: Registry, key: SessionKey, chunk: Chunk): Promise<number> {
  return writingToSession(registry, key, async (session) => {
    await session.append(chunk)
    return session.bytesStored
  })
}

/**
 * Appends the last bytes, if any, and publishes the blob. A repetition whose first answer was lost succeeds too.
 * @throws {RegistryError} those of appendToUpload, and digestMismatch
 */
export async function finishUpload(registry: Registry, key: SessionKey, last: Chunk & { digest: SupportedDigest }): Promise<void> {
  try {
    await writingToSession(registry, key, async (session) => {
      if (last.announcedBytes !== 0) await session.append(last, algorithmOf(last.digest))
      await session.publish(last.digest)
    })
  } catch (error) {
    if (!isRegistryError(error, 'uploadUnknown') || !(await promiseBlob(registry, key.repository, last.digest))) throw error
  }
}

/** Ends a session and forgets its bytes. @throws {RegistryError} uploadUnknown, uploadBusy */
export async function cancelUpload(registry: Registry, key: SessionKey): Promise<void> {
  await writingToSession(registry, key, (session) => session.drop())
}

/** A whole blob in one request. @throws {RegistryError} those of finishUpload; no session is left behind. */
export function pushWholeBlob(
  registry: Registry,
  start: Omit<UploadStart, 'algorithm'>,
  blob: Chunk & { digest: SupportedDigest },
): Promise<void> {
  // Tracked as a whole: an orderly end waits until a push that failed has cleared up as well.
  return registry.writing.track(pushOrForget(registry, start, blob))
}

async function pushOrForget(
  registry: Registry,
  start: Omit<UploadStart, 'algorithm'>,
  blob: Chunk & { digest: SupportedDigest },
): Promise<void> {
  const key = await startUpload(registry, { ...start, algorithm: algorithmOf(blob.digest) })
  try {
    await finishUpload(registry, key, blob)
  } catch (error) {
    await registry.database.writeRelaxed((tx) => deleteSession(tx, key.id))
    await registry.blobs.removePartial(key.id)
    throw error
  }
}

export interface Mount {
  readonly target: RepositoryName
  /** Whose push it is: owns the namespace, should that be new. */
  readonly accountId?: number | null
  readonly digest: SupportedDigest
  /** The repository to take it from, or all those that the caller may pull; undefined: nowhere but the target itself. */
  readonly source: RepositoryRow | RepositoryFilter | undefined
}

/** Links a blob that the caller may already read into another repository. @returns whether it could. */
export async function mountBlob(registry: Registry, mount: Mount): Promise<boolean> {
  const { database, clock, rules } = registry
  if (!(await hasBlob(registry, mount.target, mount.digest)) && !(await isMountable(registry, mount))) return false
  return database.write(async (tx) => {
    const nowMs = clock()
    const repositoryId = await ensureRepository(tx, {
      name: mount.target,
      visibility: rules.defaultVisibility,
      accountId: mount.accountId ?? null,
      nowMs,
    })
    return linkBlob(tx, { repositoryId, digest: mount.digest, nowMs })
  })
}

async function isMountable(registry: Registry, { source, digest }: Mount): Promise<boolean> {
  if (source === undefined) return false
  if ('kind' in source) return isLinkedSomewhere(registry.database.read, digest, source)
  return (await registry.reads.linkedBlob({ repositoryId: source.id, digest })) !== undefined
}

/** What a repetition is told holds as long as what the first was told. @returns whether the repository has the blob */
async function promiseBlob(registry: Registry, name: RepositoryName, digest: SupportedDigest): Promise<boolean> {
  const repository = await findRepository(registry, name)
  if (!repository) return false
  const lease = { repositoryId: repository.id, digest, nowMs: registry.clock() }
  return registry.database.writeRelaxed((tx) => renewLease(tx, lease))
}

async function hasBlob(registry: Registry, name: RepositoryName, digest: SupportedDigest): Promise<boolean> {
  const repository = await findRepository(registry, name)
  return repository !== undefined && (await registry.reads.linkedBlob({ repositoryId: repository.id, digest })) !== undefined
}
