/**
 * Who may do what, written down by hand: for every route and method which rule it falls under; what comes of each for whom is in
 * rules.ts. Nothing here is computed from the policy or the route tables; matrix.test.ts holds it against both.
 */
import { sha256 } from '../support/client.ts'
import {
  everyone,
  anyoneSignedIn,
  catalog,
  pull,
  push,
  remove,
  search,
  unlessWrong,
  unlessWrongOrNarrow,
  openWrites,
  tokens,
  metrics,
  apiList,
  apiRead,
  settings,
  apiPush,
  apiDelete,
  administrators,
  whoAmI,
  openSettings,
  ofAlice,
  ofNothing,
  ofOneself,
  byOneself,
  byCookie,
  directory,
  namespaceMembers,
  namespaceOwners,
  teamManagers,
  teamMembers,
  type Rule,
} from './rules.ts'

export interface Expectation {
  readonly login: Rule
  /** The same with the setting `access: open`. */
  readonly open: Rule
  /** The scope that a Bearer challenge names; `basic`, `session`: the challenge is that one; null: Bearer without a scope. */
  readonly challenge: string | null
  /** The status of who is not refused, or one for each visibility. */
  readonly status: number | readonly [number, number, number, number]
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** In place of the tag and the layer that are there: so that nothing is changed by who may change it. */
  readonly absent?: true
}

const pulls = { login: pull, open: everyone, challenge: 'repository:<name>:pull' } as const
const pushes = { login: push, open: everyone, challenge: 'repository:<name>:pull,push' } as const
const removes = { login: remove, open: everyone, challenge: 'repository:<name>:delete', absent: true } as const
const asks = { login: anyoneSignedIn, open: everyone, challenge: null } as const
const lists = { login: catalog, open: everyone, challenge: 'registry:catalog:*' } as const
const tells = { login: everyone, open: everyone, challenge: 'basic' } as const
const basic = { challenge: 'basic' } as const
const remembers = { login: byCookie, open: byCookie, challenge: 'session' } as const

const readsRepository = { ...basic, login: apiRead, open: unlessWrongOrNarrow } as const
const administers = { ...basic, login: administrators, open: administrators } as const
const concernsAlice = { ...basic, login: ofAlice, open: ofAlice } as const
const concernsOwners = { ...basic, login: namespaceOwners, open: namespaceOwners } as const
const concernsOneself = { ...basic, login: ofOneself, open: ofOneself } as const
const seesNamespace = { ...basic, login: namespaceMembers, open: namespaceMembers } as const
const ownsNamespace = { ...basic, login: namespaceOwners, open: namespaceOwners } as const
const seesTeam = { ...basic, login: teamMembers, open: teamMembers } as const
const managesTeam = { ...basic, login: teamManagers, open: teamManagers } as const
const findsOwn = { ...basic, login: directory, open: directory } as const
const concernsNothing = { ...basic, login: ofNothing, open: administrators } as const
const json = { headers: { 'Content-Type': 'application/json' } } as const
const opensOneself = { ...basic, ...json, login: byOneself, open: byOneself } as const
const stale = { headers: { 'If-Match': '"not its version"' } } as const

const found = [200, 200, 200, 404] as const
const bad = [400, 400, 400, 404] as const
const changed = [412, 412, 412, 404] as const
const passwordBody = { ...json, body: '{"name":"alice","password":"correct horse battery"}' } as const
const passwordForm = {
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  body: `grant_type=password&service=lanyard&username=alice&password=correct+horse+battery`,
} as const

