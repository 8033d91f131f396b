/**
 * The HTTP server of one process: limits that real clients need, TLS with reload, an orderly end.
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { systemCode } from '../storage/faults.ts'
import type { ListenAddress } from './config/listen.ts'
import type { Settings } from './config/settings.ts'
import type { Logger } from './log.ts'
import { SlowSenders } from './slow-senders.ts'

/** Answers a request; never rejects. */
export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>

/** The address or the certificate of the settings cannot be used; the message says which and what to do. */
export class ListenerError extends Error {}

const serverOptions = {
  // Progress is limited by idleSeconds; a limit on the whole request would cut large uploads on slow lines.
  requestTimeout: 0,
  headersTimeout: 60_000,
  // Longer than any client (120 s) or proxy keeps an idle connection: whoever closes first must not be the server.
  keepAliveTimeout: 130_000,
  // podman asks for up to 1024 ranges in one header.
  maxHeaderSize: 65_536,
  noDelay: true,
  // A missing Host header is answered like a wrong one; Node's own answer has no body and no length.
  requireHostHeader: false,
}

/** How often the certificate files are read again: looking at their times would miss a change during the start. */
const certificatePollMs = 2_000

/** A body is judged by its average over this long, and looked at this often. */
const slowWindowMs = 60_000
const slowSweepMs = 5_000

export class Listener {
  readonly server: Server | TlsServer
  readonly #settings: Settings
  readonly #log: Logger
  /** Answers under way, by connection: pipelined requests have several. */
  readonly #answers = new WeakMap<Duplex, Set<ServerResponse>>()
  #draining: NodeJS.Timeout | undefined
  #polling: NodeJS.Timeout | undefined
  readonly #slowSenders: SlowSenders
  readonly #sweeping: NodeJS.Timeout
  /** The content of the certificate files when they were last used or refused. */
  #certificateSeen = ''
  /** What was wrong with them at the last look, so that it is logged once and not every time. */
  #certificateFault = ''

  /** @throws {ListenerError} the certificate or the key cannot be read, or they do not fit */
  constructor(settings: Settings, log: Logger, handler: RequestHandler) {
    this.#settings = settings
    this.#log = log
    this.#slowSenders = new SlowSenders({ minBytesPerSecond: settings.http.minBytesPerSecond, windowMs: slowWindowMs })
    this.#sweeping = setInterval(() => this.#endSlowSenders(), slowSweepMs).unref()
    const handle = (req: IncomingMessage, res: ServerResponse): void => {
      this.#note(req.socket, res)
      this.#slowSenders.watch(req, performance.now())
      void handler(req, res)
    }
    this.server = settings.tls.certificate === undefined ? createServer(serverOptions, handle) : this.#createTlsServer(handle)
    this.server.setTimeout(settings.http.idleSeconds * 1000)
    // Asked before the body is sent: refused or told to go on by the handler, once it knows whether the caller may.
    this.server.on('checkContinue', handle)
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      const isAnswering = [...(this.#answers.get(socket) ?? [])].some((res) => res.headersSent)
      // In the middle of an answer a refusal would become a part of it: better a broken connection than wrong bytes.
      if (isAnswering) socket.destroy()
      else refuseMalformed(error, socket)
    })
  }

  /** Resolves when connections are accepted. @throws {ListenerError} the address cannot be had */
  listen(address: ListenAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(new ListenerError(explainAddress(error, address), { cause: error }))
      this.server.once('error', fail)
      this.server.listen({ ...address, backlog: 2048 }, () => {
        this.server.off('error', fail)
        resolve()
      })
    })
  }

  /**
   * Stops accepting, lets running requests finish for `graceMs`, then cuts them; their upload sessions can be continued.
   */
  async close(graceMs: number): Promise<void> {
    this.server.on('request', (_req: IncomingMessage, res: ServerResponse) => res.setHeader('Connection', 'close'))
    const closed = new Promise((resolve) => this.server.close(resolve))
    // Connections that go idle after close() would hold it open: they are ended as they become so.
    this.#draining = setInterval(() => this.server.closeIdleConnections(), 50)
    this.server.closeIdleConnections()
    const cut = setTimeout(() => this.server.closeAllConnections(), graceMs)
    await closed
    clearTimeout(cut)
    clearInterval(this.#draining)
    clearInterval(this.#polling)
    clearInterval(this.#sweeping)
  }

  #endSlowSenders(): void {
    const ended = this.#slowSenders.sweep(performance.now())
    if (ended > 0) this.#log.info({ ended }, 'requests whose bodies hardly moved were ended')
  }

  #note(socket: Duplex, res: ServerResponse): void {
    const answers = this.#answers.get(socket) ?? new Set()
    this.#answers.set(socket, answers.add(res))
    res.once('close', () => answers.delete(res))
  }

  #createTlsServer(handler: (req: IncomingMessage, res: ServerResponse) => void): TlsServer {
    const server = createTlsServer({ ...serverOptions, ALPNProtocols: ['http/1.1'] }, handler)
    this.#useCertificate(server)
    this.#polling = setInterval(() => this.#reloadCertificate(server), certificatePollMs).unref()
    return server
  }

  #reloadCertificate(server: TlsServer): void {
    try {
      if (this.#useCertificate(server)) this.#log.info('the TLS certificate was loaded again')
      this.#certificateFault = ''
    } catch (error) {
      const fault = String(error)
      if (fault === this.#certificateFault) return
      this.#certificateFault = fault
      this.#log.error({ err: error }, 'the new TLS certificate cannot be used, the old one stays')
    }
  }

  /** @returns false when the files are what they were. @throws {ListenerError} once for each content that cannot be used */
  #useCertificate(server: TlsServer): boolean {
    const { certificate = '', key = '' } = this.#settings.tls
    const pair = { cert: readPem('tls.certificate', certificate), key: readPem('tls.key', key) }
    const content = `${pair.cert}\0${pair.key}`
    if (content === this.#certificateSeen) return false
    this.#certificateSeen = content
    try {
      server.setSecureContext(pair)
      return true
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error)
      throw new ListenerError(`tls.certificate ${certificate} and tls.key ${key} cannot be used together: ${fault}`, { cause: error })
    }
  }
}

function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ListenerError(`${setting} ${path} cannot be read (${systemCode(error) ?? 'unreadable'})`, { cause: error })
  }
}

function explainAddress(error: Error, { host, port }: ListenAddress): string {
  const code = systemCode(error) ?? error.message
  const advice: Record<string, string> = {
    EADDRINUSE: 'another program uses it: stop that one, or choose another port',
    EADDRNOTAVAIL: 'it is not an address of this machine',
    EACCES: 'this user may not use it; ports below 1024 often need a privilege',
    ENOTFOUND: 'the host name is not known',
  }
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return `cannot listen on ${address} (the listen setting): ${advice[code] ?? code}`
}

/** A request that is no HTTP: one short answer, and the connection ends. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
  const body = JSON.stringify({
    errors: [{ code: 'UNSUPPORTED', message: `the request is not valid HTTP/1.1 (${error.code ?? 'malformed'})` }],
  })
  const headers = [
    'Connection: close',
    'Docker-Distribution-Api-Version: registry/2.0',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.end(`HTTP/1.1 ${status}\r\n${headers.join('\r\n')}\r\n\r\n${body}`)
}
