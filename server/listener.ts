/**
 * The HTTP server of one process: limits that real clients need, TLS with reload, an orderly end.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { Settings } from './config/settings.ts'
import type { Logger } from './log.ts'

/** Answers a request; never rejects. */
export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>

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

/** How often certificate files are looked at; polling also sees files that are swapped by a symbolic link. */
const certificatePollMs = 2_000

export class Listener {
  readonly server: Server | TlsServer
  readonly #settings: Settings
  readonly #log: Logger
  /** Answers under way, by connection: pipelined requests have several. */
  readonly #answers = new WeakMap<Duplex, Set<ServerResponse>>()
  #draining: NodeJS.Timeout | undefined

  /** @throws when the certificate or the key cannot be read or do not fit. */
  constructor(settings: Settings, log: Logger, handler: RequestHandler) {
    this.#settings = settings
    this.#log = log
    const handle = (req: IncomingMessage, res: ServerResponse): void => {
      this.#note(req.socket, res)
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

  /** Resolves when connections are accepted. */
  listen(address: { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ ...address, backlog: 2048 }, () => {
        this.server.off('error', reject)
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
    for (const file of this.#certificateFiles()) unwatchFile(file)
  }

  #note(socket: Duplex, res: ServerResponse): void {
    const answers = this.#answers.get(socket) ?? new Set()
    this.#answers.set(socket, answers.add(res))
    res.once('close', () => answers.delete(res))
  }

  #createTlsServer(handler: (req: IncomingMessage, res: ServerResponse) => void): TlsServer {
    const server = createTlsServer({ ...serverOptions, ...this.#readCertificate(), ALPNProtocols: ['http/1.1'] }, handler)
    const reload = (): void => {
      try {
        server.setSecureContext(this.#readCertificate())
        this.#log.info('the TLS certificate was loaded again')
      } catch (error) {
        this.#log.error({ err: error }, 'the new TLS certificate cannot be used, the old one stays')
      }
    }
    for (const file of this.#certificateFiles()) watchFile(file, { interval: certificatePollMs, persistent: false }, reload)
    return server
  }

  #certificateFiles(): string[] {
    const { certificate, key } = this.#settings.tls
    return [certificate, key].filter((file) => file !== undefined)
  }

  #readCertificate(): { cert: Buffer; key: Buffer } {
    const [certificate, key] = this.#certificateFiles()
    return { cert: readFileSync(certificate ?? ''), key: readFileSync(key ?? '') }
  }
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
