/**
 * Reading and unlinking a blob through its repository. A 200 is a promise: it renews the lease that collection honours.
 */
import { isSupported, type Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { BlobReader } from '../storage/blobs/blob-store.ts'
import { renewLease, unlinkBlob } from '../storage/metadata/blobs.ts'
import { isReferenced } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import { requireStillThere, writeToFree, type Registry, type RegistryRules } from './registry.ts'

/**
 * A lease is renewed only when it is older than this, so that a popular blob does not cost a write per read: of the time that it is
 * promised for, at most a tenth is missing. Where there are no leases, a read costs no more writes than elsewhere.
 */
export function leaseGranularityMs({ leaseMs }: Pick<RegistryRules, 'leaseMs'>): number {
  const longestMs = 10 * 60_000
  return leaseMs === 0 ? longestMs : Math.min(longestMs, leaseMs / 10)
}

/** Size in bytes. @throws {RegistryError} blobUnknown: also for a blob that only another repository has. */
export async function statBlob(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<number> {
  const blob = repository && (await registry.reads.linkedBlob({ repositoryId: repository.id, digest }))
  if (!blob) throw new RegistryError('blobUnknown', { detail: { digest } })
  const isOld = registry.clock() - blob.leased_at_ms > leaseGranularityMs(registry.rules)
  // It may be collected between the two.
  if (isOld && !(await renewOf(registry, repository.id, digest))) throw new RegistryError('blobUnknown', { detail: { digest } })
  return blob.size_bytes
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

/** The caller closes the reader. @throws {RegistryError} blobUnknown, blobDamaged */
export async function openBlob(registry: Registry, repository: RepositoryRow | undefined, digest: Digest): Promise<BlobReader> {
  const sizeBytes = await statBlob(registry, repository, digest)
  if (!isSupported(digest)) throw new RegistryError('blobUnknown', { detail: { digest } })
  return registry.blobs.openBlob(digest, sizeBytes)
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
