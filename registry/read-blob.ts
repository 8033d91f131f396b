/**
 * Reading and unlinking a blob through its repository. A 200 is a promise: it renews the lease that collection honours.
 */
import { isSupported, type Digest, type SupportedDigest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { BlobReader } from '../storage/blobs/blob-store.ts'
import { renewLease, unlinkBlob, type LinkedBlobRow } from '../storage/metadata/blobs.ts'
import { isReferenced } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import { CheckedReader } from './checked-reader.ts'
import { tryToQuarantine } from './quarantine.ts'
import { requireStillThere, writeToFree, type Registry, type RegistryRules } from './registry.ts'

/**
 * A lease is renewed only when it is older than this, so that a popular blob does not cost a write per read: of the time that it is
 * promised for, at most a tenth is missing. Where there are no leases, a read costs no more writes than elsewhere.
 */
export function leaseGranularityMs({ leaseMs }: Pick<RegistryRules, 'leaseMs'>): number {
  const longestMs = 10 * 60_000
  return leaseMs === 0 ? longestMs : Math.min(longestMs, leaseMs / 10)
}

/**
 * Size in bytes, for who wants to know whether it must be pushed.
 * @throws {RegistryError} blobUnknown: also for a blob that only another repository has, and for a damaged one
 */
export async function statBlob(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<number> {
  return (await getBlob(registry, repository, digest)).size_bytes
}

/** As statBlob, for who wants to pull it: pushing is not theirs to do. @throws {RegistryError} blobUnknown, blobDamaged */
export async function statBlobToPull(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<number> {
  return (await getBlobToPull(registry, repository, digest)).size_bytes
}

async function getBlobToPull(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<LinkedBlobRow> {
  try {
    return await getBlob(registry, repository, digest)
  } catch (error) {
    const damage = repository && (await registry.reads.quarantinedLink({ repositoryId: repository.id, digest }))
    if (!damage) throw error
    throw new RegistryError('blobDamaged', { detail: { digest }, cause: new Error(`in quarantine: ${damage.fault}`) })
  }
}

async function getBlob(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<LinkedBlobRow> {
  const blob = repository && (await registry.reads.linkedBlob({ repositoryId: repository.id, digest }))
  if (!blob) throw new RegistryError('blobUnknown', { detail: { digest } })
  const isOld = registry.clock() - blob.leased_at_ms > leaseGranularityMs(registry.rules)
  // It may be collected between the two.
  if (isOld && !(await renewOf(registry, repository.id, digest))) throw new RegistryError('blobUnknown', { detail: { digest } })
  return blob
}

function renewOf({ database, clock }: Registry, repositoryId: number, digest: Digest): Promise<boolean> {
  return renewIfPossible(() => database.writeRelaxed((tx) => renewLease(tx, { repositoryId, digest, nowMs: clock() })))
}

/**
 * A disk that takes no more rows must not keep anybody from pulling: it takes no manifest either that would rely on the lease.
 * @returns false when what was to be renewed is gone
 */
export async function renewIfPossible(renew: () => Promise<boolean>): Promise<boolean> {
  try {
    return await renew()
  } catch (error) {
    if (!isRegistryError(error, 'storageFull') && !isRegistryError(error, 'storageFailed')) throw error
    return true
  }
}

/**
 * The caller closes the reader. After a stop that was none in order it checks the digest while it is read.
 * @throws {RegistryError} blobUnknown, blobDamaged
 */
export async function openBlob(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<BlobReader> {
  const blob = await getBlobToPull(registry, repository, digest)
  if (!isSupported(digest)) throw new RegistryError('blobUnknown', { detail: { digest } })
  const reader = await openOrQuarantine(registry, digest, blob.size_bytes)
  if (!registry.suspects.isSuspect(digest, blob.stored_at_ms)) return reader
  return checkFirst(registry, digest, reader)
}

/** A blob that is missing or has another size is in quarantine afterwards. */
async function openOrQuarantine(registry: Registry, digest: SupportedDigest, sizeBytes: number): Promise<BlobReader> {
  const { blobs } = registry
  try {
    return await blobs.openBlob(digest, sizeBytes)
  } catch (error) {
    if (!isRegistryError(error, 'blobDamaged')) throw error
    const { kind } = await tryToQuarantine(registry, { digest, sizeBytes })
    if (kind === 'damaged') throw error
    if (kind === 'gone') throw new RegistryError('blobUnknown', { detail: { digest } })
    return blobs.openBlob(digest, sizeBytes)
  }
}

async function checkFirst(registry: Registry, digest: SupportedDigest, reader: BlobReader): Promise<BlobReader> {
  await registry.suspects.refresh(registry.database.read)
  return registry.suspects.isSuspect(digest) ? new CheckedReader(registry, digest, reader) : reader
}

/**
 * Removes the repository's link; the bytes stay until they are collected.
 * @throws {RegistryError} deleteDisabled, blobUnknown, blobInUse: a manifest of the repository references it
 */
export async function deleteBlob(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<void> {
  if (!registry.rules.isDeleteEnabled) throw new RegistryError('deleteDisabled')
  if (!repository) throw new RegistryError('blobUnknown', { detail: { digest } })
  await writeToFree(registry, async (tx) => {
    await requireStillThere(tx, repository)
    if (await isReferenced(tx, repository.id, digest)) throw new RegistryError('blobInUse', { detail: { digest } })
    if (!(await unlinkBlob(tx, repository.id, digest))) throw new RegistryError('blobUnknown', { detail: { digest } })
  })
}
