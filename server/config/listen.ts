/**
 * The grammar of a listen address: `host:port`, `[v6]:port` or `:port`.
 *
 * Owns the text's two parts; whether the address belongs to this machine is known only when it is bound.
 */
import { isIP } from 'node:net'

/** Where the server accepts connections. */
export interface ListenAddress {
  /** A host name or address without brackets; `::` when every address of the machine is meant. */
  readonly host: string
  /** 0 to 65535; 0 asks the system for any free port. */
  readonly port: number
}

const hostName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i
const shape = /^(?:\[(?<v6>[^\][]*)\]|(?<name>[^:\][]*)):(?<port>\d{1,5})$/

/**
 * Splits `127.0.0.1:5000`, `[::1]:5000`, `registry.lan:5000` or `:5000`.
 * @throws {RangeError} the text is none of these, or the port is above 65535
 */
export function parseListen(text: string): ListenAddress {
  const { v6, name, port } = shape.exec(text)?.groups ?? {}
  if (port === undefined || Number(port) > 65_535) throw new RangeError(`"${text}" is not host:port, [v6]:port or :port`)
  if (v6 === undefined) return { host: parseHost(name ?? ''), port: Number(port) }
  if (isIP(v6) !== 6) throw new RangeError(`"${v6}" is not an IPv6 address`)
  return { host: v6, port: Number(port) }
}

function parseHost(name: string): string {
  if (name === '') return '::'
  // Dots and digits alone are an IPv4 address or a mistake in one, such as 127.0.0.256.
  const isAddress = /^[\d.]+$/.test(name)
  if (isAddress ? isIP(name) !== 4 : !hostName.test(name)) throw new RangeError(`"${name}" is not a host name or an address`)
  return name
}
