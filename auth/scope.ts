/**
 * Scopes: what a client asks a token for and what a token says that it covers. Pure text to values and back; whether
 * anybody may have them is decided in policy.ts.
 *
 * Invariant: parsed access names each resource once, its actions in one order, so that equal rights are equal text.
 */

/** What can be done in a repository. */
export type Action = 'pull' | 'push' | 'delete'

/** Rights on one resource, in the shape of a token's `access` claim. */
export interface Access {
  /** `repository` or `registry`. */
  readonly type: string
  readonly name: string
  /** Actions, or `*` for everything there is. */
  readonly actions: readonly string[]
}

export interface WantedAction {
  readonly type: string
  readonly name: string
  readonly action: string
}

export const repositoryActions: readonly Action[] = ['pull', 'push', 'delete']

/** The right to ask for the catalog, `registry:catalog:*`. */
export const catalogAccess: Access = { type: 'registry', name: 'catalog', actions: ['*'] }

const actionsOfType: ReadonlyMap<string, readonly string[]> = new Map([
  ['repository', ['*', ...repositoryActions]],
  ['registry', ['*']],
])

/** Scopes looked at in one request, and characters of one; more are ignored: granting less is no error. */
const maxScopes = 100
const maxScopeLength = 512
const typePattern = /^([a-z]+)(?:\([a-z0-9]*\))?$/
/** Wider than a repository's name (a client may put `host:port` first), narrow enough to be shown anywhere. */
const namePattern = /^[A-Za-z0-9._:/-]+$/

/**
 * The `scope` parameters of a token request: repeated, or several in one value with spaces between, or both. What is
 * malformed or unknown is left out, as the token protocol wants; overlaps are merged.
 */
export function parseScopes(values: readonly string[]): Access[] {
  const found = new Map<string, { type: string; name: string; actions: Set<string> }>()
  for (const scope of splitScopes(values)) {
    const access = parseScope(scope)
    if (!access) continue
    const key = `${access.type}:${access.name}`
    const known = found.get(key) ?? { type: access.type, name: access.name, actions: new Set<string>() }
    for (const action of access.actions) known.actions.add(action)
    found.set(key, known)
  }
  return Array.from(found.values(), ({ type, name, actions }) => ({ type, name, actions: inOrder(type, actions) }))
}

/** `repository:a/b:pull,push` */
export function formatScope(access: Access): string {
  return `${access.type}:${access.name}:${access.actions.join(',')}`
}

/** Several scopes as one text with spaces between. */
export function formatScopes(access: readonly Access[]): string {
  return access.map(formatScope).join(' ')
}

/** Whether these rights hold the wanted action, or all of the wanted actions; asking for none is not covered. */
export function covers(access: readonly Access[], wanted: Access | WantedAction): boolean {
  const actions = 'action' in wanted ? [wanted.action] : wanted.actions
  const entries = access.filter(({ type, name }) => type === wanted.type && name === wanted.name)
  const isHeld = (action: string) => entries.some((entry) => entry.actions.includes(action) || entry.actions.includes('*'))
  return actions.length > 0 && actions.every(isHeld)
}

function splitScopes(values: readonly string[]): string[] {
  const scopes: string[] = []
  for (const value of values) {
    const room = maxScopes - scopes.length
    if (room <= 0) break
    scopes.push(...value.split(' ', room))
  }
  return scopes
}

/** `type[(class)]:name:actions`; the name may hold colons itself. */
function parseScope(text: string): Access | undefined {
  const typeEnd = text.indexOf(':')
  const nameEnd = text.lastIndexOf(':')
  if (text.length > maxScopeLength || typeEnd === nameEnd) return undefined
  // `repository(plugin)` is docker's way to ask for a repository that holds a plugin.
  const type = typePattern.exec(text.slice(0, typeEnd))?.[1] ?? ''
  const name = text.slice(typeEnd + 1, nameEnd)
  const known = actionsOfType.get(type)
  const actions = text
    .slice(nameEnd + 1)
    .split(',')
    .filter((action) => known?.includes(action))
  return namePattern.test(name) && actions.length > 0 ? { type, name, actions } : undefined
}

function inOrder(type: string, actions: ReadonlySet<string>): string[] {
  if (actions.has('*')) return ['*']
  return (actionsOfType.get(type) ?? []).filter((action) => actions.has(action))
}
