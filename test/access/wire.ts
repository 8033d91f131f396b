/**
 * Requests as they go over the wire: any method, any Host, headers twice, the answer with its header lines as they came.
 * What `fetch` would forbid or tidy up is what these tests are about.
 */
import assert from 'node:assert/strict'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import type { Problem } from '../../server/http/problem.ts'
import type { TestRegistry } from '../support/start-registry.ts'

export type Server = Pick<TestRegistry, 'url'>

export interface Wish {
  readonly authorization?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Name and value in turn, as sent. */
  readonly rawHeaders: readonly string[]
  readonly text: string
}

/** Sends `GET /v2/` or any other line; redirects are not followed. */
export function send(server: Server, line: string, { authorization, headers = {}, body }: Wish = {}): Promise<Reply> {
  const [method = '', path = ''] = line.split(' ')
  const { hostname, port } = new URL(server.url)
  const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const all = { ...length, ...(authorization === undefined ? {} : { Authorization: authorization }), ...headers }
  return new Promise((resolve, reject) => {
    const outgoing = request({ hostname, port, method, path, headers: all }, (response) => {
      const { statusCode: status = 0, rawHeaders } = response
      textOf(response).then((text) => resolve({ status, headers: response.headers, rawHeaders, text }), reject)
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

/** Sends bytes as they are and reads until the server closes: the request must ask for that. */
export function sendBytes(server: Server, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    textOf(socket).then(resolve, reject)
  })
}

export interface WireError {
  readonly code: string
  readonly message: string
  readonly detail?: unknown
}

/** The error entries of an answer under /v2 or of the token endpoint. */
export function errorsOf(reply: Reply): readonly WireError[] {
  assert.equal(reply.headers['content-type'], 'application/json', reply.text)
  return (JSON.parse(reply.text) as { errors: WireError[] }).errors
}

/** The first message that a person would read: of an error entry, or of a problem of the API. */
export function messageOf(reply: Reply): string {
  if (reply.headers['content-type'] === 'application/problem+json') return (JSON.parse(reply.text) as { detail: string }).detail
  return errorsOf(reply)[0]?.message ?? ''
}

/** The problem that a refusal of the API is. */
export function problemOf(reply: Reply): Problem {
  assert.deepEqual(valuesOf(reply, 'Content-Type'), ['application/problem+json'], reply.text)
  return JSON.parse(reply.text) as Problem
}

export function jsonOf(reply: Reply): unknown {
  return JSON.parse(reply.text)
}

/** Every value of a header, as many as there are lines of it. */
export function valuesOf(reply: Reply, name: string): string[] {
  return reply.rawHeaders.filter((_, index) => index % 2 === 1 && reply.rawHeaders[index - 1]?.toLowerCase() === name.toLowerCase())
}

/** The parameters of the one Bearer challenge. Fails when there are more challenges, or a value without quotes. */
export function challengeOf(reply: Reply): Record<string, string> {
  const [challenge = '', ...others] = valuesOf(reply, 'WWW-Authenticate')
  assert.deepEqual(others, [], 'one challenge')
  assert.match(challenge, /^Bearer \w+="[^"]*"(,\w+="[^"]*")*$/)
  return Object.fromEntries(Array.from(challenge.matchAll(/(\w+)="([^"]*)"/g), ([, key = '', value = '']) => [key, value]))
}

/** What makes two answers distinguishable to their client: all but the time and the request's number. */
export function lookOf(reply: Reply): { status: number; headers: Record<string, unknown>; text: string } {
  const { date: _date, 'x-request-id': _requestId, ...headers } = reply.headers
  return { status: reply.status, headers, text: reply.text }
}

/** Resolves when the condition holds: what a server does after its answer takes a moment. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const giveUpMs = Date.now() + 5000
  while (!condition()) {
    if (Date.now() > giveUpMs) throw new Error(`waited in vain until ${what}`)
    await setImmediate()
  }
}
