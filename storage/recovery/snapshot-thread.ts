/**
 * Copies a database and checks the copy, in a thread: reading a large one through takes seconds in which the primary must go on handing
 * connections to its workers.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { copyDatabase, findDamage, readFacts } from './copy-database.ts'

interface Task {
  readonly from: string
  readonly to: string
}

export interface CheckedCopy {
  /** What is wrong with the copy, and so with the database. */
  readonly damage: readonly string[]
  /** Of the newest migration; 0 when it is damaged. */
  readonly schema: number
}

/** Makes the copy; not synced yet. @throws when it cannot be made, or `signal` ends it */
export function copyInThread(task: Task, signal?: AbortSignal): Promise<CheckedCopy> {
  const { promise, resolve, reject } = Promise.withResolvers<CheckedCopy>()
  const thread = new Worker(new URL(import.meta.url), { workerData: { snapshotTask: task } })
  thread.once('message', resolve)
  thread.once('error', reject)
  thread.once('exit', (status) => reject(new Error(`the thread that copies the database ended with ${status}`)))
  const end = (): void => {
    reject(new Error('the copy of the database was broken off'))
    void thread.terminate()
  }
  if (signal?.aborted) end()
  signal?.addEventListener('abort', end, { once: true })
  return promise.finally(() => signal?.removeEventListener('abort', end))
}

async function run({ from, to }: Task): Promise<CheckedCopy> {
  await copyDatabase(from, to)
  const damage = findDamage(to, 'quick')
  return { damage, schema: damage.length === 0 ? readFacts(to).schema : 0 }
}

/** Undefined where this file is loaded for its function, also in a thread of somebody else's. */
const task = isMainThread ? undefined : (workerData as { snapshotTask?: Task } | null)?.snapshotTask
// eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
if (task) parentPort?.postMessage(await run(task))
