/**
 * JSON Schema as far as the API's document uses it: whether a value fits, values that do, and values that do not. A keyword that is
 * not known here makes it throw, so that nothing is passed over in silence.
 */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'

export type JsonSchema = Readonly<Record<string, unknown>>
/** Finds what `$ref` names. */
export type Resolve = (reference: string) => JsonSchema

/** Keywords that say nothing about which values fit. */
const annotations = new Set(['description', 'examples', 'default', 'title', 'format'])
const known = new Set([
  ...annotations,
  '$ref',
  'type',
  'enum',
  'const',
  'anyOf',
  'items',
  'properties',
  'required',
  'additionalProperties',
  'propertyNames',
  'minProperties',
  'minLength',
  'maxLength',
  'pattern',
  'minimum',
  'maximum',
])

/** What is wrong with a value, each with where it is; empty when it fits. */
export function misfits(schema: JsonSchema, value: unknown, resolve: Resolve): string[] {
  return judge(schema, { value, at: '$' }, resolve)
}

function judge(schema: JsonSchema, { value, at }: { value: unknown; at: string }, resolve: Resolve): string[] {
  assertKnown(schema)
  const { $ref, anyOf } = schema
  if (typeof $ref === 'string') return judge(resolve($ref), { value, at }, resolve)
  if (Array.isArray(anyOf)) {
    const tries = (anyOf as JsonSchema[]).map((each) => judge(each, { value, at }, resolve))
    return tries.some((found) => found.length === 0) ? [] : tries.flat()
  }
  return [
    ...complaint(fitsType(schema['type'], value), `${at} is no ${String(schema['type'])}: ${JSON.stringify(value)?.slice(0, 80)}`),
    ...complaint(!Array.isArray(schema['enum']) || schema['enum'].includes(value), `${at} is none of those allowed`),
    ...complaint(!('const' in schema) || schema['const'] === value, `${at} is not ${String(schema['const'])}`),
    ...(typeof value === 'string' ? textMisfits(schema, value, at) : []),
    ...(typeof value === 'number' ? numberMisfits(schema, value, at) : []),
    ...(Array.isArray(value) ? value.flatMap((each, index) => itemMisfits(schema, { each, at: `${at}[${index}]` }, resolve)) : []),
    ...(isRecord(value) ? memberMisfits(schema, { value, at }, resolve) : []),
  ]
}

function itemMisfits({ items }: JsonSchema, { each, at }: { each: unknown; at: string }, resolve: Resolve): string[] {
  return items === undefined ? [] : judge(items as JsonSchema, { value: each, at }, resolve)
}

function textMisfits({ minLength = 0, maxLength = Infinity, pattern }: JsonSchema, text: string, at: string): string[] {
  const length = Array.from(text).length
  return [
    ...complaint(length >= Number(minLength) && length <= Number(maxLength), `${at} has ${length} characters`),
    ...complaint(typeof pattern !== 'string' || new RegExp(pattern, 'u').test(text), `${at} does not match ${String(pattern)}: ${text}`),
  ]
}

function numberMisfits({ minimum = -Infinity, maximum = Infinity }: JsonSchema, value: number, at: string): string[] {
  return complaint(value >= Number(minimum) && value <= Number(maximum), `${at} is out of range: ${value}`)
}

function memberMisfits(
  schema: JsonSchema,
  { value, at }: { value: Readonly<Record<string, unknown>>; at: string },
  resolve: Resolve,
): string[] {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>
  const required = (schema['required'] ?? []) as readonly string[]
  const others = schema['additionalProperties']
  return [
    ...required.flatMap((name) => complaint(Object.hasOwn(value, name), `${at}.${name} is missing`)),
    ...complaint(Object.keys(value).length >= Number(schema['minProperties'] ?? 0), `${at} has too few members`),
    ...Object.entries(value).flatMap(([name, member]) => {
      const own = Object.hasOwn(properties, name) ? properties[name] : undefined
      if (own) return judge(own, { value: member, at: `${at}.${name}` }, resolve)
      if (others === false) return [`${at}.${name} is not a member`]
      return isRecord(others) ? judge(others, { value: member, at: `${at}.${name}` }, resolve) : []
    }),
  ]
}

