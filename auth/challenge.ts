/**
 * The two headers of HTTP authentication: `WWW-Authenticate` out, `Authorization` in. Checks no credentials.
 *
 * Invariants: exactly one challenge, with every value quoted; nothing that could end a quoted value or a header
 * line gets into it. Credentials never stand in an error.
 */
import { isUtf8 } from 'node:buffer'

export interface Challenge {
  /** Absolute URL of the token endpoint, on the scheme, host and port that the client called. */
  readonly realm: string
  readonly service: string
  /** Scopes with spaces between; absent on `/v2/`. */
  readonly scope?: string | undefined
  /** Present when a token came and was of no use. */
  readonly error?: 'invalid_token' | 'insufficient_scope' | undefined
  /** For people: docker prints it in place of words of its own. Double quotes become single ones. */
  readonly description?: string | undefined
}

/**
 * The value of `WWW-Authenticate`. Never Basic beside it: docker would run both handlers and lose its token.
 * Source: RFC 6750 section 3; the token authentication of the Distribution project.
 */
export function bearerChallenge({ realm, service, scope, error, description }: Challenge): string {
  const parameters = {
    realm,
    service,
    scope: scope === '' ? undefined : scope,
    error,
    error_description: description?.replaceAll('"', "'"),
  }
  const quoted = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return `Bearer ${quoted.map(([key, value]) => `${key}="${quotable(value)}"`).join(',')}`
}

/** The challenge outside the registry protocol, where people and scripts sign in with a password. Source: RFC 7617. */
export function basicChallenge(realm: string): string {
  return `Basic realm="${quotable(realm)}", charset="UTF-8"`
}

/** For pages that have a form of their own: on Basic a browser would open its window for name and password over it. */
export function sessionChallenge(realm: string): string {
  return `Session realm="${quotable(realm)}"`
}

/** Unsafe characters are left out, not escaped: several clients do not read escapes in a challenge. */
function quotable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]|["\\]/g, '')
}

export type Authorization =
  /** No header, or Basic with neither user nor password, which podman and the conformance suite send. */
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'malformed' }

const maxHeaderLength = 64 * 1024

/** Source: RFC 9110 section 11.4, RFC 7617 (UTF-8, the first colon separates), RFC 6750. */
export function parseAuthorization(header: string | undefined): Authorization {
  const text = header?.trim() ?? ''
  if (text === '') return { kind: 'none' }
  const space = text.indexOf(' ')
  if (space === -1 || text.length > maxHeaderLength) return { kind: 'malformed' }
  const credentials = text.slice(space + 1).trimStart()
  switch (text.slice(0, space).toLowerCase()) {
    case 'basic':
      return parseBasic(credentials)
    case 'bearer':
      return { kind: 'bearer', token: credentials }
    default:
      return { kind: 'malformed' }
  }
}

function parseBasic(credentials: string): Authorization {
  const text = decodeText(credentials)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon === -1 || text.includes('\0')) return { kind: 'malformed' }
  if (text === ':') return { kind: 'none' }
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** Base64 of UTF-8, both in the one form that an encoder produces; undefined for anything else. */
function decodeText(base64: string): string | undefined {
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 && isUtf8(bytes) ? bytes.toString('utf8') : undefined
}