/** Every route and every method of it. What is sent changes nothing, whoever may send it. */
export const expectations: Readonly<Record<string, Expectation>> = {
  'GET /v2/': { ...asks, status: 200 },
  'HEAD /v2/': { ...asks, status: 200 },
  'GET /v2/_catalog': { ...lists, status: 200 },
  'HEAD /v2/_catalog': { ...lists, status: 200 },
  'GET /v2/_oci/ext/discover': { ...asks, status: 200 },
  'HEAD /v2/_oci/ext/discover': { ...asks, status: 200 },
  'POST /v2/<name>/blobs/uploads/': { ...pushes, status: 202 },
  'GET /v2/<name>/blobs/uploads/<session>': { ...pushes, status: 404 },
  'HEAD /v2/<name>/blobs/uploads/<session>': { ...pushes, status: 404 },
  'PATCH /v2/<name>/blobs/uploads/<session>': { ...pushes, status: 404, body: 'some bytes' },
  'PUT /v2/<name>/blobs/uploads/<session>': { ...pushes, status: 404, query: `?digest=${sha256('nobody has this')}` },
  'DELETE /v2/<name>/blobs/uploads/<session>': { ...pushes, status: 404 },
  'GET /v2/<name>/blobs/<digest>': { ...pulls, status: found },
  'HEAD /v2/<name>/blobs/<digest>': { ...pulls, status: found },
  'DELETE /v2/<name>/blobs/<digest>': { ...removes, status: 404 },
  'GET /v2/<name>/manifests/<reference>': { ...pulls, status: found },
  'HEAD /v2/<name>/manifests/<reference>': { ...pulls, status: found },
  'PUT /v2/<name>/manifests/<reference>': { ...pushes, status: 400, body: '{"schemaVersion":2}' },
  'DELETE /v2/<name>/manifests/<reference>': { ...removes, status: 404 },
  'GET /v2/<name>/tags/list': { ...pulls, status: found },
  'HEAD /v2/<name>/tags/list': { ...pulls, status: found },
  'GET /v2/<name>/referrers/<digest>': { ...pulls, status: 200 },
  'HEAD /v2/<name>/referrers/<digest>': { ...pulls, status: 200 },
  'GET /': { ...tells, status: 200 },
  'HEAD /': { ...tells, status: 200 },
  'GET /favicon.ico': { ...tells, status: 204 },
  'HEAD /favicon.ico': { ...tells, status: 204 },
  'GET /token': { ...basic, login: tokens, open: tokens, status: 200 },
  'HEAD /token': { ...basic, login: tokens, open: tokens, status: 200 },
  // Whom the form names is who asks; what else the request says about it does not count.
  'POST /token': { ...tells, ...passwordForm, status: 200 },
  'GET /v1/_ping': { ...tells, status: 200 },
  'HEAD /v1/_ping': { ...tells, status: 200 },
  'GET /v1/search': { ...basic, login: search, open: everyone, status: 200 },
  'HEAD /v1/search': { ...basic, login: search, open: everyone, status: 200 },
  'GET /healthz': { ...tells, status: 200 },
  'HEAD /healthz': { ...tells, status: 200 },
  'GET /readyz': { ...tells, status: 200 },
  'HEAD /readyz': { ...tells, status: 200 },
  'GET /metrics': { ...basic, login: metrics, open: metrics, status: 200 },
  'HEAD /metrics': { ...basic, login: metrics, open: metrics, status: 200 },
  'GET /api/v1/openapi.json': { ...tells, status: 200 },
  'HEAD /api/v1/openapi.json': { ...tells, status: 200 },
  'GET /api/v1/docs': { ...tells, status: 200 },
  'HEAD /api/v1/docs': { ...tells, status: 200 },
  'GET /api/v1/me': { ...basic, login: whoAmI, open: unlessWrong, status: 200 },
  'HEAD /api/v1/me': { ...basic, login: whoAmI, open: unlessWrong, status: 200 },
  'GET /api/v1/repositories': { ...basic, login: apiList, open: unlessWrong, status: 200 },
  'HEAD /api/v1/repositories': { ...basic, login: apiList, open: unlessWrong, status: 200 },
  'GET /api/v1/repositories/{name}': { ...readsRepository, status: found },
  'HEAD /api/v1/repositories/{name}': { ...readsRepository, status: found },
  'PATCH /api/v1/repositories/{name}': {
    ...basic,
    ...json,
    login: settings,
    open: openSettings,
    status: bad,
    body: '{"visibility":"secret"}',
  },
  'DELETE /api/v1/repositories/{name}': { ...basic, ...stale, login: settings, open: openSettings, status: changed },
  'GET /api/v1/repositories/{name}/tags': { ...readsRepository, status: found },
  'HEAD /api/v1/repositories/{name}/tags': { ...readsRepository, status: found },
  'GET /api/v1/repositories/{name}/tags/{tag}': { ...readsRepository, status: found },
  'HEAD /api/v1/repositories/{name}/tags/{tag}': { ...readsRepository, status: found },
  'PUT /api/v1/repositories/{name}/tags/{tag}': {
    ...basic,
    ...json,
    login: apiPush,
    open: openWrites,
    status: bad,
    body: '{"digest":"x"}',
  },
  'DELETE /api/v1/repositories/{name}/tags/{tag}': { ...basic, login: apiDelete, open: openWrites, status: 404, absent: true },
  'GET /api/v1/repositories/{name}/tags/{tag}/history': { ...readsRepository, status: found },
  'HEAD /api/v1/repositories/{name}/tags/{tag}/history': { ...readsRepository, status: found },
  'GET /api/v1/repositories/{name}/manifests/{digest}': { ...readsRepository, status: 404 },
  'HEAD /api/v1/repositories/{name}/manifests/{digest}': { ...readsRepository, status: 404 },
  'DELETE /api/v1/repositories/{name}/manifests/{digest}': { ...basic, login: apiDelete, open: openWrites, status: 404 },
  'GET /api/v1/repositories/{name}/manifests/{digest}/referrers': { ...readsRepository, status: found },
  'HEAD /api/v1/repositories/{name}/manifests/{digest}/referrers': { ...readsRepository, status: found },
  'POST /api/v1/repositories/{name}/tags/{tag}/restore': {
    ...basic,
    ...json,
    login: apiPush,
    open: openWrites,
    status: bad,
    body: '{"digest":"x"}',
  },
  'GET /api/v1/repositories/{name}/trash': { ...basic, login: apiDelete, open: openWrites, status: found },
  'HEAD /api/v1/repositories/{name}/trash': { ...basic, login: apiDelete, open: openWrites, status: found },
  'GET /api/v1/namespaces/{namespace}/trash': { ...concernsOwners, status: 200 },
  'HEAD /api/v1/namespaces/{namespace}/trash': { ...concernsOwners, status: 200 },
  'GET /api/v1/trash': { ...administers, status: 200 },
  'HEAD /api/v1/trash': { ...administers, status: 200 },
  'POST /api/v1/trash/{item}/restore': { ...concernsNothing, status: 404 },
  'DELETE /api/v1/trash/{item}': { ...concernsNothing, status: 404 },
  'GET /api/v1/collection': { ...administers, status: 200 },
  'HEAD /api/v1/collection': { ...administers, status: 200 },
  'POST /api/v1/collection': { ...administers, ...json, status: 400, body: '{"dryRun":1}' },
  'GET /api/v1/audit': { ...administers, status: 200 },
  'HEAD /api/v1/audit': { ...administers, status: 200 },
  'GET /api/v1/scrub': { ...administers, status: 200 },
  'HEAD /api/v1/scrub': { ...administers, status: 200 },
  'POST /api/v1/scrub': { ...administers, status: 200 },
  'GET /api/v1/accounts': { ...administers, status: 200 },
  'HEAD /api/v1/accounts': { ...administers, status: 200 },
  'POST /api/v1/accounts': { ...administers, ...json, status: 400, body: '{"name":"New","password":"correct horse battery"}' },
  'GET /api/v1/accounts/{account}': { ...administers, status: 200 },
  'HEAD /api/v1/accounts/{account}': { ...administers, status: 200 },
  'PATCH /api/v1/accounts/{account}': { ...administers, ...json, status: 400, body: '{"isAdmin":true}' },
  'DELETE /api/v1/accounts/{account}': { ...administers, status: 404, absent: true },
  'GET /api/v1/accounts/{account}/tokens': { ...concernsAlice, status: 200 },
  'HEAD /api/v1/accounts/{account}/tokens': { ...concernsAlice, status: 200 },
  'POST /api/v1/accounts/{account}/tokens': { ...concernsAlice, ...json, status: 400, body: '{"name":"new"}' },
  'GET /api/v1/accounts/{account}/tokens/{token}': { ...concernsAlice, status: 200 },
  'HEAD /api/v1/accounts/{account}/tokens/{token}': { ...concernsAlice, status: 200 },
  'PATCH /api/v1/accounts/{account}/tokens/{token}': { ...concernsAlice, ...json, status: 400, body: '{"scopes":"all"}' },
  'DELETE /api/v1/accounts/{account}/tokens/{token}': { ...concernsAlice, ...stale, status: 412 },
  'POST /api/v1/accounts/{account}/tokens/{token}/rotate': { ...concernsAlice, ...json, status: 400, body: '{"overlapSeconds":-1}' },
  'GET /api/v1/accounts/{account}/sessions': { ...concernsAlice, status: 200 },
  'HEAD /api/v1/accounts/{account}/sessions': { ...concernsAlice, status: 200 },
  'DELETE /api/v1/accounts/{account}/sessions': { ...concernsAlice, status: 200 },
  'DELETE /api/v1/accounts/{account}/sessions/{session}': { ...concernsAlice, status: 404 },
  'GET /api/v1/accounts/{account}/second-factor': { ...concernsAlice, status: 200 },
  'HEAD /api/v1/accounts/{account}/second-factor': { ...concernsAlice, status: 200 },
  'DELETE /api/v1/accounts/{account}/second-factor': { ...administers, status: 400 },
  'POST /api/v1/revoked-tokens': { ...administers, ...json, status: 400, body: '{"secret":"no token"}' },
  'GET /api/v1/me/tokens': { ...concernsOneself, status: 200 },
  'HEAD /api/v1/me/tokens': { ...concernsOneself, status: 200 },
  'POST /api/v1/me/tokens': { ...concernsOneself, ...json, status: 400, body: '{"name":"new"}' },
  'GET /api/v1/me/tokens/{token}': { ...concernsOneself, status: 404, absent: true },
  'HEAD /api/v1/me/tokens/{token}': { ...concernsOneself, status: 404, absent: true },
  'PATCH /api/v1/me/tokens/{token}': { ...concernsOneself, ...json, status: 400, body: '{"scopes":"all"}' },
  'DELETE /api/v1/me/tokens/{token}': { ...concernsOneself, status: 404, absent: true },
  'POST /api/v1/me/tokens/{token}/rotate': { ...concernsOneself, ...json, status: 400, body: '{"overlapSeconds":-1}' },
  'GET /api/v1/me/sessions': { ...concernsOneself, status: 200 },
  'HEAD /api/v1/me/sessions': { ...concernsOneself, status: 200 },
  'DELETE /api/v1/me/sessions': { ...concernsOneself, status: 200 },
  'DELETE /api/v1/me/sessions/{session}': { ...concernsOneself, status: 404 },
  'PUT /api/v1/me/password': { ...opensOneself, status: 400, body: '{"newPassword":"another password"}' },
  'GET /api/v1/me/second-factor': { ...concernsOneself, status: 200 },
  'HEAD /api/v1/me/second-factor': { ...concernsOneself, status: 200 },
  'POST /api/v1/me/second-factor': { ...opensOneself, status: 400, body: '{}' },
  'POST /api/v1/me/second-factor/confirm': { ...opensOneself, status: 400, body: '{"code":"123456"}' },
  'POST /api/v1/me/second-factor/recovery-codes': { ...opensOneself, status: 400, body: '{}' },
  'POST /api/v1/me/second-factor/remove': { ...opensOneself, status: 400, body: '{}' },
  'GET /api/v1/namespaces/{namespace}/robots': { ...concernsOwners, status: 200 },
  'HEAD /api/v1/namespaces/{namespace}/robots': { ...concernsOwners, status: 200 },
  'POST /api/v1/namespaces/{namespace}/robots': { ...concernsOwners, ...json, status: 400, body: '{"name":"new"}' },
  'GET /api/v1/namespaces/{namespace}/robots/{robot}': { ...concernsOwners, status: 200 },
  'HEAD /api/v1/namespaces/{namespace}/robots/{robot}': { ...concernsOwners, status: 200 },
  'PATCH /api/v1/namespaces/{namespace}/robots/{robot}': { ...concernsOwners, ...json, status: 400, body: '{"disabled":1}' },
  'DELETE /api/v1/namespaces/{namespace}/robots/{robot}': { ...concernsOwners, ...stale, status: 412 },
  'POST /api/v1/namespaces/{namespace}/robots/{robot}/rotate': { ...concernsOwners, ...json, status: 400, body: '{"overlapSeconds":-1}' },
  'GET /api/v1/namespaces': { ...findsOwn, status: 200 },
  'HEAD /api/v1/namespaces': { ...findsOwn, status: 200 },
  'POST /api/v1/namespaces': { ...administers, ...json, status: 400, body: '{"name":"New"}' },
  'GET /api/v1/namespaces/{namespace}': { ...seesNamespace, status: 200 },
  'HEAD /api/v1/namespaces/{namespace}': { ...seesNamespace, status: 200 },
  'PATCH /api/v1/namespaces/{namespace}': { ...ownsNamespace, ...json, status: 400, body: '{"visibility":"secret"}' },
  // It is a person's, which is neither removed nor renamed.
  'DELETE /api/v1/namespaces/{namespace}': { ...ownsNamespace, status: 409 },
  'GET /api/v1/namespaces/{namespace}/removal': { ...ownsNamespace, status: 409 },
  'HEAD /api/v1/namespaces/{namespace}/removal': { ...ownsNamespace, status: 409 },
  'GET /api/v1/namespaces/{namespace}/rename': { ...ownsNamespace, status: 409, query: '?to=alicia' },
  'HEAD /api/v1/namespaces/{namespace}/rename': { ...ownsNamespace, status: 409, query: '?to=alicia' },
  'GET /api/v1/namespaces/{namespace}/members': { ...seesNamespace, status: 200 },
  'HEAD /api/v1/namespaces/{namespace}/members': { ...seesNamespace, status: 200 },
  'PUT /api/v1/namespaces/{namespace}/members/{account}': { ...ownsNamespace, ...json, status: 400, body: '{"role":"king"}' },
  'DELETE /api/v1/namespaces/{namespace}/members/{account}': { ...ownsNamespace, status: 404, query: '?repository=alice/nothing' },
  'PUT /api/v1/namespaces/{namespace}/teams/{team}': { ...ownsNamespace, ...json, status: 400, body: '{"role":"king"}' },
  'DELETE /api/v1/namespaces/{namespace}/teams/{team}': { ...ownsNamespace, status: 404, query: '?repository=alice/nothing' },
  'GET /api/v1/teams': { ...findsOwn, status: 200 },
  'HEAD /api/v1/teams': { ...findsOwn, status: 200 },
  'POST /api/v1/teams': { ...administers, ...json, status: 400, body: '{"name":"New"}' },
  'GET /api/v1/teams/{team}': { ...seesTeam, status: 200 },
  'HEAD /api/v1/teams/{team}': { ...seesTeam, status: 200 },
  'PATCH /api/v1/teams/{team}': { ...managesTeam, ...json, status: 400, body: '{"name":"band"}' },
  'DELETE /api/v1/teams/{team}': { ...managesTeam, ...stale, status: 412 },
  'GET /api/v1/teams/{team}/roles': { ...seesTeam, status: 200 },
  'HEAD /api/v1/teams/{team}/roles': { ...seesTeam, status: 200 },
  'GET /api/v1/teams/{team}/members': { ...seesTeam, status: 200 },
  'HEAD /api/v1/teams/{team}/members': { ...seesTeam, status: 200 },
  'PUT /api/v1/teams/{team}/members/{account}': { ...managesTeam, ...json, status: 400, body: '{"manager":"yes"}' },
  // Alice is not in it.
  'DELETE /api/v1/teams/{team}/members/{account}': { ...managesTeam, status: 404 },
  'GET /api/v1/session': { ...remembers, status: 200 },
  'HEAD /api/v1/session': { ...remembers, status: 200 },
  // Whom the body names is who signs in; what else the request says about it does not count.
  'POST /api/v1/session': { ...tells, ...passwordBody, challenge: 'session', status: 200 },
  'DELETE /api/v1/session': { ...remembers, status: 204 },
}
