/**
 * `lanyard repo`: which repositories there are and who may see them.
 */
import { Command } from 'commander'
import { parseRepositoryName } from '../oci/repository-name.ts'
import { changeVisibility } from '../registry/visibility.ts'
import { listRepositories, type RepositoryRow } from '../storage/metadata/repositories.ts'
import type { Reader } from '../storage/metadata/schema.ts'
import { addDataFlags } from './config.ts'
import { audit, withDatabase } from './open-database.ts'
import { CommandError, formatTable, print } from './terminal.ts'

const visibilities = ['private', 'internal', 'public'] as const

export function addRepositoryCommands(program: Command): void {
  const repository = program.command('repo').description('repositories').helpCommand(false)
  addDataFlags(repository.command('list').description('all repositories').option('--json', 'one JSON array')).action(list)
  addDataFlags(
    repository
      .command('visibility <name> <visibility>')
      .description('who may pull: private (its owner and administrators), internal (anyone signed in), public (anyone)'),
  ).action(visibility)
}

async function list(options: { json?: true }, command: Command): Promise<void> {
  await withDatabase(command, async ({ database }) => {
    const rows = await Array.fromAsync(allRepositories(database.read))
    if (options.json) return print(`${JSON.stringify(rows.map(({ name, visibility }) => ({ name, visibility })))}\n`)
    print(
      formatTable([
        ['NAME', 'VISIBILITY', 'CREATED'],
        ...rows.map((row) => [row.name, row.visibility, new Date(row.created_at_ms).toISOString()]),
      ]),
    )
  })
}

async function visibility(...[nameText, wish, , command]: [string, string, object, Command]): Promise<void> {
  const name = parseRepositoryName(nameText)
  const visibility = visibilities.find((each) => each === wish)
  if (!visibility) throw new CommandError(`a visibility is one of ${visibilities.join(', ')}, not "${wish}"`)
  await withDatabase(command, async ({ database }) => {
    await changeVisibility(database, name, visibility)
    await audit(database, { action: 'visibility', target: name, detail: { visibility } })
    print(`${name} is ${visibility} now\n`)
  })
}

async function* allRepositories(db: Reader): AsyncGenerator<RepositoryRow> {
  const limit = 1000
  for (let after: string | undefined; ;) {
    const rows = await listRepositories(db, { filter: { kind: 'all' }, after, limit })
    yield* rows
    if (rows.length < limit) return
    after = rows.at(-1)?.name
  }
}
