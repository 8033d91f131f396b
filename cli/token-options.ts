/**
 * What the commands on access tokens and on robots have in common: the options that say what a token covers and how long it lives,
 * and how a token is shown in a table and as JSON.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { describeTokenScopes, parseTokenScopes, type TokenAction } from '../auth/access-token.ts'
import type { getToken } from '../server/api/access-tokens.ts'
import type { Got } from '../server/api/operation.ts'
import { parseDuration, parseLifetime } from './lifetime.ts'
import { CommandError } from './terminal.ts'

export interface ScopeOptions {
  readonly pull?: readonly string[]
  readonly push?: readonly string[]
  readonly delete?: readonly string[]
}

export interface LifeOptions {
  readonly expires?: string
  readonly overlap?: string
}

const usualLife = '90d'

/** `--pull`, `--push` and `--delete`, each as often as wanted. @returns the command, to go on with */
export function addScopeOptions(command: Command): Command {
  const pattern = (flag: string, description: string) => new Option(`--${flag} <pattern>`, description).argParser(collect)
  return command
    .addOption(pattern('pull', 'may pull: a repository, the beginning of names and *, or * alone; may be repeated'))
    .addOption(pattern('push', 'may push and pull there'))
    .addOption(pattern('delete', 'may delete and pull there'))
}

export function addLifeOption(command: Command): Command {
  return command.option('--expires <time>', `how long it lives, such as 12h, 90d or never (without it: ${usualLife})`)
}

export function addRotationOptions(command: Command): Command {
  return command
    .option('--overlap <time>', 'how long the old secret goes on, such as 30m or 1d (without it: it ends at once)')
    .option('--expires <time>', 'how long the new secret lives, such as 90d or never (without it: as long as the old one was given)')
}

/** What an operation takes. */
export interface SentScope {
  actions: TokenAction[]
  repositories: string
}

/** @throws {CommandError} nothing @throws {RegistryError} parameterInvalid: something that is no pattern */
export function scopesOf(options: ScopeOptions, { isAdmin = false } = {}): SentScope[] {
  const of = (patterns: readonly string[] | undefined, ...actions: readonly string[]) =>
    (patterns ?? []).map((repositories) => ({ actions, repositories }))
  const scopes = [...of(options.pull, 'pull'), ...of(options.push, 'pull', 'push'), ...of(options.delete, 'pull', 'delete')]
  if (isAdmin) scopes.push({ actions: ['admin'], repositories: '*' })
  if (scopes.length === 0)
    throw new CommandError("say what the token is for: --pull, --push or --delete with repositories, such as --pull 'team/*'")
  return parseTokenScopes(scopes).map(({ actions, repositories }) => ({ actions: [...actions], repositories }))
}

/** What an operation that makes a token takes: null lives for ever. @throws {CommandError} */
export function lifeOf({ expires = usualLife }: LifeOptions): number | null {
  const lifeMs = parseLifetime(expires)
  return lifeMs === undefined ? null : lifeMs / 1000
}

/** What an operation that rotates one takes. @throws {CommandError} */
export function rotationOf(options: LifeOptions): { overlapSeconds: number; lifetimeSeconds?: number | null } {
  const overlapSeconds = options.overlap === undefined ? 0 : parseDuration(options.overlap) / 1000
  return { overlapSeconds, ...(options.expires === undefined ? {} : { lifetimeSeconds: lifeOf(options) }) }
}

/** What the API tells of a token. */
export type ShownToken = Omit<Got<NonNullable<typeof getToken.answer.schema>>, never>

export const tokenHead = ['COVERS', 'STATUS', 'EXPIRES', 'LAST USED'] as const

/** The cells below tokenHead. */
export function tokenCells({ scopes, status, expiresAt, lastUsedAt, lastUsedFrom }: ShownToken): string[] {
  const used = lastUsedFrom === null ? (lastUsedAt ?? never) : `${lastUsedAt ?? never} from ${lastUsedFrom}`
  return [describeTokenScopes(scopes), status, expiresAt ?? never, used]
}

/** One sentence about a new token, without its secret. */
export function announce({ scopes, expiresAt }: Pick<ShownToken, 'scopes' | 'expiresAt'>): string {
  const until = expiresAt === null ? 'and does not expire' : `until ${expiresAt}`
  return `it covers ${describeTokenScopes(scopes)} ${until}; the secret is shown only this once`
}

const never = 'never'

function collect(pattern: string, before: readonly string[] | undefined): readonly string[] {
  if (pattern.startsWith('--')) throw new InvalidArgumentError('It is an option, not a pattern.')
  return [...(before ?? []), pattern]
}
