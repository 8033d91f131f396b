/**
 * Calls that make every query on the rows run, for the tests that look at the queries themselves.
 *
 * A function or statement that storage/metadata gets and that is not called here makes query-plans.test.ts fail.
 */
import * as accounts from '../../../storage/metadata/accounts.ts'
import * as audit from '../../../storage/metadata/audit.ts'
import * as blobs from '../../../storage/metadata/blobs.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import * as manifests from '../../../storage/metadata/manifests.ts'
import * as repositories from '../../../storage/metadata/repositories.ts'
import type { RepositoryFilter } from '../../../storage/metadata/repositories.ts'
import type { ManifestTable } from '../../../storage/metadata/schema.ts'
import * as tags from '../../../storage/metadata/tags.ts'
import * as uploads from '../../../storage/metadata/uploads.ts'
import { repositoryName, sha256Of, tagOf } from '../../support/metadata-rows.ts'

/** The modules whose exports run queries, by the names of their files. */
export const queryModules: Readonly<Record<string, object>> = { accounts, audit, blobs, manifests, repositories, tags, uploads }

/** A store with the one repository 1 and the one account 1 to call with. */
export async function fillStore(database: Database): Promise<void> {
  await database.write(async (tx) => {
    await repositories.ensureRepository(tx, { name, visibility: 'private', nowMs: 1 })
    await accounts.createAccount(tx, { name: 'alice', passwordHash: '', isAdmin: true, nowMs: 1 })
    await blobs.putBlob(tx, { digest, sizeBytes: 1, nowMs: 1 })
    await tags.setTag(tx, { ...tag, digest })
  })
}

const name = repositoryName('team/app')
const digest = sha256Of('content')
const repositoryId = 1
const tag = { repositoryId, tag: tagOf('latest'), nowMs: 1, by: null }
const session = { id: 's', repository: name, accountId: 1, algorithm: 'sha256' as const, nowMs: 1 }
const claim = { id: 's', writer: 'w', nowMs: 1, untilMs: 2 }
const old = { beforeMs: 1, nowMs: 1 }
const page = { after: 'a', limit: 10 }
const filters: readonly RepositoryFilter[] = [
  { kind: 'all' },
  { kind: 'some', namespaces: ['team', 'alice'], visibilities: ['public', 'internal'] },
  { kind: 'some', namespaces: [], visibilities: ['public'] },
]
const manifest: ManifestTable = {
  repository_id: repositoryId,
  digest,
  media_type: 'a/b',
  artifact_type: null,
  size_bytes: 1,
  subject_digest: digest,
  annotations: null,
  pushed_by: null,
  pushed_at_ms: 1,
  content: Buffer.from('x'),
}
const auditEvent: audit.NewAuditRow = {
  at_ms: 1,
  actor: 'alice',
  via: 'password',
  address: '::1',
  action: 'push',
  target: name,
  detail: '{}',
  outcome: 'ok',
  request_id: null,
}
const auditFilters: readonly audit.AuditFilter[] = [
  {},
  { actor: 'alice', action: 'push', target: name },
  { targetPrefix: 'team/', outcome: 'ok' },
  { fromMs: 1, toMs: 2, actor: 'alice' },
]
const referrers = { repositoryId, subject: digest, artifactTypes: [], after: undefined, limit: 10 }

