/**
 * Who the caller is for this registry, and what it may do.
 */
import { z } from 'zod'
import type { Account, Caller } from '../../auth/identity.ts'
import { operation } from './operation.ts'
import { signedIn } from './right.ts'

const meSchema = z
  .strictObject({
    name: z.string().nullable().meta({ description: 'Of the account; null for nobody in particular.' }),
    kind: z.enum(['person', 'robot']).nullable(),
    role: z.enum(['admin', 'user']).nullable(),
    via: z.string().meta({ description: 'How the request showed it.', examples: ['basic'] }),
    may: z.strictObject({
      administer: z.boolean().meta({ description: 'Accounts and everything else.' }),
      readMetrics: z.boolean(),
    }),
    scopes: z
      .array(z.strictObject({ type: z.string(), name: z.string(), actions: z.array(z.string()) }))
      .nullable()
      .meta({
        description: 'What the token of the request covers, a name ending in * being the beginning of names; null when no token limits it.',
      }),
  })
  .meta({ id: 'Me' })

export const getMe = operation({
  id: 'getMe',
  method: 'GET',
  path: '/me',
  tag: 'me',
  summary: 'Say who is asking and what they may do',
  right: signedIn,
  answer: { status: 200, description: 'The caller.', schema: meSchema },
  handle: async ({ services, caller }) => {
    const { identity, via, access } = caller
    const account = identity.kind === 'account' ? identity.account : undefined
    // A token of the registry protocol opens neither, whatever its account may do; an access token does if it covers them.
    const may = async (kind: 'administration' | 'metrics'): Promise<boolean> =>
      access === undefined && services.rights.isAllowed(identity, { kind })
    return {
      body: {
        name: account?.name ?? null,
        kind: account?.kind ?? null,
        role: account ? roleOf(account) : null,
        via,
        may: { administer: await may('administration'), readMetrics: await may('metrics') },
        scopes: scopesOf(caller),
      },
    }
  },
})

function scopesOf({ identity, access }: Caller) {
  if (access !== undefined) return access.map(({ type, name, actions }) => ({ type, name, actions: [...actions] }))
  const token = identity.kind === 'account' ? identity.token : undefined
  return token?.scopes.map(({ repositories: name, actions }) => ({ type: 'repository', name, actions: [...actions] })) ?? null
}

function roleOf({ isAdmin }: Account): 'admin' | 'user' {
  return isAdmin ? 'admin' : 'user'
}
