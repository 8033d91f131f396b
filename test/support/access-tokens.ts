/** Access tokens of people and robots in a running registry, as tests need them: made with one line, ended with another. */
import { parseTokenScopes, type TokenScope } from '../../auth/access-token.ts'
import { makeToken } from '../../registry/access-tokens.ts'
import { makeRobot } from '../../registry/robots.ts'
import type { TestRegistry } from './start-registry.ts'

/** `pull,push team/app*` */
export function scopesIn(...texts: readonly string[]): TokenScope[] {
  return parseTokenScopes(
    texts.map((text) => {
      const [actions = '', repositories = ''] = text.split(' ')
      return { actions: actions.split(','), repositories }
    }),
  )
}

/** Lives for an hour by the registry's clock. @returns the secret */
export async function giveToken(
  { services: { registry } }: Pick<TestRegistry, 'services'>,
  wish: { account: string; name: string },
  ...scopes: readonly string[]
): Promise<string> {
  const nowMs = registry.clock()
  return (await makeToken(registry.database, { ...wish, scopes: scopesIn(...scopes), expiresAtMs: nowMs + 3_600_000, nowMs })).secret
}

/** The same for a robot that is made for it, and signs in as `<namespace>.<name>`. @returns the secret */
export async function giveRobot(
  { services: { registry } }: Pick<TestRegistry, 'services'>,
  wish: { namespace: string; name: string },
  ...scopes: readonly string[]
): Promise<string> {
  const nowMs = registry.clock()
  const made = await makeRobot(registry.database, { ...wish, scopes: scopesIn(...scopes), expiresAtMs: nowMs + 3_600_000, by: null, nowMs })
  return made.secret
}
