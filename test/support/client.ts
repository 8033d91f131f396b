/**
 * The verbs of a registry client, as tests read them: sign in, push a blob, push an image, ask for something.
 */
import { createHash } from 'node:crypto'
import { adminPassword, type TestRegistry } from './start-registry.ts'

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'
export const indexType = 'application/vnd.oci.image.index.v1+json'
export const emptyDigest = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export function sha512(bytes: Uint8Array | string): string {
  return `sha512:${createHash('sha512').update(bytes).digest('hex')}`
}

export function basic(user: string, password: string = adminPassword): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

export interface Call {
  readonly body?: Uint8Array | string | ReadableStream<Uint8Array> | undefined
  readonly headers?: Readonly<Record<string, string>>
}

export type Answer = Response & {
  readonly bytes: Buffer
  readonly errors: readonly { code: string; message: string; detail?: Record<string, unknown> }[]
}

/** One signed-in user of one registry. */
export class Client {
  readonly #url: string
  readonly #authorization: string | undefined

  constructor(registry: Pick<TestRegistry, 'url'>, authorization: string | undefined = basic('admin')) {
    this.#url = registry.url
    this.#authorization = authorization
  }

  /** Sends a request; the whole answer is read. Paths go out as they are given. */
  async call(method: string, path: string, { body, headers = {} }: Call = {}): Promise<Answer> {
    const authorization: Record<string, string> = this.#authorization === undefined ? {} : { Authorization: this.#authorization }
    const stream = body instanceof ReadableStream ? { duplex: 'half' as const } : {}
    const response = await fetch(new URL(path, this.#url), {
      method,
      headers: { ...authorization, ...headers },
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
      ...stream,
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    return Object.assign(response, { bytes, errors: errorsIn(bytes) })
  }

  /** POST, then PUT with the whole body. @returns the digest. */
  async pushBlob(repository: string, content: Uint8Array | string, digest = sha256(content)): Promise<string> {
    const location = await this.startUpload(repository)
    await expectStatus(await this.call('PUT', `${location}?digest=${digest}`, { body: content }), 201)
    return digest
  }

  /** @returns the session's location. */
  async startUpload(repository: string): Promise<string> {
    const response = await expectStatus(await this.call('POST', `/v2/${repository}/blobs/uploads/`), 202)
    return response.headers.get('Location') ?? ''
  }

  /** As an index when it has manifests, as an image otherwise. */
  async putManifest(repository: string, reference: string, push: object | string): Promise<Answer> {
    const body = typeof push === 'string' ? push : JSON.stringify(push)
    const type = body.includes('"manifests":') ? indexType : manifestType
    return this.call('PUT', `/v2/${repository}/manifests/${reference}`, { body, headers: { 'Content-Type': type } })
  }

  /** A config, layers and a manifest under a tag. */
  async pushImage(repository: string, tag: string, layers: readonly string[] = ['a layer']): Promise<PushedImage> {
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', repository })
    for (const content of [config, ...layers]) await this.pushBlob(repository, content)
    const manifest = imageManifest(config, layers)
    const text = JSON.stringify(manifest)
    await expectStatus(await this.putManifest(repository, tag, text), 201)
    return { digest: sha256(text), text, manifest, layers: layers.map((layer) => sha256(layer)), config: sha256(config) }
  }
}

export interface PushedImage {
  readonly digest: string
  readonly text: string
  readonly manifest: ReturnType<typeof imageManifest>
  readonly layers: readonly string[]
  readonly config: string
}

export function imageManifest(config: string, layers: readonly string[], more: object = {}) {
  return {
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptorOf(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((layer) => descriptorOf(layer, 'application/vnd.oci.image.layer.v1.tar')),
    ...more,
  }
}

export function descriptorOf(content: string | Uint8Array, mediaType: string) {
  return { mediaType, digest: sha256(content), size: Buffer.byteLength(content) }
}

/** @throws when the answer has another status, with what it said. */
export async function expectStatus<T extends Answer>(answer: T, status: number): Promise<T> {
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.bytes.toString('utf8').slice(0, 500)}`)
  return answer
}

function errorsIn(bytes: Buffer): Answer['errors'] {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    if (typeof value === 'object' && value !== null && 'errors' in value && Array.isArray(value.errors)) return value.errors
  } catch {
    return []
  }
  return []
}
