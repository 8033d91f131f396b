-- Garbage collection: what is to be looked at, what was deleted and can still be restored, and what came of it.
-- Every change that can make something superfluous puts it into a queue, so that no table is ever read as a whole.

create table link_review (
  -- Links of blobs that perhaps nothing in their repository needs.
  repository_id integer not null,
  digest text not null,
  since_ms integer not null, -- to be looked at when a lease has passed since then; 0: at once
  primary key (repository_id, digest)
) strict, without rowid;
create index link_review_by_time on link_review (since_ms);

create table blob_review (
  -- Blobs that perhaps no repository links.
  digest text not null primary key,
  since_ms integer not null -- as for links
) strict, without rowid;
create index blob_review_by_time on blob_review (since_ms);

create table manifest_review (
  -- Manifests that perhaps nothing holds: no tag, no index, no subject.
  repository_id integer not null,
  digest text not null,
  due_ms integer, -- null: its repository keeps them, so it waits for another rule
  primary key (repository_id, digest)
) strict, without rowid;
create index manifest_review_by_time on manifest_review (due_ms) where due_ms is not null;
create index manifest_review_waiting on manifest_review (repository_id, digest) where due_ms is null;

create table trash_item (
  -- A deleted manifest or repository. Its rows are in a repository whose name, ~ and a number, no request can name.
  id integer primary key autoincrement,
  kind text not null check (kind in ('manifest', 'repository')),
  repository text not null, -- the name it had, or of the repository it was in
  namespace text not null, -- of that name; empty when that was removed: it is nobody's who has one of the name later
  repository_id integer not null, -- of that repository
  digest text, -- of a manifest
  tags text not null default '[]', -- JSON: those that pointed at the manifest
  holder_id integer not null references repository (id) on delete cascade, -- where its rows are; of a repository: itself
  deleted_at_ms integer not null, -- 0: purged, to go at once
  deleted_by text
) strict;
create unique index trash_item_by_holder on trash_item (holder_id);
create index trash_item_by_time on trash_item (deleted_at_ms, id);
create index trash_item_by_repository on trash_item (repository_id, deleted_at_ms, id);
create index trash_item_by_namespace on trash_item (namespace, deleted_at_ms, id);
create index trash_item_by_origin on trash_item (repository_id, digest, deleted_at_ms, id);

create table collection (
  -- What the collector knows between its rounds: one row.
  id integer primary key check (id = 1),
  seen_ms integer not null default 0, -- the latest time it has seen: a clock before it has gone back
  rule_days integer not null default 0, -- the setting by which manifests wait for another rule
  at_ms integer, -- of the last round that removed something
  manifests integer not null default 0, -- of that round
  blobs integer not null default 0,
  bytes integer not null default 0, -- that the file system got back
  all_blobs integer not null default 0, -- of all rounds
  all_bytes integer not null default 0
) strict;
insert into collection (id) values (1);

alter table repository add column untagged_days integer check (untagged_days >= 0); -- how long untagged manifests stay; 0: always, null: as the setting says
alter table manifest add column leased_at_ms integer not null default 0; -- the last time a client that pushes was told that it exists

-- The end of a tag tells how long a manifest has been untagged.
drop index tag_current_by_digest;
create index tag_by_digest on tag (repository_id, digest, until_ms);

-- What was deleted comes back into the namespace as it is called then.
create trigger trash_renamed after update of name on namespace when new.name <> old.name begin
  update trash_item set namespace = new.name, repository = new.name || substr(repository, length(old.name) + 1)
    where namespace = old.name;
end;

create trigger trash_orphaned after delete on namespace begin
  update trash_item set namespace = '' where namespace = old.name;
end;

-- An upload that nothing references is found by its link, which is as old as its row.
create trigger link_queued after insert on blob_link begin
  insert into link_review (repository_id, digest, since_ms) values (new.repository_id, new.digest, new.linked_at_ms)
    on conflict do nothing;
end;
create trigger unlinked_blob_queued after delete on blob_link begin
  insert into blob_review (digest, since_ms) values (old.digest, 0) on conflict do update set since_ms = 0;
end;
create trigger unreferenced_link_queued after delete on reference
  when exists (select 1 from blob_link where repository_id = old.repository_id and digest = old.digest) begin
  insert into link_review (repository_id, digest, since_ms) values (old.repository_id, old.digest, 0)
    on conflict do update set since_ms = 0;
end;

-- Ten minutes: by then most have their tag, or the index that lists them.
create trigger manifest_queued after insert on manifest begin
  insert into manifest_review (repository_id, digest, due_ms) values (new.repository_id, new.digest, new.pushed_at_ms + 600000)
    on conflict do nothing;
end;
create trigger untagged_manifest_queued after update of until_ms on tag when new.until_ms is not null and old.until_ms is null begin
  insert into manifest_review (repository_id, digest, due_ms) select repository_id, digest, new.until_ms from manifest
    where repository_id = old.repository_id and digest = old.digest on conflict do update set due_ms = new.until_ms;
end;
create trigger unlisted_manifest_queued after delete on reference when old.role in ('manifest', 'content') begin
  insert into manifest_review (repository_id, digest, due_ms) select manifest.repository_id, manifest.digest, 0 from manifest
    where manifest.repository_id = old.repository_id and manifest.digest = old.digest on conflict do update set due_ms = 0;
end;
create trigger referrers_queued after delete on manifest begin
  insert into manifest_review (repository_id, digest, due_ms) select manifest.repository_id, manifest.digest, 0 from manifest
    where manifest.repository_id = old.repository_id and manifest.subject_digest = old.digest on conflict do update set due_ms = 0;
end;

insert into link_review (repository_id, digest, since_ms)
  select repository_id, digest, linked_at_ms from blob_link where not exists (
    select 1 from reference where reference.digest = blob_link.digest and reference.repository_id = blob_link.repository_id);
insert into blob_review (digest, since_ms)
  select digest, 0 from blob where not exists (select 1 from blob_link where blob_link.digest = blob.digest);
insert into manifest_review (repository_id, digest, due_ms)
  select repository_id, digest, pushed_at_ms from manifest where not exists (
    select 1 from tag where tag.repository_id = manifest.repository_id and tag.digest = manifest.digest and until_ms is null);
