/**
 * What repositories and namespaces take, counted anew from the links, blobs and manifests themselves: after a rebuild, and to make sure.
 * Triggers keep these rows right otherwise (migrations/sqlite/0007-accounting.sql, which also has what is counted).
 */
import Sqlite from 'better-sqlite3'

const owners = ['repository', 'namespace'] as const

/** Replaces all rows by what is counted. Call it within a transaction. */
export function recountUsage(sqlite: Sqlite.Database): void {
  for (const owner of owners) sqlite.exec(`delete from ${owner}_usage; insert into ${owner}_usage select * from ${owner}_usage_counted`)
}

/** How many repositories and namespaces have other rows than what is counted. Reads every link; no writer waits for it. */
export function countMiscounted(path: string): number {
  const sqlite = new Sqlite(path, { readonly: true, timeout: 10_000 })
  try {
    const count = (owner: (typeof owners)[number]) =>
      sqlite
        .prepare<[], number>(
          `with kept as (select * from ${owner}_usage), counted as (select * from ${owner}_usage_counted)
           select count(distinct ${owner}_id) from (
             select * from (select * from kept except select * from counted)
             union all select * from (select * from counted except select * from kept))`,
        )
        .pluck()
        .get() ?? 0
    return owners.reduce((sum, owner) => sum + count(owner), 0)
  } finally {
    sqlite.close()
  }
}
