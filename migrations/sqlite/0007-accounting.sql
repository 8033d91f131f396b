-- Accounting: what each repository and each namespace takes, and what it shares, in rows that triggers keep right within every transaction.

-- The number of its namespace; that of a repository in the trash, or of the holder of a deleted manifest, is of the namespace it was in.
-- 0, or of a namespace that was removed: nobody's. Numbers are never used twice, and another name changes none.
alter table repository add column namespace_id integer not null default 0;
update repository set namespace_id = coalesce((select id from namespace where name = coalesce(
  (select trash_item.namespace from trash_item where holder_id = repository.id), repository.namespace)), 0);
create unique index repository_by_number on repository (namespace_id, id);

-- With the number in the index on digests a few steps tell who else links a blob, however many do: nothing has to be counted.
drop trigger unreferenced_link_queued;
alter table blob_link rename to former_blob_link;
create table blob_link (
  -- This repository may serve this blob. A read always goes through the link.
  repository_id integer not null,
  digest text not null references blob (digest),
  linked_at_ms integer not null,
  namespace_id integer not null, -- of the repository, which the key keeps true
  primary key (repository_id, digest),
  foreign key (repository_id, namespace_id) references repository (id, namespace_id) on delete cascade on update cascade
) strict, without rowid;
insert into blob_link (repository_id, digest, linked_at_ms, namespace_id)
  select repository_id, digest, linked_at_ms, repository.namespace_id from former_blob_link
  join repository on repository.id = repository_id order by repository_id, digest;
drop table former_blob_link;
create index blob_link_by_digest on blob_link (digest, namespace_id, repository_id);
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

create table repository_usage (
  -- What a repository takes, those in the trash too.
  repository_id integer primary key references repository (id) on delete cascade,
  blobs integer not null default 0, -- that it links
  blob_bytes integer not null default 0,
  unique_blobs integer not null default 0, -- that no other repository links
  unique_bytes integer not null default 0,
  manifests integer not null default 0,
  manifest_bytes integer not null default 0
) strict;

create table namespace_usage (
  -- What a namespace takes, with what it has in the trash; also what one that was removed has there.
  namespace_id integer primary key,
  blobs integer not null default 0, -- that its repositories link, each once
  blob_bytes integer not null default 0,
  unique_blobs integer not null default 0, -- that no repository of another namespace links
  unique_bytes integer not null default 0,
  manifests integer not null default 0, -- in each of its repositories
  manifest_bytes integer not null default 0
) strict;

-- What the two tables must say, told by the rows that they tell of.
create view repository_usage_counted as
  with linked as (
    select repository_id, count(*) as blobs, sum(size_bytes) as bytes
    from blob cross join blob_link on blob_link.digest = blob.digest group by repository_id
  ), sole as (
    select repository_id, count(*) as blobs, sum(size_bytes) as bytes
    from (select digest, min(repository_id) as repository_id from blob_link group by digest having count(*) = 1) join blob using (digest)
    group by repository_id
  ), held as (
    select repository_id, count(*) as manifests, sum(size_bytes) as bytes from manifest group by repository_id
  )
  select id as repository_id, coalesce(linked.blobs, 0) as blobs, coalesce(linked.bytes, 0) as blob_bytes,
    coalesce(sole.blobs, 0) as unique_blobs, coalesce(sole.bytes, 0) as unique_bytes,
    coalesce(held.manifests, 0) as manifests, coalesce(held.bytes, 0) as manifest_bytes
  from repository left join linked on linked.repository_id = id left join sole on sole.repository_id = id
    left join held on held.repository_id = id;
create view namespace_usage_counted as
  with present as (
    select id as namespace_id from namespace union select namespace_id from repository
  ), linked as (
    select namespace_id, count(*) as blobs, sum(size_bytes) as bytes
    from (select distinct digest, namespace_id from blob_link) join blob using (digest) group by namespace_id
  ), sole as (
    select namespace_id, count(*) as blobs, sum(size_bytes) as bytes
    from (select digest, min(namespace_id) as namespace_id from blob_link group by digest having min(namespace_id) = max(namespace_id))
      join blob using (digest)
    group by namespace_id
  ), held as (
    select namespace_id, count(*) as manifests, sum(size_bytes) as bytes
    from manifest join repository on repository.id = repository_id group by namespace_id
  )
  select present.namespace_id, coalesce(linked.blobs, 0) as blobs, coalesce(linked.bytes, 0) as blob_bytes,
    coalesce(sole.blobs, 0) as unique_blobs, coalesce(sole.bytes, 0) as unique_bytes,
    coalesce(held.manifests, 0) as manifests, coalesce(held.bytes, 0) as manifest_bytes
  from present left join linked on linked.namespace_id = present.namespace_id left join sole on sole.namespace_id = present.namespace_id
    left join held on held.namespace_id = present.namespace_id;
