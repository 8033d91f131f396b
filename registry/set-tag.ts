/**
 * Pointing a tag at a manifest that the repository has already: what a push of the same manifest under another tag would do, without
 * its bytes.
 */
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Tag } from '../oci/reference.ts'
import { findManifestSize } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import { currentTag, setTag } from '../storage/metadata/tags.ts'
import { requireStillThere, type Registry } from './registry.ts'

export interface TagSetting {
  readonly tag: Tag
  readonly digest: Digest
  /** Account name, null when nobody is signed in. */
  readonly by: string | null
  /** Says no, by what it throws, to what the tag is now, undefined when it is not there; runs within the transaction. */
  readonly check?: (current: Digest | undefined) => void
}

/** @throws {RegistryError} nameUnknown; manifestUnknown: the repository has no such manifest; and what `check` throws */
export async function pointTag(registry: Registry, repository: RepositoryRow, setting: TagSetting): Promise<void> {
  const { id } = repository
  const { tag, digest, by, check = () => undefined } = setting
  await registry.blobs.requireWritable()
  await registry.database.write(async (tx) => {
    await requireStillThere(tx, repository)
    check((await currentTag.first(tx, { repositoryId: id, tag }))?.digest)
    // Within the transaction: a tag never points at a manifest that was deleted just now.
    if ((await findManifestSize(tx, { repositoryId: id, digest })) === undefined)
      throw new RegistryError('manifestUnknown', { message: `the repository has no manifest ${digest}`, detail: { digest } })
    await setTag(tx, { repositoryId: id, tag, digest, nowMs: registry.clock(), by })
  })
}
