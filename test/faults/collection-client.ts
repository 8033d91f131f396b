/**
 * A client of the collection's campaign: works on repositories through the use cases, keeps the model, and complains of what is missing.
 *
 * Every 404 is held against the model as it is after the answer: what was let go of meanwhile may be gone, what must be there may not.
 */
import assert from 'node:assert/strict'
import { digestOf, parseDigest, type SupportedDigest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { parseReference } from '../../oci/reference.ts'
import { mountBlob } from '../../registry/push-blob.ts'
import { pushManifest } from '../../registry/push-manifest.ts'
import { deleteBlob, openBlob, statBlob } from '../../registry/read-blob.ts'
import { deleteByReference, resolveManifest } from '../../registry/read-manifest.ts'
import { restoreFromTrash, trashFor } from '../../registry/trash.ts'
import { repositoryName } from '../support/metadata-rows.ts'
import { getRepository, pushBlob, type Floor } from '../support/registry-floor.ts'
import { leaseMs, trashMs, type ModelManifest, type ModelRepository } from './collection-world.ts'
import type { Random } from './random.ts'

const imageType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const tags = ['a', 'b', 'c', 'd']
/** So many that few are needed at a time, so few that the same blob is collected in one moment and pushed in the next. */
const contents = Array.from({ length: 200 }, (_, index) => `content ${index} `.repeat(1 + index))
const contentOf = new Map(contents.map((content) => [digestOf('sha256', Buffer.from(content)), content] as const))

export interface ClientCounts {
  pushed: number
  /** Uploads that met the collector, and were told to try again. */
  collided: number
  mounted: number
  deleted: number
  restored: number
  checked: number
  /** Manifests that the rule took. */
  expired: number
}

export class CollectionClient {
  readonly counts: ClientCounts = { pushed: 0, collided: 0, mounted: 0, deleted: 0, restored: 0, checked: 0, expired: 0 }
  readonly #floor: Floor
  readonly #repositories: readonly ModelRepository[]
  readonly #random: Random
  #made = 0

  constructor(floor: Floor, { repositories, random }: { repositories: readonly ModelRepository[]; random: Random }) {
    this.#floor = floor
    this.#repositories = repositories
    this.#random = random
  }

  /** Makes the repository. */
  async begin(name: string): Promise<void> {
    await pushBlob(this.#floor.registry, name, contents[0] ?? '')
  }

  async work(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const repository = this.#random.pick(this.#repositories)
      await repository.alone(() => this.#step(repository))
    }
  }

  async #step(repository: ModelRepository): Promise<void> {
    // Few are kept, so that most of what is pushed is collected soon.
    if (repository.manifests.size > 8 && this.#random.chance(0.5)) return this.#deleteManifest(repository)
    const chance = this.#random.next()
    if (chance < 0.06) return void (await this.#provide(repository, this.#random.pick([...contentOf.keys()])))
    if (chance < 0.3) return this.#pushImage(repository)
    if (chance < 0.42) return this.#pushIndex(repository)
    if (chance < 0.5) return this.#pushReferrer(repository)
    if (chance < 0.64) return this.#deleteManifest(repository)
    if (chance < 0.7) return this.#deleteTag(repository)
    if (chance < 0.78) return this.#restore(repository)
    if (chance < 0.82) return this.#deleteBlob(repository)
    const known = [...repository.manifests.values()]
    if (known.length > 0) await this.checkManifest(repository, this.#random.pick(known))
  }

  async #pushImage(repository: ModelRepository, subject?: string): Promise<void> {
    const wanted = this.#random.shuffle([...contentOf.keys()]).slice(0, 1 + this.#random.below(3))
    const told = new Map<SupportedDigest, number>()
    for (const digest of wanted) told.set(digest, await this.#provide(repository, digest))
    const entry = (digest: SupportedDigest) => ({ mediaType: 'a/b', digest, size: contentOf.get(digest)?.length })
    const [config, ...layers] = wanted
    const body = {
      schemaVersion: 2,
      mediaType: imageType,
      config: config && entry(config),
      layers: layers.map(entry),
      annotations: { number: this.#number() },
      ...(subject === undefined ? {} : { subject: { mediaType: imageType, digest: subject, size: 1 } }),
    }
    await this.#push(repository, { body, blobs: wanted, lists: [], subject, told: [...told.values()] })
  }

  /** By a HEAD, a mount or a push. @returns a time before the client was told that the blob is there */
  async #provide(repository: ModelRepository, digest: SupportedDigest): Promise<number> {
    const { registry, now } = this.#floor
    const toldMs = now()
    const way = this.#random.next()
    if (way < 0.35 && (await this.#isThere(async () => statBlob(registry, await getRepository(registry, repository.name), digest))))
      return toldMs
    if (way > 0.7 && (await mountBlob(registry, { target: repositoryName(repository.name), digest, source: { kind: 'all' } }))) {
      this.counts.mounted++
      return toldMs
    }
    for (;;) {
      const beforeMs = now()
      try {
        await pushBlob(registry, repository.name, contentOf.get(digest) ?? '')
        return beforeMs
      } catch (error) {
        if (!isRegistryError(error, 'blobCollected')) throw error
        this.counts.collided++
      }
    }
  }

  async #pushIndex(repository: ModelRepository): Promise<void> {
    const known = this.#random.shuffle([...repository.manifests.values()]).slice(0, 1 + this.#random.below(3))
    const lists: ModelManifest[] = []
    const told: number[] = []
    for (const manifest of known) {
      const toldMs = this.#floor.now()
      if (!(await this.#find(repository, manifest))) continue
      lists.push(manifest)
      told.push(toldMs)
    }
    if (lists.length === 0) return
    const manifests = lists.map(({ digest, text }) => ({ mediaType: imageType, digest, size: Buffer.byteLength(text) }))
    const body = { schemaVersion: 2, mediaType: indexType, manifests, annotations: { number: this.#number() } }
    await this.#push(repository, { body, blobs: [], lists: lists.map(({ digest }) => digest), subject: undefined, told })
  }

  async #pushReferrer(repository: ModelRepository): Promise<void> {
    const known = [...repository.manifests.values()]
    if (known.length === 0) return
    const subject = this.#random.pick(known)
    if (await this.#find(repository, subject)) await this.#pushImage(repository, subject.digest)
  }

  async #push(
    repository: ModelRepository,
    of: { body: { mediaType: string }; blobs: string[]; lists: string[]; subject: string | undefined; told: number[] },
  ): Promise<void> {
    const { registry, now } = this.#floor
    const text = JSON.stringify(of.body)
    const digest = digestOf('sha256', Buffer.from(text))
    const tag = this.#random.chance(0.6) ? this.#random.pick(tags) : undefined
    const pushedMs = now()
    try {
      await pushManifest(registry, {
        repository: repositoryName(repository.name),
        reference: parseReference(tag ?? digest),
        extraTags: [],
        contentType: of.body.mediaType,
        bytes: Buffer.from(text),
        by: null,
      })
    } catch (error) {
      // Only when the client took longer than it was promised, a tenth of which may be missing.
      const isLate = of.told.some((toldMs) => now() - toldMs >= leaseMs * 0.9)
      assert.ok(isLate && isRegistryError(error, 'manifestBlobUnknown'), `push to ${repository.name} after ${String(error)}`)
      return
    }
    this.counts.pushed++
    repository.manifests.set(digest, { digest, text, ...of, pushedMs, leasedMs: pushedMs, tagEndedMs: undefined })
    if (tag !== undefined) this.#move(repository, { tag, digest, atMs: pushedMs })
  }

  #move(repository: ModelRepository, { tag, digest, atMs }: { tag: string; digest: string | undefined; atMs: number }): void {
    const before = repository.manifests.get(repository.tags.get(tag) ?? '')
    if (before && before.digest !== digest) before.tagEndedMs = atMs
    if (digest === undefined) repository.tags.delete(tag)
    else repository.tags.set(tag, digest)
  }

  async #deleteManifest(repository: ModelRepository): Promise<void> {
    if (repository.manifests.size < 5) return
    const manifest = this.#random.pick([...repository.manifests.values()])
    const { digest } = manifest
    const deletedMs = this.#floor.now()
    if (!(await this.#delete(repository, digest))) return this.#expire(repository, manifest)
    this.counts.deleted++
    const its = [...repository.tags].filter(([, of]) => of === digest).map(([tag]) => tag)
    for (const tag of its) repository.tags.delete(tag)
    if (its.length > 0) manifest.tagEndedMs = deletedMs
    repository.manifests.delete(digest)
    repository.trash.push({ manifest, tags: its, deletedMs })
  }

  async #deleteTag(repository: ModelRepository): Promise<void> {
    if (repository.tags.size === 0) return
    const tag = this.#random.pick([...repository.tags.keys()])
    const atMs = this.#floor.now()
    assert.ok(await this.#delete(repository, tag), `the tag ${tag} of ${repository.name} is there`)
    this.#move(repository, { tag, digest: undefined, atMs })
  }

  async #delete(repository: ModelRepository, reference: string): Promise<boolean> {
    const { registry } = this.#floor
    const row = await getRepository(registry, repository.name)
    return this.#isThere(() => deleteByReference(registry, row, { reference: parseReference(reference), by: null }))
  }

  /** Refused where a manifest references it. */
  async #deleteBlob(repository: ModelRepository): Promise<void> {
    const { registry } = this.#floor
    const digest = this.#random.pick([...contentOf.keys()])
    try {
      await deleteBlob(registry, await getRepository(registry, repository.name), digest)
    } catch (error) {
      if (!isRegistryError(error, 'blobInUse') && !isRegistryError(error, 'blobUnknown')) throw error
    }
  }

  async #restore(repository: ModelRepository): Promise<void> {
    const { registry, now } = this.#floor
    const deletion = repository.trash.at(-1 - this.#random.below(3))
    if (!deletion) return
    const { manifest, deletedMs } = deletion
    const { id: repositoryId } = await getRepository(registry, repository.name)
    const { items } = await trashFor(registry, { of: { repositoryId }, before: undefined, limit: 1000 })
    const item = items.find(({ digest }) => digest === manifest.digest)
    const outcome = item
      ? await restoreFromTrash(registry, { id: item.id, by: null }).then(
          () => 'restored',
          (error: unknown) => (isRegistryError(error) ? error.reason : String(error)),
        )
      : 'trashItemUnknown'
    if (outcome === 'trashItemUnknown') {
      assert.ok(now() - deletedMs >= trashMs, `${manifest.digest} can still be restored`)
      repository.trash.splice(repository.trash.indexOf(deletion), 1)
      return
    }
    if (outcome === 'restoreBlocked') {
      assert.ok(!manifest.lists.every((digest) => repository.manifests.has(digest)), 'something that it lists was deleted')
      return
    }
    assert.equal(outcome, 'restored')
    this.counts.restored++
    repository.trash.splice(repository.trash.indexOf(deletion), 1)
    repository.manifests.set(manifest.digest, manifest)
    for (const tag of deletion.tags) if (!repository.tags.has(tag)) repository.tags.set(tag, manifest.digest)
    await this.checkManifest(repository, manifest)
    // What refers to it or is listed by it was not held for a moment, if its time was over.
    for (const other of repository.manifests.values())
      if (other.subject === manifest.digest || manifest.lists.includes(other.digest)) await this.#findOrForget(repository, other)
  }

  /** Whether it is there; when it is not, it must not have to be. */
  async #find(repository: ModelRepository, manifest: ModelManifest): Promise<boolean> {
    const { registry, now } = this.#floor
    const leasedMs = now()
    const row = await getRepository(registry, repository.name)
    const isThere = await this.#isThere(() => resolveManifest(registry, row, { kind: 'digest', digest: parseDigest(manifest.digest) }))
    if (!isThere) this.#expire(repository, manifest)
    // A tenth of a lease may be old already.
    else manifest.leasedMs = Math.max(manifest.leasedMs, leasedMs - leaseMs * 0.1)
    return isThere
  }

  #expire(repository: ModelRepository, manifest: ModelManifest): void {
    assert.ok(
      !repository.mustHold(manifest.digest, this.#floor.now()),
      `${repository.name}@${manifest.digest} must be there: ${manifest.text}`,
    )
    this.counts.expired++
    repository.manifests.delete(manifest.digest)
  }

  async #findOrForget(repository: ModelRepository, manifest: ModelManifest): Promise<void> {
    const { registry } = this.#floor
    const row = await getRepository(registry, repository.name)
    const digest = parseDigest(manifest.digest)
    if (!(await this.#isThere(() => resolveManifest(registry, row, { kind: 'digest', digest }))))
      repository.manifests.delete(manifest.digest)
  }

  /** It is there with all its blobs, byte for byte; or it need not be. */
  async checkManifest(repository: ModelRepository, manifest: ModelManifest): Promise<void> {
    const { registry } = this.#floor
    if (!(await this.#find(repository, manifest))) return
    const row = await getRepository(registry, repository.name)
    for (const digest of manifest.blobs) {
      const reader = await openBlob(registry, row, parseDigest(digest)).catch((error: unknown) => {
        if (isRegistryError(error, 'blobUnknown')) return undefined
        throw error
      })
      // Half a day may have passed since it was found; otherwise it keeps its blobs.
      if (!reader) return this.#expire(repository, manifest)
      const bytes = Buffer.alloc(reader.sizeBytes)
      await reader.read(bytes, 0)
      await reader.close()
      assert.equal(bytes.toString(), contentOf.get(digest as SupportedDigest))
    }
    this.counts.checked++
  }

  /** What the rule has taken, without anybody having looked. */
  async forgetWhatIsGone(repository: ModelRepository): Promise<void> {
    for (const manifest of repository.manifests.values()) await this.#find(repository, manifest)
  }

  /** @returns false when it is unknown. */
  async #isThere(ask: () => Promise<unknown>): Promise<boolean> {
    try {
      await ask()
      return true
    } catch (error) {
      if (isRegistryError(error, 'blobUnknown') || isRegistryError(error, 'manifestUnknown')) return false
      throw error
    }
  }

  /** Makes each manifest another. */
  #number(): string {
    return `${this.#random.next()} ${this.#made++}`
  }
}