insert into repository_usage select * from repository_usage_counted;
insert into namespace_usage select * from namespace_usage_counted;

-- A change of who links a blob; these views hold nothing, and are there for their triggers. step is 1 for a new link and -1 for one that
-- went; is_only, whether there is no link of another repository, or namespace. Where exactly one other has it, that one is its only
-- holder before a new link, and after one that went.
create view link_change as
  select repository_id, digest, namespace_id, 0 as size_bytes, 0 as step, 0 as is_only from blob_link where false;
create view namespace_link_change as
  select digest, namespace_id, 0 as size_bytes, 0 as step, 0 as is_only from blob_link where false;
create trigger link_accounted instead of insert on link_change begin
  update repository_usage set blobs = blobs + new.step, blob_bytes = blob_bytes + new.step * new.size_bytes,
    unique_blobs = unique_blobs + new.step * new.is_only, unique_bytes = unique_bytes + new.step * new.is_only * new.size_bytes
    where repository_id = new.repository_id;
  update repository_usage set unique_blobs = unique_blobs - new.step, unique_bytes = unique_bytes - new.step * new.size_bytes
    where not new.is_only and repository_id = (select case count(*) when 1 then min(repository_id) end from (
      select repository_id from blob_link where digest = new.digest and repository_id <> new.repository_id limit 2));
  insert into namespace_link_change (digest, namespace_id, size_bytes, step, is_only)
    select new.digest, new.namespace_id, new.size_bytes, new.step, new.is_only or (
      not exists (select 1 from blob_link where digest = new.digest and namespace_id < new.namespace_id)
      and not exists (select 1 from blob_link where digest = new.digest and namespace_id > new.namespace_id))
    where new.is_only or not exists (select 1 from blob_link
      where digest = new.digest and namespace_id = new.namespace_id and repository_id <> new.repository_id);
end;
create trigger namespace_link_accounted instead of insert on namespace_link_change begin
  update namespace_usage set blobs = blobs + new.step, blob_bytes = blob_bytes + new.step * new.size_bytes,
    unique_blobs = unique_blobs + new.step * new.is_only, unique_bytes = unique_bytes + new.step * new.is_only * new.size_bytes
    where namespace_id = new.namespace_id;
  update namespace_usage set unique_blobs = unique_blobs - new.step, unique_bytes = unique_bytes - new.step * new.size_bytes
    where not new.is_only and namespace_id = coalesce(
        (select min(namespace_id) from blob_link where digest = new.digest and namespace_id < new.namespace_id),
        (select min(namespace_id) from blob_link where digest = new.digest and namespace_id > new.namespace_id))
      and namespace_id = coalesce(
        (select max(namespace_id) from blob_link where digest = new.digest and namespace_id > new.namespace_id),
        (select max(namespace_id) from blob_link where digest = new.digest and namespace_id < new.namespace_id));
end;
create trigger new_link_accounted after insert on blob_link begin
  insert into link_change (repository_id, digest, namespace_id, size_bytes, step, is_only)
    select new.repository_id, new.digest, new.namespace_id, size_bytes, 1,
      not exists (select 1 from blob_link where digest = new.digest and repository_id <> new.repository_id)
    from blob where digest = new.digest;
end;
create trigger ended_link_accounted after delete on blob_link begin
  insert into link_change (repository_id, digest, namespace_id, size_bytes, step, is_only)
    select old.repository_id, old.digest, old.namespace_id, size_bytes, -1,
      not exists (select 1 from blob_link where digest = old.digest and repository_id <> old.repository_id)
    from blob where digest = old.digest;
