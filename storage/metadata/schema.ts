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
  kind: Generated<'person' | 'robot'>
  namespace_id: number | null
  description: Generated<string>
  created_by: string | null
  totp_secret: string | null
  totp_confirmed: Generated<number>
  totp_last_step: Generated<number>
}

export interface RepositoryTable {
  id: Generated<number>
  name: string
  namespace: string
  visibility: 'private' | 'internal' | 'public'
  description: Generated<string>
  created_at_ms: number
  untagged_days: number | null
  namespace_id: Generated<number>
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
  namespace_id: number
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
  leased_at_ms: Generated<number>
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

export interface NamespaceTable {
  id: Generated<number>
  name: string
  description: Generated<string>
  visibility: 'private' | 'internal' | 'public' | null
  created_at_ms: number
  created_by: string | null
}

export interface TeamTable {
  id: Generated<number>
  name: string
  description: Generated<string>
  created_at_ms: number
}

export interface TeamMemberTable {
  team_id: number
  account_id: number
  is_manager: Generated<number>
  added_at_ms: number
}

export interface RoleGrantTable {
  id: Generated<number>
  namespace_id: number
  repository: Generated<string>
  account_id: number | null
  team_id: number | null
  role: 'none' | 'reader' | 'writer' | 'maintainer' | 'owner'
  granted_at_ms: number
  granted_by: string | null
}

export interface AccessTokenTable {
  id: Generated<number>
  account_id: number
  name: string
  secret_hash: Uint8Array
  hint: string
  scopes: string
  created_at_ms: number
  expires_at_ms: number | null
  last_used_at_ms: number | null
  last_used_from: string | null
  revoked_at_ms: number | null
}

export interface BrowserSessionTable {
  id: Generated<number>
  account_id: number
  secret_hash: Uint8Array
  csrf_token: string
  credential_version: number
  agent: string
  address: string
  created_at_ms: number
  last_seen_at_ms: number
  expires_at_ms: number
}

export interface RecoveryCodeTable {
  account_id: number
  code_hash: Uint8Array
}

export interface AuditEventTable {
  id: Generated<number>
  at_ms: number
  actor: string | null
  via: string
  address: string | null
  action: string
  target: Generated<string>
  detail: Generated<string>
  outcome: 'ok' | 'denied' | 'failed'
  request_id: string | null
}

export interface RightsVersionTable {
  id: Generated<number>
  version: number
}

export interface LinkReviewTable {
  repository_id: number
  digest: string
  since_ms: number
}

export interface BlobReviewTable {
  digest: string
  since_ms: number
}

export interface ManifestReviewTable {
  repository_id: number
  digest: string
  due_ms: number | null
}

export interface TrashItemTable {
  id: Generated<number>
  kind: 'manifest' | 'repository'
  repository: string
  namespace: string
  repository_id: number
  digest: string | null
  tags: Generated<string>
  holder_id: number
  deleted_at_ms: number
  deleted_by: string | null
}

export interface CollectionTable {
  id: Generated<number>
  seen_ms: Generated<number>
  rule_days: Generated<number>
  at_ms: number | null
  manifests: Generated<number>
  blobs: Generated<number>
  bytes: Generated<number>
  all_blobs: Generated<number>
  all_bytes: Generated<number>
}

export interface QuarantineTable {
  digest: string
  found_at_ms: number
  fault: 'missing' | 'size' | 'content' | 'unreadable'
  size_bytes: number
}

export interface ScrubRunTable {
  state: 'open' | 'finished'
  started_at_ms: number
  finished_at_ms: number | null
  phase: Generated<'blobs' | 'manifests' | 'files'>
  cursor: Generated<string>
  blobs: Generated<number>
  manifests: Generated<number>
  bytes: Generated<number>
  found: Generated<number>
  orphans: Generated<number>
  orphan_bytes: Generated<number>
}

export interface ServerStateTable {
  id: Generated<number>
  is_running: Generated<number>
  unclean_at_ms: number | null
}

export interface RepositoryUsageTable {
  repository_id: Generated<number>
  blobs: Generated<number>
  blob_bytes: Generated<number>
  unique_blobs: Generated<number>
  unique_bytes: Generated<number>
  manifests: Generated<number>
  manifest_bytes: Generated<number>
}

export interface NamespaceUsageTable {
  namespace_id: Generated<number>
  blobs: Generated<number>
  blob_bytes: Generated<number>
  unique_blobs: Generated<number>
  unique_bytes: Generated<number>
  manifests: Generated<number>
  manifest_bytes: Generated<number>
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
  namespace: NamespaceTable
  team: TeamTable
  team_member: TeamMemberTable
  role_grant: RoleGrantTable
  access_token: AccessTokenTable
  browser_session: BrowserSessionTable
  audit_event: AuditEventTable
  recovery_code: RecoveryCodeTable
  rights_version: RightsVersionTable
  link_review: LinkReviewTable
  blob_review: BlobReviewTable
  manifest_review: ManifestReviewTable
  trash_item: TrashItemTable
  collection: CollectionTable
  quarantine: QuarantineTable
  scrub_run: ScrubRunTable
  server_state: ServerStateTable
  repository_usage: RepositoryUsageTable
  namespace_usage: NamespaceUsageTable
}

/** A handle that sees only what is committed. */
export type Reader = Kysely<Schema>

/** A handle that says "inside a write transaction"; only Database hands one out. */
export type Writer = Kysely<Schema> & Pick<Transaction<Schema>, 'isTransaction'>
