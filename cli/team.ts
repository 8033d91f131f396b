/**
 * `lanyard team`: people who are granted roles as one. Every change acts on the next request.
 */
import { Command } from 'commander'
import { addTeam, addToTeam, describeTeam, dropFromTeam, removeTeam, teamMembers, teamsFor } from '../registry/teams.ts'
import type { Database } from '../storage/metadata/database.ts'
import type { TeamMemberRow, TeamRow } from '../storage/metadata/teams.ts'
import { addDataFlags } from './config.ts'
import { withDatabase } from './open-database.ts'
import { formatTable, print } from './terminal.ts'

export function addTeamCommands(program: Command): void {
  const team = program.command('team').description('teams, which are granted roles as one').helpCommand(false)
  addDataFlags(team.command('list').description('all teams').option('--json', 'one JSON array')).action(list)
  addDataFlags(
    team.command('show <name>').description('one team: who is in it, which roles it has').option('--json', 'one JSON object'),
  ).action(show)
  addDataFlags(team.command('create <name>').description('create a team').option('--description <text>', 'what it is for')).action(create)
  addDataFlags(team.command('remove <name>').description('remove a team; its members lose the roles that it gave them')).action(remove)
  addDataFlags(
    team.command('add <name> <account>').description('put an account into a team').option('--manager', 'who may add and drop members'),
  ).action(add)
  addDataFlags(team.command('drop <name> <account>').description('take an account out of a team')).action(drop)
}

async function list(options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const teams = await Array.fromAsync(allTeams(database), ({ name, description, created_at_ms: createdAtMs }) => ({
      name,
      description,
      created: isoOf(createdAtMs),
    }))
    if (options.json) return print(`${JSON.stringify(teams)}\n`)
    print(formatTable([['NAME', 'CREATED', 'DESCRIPTION'], ...teams.map(({ name, created, description }) => [name, created, description])]))
  })
}

async function show(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const { description, created_at_ms: createdAtMs, grants } = await describeTeam(database, name)
    const members = await Array.fromAsync(allMembers(database, name), (row) => ({
      account: row.name,
      manager: row.is_manager === 1,
      since: isoOf(row.added_at_ms),
    }))
    const roles = grants.map(({ namespace, repository, role }) => ({ namespace, repository: repository || null, role }))
    if (options.json) return print(`${JSON.stringify({ name, description, created: isoOf(createdAtMs), members, roles })}\n`)
    print(
      [
        formatTable([
          ['MEMBER', 'MANAGER', 'SINCE'],
          ...members.map(({ account, manager, since }) => [account, manager ? 'yes' : 'no', since]),
        ]),
        formatTable([['ROLE', 'IN'], ...roles.map(({ namespace, repository, role }) => [role, repository ?? `${namespace}/`])]),
      ].join('\n'),
    )
  })
}

async function create(name: string, options: { description?: string }, command: Command): Promise<void> {
  const { description } = options
  await withDatabase(command, async ({ database }) => {
    await addTeam(database, { name, nowMs: Date.now(), ...(description === undefined ? {} : { description }) })
    print(`the team "${name}" was created\n`)
  })
}

async function remove(name: string, _options: object, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await removeTeam(database, name)
    print(`the team "${name}" was removed\n`)
  })
}

async function add(...[name, account, options, command]: [string, string, { manager?: true }, Command]): Promise<void> {
  const isManager = options.manager === true
  await withDatabase(command, async ({ database }) => {
    await addToTeam(database, name, { account, isManager, nowMs: Date.now() })
    print(`"${account}" is a ${isManager ? 'manager' : 'member'} of the team "${name}" now\n`)
  })
}

async function drop(...[name, account, , command]: [string, string, object, Command]): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    await dropFromTeam(database, name, account)
    print(`"${account}" is not in the team "${name}" any more\n`)
  })
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}

async function* allTeams(database: Database): AsyncGenerator<TeamRow> {
  for (let after: string | undefined; ;) {
    const { items, hasMore } = await teamsFor(database, 'all', { after, limit: 500 })
    yield* items
    if (!hasMore) return
    after = items.at(-1)?.name
  }
}

async function* allMembers(database: Database, name: string): AsyncGenerator<TeamMemberRow> {
  for (let after: number | undefined; ;) {
    const { items, hasMore } = await teamMembers(database, name, { after, limit: 500 })
    yield* items
    if (!hasMore) return
    after = items.at(-1)?.account_id
  }
}
