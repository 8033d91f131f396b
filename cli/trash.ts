/**
 * `lanyard trash`: what was deleted and can still be restored.
 */
import type { Command } from 'commander'
import { listNamespaceTrash, listRepositoryTrash, listTrash, purgeTrashItem, restoreTrashItem } from '../server/api/trash.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems, type Api } from './remote.ts'
import { CommandError, confirm, formatTable, print } from './terminal.ts'

interface ListOptions {
  readonly repository?: string
  readonly namespace?: string
  readonly json?: true
}

export function addTrashCommands(program: Command): void {
  const trash = program.command('trash').description('deleted repositories and manifests, while they can be restored').helpCommand(false)
  addApiFlags(
    trash
      .command('list')
      .description('what can be restored, the newest first')
      .option('--repository <name>', 'only manifests of a repository that is there')
      .option('--namespace <name>', 'only what was in a namespace')
      .option('--json', 'one JSON array'),
  ).action(list)
  addApiFlags(trash.command('restore <item>').description('bring back an item by its number in the list')).action(restore)
  addApiFlags(
    trash.command('purge <item>').description('remove an item for good, before its time').option('--yes', 'without being asked'),
  ).action(purge)
}

async function list(options: ListOptions, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const items = await Array.fromAsync(itemsOf(api, options))
    if (options.json) return print(`${JSON.stringify(items)}\n`)
    const rows = items.map((item) => [
      String(item.id),
      item.digest === null ? item.repository : `${item.repository}@${item.digest}`,
      item.tags.join(', '),
      item.deletedAt,
      item.deletedBy ?? '',
      item.goesAt,
    ])
    print(formatTable([['ITEM', 'WHAT', 'TAGS', 'DELETED', 'BY', 'GOES'], ...rows]))
  })
}

function itemsOf(api: Api, { repository, namespace }: ListOptions) {
  if (repository !== undefined && namespace !== undefined) throw new CommandError('--repository and --namespace exclude each other')
  if (repository !== undefined) return allItems(api, listRepositoryTrash, { path: { name: repository } })
  return namespace === undefined ? allItems(api, listTrash) : allItems(api, listNamespaceTrash, { path: { namespace } })
}

async function restore(...[item, , command]: [string, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const { repository, digest } = await api.call(restoreTrashItem, { path: { item } })
    print(`${digest === null ? repository : `${repository}@${digest}`} is there again\n`)
  })
}

async function purge(...[item, options, command]: [string, { yes?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    await confirm(`item ${item} cannot be restored any more then`, { isSure: options.yes === true })
    await api.call(purgeTrashItem, { path: { item } })
    print(`item ${item} is gone\n`)
  })
}
