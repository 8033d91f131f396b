/**
 * What the commands on access tokens and on robots have in common: the options that say what a token covers and how long it lives,
 * and how a token is shown in a table and as JSON.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { describeTokenScopes, parseTokenScopes, type TokenScope } from '../auth/access-token.ts'
import type { AccessTokenFacts } from '../registry/access-tokens.ts'
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

/** @throws {RegistryError} parameterInvalid: nothing, or something that is no pattern */
export function scopesOf(options: ScopeOptions, { isAdmin = false } = {}): TokenScope[] {
  const of = (patterns: readonly string[] | undefined, ...actions: readonly string[]) =>
    (patterns ?? []).map((repositories) => ({ actions, repositories }))
  const scopes = [...of(options.pull, 'pull'), ...of(options.push, 'pull', 'push'), ...of(options.delete, 'pull', 'delete')]
  if (isAdmin) scopes.push({ actions: ['admin'], repositories: '*' })
  if (scopes.length === 0)
    throw new CommandError("say what the token is for: --pull, --push or --delete with repositories, such as --pull 'team/*'")
  return parseTokenScopes(scopes)
}

/** undefined: never. @throws {CommandError} */
export function expiryOf({ expires = usualLife }: LifeOptions, nowMs: number): number | undefined {
  const lifeMs = parseLifetime(expires)
  return lifeMs === undefined ? undefined : nowMs + lifeMs
}

/** @throws {CommandError} */
export function rotationOf(options: LifeOptions, nowMs: number): { overlapMs: number; expiresAtMs: number | undefined | 'same' } {
  const overlapMs = options.overlap === undefined ? 0 : parseDuration(options.overlap)
  return { overlapMs, expiresAtMs: options.expires === undefined ? 'same' : expiryOf(options, nowMs) }
}

export const tokenHead = ['COVERS', 'STATUS', 'EXPIRES', 'LAST USED'] as const

/** The cells below tokenHead. */
export function tokenCells(token: AccessTokenFacts): string[] {
  const used = token.lastUsedFrom === undefined ? timeOf(token.lastUsedAtMs) : `${timeOf(token.lastUsedAtMs)} from ${token.lastUsedFrom}`
  return [describeTokenScopes(token.scopes), token.status, timeOf(token.expiresAtMs), used]
}

/** For scripts; null in place of a time that there is not. */
export function tokenJson(token: AccessTokenFacts): Record<string, unknown> {
  return {
    name: token.name,
    hint: token.hint,
    scopes: token.scopes,
    status: token.status,
    created: timeOrNull(token.createdAtMs),
    expires: timeOrNull(token.expiresAtMs),
    lastUsed: timeOrNull(token.lastUsedAtMs),
    lastUsedFrom: token.lastUsedFrom ?? null,
  }
}

/** One sentence about a new token, without its secret. */
export function announce(token: AccessTokenFacts): string {
  const until = token.expiresAtMs === undefined ? 'and does not expire' : `until ${timeOf(token.expiresAtMs)}`
  return `it covers ${describeTokenScopes(token.scopes)} ${until}; the secret is shown only this once`
}

function timeOf(atMs: number | undefined): string {
  return timeOrNull(atMs) ?? 'never'
}

function timeOrNull(atMs: number | undefined): string | null {
  return atMs === undefined ? null : new Date(atMs).toISOString()
}

function collect(pattern: string, before: readonly string[] | undefined): readonly string[] {
  if (pattern.startsWith('--')) throw new InvalidArgumentError('It is an option, not a pattern.')
  return [...(before ?? []), pattern]
}
