/**
 * Tables of requests and answers, sent with supertest. Whatever a row asks for, its answer must also keep the rules that hold for every
 * answer under /v2: the version header, an exact length, nothing compressed, a request id, JSON errors with a code.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import supertest from 'supertest'
import { errorTable } from '../../oci/errors.ts'
import { basic } from './client.ts'

export interface Row {
  /** A sentence: the name of the test. */
  readonly rule: string
  /** GET unless said otherwise. */
  readonly method?: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE' | 'OPTIONS'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** As the administrator unless said otherwise; null: without credentials. */
  readonly as?: string | null
  readonly status: number
  /** Values of the answer's headers; null: must be absent. */
  readonly gives?: Readonly<Record<string, string | RegExp | null>>
  /** The exact bytes of the body. */
  readonly content?: Uint8Array | string
  /** The body as JSON. */
  readonly json?: unknown
  /** The code of every error in the body. */
  readonly code?: string
}

export interface TableAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Buffer
}

/** Runs each row as a subtest, in order. */
export async function runTable(t: TestContext, registry: { readonly url: string }, rows: readonly Row[]): Promise<void> {
  assert.ok(rows.length > 0, 'the table is empty')
  for (const row of rows) await t.test(row.rule, async () => void (await checkRow(registry, row)))
}

/** Sends a row and checks what it says. */
export async function checkRow(registry: { readonly url: string }, row: Row): Promise<TableAnswer> {
  const answer = await send(registry, row)
  const body = answer.bytes.toString('utf8')
  assert.equal(answer.status, row.status, `${answer.status} ${body.slice(0, 300)}`)
  checkEveryAnswer(row, answer)
  for (const [name, wanted] of Object.entries(row.gives ?? {})) checkHeader(answer, name, wanted)
  if (row.content !== undefined) assert.ok(answer.bytes.equals(Buffer.from(row.content)), `other bytes: ${body.slice(0, 300)}`)
  if (row.json !== undefined) assert.deepEqual(JSON.parse(body), row.json)
  if (row.code !== undefined) assert.deepEqual([...new Set(errorsOf(answer).map(({ code }) => code))], [row.code])
  return answer
}

async function send({ url }: { readonly url: string }, row: Row): Promise<TableAnswer> {
  const { method = 'GET', as = basic('admin') } = row
  const agent = supertest(url)
  const verbs = { GET: 'get', HEAD: 'head', PUT: 'put', POST: 'post', PATCH: 'patch', DELETE: 'delete', OPTIONS: 'options' } as const
  // Bodies come in as bytes; strings go out as they are, whatever their type.
  const call = agent[verbs[method]](row.path).redirects(0).responseType('blob')
  if (as !== null) call.set('Authorization', as)
  for (const [name, value] of Object.entries(row.headers ?? {})) call.set(name, value)
  const { status, headers, body } = await (row.body === undefined ? call : call.send(row.body))
  return { status, headers, bytes: Buffer.isBuffer(body) ? body : Buffer.alloc(0) }
}

function checkHeader({ headers }: TableAnswer, name: string, wanted: string | RegExp | null): void {
  const value = headers[name.toLowerCase()]
  if (wanted === null) return assert.equal(value, undefined, `${name} must be absent`)
  if (typeof wanted === 'string') return assert.equal(value, wanted, name)
  assert.match(value ?? '(none)', wanted, name)
}

/** Spec: protocol rules G2, G3, G4, G6, and the form of errors. */
export function checkEveryAnswer({ method = 'GET', path }: Pick<Row, 'method' | 'path'>, answer: TableAnswer): void {
  const { status, headers, bytes } = answer
  if (path.startsWith('/v2')) assert.equal(headers['docker-distribution-api-version'], 'registry/2.0')
  assert.match(headers['x-request-id'] ?? '', /^[0-9a-f]{8}-[0-9a-z]+$/)
  assert.equal(headers['transfer-encoding'], undefined)
  assert.equal(headers['content-encoding'], undefined)
  if (status === 204 || status === 304) assert.equal(headers['content-length'], undefined, `a ${status} has no length`)
  else assert.match(headers['content-length'] ?? '', /^[0-9]+$/)
  if (method === 'HEAD' || status === 204 || status === 304) assert.equal(bytes.length, 0)
  else assert.equal(bytes.length, Number(headers['content-length']))
  if (status >= 400 && method !== 'HEAD') checkErrors(answer)
}

const knownCodes = new Set<string>(Object.values(errorTable).map(({ code }) => code))

function checkErrors(answer: TableAnswer): void {
  assert.equal(answer.headers['content-type'], 'application/json')
  const errors = errorsOf(answer)
  assert.ok(errors.length > 0, 'docker takes an empty list for a broken answer')
  for (const { code, message } of errors) {
    assert.ok(knownCodes.has(code ?? ''), `an unknown code: ${code}`)
    assert.ok(typeof message === 'string' && message.length > 0, 'no message')
  }
}

function errorsOf({ bytes }: TableAnswer): { code?: string; message?: string }[] {
  return (JSON.parse(bytes.toString('utf8')) as { errors: { code?: string; message?: string }[] }).errors
}
