/**
 * Names for statements and transactions of the metadata database, by what they change: how the campaign tells one commit from another.
 *
 * Knows the texts as the query builder makes them. Invariant: a text that is not known has no name, so that a moment which is
 * never reached shows as such.
 */

/** The first that fits. */
const statements: readonly (readonly [RegExp, string])[] = [
  [/^insert into "upload_session"/, 'session insert'],
  [/^update "upload_session" set "writer".* like /, 'claims release'],
  [/^update "upload_session" set "digest_so_far"/, 'digests forget'],
  [/^update "upload_session" set "writer" = null/, 'progress'],
  [/^update "upload_session" set "writer" = \?/, 'session claim'],
  [/^delete from "upload_session".*"updated_at_ms"/, 'session expire'],
  [/^delete from "upload_session"/, 'session delete'],
  [/^insert into "blob" /, 'blob insert'],
  [/^delete from "blob" /, 'blob remove'],
  [/^insert into "blob_link"/, 'link insert'],
  [/^delete from "blob_link"/, 'link delete'],
  [/^insert into "manifest"/, 'manifest insert'],
  [/^delete from "manifest"/, 'manifest remove'],
  [/^update "tag"/, 'tag end'],
  [/^insert into "tag"/, 'tag insert'],
  [/^insert into "account"/, 'account insert'],
  [/^insert or replace into "tag"/, 'row replay'],
  [/^insert into migration/, 'migration insert'],
]

/** A transaction has the name of the first row whose statements it ran. */
const transactions: readonly (readonly [readonly string[], string])[] = [
  [['blob insert'], 'blob'],
  [['blob remove'], 'collection'],
  [['manifest remove'], 'manifest delete'],
  [['manifest insert', 'tag end'], 'tag move'],
  [['manifest insert'], 'manifest'],
  [['tag end'], 'tag delete'],
  [['link delete'], 'blob delete'],
  [['link insert'], 'mount'],
  [['digests forget'], 'sessions reset'],
  [['claims release'], 'claims release'],
  [['session insert'], 'session start'],
  [['session expire'], 'session expire'],
  [['session delete'], 'session end'],
  [['session claim'], 'session claim'],
  [['progress'], 'progress'],
  [['account insert'], 'account'],
  [['migration insert'], 'migration'],
]

/** @param text in lower case. */
export function statementName(text: string): string | undefined {
  return statements.find(([pattern]) => pattern.test(text))?.[1]
}

export function transactionName(ran: ReadonlySet<string>): string {
  return transactions.find(([needed]) => needed.every((name) => ran.has(name)))?.[1] ?? 'other'
}
