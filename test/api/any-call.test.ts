/**
 * Whatever is sent to an operation, made from its description: no fault of the server, and no answer that the OpenAPI document does not
 * admit. Every operation is called as an administrator, with what its schemas admit and with what they refuse (threats 16, 33, 57).
 */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import * as fc from 'fast-check'
import { isRegistryError } from '../../oci/errors.ts'
import { revokeToken } from '../../registry/access-tokens.ts'
import { accountNamed, updateAccount } from '../../registry/accounts.ts'
import { renderOpenApi, type OpenApiOperation, type OpenApiParameter } from '../../server/api/openapi.ts'
import { addNamespace, grantRole } from '../../registry/namespaces.ts'
import { addTeam, addToTeam } from '../../registry/teams.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { confirmTotp, setTotpSecret } from '../../storage/metadata/second-factors.ts'
import { giveRobot, giveToken } from '../support/access-tokens.ts'
import { basic, Client, expectStatus } from '../support/client.ts'
import { fitting, misfits, unfitting, type JsonSchema } from '../support/json-schema.ts'
import { headerOf, rawRequest, type RawAnswer } from '../support/raw-request.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'

const document = renderOpenApi(apiOperations)
const resolve = (reference: string): JsonSchema =>
  document.components.schemas[reference.replace('#/components/schemas/', '')] ?? assert.fail(reference)
const runs = 40

interface Sent {
  readonly path: string
  readonly headers: readonly string[]
  readonly body: string | undefined
}

/** What is there for calls to hit: texts by the name of the parameter. */
let there: Readonly<Record<string, readonly string[]>>
let registry: TestRegistry
let items: readonly string[]
const ends: (() => unknown)[] = []

before(async () => {
  registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) })
  items = await throwAway(new Client(registry))
  await fill()
})
after(async () => {
  for (const end of ends) await end()
})

/** More items of the trash than the calls that use them up. @returns their numbers */
async function throwAway(client: Client): Promise<string[]> {
  const numbers = Array.from({ length: 150 }, (_, index) => index + 1)
  for (const number of numbers) {
    await client.pushBlob(`gone/app-${number}`, 'content')
    await expectStatus(await client.call('DELETE', `/api/v1/repositories/gone%2Fapp-${number}`), 204)
  }
  return numbers.map(String)
}

/** Makes anew what a call has removed or renamed. */
async function fill(): Promise<void> {
  const client = new Client(registry)
  const { database } = registry.services.registry
  for (const name of ['alice', 'mia']) await registry.addUser(name).catch(ifThere)
  for (const name of ['hall', 'works']) await addNamespace(database, { name, by: null, nowMs: 1 }).catch(ifThere)
  await addTeam(database, { name: 'crew', nowMs: 1 }).catch(ifThere)
  await addToTeam(database, 'crew', { account: 'alice', nowMs: 1 })
  for (const member of [{ account: 'alice' }, { team: 'crew' }])
    await grantRole(database, { namespace: 'hall', member, role: 'reader', by: null, nowMs: 1 })
  await client.pushBlob('team/empty', 'content')
  await client.pushImage('team/app', 'v2', ['another layer'])
  // What the tag was before, so that it can be that again.
  await client.pushImage('team/app', 'v1', ['another layer'])
  const image = await client.pushImage('team/app', 'v1')
  await fillCredentials()
  const account = ['alice', 'nobody']
  there = {
    name: ['team/app', 'team/app', 'team/app', 'team/empty', 'team/none'],
    tag: ['v1', 'v2', 'none'],
    digest: [image.digest, image.config],
    account,
    // The first holds no repository, and may be removed.
    namespace: ['hall', 'hall', 'team', 'none'],
    team: ['crew', 'crew', 'none'],
    token: ['ci', 'none'],
    robot: ['ci', 'none'],
    session: await startSessions(),
    secret: [await leakToken()],
    item: items,
  }
}

async function fillCredentials(): Promise<void> {
  const { passwords, registry: store } = registry.services
  // The one that every test signs in with.
  await updateAccount(store.database, 'mia', { passwordHash: await passwords.hash(adminPassword) })
  for (const account of ['alice', 'mia']) await giveToken(registry, { account, name: 'ci' }, 'pull *').catch(ifThere)
  await giveRobot(registry, { namespace: 'works', name: 'ci' }, 'pull works/*').catch(ifThere)
  const { id: accountId } = await accountNamed(store.database, 'alice')
  await store.database.write(async (tx) => {
    if (await setTotpSecret(tx, { accountId, secret: 'GEZDGNBVGY3TQOJQ' })) await confirmTotp(tx, { accountId, step: 1 })
  })
}

