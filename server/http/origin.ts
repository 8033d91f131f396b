/**
 * Who called, and under which name: from the connection and the Host header, from forwarding headers only when a
 * trusted proxy sent them. A configured external URL overrides all.
 */
import { BlockList, isIP } from 'node:net'
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'

const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

export interface OriginRules {
  /** Such as `https://registry.example.com`; undefined: derive it from each request. */
  readonly externalUrl: string | undefined
  /** Addresses or CIDR blocks whose forwarding headers count. */
  readonly trustedProxies: readonly string[]
}

export class OriginReader {
  readonly #externalUrl: string | undefined
  readonly #proxies = new BlockList()
  readonly #hasProxies: boolean
  /** The last Host header that was found right: nearly every request brings the same. */
  #knownHost: string | undefined

  constructor(rules: OriginRules) {
    this.#externalUrl = rules.externalUrl?.replace(/\/+$/, '')
    this.#hasProxies = rules.trustedProxies.length > 0
    for (const proxy of rules.trustedProxies) addTo(this.#proxies, proxy)
  }

  /** Scheme, host and port, such as `http://localhost:5000`; undefined when the Host header is none, or there are two. */
  originOf(req: IncomingMessage): string | undefined {
    const called = calledHost(req)
    if (called === undefined) return undefined
    if (this.#externalUrl !== undefined) return this.#externalUrl
    const isProxied = this.#isTrusted(req.socket.remoteAddress)
    const scheme = (isProxied && forwarded(req, 'x-forwarded-proto')) || (req.socket instanceof TLSSocket ? 'https' : 'http')
    const host = (isProxied && forwarded(req, 'x-forwarded-host')) || called
    if (scheme !== 'http' && scheme !== 'https') return undefined
    if (host !== this.#knownHost && !hostPattern.test(host)) return undefined
    this.#knownHost = host
    return `${scheme}://${host}`
  }

  /** The client's address: the last one in X-Forwarded-For that is not a trusted proxy's. */
  clientAddress(req: IncomingMessage): string {
    const direct = req.socket.remoteAddress ?? ''
    if (!this.#isTrusted(direct)) return direct
    const chain = String(req.headers['x-forwarded-for'] ?? '').split(',')
    const known = chain.map((each) => each.trim()).filter((each) => isIP(each) !== 0)
    return known.findLast((each) => !this.#isTrusted(each)) ?? known[0] ?? direct
  }

  #isTrusted(address: string | undefined): boolean {
    if (!this.#hasProxies || address === undefined) return false
    const plain = address.replace(/^::ffff:/, '')
    return isIP(plain) !== 0 && this.#proxies.check(plain, isIP(plain) === 4 ? 'ipv4' : 'ipv6')
  }
}

/**
 * The Host header; HTTP/1.0 may do without, as the health checks of load balancers do, and means the address it came to.
 * Spec: RFC 9112, 3.2: exactly one.
 */
function calledHost(req: IncomingMessage): string | undefined {
  const { host } = req.headers
  if (host === undefined && req.httpVersion === '1.0') {
    const { localAddress = '', localPort } = req.socket
    return `${isIP(localAddress) === 6 ? `[${localAddress}]` : localAddress}:${localPort}`
  }
  return hasTwoHosts(req.rawHeaders) ? undefined : host
}

/** Node keeps the first and drops the others. */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count > 1
}

function forwarded(req: IncomingMessage, name: 'x-forwarded-proto' | 'x-forwarded-host'): string {
  return (
    String(req.headers[name] ?? '')
      .split(',')[0]
      ?.trim() ?? ''
  )
}

function addTo(list: BlockList, proxy: string): void {
  const [address = '', prefix] = proxy.split('/')
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
  if (prefix === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(prefix), family)
}
