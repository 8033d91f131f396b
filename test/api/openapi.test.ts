/** The OpenAPI document: that it is one, that it says what the table says, and the page that is made from it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { suite, test } from 'node:test'
import { errorTable } from '../../oci/errors.ts'
import { apiRoot } from '../../server/api/operation.ts'
import { renderOpenApi, reasonsOf, type OpenApiOperation } from '../../server/api/openapi.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { misfits, type JsonSchema } from '../support/json-schema.ts'
import { shareRegistry } from '../support/shared-registry.ts'

const document = renderOpenApi(apiOperations)
const schemas = document.components.schemas

const all: readonly (OpenApiOperation & { readonly path: string; readonly method: string })[] = Object.entries(document.paths).flatMap(
  ([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ ...operation, path, method })),
)

const resolve = (reference: string): JsonSchema => schemas[reference.replace('#/components/schemas/', '')] ?? assert.fail(reference)

/** Every value in a document, with the keys that lead to it. */
function* walk(value: unknown, path: readonly string[] = []): Generator<{ path: readonly string[]; value: unknown }> {
  yield { path, value }
  if (typeof value !== 'object' || value === null) return
  for (const [key, member] of Object.entries(value)) yield* walk(member, [...path, key])
}

/** The rules of OpenAPI 3.1 for what stands where, as a schema of our own kind. */
const text = { type: 'string', minLength: 1 }
const schemaObject = { type: 'object' }
const content = { type: 'object', additionalProperties: closed({ schema: schemaObject }, ['schema']) }
const response = closed({ description: text, content, headers: { type: 'object' } }, ['description'])
const parameter = closed(
  {
    name: text,
    in: { enum: ['path', 'query', 'header', 'cookie'] },
    required: { type: 'boolean' },
    description: text,
    schema: schemaObject,
  },
  ['name', 'in', 'schema'],
)
const operationObject = closed(
  {
    operationId: text,
    tags: { type: 'array', items: text },
    summary: text,
    description: text,
    parameters: { type: 'array', items: parameter },
    requestBody: closed({ required: { type: 'boolean' }, content }, ['content']),
    responses: { type: 'object', minProperties: 1, propertyNames: {}, additionalProperties: response },
    security: { type: 'array', items: { type: 'object', additionalProperties: { type: 'array', items: text } } },
  },
  ['responses'],
)
const methods = { get: operationObject, put: operationObject, post: operationObject, patch: operationObject, delete: operationObject }
const documentObject = closed(
  {
    openapi: { type: 'string', pattern: '^3\\.1\\.\\d+$' },
    info: closed({ title: text, version: text, description: text }, ['title', 'version']),
    servers: { type: 'array', items: closed({ url: text }, ['url']) },
    tags: { type: 'array', items: closed({ name: text, description: text }, ['name']) },
    paths: { type: 'object', additionalProperties: closed(methods, []) },
    components: closed({ schemas: { type: 'object', additionalProperties: schemaObject }, securitySchemes: { type: 'object' } }, []),
  },
  ['openapi', 'info', 'paths'],
)

function closed(properties: Record<string, JsonSchema>, required: readonly string[]): JsonSchema {
  return { type: 'object', properties, required, additionalProperties: false }
}

/** What a schema of JSON Schema 2020-12 may look like, for the keywords that the document uses. */
const keywordTypes: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: (value) =>
    [value].flat().every((each) => ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'].includes(String(each))),
  enum: (value) => Array.isArray(value) && value.length > 0 && new Set(value).size === value.length,
  required: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  pattern: (value) => typeof value === 'string' && Boolean(new RegExp(value, 'u')),
  examples: Array.isArray,
  description: (value) => typeof value === 'string' && value !== '',
  minLength: Number.isSafeInteger,
  maxLength: Number.isSafeInteger,
  minimum: Number.isFinite,
  maximum: Number.isFinite,
  additionalProperties: (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null),
}

function* schemasIn(schema: JsonSchema): Generator<JsonSchema> {
  yield schema
  const { properties = {}, items, anyOf = [], additionalProperties, propertyNames } = schema as Record<string, never>
  const below = [...Object.values<JsonSchema>(properties), items, ...(anyOf as JsonSchema[]), additionalProperties, propertyNames]
  for (const each of below) if (typeof each === 'object' && each !== null) yield* schemasIn(each)
}

