/**
 * One HTTP request as the campaign's clients send it: answered in whole, cut, or refused because nothing listens.
 *
 * Unlike fetch it never sends anything twice by itself and tells an answer that broke off from one that is complete.
 */
import { Agent, request as startRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'

export interface Request {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Sends only so many bytes of the body, then breaks off as a client that left. */
  readonly leaveAfterBytes?: number
}

export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export type Outcome = Answer | { readonly kind: 'cut' | 'refused' | 'silent' }

/** Far beyond what any answer takes here; an answer that does not come by then will not come. */
const silenceMs = 60_000

/** Connections of one client; it uses one at a time, so it stays with one worker until that dies or the client leaves. */
export class Connection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  async exchange(origin: string, { method, path, headers = {}, body, leaveAfterBytes }: Request): Promise<Outcome> {
    const length = body === undefined ? {} : { 'Content-Length': String(body.length) }
    const outgoing = startRequest(new URL(path, origin), { method, agent: this.#agent, headers: { ...headers, ...length } })
    const outcome = Promise.race([silenceOf(outgoing), failureOf(outgoing), answerTo(outgoing)])
    if (leaveAfterBytes === undefined) outgoing.end(body)
    else outgoing.write(body?.subarray(0, leaveAfterBytes), () => outgoing.destroy())
    return outcome
  }

  /** The next request goes to any worker. */
  close(): void {
    this.#agent.destroy()
  }
}

function silenceOf(outgoing: ClientRequest): Promise<Outcome> {
  return new Promise((resolve) => {
    outgoing.setTimeout(silenceMs, () => {
      resolve({ kind: 'silent' })
      outgoing.destroy()
    })
  })
}

function failureOf(outgoing: ClientRequest): Promise<Outcome> {
  return new Promise((resolve) => {
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve({ kind: error.code === 'ECONNREFUSED' ? 'refused' : 'cut' }))
  })
}

async function answerTo(outgoing: ClientRequest): Promise<Outcome> {
  const incoming = await new Promise<IncomingMessage>((resolve) => {
    outgoing.once('response', resolve)
  })
  const chunks: Buffer[] = []
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
  } catch {
    return { kind: 'cut' }
  }
  if (!incoming.complete) return { kind: 'cut' }
  return { kind: 'answer', status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }
}