end;
-- A repository of the trash comes back into a namespace that was made anew.
create trigger moving_link_accounted before update of namespace_id on blob_link when new.namespace_id <> old.namespace_id begin
  insert into namespace_link_change (digest, namespace_id, size_bytes, step, is_only)
    select old.digest, old.namespace_id, size_bytes, -1,
      not exists (select 1 from blob_link where digest = old.digest and namespace_id <> old.namespace_id)
    from blob where digest = old.digest and not exists (select 1 from blob_link
      where digest = old.digest and namespace_id = old.namespace_id and repository_id <> old.repository_id);
end;
create trigger moved_link_accounted after update of namespace_id on blob_link when new.namespace_id <> old.namespace_id begin
  insert into namespace_link_change (digest, namespace_id, size_bytes, step, is_only)
    select new.digest, new.namespace_id, size_bytes, 1,
      not exists (select 1 from blob_link where digest = new.digest and namespace_id <> new.namespace_id)
    from blob where digest = new.digest and not exists (select 1 from blob_link
      where digest = new.digest and namespace_id = new.namespace_id and repository_id <> new.repository_id);
end;

create trigger new_manifest_accounted after insert on manifest begin
  update repository_usage set manifests = manifests + 1, manifest_bytes = manifest_bytes + new.size_bytes
    where repository_id = new.repository_id;
  update namespace_usage set manifests = manifests + 1, manifest_bytes = manifest_bytes + new.size_bytes
    where namespace_id = (select namespace_id from repository where id = new.repository_id);
end;
create trigger changed_manifest_accounted after update of size_bytes on manifest when new.size_bytes <> old.size_bytes begin
  update repository_usage set manifest_bytes = manifest_bytes + new.size_bytes - old.size_bytes where repository_id = new.repository_id;
  update namespace_usage set manifest_bytes = manifest_bytes + new.size_bytes - old.size_bytes
    where namespace_id = (select namespace_id from repository where id = new.repository_id);
end;
create trigger ended_manifest_accounted after delete on manifest begin
  update repository_usage set manifests = manifests - 1, manifest_bytes = manifest_bytes - old.size_bytes
    where repository_id = old.repository_id;
  update namespace_usage set manifests = manifests - 1, manifest_bytes = manifest_bytes - old.size_bytes
    where namespace_id = (select namespace_id from repository where id = old.repository_id);
end;

create trigger new_repository_accounted after insert on repository begin
  insert into repository_usage (repository_id) values (new.id) on conflict do nothing;
  insert into namespace_usage (namespace_id) values (new.namespace_id) on conflict do nothing;
end;
-- Its manifests, which go with it, no longer find their namespace then.
create trigger ending_repository_accounted before delete on repository begin
  update namespace_usage set manifests = namespace_usage.manifests - own.manifests,
    manifest_bytes = namespace_usage.manifest_bytes - own.manifest_bytes
    from repository_usage as own where own.repository_id = old.id and namespace_id = old.namespace_id;
end;
create trigger ended_repository_accounted after delete on repository
  when not exists (select 1 from namespace where id = old.namespace_id) begin
  delete from namespace_usage where namespace_id = old.namespace_id
    and not exists (select 1 from repository where namespace_id = old.namespace_id);
end;
create trigger moved_repository_accounted after update of namespace_id on repository when new.namespace_id <> old.namespace_id begin
  update namespace_usage set manifests = namespace_usage.manifests - own.manifests,
    manifest_bytes = namespace_usage.manifest_bytes - own.manifest_bytes
    from repository_usage as own where own.repository_id = old.id and namespace_id = old.namespace_id;
  update namespace_usage set manifests = namespace_usage.manifests + own.manifests,
    manifest_bytes = namespace_usage.manifest_bytes + own.manifest_bytes
    from repository_usage as own where own.repository_id = old.id and namespace_id = new.namespace_id;
  delete from namespace_usage where namespace_id = old.namespace_id
    and not exists (select 1 from namespace where id = old.namespace_id)
    and not exists (select 1 from repository where namespace_id = old.namespace_id);
end;
create trigger new_namespace_accounted after insert on namespace begin
  insert into namespace_usage (namespace_id) values (new.id) on conflict do nothing;
end;
create trigger ended_namespace_accounted after delete on namespace
  when not exists (select 1 from repository where namespace_id = old.id) begin
  delete from namespace_usage where namespace_id = old.id;
end;
