/**
 * The process that is recorded: `node work.ts DATA LOG`, with the recorder preloaded, starts a registry on an empty folder and lets its
 * clients do what story.ts says.
 *
 * Before a step it marks the step, and again when the client has its answer, between the operations on the disk.
 */
import { Client } from '../../support/client.ts'
import { startRegistry } from '../../support/start-registry.ts'
import { writeMark } from './operation-log.ts'
import { story } from './story.ts'

const [data = '', log = ''] = process.argv.slice(2)
const endings: (() => unknown)[] = []
const cleanup = { after: (ending: unknown) => void endings.push(ending as () => unknown) }

const registry = await startRegistry(cleanup, { data })
const stage = { registry, client: new Client(registry) }
writeMark(log, 'started')
for (const [number, group] of story.entries())
  await Promise.all(
    group.map(async (step, place) => {
      writeMark(log, `asked ${number} ${place}`)
      await step.run(stage)
      writeMark(log, `told ${number} ${place}`)
    }),
  )
for (const ending of endings) await ending()
writeMark(log, 'stopped')
