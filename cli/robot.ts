/**
 * `lanyard robot`: accounts of machines, owned by a namespace, on a running server and on a stopped one. What is done to a robot
 * acts on its next request. Its secret is printed once, on standard output, as it is to be pasted.
 */
import { type Command, Option } from 'commander'
import type { MadeToken } from '../registry/access-tokens.ts'
import { makeRobot, removeRobot, robotsOf, rotateRobot, setRobotDisabled, type RobotFacts } from '../registry/robots.ts'
import { parseListen } from '../server/config/listen.ts'
import type { Settings } from '../server/config/settings.ts'
import type { Database } from '../storage/metadata/database.ts'
import { addDataFlags } from './config.ts'
import { outputForms, renderCredentials, type OutputForm } from './credentials.ts'
import { withDatabase } from './open-database.ts'
import { formatTable, print } from './terminal.ts'
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

export function addRobotCommands(program: Command): void {
  const robot = program.command('robot').description('accounts of machines, owned by a namespace').helpCommand(false)
  const create = robot
    .command('create <namespace> <name>')
    .description('create a robot with its token; it signs in as <namespace>.<name>')
    .option('--description <text>', 'what it is for')
  addDataFlags(addOutputOptions(addLifeOption(addScopeOptions(create)))).action(createRobot)
  addDataFlags(robot.command('list <namespace>').description('all robots of a namespace').option('--json', 'one JSON array')).action(list)
  const named = (verb: string, description: string) => addDataFlags(robot.command(`${verb} <namespace> <name>`).description(description))
  named('disable', 'refuse everything to a robot, from its next request on').action(disable)
  named('enable', 'undo disable').action(enable)
  named('remove', 'delete a robot; what it pushed stays').action(remove)
  const rotate = robot.command('rotate <namespace> <name>').description('give a robot a new secret')
  addDataFlags(addOutputOptions(addRotationOptions(rotate))).action(rotateSecret)
}

interface OutputOptions {
  readonly output?: OutputForm
  readonly registry?: string
  readonly json?: true
}

function addOutputOptions(command: Command): Command {
  return command
    .addOption(new Option('--output <form>', 'what to print, ready to be pasted (without it: plain)').choices(outputForms))
    .option('--registry <host:port>', 'the address by which the machine calls the registry (without it: from the settings)')
    .addOption(new Option('--json', 'one JSON object').conflicts(['output']))
}

type CreateOptions = ScopeOptions & LifeOptions & OutputOptions & { readonly description?: string }

async function createRobot(...[namespace, name, options, command]: [string, string, CreateOptions, Command]): Promise<void> {
  const { description } = options
  const scopes = scopesOf(options)
  const nowMs = Date.now()
  const expiresAtMs = expiryOf(options, nowMs)
  const wish = { namespace, name, scopes, expiresAtMs, by: null, nowMs, ...(description === undefined ? {} : { description }) }
  await withDatabase(command, async ({ settings, database }) => show(settings, await makeRobot(database, wish), options))
}

async function list(namespace: string, options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const robots = await Array.fromAsync(allRobots(database, namespace))
    if (options.json) return print(`${JSON.stringify(robots.map(robotJson))}\n`)
    print(formatTable([['NAME', 'SIGNS IN AS', 'ROBOT', ...tokenHead], ...robots.flatMap(rowsOf)]))
  })
}

async function* allRobots(database: Database, namespace: string): AsyncGenerator<RobotFacts> {
  const limit = 500
  for (let after: string | undefined; ;) {
    const page = await robotsOf(database, { namespace, after, limit, nowMs: Date.now() })
    yield* page
    if (page.length < limit) return
    after = page.at(-1)?.fullName
  }
}

/** One for its token, and one for each old secret that still goes on. */
function rowsOf(robot: RobotFacts): string[][] {
  const told = robot.tokens.filter(({ name, status }) => name === robot.name || status === 'active')
  return told.map((token) => [robot.name, robot.fullName, robot.isDisabled ? 'disabled' : 'enabled', ...tokenCells(token)])
}

function robotJson(robot: RobotFacts): Record<string, unknown> {
  const { fullName, name, namespace, description, isDisabled, createdAtMs, createdBy, tokens } = robot
  const created = new Date(createdAtMs).toISOString()
  const status = isDisabled ? 'disabled' : 'enabled'
  return { name, namespace, username: fullName, description, status, created, createdBy: createdBy ?? null, tokens: tokens.map(tokenJson) }
}

async function disable(...[namespace, name, , command]: [string, string, object, Command]): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await setRobotDisabled(database, { namespace, name }, true)
    print(`the robot "${name}" of ${namespace} is disabled\n`)
  })
}

async function enable(...[namespace, name, , command]: [string, string, object, Command]): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await setRobotDisabled(database, { namespace, name }, false)
    print(`the robot "${name}" of ${namespace} is enabled\n`)
  })
}

async function remove(...[namespace, name, , command]: [string, string, object, Command]): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await removeRobot(database, { namespace, name })
    print(`the robot "${name}" of ${namespace} was removed; what it pushed stays\n`)
  })
}

async function rotateSecret(...[namespace, name, options, command]: [string, string, LifeOptions & OutputOptions, Command]): Promise<void> {
  const nowMs = Date.now()
  const rotation = { namespace, name, nowMs, ...rotationOf(options, nowMs) }
  await withDatabase(command, async ({ settings, database }) => show(settings, await rotateRobot(database, rotation), options))
}

/** The forms other than plain hold nothing but what is pasted, so that they can be sent to a file. */
function show(settings: Settings, made: MadeToken & { readonly fullName: string }, options: OutputOptions): void {
  const { fullName: username, secret, token } = made
  const { output: form = 'plain', registry = addressOf(settings), json } = options
  if (json) return print(`${JSON.stringify({ registry, username, ...tokenJson(token), secret })}\n`)
  print(renderCredentials(form, { registry, username, secret }))
  if (form === 'plain') print(`\nThis is the robot ${username}: ${announce(token)}.\n`)
}

/** As clients on this machine call it, if nothing says how others do. */
function addressOf({ externalUrl, listen }: Settings): string {
  return externalUrl === undefined ? `localhost:${parseListen(listen).port}` : new URL(externalUrl).host
}
