/**
 * `lanyard repo`: which repositories there are, who may see them, and removing one.
 */
import type { Command } from 'commander'
import { changeRepository, deleteRepository, getRepository, listRepositories } from '../server/api/repositories.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems } from './remote.ts'
import { CommandError, confirm, formatTable, print } from './terminal.ts'
import { freedInWords, usageRows } from './usage.ts'

const visibilities = ['private', 'internal', 'public'] as const

export function addRepositoryCommands(program: Command): void {
  const repository = program.command('repo').alias('repository').description('repositories').helpCommand(false)
  addApiFlags(
    repository
      .command('list')
      .description('all repositories')
      .option('--namespace <name>', 'only those of a namespace')
      .option('--visibility <visibility>', 'only the private, internal or public ones')
      .option('--filter <text>', 'only those whose name contains a text')
      .option('--json', 'one JSON array'),
  ).action(list)
  addApiFlags(repository.command('show <name>').description('one repository').option('--json', 'one JSON object')).action(show)
  addApiFlags(
    repository
      .command('visibility <name> <visibility>')
      .description('who may pull: private (whoever has a role), internal (anyone signed in), public (anyone)')
      .option('--yes', 'do not ask before it becomes public'),
  ).action(visibility)
  addApiFlags(
    repository.command('untagged <name> <rule>').description('how long untagged manifests stay: keep, a number of days, or default'),
  ).action(untagged)
  addApiFlags(
    repository
      .command('delete <name>')
      .description('remove a repository with its tags and manifests')
      .option('--yes', 'without being asked'),
  ).action(remove)
}

interface ListOptions {
  readonly json?: true
  readonly namespace?: string
  readonly visibility?: string
  readonly filter?: string
}

async function list(options: ListOptions, command: Command): Promise<void> {
  const { namespace, filter: q } = options
  const visibility = options.visibility === undefined ? undefined : visibilityOf(options.visibility)
  await withApi(command, async (api) => {
    const repositories = await Array.fromAsync(allItems(api, listRepositories, { query: { namespace, visibility, q } }))
    if (options.json) return print(`${JSON.stringify(repositories)}\n`)
    const rows = repositories.map(({ name, visibility, createdAt }) => [name, visibility, createdAt])
    print(formatTable([['NAME', 'VISIBILITY', 'CREATED'], ...rows]))
  })
}

async function show(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const repository = await api.call(getRepository, { path: { name } })
    if (options.json) return print(`${JSON.stringify(repository)}\n`)
    const { visibility, description, createdAt, usage } = repository
    print(
      formatTable([
        ['NAME', name],
        ['VISIBILITY', visibility],
        ['DESCRIPTION', description],
        ['CREATED', createdAt],
        ...usageRows(usage).map(([what, value]) => [what.toUpperCase(), value]),
      ]),
    )
  })
}

async function visibility(...[name, wish, options, command]: [string, string, { yes?: true }, Command]): Promise<void> {
  const visibility = visibilityOf(wish)
  await withApi(command, async (api) => {
    await api.call(getRepository, { path: { name } })
    if (visibility === 'public') await confirm(`anyone who reaches the registry may then pull ${name}`, { isSure: options.yes === true })
    await api.call(changeRepository, { path: { name }, body: { visibility } })
    print(`${name} is ${visibility} now\n`)
  })
}

async function untagged(...[name, rule, , command]: [string, string, object, Command]): Promise<void> {
  const untaggedDays = daysOf(rule)
  await withApi(command, async (api) => {
    await api.call(changeRepository, { path: { name }, body: { untaggedDays } })
    const words = untaggedDays === null ? 'as long as the setting says' : untaggedDays === 0 ? 'always' : `${untaggedDays} days`
    print(`untagged manifests of ${name} stay ${words} now\n`)
  })
}

function daysOf(rule: string): number | null {
  if (rule === 'default') return null
  if (rule === 'keep') return 0
  if (!/^[1-9]\d{0,4}$/.test(rule)) throw new CommandError(`the rule is keep, default, or a number of days, not "${rule}"`)
  return Number(rule)
}

async function remove(name: string, options: { yes?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const { usage } = await api.call(getRepository, { path: { name } })
    await confirm(`this removes ${name} with all its tags and manifests${freedInWords(usage)}`, { isSure: options.yes === true })
    await api.call(deleteRepository, { path: { name } })
    print(`${name} is gone; "lanyard trash list" shows how long it can be restored\n`)
  })
}

function visibilityOf(text: string): (typeof visibilities)[number] {
  const visibility = visibilities.find((each) => each === text)
  if (!visibility) throw new CommandError(`a visibility is one of ${visibilities.join(', ')}, not "${text}"`)
  return visibility
}
