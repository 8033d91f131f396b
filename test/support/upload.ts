/**
 * One upload session as its client sees it: every request on its location, as a verb.
 */
import assert from 'node:assert/strict'
import { expectStatus, type Answer, type Call, type Client } from './client.ts'

export const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

type Content = Exclude<Call['body'], undefined>

export class Upload {
  readonly location: string
  readonly #client: Client

  constructor(client: Client, location: string) {
    this.#client = client
    this.location = location
  }

  /** POST. @param query such as `?digest-algorithm=sha512`. */
  static async start(client: Client, repository: string, query = ''): Promise<Upload> {
    const answer = await expectStatus(await client.call('POST', `/v2/${repository}/blobs/uploads/${query}`), 202)
    return new Upload(client, answer.headers.get('Location') ?? '')
  }

  get id(): string {
    return this.location.slice(this.location.lastIndexOf('/') + 1)
  }

  /** The same session for another client: another account, or another worker. */
  as(client: Client): Upload {
    return new Upload(client, this.location)
  }

  /** PATCH without a range: wherever the session stands. */
  stream(body: Content): Promise<Answer> {
    return this.#client.call('PATCH', this.location, { body })
  }

  /** PATCH with the range of these bytes from `start` on. */
  chunk(content: Uint8Array | string, start: number): Promise<Answer> {
    return this.patch(content, `${start}-${start + Buffer.byteLength(content) - 1}`)
  }

  /** PATCH with any Content-Range. */
  patch(body: Content, contentRange: string): Promise<Answer> {
    return this.#client.call('PATCH', this.location, { body, headers: { 'Content-Range': contentRange } })
  }

  /** PUT: the digest, and the last bytes if any. */
  finish(digest: string, call: Call = {}): Promise<Answer> {
    return this.#client.call('PUT', `${this.location}?digest=${digest}`, call)
  }

  /** GET */
  status(): Promise<Answer> {
    return this.#client.call('GET', this.location)
  }

  /** DELETE */
  cancel(): Promise<Answer> {
    return this.#client.call('DELETE', this.location)
  }

  /** The Range header of its status. */
  async range(): Promise<string | null> {
    return (await expectStatus(await this.status(), 204)).headers.get('Range')
  }

  /** How many bytes it holds by its status; 0 also for one byte, which the header does not tell apart. */
  async bytesStored(): Promise<number> {
    return bytesIn(await this.range())
  }
}

/** What a Range header of an upload says. */
export function bytesIn(range: string | null | undefined): number {
  const [, last] = /^0-(\d+)$/.exec(range ?? '') ?? []
  assert.ok(last !== undefined, `${range} has the form 0-N`)
  return last === '0' ? 0 : Number(last) + 1
}

/** Fails unless the answer is this error, in the form that clients parse. */
export function assertRefused(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.bytes.toString('utf8'))
  assert.equal(answer.headers.get('Content-Type'), 'application/json')
  assert.equal(answer.headers.get('Content-Length'), String(answer.bytes.length))
  assert.equal(answer.headers.get('Docker-Distribution-Api-Version'), 'registry/2.0')
  assert.equal(answer.errors[0]?.code, code)
}
