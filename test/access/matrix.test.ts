/**
 * The whole matrix: every route and method, every kind of caller, every visibility, with logins and without, held against
 * expectations that were written down by hand (threats 14, 24).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpoints } from '../../oci/endpoints.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { serviceRoutes, v2Routes } from '../../server/app.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { identities, setScene, type Scene } from './callers.ts'
import { expectations, type Expectation } from './expectations.ts'
import { compareRoutes, complaintsAbout, expectedOf, listRoutes, requestLineOf, visibilitiesOf, type Expected } from './walk.ts'
import { send, type Reply } from './wire.ts'

const tables = { endpoints, v2Routes, serviceRoutes, apiOperations }

for (const access of ['login', 'open'] as const) {
  test(`with access ${access}, every route answers every caller as its row says`, async (t) => {
    const registry = await startRegistry(t, { settings: { ACCESS: access } })
    const scene = await setScene(registry)
    for (const [route, expectation] of Object.entries(expectations)) {
      await t.test(`${access}: ${route}`, async () => {
        const { complaints, requests } = await walk(route, { registry, scene, expectation, access })
        assert.deepEqual(complaints, [])
        assert.equal(requests, identities.length * visibilitiesOf(route).length, 'no cell was left out')
      })
    }
  })
}

interface Walk {
  readonly registry: TestRegistry
  readonly scene: Scene
  readonly expectation: Expectation
  readonly access: 'login' | 'open'
}

async function walk(route: string, { registry, scene, expectation, access }: Walk): Promise<{ complaints: string[]; requests: number }> {
  const cells = identities.flatMap((identity) => visibilitiesOf(route).map((visibility) => ({ identity, visibility })))
  const found = await Promise.all(
    cells.map(async (cell) => {
      const { headers = {}, body } = expectation
      const authorization = scene.callers[cell.identity]
      const reply = await send(registry, requestLineOf(route, expectation, cell.visibility), { authorization, headers, body })
      const expected = expectedOf(route, { expectation, rule: expectation[access], url: registry.url }, cell)
      return complaintsAbout(reply, expected).map((complaint) => `${cell.identity}, ${cell.visibility}: ${complaint}`)
    }),
  )
  return { complaints: found.flat(), requests: found.length }
}

test('every route and method has an expectation, and every expectation a route', () => {
  assert.deepEqual(compareRoutes(tables, expectations), { missing: [], stale: [] })
  assert.equal(listRoutes(tables).length, Object.keys(expectations).length)
})

test('a method that is new in the table of endpoints is missed until it has an expectation', () => {
  const tags = { ...endpoints.tags, methods: { ...endpoints.tags.methods, DELETE: { action: 'delete' as const, summary: '' } } }
  const changed = { ...tables, endpoints: { ...endpoints, tags } }
  assert.deepEqual(compareRoutes(changed, expectations), { missing: ['DELETE /v2/<name>/tags/list'], stale: [] })
})

test('a handler that the table of endpoints does not know is missed as well', () => {
  const changed = { ...tables, v2Routes: { ...v2Routes, catalog: { ...v2Routes.catalog, POST: () => undefined } } }
  assert.deepEqual(compareRoutes(changed, expectations).missing, ['POST /v2/_catalog'])
})

test('a new route outside /v2 is missed, with the HEAD that comes with its GET', () => {
  const changed = { ...tables, serviceRoutes: [...serviceRoutes, ['get', '/debug', 'debug', () => undefined] as const] }
  assert.deepEqual(compareRoutes(changed, expectations).missing, ['GET /debug', 'HEAD /debug'])
})

test('a new operation of the API is missed, with the HEAD that comes with its GET', () => {
  const changed = { ...tables, apiOperations: [...apiOperations, { method: 'GET', path: '/secrets' }] }
  assert.deepEqual(compareRoutes(changed, expectations).missing, ['GET /api/v1/secrets', 'HEAD /api/v1/secrets'])
})

test('an expectation whose route is gone is stale', () => {
  const changed = { ...tables, apiOperations: apiOperations.filter(({ id }) => id !== 'changeRepository') }
  assert.deepEqual(compareRoutes(changed, expectations), { missing: [], stale: ['PATCH /api/v1/repositories/{name}'] })
  assert.deepEqual(compareRoutes(tables, { ...expectations, 'GET /v2/gone': {} }), { missing: [], stale: ['GET /v2/gone'] })
})

const challenge = 'Bearer realm="http://r/token",service="lanyard"'
const refused: Expected = { outcome: '401', method: 'GET', status: 200, challenge }
const reply = (status: number, text: string, ...challenges: string[]): Reply => ({
  status,
  headers: {},
  rawHeaders: challenges.flatMap((value) => ['WWW-Authenticate', value]),
  text,
})
const unauthorized = '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'

const judged: readonly (readonly [string, Reply, Expected, readonly RegExp[]])[] = [
  ['nothing wrong with the refusal that is expected', reply(401, unauthorized, challenge), refused, []],
  ['nothing wrong with an answer to who may', reply(200, '{}'), { ...refused, outcome: 'ok' }, []],
  [
    'a caller who is let through and should not be',
    reply(200, '{}'),
    refused,
    [/^status 200 instead of 401/, /^challenges/, /UNAUTHORIZED/],
  ],
  [
    'a caller who is refused and should not be',
    reply(401, unauthorized, challenge),
    { ...refused, outcome: 'ok' },
    [/^status 401/, /^challenges/],
  ],
  ['another status of who may', reply(500, ''), { ...refused, outcome: 'ok' }, [/^status 500 instead of 200/]],
  ['403 in place of 401', reply(403, unauthorized, challenge), refused, [/^status 403 instead of 401/]],
  ['no challenge', reply(401, unauthorized), refused, [/^challenges/]],
  ['two challenges', reply(401, unauthorized, challenge, challenge), refused, [/^challenges/]],
  ['a challenge that says too much', reply(401, unauthorized, `${challenge},error="invalid_token"`), refused, [/^challenges/]],
  ['a challenge beside a 403', reply(403, '"DENIED"', challenge), { ...refused, outcome: '403' }, [/^challenges/]],
  ['another code', reply(401, '{"errors":[{"code":"DENIED"}]}', challenge), refused, [/^no "UNAUTHORIZED"/]],
  ['a body on HEAD', reply(401, unauthorized, challenge), { ...refused, method: 'HEAD' }, [/^a body on HEAD/]],
]

for (const [title, answer, expected, complaints] of judged) {
  test(`the walk sees ${title}`, () => {
    const found = complaintsAbout(answer, expected)
    assert.equal(found.length, complaints.length, found.join('; '))
    for (const [index, pattern] of complaints.entries()) assert.match(found[index] ?? '', pattern)
  })
}
