/**
 * Who may see a repository: private (whoever has a role), internal (anyone signed in), public (anyone).
 */
import type { RepositoryName } from '../oci/repository-name.ts'
import type { Database } from '../storage/metadata/database.ts'
import { unknownRepository } from './change-repository.ts'
import { setVisibility, type Visibility } from '../storage/metadata/repositories.ts'

/** Acts on the next request. @throws {RegistryError} nameUnknown */
export async function changeVisibility(database: Database, name: RepositoryName, visibility: Visibility): Promise<void> {
  const isKnown = await database.write((tx) => setVisibility(tx, name, visibility))
  if (!isKnown) throw unknownRepository(name)
}
