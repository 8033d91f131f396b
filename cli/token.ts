/**
 * `lanyard token`: access tokens of people, on a running server and on a stopped one. What is done to a token acts on its next
 * request. The secret is printed once, on standard output.
 */
import type { Command } from 'commander'
import { parseAccessToken } from '../auth/access-token.ts'
import { allTokensOf, makeToken, revokeSecret, revokeToken, rotateToken, type MadeToken } from '../registry/access-tokens.ts'
import { addDataFlags } from './config.ts'
import { withDatabase } from './open-database.ts'
import { CommandError, formatTable, print, readPassword } from './terminal.ts'
import {
  addLifeOption,
  addRotationOptions,
  addScopeOptions,
  announce,
  expiryOf,
  rotationOf,
  scopesOf,
  tokenCells,
  tokenHead,
  tokenJson,
  type LifeOptions,
  type ScopeOptions,
} from './token-options.ts'

export function addTokenCommands(program: Command): void {
  const token = program.command('token').description('access tokens of people, in place of their passwords').helpCommand(false)
  const create = token
    .command('create <account> <name>')
    .description('make an access token for an account; it never grants more than the account has')
  addLifeOption(addScopeOptions(create)).option('--admin', 'may administer through the API what the account may')
  addDataFlags(create.option('--json', 'one JSON object')).action(createToken)
  addDataFlags(token.command('list <account>').description('all access tokens of an account').option('--json', 'one JSON array')).action(
    list,
  )
  addDataFlags(
    token
      .command('revoke [account] [name]')
      .description('end an access token, from its next request on')
      .option('--secret-stdin', 'in place of account and name: the secret of a token that leaked, from standard input'),
  ).action(revoke)
  const rotate = token.command('rotate <account> <name>').description('give an access token a new secret')
  addDataFlags(addRotationOptions(rotate).option('--json', 'one JSON object')).action(rotateSecret)
}

type CreateOptions = ScopeOptions & LifeOptions & { admin?: true; json?: true }

async function createToken(...[account, name, options, command]: [string, string, CreateOptions, Command]): Promise<void> {
  const scopes = scopesOf(options, { isAdmin: options.admin === true })
  const nowMs = Date.now()
  const expiresAtMs = expiryOf(options, nowMs)
  await withDatabase(command, async ({ database }) => {
    show(account, await makeToken(database, { account, name, scopes, expiresAtMs, nowMs }), options)
  })
}

async function list(account: string, options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const tokens = await allTokensOf(database, account, Date.now())
    if (options.json) return print(`${JSON.stringify(tokens.map(tokenJson))}\n`)
    print(formatTable([['NAME', 'ENDS IN', ...tokenHead], ...tokens.map((token) => [token.name, token.hint, ...tokenCells(token)])]))
  })
}

type RevokeArguments = [account: string | undefined, name: string | undefined, options: { secretStdin?: true }, command: Command]

async function revoke(...[account, name, options, command]: RevokeArguments): Promise<void> {
  const nowMs = Date.now()
  if (options.secretStdin && account === undefined) {
    const secret = parseAccessToken((await readPassword({ fromStdin: true })).trim())
    return withDatabase(command, async ({ database }) => {
      const found = await revokeSecret(database, { secret, nowMs })
      print(`the access token "${found.name}" of ${found.account} is revoked\n`)
    })
  }
  if (options.secretStdin || account === undefined || name === undefined) {
    throw new CommandError('name the account and its token, or use --secret-stdin alone')
  }
  await withDatabase(command, async ({ database }) => {
    await revokeToken(database, { account, name, nowMs })
    print(`the access token "${name}" of ${account} is revoked\n`)
  })
}

async function rotateSecret(...[account, name, options, command]: [string, string, LifeOptions & { json?: true }, Command]): Promise<void> {
  const nowMs = Date.now()
  const rotation = rotationOf(options, nowMs)
  await withDatabase(command, async ({ database }) => {
    show(account, await rotateToken(database, { account, name, nowMs, ...rotation }), options)
  })
}

function show(account: string, { secret, token }: MadeToken, { json }: { json?: true }): void {
  if (json) return print(`${JSON.stringify({ account, ...tokenJson(token), secret })}\n`)
  print(`${secret}\n\nThis is the access token "${token.name}" of ${account}: ${announce(token)}.\n`)
}
