/**
 * Who the caller is for this registry, and what it may do.
 */
import { z } from 'zod'
import type { Account } from '../../auth/identity.ts'
import { isAllowed } from '../../auth/policy.ts'
import { operation } from './operation.ts'
import { signedIn } from './right.ts'

const meSchema = z
  .strictObject({
    name: z.string().nullable().meta({ description: 'Of the account; null for nobody in particular.' }),
    role: z.enum(['admin', 'user']).nullable(),
    via: z.string().meta({ description: 'How the request showed it.', examples: ['basic'] }),
    may: z.strictObject({
      administer: z.boolean().meta({ description: 'Accounts and everything else.' }),
      readMetrics: z.boolean(),
    }),
    scopes: z
      .array(z.strictObject({ type: z.string(), name: z.string(), actions: z.array(z.string()) }))
      .nullable()
      .meta({ description: 'What the token of the request covers; null when no token limits it.' }),
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
  handle: async ({ services, caller: { identity, via, access } }) => {
    const account = identity.kind === 'account' ? identity.account : undefined
    // A token of the registry protocol opens neither, whatever its account may do.
    const may = (kind: 'administration' | 'metrics'): boolean => access === undefined && isAllowed(services.policy, identity, { kind })
    return {
      body: {
        name: account?.name ?? null,
        role: account ? roleOf(account) : null,
        via,
        may: { administer: may('administration'), readMetrics: may('metrics') },
        scopes: access === undefined ? null : access.map(({ type, name, actions }) => ({ type, name, actions: [...actions] })),
      },
    }
  },
})

function roleOf({ isAdmin }: Account): 'admin' | 'user' {
  return isAdmin ? 'admin' : 'user'
}
