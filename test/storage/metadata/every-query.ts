/**
 * Calls that make every query on the rows run, for the tests that look at the queries themselves.
 *
 * A function or statement that storage/metadata gets and that is not called here makes query-plans.test.ts fail.
 */
import * as accessTokens from '../../../storage/metadata/access-tokens.ts'
import * as accounts from '../../../storage/metadata/accounts.ts'
import * as audit from '../../../storage/metadata/audit.ts'
import * as blobs from '../../../storage/metadata/blobs.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import * as grants from '../../../storage/metadata/grants.ts'
import * as manifestReviews from '../../../storage/metadata/manifest-reviews.ts'
import * as manifests from '../../../storage/metadata/manifests.ts'
import * as namespaces from '../../../storage/metadata/namespaces.ts'
import * as previews from '../../../storage/metadata/previews.ts'
import * as repositories from '../../../storage/metadata/repositories.ts'
import type { RepositoryFilter } from '../../../storage/metadata/repositories.ts'
import * as reviews from '../../../storage/metadata/reviews.ts'
import * as robots from '../../../storage/metadata/robots.ts'
import * as scrubs from '../../../storage/metadata/scrubs.ts'
import * as secondFactors from '../../../storage/metadata/second-factors.ts'
import * as sessions from '../../../storage/metadata/sessions.ts'
import * as tags from '../../../storage/metadata/tags.ts'
import * as teams from '../../../storage/metadata/teams.ts'
import * as trash from '../../../storage/metadata/trash.ts'
import * as uploads from '../../../storage/metadata/uploads.ts'
import * as usage from '../../../storage/metadata/usage.ts'
import { repositoryName, sha256Of, tagOf } from '../../support/metadata-rows.ts'

