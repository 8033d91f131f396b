/**
 * Changing and removing a whole repository. Both act on the next request, in any process.
 */
import { RegistryError } from '../oci/errors.ts'
import { namespaceOf, type RepositoryName } from '../oci/repository-name.ts'
import { deleteGrantsIn } from '../storage/metadata/grants.ts'
import { changeRepository, repositoryByName, type RepositoryChange, type RepositoryRow } from '../storage/metadata/repositories.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { queueWaiting, trashRepositories } from '../storage/metadata/trash.ts'
import { writeToFree, type Registry } from './registry.ts'

/** Says no, by what it throws, to a repository that is not what was expected; runs within the transaction. */
export type RepositoryCheck = (current: RepositoryRow) => void

/** @returns the repository as it is now. @throws {RegistryError} nameUnknown, and what `check` throws */
export async function updateRepository(
  registry: Registry,
  name: RepositoryName,
  { check, ...change }: RepositoryChange & { readonly check?: RepositoryCheck | undefined },
): Promise<RepositoryRow> {
  return registry.database.write(async (tx) => {
    const current = await getCurrent(tx, name, check)
    if (Object.keys(change).length > 0) await changeRepository(tx, current.id, change)
    // What was kept so far may have to go.
    if (change.untagged_days !== undefined) await queueWaiting(tx, { repositoryId: current.id, limit: -1 })
    return { ...current, ...change }
  })
}

export interface RepositoryRemoval {
  /** Account name, null when nobody was signed in. */
  readonly by?: string | null
  readonly check?: RepositoryCheck
}

/**
 * Puts a repository into the trash with its tags, their history and its manifests, all at once: nobody sees half of it. Roles that were
 * granted in it alone end; uploads that are under way go on, and make a new repository of the name if they come to an end.
 * @throws {RegistryError} deleteDisabled, nameUnknown, and what `check` throws
 */
export async function removeRepository(
  registry: Registry,
  name: RepositoryName,
  { by = null, check }: RepositoryRemoval = {},
): Promise<void> {
  if (!registry.rules.isDeleteEnabled) throw new RegistryError('deleteDisabled')
  await writeToFree(registry, async (tx) => {
    const { id } = await getCurrent(tx, name, check)
    await trashRepositories(tx, { id, nowMs: registry.clock(), by })
    // Not for whoever pushes the name again.
    await deleteGrantsIn(tx, { namespace: namespaceOf(name), repository: name })
  })
}

/** A repository that is not there, in the same words wherever it is missed. */
export function unknownRepository(name: RepositoryName): RegistryError {
  return new RegistryError('nameUnknown', { message: `there is no repository ${name}: it comes to be with the first push` })
}

async function getCurrent(tx: Writer, name: RepositoryName, check: RepositoryCheck = () => undefined): Promise<RepositoryRow> {
  const current = await repositoryByName.first(tx, { name })
  if (!current) throw unknownRepository(name)
  check(current)
  return current
}
