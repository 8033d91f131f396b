/**
 * `lanyard gc`: what the collector has to do and has done, and letting it run now.
 */
import { Option, type Command } from 'commander'
import { getCollection, runCollection } from '../server/api/collection.ts'
import { addApiFlags, withApi } from './api-access.ts'
import type { Api } from './remote.ts'
import { CommandError, formatBytes, formatTable, print } from './terminal.ts'

interface RunOptions {
  readonly dryRun?: true
  readonly untagged?: string
  readonly json?: true
}

export function addCollectionCommands(program: Command): void {
  const gc = program
    .command('gc')
    .description('give back the room of what nothing needs; a running registry does so by itself')
    .helpCommand(false)
  addApiFlags(gc.command('status').description('what waits, and what was removed').option('--json', 'one JSON object')).action(status)
  const running = gc
    .command('run', { isDefault: true })
    .description('collect now what is over its time')
    .option('--dry-run', 'only say what would go')
    .addOption(new Option('--untagged <days>', 'also manifests that have been untagged for so long, in all repositories; 0: all'))
    .option('--json', 'one JSON object')
  addApiFlags(running).action(run)
}

async function status({ json }: { json?: true }, command: Command): Promise<void> {
  await withApi(command, async (api) => {
    const state = await api.call(getCollection)
    if (json) return print(`${JSON.stringify(state)}\n`)
    const { queued, lastRound, blobs, bytes, leaseHours, trashDays, untaggedDays } = state
    const counted = (count: number): string => (count >= 10_000 ? '10000 or more' : String(count))
    print(
      formatTable([
        ['WAITING', `${counted(queued.manifests)} manifests, ${counted(queued.links)} links, ${counted(queued.blobs)} blobs`],
        [
          'LAST ROUND',
          lastRound === null
            ? 'none has removed anything'
            : `${lastRound.at}: ${lastRound.manifests} manifests, ${lastRound.blobs} blobs, ${formatBytes(lastRound.bytes)}`,
        ],
        ['EVER', `${blobs} blobs, ${formatBytes(bytes)}`],
        ['LEASE', `${leaseHours} hours`],
        ['TRASH', `${trashDays} days`],
        ['UNTAGGED', untaggedDays === 0 ? 'kept' : `${untaggedDays} days`],
      ]),
    )
  })
}

async function run({ dryRun, untagged, json }: RunOptions, command: Command): Promise<void> {
  const untaggedDays = untagged === undefined ? undefined : parseDays(untagged)
  await withApi(command, async (api) => {
    const outcome = await runToTheEnd(api, { dryRun: dryRun === true, ...(untaggedDays === undefined ? {} : { untaggedDays }) })
    if (outcome.isClockSet) throw new CommandError('the clock is not as it was: nothing is collected until every lease has had its time')
    if (json) return print(`${JSON.stringify(outcome)}\n`)
    const { manifests, blobs, bytes, isComplete } = outcome
    const what = `${manifests} manifests and ${blobs} blobs`
    if (!dryRun) return print(`${what} were removed, ${formatBytes(bytes)} are free again\n`)
    print(`${what} would go${isComplete ? '' : ', and more'}, ${formatBytes(bytes)}\n`)
  })
}

/** One call takes some seconds at most. */
async function runToTheEnd(api: Api, body: { dryRun: boolean; untaggedDays?: number }) {
  const sum = { manifests: 0, blobs: 0, bytes: 0 }
  for (;;) {
    const outcome = await api.call(runCollection, { body })
    sum.manifests += outcome.manifests
    sum.blobs += outcome.blobs
    sum.bytes += outcome.bytes
    if (outcome.isComplete || outcome.isClockSet || body.dryRun) return { ...outcome, ...sum }
  }
}

function parseDays(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new CommandError(`--untagged is a whole number of days, not "${text}"`)
  return Number(text)
}
