/**
 * Removes what abandoned uploads leave, after their time. An upload that still moves, however slowly, is never touched.
 */
import { deleteExpiredSession, forgetDigests, knownSessions, listExpiredSessions, releaseWriters } from '../storage/metadata/uploads.ts'
import type { Registry } from './registry.ts'

const batch = 100

/** @returns how many sessions ended and how many files without a session were removed. */
export async function expireUploads(registry: Registry): Promise<{ sessions: number; files: number }> {
  return { sessions: await expireSessions(registry), files: await removeStrayFiles(registry) }
}

async function expireSessions(registry: Registry): Promise<number> {
  const { database, blobs, clock, rules } = registry
  let ended = 0
  for (;;) {
    const nowMs = clock()
    const beforeMs = nowMs - rules.uploadTtlMs
    const ids = await listExpiredSessions(database.read, { beforeMs, nowMs, limit: batch })
    let endedHere = 0
    for (const id of ids) {
      if (!(await database.writeRelaxed((tx) => deleteExpiredSession(tx, { id, beforeMs, nowMs })))) continue
      await blobs.removePartial(id)
      endedHere++
    }
    ended += endedHere
    if (endedHere === 0) return ended
  }
}

/** Files whose session is gone: a crash between the row's end and the file's. */
async function removeStrayFiles(registry: Registry): Promise<number> {
  const { database, blobs, clock, rules } = registry
  const old: string[] = []
  for await (const { id, modifiedAtMs } of blobs.listPartials()) if (modifiedAtMs < clock() - rules.uploadTtlMs) old.push(id)
  let removed = 0
  for (let start = 0; start < old.length; start += batch) {
    const ids = old.slice(start, start + batch)
    const known = await knownSessions(database.read, ids)
    for (const id of ids.filter((each) => !known.has(each))) {
      await blobs.removePartial(id)
      removed++
    }
  }
  return removed
}

/** Before the workers start: no request holds a session, and no digest of unfinished bytes may be trusted. */
export async function resetSessions(registry: Registry): Promise<void> {
  await registry.database.writeRelaxed(async (tx) => {
    await releaseWriters(tx, '')
    await forgetDigests(tx)
  })
}

/** Lets go of the sessions that a worker held when it died. */
export async function releaseSessionsOf(registry: Registry, processId: string): Promise<void> {
  await registry.database.writeRelaxed((tx) => releaseWriters(tx, `${processId}:`))
}
