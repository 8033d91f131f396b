/**
 * Access tokens, which stand in place of a password: how the secret is written, and what a token's scopes cover. Which tokens
 * there are is rows; who they stand for is found in tokens.ts; that they only ever narrow is kept in policy.ts.
 *
 * Invariants: a secret holds 256 random bits and is compared by its SHA-256 alone. Matching a name against a pattern takes time
 * in proportion to the name, whatever the pattern: there is one `*`, at the end.
 */
import { hash, randomBytes as systemRandomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { RegistryError } from '../oci/errors.ts'
import { isRepositoryName, type NameRange, type RepositoryName } from '../oci/repository-name.ts'
import { repositoryActions, type Action } from './scope.ts'

declare const secretBrand: unique symbol

/** The secret of an access token, such as `lyp_` with 49 letters and digits: written without a mistake, perhaps nobody's. */
export type AccessTokenSecret = string & { readonly [secretBrand]: true }

export type TokenKind = 'person' | 'robot'

/** What scanners look for in sources and logs. A person's and a robot's differ: whoever finds one knows how bad it is. */
const prefixes: Readonly<Record<TokenKind, string>> = { person: 'lyp_', robot: 'lyr_' }
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const secretBytes = 32
/** Digits of base62 that hold 32 bytes, and those that hold a CRC32. */
const bodyLength = 43
const checksumLength = 6
const hintLength = 4
/** A fixed number of one class: found or not in one pass. */
const formPattern = /^ly[pr]_[0-9A-Za-z]{49}$/

/** A new secret. */
export function makeAccessToken(kind: TokenKind, randomBytes: (size: number) => Buffer = systemRandomBytes): AccessTokenSecret {
  const number = BigInt(`0x${randomBytes(secretBytes).toString('hex')}`)
  const text = prefixes[kind] + base62(number, bodyLength)
  return (text + checksumOf(text)) as AccessTokenSecret
}

/** Whether a text is meant to be an access token: no password is looked for behind it, also when it was mistyped. */
export function hasAccessTokenForm(text: string): boolean {
  return formPattern.test(text)
}

/** Whether it has the form and the checksum of one: a mistyped one is told apart without asking anybody. */
export function isAccessToken(text: string): text is AccessTokenSecret {
  return hasAccessTokenForm(text) && checksumOf(text.slice(0, -checksumLength)) === text.slice(-checksumLength)
}

/** @throws {RegistryError} parameterInvalid: not an access token, or mistyped; the message does not repeat it */
export function parseAccessToken(text: string): AccessTokenSecret {
  if (isAccessToken(text)) return text
  const message = hasAccessTokenForm(text)
    ? 'this access token is mistyped: a character was changed, so copy it again'
    : 'this is not an access token: one is lyp_ or lyr_ with 49 letters and digits after it'
  throw new RegistryError('parameterInvalid', { message })
}

/** SHA-256, 32 bytes: all that is kept of a secret. */
export function hashAccessToken(secret: AccessTokenSecret): Buffer {
  return hash('sha256', secret, 'buffer')
}

/** The last four characters, which tell one token from another and are of its checksum, not of its random part. */
export function hintOf(secret: AccessTokenSecret): string {
  return secret.slice(-hintLength)
}

/** Of the prefix too, so that a person's token is no robot's with another beginning. */
function checksumOf(text: string): string {
  return base62(BigInt(crc32(text)), checksumLength)
}

function base62(number: bigint, length: number): string {
  const digits: string[] = []
  for (let rest = number; digits.length < length; rest /= 62n) digits.push(alphabet[Number(rest % 62n)] ?? '')
  return digits.toReversed().join('')
}

/** What a token may be used for; `admin`: what the API offers for administration, as far as its owner may. */
export type TokenAction = Action | 'admin'

export interface TokenScope {
  readonly actions: readonly TokenAction[]
  /** A repository's name; the beginning of names and `*`; or `*` alone. */
  readonly repositories: string
}

export const tokenActions: readonly TokenAction[] = [...repositoryActions, 'admin']
const everywhere = '*'
const maxScopes = 32

/**
 * The scopes of a new token, each pattern once, its actions in one order.
 * @throws {RegistryError} parameterInvalid: none, too many, an unknown action or something that is no pattern
 */
export function parseTokenScopes(scopes: readonly { readonly actions: readonly string[]; readonly repositories: string }[]): TokenScope[] {
  const byPattern = new Map<string, Set<string>>()
  for (const { actions, repositories } of scopes) {
    const unknown = actions.find((action) => !tokenActions.some((known) => known === action))
    if (unknown !== undefined || actions.length === 0) throw invalid(`what a token may do is some of ${tokenActions.join(', ')}`)
    const pattern = parsePattern(repositories)
    byPattern.set(pattern, new Set([...(byPattern.get(pattern) ?? []), ...actions]))
  }
  if (byPattern.size === 0) throw invalid('a token must be for something: name actions and repositories')
  if (byPattern.size > maxScopes) throw invalid(`a token has at most ${maxScopes} patterns of repositories: join some with *`)
  return Array.from(byPattern, ([repositories, held]) => ({ actions: tokenActions.filter((action) => held.has(action)), repositories }))
}

function parsePattern(text: string): string {
  const beginning = text.slice(0, -1)
  // Whatever may stand in front of a * is the beginning of a name: it is one with a letter after it.
  const isPattern = text === everywhere || isRepositoryName(text) || (text.endsWith('*') && isRepositoryName(`${beginning}a`))
  if (!isPattern) throw invalid('a pattern is the name of a repository, the beginning of names and *, such as team/app*, or * alone')
  return text
}

function invalid(message: string): RegistryError {
  return new RegistryError('parameterInvalid', { message })
}

/** Whether a repository's name fits a pattern. */
export function matchesPattern(pattern: string, name: RepositoryName): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}

