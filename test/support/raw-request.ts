/**
 * Requests as exact bytes: what `fetch` would normalise, complete or refuse goes to the socket as it stands, and the answer is given
 * as it came, up to the last byte before the server closed the connection.
 */
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** Names in lower case, with every value in the order sent. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  /** Every byte after the header block, whatever Content-Length says: a HEAD that sends a body shows here. */
  readonly body: Buffer
}

export interface RawRequest {
  readonly method?: string
  /** Goes into the request line unchanged; bytes above ASCII as Latin-1. */
  readonly path: string
  /** Lines of the header block; Host and `Connection: close` are there already. */
  readonly headers?: readonly string[]
  readonly body?: Uint8Array | string
}

const deadlineMs = 10_000

/** One request on a connection of its own. */
export async function rawRequest(port: number, { method = 'GET', path, headers = [], body = '' }: RawRequest): Promise<RawAnswer> {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, 'Connection: close', ...headers, '', '']
  return parseAnswer(await exchangeBytes(port, Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), Buffer.from(body)])))
}

/** Sends the bytes and returns everything that came back until the server closed. @throws when it does not within ten seconds. */
export async function exchangeBytes(port: number, bytes: Uint8Array | string): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1')
  const timer = setTimeout(() => socket.destroy(new Error('the server neither answered to the end nor closed')), deadlineMs)
  try {
    socket.write(bytes)
    return await readToEnd(socket)
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function readToEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of socket) chunks.push(chunk as Buffer)
  } catch (error) {
    // A server that closes while bytes are still on their way resets the connection; what it said before counts.
    if (chunks.length === 0 || !isReset(error)) throw error
  }
  return Buffer.concat(chunks)
}

function isReset(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}

/** @throws when the bytes do not start with the header block of an HTTP/1.1 answer. */
export function parseAnswer(bytes: Buffer): RawAnswer {
  const end = bytes.indexOf('\r\n\r\n')
  const [first = '', ...lines] = bytes.subarray(0, Math.max(end, 0)).toString('latin1').split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]
  if (status === undefined) throw new Error(`no HTTP answer: ${JSON.stringify(bytes.subarray(0, 200).toString('latin1'))}`)
  const headers = new Map<string, string[]>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()])
  }
  return { status: Number(status), headers, body: bytes.subarray(end + 4) }
}

/** The only value of a header. @throws when it is absent or came twice. */
export function headerOf(answer: RawAnswer, name: string): string {
  const values = answer.headers.get(name.toLowerCase()) ?? []
  const [value] = values
  if (value === undefined || values.length > 1) throw new Error(`${values.length} headers ${name} in an answer ${answer.status}`)
  return value
}

/** The code of the first error in a JSON body; undefined when it is no such body. */
export function codeOf({ body }: Pick<RawAnswer, 'body'>): string | undefined {
  try {
    return (JSON.parse(body.toString('utf8')) as { errors?: { code?: string }[] }).errors?.[0]?.code
  } catch {
    return undefined
  }
}
