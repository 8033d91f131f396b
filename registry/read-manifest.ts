/**
 * Resolving a reference to the exact bytes that were pushed, and deleting tags and manifests.
 */
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Reference } from '../oci/reference.ts'
import { setManifestLease, type ManifestRow } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import { currentTag, endTag, endTagsOf, listTagsOf } from '../storage/metadata/tags.ts'
import { trashManifest } from '../storage/metadata/trash.ts'
import { leaseGranularityMs, renewIfPossible } from './read-blob.ts'
import { requireStillThere, writeToFree, type Registry } from './registry.ts'

/** @throws {RegistryError} nameUnknown, manifestUnknown */
export async function resolveManifest(
  registry: Registry,
  repository: RepositoryRow | undefined,
  reference: Reference,
): Promise<ManifestRow> {
  if (!repository) throw new RegistryError('nameUnknown')
  const { reads } = registry
  const manifest =
    reference.kind === 'tag'
      ? await reads.manifestByTag({ repositoryId: repository.id, tag: reference.tag })
      : await reads.manifestByDigest({ repositoryId: repository.id, digest: reference.digest })
  const isThere = manifest && (reference.kind === 'tag' || (await keepLease(registry, repository.id, manifest)))
  if (!isThere) throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
  return manifest
}

/**
 * A client that is told of a manifest by its digest may push an index that lists it. A tag holds what it points at by itself.
 * @returns false when the manifest was removed just now
 */
async function keepLease(registry: Registry, repositoryId: number, { digest, leased_at_ms: leasedAtMs }: ManifestRow): Promise<boolean> {
  const { clock, database, rules } = registry
  if (clock() - leasedAtMs <= leaseGranularityMs(rules)) return true
  return renewIfPossible(() =>
    database.writeRelaxed(async (tx) => (await setManifestLease.run(tx, { repositoryId, digest, nowMs: clock() })) > 0),
  )
}

/** More tags of one manifest do not come back with it. */
const keptTags = 10_000

export interface Deletion {
  readonly reference: Reference
  /** Account name, null when nobody is signed in. */
  readonly by: string | null
  /** Says no, by what it throws, to a digest that is not the expected one; runs within the transaction. */
  readonly check?: (current: Digest) => void
}

/**
 * By tag only the tag goes; by digest the manifest goes into the trash, and every tag that points to it ends.
 * @throws {RegistryError} deleteDisabled, nameUnknown, manifestUnknown
 */
export async function deleteByReference(
  registry: Registry,
  repository: RepositoryRow | undefined,
  { reference, by, check = () => undefined }: Deletion,
): Promise<void> {
  if (!registry.rules.isDeleteEnabled) throw new RegistryError('deleteDisabled')
  if (!repository) throw new RegistryError('nameUnknown')
  const repositoryId = repository.id
  await writeToFree(registry, async (tx) => {
    await requireStillThere(tx, repository)
    const nowMs = registry.clock()
    if (reference.kind === 'tag') {
      const current = await currentTag.first(tx, { repositoryId, tag: reference.tag })
      if (current) check(current.digest)
      if (!(await endTag(tx, { repositoryId, tag: reference.tag, nowMs, by })))
        throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
      return
    }
    check(reference.digest)
    const { digest } = reference
    const tags = await listTagsOf(tx, { repositoryId, digest, limit: keptTags })
    await endTagsOf(tx, { repositoryId, digest, nowMs, by })
    if (!(await trashManifest(tx, { repositoryId, repository: repository.name, digest, tags, nowMs, by })))
      throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
  })
}

function detailOf(reference: Reference): Record<string, string> {
  return reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest }
}
