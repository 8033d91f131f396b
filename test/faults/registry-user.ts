/**
 * A client of the campaign: sends a request until it is answered, as a client's plain retry does, and looks at what is there.
 *
 * Judges single answers against the model; what to do is load-client.ts. Everything that must not be becomes a violation of the row
 * under which the lane works at the time.
 */
import { Connection, type Answer, type Request } from './exchange.ts'
import type { KnownManifest, RepositoryModel } from './load-model.ts'
import { sha256, type Random } from './random.ts'
import { Violated, type Report, type Row, type Violation } from './report.ts'
import { basic } from '../support/client.ts'

/** What a client sees of the lane that it works in. */
export interface Surroundings {
  readonly random: Random
  readonly report: Report
  /** The row that counts now. */
  readonly row: () => Row
  readonly url: string
  /** Why the registry will not come up again by itself; undefined as long as it will. */
  readonly failure: () => string | undefined
  /** How long a client repeats a request. */
  readonly patienceMs: number
}

export interface Attempt extends Request {
  /** The answers of success. */
  readonly expect: readonly number[]
  /** Answers that are right only for a repetition, and tell that the first try was carried out. */
  readonly isDone?: readonly number[]
  /** Answers that are right only for a repetition, and tell to go on in another way. */
  readonly goOn?: readonly number[]
  /** Called, sometimes, between a cut and its repetition. */
  readonly observe?: () => Promise<void>
  /** An answer that tells to wait and ask again. */
  readonly isBusy?: (answer: Answer) => boolean
}

export interface Performed {
  readonly answer: Answer
  readonly wasCut: boolean
}

const authorization = basic('admin')
const pauseMs = 10

export class RegistryUser {
  readonly random: Random
  readonly #connection = new Connection()
  readonly #surroundings: Surroundings

  constructor(surroundings: Surroundings) {
    this.random = surroundings.random
    this.#surroundings = surroundings
  }

  get row(): Row {
    return this.#surroundings.row()
  }

  get report(): Report {
    return this.#surroundings.report
  }

  violate(kind: Violation, what: string): void {
    this.report.violate(this.row, kind, what)
  }

  /** Sends the request until there is an answer. @throws {Violated} none came in time, or one that must not be. */
  async perform(attempt: Attempt): Promise<Performed> {
    const { expect, isDone = [], goOn = [], method } = attempt
    const startMs = performance.now()
    let cutMs: number | undefined
    for (;;) {
      const answer = await this.#send(attempt, startMs)
      if (answer) {
        this.#judge(attempt, answer, cutMs === undefined ? expect : [...expect, ...isDone, ...goOn])
        if (cutMs === undefined) return { answer, wasCut: false }
        this.report.slowestHealMs = Math.max(this.report.slowestHealMs, performance.now() - cutMs)
        if (method !== 'GET' && !goOn.includes(answer.status)) this.row.repeated++
        return { answer, wasCut: true }
      }
      cutMs ??= performance.now()
      if (this.random.chance(0.5)) await attempt.observe?.()
    }
  }

  /** Sends the request once. @returns undefined when it was cut. @throws {Violated} as `perform` */
  async performOnce(attempt: Attempt): Promise<Answer | undefined> {
    const answer = await this.#send(attempt, performance.now())
    if (answer) this.#judge(attempt, answer, attempt.expect)
    return answer
  }

