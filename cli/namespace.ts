/**
 * `lanyard namespace`: namespaces and the roles of people and teams in them. Every change acts on the next request.
 */
import { Command } from 'commander'
import { namespaceOf, parseRepositoryName } from '../oci/repository-name.ts'
import { parseRole } from '../registry/namespaces.ts'
import { deleteAccountRole, deleteTeamRole, listMembers, putAccountRole, putTeamRole } from '../server/api/members.ts'
import {
  changeNamespace,
  createNamespace,
  deleteNamespace,
  getNamespace,
  listNamespaces,
  previewNamespaceRemoval,
  previewNamespaceRename,
} from '../server/api/namespaces.ts'
import type { Got } from '../server/api/operation.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems } from './remote.ts'
import { CommandError, confirm, formatTable, print } from './terminal.ts'
import { freedInWords, usageRows } from './usage.ts'

const visibilities = ['private', 'internal', 'public'] as const
type Visibility = (typeof visibilities)[number]

const place = 'in a namespace, or in one repository of it (team/app)'

export function addNamespaceCommands(program: Command): void {
  const namespace = program
    .command('namespace')
    .description('namespaces, the first part of repository names, and roles in them')
    .helpCommand(false)
  addApiFlags(namespace.command('list').description('all namespaces').option('--json', 'one JSON array')).action(list)
  addApiFlags(
    namespace.command('show <name>').description('one namespace: its owners, what it holds').option('--json', 'one JSON object'),
  ).action(show)
  addApiFlags(
    namespace
      .command('create <name>')
      .description('create a namespace')
      .option('--owner <account>', 'who owns it; without, whoever creates it, or administrators alone if one does')
      .option('--description <text>', 'what it is for')
      .option('--visibility <visibility>', 'of its new repositories: private, internal or public')
      .option('--yes', 'do not ask before new repositories become public'),
  ).action(create)
  addApiFlags(
    namespace
      .command('rename <name> <new-name>')
      .description('rename a namespace and all its repositories')
      .option('--yes', 'do not ask, after showing what it affects'),
  ).action(rename)
  addApiFlags(
    namespace
      .command('remove <name>')
      .description('remove a namespace with its roles and robots')
      .option('--with-repositories', 'and its repositories with all their tags and manifests')
      .option('--yes', 'do not ask, after showing what it affects'),
  ).action(remove)
  addMemberCommands(namespace)
}

function addMemberCommands(namespace: Command): void {
  addApiFlags(
    namespace
      .command('grant <place> <role> <member>')
      .description(`grant an account a role ${place}: reader (pull), writer (push too), maintainer (delete too), owner, or none`)
      .option('--team', 'the member is a team'),
  ).action(grant)
  addApiFlags(
    namespace
      .command('revoke <place> <member>')
      .description(`take the role of an account away ${place}`)
      .option('--team', 'the member is a team'),
  ).action(revoke)
  addApiFlags(
    namespace.command('members <name>').description('who has which role in a namespace').option('--json', 'one JSON array'),
  ).action(members)
  addApiFlags(
    namespace
      .command('visibility <name> <visibility>')
      .description('who may pull from new repositories: private, internal, public, or default (as the setting says)')
      .option('--yes', 'do not ask before new repositories become public'),
  ).action(visibility)
}

async function list(options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const namespaces = await Array.fromAsync(allItems(api, listNamespaces))
    if (options.json) return print(`${JSON.stringify(namespaces)}\n`)
    const rows = namespaces.map(({ name, visibility, createdAt, description }) => [name, visibility ?? 'default', createdAt, description])
    print(formatTable([['NAME', 'NEW REPOSITORIES', 'CREATED', 'DESCRIPTION'], ...rows]))
  })
}

async function show(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const namespace = await api.call(getNamespace, { path: { namespace: name } })
    if (options.json) return print(`${JSON.stringify(namespace)}\n`)
    const { owners, content } = namespace
    print(
      formatTable([
        ['name', namespace.name],
        ['description', namespace.description],
        ['new repositories', namespace.visibility ?? 'default'],
        ['created', namespace.createdAt],
        ['owners', owners.join(', ') || 'administrators alone'],
        ...(content ? contentRows(content) : []),
      ]),
    )
  })
}

interface CreateOptions {
  readonly owner?: string
  readonly description?: string
  readonly visibility?: string
  readonly yes?: true
}

async function create(name: string, options: CreateOptions, command: Command): Promise<void> {
  const { owner, description, yes } = options
  const visibility = options.visibility === undefined ? undefined : parseVisibility(options.visibility)
  await confirmPublic(name, visibility, yes)
  await withApi(command, async (api) => {
    await api.call(createNamespace, { body: { name, owner, description, visibility } })
    print(`the namespace "${name}" was created${owner === undefined ? '' : `, "${owner}" owns it`}\n`)
  })
}