/** @returns ids: alice's first, then mia's */
async function startSessions(): Promise<string[]> {
  const { sessions, registry: store } = registry.services
  const ids: string[] = []
  for (const name of ['alice', 'mia']) {
    const account = await accountNamed(store.database, name)
    ids.push(String((await sessions.start(account, { agent: 'a browser', address: '', replaced: undefined })).session.id))
  }
  return ids
}

function ifThere(error: unknown): void {
  assert.ok(isRegistryError(error, 'nameTaken'), String(error))
}

/** @returns the secret of one that is good; the one before may be revoked already */
async function leakToken(): Promise<string> {
  const { database, clock } = registry.services.registry
  const named = { account: 'alice', name: 'leaked' }
  await revokeToken(database, { ...named, nowMs: clock() }).catch(() => undefined)
  return giveToken(registry, named, 'pull *')
}

/** Whose calls are about herself, so that nothing happens to the administrator. */
const isOfCaller = (path: string): boolean => path.startsWith('/api/v1/me')
/** They want the code of the moment: test/access/credentials-api.test.ts calls them. */
const wantsCode = new Set(['confirmSecondFactor', 'renewRecoveryCodes', 'removeOwnSecondFactor'])

/** Texts that parsers stumble over. */
const odd = fc.oneof(
  fc.constantFrom('', '.', '..', '../..', '%', '\0', "' or 1=1 --", 'ä', '\u202e', '-1', '1e9', 'null', '[]', '__proto__', 'a'.repeat(400)),
  fc.string({ unit: 'binary', maxLength: 20 }),
)

/** What is there for a parameter of this path. */
function thereFor(name: string, template: string): readonly string[] {
  // In a namespace that no call renames or removes: its robots would keep their names.
  if (name === 'namespace' && template.includes('/robots')) return ['works', 'works', 'none']
  const known = there[name] ?? []
  return name === 'session' && isOfCaller(template) ? known.toReversed() : known
}

function parameterValue({ name, schema }: OpenApiParameter, template: string): fc.Arbitrary<string> {
  const known = thereFor(name, template)
  const fit = fitting(schema, resolve).map(String)
  return fc.oneof(...(known.length === 0 ? [] : [{ arbitrary: fc.constantFrom(...known), weight: 8 }]), { arbitrary: fit, weight: 2 }, odd)
}

function pathOf(template: string, parameters: readonly OpenApiParameter[]): fc.Arbitrary<string> {
  const values = fc.record(
    Object.fromEntries(parameters.filter((each) => each.in === 'path').map((each) => [each.name, parameterValue(each, template)])),
  )
  return values.map((record) => template.replaceAll(/\{(\w+)\}/g, (_, name: string) => escape(record[name] ?? '')))
}

function queryOf(parameters: readonly OpenApiParameter[]): fc.Arbitrary<string> {
  const inQuery = parameters.filter((each) => each.in === 'query')
  if (inQuery.length === 0) return fc.constantFrom('', '?x=1')
  const pair = fc.constantFrom(...inQuery).chain((each) => parameterValue(each, '').map((value) => `${each.name}=${escape(value)}`))
  return fc.array(pair, { maxLength: 3 }).map((pairs) => (pairs.length === 0 ? '' : `?${pairs.join('&')}`))
}

const escape = (text: string): string => encodeURIComponent(text.toWellFormed())

function bodyOf({ requestBody }: OpenApiOperation): fc.Arbitrary<string | undefined> {
  const schema = requestBody?.content['application/json']?.schema
  if (!schema) return fc.constantFrom(undefined, '', '{}')
  const json = (values: fc.Arbitrary<unknown>) => values.map((value) => JSON.stringify(value))
  return fc.oneof(
    json(fitting(schema, resolve).chain(naming)),
    json(fitting(schema, resolve)),
    json(unfitting(schema, resolve)),
    fc.constantFrom('', '{', 'null', '{"a":1,"a":2}', '[[[['),
  )
}

