/**
 * `lanyard namespace`: namespaces and the roles of people and teams in them. Every change acts on the next request.
 */
import { Command } from 'commander'
import { namespaceOf, parseRepositoryName } from '../oci/repository-name.ts'
import {
  addNamespace,
  describeNamespace,
  grantRole,
  membersOf,
  namespacesFor,
  parseRole,
  previewRemoval,
  previewRename,
  removeNamespace,
  renameNamespaceTo,
  revokeRole,
  updateNamespace,
  type GrantPlace,
  type Member,
} from '../registry/namespaces.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { MemberRow } from '../storage/metadata/grants.ts'
import type { NamespaceContent, NamespaceRow } from '../storage/metadata/namespaces.ts'
import { addDataFlags } from './config.ts'
import { withDatabase } from './open-database.ts'
import { CommandError, confirm, formatTable, print } from './terminal.ts'

const visibilities = ['private', 'internal', 'public'] as const
type Visibility = (typeof visibilities)[number]

const place = 'in a namespace, or in one repository of it (team/app)'

export function addNamespaceCommands(program: Command): void {
  const namespace = program
    .command('namespace')
    .description('namespaces, the first part of repository names, and roles in them')
    .helpCommand(false)
  addDataFlags(namespace.command('list').description('all namespaces').option('--json', 'one JSON array')).action(list)
  addDataFlags(
    namespace.command('show <name>').description('one namespace: its owners, what it holds').option('--json', 'one JSON object'),
  ).action(show)
  addDataFlags(
    namespace
      .command('create <name>')
      .description('create a namespace')
      .option('--owner <account>', 'who owns it; without, administrators alone manage it')
      .option('--description <text>', 'what it is for')
      .option('--visibility <visibility>', 'of its new repositories: private, internal or public')
      .option('--yes', 'do not ask before new repositories become public'),
  ).action(create)
  addDataFlags(
    namespace
      .command('rename <name> <new-name>')
      .description('rename a namespace and all its repositories')
      .option('--yes', 'do not ask, after showing what it affects'),
  ).action(rename)
  addDataFlags(
    namespace
      .command('remove <name>')
      .description('remove a namespace with its roles and robots')
      .option('--with-repositories', 'and its repositories with all their tags and manifests')
      .option('--yes', 'do not ask, after showing what it affects'),
  ).action(remove)
  addMemberCommands(namespace)
}

function addMemberCommands(namespace: Command): void {
  addDataFlags(
    namespace
      .command('grant <place> <role> <member>')
      .description(`grant an account a role ${place}: reader (pull), writer (push too), maintainer (delete too), owner, or none`)
      .option('--team', 'the member is a team'),
  ).action(grant)
  addDataFlags(
    namespace
      .command('revoke <place> <member>')
      .description(`take the role of an account away ${place}`)
      .option('--team', 'the member is a team'),
  ).action(revoke)
  addDataFlags(
    namespace.command('members <name>').description('who has which role in a namespace').option('--json', 'one JSON array'),
  ).action(members)
  addDataFlags(
    namespace
      .command('visibility <name> <visibility>')
      .description('who may pull from new repositories: private, internal, public, or default (as the setting says)')
      .option('--yes', 'do not ask before new repositories become public'),
  ).action(visibility)
}

async function list(options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const rows = await Array.fromAsync(allNamespaces(database))
    if (options.json) return print(`${JSON.stringify(rows.map(asJson))}\n`)
    print(
      formatTable([
        ['NAME', 'NEW REPOSITORIES', 'CREATED', 'DESCRIPTION'],
        ...rows.map((row) => [row.name, row.visibility ?? 'default', isoOf(row.created_at_ms), row.description]),
      ]),
    )
  })
}

async function show(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const { owners, content, ...row } = await describeNamespace(database, name)
    if (options.json) return print(`${JSON.stringify({ ...asJson(row), owners, ...contentOf(content) })}\n`)
    print(
      formatTable([
        ['name', row.name],
        ['description', row.description],
        ['new repositories', row.visibility ?? 'default'],
        ['created', isoOf(row.created_at_ms)],
        ['owners', owners.join(', ') || 'administrators alone'],
        ...Object.entries(contentOf(content)).map(([what, count]) => [what, String(count)]),
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
  await withDatabase(command, async ({ database }) => {
    await addNamespace(database, {
      name,
      by: null,
      nowMs: Date.now(),
      ...(owner === undefined ? {} : { owner }),
      ...(description === undefined ? {} : { description }),
      ...(visibility === undefined ? {} : { visibility }),
    })
    print(`the namespace "${name}" was created${owner === undefined ? '' : `, "${owner}" owns it`}\n`)
  })
}

async function rename(...[from, to, options, command]: [string, string, { yes?: true }, Command]): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const preview = inWords(await previewRename(database, { from, to }))
    const consequence = `"${from}" becomes "${to}" with ${preview}; who uses the old names, tokens that name them included, has to change`
    await confirm(consequence, { isSure: options.yes === true })
    const { repositories } = await renameNamespaceTo(database, { from, to })
    print(`"${from}" is "${to}" now, with ${counted(repositories, 'repository', 'repositories')}\n`)
  })
}

