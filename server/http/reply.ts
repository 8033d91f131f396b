/**
 * Answers with exact headers: media types without parameters, always a Content-Length, never a body that Koa made up.
 */
import type { Context } from './exchange.ts'

export type Headers = Readonly<Record<string, string | readonly string[]>>

/** An answer without a body, with `Content-Length: 0` unless the status forbids one. */
export function replyEmpty(ctx: Context, status: number, headers: Headers = {}): void {
  setHeaders(ctx, headers)
  ctx.body = ''
  ctx.status = status
  ctx.remove('Content-Type')
}

/** An answer with the bytes given; on HEAD only their length. The body is set before the status: Koa would turn it into 200. */
export function replyBytes(ctx: Context, body: Uint8Array, headers: Headers & { readonly 'Content-Type': string }): void {
  setHeaders(ctx, headers)
  ctx.body = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  ctx.status = 200
}

export function replyJson(ctx: Context, value: unknown, headers: Headers = {}): void {
  replyBytes(ctx, Buffer.from(JSON.stringify(value)), { 'Content-Type': 'application/json', ...headers })
}

export function setHeaders(ctx: Context, headers: Headers): void {
  for (const [name, value] of Object.entries(headers)) ctx.set(name, typeof value === 'string' ? value : [...value])
}

/** Whether the client says that it has this version. Spec: RFC 9110, 13.1.2; a tag without quotes is taken too. */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (!header) return false
  return header.split(',').some((each) => {
    const candidate = each.trim().replace(/^W\//, '')
    return candidate === '*' || candidate === `"${etag}"` || candidate === etag
  })
}

export function replyText(ctx: Context, text: string, type = 'text/plain; charset=utf-8'): void {
  replyBytes(ctx, Buffer.from(text), { 'Content-Type': type, 'X-Content-Type-Options': 'nosniff' })
}
