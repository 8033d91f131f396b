/**
 * Operations on the browser sessions of an account: where it is signed in, and ending that. Signing in and out is no operation of the
 * table: it is about the cookie (server/routes/session.ts).
 */
import { z } from 'zod'
import { accountNameOf, type Caller } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { accountNamed } from '../../registry/accounts.ts'
import type { Session } from '../../registry/sessions.ts'
import { accountName, isoTime, time } from './fields.ts'
import { operation } from './operation.ts'
import { ownOf } from './own.ts'
import { pageBody, pageOf, pageQuery, wholeNumber } from './page.ts'
import { ofAccount } from './right.ts'

const tag = 'sessions'

const sessionSchema = z
  .strictObject({
    id: z.int(),
    current: z.boolean().meta({ description: 'Whether this request comes from it.' }),
    agent: z.string().meta({ description: 'What the browser called itself.' }),
    address: z.string(),
    createdAt: time,
    lastSeenAt: time.meta({ description: 'To the minute.' }),
    expiresAt: time.meta({ description: 'When it ends if nothing is seen of it any more.' }),
  })
  .meta({ id: 'BrowserSession' })

const session = wholeNumber({ min: 0, max: Number.MAX_SAFE_INTEGER }).meta({ description: 'The id of a session.', examples: [7] })

export const listSessions = operation({
  id: 'listSessions',
  method: 'GET',
  path: '/accounts/{account}/sessions',
  tag,
  summary: 'List the browsers in which an account is signed in',
  description: 'The newest first.',
  right: ofAccount,
  parameters: { account: accountName },
  query: pageQuery(['number']),
  answer: { status: 200, description: 'A page of sessions.', schema: pageOf('BrowserSessionPage', sessionSchema) },
  errors: ['accountUnknown'],
  example: { path: { account: 'alice' } },
  handle: async ({ services, caller, path, query: { cursor: [before = Infinity] = [], limit } }) => {
    const account = await accountNamed(services.registry.database, path.account)
    // An account has a hundred at the most.
    const rest = (await services.sessions.list(account)).filter(({ id }) => id < before)
    const page = { items: rest.slice(0, limit), hasMore: rest.length > limit }
    return { body: pageBody(page, { itemOf: (each) => describe(each, caller), keyOf: ({ id }) => [id] }) }
  },
})

export const endSessions = operation({
  id: 'endSessions',
  method: 'DELETE',
  path: '/accounts/{account}/sessions',
  tag,
  summary: 'Sign an account out of all browsers',
  description: 'But for the one that the request comes from.',
  right: ofAccount,
  parameters: { account: accountName },
  answer: {
    status: 200,
    description: 'How many have ended.',
    schema: z.strictObject({ ended: z.int().min(0) }).meta({ id: 'EndedSessions' }),
  },
  errors: ['accountUnknown'],
  example: { path: { account: 'alice' } },
  deed: ({ path }) => ({ action: 'session-end', target: path.account, detail: { sessions: 'all' } }),
  handle: async ({ services, caller, path }) => {
    const account = await accountNamed(services.registry.database, path.account)
    const exceptId = accountNameOf(caller.identity) === account.name ? caller.sessionId : undefined
    return { body: { ended: await services.sessions.endAll(account, exceptId === undefined ? {} : { exceptId }) } }
  },
})

export const endSession = operation({
  id: 'endSession',
  method: 'DELETE',
  path: '/accounts/{account}/sessions/{session}',
  tag,
  summary: 'Sign an account out of one browser',
  right: ofAccount,
  parameters: { account: accountName, session },
  answer: { status: 204, description: 'It has ended.' },
  errors: ['accountUnknown', 'browserSessionUnknown'],
  example: { path: { account: 'alice', session: '7' } },
  deed: ({ path }) => ({ action: 'session-end', target: path.account, detail: { session: path.session } }),
  handle: async ({ services, path }) => {
    const account = await accountNamed(services.registry.database, path.account)
    if (!(await services.sessions.end(account, path.session))) throw new RegistryError('browserSessionUnknown')
    return { body: undefined }
  },
})

export const listOwnSessions = ownOf(listSessions, { id: 'listOwnSessions', summary: 'List the browsers in which you are signed in' })
export const endOwnSessions = ownOf(endSessions, { id: 'endOwnSessions', summary: 'Sign yourself out of all other browsers' })
export const endOwnSession = ownOf(endSession, { id: 'endOwnSession', summary: 'Sign yourself out of one browser' })

function describe({ id, agent, address, createdAtMs, lastSeenAtMs, expiresAtMs }: Session, { sessionId }: Caller) {
  const times = { createdAt: isoTime(createdAtMs), lastSeenAt: isoTime(lastSeenAtMs), expiresAt: isoTime(expiresAtMs) }
  return { id, current: id === sessionId, agent, address, ...times }
}
