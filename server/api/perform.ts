/**
 * One call of an operation, whoever brings it: parse the path, ask whether it is allowed, parse the rest, call the handler.
 *
 * Knows nothing of HTTP: the router and the command line on a data folder both come this way. Invariant: nothing of the body is read
 * and nothing said about the query before the caller is known to be allowed.
 */
import type { Caller } from '../../auth/identity.ts'
import type { LoginSource } from '../../auth/login-attempts.ts'
import { isRepositoryName } from '../../oci/repository-name.ts'
import { unknownRepository } from '../../registry/change-repository.ts'
import { findRepository } from '../../registry/registry.ts'
import type { Services } from '../services.ts'
import type { Call, Deed, Operation, Reply, Shape } from './operation.ts'
import type { z } from 'zod'
import type { Asked } from './right.ts'
import { validate, validateMembers } from './validation.ts'

export interface Request {
  readonly caller: Caller
  readonly source: LoginSource
  readonly path: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string | readonly string[]>>
  readonly readBody: () => Promise<unknown>
  /** Fails when the caller may not. */
  readonly admit: (asked: Asked) => Promise<void>
  readonly requireVersion: (version: string | undefined) => void
  /** Told what the audit log is to say of the call, before anything can refuse it, and again when the body is known. */
  readonly noteDeed: (deed: Deed) => void
}

/** @throws {RegistryError} whatever the operation's errors name, and those of every operation */
export async function perform(services: Services, operation: Operation, request: Request): Promise<Reply<unknown>> {
  const path = validateMembers(operation.parameters, request.path, 'path')
  const { name } = path
  const noteDeed = (sent: { query?: Record<string, never>; body: unknown }): void => {
    const deed = operation.deed?.({ caller: request.caller, path, ...sent })
    if (deed) request.noteDeed(deed)
  }
  noteDeed({ body: undefined })
  const isOfRepository = typeof name === 'string' && isRepositoryName(name)
  const repository = isOfRepository ? await findRepository(services.registry, name) : undefined
  await request.admit({ path, repository })
  if (isOfRepository && !repository) throw unknownRepository(name)
  const query = validateMembers(operation.query, request.query, 'query')
  const body = operation.body && validate(operation.body, await request.readBody(), 'body')
  noteDeed({ query: query as Record<string, never>, body })
  const { caller, source, requireVersion } = request
  // That `repository` is there for a path with {name} was seen to above; the types of a handler say the same.
  const call = { services, caller, source, path, query, body, repository, requireVersion } as Call<Shape, Shape, z.ZodType>
  return operation.handle(call)
}
