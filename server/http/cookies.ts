/**
 * Cookies in and out: one header line each way, values that need no escaping.
 */

/** The value of a cookie; undefined when it was not sent, or sent twice with different values: somebody else planted one of them. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const values = (header ?? '').split(';').flatMap((part) => {
    const equals = part.indexOf('=')
    return equals !== -1 && part.slice(0, equals).trim() === name ? [part.slice(equals + 1).trim()] : []
  })
  return new Set(values).size === 1 ? values[0] : undefined
}

/**
 * A cookie for the whole of this host and no other, out of the reach of scripts and of what other sites embed.
 * @param cookie.maxAgeSeconds 0 takes it away
 */
export function formatCookie(cookie: { name: string; value: string; maxAgeSeconds: number; isSecure: boolean }): string {
  const { name, value, maxAgeSeconds, isSecure } = cookie
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${isSecure ? '; Secure' : ''}`
}
