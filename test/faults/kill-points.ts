/**
 * The named points of the kill -9 campaign, once: what each is called, at which moment (moments.ts) it lies, and which work reaches it.
 *
 * A point that its work does not reach in time is a failure of the campaign, so that a row cannot become empty talk.
 */

/** What clients of a running registry do; load-client.ts has a verb for each. */
export type LoadWork =
  | 'pushBlob'
  | 'pushBlobInChunks'
  | 'pushLargeInChunks'
  | 'pushImage'
  | 'moveTag'
  | 'deleteTag'
  | 'deleteManifest'
  | 'deleteBlob'
  | 'mountBlob'
  | 'cancelUpload'
  | 'pullImage'

/** What a process of its own does beside or before the server; chore.ts has each. */
export type Chore = 'backup' | 'collect' | 'expire' | 'migrate' | 'prepare' | 'rebuild' | 'restore' | 'rotate'

export type KillPoint = {
  readonly name: string
  readonly moment: string
  /** It dies at any of the first so many occurrences; bytes are counted where the moment is a byte. */
  readonly times?: number
} & (
  | { readonly during: 'load'; readonly work: LoadWork }
  | { readonly during: 'chore'; readonly work: Chore }
  /** In the primary, after a worker was killed from outside, or after all were. */
  | { readonly during: 'recovery'; readonly work: 'afterWorker' | 'afterAll' }
)

const load = (name: string, moment: string, work: LoadWork): KillPoint => ({ name, moment, during: 'load', work, times: 3 })
const chore = (name: string, moment: string, work: Chore): KillPoint => ({ name, moment, during: 'chore', work })

