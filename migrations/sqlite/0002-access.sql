-- Who may do what: namespaces, teams, grants of roles, robots, access tokens, browser sessions, second factors, the audit log.

create table namespace (
  -- The first component of repository names, and who may create repositories below it. One with an account's name is that account's.
  id integer primary key autoincrement,
  name text not null unique,
  description text not null default '',
  visibility text check (visibility in ('private', 'internal', 'public')), -- of a new repository; null: as the setting says
  created_at_ms integer not null,
  created_by text
) strict;
insert into namespace (name, created_at_ms) select namespace, min(created_at_ms) from repository group by namespace;
insert into namespace (name, created_at_ms) select name, created_at_ms from account where true on conflict (name) do nothing;

alter table account add column kind text not null default 'person' check (kind in ('person', 'robot'));
alter table account add column namespace_id integer references namespace (id) on delete cascade; -- of a robot, which never gets out of it
alter table account add column description text not null default '';
alter table account add column created_by text;
alter table account add column totp_secret text; -- second factor: the secret of RFC 6238 in base32
alter table account add column totp_confirmed integer not null default 0 check (totp_confirmed in (0, 1)); -- counts from then on
alter table account add column totp_last_step integer not null default 0; -- no code is taken twice
create index account_by_namespace on account (namespace_id, name) where namespace_id is not null;

create table team (
  -- People who are granted roles as one.
  id integer primary key autoincrement,
  name text not null unique,
  description text not null default '',
  created_at_ms integer not null
) strict;

create table team_member (
  -- Who is in a team.
  team_id integer not null references team (id) on delete cascade,
  account_id integer not null references account (id) on delete cascade,
  is_manager integer not null default 0 check (is_manager in (0, 1)), -- may add and remove members
  added_at_ms integer not null,
  primary key (team_id, account_id)
) strict, without rowid;
create index team_member_by_account on team_member (account_id, team_id);

create table role_grant (
  -- A role of one account or one team in a namespace, or in one repository of it, where it takes the place of the namespace's.
  id integer primary key autoincrement,
  namespace_id integer not null references namespace (id) on delete cascade,
  repository text not null default '', -- whole name; empty: every repository of the namespace
  account_id integer references account (id) on delete cascade,
  team_id integer references team (id) on delete cascade,
  role text not null check (role in ('none', 'reader', 'writer', 'maintainer', 'owner')), -- none: only in a repository
  granted_at_ms integer not null,
  granted_by text,
  check ((account_id is null) <> (team_id is null)),
  check (repository <> '' or role <> 'none')
) strict;
create unique index role_grant_of_account on role_grant (account_id, namespace_id, repository) where account_id is not null;
create unique index role_grant_of_team on role_grant (team_id, namespace_id, repository) where team_id is not null;
create index role_grant_by_namespace on role_grant (namespace_id, repository, id);

create table access_token (
  -- A secret in place of a password, for a machine: narrower than its account, ended one by one.
  id integer primary key autoincrement,
  account_id integer not null references account (id) on delete cascade,
  name text not null,
  secret_hash blob not null unique, -- SHA-256; the secret itself is shown once and kept nowhere
  hint text not null, -- the secret's last characters, to tell one from another
  scopes text not null, -- JSON: [{"actions": ["pull"], "repositories": "team/app*"}, ...]
  created_at_ms integer not null,
  expires_at_ms integer, -- null: never
  last_used_at_ms integer,
  last_used_from text,
  revoked_at_ms integer,
  unique (account_id, name)
) strict;

create table browser_session (
  -- Who is signed in to the web interface, and where.
  id integer primary key autoincrement,
  account_id integer not null references account (id) on delete cascade,
  secret_hash blob not null unique, -- SHA-256 of the cookie's value
  csrf_token text not null,
  credential_version integer not null, -- of the account when it signed in: a changed password ends it
  agent text not null,
  address text not null,
  created_at_ms integer not null,
  last_seen_at_ms integer not null,
  expires_at_ms integer not null
) strict;
create index browser_session_by_account on browser_session (account_id, id);
create index browser_session_by_expiry on browser_session (expires_at_ms);

create table audit_event (
  -- What was done, tried and refused: by whom, from where, to what. Only ever added to, and cut off at the old end.
  id integer primary key autoincrement,
  at_ms integer not null,
  actor text, -- account name; null when nobody was signed in
  via text not null, -- password, token, session, cli, system or nothing
  address text, -- the client's; null for the command line
  action text not null, -- such as login, push, pull, delete, grant
  target text not null default '', -- what it was done to: a repository, an account, a namespace
  detail text not null default '{}', -- JSON object
  outcome text not null check (outcome in ('ok', 'denied', 'failed')),
  request_id text
) strict;
create index audit_event_by_actor on audit_event (actor, id);
create index audit_event_by_target on audit_event (target, id);
create index audit_event_by_action on audit_event (action, id);
create index audit_event_by_time on audit_event (at_ms);
