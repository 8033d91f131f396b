/**
 * `lanyard tag`: the tags of a repository, what they are and were, and moving them.
 */
import type { Command } from 'commander'
import { getManifest } from '../server/api/manifests.ts'
import { deleteTag, getTag, listTagHistory, listTags, putTag, restoreTag } from '../server/api/tags.ts'
import { addApiFlags, withApi } from './api-access.ts'
import { allItems, type Api } from './remote.ts'
import { confirm, formatBytes, formatTable, print } from './terminal.ts'

export function addTagCommands(program: Command): void {
  const tag = program.command('tag').description('tags of a repository').helpCommand(false)
  addApiFlags(
    tag
      .command('list <repository>')
      .description('its tags with size, platforms and who pushed them')
      .option('--filter <text>', 'only those whose name contains a text')
      .option('--json', 'one JSON array'),
  ).action(list)
  addApiFlags(
    tag.command('show <repository> <tag>').description('a tag and the manifest it points at').option('--json', 'one JSON object'),
  ).action(show)
  addApiFlags(
    tag.command('set <repository> <tag> <target>').description('point a tag at a manifest of the repository: a digest, or another tag'),
  ).action(set)
  addApiFlags(
    tag
      .command('delete <repository> <tag>')
      .description('remove a tag; its manifest and its history stay')
      .option('--yes', 'without being asked'),
  ).action(remove)
  addApiFlags(
    tag.command('history <repository> <tag>').description('what a tag was, the newest first').option('--json', 'one JSON array'),
  ).action(history)
  addRestoreCommand(tag)
}

/** What was removed comes back so, too. */
function addRestoreCommand(tag: Command): void {
  addApiFlags(
    tag
      .command('restore <repository> <tag> [digest]')
      .description('make a tag again what it was: a digest of its history, or what it was before'),
  ).action(restore)
}

async function list(name: string, options: { json?: true; filter?: string }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const tags = await Array.fromAsync(allItems(api, listTags, { path: { name }, query: { q: options.filter } }))
    if (options.json) return print(`${JSON.stringify(tags)}\n`)
    const rows = tags.map((tag) => [
      tag.name,
      tag.digest,
      sizeText(tag.sizeBytes),
      tag.platforms.join(', '),
      tag.pushedBy ?? '',
      tag.pushedAt,
    ])
    print(formatTable([['TAG', 'DIGEST', 'SIZE', 'PLATFORMS', 'PUSHED BY', 'PUSHED AT'], ...rows]))
  })
}

async function show(...[name, tagName, options, command]: [string, string, { json?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const tag = await api.call(getTag, { path: { name, tag: tagName } })
    const manifest = await api.call(getManifest, { path: { name, digest: tag.digest } })
    if (options.json) return print(`${JSON.stringify({ ...tag, manifest })}\n`)
    const { config, layers, manifests } = manifest
    print(
      formatTable([
        ['TAG', tag.name],
        ['DIGEST', tag.digest],
        ['TYPE', tag.mediaType],
        ['SIZE', sizeText(tag.sizeBytes)],
        ['PLATFORMS', tag.platforms.join(', ')],
        ['PUSHED', `${tag.pushedAt}${tag.pushedBy === null ? '' : ` by ${tag.pushedBy}`}`],
        ['CREATED', config?.createdAt ?? ''],
        ['ENTRYPOINT', [...(config?.entrypoint ?? []), ...(config?.command ?? [])].join(' ')],
        ...Object.entries(config?.labels ?? {}).map(([label, value]) => ['LABEL', `${label}=${value}`]),
        ...layers.map((layer) => ['LAYER', `${layer.digest}  ${formatBytes(layer.sizeBytes)}`]),
        ...manifests.map((each) => ['MANIFEST', `${each.digest}  ${each.platform ?? ''}`]),
        ['TAGS', manifest.tags.join(', ')],
      ]),
    )
  })
}

async function set(...[name, tag, target, , command]: [string, string, string, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const digest = await digestOf(api, name, target)
    await api.call(putTag, { path: { name, tag }, body: { digest } })
    print(`${name}:${tag} is ${digest} now\n`)
  })
}

async function remove(...[name, tag, options, command]: [string, string, { yes?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const { digest } = await api.call(getTag, { path: { name, tag } })
    await confirm(`this removes the tag ${tag} of ${name}, which is ${digest}`, { isSure: options.yes === true })
    await api.call(deleteTag, { path: { name, tag } })
    print(`${name}:${tag} is gone\n`)
  })
}

async function history(...[name, tag, options, command]: [string, string, { json?: true }, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const intervals = await Array.fromAsync(allItems(api, listTagHistory, { path: { name, tag } }))
    if (options.json) return print(`${JSON.stringify(intervals)}\n`)
    const rows = intervals.map(({ digest, since, until, setBy, endedBy }) => [since, until ?? 'now', digest, setBy ?? '', endedBy ?? ''])
    print(formatTable([['SINCE', 'UNTIL', 'DIGEST', 'SET BY', 'ENDED BY'], ...rows]))
  })
}

async function restore(...[name, tag, digest, , command]: [string, string, string | undefined, object, Command]): Promise<void> {
  await withApi(command, async (api) => {
    const restored = await api.call(restoreTag, { path: { name, tag }, body: digest === undefined ? {} : { digest } })
    print(`${name}:${tag} is ${restored.digest} again\n`)
  })
}

async function digestOf(api: Api, name: string, target: string): Promise<string> {
  if (target.includes(':')) return target
  return (await api.call(getTag, { path: { name, tag: target } })).digest
}

function sizeText(bytes: number | null): string {
  return bytes === null ? 'many' : formatBytes(bytes)
}
