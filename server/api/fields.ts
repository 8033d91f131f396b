/**
 * The fields that several operations share: parameters that become values of oci/, times, sizes, and what stands for it in the
 * OpenAPI document.
 */
import { z } from 'zod'
import { parseAccountName } from '../../auth/identity.ts'
import { roles } from '../../auth/roles.ts'
import { isDigest, type Digest } from '../../oci/digest.ts'
import { errorTable, isRegistryError, type ErrorReason } from '../../oci/errors.ts'
import { isTag, type Tag } from '../../oci/reference.ts'
import { isRepositoryName, parseNamespaceName, type RepositoryName } from '../../oci/repository-name.ts'

/** How a parameter looks to those who fill it in. */
interface Look {
  readonly pattern: string
  readonly maxLength: number
  readonly description: string
  readonly examples: readonly string[]
}

/** A text that is a value of oci/ after the check; `reason` is what is thrown otherwise. */
function parsed<T extends string>(is: (text: string) => text is T, reason: ErrorReason, look: Look) {
  return z
    .string()
    .meta({ minLength: 1, ...look })
    .transform((text, context): T => {
      if (is(text)) return text
      context.addIssue({ code: 'custom', message: errorTable[reason].message, params: { reason } })
      return z.NEVER
    })
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'

export const repositoryName = parsed<RepositoryName>(isRepositoryName, 'nameInvalid', {
  pattern: `^${component}(?:/${component})*$`,
  maxLength: 255,
  description: 'The name of a repository, its slashes percent-encoded: `team%2Fapp`.',
  examples: ['team/app'],
})

export const tagName = parsed<Tag>(isTag, 'tagInvalid', {
  pattern: '^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$',
  maxLength: 128,
  description: 'A tag.',
  examples: ['latest'],
})

export const digest = parsed<Digest>(isDigest, 'digestInvalid', {
  pattern: '^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}|[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+)$',
  maxLength: 256,
  description: 'A digest: its algorithm and the hex value.',
  examples: ['sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
})

/** The name of an account that is there or not; of any form, so that an odd one is simply unknown. */
export const accountName = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'The name of an account.', examples: ['alice'] })

/** The name of an account to be made. */
export const newAccountName = newName(parseAccountName, 'The name of an account, also that of its namespace.')

/** The name of a namespace that is there or not, of any form, as accountName. */
export const namespaceName = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'The name of a namespace, the first part of the names of its repositories.', examples: ['team'] })

/** The name of a namespace to be made, or to be given to one. */
export const newNamespaceName = newName(parseNamespaceName, 'The name of a namespace: the first part of the names of its repositories.')

/** The name of a team that is there or not, of any form, as accountName. */
export const teamName = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'The name of a team.', examples: ['crew'] })

/** The name of a team to be made. */
export const newTeamName = newName(parseNamespaceName, 'The name of a team.')

/** A name of one component, to be made; `parse` throws what is wrong with it. */
function newName(parse: (text: string) => string, description: string) {
  return z
    .string()
    .meta({ minLength: 1, maxLength: 64, pattern: `^${component}$`, description })
    .transform((text, context): string => {
      const fault = faultOf(() => parse(text))
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
      return text
    })
}

export const grantedRole = z.enum([...roles, 'none']).meta({
  id: 'Role',
  description:
    'reader pulls, writer also pushes, maintainer also deletes, owner also changes members and settings; none stands in a repository alone, and takes away what the namespace gives.',
})

export const visibility = z.enum(['private', 'internal', 'public']).meta({
  id: 'Visibility',
  description: 'Who may pull without a role: private nobody, internal any signed-in account, public anyone.',
})

/** What an answer says of a moment. */
export const time = z.iso.datetime().meta({ description: 'ISO 8601, in UTC.', examples: ['2026-11-25T12:00:00.000Z'] })
export const sizeBytes = z.int().min(0).meta({ description: 'In bytes.' })
/** In an answer a digest is a text that was checked when it came in. */
export const digestText = z.string().meta({ description: 'A digest.', examples: ['sha256:e3b0…'] })
export const actor = z.string().nullable().meta({ description: 'Account name; null when nobody was signed in, or on the server itself.' })

/** A part of a name to look for. */
export const nameFilter = z.string().max(255).optional().meta({ description: 'Only those whose name contains this text.' })

/** One or two sentences on a thing. @param more what they are for */
export function descriptionText(more: string) {
  return z.string().max(1000).meta({ description: more })
}

/** Without the members that were left out. */
export function given<T extends object>(change: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

function faultOf(check: () => unknown): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (isRegistryError(error)) return error.message
    throw error
  }
}
