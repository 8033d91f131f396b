-- Scrub: what was found damaged, how far reading everything has come, and whether the last server ended in order.

create table quarantine (
  -- Blobs whose bytes are wrong or gone. Row and links stay; nobody is told that they exist until they have been pushed again.
  digest text not null primary key references blob (digest) on delete cascade,
  found_at_ms integer not null,
  fault text not null check (fault in ('missing', 'size', 'content', 'unreadable')),
  size_bytes integer not null -- that the blob should have
) strict, without rowid;

create table scrub_run (
  -- The scrub that is under way or waits to be, and the last that came to its end: at most one row of each.
  state text not null primary key check (state in ('open', 'finished')),
  started_at_ms integer not null,
  finished_at_ms integer,
  phase text not null default 'blobs' check (phase in ('blobs', 'manifests', 'files')),
  cursor text not null default '', -- what was looked at last in this phase; '': nothing yet
  blobs integer not null default 0,
  manifests integer not null default 0,
  bytes integer not null default 0, -- that were read
  found integer not null default 0, -- blobs and manifests that were damaged
  orphans integer not null default 0, -- files without a row that were removed
  orphan_bytes integer not null default 0 -- that the file system got back from them
) strict, without rowid;

create table server_state (
  -- One row.
  id integer primary key check (id = 1),
  is_running integer not null default 0 check (is_running in (0, 1)), -- found at a start: the last server did not end in order
  unclean_at_ms integer -- of the last start that found it so; null: everything has been read since
) strict;
insert into server_state (id) values (1);

-- A manifest that was found damaged has no content until it is pushed again.
create index manifest_damaged on manifest (repository_id, digest) where length(content) = 0;
