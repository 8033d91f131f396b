/**
 * Who needs what, read for a preview of the collection: the ways along references and links, a step at a time.
 */
import type { Digest } from '../../oci/digest.ts'
import type { Reader, ReferenceTable } from './schema.ts'

interface Content {
  readonly repositoryId: number
  readonly digest: Digest
}

/** Manifests of the repository that reference the content. */
export async function listHolders(db: Reader, { repositoryId, digest, limit }: Content & { readonly limit: number }): Promise<Digest[]> {
  const rows = await db
    .selectFrom('reference')
    .select('manifest_digest')
    .where('digest', '=', digest)
    .where('repository_id', '=', repositoryId)
    .limit(limit)
    .execute()
  return rows.map((row) => row.manifest_digest as Digest)
}

/** What a manifest references. */
export async function listNeeds(
  db: Reader,
  { repositoryId, digest }: Content,
): Promise<{ digest: Digest; role: ReferenceTable['role'] }[]> {
  return db
    .selectFrom('reference')
    .select(['digest', 'role'])
    .where('repository_id', '=', repositoryId)
    .where('manifest_digest', '=', digest)
    .$castTo<{ digest: Digest; role: ReferenceTable['role'] }>()
    .execute()
}

/** Manifests whose subject this one is. */
export async function listSubjectOf(db: Reader, { repositoryId, digest, limit }: Content & { readonly limit: number }): Promise<Digest[]> {
  const rows = await db
    .selectFrom('manifest')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('subject_digest', '=', digest)
    .limit(limit)
    .execute()
  return rows.map((row) => row.digest as Digest)
}

/** Repositories that link a blob. */
export async function listLinks(db: Reader, { digest, limit }: { digest: Digest; limit: number }): Promise<number[]> {
  const rows = await db.selectFrom('blob_link').select('repository_id').where('digest', '=', digest).limit(limit).execute()
  return rows.map((row) => row.repository_id)
}