async function rename(...[from, to, options, command]: [string, string, { yes?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const path = { namespace: from }
    const content = await api.call(previewNamespaceRename, { path, query: { to } })
    const consequence = `"${from}" becomes "${to}" with ${inWords(content)}; who uses the old names, tokens that name them included, has to change`
    await confirm(consequence, { isSure: options.yes === true })
    await api.call(changeNamespace, { path, body: { name: to } })
    print(`"${from}" is "${to}" now, with ${counted(content.repositories, 'repository', 'repositories')}\n`)
  })
}

async function remove(name: string, options: { withRepositories?: true; yes?: true }, command: Command): Promise<void> {
  const withRepositories = options.withRepositories === true
  await withApi(command, async (api) => {
    const path = { namespace: name }
    const content = await api.call(previewNamespaceRemoval, { path })
    if (content.repositories > 0 && !withRepositories)
      throw new CommandError(`"${name}" holds ${inWords(content)}: add --with-repositories to remove them too`)
    await confirm(`"${name}" is removed with ${inWords(content)}${freedInWords(content.usage)}`, { isSure: options.yes === true })
    await api.call(deleteNamespace, { path, query: { repositories: String(withRepositories) } })
    print(`"${name}" was removed with ${inWords(content)}\n`)
  })
}

async function grant(...[where, roleText, who, options, command]: [string, string, string, { team?: true }, Command]): Promise<void> {
  const role = parseRole(roleText)
  const { namespace, query } = placeOf(where)
  await withApi(command, async (api) => {
    if (options.team) await api.call(putTeamRole, { path: { namespace, team: who }, query, body: { role } })
    else await api.call(putAccountRole, { path: { namespace, account: who }, query, body: { role } })
    print(`${nameOf(who, options)} is ${role === 'none' ? 'nothing' : role} in ${where} now\n`)
  })
}

async function revoke(...[where, who, options, command]: [string, string, { team?: true }, Command]): Promise<void> {
  const { namespace, query } = placeOf(where)
  await withApi(command, async (api) => {
    if (options.team) await api.call(deleteTeamRole, { path: { namespace, team: who }, query })
    else await api.call(deleteAccountRole, { path: { namespace, account: who }, query })
    print(`${nameOf(who, options)} has no role of its own in ${where} any more\n`)
  })
}

async function members(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const roles = await Array.fromAsync(allItems(api, listMembers, { path: { namespace: name } }))
    if (options.json) return print(`${JSON.stringify(roles)}\n`)
    print(
      formatTable([
        ['MEMBER', 'KIND', 'ROLE', 'IN', 'SINCE', 'BY'],
        ...roles.map(({ account, team, role, repository, grantedAt, grantedBy }) => [
          account ?? team ?? '',
          team === null ? 'account' : 'team',
          role,
          repository ?? `${name}/`,
          grantedAt,
          grantedBy ?? 'the command line',
        ]),
      ]),
    )
  })
}

async function visibility(...[name, wish, options, command]: [string, string, { yes?: true }, Command]): Promise<void> {
  const visibility = wish === 'default' ? null : parseVisibility(wish)
  await confirmPublic(name, visibility ?? undefined, options.yes)
  await withApi(command, async (api) => {
    await api.call(changeNamespace, { path: { namespace: name }, body: { visibility } })
    print(
      `new repositories of "${name}" are ${visibility ?? 'what the setting repositories.visibility says'}; those that exist stay as they are\n`,
    )
  })
}

function parseVisibility(text: string): Visibility {
  const visibility = visibilities.find((each) => each === text)
  if (!visibility) throw new CommandError(`a visibility is one of ${visibilities.join(', ')}, not "${text}"`)
  return visibility
}

async function confirmPublic(name: string, visibility: Visibility | undefined, yes: true | undefined): Promise<void> {
  if (visibility !== 'public') return
  await confirm(`anyone who reaches the registry may then pull from new repositories of "${name}"`, { isSure: yes === true })
}

/** `team`, or `team/app` for one repository. */
function placeOf(text: string): { namespace: string; query: { repository?: string } } {
  const name = parseRepositoryName(text)
  return text.includes('/') ? { namespace: namespaceOf(name), query: { repository: name } } : { namespace: text, query: {} }
}

function nameOf(member: string, { team }: { team?: true }): string {
  return team ? `the team "${member}"` : `"${member}"`
}

function contentRows({
  usage,
  ...counts
}: NonNullable<Got<NonNullable<typeof getNamespace.answer.schema>>['content']>): [string, string][] {
  return [...Object.entries(counts).map(([what, count]): [string, string] => [what, String(count)]), ...usageRows(usage)]
}

/** What is there, as part of a sentence. */
function inWords({
  repositories,
  members,
  exceptions,
  robots,
  usage: { manifests, bytes },
}: Got<NonNullable<typeof previewNamespaceRemoval.answer.schema>>): string {
  return [
    `${counted(repositories, 'repository', 'repositories')} (${counted(manifests, 'manifest', 'manifests')}, ${bytes} bytes)`,
    counted(members + exceptions, 'role', 'roles'),
    counted(robots, 'robot', 'robots'),
  ].join(', ')
}

function counted(count: number, one: string, several: string): string {
  return `${count} ${count === 1 ? one : several}`
}
