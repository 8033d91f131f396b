/**
 * Making a tag again what it was, also when the manifest is in the trash by now.
 */
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Tag } from '../oci/reference.ts'
import { findManifestSize } from '../storage/metadata/manifests.ts'
import type { RepositoryRow } from '../storage/metadata/repositories.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { currentTag, findTagInterval, setTag } from '../storage/metadata/tags.ts'
import { findTrashedManifest } from '../storage/metadata/trash.ts'
import { requireStillThere, type Registry } from './registry.ts'
import { bringBackManifest, overSince } from './trash.ts'

export interface TagRestoration {
  readonly tag: Tag
  /** One that the tag pointed at once; undefined: the last one before what it is now. */
  readonly digest: Digest | undefined
  /** Account name, null when nobody was signed in. */
  readonly by: string | null
  /** Says no, by what it throws, to what the tag is now, undefined when it is not there; runs within the transaction. */
  readonly check?: (current: Digest | undefined) => void
}

/**
 * @returns what the tag is now
 * @throws {RegistryError} nameUnknown; manifestUnknown: the tag was never that, or nothing else before, or the manifest is gone for good;
 * restoreBlocked; and what `check` throws
 */
export async function restoreTag(registry: Registry, repository: RepositoryRow, wish: TagRestoration): Promise<Digest> {
  const { tag, by, check = () => undefined } = wish
  await registry.blobs.requireWritable()
  return registry.database.write(async (tx) => {
    await requireStillThere(tx, repository)
    const current = await currentTag.first(tx, { repositoryId: repository.id, tag })
    check(current?.digest)
    const digest = await wishedFor(tx, repository, { ...wish, current: current?.digest })
    const nowMs = registry.clock()
    if ((await findManifestSize(tx, { repositoryId: repository.id, digest })) === undefined) {
      const item = await findTrashedManifest(tx, { repositoryId: repository.id, digest, sinceMs: overSince(registry) })
      if (!item) throw new RegistryError('manifestUnknown', { message: `the manifest ${digest} is gone for good`, detail: { digest } })
      await bringBackManifest(registry, tx, { item, nowMs, by })
    }
    await setTag(tx, { repositoryId: repository.id, tag, digest, nowMs, by })
    return digest
  })
}

async function wishedFor(
  tx: Writer,
  { id: repositoryId }: RepositoryRow,
  { tag, digest, current }: TagRestoration & { readonly current: Digest | undefined },
): Promise<Digest> {
  const interval = await findTagInterval(tx, { repositoryId, tag, digest, except: current })
  const found = interval ?? (digest !== undefined && digest === current ? digest : undefined)
  if (found !== undefined) return found
  const message = digest === undefined ? `the tag ${tag} was nothing else before` : `the tag ${tag} never was ${digest}`
  throw new RegistryError('manifestUnknown', { message, detail: { tag } })
}
