/**
 * Resolving a reference to the exact bytes that were pushed, and deleting tags and manifests.
 */
import { algorithmOf, digestOf, isSupported, type Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { Reference } from '../oci/reference.ts'
import { setManifestLease, type ManifestRow } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import { currentTag, endTag, endTagsOf, listTagsOf } from '../storage/metadata/tags.ts'
import { trashManifest } from '../storage/metadata/trash.ts'
import { quarantineManifest } from './quarantine.ts'
import { leaseGranularityMs, renewIfPossible } from './read-blob.ts'
import { requireStillThere, writeToFree, type Registry } from './registry.ts'

/** Of an index of images; beyond that a client asks for the parts by themselves. */
const neededAtMost = 10_000

/**
 * Whether the manifest is there. Some clients (oras, crane) send nothing of an image whose manifest is there: to those who are about to push,
 * one that is damaged, or that needs something damaged, is not.
 * @throws {RegistryError} nameUnknown, manifestUnknown
 */
export async function resolveForHead(
  registry: Registry,
  repository: RepositoryRow | undefined,
  { reference, isPushing }: { readonly reference: Reference; readonly isPushing: boolean },
): Promise<ManifestRow> {
  const manifest = await resolveUndamaged(registry, repository, reference)
  if (!isPushing || !repository) return manifest
  const need = { repositoryId: repository.id, digest: manifest.digest, limit: neededAtMost }
  if (await registry.reads.damagedNeed(need)) throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
  return manifest
}

async function resolveUndamaged(registry: Registry, repository: RepositoryRow | undefined, reference: Reference): Promise<ManifestRow> {
  try {
    return await resolveManifest(registry, repository, reference)
  } catch (error) {
    if (!isRegistryError(error, 'manifestDamaged')) throw error
    throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
  }
}

/** @throws {RegistryError} nameUnknown, manifestUnknown, manifestDamaged */
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
  if (!manifest) throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
  if (manifest.content.length === 0) throw damaged(manifest)
  if (registry.suspects.isAnything) await requireSound(registry, repository.id, manifest)
  if (reference.kind === 'digest' && !(await keepLease(registry, repository.id, manifest)))
    throw new RegistryError('manifestUnknown', { detail: detailOf(reference) })
  return manifest
}

/** The first read after a stop that was none in order. */
async function requireSound(registry: Registry, repositoryId: number, manifest: ManifestRow): Promise<void> {
  const { digest, content } = manifest
  const key = `${repositoryId} ${digest}`
  if (!registry.suspects.isSuspect(key)) return
  if (!isSupported(digest) || digestOf(algorithmOf(digest), content) === digest) return registry.suspects.noteSound(key)
  try {
    await quarantineManifest(registry, { repositoryId, digest }, content)
  } catch (error) {
    if (!isRegistryError(error, 'storageFull') && !isRegistryError(error, 'storageFailed')) throw error
  }
  throw damaged(manifest)
}

function damaged({ digest }: ManifestRow): RegistryError {
  return new RegistryError('manifestDamaged', { detail: { digest } })
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
