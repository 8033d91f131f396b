/** Rows for tests below HTTP: the few that most tests begin with, made through the same functions as the product's. */
import { digestOf, type Digest, type SupportedDigest } from '../../oci/digest.ts'
import { parseTag, type Tag } from '../../oci/reference.ts'
import { parseRepositoryName, type RepositoryName } from '../../oci/repository-name.ts'
import { linkBlob, putBlob } from '../../storage/metadata/blobs.ts'
import type { Database } from '../../storage/metadata/database.ts'
import { putManifest, type NewManifest } from '../../storage/metadata/manifests.ts'
import { ensureRepository, type Visibility } from '../../storage/metadata/repositories.ts'
import type { ReferenceTable } from '../../storage/metadata/schema.ts'

export function sha256Of(content: string): SupportedDigest {
  return digestOf('sha256', Buffer.from(content))
}

export function repositoryName(text: string): RepositoryName {
  return parseRepositoryName(text)
}

export function tagOf(text: string): Tag {
  return parseTag(text)
}

/** @returns its id. */
export async function addRepository(database: Database, name: string, visibility: Visibility = 'private'): Promise<number> {
  return database.writeRelaxed((tx) => ensureRepository(tx, { name: parseRepositoryName(name), visibility, nowMs: 1 }))
}

/** A row of a blob with this content, leased at the time 1 and linked to the repository. */
export async function addBlob(database: Database, repositoryId: number, content: string): Promise<SupportedDigest> {
  const digest = sha256Of(content)
  await database.writeRelaxed(async (tx) => {
    await putBlob(tx, { digest, sizeBytes: content.length, nowMs: 1 })
    await linkBlob(tx, { repositoryId, digest, nowMs: 1 })
  })
  return digest
}

export type ManifestFacts = Partial<NewManifest> & { readonly references?: readonly Pick<ReferenceTable, 'digest' | 'role'>[] }

/** A manifest with this text as its bytes; whether it makes sense does not matter to the rows. */
export async function addManifest(
  database: Database,
  repositoryId: number,
  { text, references = [], ...columns }: ManifestFacts & { readonly text: string },
): Promise<Digest> {
  const row: NewManifest = {
    repository_id: repositoryId,
    digest: sha256Of(text),
    media_type: 'application/vnd.oci.image.manifest.v1+json',
    artifact_type: null,
    size_bytes: text.length,
    subject_digest: null,
    annotations: null,
    pushed_by: null,
    pushed_at_ms: 1,
    content: Buffer.from(text),
    ...columns,
  }
  await database.writeRelaxed((tx) => putManifest(tx, row, references))
  return row.digest as Digest
}