export const killPoints: readonly KillPoint[] = [
  load('POST: session inserted, before the commit', 'session insert after', 'pushBlobInChunks'),
  load('POST: session committed, before the answer', 'commit session start after', 'pushBlobInChunks'),
  load('POST: after the answer', 'answer start after', 'pushBlobInChunks'),
  load('PATCH: session claimed, before a byte is written', 'commit session claim after', 'pushBlobInChunks'),
  { ...load('PATCH: at a random byte', 'chunk byte', 'pushLargeInChunks'), times: 600_000 },
  load('PATCH: a third of a write on disk', 'upload writev torn', 'pushLargeInChunks'),
  load('PATCH: bytes written, before the offset is committed', 'commit progress before', 'pushBlobInChunks'),
  load('PATCH: offset committed, before the answer', 'commit progress after', 'pushBlobInChunks'),
  load('PATCH: after the answer', 'answer chunk after', 'pushBlobInChunks'),
  load('blob: before the fsync of the file', 'upload fsync before', 'pushBlob'),
  load('blob: file synced, before the rename', 'upload rename before', 'pushBlob'),
  load('blob: renamed, before the fsync of the folder', 'upload rename after', 'pushBlob'),
  load('blob: renamed after chunks, before the rows', 'upload rename after', 'pushBlobInChunks'),
  load('blob: folder synced, before the rows', 'blob folder fsync after', 'pushBlob'),
  load('blob: between its rows', 'blob insert after', 'pushBlob'),
  load('blob: before the commit', 'commit blob before', 'pushBlob'),
  load('blob: committed, before the log is synced', 'commit blob after', 'pushBlob'),
  load('blob: log synced, before the answer', 'answer blob before', 'pushBlob'),
  load('blob: after the answer', 'answer blob after', 'pushBlob'),
  load('any write: during the sync of the log', 'log fdatasync before', 'pushImage'),
  load('manifest: between its rows', 'manifest insert after', 'pushImage'),
  load('manifest: before the commit', 'commit manifest before', 'pushImage'),
  load('manifest: committed, before the log is synced', 'commit manifest after', 'pushImage'),
  load('manifest: log synced, before the answer', 'answer manifest before', 'pushImage'),
  load('tag move: old interval ended, new one not begun', 'tag end after', 'moveTag'),
  load('tag move: before the commit', 'commit tag move before', 'moveTag'),
  load('tag move: committed, before the log is synced', 'commit tag move after', 'moveTag'),
  load('tag delete: before the commit', 'commit tag delete before', 'deleteTag'),
  load('tag delete: committed, before the log is synced', 'commit tag delete after', 'deleteTag'),
  load('manifest delete: tags ended, manifest still there', 'tag end after', 'deleteManifest'),
  load('manifest delete: before the commit', 'commit manifest delete before', 'deleteManifest'),
  load('manifest delete: committed, before the log is synced', 'commit manifest delete after', 'deleteManifest'),
  load('blob delete: before the commit', 'commit blob delete before', 'deleteBlob'),
  load('blob delete: committed, before the log is synced', 'commit blob delete after', 'deleteBlob'),
  load('mount: before the commit', 'commit mount before', 'mountBlob'),
  load('mount: committed, before the log is synced', 'commit mount after', 'mountBlob'),
  load('cancel: session deleted, file still there', 'upload rm before', 'cancelUpload'),
  load('pull: before the body of a blob', 'answer pull before', 'pullImage'),
  {
    name: "primary: before a dead worker's sessions are let go",
    moment: 'commit claims release before',
    during: 'recovery',
    work: 'afterWorker',
  },
  { name: 'start: before the sessions are reset', moment: 'commit sessions reset before', during: 'recovery', work: 'afterAll' },
  { ...chore('expiry: before a session is deleted', 'commit session expire before', 'expire'), times: 2 },
  { ...chore('expiry: session deleted, file still there', 'upload rm before', 'expire'), times: 2 },
  { ...chore('expiry: stray file removed, others still there', 'upload rm after', 'expire'), times: 4 },
  { ...chore('collection: before what is over its time leaves the trash', 'commit manifest delete before', 'collect'), times: 2 },
  { ...chore('collection: an untagged manifest and what was in the trash are gone', 'commit manifest delete after', 'collect'), times: 2 },
  chore('collection: before links are removed', 'commit blob delete before', 'collect'),
  chore('collection: links removed, before their blobs', 'commit blob delete after', 'collect'),
  { ...chore('collection: a file has left its place, its row is there', 'blob folder renameSync after', 'collect'), times: 4 },
  chore('collection: before the deletion of rows is committed', 'commit collection before', 'collect'),
  chore('collection: committed, before the log is synced', 'commit collection after', 'collect'),
  { ...chore('collection: log synced, before a file is removed', 'collected unlink before', 'collect'), times: 4 },
  { ...chore('collection: some files removed, others still there', 'collected unlink after', 'collect'), times: 3 },
  { ...chore('first start: amid the making of 512 folders', 'blob folder mkdir after', 'prepare'), times: 512 },
  chore('first start: before the schema is committed', 'commit migration before', 'prepare'),
  chore('first start: schema committed, no key yet', 'commit migration after', 'prepare'),
  chore('first start: key written, before its rename', 'key rename before', 'prepare'),
  chore('first start: before the administrator is committed', 'commit account before', 'prepare'),
  chore('first start: after the administrator is committed', 'commit account after', 'prepare'),

  { ...chore('migration: amid the snapshot', 'snapshot under way', 'migrate'), times: 3 },
  chore('migration: snapshot whole, before its rename', 'snapshot rename before', 'migrate'),
  chore('migration: snapshot named, before the first step', 'snapshot rename after', 'migrate'),
  { ...chore('migration: before a step is committed', 'commit migration before', 'migrate'), times: 2 },
  chore('migration: a step is committed, before the next', 'commit migration after', 'migrate'),
  { ...chore('backup: amid the copy of the rows', 'snapshot under way', 'backup'), times: 2 },
  { ...chore('backup: a blob copied, before its rename', 'backup part rename before', 'backup'), times: 4 },
  { ...chore('backup: a blob has its name', 'backup part rename after', 'backup'), times: 4 },
  { ...chore('restore: a file copied, before its rename', 'upload rename before', 'restore'), times: 4 },
  { ...chore('restore: a blob has its name', 'upload rename after', 'restore'), times: 4 },
  chore('restore: everything there but the name of the database', 'rebuilt rename before', 'restore'),
  chore('restore: the database has its name', 'rebuilt rename after', 'restore'),
  chore('rebuild: amid the rows of the journal', 'row replay after', 'rebuild'),
  chore('rebuild: whole, the damaged database still in its place', 'database rename before', 'rebuild'),
  chore('rebuild: the damaged database moved away, the new one without its name', 'rebuilt rename before', 'rebuild'),
  chore('rebuild: the new database has its name', 'rebuilt rename after', 'rebuild'),
  chore('key rotation: before the fsync of the key', 'key sync before', 'rotate'),
  chore('key rotation: key synced, before its rename', 'key rename before', 'rotate'),
  chore('key rotation: renamed, before the fsync of the folder', 'key folder sync before', 'rotate'),
]
