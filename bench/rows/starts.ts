/**
 * Starting, and doing nothing: how long until the first answer, and what an idle registry holds in memory.
 */
import { rmSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import type { Row, Sample, Subject } from '../row.ts'
import { Server } from '../server.ts'

export function startRows(): Row[] {
  const row = { group: 'starts', capability: 'content', access: 'open', tools: [], better: 'less' } as const
  return [
    {
      ...row,
      id: 'start',
      title: 'start until /v2/ answers',
      unit: 'ms',
      operation: 'start',
      prepare: (subject) => restarts(subject, atStart),
    },
    {
      ...row,
      id: 'idle-memory',
      title: 'resident memory when idle, all processes',
      unit: 'MiB',
      operation: 'second',
      prepare: (subject) => restarts(subject, (server, bench) => whenIdle(server, bench, () => server.tree.rssMib())),
    },
    {
      ...row,
      id: 'idle-memory-shared',
      title: 'the same, shared memory counted once',
      unit: 'MiB',
      operation: 'second',
      prepare: (subject) => restarts(subject, (server, bench) => whenIdle(server, bench, () => server.tree.pssMib())),
    },
  ]
}

type Look = (server: Server, bench: Subject['bench']) => Promise<Sample>

/** A server beside the others, on a folder that an earlier start has made. */
async function restarts({ bench, target }: Subject, look: Look) {
  const folder = `${bench.folder}/${target.name}-restarted`
  const run = async () => {
    const server = await Server.start(bench.processes, { target, access: 'open', folder })
    const sample = await server.guard(() => look(server, bench))
    await server.stop()
    return sample
  }
  rmSync(folder, { recursive: true, force: true })
  await run()
  return run
}

async function atStart(server: Server): Promise<Sample> {
  return { value: server.startMs, operations: 1, cpuSeconds: server.tree.cpuSeconds(), peakRssMib: server.tree.peakRssMib() }
}

/** The CPU figure is what idling costs a second. */
async function whenIdle(server: Server, { amounts }: Subject['bench'], memory: () => number): Promise<Sample> {
  const seconds = Math.min(2, amounts.seconds)
  await setTimeout(seconds * 1000)
  const before = server.tree.cpuSeconds()
  await setTimeout(seconds * 1000)
  return { value: memory(), operations: seconds, cpuSeconds: server.tree.cpuSeconds() - before, peakRssMib: server.tree.peakRssMib() }
}
