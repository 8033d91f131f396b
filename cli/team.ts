/**
 * `lanyard team`: people who are granted roles as one. Every change acts on the next request.
 */
import { Command } from 'commander'
import {
  createTeam,
  deleteTeam,
  deleteTeamMember,
  getTeam,
  listTeamMembers,
  listTeamRoles,
  listTeams,
  putTeamMember,
} from '../server/api/teams.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems } from './remote.ts'
import { formatTable, print } from './terminal.ts'

export function addTeamCommands(program: Command): void {
  const team = program.command('team').description('teams, which are granted roles as one').helpCommand(false)
  addApiFlags(team.command('list').description('all teams').option('--json', 'one JSON array')).action(list)
  addApiFlags(
    team.command('show <name>').description('one team: who is in it, which roles it has').option('--json', 'one JSON object'),
  ).action(show)
  addApiFlags(team.command('create <name>').description('create a team').option('--description <text>', 'what it is for')).action(create)
  addApiFlags(team.command('remove <name>').description('remove a team; its members lose the roles that it gave them')).action(remove)
  addApiFlags(
    team.command('add <name> <account>').description('put an account into a team').option('--manager', 'who may add and drop members'),
  ).action(add)
  addApiFlags(team.command('drop <name> <account>').description('take an account out of a team')).action(drop)
}

async function list(options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const teams = await Array.fromAsync(allItems(api, listTeams))
    if (options.json) return print(`${JSON.stringify(teams)}\n`)
    const rows = teams.map(({ name, createdAt, description }) => [name, createdAt, description])
    print(formatTable([['NAME', 'CREATED', 'DESCRIPTION'], ...rows]))
  })
}

async function show(name: string, options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const path = { team: name }
    const team = await api.call(getTeam, { path })
    const members = await Array.fromAsync(allItems(api, listTeamMembers, { path }))
    const roles = await Array.fromAsync(allItems(api, listTeamRoles, { path }))
    if (options.json) return print(`${JSON.stringify({ ...team, members, roles })}\n`)
    print(
      [
        formatTable([
          ['MEMBER', 'MANAGER', 'SINCE'],
          ...members.map(({ account, manager, addedAt }) => [account, manager ? 'yes' : 'no', addedAt]),
        ]),
        formatTable([['ROLE', 'IN'], ...roles.map(({ namespace, repository, role }) => [role, repository ?? `${namespace}/`])]),
      ].join('\n'),
    )
  })
}

async function create(name: string, options: { description?: string }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(createTeam, { body: { name, description: options.description } })
    print(`the team "${name}" was created\n`)
  })
}

async function remove(name: string, _options: object, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(deleteTeam, { path: { team: name } })
    print(`the team "${name}" was removed\n`)
  })
}

async function add(...[name, account, options, command]: [string, string, { manager?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const { manager } = await api.call(putTeamMember, { path: { team: name, account }, body: { manager: options.manager === true } })
    print(`"${account}" is a ${manager ? 'manager' : 'member'} of the team "${name}" now\n`)
  })
}

async function drop(...[name, account, , command]: [string, string, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    await api.call(deleteTeamMember, { path: { team: name, account } })
    print(`"${account}" is not in the team "${name}" any more\n`)
  })
}
