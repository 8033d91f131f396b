/**
 * What an operation of `/api/v1` is: everything that the router, the validation, the OpenAPI document, the documentation, the command
 * line and the tests must know of it, in one value.
 *
 * To add one: write it in a file of this folder that is named for the thing, and name it in operations.ts. Nothing else lists
 * operations; test/access/expectations.ts asks for a row that says who may call it.
 */
import type { z } from 'zod'
import type { Caller } from '../../auth/identity.ts'
import type { LoginSource } from '../../auth/login-attempts.ts'
import type { ErrorReason } from '../../oci/errors.ts'
import type { AuditAction, AuditDetail } from '../../registry/audit.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import type { Services } from '../services.ts'
import type { Right } from './right.ts'

/** Below which every operation's path stands. */
export const apiRoot = '/api/v1'

/** What a body or an answer must be. */
export type Schema = z.ZodType
/** Members by name, each with what it must be. */
export type Shape = Readonly<Record<string, Schema>>
// oxlint-disable-next-line typescript/no-generated-empty-object-type -- an operation without parameters has just these
export type NoMembers = Record<never, Schema>
type Values<S extends Shape> = { readonly [K in keyof S]: z.output<S[K]> }

export type ApiMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** One request, already parsed, by a caller who may make it. */
export interface Call<P extends Shape, Q extends Shape, B extends z.ZodType> {
  readonly services: Services
  readonly caller: Caller
  readonly path: Values<P>
  readonly query: Values<Q>
  readonly body: z.output<B>
  /** Where it comes from, for what checks a password or a code. */
  readonly source: LoginSource
  /** The repository that `{name}` in the path names; an operation on one that is not there is not called. */
  readonly repository: 'name' extends keyof P ? RepositoryRow : undefined
  /**
   * To be called with the version of what is about to be changed, undefined when there is none.
   * @throws {RegistryError} versionChanged: the request expects another
   */
  readonly requireVersion: (version: string | undefined) => void
}

export interface Reply<T> {
  readonly body: T
  /** The version of what is answered, without quotes. */
  readonly version?: string
  /** Where what was made is found: a path. */
  readonly location?: string
}

/** What the audit log says of an operation: what was done, to what, and what else is worth knowing. Nothing secret. */
export interface Deed {
  readonly action: AuditAction
  readonly target: string
  readonly detail?: AuditDetail | undefined
}

export interface Operation<
  P extends Shape = Shape,
  Q extends Shape = Shape,
  B extends z.ZodType = z.ZodType,
  A extends z.ZodType = z.ZodType,
> {
  /** Unique, in camel case: the operationId, by which generated clients call it. */
  readonly id: string
  readonly method: ApiMethod
  /**
   * Below /api/v1, with parameters in braces. `{name}` is always a repository: its slashes come percent-encoded, or as they are where
   * nothing follows.
   */
  readonly path: string
  /** The thing it belongs to, as the documentation groups them. */
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly right: Right
  readonly parameters?: P
  readonly query?: Q
  readonly body?: B
  /** The answer when it succeeds; a page of a list when its schema is one of pageOf's. */
  readonly answer: { readonly status: 200 | 201 | 204; readonly description: string; readonly schema?: A }
  /** Whether it takes If-Match: what it changes has a version. */
  readonly isConditional?: true
  /** Faults of its own, beside those that every operation of its shape can have. */
  readonly errors?: readonly ErrorReason[]
  /** For the line that shows how to call it: values of the path's parameters, of those of the query that it needs, and a body. */
  readonly example?: {
    readonly path?: Readonly<Record<string, string>>
    readonly query?: Readonly<Record<string, string>>
    readonly body?: unknown
  }
  /** For the audit log, of an operation that changes something. Query and body are undefined when it was refused before they were read. */
  deed?(sent: {
    readonly caller: Caller
    readonly path: Values<P>
    readonly query?: Values<Q> | undefined
    readonly body: z.output<B> | undefined
  }): Deed
  handle(call: Call<P, Q, B>): Promise<Reply<z.input<A>>>
}

/** What a client of an operation sends: texts in path and query, a body before it is parsed. */
export interface Sent<P extends Shape, Q extends Shape, B extends Schema> {
  readonly path?: { readonly [K in keyof P]: string }
  readonly query?: { readonly [K in keyof Q]?: string | undefined }
  readonly body?: z.input<B>
}

/** What a client gets. */
export type Got<A extends Schema> = z.output<A>

/** Lets the types of a handler follow from the schemas beside it. */
export function operation<
  P extends Shape = NoMembers,
  Q extends Shape = NoMembers,
  B extends z.ZodType = z.ZodUndefined,
  A extends z.ZodType = z.ZodUndefined,
>(parts: Operation<P, Q, B, A>): Operation<P, Q, B, A> {
  return parts
}
