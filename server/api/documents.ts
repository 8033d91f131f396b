/**
 * What the API says of itself, the same for everyone: the OpenAPI document and the page for people. Made once, when they are first asked for.
 */
import { createHash } from 'node:crypto'
import type { Headers } from '../http/reply.ts'
import { docsStyle, renderDocsPage } from './docs-page.ts'
import { apiRoot, type Operation } from './operation.ts'
import { renderOpenApi } from './openapi.ts'

export interface ApiDocument {
  readonly bytes: Buffer
  readonly headers: Headers & { readonly 'Content-Type': string }
}

/** Where they stand; anyone may read them, by GET and HEAD. */
export const documentPaths: readonly string[] = [`${apiRoot}/openapi.json`, `${apiRoot}/docs`]

export class ApiDocuments {
  readonly #operations: readonly Operation[]
  readonly #made = new Map<string, ApiDocument>()

  constructor(operations: readonly Operation[]) {
    this.#operations = operations
  }

  /** The document at a path; undefined when there is none. */
  find(path: string): ApiDocument | undefined {
    if (!documentPaths.includes(path)) return undefined
    const known = this.#made.get(path)
    if (known) return known
    const made = path.endsWith('/docs') ? this.#page() : this.#openApi()
    this.#made.set(path, made)
    return made
  }

  #openApi(): ApiDocument {
    const bytes = Buffer.from(JSON.stringify(renderOpenApi(this.#operations)))
    return { bytes, headers: { ...shared, 'Content-Type': 'application/json' } }
  }

  #page(): ApiDocument {
    const style = createHash('sha256').update(docsStyle).digest('base64')
    const policy = `default-src 'none'; style-src 'sha256-${style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
    const bytes = Buffer.from(renderDocsPage(renderOpenApi(this.#operations), this.#operations))
    return { bytes, headers: { ...shared, 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy } }
  }
}

const shared = { 'Cache-Control': 'no-cache', 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer' } as const
