/**
 * The walk through the matrix: which routes there are, which of them nobody has an expectation for, the request that
 * knocks at one, and what is wrong with an answer.
 */
import type { endpoints as endpointTable } from '../../oci/endpoints.ts'
import type { serviceRoutes as serviceTable, v2Routes as v2Table } from '../../server/app.ts'
import { documentPaths } from '../../server/api/documents.ts'
import { apiRoot } from '../../server/api/operation.ts'
import { sha256 } from '../support/client.ts'
import { repositories, visibilities, type Identity, type Visibility } from './callers.ts'
import type { Expectation } from './expectations.ts'
import type { Outcome, Rule } from './rules.ts'
import { valuesOf, type Reply } from './wire.ts'

/** The tables that say which routes there are, or something of their shape. */
export interface RouteTables {
  readonly endpoints: Readonly<Record<string, Pick<(typeof endpointTable)['base'], 'path' | 'methods'>>>
  readonly v2Routes: Readonly<Record<keyof typeof v2Table, object>>
  readonly serviceRoutes: readonly (readonly [string, string, ...unknown[]])[] | typeof serviceTable
  readonly apiOperations: readonly { readonly method: string; readonly path: string }[]
}

/** `GET /v2/<name>/tags/list` and so on: all that the gate knows, all that has a handler, and HEAD wherever the router adds it. */
export function listRoutes(tables: RouteTables): string[] {
  const known = Object.values(tables.endpoints).flatMap(({ path, methods }) => Object.keys(methods).map((method) => `${method} ${path}`))
  const handled = Object.entries(tables.v2Routes).flatMap(([endpoint, methods]) =>
    Object.keys(methods).map((method) => `${method} ${tables.endpoints[endpoint]?.path}`),
  )
  const services = tables.serviceRoutes.flatMap(([method, path]) =>
    (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]).map((each) => `${each} ${path}`),
  )
  const documents = documentPaths.map((path) => ({ method: 'GET', path }))
  const operations = tables.apiOperations.map(({ method, path }) => ({ method, path: `${apiRoot}${path}` }))
  const api = [...documents, ...operations].flatMap(({ method, path }) =>
    (method === 'GET' ? ['GET', 'HEAD'] : [method]).map((each) => `${each} ${path}`),
  )
  return [...new Set([...known, ...handled, ...services, ...api])].toSorted()
}

/** Routes without an expectation, and expectations without a route. */
export function compareRoutes(
  tables: RouteTables,
  expectations: Readonly<Record<string, unknown>>,
): { missing: string[]; stale: string[] } {
  const routes = listRoutes(tables)
  const written = Object.keys(expectations)
  return {
    missing: routes.filter((route) => !written.includes(route)),
    stale: written.filter((route) => !routes.includes(route)),
  }
}

const session = '0d6b4c5e-6f1e-4c37-9d1b-6a5f2f0c1e77'

/** The request line for a route: nothing in it exists only by accident. */
export function requestLineOf(
  route: string,
  { query = '', absent }: Pick<Expectation, 'query' | 'absent'> = {},
  visibility: Visibility,
): string {
  const filled = route
    .replace('<name>', repositories[visibility])
    .replace('{name}', repositories[visibility].replace('/', '%2F'))
    .replace('{tag}', absent ? 'nothing' : 'v1')
    .replace('{digest}', sha256('nobody has this'))
    .replace('{namespace}', 'alice')
    .replace('{team}', 'crew')
    .replace('{account}', absent ? 'nobody' : 'alice')
    .replace('{namespace}', 'alice')
    .replace('{robot}', 'ci')
    .replace('{token}', absent ? 'nothing' : 'narrow')
    .replace('{session}', '999999')
    .replace('{item}', '999999')
    .replace('<digest>', sha256(absent ? 'nobody has this' : 'a layer'))
    .replace('<reference>', absent ? 'nothing' : 'v1')
    .replace('<session>', session)
  return filled + query
}

/** The visibilities that a route is walked with; one is enough where no repository stands in the path. */
export function visibilitiesOf(route: string): readonly Visibility[] {
  return route.includes('<name>') || route.includes('{name}') ? visibilities : ['private']
}

export function outcomeOf(rule: Rule, identity: Identity, visibility: Visibility): Outcome {
  const cell = rule[identity]
  return typeof cell === 'string' ? cell : (cell[visibilities.indexOf(visibility)] ?? 'ok')
}

export interface Expected {
  readonly outcome: Outcome
  readonly method: string
  readonly status: number
  /** The only value of `WWW-Authenticate` when the status is 401. */
  readonly challenge: string
}

export function expectedOf(
  route: string,
  { expectation, rule, url }: { expectation: Expectation; rule: Rule; url: string },
  cell: { identity: Identity; visibility: Visibility },
): Expected {
  const outcome = outcomeOf(rule, cell.identity, cell.visibility)
  const { status } = expectation
  return {
    outcome,
    method: route.split(' ')[0] ?? '',
    status: typeof status === 'number' ? status : (status[visibilities.indexOf(cell.visibility)] ?? 0),
    challenge: challengeText(expectation.challenge, { outcome, url, name: repositories[cell.visibility] }),
  }
}

function challengeText(scope: string | null, { outcome, url, name }: { outcome: Outcome; url: string; name: string }): string {
  if (scope === 'basic') return 'Basic realm="lanyard", charset="UTF-8"'
  if (scope === 'session') return 'Session realm="lanyard"'
  const error = outcome.split(' ')[1]
  return [
    `Bearer realm="${url}/token",service="lanyard"`,
    ...(scope === null ? [] : [`scope="${scope.replace('<name>', name)}"`]),
    ...(error === undefined ? [] : [`error="${error}"`]),
  ].join(',')
}

/** What is wrong with an answer; empty when it is as it should be. */
export function complaintsAbout(reply: Reply, { outcome, method, status, challenge }: Expected): string[] {
  const refused = outcome === 'ok' ? undefined : Number(outcome.slice(0, 3))
  const complaints: string[] = []
  const expect = (isRight: boolean, complaint: string): void => void (isRight || complaints.push(complaint))
  expect(reply.status === (refused ?? status), `status ${reply.status} instead of ${refused ?? `${status}, as for anyone who may`}`)
  // Why is told to people too, in words that are not looked at here.
  const challenges = valuesOf(reply, 'WWW-Authenticate').map((each) => each.replace(/(,error="\w+"),error_description="[^"]+"$/, '$1'))
  const wanted = refused === 401 ? [challenge] : []
  expect(String(challenges) === String(wanted), `challenges [${challenges.join(' | ')}] instead of [${wanted.join(' | ')}]`)
  if (method === 'HEAD') expect(reply.text === '', `a body on HEAD: ${reply.text.slice(0, 200)}`)
  if (method !== 'HEAD' && refused !== undefined)
    expect(reply.text.includes(codes[refused] ?? ''), `no ${codes[refused]} in ${reply.text.slice(0, 200)}`)
  return complaints
}

const codes: Readonly<Record<number, string>> = { 401: '"UNAUTHORIZED"', 403: '"DENIED"', 404: '"NAME_UNKNOWN"' }