suite('the OpenAPI document', () => {
  test('is built as OpenAPI 3.1 says', () => {
    assert.deepEqual(
      misfits(documentObject, JSON.parse(JSON.stringify(document)), () => assert.fail('no references here')),
      [],
    )
    assert.notDeepEqual(
      misfits(documentObject, { ...document, paths: { '/x': { get: { summary: 'no answers' } } } }, resolve),
      [],
      'what is not would be seen',
    )
  })

  test('refers to nothing that is not there, and holds nothing that is not referred to', () => {
    const references = [...walk(document)].flatMap(({ path, value }) => (path.at(-1) === '$ref' ? [String(value)] : []))
    assert.ok(references.length > 50)
    const names = references.map((reference) => /^#\/components\/schemas\/(\w+)$/.exec(reference)?.[1] ?? reference)
    assert.deepEqual([...new Set(names)].toSorted(), Object.keys(schemas).toSorted())
  })

  test('has schemas whose keywords are what JSON Schema wants, and requires no member that is not described', () => {
    const parameters = all.flatMap((operation) => operation.parameters.map(({ schema }) => schema))
    for (const schema of [...Object.values(schemas), ...parameters].flatMap((each) => [...schemasIn(each)])) {
      for (const [keyword, value] of Object.entries(schema))
        assert.ok(keywordTypes[keyword]?.(value) ?? true, `${keyword}: ${JSON.stringify(value)}`)
      const { properties = {}, required = [] } = schema as { properties?: object; required?: string[] }
      assert.deepEqual(
        required.filter((name) => !Object.hasOwn(properties, name)),
        [],
      )
    }
  })

  test('declares every parameter of a path once and as required, and no other', () => {
    for (const { path, method, parameters } of all) {
      const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name)
      const declared = parameters.filter((each) => each.in === 'path')
      assert.deepEqual(
        declared.map(({ name }) => name),
        inPath,
        `${method} ${path}`,
      )
      assert.ok(declared.every(({ required }) => required))
      const keys = parameters.map((each) => `${each.in} ${each.name}`)
      assert.equal(new Set(keys).size, keys.length)
    }
  })

  test('names each operation once, in a group that is described, with a way to sign in', () => {
    const ids = all.map(({ operationId }) => operationId)
    assert.deepEqual([ids.length, new Set(ids).size], [apiOperations.length, apiOperations.length])
    const groups = new Set(document.tags.map(({ name }) => name))
    for (const { tags, security, operationId } of all) {
      assert.ok(tags.length === 1 && groups.has(tags[0] ?? ''), operationId)
      assert.deepEqual(security.flatMap(Object.keys), Object.keys(document.components.securitySchemes))
    }
  })

  test('tells the success of each operation and every fault that it can have', () => {
    for (const operation of apiOperations) {
      const { responses } = document.paths[`${apiRoot}${operation.path}`]?.[operation.method.toLowerCase()] ?? assert.fail(operation.id)
      assert.ok(responses[operation.answer.status])
      for (const reason of reasonsOf(operation))
        assert.match(responses[errorTable[reason].status]?.description ?? '', new RegExp(`\\b${reason}\\b`))
      const faults = Object.entries(responses).filter(([status]) => Number(status) >= 400)
      for (const [, { content = {} }] of faults) assert.deepEqual(Object.keys(content), ['application/problem+json'])
    }
  })
})

suite('the documents of a running registry', () => {
  const registry = shareRegistry()

  test('are for anyone, and the document is the one that the table gives', async () => {
    const answer = await fetch(`${registry().url}${apiRoot}/openapi.json`)
    assert.deepEqual([answer.status, answer.headers.get('Content-Type')], [200, 'application/json'])
    assert.deepEqual(await answer.json(), JSON.parse(JSON.stringify(document)))
  })

  test('the page loads nothing, runs nothing and can be framed by nobody; its style is the one that its policy allows', async () => {
    const answer = await fetch(`${registry().url}${apiRoot}/docs`)
    const page = await answer.text()
    assert.deepEqual([answer.status, answer.headers.get('Content-Type')], [200, 'text/html; charset=utf-8'])
    const style = /<style>([^]*?)<\/style>/.exec(page)?.[1] ?? ''
    const hash = createHash('sha256').update(style).digest('base64')
    const policy = answer.headers.get('Content-Security-Policy') ?? ''
    assert.ok(policy.startsWith(`default-src 'none'; style-src 'sha256-${hash}';`), policy)
    assert.ok(policy.includes("frame-ancestors 'none'"))
    assert.doesNotMatch(page, /<script|<img|<link|<iframe|\sstyle=|\son[a-z]+=|https?:\/\/(?!registry\.example\.com)/)
    assert.match(page, /<meta name="viewport" content="width=device-width, initial-scale=1">/)
    assert.match(style, /color-scheme:light dark/)
  })

  test('the page has every operation with its parameters and a line to call it by, and every schema', async () => {
    const page = await (await fetch(`${registry().url}${apiRoot}/docs`)).text()
    const sections = new Map(
      Array.from(page.matchAll(/<section id="([\w-]+)">([^]*?)<\/section>/g), ([, id = '', body = '']) => [id, body]),
    )
    for (const { operationId, path, method, parameters } of all) {
      const section = sections.get(operationId) ?? assert.fail(operationId)
      assert.ok(section.includes(`<code>${method.toUpperCase()} ${path}</code>`))
      for (const { name } of parameters) assert.ok(section.includes(`<code>${name}</code>`), name)
      const example = /<pre><code>(curl [^<]+)<\/code><\/pre>/.exec(section)?.[1] ?? ''
      assert.ok(example.includes(`https://registry.example.com${apiRoot}`) && !example.includes('{name}'), example)
    }
    for (const name of Object.keys(schemas)) assert.ok(sections.has(`schema-${name}`), name)
    const links = Array.from(page.matchAll(/href="#([\w-]+)"/g), ([, id = '']) => id)
    for (const id of links) assert.ok(page.includes(` id="${id}"`), id)
  })

  test('take no method but GET and HEAD', async () => {
    for (const path of ['/docs', '/openapi.json']) {
      const answer = await fetch(`${registry().url}${apiRoot}${path}`, { method: 'POST' })
      assert.deepEqual([answer.status, answer.headers.get('Allow')], [405, 'GET, HEAD'])
    }
  })
})

test('every operation that changes something says what the audit log is to tell, and no other does', () => {
  for (const operation of apiOperations) assert.equal(operation.deed !== undefined, operation.method !== 'GET', operation.id)
})
