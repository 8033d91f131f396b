-- The core: repositories, blobs and their links, manifests and what they reference, tags as intervals, upload sessions, accounts.
-- Times are milliseconds since 1970, sizes bytes, digests text with their algorithm.
-- What is said of a table stands inside it: SQLite keeps it there, so that schema.sql has it too.

create table account (
  -- Who may sign in.
  id integer primary key autoincrement, -- never used twice: tokens name accounts by it
  name text not null unique,
  password_hash text not null,
  is_admin integer not null check (is_admin in (0, 1)),
  is_disabled integer not null default 0 check (is_disabled in (0, 1)),
  credential_version integer not null default 1, -- grows when a password, the role or the status changes: older tokens end
  created_at_ms integer not null
) strict;
create index account_by_role on account (is_admin, is_disabled);

create table repository (
  -- Comes to be with its first content; who may see it is its visibility.
  id integer primary key autoincrement,
  name text not null unique,
  namespace text not null, -- the first component of the name
  visibility text not null check (visibility in ('private', 'internal', 'public')),
  description text not null default '',
  created_at_ms integer not null
) strict;
create index repository_by_namespace on repository (namespace, name);
create index repository_by_visibility on repository (visibility, name);

create table blob (
  -- Bytes that are durable in the blob store, once for all repositories.
  digest text not null primary key,
  size_bytes integer not null check (size_bytes >= 0),
  stored_at_ms integer not null,
  leased_at_ms integer not null -- the last time anyone was told that the blob exists
) strict, without rowid;

create table blob_total (
  -- How many blobs there are and how large they are together: one row, because counting a million takes too long.
  id integer primary key check (id = 1),
  blobs integer not null,
  bytes integer not null
) strict;
insert into blob_total (id, blobs, bytes) values (1, 0, 0);
create trigger blob_counted after insert on blob begin
  update blob_total set blobs = blobs + 1, bytes = bytes + new.size_bytes where id = 1;
end;
create trigger blob_uncounted after delete on blob begin
  update blob_total set blobs = blobs - 1, bytes = bytes - old.size_bytes where id = 1;
end;

create table blob_link (
  -- This repository may serve this blob. A read always goes through the link.
  repository_id integer not null references repository (id) on delete cascade,
  digest text not null references blob (digest),
  linked_at_ms integer not null,
  primary key (repository_id, digest)
) strict, without rowid;
create index blob_link_by_digest on blob_link (digest, repository_id);

create table manifest (
  -- What was pushed to a repository under this digest.
  repository_id integer not null references repository (id) on delete cascade,
  digest text not null,
  media_type text not null,
  artifact_type text, -- as the referrers list shows it
  size_bytes integer not null check (size_bytes >= 0),
  subject_digest text,
  annotations text, -- JSON object
  pushed_by text, -- account name; null when nobody was signed in
  pushed_at_ms integer not null,
  content blob not null, -- the exact bytes that were pushed
  primary key (repository_id, digest)
) strict;
create index manifest_by_subject on manifest (repository_id, subject_digest, pushed_at_ms, digest) where subject_digest is not null;

create table reference (
  -- What a manifest needs to stay complete. Answers "is it used?" without reading a manifest.
  repository_id integer not null,
  manifest_digest text not null,
  digest text not null,
  role text not null check (role in ('config', 'layer', 'blob', 'manifest', 'content')),
  primary key (repository_id, manifest_digest, digest, role),
  foreign key (repository_id, manifest_digest) references manifest (repository_id, digest) on delete cascade
) strict, without rowid;
create index reference_by_digest on reference (digest, repository_id);

create table tag (
  -- A tag is an interval: the current one is open, the closed ones are its history.
  id integer primary key,
  repository_id integer not null references repository (id) on delete cascade,
  name text not null,
  digest text not null,
  since_ms integer not null,
  until_ms integer, -- null while it lasts
  set_by text,
  ended_by text
) strict;
create unique index tag_current on tag (repository_id, name) where until_ms is null;
create index tag_current_by_digest on tag (repository_id, digest) where until_ms is null;
create index tag_history on tag (repository_id, name, since_ms);

create table upload_session (
  -- An upload that is not finished; its bytes are in uploads/<id>.
  id text not null primary key,
  repository text not null, -- a name: the repository itself comes to be with its first content
  account_id integer references account (id) on delete cascade, -- null when nobody was signed in
  started_at_ms integer not null,
  updated_at_ms integer not null,
  bytes_stored integer not null default 0,
  algorithm text not null check (algorithm in ('sha256', 'sha512')),
  digest_so_far text, -- of all bytes stored; null when it must be computed from them
  writer text, -- the request that holds the session, null when none does
  writer_until_ms integer not null default 0
) strict;
create index upload_session_by_account on upload_session (account_id);
create index upload_session_by_update on upload_session (updated_at_ms);
