-- A number that grows with every change of anybody's rights by grants: for as long as it stays, what was looked up may be remembered.

create table rights_version (
  -- One row.
  id integer primary key check (id = 1),
  version integer not null
) strict;
insert into rights_version (id, version) values (1, 0);

create trigger grant_added after insert on role_grant begin
  update rights_version set version = version + 1 where id = 1;
end;
create trigger grant_changed after update on role_grant begin
  update rights_version set version = version + 1 where id = 1;
end;
create trigger grant_removed after delete on role_grant begin
  update rights_version set version = version + 1 where id = 1;
end;
create trigger member_added after insert on team_member begin
  update rights_version set version = version + 1 where id = 1;
end;
create trigger member_changed after update on team_member begin
  update rights_version set version = version + 1 where id = 1;
end;
create trigger member_removed after delete on team_member begin
  update rights_version set version = version + 1 where id = 1;
end;
-- A grant names its namespace by number: with another name it is about other repositories.
create trigger namespace_renamed after update of name on namespace when new.name <> old.name begin
  update rights_version set version = version + 1 where id = 1;
end;
create trigger namespace_removed after delete on namespace begin
  update rights_version set version = version + 1 where id = 1;
end;
