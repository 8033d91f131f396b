/**
 * A registry client over connections that stay open: the verbs that prepare a comparison, and the small writes that it times.
 */
import { createHash } from 'node:crypto'
import { Agent, request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'

export const account = { name: 'alice', password: 's3cret' }
export const basicAuthorization = `Basic ${Buffer.from(`${account.name}:${account.password}`).toString('base64')}`

export interface Call {
  readonly method: string
  /** A path, or a URL of which only the path counts. */
  readonly path: string
  readonly body?: Uint8Array | undefined
  readonly headers?: Readonly<Record<string, string>>
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
}

export interface ClientOptions {
  readonly port: number
  /** Sent with every request. */
  readonly authorization?: string | undefined
  /** Connections used at once, at most. */
  readonly connections?: number
}

export class RegistryClient {
  readonly #agent: Agent
  readonly #port: number
  readonly #authorization: string | undefined

  constructor({ port, authorization, connections = 1 }: ClientOptions) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
    this.#port = port
    this.#authorization = authorization
  }

  /** The whole answer to one request. */
  call({ method, path, body, headers = {} }: Call): Promise<Reply> {
    const hasBody = method === 'POST' || method === 'PUT' || method === 'PATCH'
    const sent: Record<string, string> = {
      ...(this.#authorization === undefined ? {} : { Authorization: this.#authorization }),
      ...(hasBody ? { 'Content-Length': String(body?.length ?? 0) } : {}),
      ...headers,
    }
    const options = { host: '127.0.0.1', port: this.#port, agent: this.#agent, method, path: pathOf(path), headers: sent }
    return new Promise((resolve, reject) => {
      const outgoing = request(options, (response) => void readReply(response).then(resolve, reject))
      outgoing.once('error', reject)
      outgoing.end(body)
    })
  }

  /** @throws when the answer has another status */
  async expect(status: number, call: Call): Promise<Reply> {
    const reply = await this.call(call)
    if (reply.status === status) return reply
    const said = reply.bytes.toString('utf8').slice(0, 300)
    throw new Error(`${call.method} ${pathOf(call.path)} answered ${reply.status} instead of ${status}: ${said}`)
  }

  /** @returns where its bytes go. */
  async startUpload(repository: string): Promise<string> {
    const { headers } = await this.expect(202, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` })
    return headers.location ?? ''
  }

  /** POST, then PUT with all bytes. */
  async pushBlob(repository: string, bytes: Uint8Array, digest = sha256(bytes)): Promise<string> {
    const location = withDigest(await this.startUpload(repository), digest)
    await this.expect(201, { method: 'PUT', path: location, body: bytes, headers: { 'Content-Type': 'application/octet-stream' } })
    return digest
  }

  async mountBlob(repository: string, digest: string, from: string): Promise<void> {
    await this.expect(201, { method: 'POST', path: `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}` })
  }

  async putManifest(repository: string, reference: string, bytes: Uint8Array): Promise<void> {
    await this.expect(201, {
      method: 'PUT',
      path: `/v2/${repository}/manifests/${reference}`,
      body: bytes,
      headers: { 'Content-Type': manifestType },
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** For setting up: signed in by Basic where a login is needed. */
export function setupClient({ port, access }: { port: number; access: 'open' | 'login' }, connections = 1): RegistryClient {
  return new RegistryClient({ port, authorization: access === 'login' ? basicAuthorization : undefined, connections })
}

/** As clients sign in: with a token where the server offers one, else by Basic. */
export async function clientAuthorization(port: number, repository: string): Promise<string> {
  return (await findBearer(port, repository)) ?? basicAuthorization
}

/** A token for everything in a repository, as clients get one; undefined when the server offers none. */
export async function findBearer(port: number, repository: string): Promise<string | undefined> {
  const stranger = new RegistryClient({ port })
  const { headers } = await stranger.call({ method: 'GET', path: `/v2/${repository}/tags/list` }).finally(() => stranger.close())
  const challenge = headers['www-authenticate'] ?? ''
  if (!/^bearer /i.test(challenge)) return undefined
  const part = (key: string): string => new RegExp(`${key}="([^"]*)"`).exec(challenge)?.[1] ?? ''
  const query = new URLSearchParams({ service: part('service'), scope: `repository:${repository}:pull,push,delete` })
  const response = await fetch(`${part('realm')}?${query.toString()}`, { headers: { Authorization: basicAuthorization } })
  if (!response.ok) throw new Error(`the token endpoint ${part('realm')} answered ${response.status}`)
  const answer = (await response.json()) as { token?: string; access_token?: string }
  return `Bearer ${answer.token ?? answer.access_token ?? ''}`
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** An upload's location with the digest that closes it. */
export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
}

function pathOf(url: string): string {
  return url.replace(/^https?:\/\/[^/]+/, '')
}

async function readReply(response: IncomingMessage): Promise<Reply> {
  const bytes = Buffer.concat((await response.toArray()) as Buffer[])
  return { status: response.statusCode ?? 0, headers: response.headers, bytes }
}
