/**
 * The tables as types, for the query builder. The truth is migrations/; a test compares the two.
 */
import type { Generated, Kysely, Transaction } from 'kysely'

export interface AccountTable {
  id: Generated<number>
  name: string
  password_hash: string
  is_admin: number
  is_disabled: Generated<number>
  credential_version: Generated<number>
  created_at_ms: number
}

export interface RepositoryTable {
  id: Generated<number>
  name: string
  namespace: string
  visibility: 'private' | 'internal' | 'public'
  description: Generated<string>
  created_at_ms: number
}

export interface BlobTable {
  digest: string
  size_bytes: number
  stored_at_ms: number
  leased_at_ms: number
}

export interface BlobTotalTable {
  id: Generated<number>
  blobs: number
  bytes: number
}

export interface BlobLinkTable {
  repository_id: number
  digest: string
  linked_at_ms: number
}

export interface ManifestTable {
  repository_id: number
  digest: string
  media_type: string
  artifact_type: string | null
  size_bytes: number
  subject_digest: string | null
  annotations: string | null
  pushed_by: string | null
  pushed_at_ms: number
  content: Uint8Array
}

export interface ReferenceTable {
  repository_id: number
  manifest_digest: string
  digest: string
  role: 'config' | 'layer' | 'blob' | 'manifest' | 'content'
}

export interface TagTable {
  id: Generated<number>
  repository_id: number
  name: string
  digest: string
  since_ms: number
  until_ms: number | null
  set_by: string | null
  ended_by: string | null
}

export interface UploadSessionTable {
  id: string
  repository: string
  account_id: number | null
  started_at_ms: number
  updated_at_ms: number
  bytes_stored: Generated<number>
  algorithm: 'sha256' | 'sha512'
  digest_so_far: string | null
  writer: string | null
  writer_until_ms: Generated<number>
}

export interface Schema {
  account: AccountTable
  repository: RepositoryTable
  blob: BlobTable
  blob_total: BlobTotalTable
  blob_link: BlobLinkTable
  manifest: ManifestTable
  reference: ReferenceTable
  tag: TagTable
  upload_session: UploadSessionTable
}

/** A handle that sees only what is committed. */
export type Reader = Kysely<Schema>

/** A handle that says "inside a write transaction"; only Database hands one out. */
export type Writer = Kysely<Schema> & Pick<Transaction<Schema>, 'isTransaction'>
