/**
 * What repositories and namespaces take, after any order of whatever changes it: the rows say what is counted from links, blobs and
 * manifests by this file alone. `ACCOUNTING_RUNS` for more than 6 histories, `SEED` for others.
 */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync } from 'node:fs'
import { suite, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { digestOf, type SupportedDigest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { parseReference } from '../../oci/reference.ts'
import { namespaceOf, type RepositoryName } from '../../oci/repository-name.ts'
import { removeRepository } from '../../registry/change-repository.ts'
import { Collector } from '../../registry/collect.ts'
import { removeNamespace, updateNamespace } from '../../registry/namespaces.ts'
import { mountBlob } from '../../registry/push-blob.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { deleteBlob } from '../../registry/read-blob.ts'
import { deleteByReference } from '../../registry/read-manifest.ts'
import { rebuild } from '../../storage/recovery/rebuild.ts'
import { createRegistry, findRepository } from '../../registry/registry.ts'
import { snapshotIfDue } from '../../storage/recovery/snapshot-database.ts'
import { purgeFromTrash, restoreFromTrash } from '../../registry/trash.ts'
import { Database } from '../../storage/metadata/database.ts'
import type { RepositoryRow } from '../../storage/metadata/repositories.ts'
import { Journal } from '../../storage/recovery/journal.ts'
import { countMiscounted } from '../../storage/recovery/recount-usage.ts'
import { manifestType } from '../support/client.ts'
import { repositoryName } from '../support/metadata-rows.ts'
import { openFloor, pushBlob, type Floor } from '../support/registry-floor.ts'

const hour = 3_600_000
const seed = process.env['SEED']
const parameters = { numRuns: Number(process.env['ACCOUNTING_RUNS'] ?? 6), ...(seed === undefined ? {} : { seed: Number(seed) }) }

const contents = Array.from({ length: 6 }, (_, index) => `${index}`.repeat(index * 7 + 1))
const digests = contents.map((content) => digestOf('sha256', Buffer.from(content)))
const namespaces = ['one', 'two', 'three'] as const
const names = namespaces.flatMap((namespace) => [`${namespace}/a`, `${namespace}/b`])

const of = fc.record({ name: fc.constantFrom(...names), blob: fc.nat(contents.length - 1), other: fc.nat(contents.length - 1) })
const kinds = {
  push: 6,
  mount: 6,
  image: 8,
  unlink: 8,
  deleteManifest: 5,
  deleteTag: 1,
  removeRepository: 3,
  restore: 4,
  purge: 2,
  collect: 3,
  renameNamespace: 2,
  removeNamespace: 2,
  rebuild: 1,
} as const
const step = fc.record({
  kind: fc.oneof(...Object.entries(kinds).map(([kind, weight]) => ({ weight, arbitrary: fc.constant(kind as keyof typeof kinds) }))),
  of,
  to: fc.constantFrom(...namespaces),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Target {
  readonly text: string
  readonly name: RepositoryName
  readonly namespace: string
  readonly repository: RepositoryRow | undefined
  readonly blob: number
  readonly other: number
  readonly digest: SupportedDigest
  readonly to: string
}

/** A registry with a journal, that can be lost and rebuilt. */
class Subject {
  readonly #t: TestContext
  readonly #first: Floor
  #floor: Floor
  /** How often each kind of step did something. */
  readonly done = new Map<string, number>()

  private constructor(t: TestContext, floor: Floor) {
    this.#t = t
    this.#first = floor
    this.#floor = this.#open()
  }

  static async open(t: TestContext): Promise<Subject> {
    const floor = await openFloor(t, { leaseMs: hour, trashMs: 3 * hour, untaggedDays: 1 })
    mkdirSync(floor.layout.blobs, { recursive: true })
    await floor.database.close()
    return new Subject(t, floor)
  }

  #open(): Floor {
    const database = Database.open(this.#first.layout.database, new Journal(this.#first.layout))
    this.#t.after(() => database.close())
    return { ...this.#first, database, registry: createRegistry({ ...this.#first.registry, database }) }
  }

  async run(step: Step): Promise<void> {
    this.#first.advance(60_000)
    try {
      const { of, to, kind } = step
      const name = repositoryName(of.name)
      await this.#deeds[kind]({
        ...of,
        to,
        text: of.name,
        name,
        namespace: namespaceOf(name),
        digest: digests[of.blob] ?? assert.fail(),
        repository: await findRepository(this.#floor.registry, name),
      })
      this.done.set(step.kind, (this.done.get(step.kind) ?? 0) + 1)
    } catch (error) {
      // Nothing to delete, a name that is taken: nothing must have changed then, either.
      if (!isRegistryError(error)) throw error
    }
    await this.check(step)
  }

  readonly #deeds: Readonly<Record<keyof typeof kinds, (step: Target) => Promise<unknown>>> = {
    push: ({ text, blob }) => pushBlob(this.#floor.registry, text, contents[blob] ?? ''),
    mount: ({ name, digest }) => mountBlob(this.#floor.registry, { target: name, digest, source: { kind: 'all' } }),
    image: ({ text, blob, other }) => this.#image(text, [blob, other]),
    unlink: ({ repository, digest }) => deleteBlob(this.#floor.registry, repository, digest),
    deleteManifest: async ({ repository, blob }) => this.#delete(repository, await this.#anyManifest(repository?.id, blob)),
    deleteTag: ({ repository, blob }) => this.#delete(repository, `t${blob}`),
    removeRepository: ({ name }) => removeRepository(this.#floor.registry, name),
    restore: async ({ blob }) => restoreFromTrash(this.#floor.registry, { id: await this.#anyItem(blob), by: null }),
    purge: async ({ blob }) => purgeFromTrash(this.#floor.registry, await this.#anyItem(blob)),
    collect: async ({ other }) => {
      this.#floor.advance(other * hour)
      await this.#collect()
    },
    renameNamespace: ({ namespace, to }) => updateNamespace(this.#floor.database, namespace, { name: to }),
    removeNamespace: ({ namespace, blob }) => removeNamespace(this.#floor.registry, namespace, { withRepositories: blob > 0 }),
    rebuild: ({ blob }) => this.#rebuild({ withSnapshot: blob > 2 }),
  }

  async #delete(repository: RepositoryRow | undefined, reference: string): Promise<void> {
    await deleteByReference(this.#floor.registry, repository, { reference: parseReference(reference), by: null })
  }

  async #image(repository: string, blobs: readonly number[]): Promise<void> {
    const { registry } = this.#floor
    for (const blob of blobs) await pushBlob(registry, repository, contents[blob] ?? '')
    const [config, layer] = blobs.map((blob) => ({ mediaType: 'a/b', digest: digests[blob], size: contents[blob]?.length }))
    const text = JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers: [layer] })
    await pushManifest(registry, {
      repository: repositoryName(repository),
      reference: parseReference(`t${blobs[0]}`),
      extraTags: [],
      contentType: manifestType,
      bytes: Buffer.from(text),
      by: null,
    })
  }

  async #anyManifest(repositoryId: number | undefined, index: number): Promise<string> {
    const rows = await this.#floor.database.read
      .selectFrom('manifest')
      .select('digest')
      .where('repository_id', '=', repositoryId ?? 0)
      .execute()
    return rows[index % Math.max(rows.length, 1)]?.digest ?? digests[0] ?? ''
  }

  async #anyItem(index: number): Promise<number> {
    const items = await this.#floor.database.read.selectFrom('trash_item').select('id').orderBy('id').execute()
    return items[index % Math.max(items.length, 1)]?.id ?? 0
  }

  async #collect(): Promise<void> {
    const { registry } = this.#floor
    const collector = await Collector.open({ registry, monotonic: registry.clock, startMs: 0 })
    while (!(await collector.round(new AbortController().signal)).isComplete);
  }

  async #rebuild({ withSnapshot }: { withSnapshot: boolean }): Promise<void> {
    const { database, layout, now } = this.#floor
    if (withSnapshot) await snapshotIfDue({ database, layout }, { nowMs: now(), everyMs: 1, keep: 2 })
    await this.#image('one/a', [1, 2])
    await database.close()
    for (const part of ['', '-wal', '-shm']) rmSync(`${layout.database}${part}`, { force: true })
    await rebuild({ layout, nowMs: now(), isForced: false })
    this.#floor = this.#open()
  }

  async check(step: unknown): Promise<void> {
    const { database, layout } = this.#floor
    const told = JSON.stringify(step)
    assert.deepEqual(await usageRows(database), await countedHere(database), told)
    assert.equal(countMiscounted(layout.database), 0, told)
    assert.deepEqual(await misplaced(database), [], told)
  }

  /** Whether something was unique to its holder and something was not. */
  async hasBoth(): Promise<{ unique: boolean; shared: boolean }> {
    const rows = Object.values(await usageRows(this.#floor.database)).flatMap((owners) => Object.values(owners))
    return { unique: rows.some(({ unique_bytes: bytes }) => bytes > 0), shared: rows.some((row) => row.unique_bytes < row.blob_bytes) }
  }
}

interface Usage {
  blobs: number
  blob_bytes: number
  unique_blobs: number
  unique_bytes: number
  manifests: number
  manifest_bytes: number
}

type Usages = Record<'repositories' | 'namespaces', Record<number, Usage>>

async function usageRows({ read }: Database): Promise<Usages> {
  const repositories = await read.selectFrom('repository_usage').selectAll().execute()
  const namespaces = await read.selectFrom('namespace_usage').selectAll().execute()
  return {
    repositories: Object.fromEntries(repositories.map(({ repository_id: id, ...usage }) => [id, usage])),
    namespaces: Object.fromEntries(namespaces.map(({ namespace_id: id, ...usage }) => [id, usage])),
  }
}

/** From the ground: who links which blob, as sets. */
async function countedHere({ read }: Database): Promise<Usages> {
  const repositories = await read.selectFrom('repository').select(['id', 'namespace_id']).execute()
  const present = await read.selectFrom('namespace').select('id').execute()
  const links = await read.selectFrom('blob_link').select(['repository_id', 'digest']).execute()
  const sizes = new Map(
    (await read.selectFrom('blob').select(['digest', 'size_bytes']).execute()).map((row) => [row.digest, row.size_bytes]),
  )
  const manifests = await read.selectFrom('manifest').select(['repository_id', 'size_bytes']).execute()
  const namespaceOf = new Map(repositories.map(({ id, namespace_id: namespaceId }) => [id, namespaceId]))
  const count = (owners: Iterable<number>, ownerOf: (repositoryId: number) => number): Record<number, Usage> => {
    const usages = new Map(
      [...owners].map((owner) => [owner, { blobs: 0, blob_bytes: 0, unique_blobs: 0, unique_bytes: 0, manifests: 0, manifest_bytes: 0 }]),
    )
    for (const [digest, of] of Map.groupBy(links, (link) => link.digest)) {
      const holders = new Set(of.map((link) => ownerOf(link.repository_id)))
      for (const holder of holders) {
        const usage = usages.get(holder) ?? assert.fail('a link of nobody')
        const size = sizes.get(digest) ?? assert.fail('a link to nothing')
        usage.blobs++
        usage.blob_bytes += size
        if (holders.size > 1) continue
        usage.unique_blobs++
        usage.unique_bytes += size
      }
    }
    for (const { repository_id: id, size_bytes: size } of manifests) {
      const usage = usages.get(ownerOf(id)) ?? assert.fail('a manifest of nobody')
      usage.manifests++
      usage.manifest_bytes += size
    }
    return Object.fromEntries(usages)
  }
  return {
    repositories: count(namespaceOf.keys(), (id) => id),
    namespaces: count(new Set([...present.map(({ id }) => id), ...namespaceOf.values()]), (id) => namespaceOf.get(id) ?? assert.fail()),
  }
}

/** Repositories that count as another namespace's than the one they are in, or were in when they were deleted. */
async function misplaced({ read }: Database): Promise<unknown[]> {
  const idOf = new Map((await read.selectFrom('namespace').select(['name', 'id']).execute()).map(({ name, id }) => [name, id]))
  const present = new Set(idOf.values())
  const rows = await read
    .selectFrom('repository')
    .leftJoin('trash_item', 'trash_item.holder_id', 'repository.id')
    .select(['repository.name', 'repository.namespace', 'repository.namespace_id', 'trash_item.namespace as was_in'])
    .execute()
  return rows.filter(({ namespace, was_in: wasIn, namespace_id: id }) =>
    wasIn === '' ? present.has(id) : id !== idOf.get(wasIn ?? namespace),
  )
}

suite('what repositories and namespaces take', () => {
  test('is right after every step of any history', async (t) => {
    const done = new Map<string, number>()
    const seen = { unique: false, shared: false }
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), async (steps) => {
        const subject = await Subject.open(t)
        for (const each of steps) await subject.run(each)
        for (const [kind, times] of subject.done) done.set(kind, (done.get(kind) ?? 0) + times)
        const { unique, shared } = await subject.hasBoth()
        seen.unique ||= unique
        seen.shared ||= shared
      }),
      parameters,
    )
    t.diagnostic(JSON.stringify(Object.fromEntries(done)))
    if (parameters.numRuns >= 25) assert.deepEqual([...done.keys()].toSorted(), Object.keys(kinds).toSorted())
    assert.deepEqual(seen, { unique: true, shared: true })
  })

  test('moves with a repository that comes back into a namespace made anew', async (t) => {
    const subject = await Subject.open(t)
    const at = { name: 'one/a', blob: 1, other: 2 }
    const elsewhere = { ...at, name: 'two/a' }
    const steps: Step[] = [
      { kind: 'image', of: at, to: 'one' },
      { kind: 'push', of: elsewhere, to: 'one' },
      { kind: 'deleteManifest', of: at, to: 'one' },
      { kind: 'image', of: { ...at, other: 3 }, to: 'one' },
      { kind: 'removeNamespace', of: at, to: 'one' },
      { kind: 'push', of: { ...at, name: 'one/b' }, to: 'one' },
      { kind: 'restore', of: at, to: 'one' },
      { kind: 'restore', of: { ...at, blob: 0 }, to: 'one' },
    ]
    for (const each of steps) await subject.run(each)
    assert.equal(subject.done.get('removeNamespace'), 1)
    assert.equal(subject.done.get('restore'), 2)
  })
})
