/**
 * `/api/v1/repositories`: what repositories there are, and who may see one. Not the registry protocol: an API of Lanyard's own.
 */
import { z } from 'zod'
import { authorize } from '../../auth/authorize.ts'
import { listableBy } from '../../auth/policy.ts'
import type { Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { nextLink, parsePageSize } from '../../oci/paging.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { repositoriesFor } from '../../registry/list.ts'
import { findRepository } from '../../registry/registry.ts'
import { changeVisibility } from '../../registry/visibility.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import { noteCaller, type Context } from '../http/exchange.ts'
import { queryOf } from '../http/query.ts'
import { replyJson } from '../http/reply.ts'
import { readBody } from '../http/request-body.ts'
import type { Services } from '../services.ts'

const pageSize = 1000
const bodyBytes = 64 * 1024
const patchSchema = z.strictObject({ visibility: z.enum(['private', 'internal', 'public']) })

export async function listRepositories(ctx: Context, services: Services): Promise<void> {
  const caller = await callerOf(ctx, services)
  authorize(services.policy, caller, { kind: 'catalog' })
  const query = queryOf(ctx)
  const limit = parsePageSize(query.get('n') ?? undefined, pageSize)
  const page = { after: query.get('last') ?? undefined, limit }
  const { items, hasMore } = await repositoriesFor(services.registry, listableBy(services.policy, caller.identity), page)
  const last = items.at(-1)?.name
  if (hasMore && last !== undefined) ctx.set('Link', nextLink('/api/v1/repositories', { n: String(limit), last }))
  replyJson(ctx, { repositories: items.map(describe) })
}

export async function getRepository(ctx: Context, services: Services, nameText: string): Promise<void> {
  const caller = await callerOf(ctx, services)
  const name = parseRepositoryName(nameText)
  const repository = await findRepository(services.registry, name)
  authorize(services.policy, caller, { kind: 'repository', action: 'pull', name, visibility: repository?.visibility })
  if (!repository) throw new RegistryError('nameUnknown')
  replyJson(ctx, describe(repository))
}

/** Body: `{"visibility": "private" | "internal" | "public"}`. */
export async function patchRepository(ctx: Context, services: Services, nameText: string): Promise<void> {
  const caller = await callerOf(ctx, services)
  const name = parseRepositoryName(nameText)
  ctx.state.deed = { action: 'visibility', target: name }
  authorize(services.policy, caller, { kind: 'settings', name })
  const change = parsePatch(await readBody(ctx, bodyBytes, 'requestTooLarge'))
  ctx.state.deed = { ...ctx.state.deed, detail: { visibility: change.visibility } }
  await changeVisibility(services.registry.database, name, change.visibility)
  await getRepository(ctx, services, name)
}

/** An API of people and scripts, who sign in by Basic. A docker token opens what its scope covers, and never the settings. */
async function callerOf(ctx: Context, services: Services): Promise<Caller> {
  const caller = await services.authenticator.authenticate(ctx.req.headers.authorization)
  noteCaller(ctx, caller)
  return caller
}

function parsePatch(body: Buffer): z.infer<typeof patchSchema> {
  const result = patchSchema.safeParse(parseJson(body))
  if (!result.success) throw new RegistryError('requestInvalid', { message: `the body is not valid: ${z.prettifyError(result.error)}` })
  return result.data
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new RegistryError('requestInvalid', { message: 'the body is not JSON', cause: error })
  }
}

function describe(repository: RepositoryRow): Record<string, unknown> {
  const { name, visibility, description, created_at_ms: createdAtMs } = repository
  return { name, visibility, description, createdAt: new Date(createdAtMs).toISOString() }
}
