-- What opens an account with a second factor when its device is lost.

create table recovery_code (
  -- Each works once and is gone then; shown when they are made, kept nowhere else.
  account_id integer not null references account (id) on delete cascade,
  code_hash blob not null, -- SHA-256 of 80 random bits
  primary key (account_id, code_hash)
) strict, without rowid;