function fitsType(type: unknown, value: unknown): boolean {
  if (type === undefined) return true
  return [type].flat().some((each) => {
    if (each === 'null') return value === null
    if (each === 'array') return Array.isArray(value)
    if (each === 'object') return isRecord(value)
    if (each === 'integer') return Number.isSafeInteger(value)
    return typeof value === each
  })
}

function complaint(isRight: boolean, text: string): string[] {
  return isRight ? [] : [text]
}

function assertKnown(schema: JsonSchema): void {
  assert.deepEqual(
    Object.keys(schema).filter((keyword) => !known.has(keyword)),
    [],
    'every keyword of a schema is understood here',
  )
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Values that a schema admits, as near to its edges as its keywords say. */
export function fitting(schema: JsonSchema, resolve: Resolve): fc.Arbitrary<unknown> {
  assertKnown(schema)
  const { $ref, anyOf, type } = schema
  if (typeof $ref === 'string') return fitting(resolve($ref), resolve)
  if (Array.isArray(anyOf)) return fc.oneof(...(anyOf as JsonSchema[]).map((each) => fitting(each, resolve)))
  if (Array.isArray(schema['enum'])) return fc.constantFrom<unknown>(...(schema['enum'] as unknown[]))
  const first = [type].flat()[0]
  if (first === 'string') return textFor(schema)
  if (first === 'integer' || first === 'number') {
    return fc.integer({ min: Number(schema['minimum'] ?? 0), max: Math.min(Number(schema['maximum'] ?? 1e6), 2 ** 31 - 1) })
  }
  if (first === 'boolean') return fc.boolean()
  if (first === 'array') return fc.array(fitting((schema['items'] ?? {}) as JsonSchema, resolve), { maxLength: 3 })
  if (first === 'object') return objectFor(schema, resolve)
  return fc.jsonValue({ maxDepth: 2 })
}

function textFor({ pattern, examples, minLength = 0, maxLength = 300 }: JsonSchema): fc.Arbitrary<string> {
  const lengths = { minLength: Number(minLength), maxLength: Math.min(Number(maxLength), 300) }
  const any = typeof pattern === 'string' ? fc.stringMatching(new RegExp(pattern)) : fc.string({ unit: 'grapheme', ...lengths })
  const shown = Array.isArray(examples) ? (examples as string[]) : []
  const fits = (text: string): boolean => textMisfits({ minLength, maxLength, pattern }, text, '').length === 0
  return fc.oneof(any.filter(fits), ...(shown.length === 0 ? [] : [fc.constantFrom(...shown)]))
}

function objectFor(schema: JsonSchema, resolve: Resolve): fc.Arbitrary<unknown> {
  const properties = Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>)
  const required = (schema['required'] ?? []) as string[]
  const record = fc.record(Object.fromEntries(properties.map(([name, member]) => [name, fitting(member, resolve)])), {
    requiredKeys: required,
  })
  return record.filter((value) => Object.keys(value).length >= Number(schema['minProperties'] ?? 0))
}

/** Values that look like those of a schema and are not: one member wrong, missing or too much, or something else altogether. */
export function unfitting(schema: JsonSchema, resolve: Resolve): fc.Arbitrary<unknown> {
  const damaged = fitting(schema, resolve).chain((value): fc.Arbitrary<unknown> => {
    if (!isRecord(value)) return fc.jsonValue({ maxDepth: 2 })
    const name = fc.oneof(fc.constantFrom(...Object.keys(value), 'isAdmin', 'constructor', 'id'), fc.string({ maxLength: 10 }))
    return fc.tuple(name, fc.jsonValue({ maxDepth: 2 })).map(([key, wrong]) => ({ ...value, [key]: wrong }))
  })
  return fc.oneof(damaged, fc.jsonValue({ maxDepth: 3 })).filter((value) => misfits(schema, value, resolve).length > 0)
}
