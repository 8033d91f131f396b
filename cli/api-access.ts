/**
 * A command's way to the operations of the API: on the data folder itself, or on a running registry with `--server`. A command is
 * written once, and does the same in both ways.
 */
import { Option, type Command } from 'commander'
import type { Caller } from '../auth/identity.ts'
import { unknownSource } from '../auth/login-attempts.ts'
import { Rights } from '../registry/rights.ts'
import type { Deed, Got, Operation, Schema, Sent, Shape } from '../server/api/operation.ts'
import { perform } from '../server/api/perform.ts'
import { processEnvironment } from '../server/config/environment.ts'
import { tokenVariable } from '../server/config/sources.ts'
import { createSilentLogger } from '../server/log.ts'
import { createMetrics } from '../server/metrics.ts'
import { createServices, type Services } from '../server/services.ts'
import { addDataFlags } from './config.ts'
import { audit, readyFolder } from './open-database.ts'
import { RemoteApi, type Api } from './remote.ts'
import { CommandError, readCurrentPassword } from './terminal.ts'

/** Registers the flags that say where a command works. @returns the command, to go on with */
export function addApiFlags(command: Command): Command {
  command.optionsGroup('On a running registry (without --server: on the data folder):')
  command.addOption(new Option('--server <url>', 'its address, such as https://registry.example.com'))
  command.addOption(new Option('--token <token>', `a token to sign in with (better: ${tokenVariable}, which no other user sees)`))
  command.addOption(new Option('--user <name>', 'an account to sign in with; its password is asked for, or read from standard input'))
  return addDataFlags(command)
}

/**
 * Runs `work` where the command's flags say.
 * @param options.mayCreate makes a data folder that is not there, as withDatabase says
 * @throws {CommandError} they contradict each other
 */
export async function withApi(command: Command, work: (api: Api) => Promise<void>, { mayCreate = false } = {}): Promise<void> {
  const { server, token, user } = command.opts<{ server?: string; token?: string; user?: string }>()
  if (server !== undefined) return work(new RemoteApi(server, await authorizationOf({ token, user })))
  if (token !== undefined || user !== undefined) throw new CommandError('--token and --user go with --server: the data folder asks nobody')
  const { settings } = await readyFolder(command, { mayCreate })
  const services = await createServices(settings, {
    log: createSilentLogger(),
    metrics: createMetrics(),
    clock: Date.now,
    collectMetrics: async () => '',
  })
  try {
    await work(new LocalApi(services))
  } finally {
    await services.close()
  }
}

async function authorizationOf(given: { token: string | undefined; user: string | undefined }): Promise<string | undefined> {
  if (given.token !== undefined && given.user !== undefined) throw new CommandError('give --token or --user, not both')
  if (given.user !== undefined) return `Basic ${Buffer.from(`${given.user}:${await readCurrentPassword()}`).toString('base64')}`
  const token = given.token ?? processEnvironment()[tokenVariable]
  return token === undefined || token === '' ? undefined : `Bearer ${token}`
}

/** Who may read and write the data folder may do everything; what they do is done by no account. */
const operator: Caller = { identity: { kind: 'anonymous' }, via: 'nothing', access: undefined }

class LocalApi implements Api {
  readonly #services: Services

  constructor(services: Services) {
    const policy = { ...services.policy, isOpen: true }
    this.#services = { ...services, policy, rights: new Rights(services.registry.database, policy) }
  }

  /** @throws {RegistryError} as the operation says */
  async call<P extends Shape, Q extends Shape, B extends Schema, A extends Schema>(
    operation: Operation<P, Q, B, A>,
    sent: Sent<P, Q, B> = {},
  ): Promise<Got<A>> {
    const query = Object.entries<string | undefined>({ ...sent.query }).filter((pair): pair is [string, string] => pair[1] !== undefined)
    const deeds: Deed[] = []
    const { body } = await perform(this.#services, operation as unknown as Operation, {
      caller: operator,
      source: unknownSource,
      path: { ...sent.path },
      query: Object.fromEntries(query),
      readBody: async () => sent.body,
      admit: async () => undefined,
      requireVersion: () => undefined,
      noteDeed: (deed) => deeds.push(deed),
    })
    const done = deeds.at(-1)
    if (done) await audit(this.#services.registry.database, done)
    return body as Got<A>
  }
}

/** The address of the registry that a command works on, as it was given; undefined: it works on the data folder. */
export function serverOf(command: Command): string | undefined {
  return command.opts<{ server?: string }>().server
}

/** @throws {CommandError} standard input is to hold a secret and the password of `--user`, too */
export function requireFreeInput(command: Command): void {
  if (command.opts<{ user?: string }>().user === undefined || process.stdin.isTTY) return
  throw new CommandError(`standard input holds one secret, not the password of --user beside it: sign in with ${tokenVariable}`)
}