/** Whether these scopes hold the action on that repository; without a name: on the registry as a whole, which only `*` stands for. */
export function covers(scopes: readonly TokenScope[], action: TokenAction, name?: RepositoryName): boolean {
  const fits = (pattern: string) => (name === undefined ? pattern === everywhere : matchesPattern(pattern, name))
  return scopes.some(({ actions, repositories }) => actions.includes(action) && fits(repositories))
}

/** Whether these scopes hold all that the others do: each action of each pattern within one pattern of theirs. */
export function includesScopes(scopes: readonly TokenScope[], others: readonly TokenScope[]): boolean {
  return others.every((other) =>
    other.actions.every((action) =>
      scopes.some(({ actions, repositories }) => actions.includes(action) && includesPattern(repositories, other.repositories)),
    ),
  )
}

/** Whether every name that fits the other pattern fits this one. */
function includesPattern(pattern: string, other: string): boolean {
  return pattern.endsWith('*') ? other.startsWith(pattern.slice(0, -1)) : pattern === other
}

/** The names on which these scopes hold the action, as ranges that do not overlap, in order; undefined: every name. */
export function coveredNames(scopes: readonly TokenScope[], action: TokenAction): readonly NameRange[] | undefined {
  const patterns = scopes.filter(({ actions }) => actions.includes(action)).map(({ repositories }) => repositories)
  if (patterns.includes(everywhere)) return undefined
  const ranges = patterns.map(rangeOf).toSorted((a, b) => (a.from === b.from ? compare(b.before, a.before) : compare(a.from, b.from)))
  // Of two ranges one lies within the other or they are apart, because each is all that begins with a text.
  const apart: NameRange[] = []
  for (const range of ranges) if (range.from >= (apart.at(-1)?.before ?? '')) apart.push(range)
  return apart
}

/** `~` is behind every character of a name, and `!` in front of all. */
function rangeOf(pattern: string): NameRange {
  const beginning = pattern.slice(0, -1)
  return pattern.endsWith('*') ? { from: beginning, before: `${beginning}~` } : { from: pattern, before: `${pattern}!` }
}

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right)
}

/** How many scopes are told to a person; more are counted. */
const maxTold = 3

/** `pull on team/app*`, `pull and push on team/app and pull on team/base`: for messages and tables. */
export function describeTokenScopes(scopes: readonly TokenScope[]): string {
  const told = scopes.slice(0, maxTold).map(({ actions, repositories }) => `${listed(actions)} on ${repositories}`)
  const more = scopes.length - told.length
  return listed(more > 0 ? [...told, `${more} more`] : told)
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}
