/**
 * Who may do what, written down by hand: for every route and method which rule it falls under, for every rule and caller
 * what comes of it. Nothing here is computed from the policy or the route tables; matrix.test.ts holds it against both.
 */
import { sha256 } from '../support/client.ts'
import type { Identity } from './callers.ts'

/** `ok`: not refused. Otherwise the status, and what the challenge says in `error=`. */
export type Outcome = 'ok' | '401' | '401 invalid_token' | '401 insufficient_scope' | '403'

/** One outcome, or one for each visibility: private, internal, public, absent. */
type Cell = Outcome | readonly [Outcome, Outcome, Outcome, Outcome]

export type Rule = Readonly<Record<Identity, Cell>>

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

const ok = 'ok'
const no = '401'
const invalid = '401 invalid_token'
const narrow = '401 insufficient_scope'
const denied = '403'

const everyone: Rule = {
  nobody: ok,
  'empty Basic': ok,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': ok,
  'wrong password': ok,
  'unknown account': ok,
  'anonymous token': ok,
  'owner token': ok,
  'other token': ok,
  'administrator token': ok,
  'pull token': ok,
  'push token': ok,
  'token for elsewhere': ok,
  'expired token': ok,
  'token of a changed account': ok,
  'forged token': ok,
}

const anyoneSignedIn: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': ok,
  'owner token': ok,
  'other token': ok,
  'administrator token': ok,
  'pull token': ok,
  'push token': ok,
  'token for elsewhere': ok,
  'expired token': invalid,
  'token of a changed account': invalid,
  'forged token': invalid,
}

const catalog: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': ok,
  'owner token': ok,
  'other token': ok,
  'administrator token': ok,
  'pull token': narrow,
  'push token': narrow,
  'token for elsewhere': narrow,
  'expired token': invalid,
  'token of a changed account': invalid,
  'forged token': invalid,
}

const pull: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': [denied, ok, ok, denied],
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': [narrow, narrow, ok, narrow],
  'owner token': ok,
  'other token': [narrow, ok, ok, narrow],
  'administrator token': ok,
  'pull token': ok,
  'push token': ok,
  'token for elsewhere': narrow,
  'expired token': invalid,
  'token of a changed account': invalid,
  'forged token': invalid,
}

const push: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': denied,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': narrow,
  'owner token': ok,
  'other token': narrow,
  'administrator token': ok,
  'pull token': narrow,
  'push token': ok,
  'token for elsewhere': narrow,
  'expired token': invalid,
  'token of a changed account': invalid,
  'forged token': invalid,
}

const remove: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': denied,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': narrow,
  'owner token': ok,
  'other token': narrow,
  'administrator token': ok,
  'pull token': narrow,
  'push token': narrow,
  'token for elsewhere': narrow,
  'expired token': invalid,
  'token of a changed account': invalid,
  'forged token': invalid,
}

/** Outside the registry protocol the challenge is Basic, which has no word for what was wrong. */
const search: Rule = {
  nobody: ok,
  'empty Basic': ok,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': ok,
  'owner token': ok,
  'other token': ok,
  'administrator token': ok,
  'pull token': no,
  'push token': no,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

/** The API of an open registry asks nobody for credentials, but what is sent must be right. */
const unlessWrong: Rule = {
  nobody: ok,
  'empty Basic': ok,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': ok,
  'owner token': ok,
  'other token': ok,
  'administrator token': ok,
  'pull token': ok,
  'push token': ok,
  'token for elsewhere': ok,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

const tokens: Rule = {
  nobody: ok,
  'empty Basic': ok,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': no,
  'owner token': no,
  'other token': no,
  'administrator token': no,
  'pull token': no,
  'push token': no,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

const metrics: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: denied,
  'other user': denied,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': no,
  'owner token': no,
  'other token': no,
  'administrator token': no,
  'pull token': no,
  'push token': no,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

const apiList: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': ok,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': ok,
  'owner token': ok,
  'other token': ok,
  'administrator token': ok,
  'pull token': no,
  'push token': no,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

const apiRead: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': [denied, ok, ok, denied],
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': [no, no, ok, no],
  'owner token': ok,
  'other token': [no, ok, ok, no],
  'administrator token': ok,
  'pull token': ok,
  'push token': ok,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

const settings: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: ok,
  'other user': denied,
  administrator: ok,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': no,
  'owner token': no,
  'other token': no,
  'administrator token': no,
  'pull token': no,
  'push token': no,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

/** A cookie counts, and nobody here has one. */
const byCookie: Rule = {
  nobody: no,
  'empty Basic': no,
  owner: no,
  'other user': no,
  administrator: no,
  'disabled account': no,
  'wrong password': no,
  'unknown account': no,
  'anonymous token': no,
  'owner token': no,
  'other token': no,
  'administrator token': no,
  'pull token': no,
  'push token': no,
  'token for elsewhere': no,
  'expired token': no,
  'token of a changed account': no,
  'forged token': no,
}

const pulls = { login: pull, open: everyone, challenge: 'repository:<name>:pull' } as const
const pushes = { login: push, open: everyone, challenge: 'repository:<name>:pull,push' } as const
const removes = { login: remove, open: everyone, challenge: 'repository:<name>:delete', absent: true } as const
const asks = { login: anyoneSignedIn, open: everyone, challenge: null } as const
const lists = { login: catalog, open: everyone, challenge: 'registry:catalog:*' } as const
const tells = { login: everyone, open: everyone, challenge: 'basic' } as const
const basic = { challenge: 'basic' } as const
const remembers = { login: byCookie, open: byCookie, challenge: 'session' } as const

const found = [200, 200, 200, 404] as const
const passwordBody = {
  headers: { 'Content-Type': 'application/json' },
  body: '{"name":"alice","password":"correct horse battery"}',
} as const
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
  'GET /api/v1/repositories': { ...basic, login: apiList, open: unlessWrong, status: 200 },
  'HEAD /api/v1/repositories': { ...basic, login: apiList, open: unlessWrong, status: 200 },
  'GET /api/v1/repositories/*name': { ...basic, login: apiRead, open: unlessWrong, status: found },
  'HEAD /api/v1/repositories/*name': { ...basic, login: apiRead, open: unlessWrong, status: found },
  'PATCH /api/v1/repositories/*name': { ...basic, login: settings, open: settings, status: 400, body: '{"visibility":"secret"}' },
  'GET /api/v1/session': { ...remembers, status: 200 },
  'HEAD /api/v1/session': { ...remembers, status: 200 },
  // Whom the body names is who signs in; what else the request says about it does not count.
  'POST /api/v1/session': { ...tells, ...passwordBody, challenge: 'session', status: 200 },
  'DELETE /api/v1/session': { ...remembers, status: 204 },
}
