/**
 * `lanyard scrub`: what is damaged, how far reading everything has come, and beginning it. The server does the reading.
 */
import type { Command } from 'commander'
import type { Got } from '../server/api/operation.ts'
import { getScrub, startScrub } from '../server/api/scrub.ts'
import { addApiFlags, serverOf, withApi } from './api-access.ts'
import { formatBytes, formatTable, print } from './terminal.ts'

type Report = Got<NonNullable<typeof getScrub.answer.schema>>
type Run = NonNullable<Report['running']>

export function addScrubCommands(program: Command): void {
  const scrub = program.command('scrub').description('damage to what is stored, and looking for it').helpCommand(false)
  addApiFlags(
    scrub.command('run').description('read everything that is stored, beside everything else').option('--json', 'one JSON object'),
  ).action(run)
  addApiFlags(
    scrub.command('status').description('what is damaged, and how far the scrub has come').option('--json', 'one JSON object'),
  ).action(status)
}

async function run(options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const report = await api.call(startScrub)
    if (options.json) return print(`${JSON.stringify(report)}\n`)
    const when =
      serverOf(command) === undefined ? 'a server on this data folder begins with it within a second' : 'it begins within a second'
    print(`a scrub is open: ${when}; lanyard scrub status says how far it is\n`)
  })
}

async function status(options: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const report = await api.call(getScrub)
    print(options.json ? `${JSON.stringify(report)}\n` : inWords(report))
  })
}

function inWords(report: Report): string {
  const { running, last, nextAt, uncheckedSince, damagedBlobs, damagedManifests } = report
  const lines = [
    running ? `under way since ${running.startedAt}, at the ${running.phase}: ${countsOf(running)}` : 'none is under way',
    last ? `the last one ended ${last.finishedAt}: ${countsOf(last)}` : 'none has come to its end yet',
    ...(nextAt === null ? [] : [`the next one begins ${nextAt}`]),
    ...(uncheckedSince === null
      ? []
      : [`the server had not ended in order before ${uncheckedSince}: what is older is checked when it is first pulled`]),
  ]
  const count = damagedBlobs.length + damagedManifests.length
  if (count === 0) return `${[...lines, 'nothing is known to be damaged'].join('\n')}\n`
  const rows = [
    ...damagedBlobs.map((blob) => ['blob', blob.digest, formatBytes(blob.sizeBytes), blob.fault, blob.repositories.join(', ')]),
    ...damagedManifests.map((manifest) => ['manifest', manifest.digest, formatBytes(manifest.sizeBytes), 'content', manifest.repository]),
  ]
  const table = formatTable([['KIND', 'DIGEST', 'SIZE', 'FAULT', 'REPOSITORIES'], ...rows])
  return `${[...lines, 'damaged, and whole again when pushed again:'].join('\n')}\n${table}`
}

function countsOf({ blobs, manifests, bytes, found, orphans }: Run): string {
  return `${blobs} blobs and ${manifests} manifests (${formatBytes(bytes)}) read, ${found} found damaged, ${orphans} stray files removed`
}
