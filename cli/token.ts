/**
 * `lanyard token`: access tokens of people, on the data folder and on a running registry, there one's own where no account is named.
 * What is done to a token acts on its next request. The secret is printed once, on standard output.
 */
import type { Command } from 'commander'
import { parseAccessToken } from '../auth/access-token.ts'
import {
  changeToken,
  createToken,
  getToken,
  listTokens,
  revokeAccessToken,
  revokeLeakedToken,
  rotateAccessToken,
} from '../server/api/access-tokens.ts'
import { getMe } from '../server/api/me.ts'
import { addApiFlags, requireFreeInput, serverOf, withApi } from './api-access.ts'
import { allItems, type Api } from './remote.ts'
import { CommandError, formatTable, print, readPassword } from './terminal.ts'
import {
  addLifeOption,
  addRotationOptions,
  addScopeOptions,
  announce,
  lifeOf,
  rotationOf,
  scopesOf,
  tokenCells,
  tokenHead,
  type LifeOptions,
  type ScopeOptions,
  type ShownToken,
} from './token-options.ts'

const head = ['NAME', 'ENDS IN', ...tokenHead]
const adminFlag = ['--admin', 'may administer through the API what the account may'] as const

export function addTokenCommands(program: Command): void {
  const token = program.command('token').description('access tokens of people, in place of their passwords').helpCommand(false)
  /** Commander fills the first of two optional arguments, which is the name when it comes alone. */
  const named = (verb: string, description: string) =>
    token
      .command(verb)
      .argument('[account]', 'whose it is; with --server your own, if left out')
      .argument('[name]', 'what it is called')
      .usage('[options] [account] <name>')
      .description(description)
  const create = named('create', 'make an access token for an account; it never grants more than the account has')
  addApiFlags(
    addLifeOption(addScopeOptions(create))
      .option(...adminFlag)
      .option('--json', 'one JSON object'),
  ).action(createOne)
  addApiFlags(token.command('list [account]').description('all access tokens of an account').option('--json', 'one JSON array')).action(
    list,
  )
  addApiFlags(named('show', 'one access token').option('--json', 'one JSON object')).action(show)
  addApiFlags(
    addScopeOptions(named('change', 'let an access token cover something else, from its next request on'))
      .option(...adminFlag)
      .option('--json', 'one JSON object'),
  ).action(change)
  addApiFlags(addRotationOptions(named('rotate', 'give an access token a new secret')).option('--json', 'one JSON object')).action(rotate)
  addApiFlags(
    named('revoke', 'end an access token, from its next request on').option(
      '--secret-stdin',
      'in place of account and name: the secret of a token that leaked, from standard input',
    ),
  ).action(revoke)
}

/** What a command on one token is given. */
type Given<Options> = [first: string | undefined, second: string | undefined, options: Options, command: Command]
type Json = { readonly json?: true }
type CoverOptions = ScopeOptions & Json & { readonly admin?: true }

async function createOne(...[first, second, options, command]: Given<CoverOptions & LifeOptions>): Promise<void> {
  const { account: given, name } = namedBy([first, second], command)
  const body = { name, scopes: scopesOf(options, { isAdmin: options.admin === true }), lifetimeSeconds: lifeOf(options) }
  await withApi(command, async (api) => {
    const account = await accountOf(api, given)
    printMade(await api.call(createToken, { path: { account }, body }), options)
  })
}

async function list(given: string | undefined, options: Json, command: Command): Promise<void> {
  requireAccount(given, command)
  await withApi(command, async (api) => {
    const account = await accountOf(api, given)
    const tokens = await Array.fromAsync(allItems(api, listTokens, { path: { account } }))
    if (options.json) return print(`${JSON.stringify(tokens)}\n`)
    printTable(tokens)
  })
}

async function show(...[first, second, options, command]: Given<Json>): Promise<void> {
  const { account: given, name } = namedBy([first, second], command)
  await withApi(command, async (api) => {
    const token = await api.call(getToken, { path: { account: await accountOf(api, given), token: name } })
    if (options.json) return print(`${JSON.stringify(token)}\n`)
    printTable([token])
  })
}

async function change(...[first, second, options, command]: Given<CoverOptions>): Promise<void> {
  const { account: given, name } = namedBy([first, second], command)
  const scopes = scopesOf(options, { isAdmin: options.admin === true })
  await withApi(command, async (api) => {
    const token = await api.call(changeToken, { path: { account: await accountOf(api, given), token: name }, body: { scopes } })
    if (options.json) return print(`${JSON.stringify(token)}\n`)
    printTable([token])
  })
}

async function rotate(...[first, second, options, command]: Given<LifeOptions & Json>): Promise<void> {
  const { account: given, name } = namedBy([first, second], command)
  const body = rotationOf(options)
  await withApi(command, async (api) => {
    const account = await accountOf(api, given)
    printMade(await api.call(rotateAccessToken, { path: { account, token: name }, body }), options)
  })
}

async function revoke(...[first, second, options, command]: Given<{ readonly secretStdin?: true }>): Promise<void> {
  if (options.secretStdin) return revokeSecret(first, command)
  const { account: given, name } = namedBy([first, second], command, ', or use --secret-stdin alone')
  await withApi(command, async (api) => {
    const account = await accountOf(api, given)
    await api.call(revokeAccessToken, { path: { account, token: name } })
    print(revoked({ account, name }))
  })
}

async function revokeSecret(named: string | undefined, command: Command): Promise<void> {
  if (named !== undefined) throw new CommandError('name the account and its token, or use --secret-stdin alone')
  requireFreeInput(command)
  const secret = parseAccessToken((await readPassword({ fromStdin: true })).trim())
  await withApi(command, async (api) => print(revoked(await api.call(revokeLeakedToken, { body: { secret } }))))
}

/** One name is that of a token of one's own. @throws {CommandError} there is none, or nobody whose it could be */
function namedBy([first, second]: readonly (string | undefined)[], command: Command, otherwise = '') {
  if (first === undefined) throw new CommandError(`name the account and its token${otherwise}`)
  if (second !== undefined) return { account: first, name: second }
  if (serverOf(command) === undefined) throw new CommandError(`name the account and its token${otherwise}`)
  return { account: undefined, name: first }
}

/** @throws {CommandError} the data folder does not know who asks */
function requireAccount(given: string | undefined, command: Command): void {
  if (given === undefined && serverOf(command) === undefined) throw new CommandError('name the account: only a server knows which is yours')
}

async function accountOf(api: Api, given: string | undefined): Promise<string> {
  if (given !== undefined) return given
  const { name } = await api.call(getMe)
  if (name === null) throw new CommandError('nobody is signed in: give --token or --user, or name the account')
  return name
}

function printTable(tokens: readonly ShownToken[]): void {
  print(formatTable([head, ...tokens.map((token) => [token.name, token.hint, ...tokenCells(token)])]))
}

function printMade(made: ShownToken & { readonly account: string; readonly secret: string }, { json }: Json): void {
  if (json) return print(`${JSON.stringify(made)}\n`)
  print(`${made.secret}\n\nThis is the access token "${made.name}" of ${made.account}: ${announce(made)}.\n`)
}

function revoked({ account, name }: { account: string; name: string }): string {
  return `the access token "${name}" of ${account} is revoked\n`
}