  /** Waits while nothing listens and while it is told to wait. @returns undefined when the request was cut. */
  async #send(attempt: Attempt, startMs: number): Promise<Answer | undefined> {
    for (;;) {
      const outcome = await this.#connection.exchange(this.#surroundings.url, {
        ...attempt,
        headers: { Authorization: authorization, ...attempt.headers },
      })
      // Not always the same worker.
      if (this.random.chance(0.2)) this.#connection.close()
      const isBusy = outcome.kind === 'answer' && attempt.isBusy?.(outcome) === true
      if (outcome.kind === 'answer' && !isBusy) return outcome
      if (outcome.kind === 'silent' || performance.now() - startMs > this.#surroundings.patienceMs) {
        const said = outcome.kind === 'answer' ? describe(outcome) : outcome.kind
        this.violate('notHealed', `${nameOf(attempt)}: still ${said} after ${Math.round(performance.now() - startMs)} ms`)
        throw new Violated(nameOf(attempt))
      }
      if (outcome.kind === 'cut') return undefined
      const failure = this.#surroundings.failure()
      if (failure !== undefined) {
        this.violate('byHand', failure)
        throw new Violated(failure)
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  /** Sends a part of a request's body and leaves. */
  async leave(request: Request & { leaveAfterBytes: number }): Promise<void> {
    await this.#connection.exchange(this.#surroundings.url, { ...request, headers: { Authorization: authorization, ...request.headers } })
  }

  /** The blob must be as the model says, in every byte. What is seen becomes certain. */
  async checkBlob(repository: RepositoryModel, digest: string): Promise<void> {
    const expected = repository.blob(digest)
    const { answer } = await this.perform({ method: 'GET', path: `/v2/${repository.name}/blobs/${digest}`, expect: [200, 404] })
    this.row.checked++
    const what = `blob ${digest} of ${repository.name}`
    if (answer.status === 200 && sha256(answer.body) !== digest) return this.violate('wrong', `${what}: the bytes have another digest`)
    this.#judgePresence(expected, answer.status, what)
    repository.blobs.set(digest, answer.status === 200 ? 'present' : 'absent')
  }

  async checkManifest(repository: RepositoryModel, digest: string): Promise<void> {
    const known = repository.manifests.get(digest)
    if (!known) return
    const { presence } = known
    const { answer } = await this.perform({ method: 'GET', path: `/v2/${repository.name}/manifests/${digest}`, expect: [200, 404] })
    this.row.checked++
    const what = `manifest ${digest} of ${repository.name}`
    if (answer.status === 200 && !isManifest(answer, digest, known)) return this.violate('wrong', `${what}: other bytes or another type`)
    this.#judgePresence(presence, answer.status, what)
    known.presence = answer.status === 200 ? 'present' : 'absent'
  }

  async checkTag(repository: RepositoryModel, tag: string): Promise<void> {
    const allowed = repository.tags.get(tag)
    if (!allowed) return
    const { answer } = await this.perform({ method: 'GET', path: `/v2/${repository.name}/manifests/${tag}`, expect: [200, 404] })
    this.row.checked++
    const digest = answer.status === 200 ? sha256(answer.body) : undefined
    const known = digest === undefined ? undefined : repository.manifests.get(digest)
    const what = `tag ${tag} of ${repository.name}`
    if (digest !== undefined && (!known || !isManifest(answer, digest, known)))
      return this.violate('wrong', `${what}: a manifest that was never pushed`)
    if (!allowed.has(digest)) return this.violate('lost', `${what} is ${digest}, allowed are ${[...allowed].join(', ')}`)
    repository.settle(tag, digest)
  }

  /** After this all that the client was told about the repository has been looked at. */
  async checkRepository(repository: RepositoryModel): Promise<void> {
    for (const digest of repository.blobs.keys()) await this.checkBlob(repository, digest)
    for (const digest of repository.manifests.keys()) await this.checkManifest(repository, digest)
    for (const tag of repository.tags.keys()) await this.checkTag(repository, tag)
    const { answer } = await this.perform({ method: 'GET', path: `/v2/${repository.name}/tags/list`, expect: [200, 404] })
    const listed = answer.status === 200 ? (JSON.parse(answer.body.toString('utf8')) as { tags: string[] }).tags : []
    if (listed.join(' ') !== repository.presentTags().toSorted().join(' '))
      this.violate('wrong', `the tags of ${repository.name} are ${listed.join(' ')}, not ${repository.presentTags().toSorted().join(' ')}`)
  }

  close(): void {
    this.#connection.close()
  }

  #judge(attempt: Attempt, answer: Answer, expected: readonly number[]): void {
    if (expected.includes(answer.status)) return
    this.violate(isLoss(answer) ? 'lost' : 'refused', `${nameOf(attempt)}: ${describe(answer)}, expected ${expected.join(' or ')}`)
    throw new Violated(nameOf(attempt))
  }

  #judgePresence(expected: string, status: number, what: string): void {
    if (expected === 'present' && status === 404) this.violate('lost', `${what} is gone`)
    if (expected === 'absent' && status === 200) this.violate('lost', `${what} was deleted and is there again`)
  }
}

function isManifest(answer: Answer, digest: string, known: KnownManifest): boolean {
  return (
    sha256(answer.body) === digest &&
    answer.headers['docker-content-digest'] === digest &&
    answer.headers['content-type'] === known.mediaType &&
    answer.body.toString('utf8') === known.text
  )
}

/** Content that was acknowledged is not found, or not fit to be served. */
function isLoss({ status, body }: Answer): boolean {
  const text = body.toString('utf8')
  return status === 404 || text.includes('MANIFEST_BLOB_UNKNOWN') || text.includes('the stored blob is damaged')
}

function nameOf({ method, path }: Attempt): string {
  return `${method} ${path}`
}

function describe({ status, body }: Answer): string {
  return `${status} ${body.toString('utf8').slice(0, 300)}`
}