/** The same with what is there in place of a member that could name it. */
function naming(value: unknown): fc.Arbitrary<unknown> {
  const members = Object.keys(typeof value === 'object' && value !== null ? value : {}).filter((name) => Object.hasOwn(there, name))
  return fc
    .record(Object.fromEntries(members.map((name) => [name, fc.constantFrom(...(there[name] ?? []))])))
    .map((named) => (members.length === 0 ? value : { ...(value as object), ...named }))
}

const conditions = fc.constantFrom<readonly string[]>([], [], ['If-Match: *'], ['If-Match: "x"'], ['If-Match: W/"x", "y"'], ['If-Match: ,'])

function call(template: string, operation: OpenApiOperation): fc.Arbitrary<Sent> {
  const { parameters } = operation
  return fc
    .record({ path: pathOf(template, parameters), query: queryOf(parameters), body: bodyOf(operation), condition: conditions })
    .map(({ path, query, body, condition }) => sentTo(`${path}${query}`, body, condition))
}

function sentTo(path: string, body: string | undefined, condition: readonly string[] = []): Sent {
  const about = body === undefined ? [] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`]
  return { path, body, headers: [`Authorization: ${basic(isOfCaller(path) ? 'mia' : 'admin')}`, ...condition, ...about] }
}

/** The call that the documentation shows, with what is there in place of its names: it succeeds. */
function shownCall(template: string, { operationId }: OpenApiOperation): Sent {
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => escape(thereFor(name, template)[0] ?? ''))
  const { body, query } = apiOperations.find(({ id }) => id === operationId)?.example ?? {}
  const shown = body as Record<string, unknown> | undefined
  const known = Object.entries(there).filter(([name]) => name !== 'name' && shown && name in shown)
  const named = {
    ...Object.fromEntries(known.map(([name, [first]]) => [name, first])),
    // A name that nothing else is given.
    ...(shown && 'name' in shown && { name: operationId.toLowerCase() }),
    ...(shown && 'owner' in shown && { owner: 'alice' }),
  }
  const search = query ? `?${new URLSearchParams(query).toString()}` : ''
  return sentTo(`${path}${search}`, shown && JSON.stringify({ ...shown, ...named }))
}

/** The answer is one that the document foresees: its status, its type, its form. @returns the status */
function assertForeseen(answer: RawAnswer, operation: OpenApiOperation, sent: Sent): number {
  const said = `${answer.status} ${answer.body.toString('utf8').slice(0, 300)} to ${sent.path} ${sent.body ?? ''}`
  assert.ok(answer.status < 500, said)
  // An empty or dotted parameter makes another path; that there is nothing, or another method, is said in the same form.
  const response =
    operation.responses[answer.status] ?? (answer.status === 405 || answer.status === 404 ? operation.responses[400] : undefined)
  assert.ok(response, `not in the document: ${said}`)
  assert.equal(headerOf(answer, 'Cache-Control'), 'no-store')
  const always = Object.keys(response.headers ?? {}).filter((name) => name !== 'Link')
  for (const name of always) assert.ok(answer.headers.has(name.toLowerCase()), `no ${name}: ${said}`)
  const [type, { schema } = { schema: {} }] = Object.entries(response.content ?? {})[0] ?? []
  if (type === undefined) assert.equal(answer.body.length, 0)
  else assert.equal(headerOf(answer, 'Content-Type'), type, said)
  if (type !== undefined) assert.deepEqual(misfits(schema, JSON.parse(answer.body.toString('utf8')), resolve), [], said)
  return answer.status
}

suite('whatever is sent to', () => {
  for (const [template, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      test(`${operation.operationId}, the answer is one of the document`, async () => {
        const statuses = new Set<number>()
        await fc.assert(
          fc.asyncProperty(call(template, operation), async (sent) => {
            const { path, headers, body } = sent
            const answer = await rawRequest(registry.port, {
              method: method.toUpperCase(),
              path,
              headers,
              ...(body === undefined ? {} : { body }),
            })
            statuses.add(assertForeseen(answer, operation, sent))
            // What was removed or renamed has to be there for the next call.
            if (answer.status === 204 || method === 'patch' || (method === 'delete' && answer.status === 200)) await fill()
          }),
          { numRuns: runs, examples: [[shownCall(template, operation)]] },
        )
        const succeeded = Object.keys(operation.responses).some((status) => Number(status) < 300 && statuses.has(Number(status)))
        assert.ok(succeeded || wantsCode.has(operation.operationId), `it succeeded at least once: ${[...statuses].join()}`)
      })
    }
  }
})
