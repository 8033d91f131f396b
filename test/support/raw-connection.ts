/**
 * One TCP connection to the registry on which a test decides every byte: what is sent, when, in which pieces, and where it
 * breaks off. Answers are parsed strictly, interim ones (100 Continue) included, so that a missing byte fails the test.
 */
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { basic } from './client.ts'
import { withDeadline } from './eventually.ts'
import type { TestRegistry } from './start-registry.ts'

export interface RawAnswer {
  readonly status: number
  /** By lower-case name; repeated ones joined with a comma. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

export interface RawHead {
  readonly method: string
  readonly path: string
  /** Added to Host and the administrator's Authorization; undefined leaves one of those two out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

/** Request line and headers as a decent client writes them, with the empty line that ends them. */
export function requestHead({ method, path, headers = {} }: RawHead): string {
  const all: Record<string, string | undefined> = { Host: 'registry.test', Authorization: basic('admin'), ...headers }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]))
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

/** One chunk of chunked transfer coding; the last one is empty. */
export function chunk(content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

export class RawConnection {
  readonly #socket: Socket
  readonly #closed: Promise<void>
  readonly #ended: Promise<void>
  #received: Buffer = Buffer.alloc(0)
  #isOver = false

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()))
    this.#ended = new Promise((resolve) => socket.once('end', () => resolve()))
    socket.on('data', (bytes: Buffer) => (this.#received = Buffer.concat([this.#received, bytes])))
    // A reset is one of the ways in which the server may end a connection; what matters is what was received before.
    socket.on('error', () => undefined)
    for (const event of ['end', 'close'] as const) socket.once(event, () => (this.#isOver = true))
  }

  static async open(registry: Pick<TestRegistry, 'port'>): Promise<RawConnection> {
    const socket = createConnection({ host: '127.0.0.1', port: registry.port, noDelay: true })
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  /** Bytes that the server has taken off this side's hands so far, headers included. */
  get bytesSent(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  /** Whether the server has ended it. */
  get isOver(): boolean {
    return this.#isOver || this.#socket.destroyed
  }

  /** What arrived and was not yet read as an answer. */
  get unread(): string {
    return this.#received.toString('latin1')
  }

  /** Sends exactly these bytes; resolves when the kernel has them, or at once when the connection is over. */
  async send(bytes: Uint8Array | string): Promise<void> {
    if (this.isOver) return
    await new Promise<void>((resolve) => {
      this.#socket.once('close', resolve)
      this.#socket.write(bytes, () => {
        this.#socket.off('close', resolve)
        resolve()
      })
    })
  }

  /** The next answer, read to its end. @param method what was asked with: the answer to HEAD has no body. */
  async answer(method = ''): Promise<RawAnswer> {
    const headEnd = await this.#find('\r\n\r\n')
    const [statusLine = '', ...lines] = this.#take(headEnd).toString('latin1').split('\r\n')
    this.#take(4)
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(statusLine)
    if (!status) throw new Error(`this is no status line: ${statusLine}`)
    const headers = new Map<string, string>()
    for (const line of lines) {
      const [, name = '', value = ''] = /^([A-Za-z0-9-]+): ?(.*)$/.exec(line) ?? []
      if (name === '') throw new Error(`this is no header line: ${line}`)
      const known = headers.get(name.toLowerCase())
      headers.set(name.toLowerCase(), known === undefined ? value : `${known}, ${value}`)
    }
    const length = bodyLength(method, Number(status[1]), headers)
    await this.#until(() => this.#received.length >= length)
    return { status: Number(status[1]), headers, body: this.#take(length) }
  }

  /** Sends a whole request and reads its answer. */
  async exchange(request: RawHead & { readonly body?: Uint8Array | string }): Promise<RawAnswer> {
    await this.send(requestHead(request))
    if (request.body !== undefined) await this.send(request.body)
    return this.answer(request.method)
  }

  /** Resolves when the server has said that it will send no more, or has closed. */
  async endedByServer(): Promise<void> {
    await withDeadline(Promise.race([this.#ended, this.#closed]), 'the server to end the connection')
  }

  /** Resolves when the connection is gone in both directions. */
  async closedByServer(): Promise<void> {
    await withDeadline(this.#closed, 'the server to close the connection')
  }

  /** Says that nothing more will be sent, and goes on listening. */
  endSending(): void {
    this.#socket.end()
  }

  /** Stops in the middle of whatever it was, in the orderly way of TCP: what was sent still arrives. */
  cut(): void {
    this.#socket.destroy()
  }

  /** Stops in the middle with a reset, as a client that crashed or a network that forgot the connection does. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  async #find(text: string): Promise<number> {
    await this.#until(() => this.#received.includes(text))
    return this.#received.indexOf(text)
  }

  async #until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      if (this.#isOver) throw new Error(`the connection ended after ${JSON.stringify(this.unread)}`)
      const more = new Promise((resolve) => this.#socket.once('data', resolve))
      await withDeadline(Promise.race([more, this.#ended, this.#closed]), `more than ${JSON.stringify(this.unread)}`)
    }
  }

  #take(length: number): Buffer {
    const taken = this.#received.subarray(0, length)
    this.#received = this.#received.subarray(length)
    return taken
  }
}

function bodyLength(method: string, status: number, headers: ReadonlyMap<string, string>): number {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 0
  const length = headers.get('content-length')
  if (length === undefined) throw new Error(`the answer ${status} has no Content-Length`)
  return Number(length)
}