/** `module.export` → a call of it in each shape that its query can take. */
export const everyQuery: Readonly<Record<string, (database: Database) => Promise<unknown>>> = {
  'accounts.accountById': (database) => database.prepare(accounts.accountById)({ id: 1 }),
  'accounts.accountByName': (database) => database.prepare(accounts.accountByName)({ name: 'alice' }),
  'accounts.listAccounts': (database) => accounts.listAccounts(database.read, page),
  'accounts.hasAccounts': (database) => accounts.hasAccounts(database.read),
  'accounts.createAccount': (database) =>
    database.write((tx) => accounts.createAccount(tx, { name: 'bob', passwordHash: '', isAdmin: false, nowMs: 1 })),
  'accounts.changeAccount': (database) =>
    database.write((tx) => accounts.changeAccount(tx, 'alice', { passwordHash: 'x', isAdmin: true, isDisabled: false })),
  'accounts.deleteAccount': (database) => database.write((tx) => accounts.deleteAccount(tx, 'bob')),
  'accounts.countAdministrators': (database) => accounts.countAdministrators(database.read, 1),

  'audit.appendAuditEvents': (database) => database.write((tx) => audit.appendAuditEvents(tx, [auditEvent])),
  'audit.listAuditEvents': (database) =>
    each(auditFilters, (filter) =>
      each([undefined, { atMs: 1, id: 1 }], (after) => audit.listAuditEvents(database.read, { filter, after, limit: 10 })),
    ),
  'audit.listAuditEventsUpwards': (database) =>
    each(auditFilters, (filter) =>
      each([undefined, { atMs: 1, id: 1 }], (after) => audit.listAuditEventsUpwards(database.read, { filter, after, limit: 10 })),
    ),
  'audit.cutAuditEvents': (database) => database.write((tx) => audit.cutAuditEvents(tx, { beforeMs: 1, upToId: 1, limit: 10 })),
  'audit.newestAuditId': (database) => audit.newestAuditId(database.read),

  'blobs.linkedBlob': (database) => database.prepare(blobs.linkedBlob)({ repositoryId, digest }),
  'blobs.isLinkedSomewhere': (database) => each(filters, (filter) => blobs.isLinkedSomewhere(database.read, digest, filter)),
  'blobs.putBlob': (database) => database.write((tx) => blobs.putBlob(tx, { digest, sizeBytes: 1, nowMs: 1 })),
  'blobs.linkBlob': (database) => database.write((tx) => blobs.linkBlob(tx, { repositoryId, digest, nowMs: 1 })),
  'blobs.unlinkBlob': (database) => database.write((tx) => blobs.unlinkBlob(tx, repositoryId, digest)),
  'blobs.renewLease': (database) => database.write((tx) => blobs.renewLease(tx, digest, 1)),
  'blobs.totalBlobs': (database) => blobs.totalBlobs(database.read),

  'manifests.manifestByDigest': (database) => database.prepare(manifests.manifestByDigest)({ repositoryId, digest }),
  'manifests.manifestByTag': (database) => database.prepare(manifests.manifestByTag)({ repositoryId, tag: tagOf('latest') }),
  'manifests.findManifestSize': (database) => manifests.findManifestSize(database.read, { repositoryId, digest }),
  'manifests.putManifest': (database) => database.write((tx) => manifests.putManifest(tx, manifest, [{ digest, role: 'layer' }])),
  'manifests.deleteManifest': (database) => database.write((tx) => manifests.deleteManifest(tx, repositoryId, digest)),
  'manifests.isReferenced': (database) => manifests.isReferenced(database.read, repositoryId, digest),
  'manifests.listReferrers': (database) =>
    each([undefined, { pushedAtMs: 1, digest }], (after) =>
      each([[], ['a/x', 'a/y']], (artifactTypes) => manifests.listReferrers(database.read, { ...referrers, after, artifactTypes })),
    ),

  'manifests.listReferrerSizes': (database) =>
    each([undefined, { pushedAtMs: 1, digest }], (after) =>
      each([[], ['a/x', 'a/y']], (artifactTypes) => manifests.listReferrerSizes(database.read, { ...referrers, after, artifactTypes })),
    ),

  'repositories.repositoryByName': (database) => database.prepare(repositories.repositoryByName)({ name }),
  'repositories.ensureRepository': (database) =>
    each([name, repositoryName('team/new')], (each) =>
      database.write((tx) => repositories.ensureRepository(tx, { name: each, visibility: 'private', nowMs: 1 })),
    ),
  'repositories.setVisibility': (database) => database.write((tx) => repositories.setVisibility(tx, name, 'public')),
  'repositories.listRepositories': (database) =>
    each(filters, (filter) => repositories.listRepositories(database.read, { filter, ...page })),
  'repositories.searchRepositories': (database) =>
    each(filters, (filter) => repositories.searchRepositories(database.read, { filter, text: 'a', limit: 10 })),

  'tags.setTag': (database) => each(['one', 'two'], (text) => database.write((tx) => tags.setTag(tx, { ...tag, digest: sha256Of(text) }))),
  'tags.endTag': (database) => database.write((tx) => tags.endTag(tx, tag)),
  'tags.endTagsOf': (database) => database.write((tx) => tags.endTagsOf(tx, { repositoryId, digest, nowMs: 1, by: null })),
  'tags.listTags': (database) => tags.listTags(database.read, { repositoryId, ...page }),

  'uploads.createSession': (database) => database.write((tx) => uploads.createSession(tx, session)),
  'uploads.findSession': (database) => uploads.findSession(database.read, session),
  'uploads.hasSessions': (database) => uploads.hasSessions(database.read, 1, 100),
  'uploads.claimSession': (database) => database.write((tx) => uploads.claimSession(tx, claim)),
  'uploads.keepSession': (database) => database.write((tx) => uploads.keepSession(tx, claim)),
  'uploads.releaseSession': (database) =>
    database.write((tx) => uploads.releaseSession(tx, { ...claim, bytesStored: 1, digestSoFar: digest })),
  'uploads.deleteSession': (database) => database.write((tx) => uploads.deleteSession(tx, 's')),
  'uploads.listExpiredSessions': (database) => uploads.listExpiredSessions(database.read, { ...old, limit: 10 }),
  'uploads.deleteExpiredSession': (database) => database.write((tx) => uploads.deleteExpiredSession(tx, { ...old, id: 's' })),
  'uploads.knownSessions': (database) => uploads.knownSessions(database.read, ['s', 't']),
  'uploads.releaseWriters': (database) => database.write((tx) => uploads.releaseWriters(tx, 'w:')),
  'uploads.forgetDigests': (database) => database.write((tx) => uploads.forgetDigests(tx)),
}

async function each<T>(values: readonly T[], call: (value: T) => Promise<unknown>): Promise<void> {
  for (const value of values) await call(value)
}
