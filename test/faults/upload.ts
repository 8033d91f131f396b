/**
 * Uploads as the campaign's clients make them: whole, in chunks, broken off and resumed, abandoned.
 *
 * Each goes on after a cut as the specification lets a client do, and holds the registry to what it acknowledged: the offset of a
 * session, and in the end the blob.
 */
import type { Answer } from './exchange.ts'
import type { RepositoryModel } from './load-model.ts'
import type { Content } from './random.ts'
import type { RegistryUser } from './registry-user.ts'

export interface Push {
  readonly repository: RepositoryModel
  readonly content: Content
}

export interface ChunkedPush extends Push {
  readonly chunks: number
  /** The closing request carries the last chunk. */
  readonly isLastInPut: boolean
  /** Chunks say where they belong; those of docker do not. */
  readonly hasRanges: boolean
}

/** A session and the offset that was acknowledged. */
interface Session {
  readonly location: string
  readonly push: Push & { readonly hasRanges: boolean }
  offset: number
}

/** POST with the whole blob. */
export async function pushInPost(user: RegistryUser, { repository, content }: Push): Promise<void> {
  becomeUncertain(repository, content)
  const path = `/v2/${repository.name}/blobs/uploads/?digest=${content.digest}`
  await user.perform({
    method: 'POST',
    path,
    body: content.bytes,
    expect: [201],
    observe: () => user.checkBlob(repository, content.digest),
  })
  repository.blobs.set(content.digest, 'present')
}

/** POST, then PUT with the whole blob. */
export async function pushInPut(user: RegistryUser, push: Push): Promise<void> {
  await finish(user, await startSession(user, { ...push, hasRanges: false }))
}

/** POST, PATCH for each chunk, PUT. */
export async function pushInChunks(user: RegistryUser, push: ChunkedPush): Promise<void> {
  const { content, chunks, isLastInPut } = push
  const session = await startSession(user, push)
  const ends = Array.from({ length: chunks }, (_, index) => Math.floor((content.bytes.length * (index + 1)) / chunks))
  for (const end of isLastInPut ? ends.slice(0, -1) : ends) await append(user, session, end)
  await finish(user, session)
}

/** The client leaves in the middle of a chunk, asks where the upload stands, and goes on there. */
export async function pushWithBreak(user: RegistryUser, push: Push): Promise<void> {
  const session = await startSession(user, { ...push, hasRanges: true })
  const { bytes } = push.content
  const leaveAfterBytes = 1 + user.random.below(bytes.length - 1)
  await user.leave({ method: 'PATCH', path: session.location, body: bytes, leaveAfterBytes })
  await goOnFrom(user, session, await askOffset(user, session))
  user.report.clientAborts++
  await finish(user, session)
}

/** An upload that nobody finishes. @returns its session's id. */
export async function abandon(user: RegistryUser, push: Push): Promise<string> {
  const session = await startSession(user, { ...push, hasRanges: true })
  await append(user, session, Math.ceil(push.content.bytes.length / 2))
  return session.location.split('/').at(-1) ?? ''
}

/** An upload that its client ends. */
export async function cancel(user: RegistryUser, push: Push): Promise<void> {
  const session = await startSession(user, { ...push, hasRanges: true })
  await append(user, session, push.content.bytes.length)
  await user.perform({ method: 'DELETE', path: session.location, expect: [204], isDone: [404], isBusy: ({ status }) => status === 416 })
  await user.perform({ method: 'GET', path: session.location, expect: [404] })
}

async function startSession(user: RegistryUser, push: Session['push']): Promise<Session> {
  const { answer } = await user.perform({ method: 'POST', path: `/v2/${push.repository.name}/blobs/uploads/`, expect: [202] })
  return { location: answer.headers.location ?? '', push, offset: 0 }
}

/** Brings the session to `end` with one chunk. */
async function append(user: RegistryUser, session: Session, end: number): Promise<void> {
  const { location, push, offset: start } = session
  const patch = {
    method: 'PATCH',
    path: location,
    headers: push.hasRanges ? { 'Content-Range': `${start}-${end - 1}` } : {},
    body: push.content.bytes.subarray(start, end),
    expect: [202],
    isBusy: (answer: Answer) => answer.status === 416 && offsetOf(answer) === start,
  }
  if (push.hasRanges) {
    const { answer } = await user.perform({ ...patch, goOn: [416] })
    if (answer.status === 416) user.row.resumed++
    requireOffset(user, session, { offset: offsetOf(answer), allowed: [end] })
  } else {
    // Without a range a repetition would be appended once more if the first try was counted: so the registry is asked first.
    for (let at = start; at !== end;) {
      const answer = await user.performOnce(patch)
      at = answer ? offsetOf(answer) : await askOffset(user, session)
      if (!answer) user.row.resumed++
      requireOffset(user, session, { offset: at, allowed: answer ? [end] : [start, end] })
    }
  }
  session.offset = end
}

/** Sends what is left, as often as the registry says that it stands elsewhere: it may still be writing down what arrived. */
async function goOnFrom(user: RegistryUser, session: Session, from: number): Promise<void> {
  const { bytes } = session.push.content
  user.row.resumed++
  for (let at = from; at < bytes.length;) {
    const known = at
    const { answer } = await user.perform({
      method: 'PATCH',
      path: session.location,
      headers: { 'Content-Range': `${at}-${bytes.length - 1}` },
      body: bytes.subarray(at),
      expect: [202, 416],
      isBusy: (busy) => busy.status === 416 && offsetOf(busy) === known,
    })
    at = offsetOf(answer)
    if (at < known || at > bytes.length) user.violate('lost', `${session.location} stood at ${known} and stands at ${at}`)
  }
  session.offset = bytes.length
}

/** PUT with what is left, if anything. When the registry lost the session amid that, the blob is pushed once more from the start. */
async function finish(user: RegistryUser, session: Session): Promise<void> {
  const { location, push, offset } = session
  const { repository, content } = push
  becomeUncertain(repository, content)
  const body = content.bytes.subarray(offset)
  const { answer } = await user.perform({
    method: 'PUT',
    path: `${location}?digest=${content.digest}`,
    headers: push.hasRanges && body.length > 0 ? { 'Content-Range': `${offset}-${content.bytes.length - 1}` } : {},
    body,
    expect: [201],
    goOn: [404],
    isBusy: (busy) => busy.status === 416 && offsetOf(busy) === offset,
    observe: () => user.checkBlob(repository, content.digest),
  })
  if (answer.status === 404) {
    user.row.startedAgain++
    await pushInPut(user, push)
  }
  repository.blobs.set(content.digest, 'present')
}

async function askOffset(user: RegistryUser, { location }: Session): Promise<number> {
  const { answer } = await user.perform({ method: 'GET', path: location, expect: [204] })
  return offsetOf(answer)
}

function requireOffset(user: RegistryUser, session: Session, { offset, allowed }: { offset: number; allowed: readonly number[] }): void {
  if (!allowed.includes(offset))
    user.violate('lost', `${session.location} stands at ${offset}, acknowledged or sent: ${allowed.join(', ')}`)
}

/** `0-<last byte>`, and `0-0` for nothing; no session here ever holds a single byte. */
function offsetOf({ headers }: Answer): number {
  const last = Number((headers.range ?? '').split('-')[1])
  return last === 0 ? 0 : last + 1
}

function becomeUncertain(repository: RepositoryModel, { digest }: Content): void {
  if (repository.blob(digest) === 'absent') repository.blobs.set(digest, 'maybe')
}
