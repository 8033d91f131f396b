/**
 * Undoing a deletion: what is in the trash, bringing it back, and removing it for good before its time.
 *
 * Invariants: what is restored is complete, or stays where it is; nothing that was pushed meanwhile is overwritten. What is over its time
 * cannot be restored, even if the collector has not come to it yet.
 */
import { RegistryError } from '../oci/errors.ts'
import type { Tag } from '../oci/reference.ts'
import { namespaceOf } from '../oci/repository-name.ts'
import { ensureNamespace } from '../storage/metadata/namespaces.ts'
import { deleteManifest } from '../storage/metadata/manifests.ts'
import { repositoryByName } from '../storage/metadata/repositories.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { currentTag, setTag } from '../storage/metadata/tags.ts'
import {
  eraseHolder,
  eraseSome,
  findTrashItem,
  isOverdue,
  listHeldManifests,
  listOverdue,
  listTrash,
  markPurged,
  missingChildren,
  queueFormerlyHeld,
  restoreManifest,
  restoreRepository,
  type TrashItem,
  type TrashPage,
} from '../storage/metadata/trash.ts'
import { nothing, stepEntries, withinStep, type Step } from './collection-step.ts'
import { pageOf, type Page } from './list.ts'
import { writeToFree, type Registry } from './registry.ts'

/** Rows that one step removes of a repository: some milliseconds' work. */
const eraseAtOnce = 100

/** What can be restored, the newest first. */
export async function trashFor(registry: Registry, page: Omit<TrashPage, 'sinceMs'>): Promise<Page<TrashItem>> {
  return pageOf(page, (limit) => listTrash(registry.database.read, { ...page, limit, sinceMs: overSince(registry) }))
}

/** @returns undefined also when its time is over. */
export async function findInTrash(registry: Registry, id: number): Promise<TrashItem | undefined> {
  return findTrashItem(registry.database.read, { id, sinceMs: overSince(registry) })
}

/**
 * Brings an item back: a repository with all that it had, a manifest with those of its tags that point at nothing else now.
 * @returns it, as it was
 * @throws {RegistryError} trashItemUnknown; nameTaken: there is another repository of the name now; restoreBlocked: its repository is
 * gone, or it lists manifests that are
 */
export async function restoreFromTrash(registry: Registry, { id, by }: { id: number; by: string | null }): Promise<TrashItem> {
  const { database, clock } = registry
  await registry.blobs.requireWritable()
  return database.write(async (tx) => {
    const item = await findTrashItem(tx, { id, sinceMs: overSince(registry) })
    if (!item) throw new RegistryError('trashItemUnknown')
    const nowMs = clock()
    if (item.kind === 'repository') await bringBackRepository(tx, item, nowMs)
    else await bringBackManifest(registry, tx, { item, nowMs, by })
    return item
  })
}

async function bringBackRepository(tx: Writer, item: TrashItem, nowMs: number): Promise<void> {
  if (await repositoryByName.first(tx, { name: item.repository })) {
    throw new RegistryError('nameTaken', { message: `there is another repository ${item.repository} now: remove that first` })
  }
  await ensureNamespace(tx, { name: namespaceOf(item.repository), accountId: null, nowMs })
  await restoreRepository(tx, item)
}

/** @throws {RegistryError} restoreBlocked */
export async function bringBackManifest(
  { rules }: Registry,
  tx: Writer,
  { item, nowMs, by }: { item: TrashItem; nowMs: number; by: string | null },
): Promise<void> {
  const { digest, repository, repository_id: repositoryId } = item
  if ((await repositoryByName.first(tx, { name: repository }))?.id !== repositoryId) {
    throw new RegistryError('restoreBlocked', { message: `its repository ${repository} was removed: restore that first` })
  }
  const missing = rules.missingContent === 'strict' ? await missingChildren(tx, item) : []
  if (missing.length > 0) throw new RegistryError('restoreBlocked', { details: missing.map((each) => ({ digest: each })) })
  await restoreManifest(tx, item)
  for (const tag of tagsIn(item)) {
    if (digest === null || (await currentTag.first(tx, { repositoryId, tag }))) continue
    await setTag(tx, { repositoryId, tag, digest, nowMs, by })
  }
}

/**
 * Removes an item for good. Its rows are gone when this returns, the bytes that only it needed when the leases on them end.
 * @throws {RegistryError} trashItemUnknown
 */
export async function purgeFromTrash(registry: Registry, id: number): Promise<void> {
  const item = await writeToFree(registry, async (tx) => {
    const found = await findTrashItem(tx, { id, sinceMs: overSince(registry) })
    if (found) await markPurged(tx, id)
    return found
  })
  if (!item) throw new RegistryError('trashItemUnknown')
  const eraseOnce = () => writeToFree(registry, (tx) => erase(registry, tx, item))
  while ((await eraseOnce()).rows > 0);
}

/** Removes what is over its time, the oldest first, as much as a step has time for. */
export async function emptyTrash(registry: Registry): Promise<Step> {
  const items = await listOverdue(registry.database.read, { beforeMs: overSince(registry), limit: stepEntries })
  if (items.length === 0) return nothing
  return writeToFree(registry, async (tx) => {
    let manifests = 0
    const seen = await withinStep(items, async (item) => {
      manifests += (await erase(registry, tx, item)).manifests
    })
    return { ...nothing, seen, manifests }
  })
}

/** A manifest at once, of a repository a part. @returns what it removed; 0 rows: there is nothing left, or it is not to go */
async function erase(registry: Registry, tx: Writer, item: TrashItem): Promise<{ manifests: number; rows: number }> {
  const { id, kind, holder_id: holderId } = item
  if (!(await isOverdue(tx, { id, beforeMs: overSince(registry) }))) return { manifests: 0, rows: 0 }
  if (kind === 'manifest') {
    await queueFormerlyHeld(tx, item)
    await eraseHolder(tx, holderId)
    return { manifests: 1, rows: 1 }
  }
  // Half of it is nothing that anybody wants back, whatever the setting will be then.
  await markPurged(tx, id)
  const manifests = await listHeldManifests(tx, holderId, eraseAtOnce)
  if (manifests.length === 0) return { manifests: 0, rows: await eraseSome(tx, holderId, eraseAtOnce) }
  const erased = await withinStep(manifests, (digest) => deleteManifest(tx, holderId, digest))
  return { manifests: erased, rows: erased }
}

/** The tags that the item's manifest had. */
export function tagsIn({ tags }: TrashItem): Tag[] {
  return JSON.parse(tags) as Tag[]
}

/** What was deleted at this time or before is over its time. */
export function overSince({ clock, rules }: Registry): number {
  return clock() - rules.trashMs
}
