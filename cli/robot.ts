/**
 * `lanyard robot`: accounts of machines, owned by a namespace, on the data folder and on a running registry. What is done to a robot
 * acts on its next request. Its secret is printed once, on standard output, as it is to be pasted.
 */
import { type Command, Option } from 'commander'
import type { Got } from '../server/api/operation.ts'
import { changeRobot, createRobot, deleteRobot, getRobot, listRobots, rotateRobotSecret } from '../server/api/robots.ts'
import { parseListen } from '../server/config/listen.ts'
import { addApiFlags, serverOf, withApi } from './api-access.ts'
import { loadSettingsFor } from './config.ts'
import { outputForms, renderCredentials, type OutputForm } from './credentials.ts'
import { allItems } from './remote.ts'
import { CommandError, formatTable, print } from './terminal.ts'
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
} from './token-options.ts'

export function addRobotCommands(program: Command): void {
  const robot = program.command('robot').description('accounts of machines, owned by a namespace').helpCommand(false)
  const named = (verb: string, description: string) => robot.command(`${verb} <namespace> <name>`).description(description)
  const create = named('create', 'create a robot with its token; it signs in as <namespace>.<name>').option(
    '--description <text>',
    'what it is for',
  )
  addApiFlags(addOutputOptions(addLifeOption(addScopeOptions(create)))).action(createOne)
  addApiFlags(robot.command('list <namespace>').description('all robots of a namespace').option('--json', 'one JSON array')).action(list)
  addApiFlags(named('show', 'one robot with all its tokens').option('--json', 'one JSON object')).action(show)
  const change = named('change', 'let a robot do something else, from its next request on; or describe it')
  addApiFlags(addScopeOptions(change).option('--description <text>', 'what it is for').option('--json', 'one JSON object')).action(
    changeOne,
  )
  addApiFlags(addOutputOptions(addRotationOptions(named('rotate', 'give a robot a new secret')))).action(rotate)
  addApiFlags(named('disable', 'refuse everything to a robot, from its next request on')).action(disable)
  addApiFlags(named('enable', 'undo disable')).action(enable)
  addApiFlags(named('remove', 'delete a robot; what it pushed stays')).action(remove)
}

interface OutputOptions {
  readonly output?: OutputForm
  readonly registry?: string
  readonly json?: true
}

function addOutputOptions(command: Command): Command {
  return command
    .addOption(new Option('--output <form>', 'what to print, ready to be pasted (without it: plain)').choices(outputForms))
    .option(
      '--registry <host:port>',
      'the address by which the machine calls the registry (without it: that of --server, or from the settings)',
    )
    .addOption(new Option('--json', 'one JSON object').conflicts(['output']))
}

type CreateOptions = ScopeOptions & LifeOptions & OutputOptions & { readonly description?: string }

async function createOne(...[namespace, name, options, command]: [string, string, CreateOptions, Command]): Promise<void> {
  const { description } = options
  const body = { name, description, scopes: scopesOf(options), lifetimeSeconds: lifeOf(options) }
  await withApi(command, async (api) => {
    printMade(await api.call(createRobot, { path: { namespace }, body }), options, command)
  })
}

async function list(namespace: string, options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const robots = await Array.fromAsync(allItems(api, listRobots, { path: { namespace } }))
    if (options.json) return print(`${JSON.stringify(robots)}\n`)
    printTable(robots)
  })
}

async function show(...[namespace, robot, options, command]: [string, string, { json?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const found = await api.call(getRobot, { path: { namespace, robot } })
    if (options.json) return print(`${JSON.stringify(found)}\n`)
    print(
      formatTable([
        ['NAME', found.name],
        ['SIGNS IN AS', found.username],
        ['DESCRIPTION', found.description],
        ['ROBOT', statusOf(found)],
        ['CREATED', `${found.createdAt}${found.createdBy === null ? '' : ` by ${found.createdBy}`}`],
      ]),
    )
    print(
      `\n${formatTable([['TOKEN', 'ENDS IN', ...tokenHead], ...found.tokens.map((token) => [token.name, token.hint, ...tokenCells(token)])])}`,
    )
  })
}

type ChangeOptions = ScopeOptions & { readonly description?: string; readonly json?: true }

async function changeOne(...[namespace, robot, options, command]: [string, string, ChangeOptions, Command]): Promise<void> {
  const { description } = options
  const isScoped = [options.pull, options.push, options.delete].some((patterns) => patterns !== undefined)
  if (!isScoped && description === undefined) throw new CommandError('say what to change: --pull, --push, --delete or --description')
  const body = { ...(isScoped && { scopes: scopesOf(options) }), ...(description !== undefined && { description }) }
  await withApi(command, async (api) => {
    const changed = await api.call(changeRobot, { path: { namespace, robot }, body })
    if (options.json) return print(`${JSON.stringify(changed)}\n`)
    printTable([changed])
  })
}

async function disable(...[namespace, robot, , command]: [string, string, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(changeRobot, { path: { namespace, robot }, body: { disabled: true } })
    print(`the robot "${robot}" of ${namespace} is disabled\n`)
  })
}

async function enable(...[namespace, robot, , command]: [string, string, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(changeRobot, { path: { namespace, robot }, body: { disabled: false } })
    print(`the robot "${robot}" of ${namespace} is enabled\n`)
  })
}

async function remove(...[namespace, robot, , command]: [string, string, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(deleteRobot, { path: { namespace, robot } })
    print(`the robot "${robot}" of ${namespace} was removed; what it pushed stays\n`)
  })
}

async function rotate(...[namespace, robot, options, command]: [string, string, LifeOptions & OutputOptions, Command]): Promise<void> {
  const body = rotationOf(options)
  await withApi(command, async (api) => {
    printMade(await api.call(rotateRobotSecret, { path: { namespace, robot }, body }), options, command)
  })
}

type ShownRobot = Got<NonNullable<typeof getRobot.answer.schema>>

function printTable(robots: readonly ShownRobot[]): void {
  print(formatTable([['NAME', 'SIGNS IN AS', 'ROBOT', ...tokenHead], ...robots.flatMap(rowsOf)]))
}

/** One for its token, and one for each old secret that still goes on. */
function rowsOf(robot: ShownRobot): string[][] {
  const told = robot.tokens.filter(({ name, status }) => name === robot.name || status === 'active')
  return told.map((token) => [robot.name, robot.username, statusOf(robot), ...tokenCells(token)])
}

function statusOf({ disabled }: ShownRobot): string {
  return disabled ? 'disabled' : 'enabled'
}

/** The forms other than plain hold nothing but what is pasted, so that they can be sent to a file. */
function printMade(made: ShownRobot & { readonly secret: string }, options: OutputOptions, command: Command): void {
  const { username, secret, tokens } = made
  const { output: form = 'plain', registry = addressOf(command), json } = options
  if (json) return print(`${JSON.stringify({ registry, ...made })}\n`)
  print(renderCredentials(form, { registry, username, secret }))
  const [token] = tokens
  if (form === 'plain' && token) print(`\nThis is the robot ${username}: ${announce(token)}.\n`)
}

/** That of the server, or as clients on this machine call it, if nothing says how others do. */
function addressOf(command: Command): string {
  const server = serverOf(command)
  if (server !== undefined) return new URL(server).host
  const { externalUrl, listen } = loadSettingsFor(command)
  return externalUrl === undefined ? `localhost:${parseListen(listen).port}` : new URL(externalUrl).host
}
