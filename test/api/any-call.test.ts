/**
 * Whatever is sent to an operation, made from its description: no fault of the server, and no answer that the OpenAPI document does not
 * admit. Every operation is called as an administrator, with what its schemas admit and with what they refuse (threats 16, 33, 57).
 */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import * as fc from 'fast-check'
import { renderOpenApi, type OpenApiOperation, type OpenApiParameter } from '../../server/api/openapi.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { basic, Client, expectStatus, type PushedImage } from '../support/client.ts'
import { fitting, misfits, unfitting, type JsonSchema } from '../support/json-schema.ts'
import { headerOf, rawRequest, type RawAnswer } from '../support/raw-request.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

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
const ends: (() => unknown)[] = []

before(async () => {
  registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) })
  const client = new Client(registry)
  const image = await fill(client)
  there = {
    name: ['team/app', 'team/app', 'team/app', 'team/empty', 'team/none'],
    tag: ['v1', 'v2', 'none'],
    digest: [image.digest, image.config],
    account: ['alice', 'nobody'],
    item: await throwAway(client),
  }
})
after(async () => {
  for (const end of ends) await end()
})

/** More items of the trash than the calls that use them up. @returns their numbers */
async function throwAway(client: Client): Promise<string[]> {
  const items = Array.from({ length: 150 }, (_, index) => index + 1)
  for (const item of items) {
    await client.pushBlob(`gone/app-${item}`, 'content')
    await expectStatus(await client.call('DELETE', `/api/v1/repositories/gone%2Fapp-${item}`), 204)
  }
  return items.map(String)
}

async function fill(client: Client): Promise<PushedImage> {
  // It may be there still.
  await registry.addUser('alice').catch(() => undefined)
  await client.pushBlob('team/empty', 'content')
  await client.pushImage('team/app', 'v2', ['another layer'])
  return client.pushImage('team/app', 'v1')
}

/** Texts that parsers stumble over. */
const odd = fc.oneof(
  fc.constantFrom('', '.', '..', '../..', '%', '\0', "' or 1=1 --", 'ä', '\u202e', '-1', '1e9', 'null', '[]', '__proto__', 'a'.repeat(400)),
  fc.string({ unit: 'binary', maxLength: 20 }),
)

function parameterValue({ name, schema }: OpenApiParameter): fc.Arbitrary<string> {
  const known = there[name] ?? []
  const fit = fitting(schema, resolve).map(String)
  return fc.oneof(...(known.length === 0 ? [] : [{ arbitrary: fc.constantFrom(...known), weight: 8 }]), { arbitrary: fit, weight: 2 }, odd)
}

function pathOf(template: string, parameters: readonly OpenApiParameter[]): fc.Arbitrary<string> {
  const values = fc.record(
    Object.fromEntries(parameters.filter((each) => each.in === 'path').map((each) => [each.name, parameterValue(each)])),
  )
  return values.map((record) => template.replaceAll(/\{(\w+)\}/g, (_, name: string) => escape(record[name] ?? '')))
}

function queryOf(parameters: readonly OpenApiParameter[]): fc.Arbitrary<string> {
  const inQuery = parameters.filter((each) => each.in === 'query')
  if (inQuery.length === 0) return fc.constantFrom('', '?x=1')
  const pair = fc.constantFrom(...inQuery).chain((each) => parameterValue(each).map((value) => `${each.name}=${escape(value)}`))
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
  return { path, body, headers: [`Authorization: ${basic('admin')}`, ...condition, ...about] }
}

/** The call that the documentation shows, with what is there in place of its names: it succeeds. */
function shownCall(template: string, { operationId }: OpenApiOperation): Sent {
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => escape(there[name]?.[0] ?? ''))
  const shown = apiOperations.find(({ id }) => id === operationId)?.example?.body as Record<string, unknown> | undefined
  const named = { ...(shown && 'digest' in shown && { digest: there['digest']?.[0] }), ...(shown && 'name' in shown && { name: 'zoe' }) }
  return sentTo(path, shown && JSON.stringify({ ...shown, ...named }))
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
        const client = new Client(registry)
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
            if (answer.status === 204) await fill(client)
          }),
          { numRuns: runs, examples: [[shownCall(template, operation)]] },
        )
        const succeeded = Object.keys(operation.responses).some((status) => Number(status) < 300 && statuses.has(Number(status)))
        assert.ok(succeeded, `it succeeded at least once: ${[...statuses].join()}`)
      })
    }
  }
})