async function remove(name: string, options: { withRepositories?: true; yes?: true }, command: Command): Promise<void> {
  const withRepositories = options.withRepositories === true
  await withDatabase(command, async ({ database }) => {
    const content = await previewRemoval(database, name)
    if (content.repositories > 0 && !withRepositories)
      throw new CommandError(`"${name}" holds ${inWords(content)}: add --with-repositories to remove them too`)
    await confirm(`"${name}" is removed with ${inWords(content)}`, { isSure: options.yes === true })
    const removed = await removeNamespace(database, name, { withRepositories })
    print(`"${name}" was removed with ${inWords(removed)}\n`)
  })
}

async function grant(...[where, roleText, who, options, command]: [string, string, string, { team?: true }, Command]): Promise<void> {
  const role = parseRole(roleText)
  const member = memberOf(who, options)
  await withDatabase(command, async ({ database }) => {
    await grantRole(database, { ...placeOf(where), member, role, by: null, nowMs: Date.now() })
    print(`${nameOf(member)} is ${role === 'none' ? 'nothing' : role} in ${where} now\n`)
  })
}

async function revoke(...[where, who, options, command]: [string, string, { team?: true }, Command]): Promise<void> {
  const member = memberOf(who, options)
  await withDatabase(command, async ({ database }) => {
    await revokeRole(database, { ...placeOf(where), member })
    print(`${nameOf(member)} has no role of its own in ${where} any more\n`)
  })
}

async function members(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const rows = await Array.fromAsync(allMembers(database, name))
    if (options.json) return print(`${JSON.stringify(rows.map(memberAsJson))}\n`)
    print(
      formatTable([
        ['MEMBER', 'KIND', 'ROLE', 'IN', 'SINCE', 'BY'],
        ...rows.map((row) => [
          row.account ?? row.team ?? '',
          row.team === null ? 'account' : 'team',
          row.role,
          row.repository || `${name}/`,
          isoOf(row.granted_at_ms),
          row.granted_by ?? 'the command line',
        ]),
      ]),
    )
  })
}

async function visibility(...[name, wish, options, command]: [string, string, { yes?: true }, Command]): Promise<void> {
  const visibility = wish === 'default' ? null : parseVisibility(wish)
  await confirmPublic(name, visibility ?? undefined, options.yes)
  await withDatabase(command, async ({ database }) => {
    await updateNamespace(database, name, { visibility })
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
function placeOf(text: string): GrantPlace {
  const name = parseRepositoryName(text)
  return text.includes('/') ? { namespace: namespaceOf(name), repository: name } : { namespace: text }
}

function memberOf(name: string, { team }: { team?: true }): Member {
  return team ? { team: name } : { account: name }
}

function nameOf(member: Member): string {
  return 'team' in member ? `the team "${member.team}"` : `"${member.account}"`
}

function asJson(row: NamespaceRow): Record<string, unknown> {
  const { name, description, visibility } = row
  return { name, description, visibility, created: isoOf(row.created_at_ms), createdBy: row.created_by }
}

function memberAsJson(row: MemberRow): Record<string, unknown> {
  const { account, team, role, repository } = row
  return { account, team, role, repository: repository || null, since: isoOf(row.granted_at_ms), by: row.granted_by }
}

function contentOf({ repositories, manifests, bytes, members, exceptions, robots }: NamespaceContent) {
  return { repositories, manifests, bytes, members, exceptions, robots }
}

/** What is there, as part of a sentence. */
function inWords({ repositories, manifests, bytes, members, exceptions, robots }: NamespaceContent): string {
  return [
    `${counted(repositories, 'repository', 'repositories')} (${counted(manifests, 'manifest', 'manifests')}, ${bytes} bytes)`,
    counted(members + exceptions, 'role', 'roles'),
    counted(robots, 'robot', 'robots'),
  ].join(', ')
}

function counted(count: number, one: string, several: string): string {
  return `${count} ${count === 1 ? one : several}`
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}

async function* allNamespaces(database: Database): AsyncGenerator<NamespaceRow> {
  for (let after: string | undefined; ;) {
    const { items, hasMore } = await namespacesFor(database, 'all', { after, limit: 500 })
    yield* items
    if (!hasMore) return
    after = items.at(-1)?.name
  }
}

async function* allMembers(database: Database, name: string): AsyncGenerator<MemberRow> {
  for (let after: MemberRow | undefined; ;) {
    const { items, hasMore } = await membersOf(database, name, { after, limit: 500 })
    yield* items
    if (!hasMore) return
    after = items.at(-1)
  }
}