/** The modules whose exports run queries, by the names of their files. */
export const queryModules: Readonly<Record<string, object>> = {
  'access-tokens': accessTokens,
  accounts,
  audit,
  blobs,
  grants,
  manifests,
  'manifest-reviews': manifestReviews,
  namespaces,
  previews,
  repositories,
  reviews,
  robots,
  scrubs,
  'second-factors': secondFactors,
  sessions,
  tags,
  teams,
  trash,
  uploads,
  usage,
}

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
const other = sha256Of('other')
const repositoryId = 1
const tag = { repositoryId, tag: tagOf('latest'), nowMs: 1, by: null }
const session = { id: 's', repository: name, accountId: 1, algorithm: 'sha256' as const, nowMs: 1 }
const secretHash = Buffer.alloc(32)
const trashItem: trash.TrashItem = {
  id: 99,
  kind: 'manifest',
  repository: repositoryName('nowhere/app'),
  namespace: 'nowhere',
  repository_id: 98,
  digest,
  tags: '[]',
  holder_id: 99,
  deleted_at_ms: 1,
  deleted_by: null,
}
const browserSession = {
  accountId: 1,
  secretHash,
  csrfToken: 't',
  credentialVersion: 1,
  agent: '',
  address: '',
  nowMs: 1,
  expiresAtMs: 2,
}
const claim = { id: 's', writer: 'w', nowMs: 1, untilMs: 2 }
const old = { beforeMs: 1, nowMs: 1 }
const page = { after: 'a', limit: 10 }
const within = [
  { from: 'team/app', before: 'team/app~' },
  { from: 'team/web', before: 'team/web!' },
]
const filters: readonly RepositoryFilter[] = [
  { kind: 'all' },
  { kind: 'some', namespaces: ['team', 'alice'], visibilities: ['public', 'internal'] },
  { kind: 'some', namespaces: [], visibilities: ['public'] },
  { kind: 'all', within },
  { kind: 'some', namespaces: ['team', 'alice'], visibilities: ['public'], within },
  { kind: 'some', namespaces: ['team'], visibilities: [], repositories: ['bob/app'], without: ['team/secret'] },
]
const manifest: manifests.NewManifest = {
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
const accessToken = {
  account_id: 1,
  name: 'ci',
  secret_hash: Buffer.alloc(32),
  hint: '',
  scopes: '[]',
  created_at_ms: 1,
  expires_at_ms: null,
}
const grant = { namespaceId: 1, repository: '', accountId: 1, teamId: null }
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
const scrubProgress = {
  phase: 'files' as const,
  cursor: '7',
  blobs: 1,
  manifests: 1,
  bytes: 1,
  found: 1,
  orphans: 1,
  orphan_bytes: 1,
}
const referrers = { repositoryId, subject: digest, artifactTypes: [], after: undefined, limit: 10 }

/** `module.export` → a call of it in each shape that its query can take. */
export const everyQuery: Readonly<Record<string, (database: Database) => Promise<unknown>>> = {
  'access-tokens.holderBySecret': (database) => database.prepare(accessTokens.holderBySecret)({ secretHash: Buffer.alloc(32) }),
  'access-tokens.holderById': (database) => database.prepare(accessTokens.holderById)({ id: 1 }),
  'access-tokens.noteTokenUse': (database) =>
    database.write((tx) => accessTokens.noteTokenUse.run(tx, { id: 1, nowMs: 2, from: null, beforeMs: 1 })),
  'access-tokens.createAccessToken': (database) => database.write((tx) => accessTokens.createAccessToken(tx, accessToken)),
  'access-tokens.findAccessToken': (database) => accessTokens.findAccessToken(database.read, 1, 'ci'),
  'access-tokens.listAccessTokens': (database) => accessTokens.listAccessTokens(database.read, { accountId: 1, ...page }),
  'access-tokens.listTokensInUse': (database) => accessTokens.listTokensInUse(database.read, { accountIds: [1, 2], nowMs: 1 }),
  'access-tokens.changeAccessToken': (database) =>
    database.write((tx) => accessTokens.changeAccessToken(tx, 1, { name: 'x', scopes: '[]', expires_at_ms: 1, revoked_at_ms: 1 })),
  'access-tokens.deleteAccessTokensOf': (database) => database.write((tx) => accessTokens.deleteAccessTokensOf(tx, 1)),
  'access-tokens.deleteEndedAccessTokens': (database) => database.write((tx) => accessTokens.deleteEndedAccessTokens(tx, 1, 1)),

  'accounts.accountById': (database) => database.prepare(accounts.accountById)({ id: 1 }),
  'accounts.accountByName': (database) => database.prepare(accounts.accountByName)({ name: 'alice' }),
  'accounts.listAccounts': (database) =>
    each([{}, { kind: 'person' as const }, { text: 'a' }], (only) => accounts.listAccounts(database.read, { ...only, ...page })),
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
  'blobs.renewLease': (database) => database.write((tx) => blobs.renewLease(tx, { repositoryId, digest, nowMs: 1 })),
  'blobs.totalBlobs': (database) => blobs.totalBlobs(database.read),

  'grants.grantedRole': (database) => database.prepare(grants.grantedRole)({ namespace: 'team', repository: name, accountId: 1 }),
  'grants.listGrantsOf': (database) => grants.listGrantsOf(database.read, 1),
  'grants.listGrantsOfTeam': (database) =>
    each([undefined, { namespaceId: 1, repository: 'team/app' }], (after) =>
      grants.listGrantsOfTeam(database.read, { teamId: 1, after, limit: 10 }),
    ),
  'grants.setGrant': (database) => database.write((tx) => grants.setGrant(tx, { ...grant, role: 'reader', by: null, nowMs: 1 })),
  'grants.deleteGrant': (database) => database.write((tx) => grants.deleteGrant(tx, grant)),
  'grants.deleteGrantsIn': (database) => database.write((tx) => grants.deleteGrantsIn(tx, { namespace: 'team', repository: name })),
  'grants.listMembers': (database) =>
    each([undefined, { repository: 'team/app', id: 1 }], (after) =>
      each([undefined, '' as const, name], (repository) =>
        grants.listMembers(database.read, { namespaceId: 1, repository, after, limit: 10 }),
      ),
    ),
  'grants.hasGrantedOwner': (database) => grants.hasGrantedOwner(database.read, 'team'),
  'grants.listGrantedOwners': (database) => grants.listGrantedOwners(database.read, { namespace: 'team', limit: 3 }),

  'manifests.manifestByDigest': (database) => database.prepare(manifests.manifestByDigest)({ repositoryId, digest }),
  'manifests.manifestByTag': (database) => database.prepare(manifests.manifestByTag)({ repositoryId, tag: tagOf('latest') }),
  'manifests.findManifestSize': (database) => manifests.findManifestSize(database.read, { repositoryId, digest }),
  'manifests.findManifestFacts': (database) => manifests.findManifestFacts(database.read, { repositoryId, digest }),
  'manifests.contentSize': (database) => database.prepare(manifests.contentSize)({ repositoryId, digest, limit: 10 }),
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

  'manifests.setManifestLease': (database) =>
    database.write((tx) => manifests.setManifestLease.run(tx, { repositoryId, digest, nowMs: 1 })),
  'manifest-reviews.listManifestReviews': (database) => manifestReviews.listManifestReviews(database.read, { nowMs: 1, limit: 10 }),
  'manifest-reviews.listQueuedManifests': (database) =>
    each([undefined, { repositoryId, digest }], (after) => manifestReviews.listQueuedManifests(database.read, { after, limit: 10 })),
  'manifest-reviews.manifestHold': (database) => database.prepare(manifestReviews.manifestHold)({ repositoryId, digest, sinceMs: 1 }),
  'manifest-reviews.dropManifestReview': (database) =>
    database.write((tx) => manifestReviews.dropManifestReview.run(tx, { repositoryId, digest: other })),
  'manifest-reviews.postponeManifestReview': (database) =>
    database.write((tx) => manifestReviews.postponeManifestReview.run(tx, { repositoryId, digest, dueMs: null })),

  'namespaces.namespaceByName': (database) => database.prepare(namespaces.namespaceByName)({ name: 'team' }),
  'namespaces.createNamespace': (database) =>
    database.write((tx) => namespaces.createNamespace(tx, { name: 'fresh', description: '', visibility: null, by: null, nowMs: 1 })),
  'namespaces.ensureNamespace': (database) =>
    each(['team', 'new'], (each) => database.write((tx) => namespaces.ensureNamespace(tx, { name: each, accountId: 1, nowMs: 1 }))),
  'namespaces.changeNamespace': (database) =>
    each([{}, { description: 'ours' }, { visibility: null }], (change) =>
      database.write((tx) => namespaces.changeNamespace(tx, 'team', change)),
    ),
  'namespaces.deleteNamespace': (database) => database.write((tx) => namespaces.deleteNamespace(tx, 'fresh')),
  'namespaces.renameNamespace': (database) =>
    database.write((tx) => namespaces.renameNamespace(tx, { id: 99, from: 'nowhere', to: 'somewhere' })),
  'namespaces.measureNamespace': (database) => namespaces.measureNamespace(database.read, { id: 1, name: 'team' }),
  'namespaces.listNamespaces': (database) => namespaces.listNamespaces(database.read, page),
  'namespaces.listNamespacesOf': (database) => namespaces.listNamespacesOf(database.read, { account: { id: 1, name: 'alice' }, ...page }),

  'previews.listHolders': (database) => previews.listHolders(database.read, { repositoryId, digest, limit: 10 }),
  'previews.listNeeds': (database) => previews.listNeeds(database.read, { repositoryId, digest }),
  'previews.listSubjectOf': (database) => previews.listSubjectOf(database.read, { repositoryId, digest, limit: 10 }),
  'previews.listLinks': (database) => previews.listLinks(database.read, { digest, limit: 10 }),

  'repositories.repositoryByName': (database) => database.prepare(repositories.repositoryByName)({ name }),
  'repositories.repositoryAndVersion': (database) => database.prepare(repositories.repositoryAndVersion)({ name }),
  'repositories.ensureRepository': (database) =>
    each([name, repositoryName('team/new')], (each) =>
      database.write((tx) => repositories.ensureRepository(tx, { name: each, visibility: 'private', nowMs: 1 })),
    ),
  'repositories.setVisibility': (database) => database.write((tx) => repositories.setVisibility(tx, name, 'public')),
  'repositories.deleteRepositoriesOf': (database) =>
    database.write((tx) => repositories.deleteRepositoriesOf(tx, { namespace: 'nowhere', nowMs: 1 })),
  'repositories.changeRepository': (database) =>
    database.write((tx) => repositories.changeRepository(tx, repositoryId, { visibility: 'public', description: 'x' })),
  'repositories.deleteRepository': (database) => database.write((tx) => repositories.deleteRepository(tx, 99)),
  'repositories.listRepositories': (database) =>
    each(filters, (filter) =>
      each([{}, { namespace: 'team' }, { visibility: 'public' as const }, { text: 'a' }], (only) =>
        repositories.listRepositories(database.read, { filter, only, ...page }),
      ),
    ),
  'repositories.searchRepositories': (database) =>
    each(filters, (filter) => repositories.searchRepositories(database.read, { filter, text: 'a', limit: 10 })),

  'reviews.listLinkReviews': (database) => reviews.listLinkReviews(database.read, { sinceMs: 1, limit: 10 }),
  'reviews.listBlobReviews': (database) => reviews.listBlobReviews(database.read, { sinceMs: 1, limit: 10 }),
  'reviews.referenceTo': (database) => database.prepare(reviews.referenceTo)({ repositoryId, digest }),
  'reviews.linkTo': (database) => database.prepare(reviews.linkTo)({ digest }),
  'reviews.blobLease': (database) => database.prepare(reviews.blobLease)({ digest }),
  'reviews.dropLinkReview': (database) => database.write((tx) => reviews.dropLinkReview.run(tx, { repositoryId, digest: other })),
  'reviews.postponeLinkReview': (database) =>
    database.write((tx) => reviews.postponeLinkReview.run(tx, { repositoryId, digest, sinceMs: 1 })),
  'reviews.dropBlobReview': (database) => database.write((tx) => reviews.dropBlobReview.run(tx, { digest })),
  'reviews.postponeBlobReview': (database) => database.write((tx) => reviews.postponeBlobReview.run(tx, { digest, sinceMs: 1 })),
  'reviews.deleteLink': (database) => database.write((tx) => reviews.deleteLink.run(tx, { repositoryId, digest: other })),
  'reviews.deleteBlobRow': (database) => database.write((tx) => reviews.deleteBlobRow.run(tx, { digest: other })),
  'reviews.countReviews': (database) => reviews.countReviews(database.read, { sinceMs: 1, nowMs: 1, limit: 10 }),
  'reviews.getCollection': (database) => reviews.getCollection(database.read),
  'reviews.noteCollector': (database) => database.write((tx) => reviews.noteCollector(tx, { seenMs: 1, untaggedDays: 0 })),
  'reviews.noteRound': (database) => database.write((tx) => reviews.noteRound(tx, { atMs: 1, manifests: 1, blobs: 1, bytes: 1 })),

  'robots.createRobot': (database) =>
    database.write(async (tx) => {
      const { id: namespaceId } = await namespaces.ensureNamespace(tx, { name: 'team', accountId: null, nowMs: 1 })
      return robots.createRobot(tx, { name: 'team.ci', namespaceId, passwordHash: '', description: '', createdBy: null, nowMs: 1 })
    }),
  'robots.listRobotsNamed': (database) => robots.listRobotsNamed(database.read, { namespaceId: 1, name: 'ci' }),
  'robots.setRobotDescription': (database) => database.write((tx) => robots.setRobotDescription(tx, { id: 1, description: 'ours' })),
  'robots.listRobots': (database) => robots.listRobots(database.read, { namespaceId: 1, ...page }),
  'scrubs.quarantinedLink': (database) => database.prepare(scrubs.quarantinedLink)({ repositoryId, digest }),
  'scrubs.quarantineOf': (database) => database.prepare(scrubs.quarantineOf)({ digest }),
  'scrubs.putQuarantine': (database) => database.write((tx) => scrubs.putQuarantine(tx, { digest, fault: 'size', sizeBytes: 1, nowMs: 1 })),
  'scrubs.endQuarantine': (database) => database.write((tx) => scrubs.endQuarantine(tx, digest)),
  'scrubs.listQuarantine': (database) => scrubs.listQuarantine(database.read, page),
  'scrubs.listRepositoriesOf': (database) => scrubs.listRepositoriesOf(database.read, digest, 10),
  'scrubs.listDamagedManifests': (database) => scrubs.listDamagedManifests(database.read, 10),
  'scrubs.damagedNeed': (database) => database.prepare(scrubs.damagedNeed)({ repositoryId, digest, limit: 10 }),
  'scrubs.listBlobsAfter': (database) => scrubs.listBlobsAfter(database.read, page),
  'scrubs.knownBlobs': (database) => scrubs.knownBlobs(database.read, [digest, other]),
  'scrubs.listManifestsAfter': (database) => scrubs.listManifestsAfter(database.read, { after: { repositoryId, digest }, limit: 10 }),
  'scrubs.manifestContent': (database) => database.prepare(scrubs.manifestContent)({ repositoryId, digest }),
  'scrubs.emptyManifest': (database) =>
    database.write((tx) => scrubs.emptyManifest.run(tx, { repositoryId, digest, content: Buffer.from('y') })),
  'scrubs.findScrubRun': (database) => scrubs.findScrubRun(database.read, 'open'),
  'scrubs.openScrubRun': (database) => database.write((tx) => scrubs.openScrubRun(tx, 1)),
  'scrubs.noteScrub': (database) => database.write((tx) => scrubs.noteScrub(tx, scrubProgress)),
  'scrubs.finishScrubRun': (database) => database.write((tx) => scrubs.finishScrubRun(tx, 2)),
  'scrubs.getServerState': (database) => scrubs.getServerState(database.read),
  'scrubs.setServerState': (database) => database.write((tx) => scrubs.setServerState(tx, { is_running: 1, unclean_at_ms: 1 })),

  'second-factors.findSecondFactor': (database) => secondFactors.findSecondFactor(database.read, 1),
  'second-factors.setTotpSecret': (database) => database.write((tx) => secondFactors.setTotpSecret(tx, { accountId: 1, secret: 's' })),
  'second-factors.confirmTotp': (database) => database.write((tx) => secondFactors.confirmTotp(tx, { accountId: 1, step: 1 })),
  'second-factors.takeTotpStep': (database) => database.write((tx) => secondFactors.takeTotpStep(tx, { accountId: 1, step: 2 })),
  'second-factors.clearSecondFactor': (database) => database.write((tx) => secondFactors.clearSecondFactor(tx, 1)),
  'second-factors.setRecoveryCodes': (database) =>
    database.write((tx) => secondFactors.setRecoveryCodes(tx, { accountId: 1, hashes: [secretHash] })),
  'second-factors.takeRecoveryCode': (database) =>
    database.write((tx) => secondFactors.takeRecoveryCode(tx, { accountId: 1, hash: secretHash })),
  'second-factors.countRecoveryCodes': (database) => secondFactors.countRecoveryCodes(database.read, 1),

  'sessions.sessionBySecret': (database) => database.prepare(sessions.sessionBySecret)({ secretHash }),
  'sessions.createSession': (database) => database.write((tx) => sessions.createSession(tx, browserSession)),
  'sessions.listSessions': (database) => sessions.listSessions(database.read, 1),
  'sessions.markSeen': (database) => database.write((tx) => sessions.markSeen(tx, { id: 1, nowMs: 1, expiresAtMs: 2 })),
  'sessions.renewSession': (database) => database.write((tx) => sessions.renewSession(tx, { id: 1, accountId: 1 })),
  'sessions.deleteSession': (database) => database.write((tx) => sessions.deleteSession(tx, { id: 1, accountId: 1 })),
  'sessions.deleteSessionBySecret': (database) => database.write((tx) => sessions.deleteSessionBySecret(tx, secretHash)),
  'sessions.deleteSessionsOf': (database) =>
    each([undefined, 1], (exceptId) => database.write((tx) => sessions.deleteSessionsOf(tx, { accountId: 1, exceptId }))),
  'sessions.deleteOldestSessions': (database) => database.write((tx) => sessions.deleteOldestSessions(tx, { accountId: 1, keep: 1 })),
  'sessions.deleteExpiredSessions': (database) => database.write((tx) => sessions.deleteExpiredSessions(tx, 1)),

  'tags.setTag': (database) => each(['one', 'two'], (text) => database.write((tx) => tags.setTag(tx, { ...tag, digest: sha256Of(text) }))),
  'tags.endTag': (database) => database.write((tx) => tags.endTag(tx, tag)),
  'tags.endTagsOf': (database) => database.write((tx) => tags.endTagsOf(tx, { repositoryId, digest, nowMs: 1, by: null })),
  'tags.listTags': (database) => tags.listTags(database.read, { repositoryId, ...page }),

  'tags.currentTag': (database) => database.prepare(tags.currentTag)(tag),
  'tags.listTagRows': (database) => each([undefined, 'a'], (text) => tags.listTagRows(database.read, { repositoryId, text, ...page })),
  'tags.findTagRow': (database) => tags.findTagRow(database.read, tag),
  'tags.listTagsOf': (database) => tags.listTagsOf(database.read, { repositoryId, digest, limit: 10 }),
  'tags.listTagIntervals': (database) =>
    each([undefined, { sinceMs: 1, id: 1 }], (before) => tags.listTagIntervals(database.read, { ...tag, before, limit: 10 })),
  'tags.findTagInterval': (database) =>
    each([undefined, digest], (of) =>
      each([undefined, other], (except) => tags.findTagInterval(database.read, { repositoryId, tag: tagOf('latest'), digest: of, except })),
    ),
  'teams.teamByName': (database) => database.prepare(teams.teamByName)({ name: 'crew' }),
  'teams.createTeam': (database) => database.write((tx) => teams.createTeam(tx, { name: 'crew', description: '', nowMs: 1 })),
  'teams.setTeamDescription': (database) => database.write((tx) => teams.setTeamDescription(tx, 'crew', 'ours')),
  'teams.deleteTeam': (database) => database.write((tx) => teams.deleteTeam(tx, 'none')),
  'teams.listTeams': (database) => teams.listTeams(database.read, page),
  'teams.listTeamsOf': (database) => teams.listTeamsOf(database.read, { accountId: 1, ...page }),
  'teams.setTeamMember': (database) =>
    database.write((tx) => teams.setTeamMember(tx, { teamId: 1, accountId: 1, isManager: true, nowMs: 1 })),
  'teams.deleteTeamMember': (database) => database.write((tx) => teams.deleteTeamMember(tx, { teamId: 1, accountId: 1 })),
  'teams.findMembership': (database) => teams.findMembership(database.read, { teamId: 1, accountId: 1 }),
  'teams.listTeamMembers': (database) =>
    each([undefined, 1], (after) => teams.listTeamMembers(database.read, { teamId: 1, after, limit: 10 })),

  'trash.trashRepositories': (database) =>
    each([{ id: 99 }, { namespace: 'nowhere' }], (which) =>
      database.write((tx) => trash.trashRepositories(tx, { ...which, nowMs: 1, by: null })),
    ),
  'trash.restoreRepository': (database) => database.write((tx) => trash.restoreRepository(tx, trashItem)),
  'trash.trashManifest': (database) =>
    database.write((tx) => trash.trashManifest(tx, { repositoryId, repository: name, digest, tags: ['latest'], nowMs: 1, by: null })),
  'trash.missingChildren': (database) => trash.missingChildren(database.read, trashItem),
  'trash.restoreManifest': (database) => database.write((tx) => trash.restoreManifest(tx, trashItem)),
  'trash.findTrashItem': (database) => trash.findTrashItem(database.read, { id: 1, sinceMs: 1 }),
  'trash.listTrash': (database) =>
    each([undefined, { repositoryId }, { namespace: 'team' }], (of) =>
      each([undefined, { deletedAtMs: 1, id: 5 }], (before) => trash.listTrash(database.read, { of, before, sinceMs: 1, limit: 10 })),
    ),
  'trash.markPurged': (database) => database.write((tx) => trash.markPurged(tx, 99)),
  'trash.listOverdue': (database) => trash.listOverdue(database.read, { beforeMs: 1, limit: 10 }),
  'trash.findTrashedManifest': (database) => trash.findTrashedManifest(database.read, { repositoryId, digest, sinceMs: 1 }),
  'trash.isOverdue': (database) => trash.isOverdue(database.read, { id: 1, beforeMs: 1 }),
  'trash.listHeldManifests': (database) => trash.listHeldManifests(database.read, repositoryId, 10),
  'trash.eraseSome': (database) => database.write((tx) => trash.eraseSome(tx, 99, 10)),
  'trash.eraseHolder': (database) => database.write((tx) => trash.eraseHolder(tx, 99)),
  'trash.queueFormerlyHeld': (database) => database.write((tx) => trash.queueFormerlyHeld(tx, trashItem)),
  'trash.queueWaiting': (database) =>
    each([1, 'any'] as const, (each) => database.write((tx) => trash.queueWaiting(tx, { repositoryId: each, limit: 10 }))),

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

  'usage.repositoryUsage': (database) => usage.repositoryUsage(database.read, repositoryId),
  'usage.namespaceUsage': (database) => usage.namespaceUsage(database.read, 1),
  'usage.totalLinkedBytes': (database) => usage.totalLinkedBytes(database.read),
}

async function each<T>(values: readonly T[], call: (value: T) => Promise<unknown>): Promise<void> {
  for (const value of values) await call(value)
}
