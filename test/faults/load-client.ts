/**
 * The load of the campaign: one client that pushes, pulls, retags, mounts and deletes in two repositories of its own, and after each
 * kill looks at what it was told before.
 *
 * Every verb brings about by itself what it needs, so that a kill point is reached whatever the repositories hold.
 */
import { imageIndex, imageManifest, type Document } from './documents.ts'
import { RepositoryModel } from './load-model.ts'
import type { LoadWork } from './kill-points.ts'
import type { Content, ContentPool } from './random.ts'
import { RegistryUser, type Surroundings } from './registry-user.ts'
import { cancel, pushInChunks, pushInPost, pushInPut, pushWithBreak, type Push } from './upload.ts'

const tagNames = ['latest', 'v1', 'v2', 'v3']
/** A repository holds about so many manifests; then some are deleted. */
const manifestsWanted = 8
const blobsWanted = 30
/** So many of the last effects are looked at after each kill. */
const recentCount = 8

type Verb = LoadWork | 'pushWithBreak' | 'pushIndex'

/** How often each is done when no kill point asks for another. */
const habits: readonly (readonly [Verb, number])[] = [
  ['pushBlob', 3],
  ['pushBlobInChunks', 2],
  ['pushLargeInChunks', 1],
  ['pushWithBreak', 2],
  ['pushImage', 4],
  ['pushIndex', 1],
  ['moveTag', 2],
  ['deleteTag', 1],
  ['deleteManifest', 1],
  ['deleteBlob', 2],
  ['mountBlob', 2],
  ['cancelUpload', 1],
  ['pullImage', 4],
]

export interface LoadSurroundings extends Surroundings {
  readonly contents: ContentPool
  /** A repository that holds a few blobs and never changes. */
  readonly shared: RepositoryModel
  /** What the armed kill point needs. */
  readonly wanted: () => LoadWork | undefined
}

export class LoadClient {
  readonly user: RegistryUser
  readonly repositories: readonly RepositoryModel[]
  readonly #surroundings: LoadSurroundings
  readonly #random: Surroundings['random']
  /** Looks again at one acknowledged effect each, the latest last. */
  #recent: { readonly key: string; readonly check: () => Promise<void> }[] = []

  constructor(name: string, surroundings: LoadSurroundings) {
    this.user = new RegistryUser(surroundings)
    this.repositories = [new RepositoryModel(`${name}/app`), new RepositoryModel(`${name}/tools/base`)]
    this.#surroundings = surroundings
    this.#random = surroundings.random
  }

  /** Does one thing from its beginning to its end, whatever is killed in the meantime. */
  async workOnce(): Promise<void> {
    const wanted = this.#surroundings.wanted()
    await this[wanted !== undefined && this.#random.chance(0.8) ? wanted : this.#habit()]()
    await this.#tidyUp()
  }

  /** Looks at the latest effects, as everyone does after a kill. */
  async checkRecent(): Promise<void> {
    for (const { check } of this.#recent) await check()
  }

  /** Looks at everything. */
  async checkAll(): Promise<void> {
    for (const repository of this.repositories) await this.user.checkRepository(repository)
  }

  async pushBlob(): Promise<void> {
    const push = this.#newPush()
    await (this.#random.chance(0.7) ? pushInPut(this.user, push) : pushInPost(this.user, push))
    this.#rememberBlob(push)
  }

  async pushBlobInChunks(): Promise<void> {
    await this.#pushInChunks(this.#newPush())
  }

  async pushLargeInChunks(): Promise<void> {
    const { contents } = this.#surroundings
    await this.#pushInChunks({ repository: this.#repository(), content: contents.pickLarge(this.#random) })
  }

  async pushWithBreak(): Promise<void> {
    const push = this.#newPush()
    await pushWithBreak(this.user, push)
    this.#rememberBlob(push)
  }

  /** Blobs as needed, some by mount, then the manifest: under a tag, under its digest, or both. */
  async pushImage(repository = this.#repository()): Promise<string> {
    const config = await this.#havePresentBlob(repository)
    const layers = [await this.#havePresentBlob(repository), await this.#havePresentBlob(repository)]
    const manifest = imageManifest(config, layers, this.#random.below(1_000_000))
    await this.#putManifest(repository, manifest)
    return manifest.digest
  }

  async pushIndex(): Promise<void> {
    const repository = this.#repository()
    const images = [await this.pushImage(repository), await this.pushImage(repository)]
    await this.#putManifest(
      repository,
      imageIndex(images.map((digest) => ({ digest, text: repository.manifests.get(digest)?.text ?? '' }))),
    )
  }

  /** Points a tag that is to another manifest. */
  async moveTag(): Promise<void> {
    const repository = this.#repository()
    const tag = await this.#havePresentTag(repository)
    const others = repository.presentManifests().filter((digest) => !repository.tags.get(tag)?.has(digest))
    const digest = others.length > 0 ? this.#random.pick(others) : undefined
    if (digest === undefined) return this.#putManifest(repository, await this.#newImage(repository), tag)
    await this.#putManifest(repository, { digest, ...this.#known(repository, digest) }, tag)
  }

  async deleteTag(): Promise<void> {
    const repository = this.#repository()
    const tag = await this.#havePresentTag(repository)
    repository.allow(tag, undefined)
    const path = `/v2/${repository.name}/manifests/${tag}`
    const observe = (): Promise<void> => this.user.checkTag(repository, tag)
    await this.user.perform({ method: 'DELETE', path, expect: [202], isDone: [404], observe })
    repository.settle(tag, undefined)
    this.#remember(`${repository.name}:${tag}`, observe)
  }

  /** With every tag that points to it; one that an index needs is left alone. */
  async deleteManifest(repository = this.#repository()): Promise<void> {
    const candidates = repository.presentManifests().filter((digest) => !repository.isNeeded(digest))
    const tagged = candidates.filter((digest) => repository.tagsOf(digest).length > 0)
    const digest = tagged.length > 0 ? this.#random.pick(tagged) : await this.#pushTaggedImage(repository)
    const manifest = this.#known(repository, digest)
    const tags = repository.tagsOf(digest)
    manifest.presence = 'maybe'
    for (const tag of tags) repository.allow(tag, undefined)
    const path = `/v2/${repository.name}/manifests/${digest}`
    const observe = (): Promise<void> => this.#checkDeletion(repository, digest, tags)
    await this.user.perform({ method: 'DELETE', path, expect: [202], isDone: [404], observe })
    manifest.presence = 'absent'
    for (const tag of tags) repository.settle(tag, undefined)
    this.#remember(`${repository.name}@${digest}`, () => this.user.checkManifest(repository, digest))
  }

  async deleteBlob(repository = this.#repository()): Promise<void> {
    const isFree = (digest: string): boolean => !repository.isNeeded(digest)
    if (!repository.presentBlobs().some(isFree)) await this.#havePresentBlob(repository, isFree)
    const digest = this.#random.pick(repository.presentBlobs().filter(isFree))
    repository.blobs.set(digest, 'maybe')
    const path = `/v2/${repository.name}/blobs/${digest}`
    const observe = (): Promise<void> => this.user.checkBlob(repository, digest)
    await this.user.perform({ method: 'DELETE', path, expect: [202], isDone: [404], observe })
    repository.blobs.set(digest, 'absent')
    this.#remember(`${repository.name}@${digest}`, observe)
  }

  /** Takes a blob from the shared repository, or from the other one of its own. */
  async mountBlob(repository = this.#repository()): Promise<void> {
    const { shared } = this.#surroundings
    const others = this.repositories.filter((other) => other !== repository && other.presentBlobs().length > 0)
    const source = this.#random.pick([shared, ...others])
    const digest = this.#random.pick(source.presentBlobs())
    if (repository.blob(digest) === 'absent') repository.blobs.set(digest, 'maybe')
    const path = `/v2/${repository.name}/blobs/uploads/?mount=${digest}&from=${source.name}`
    const observe = (): Promise<void> => this.user.checkBlob(repository, digest)
    await this.user.perform({ method: 'POST', path, expect: [201], observe })
    repository.blobs.set(digest, 'present')
    this.#remember(`${repository.name}@${digest}`, observe)
  }

  async cancelUpload(): Promise<void> {
    await cancel(this.user, this.#newPush())
  }

  /** By tag, then everything that the manifest needs. */
  async pullImage(): Promise<void> {
    const repository = this.#repository()
    const tag = await this.#havePresentTag(repository)
    await this.user.checkTag(repository, tag)
    const [digest] = repository.tags.get(tag) ?? []
    if (digest === undefined) return
    const { blobs, manifests } = this.#known(repository, digest)
    for (const child of manifests) await this.user.checkManifest(repository, child)
    for (const blob of blobs) await this.user.checkBlob(repository, blob)
  }

  #habit(): Verb {
    let left = this.#random.next() * habits.reduce((sum, [, weight]) => sum + weight, 0)
    const found = habits.find(([, weight]) => (left -= weight) < 0)
    return found?.[0] ?? 'pullImage'
  }

  #repository(): RepositoryModel {
    return this.#random.pick(this.repositories)
  }

  #newPush(repository = this.#repository()): Push {
    return { repository, content: this.#surroundings.contents.pick(this.#random) }
  }

  async #pushInChunks(push: Push): Promise<void> {
    await pushInChunks(this.user, {
      ...push,
      chunks: 1 + this.#random.below(3),
      isLastInPut: this.#random.chance(0.3),
      hasRanges: this.#random.chance(0.5),
    })
    this.#rememberBlob(push)
  }

  /** One that is there already, or one that this brings there. */
  async #havePresentBlob(repository: RepositoryModel, isWanted: (digest: string) => boolean = () => true): Promise<Content> {
    const present = repository.presentBlobs().filter(isWanted)
    if (present.length > 0 && this.#random.chance(0.5)) return this.#contentOf(this.#random.pick(present))
    for (;;) {
      if (this.#random.chance(0.3)) await this.mountBlob(repository)
      const push = this.#newPush(repository)
      await pushInPut(this.user, push)
      this.#rememberBlob(push)
      if (isWanted(push.content.digest)) return push.content
    }
  }

  #contentOf(digest: string): Content {
    const content = this.#surroundings.contents.find(digest)
    if (!content) throw new Error(`no content is ${digest}`)
    return content
  }

  async #newImage(repository: RepositoryModel) {
    return imageManifest(await this.#havePresentBlob(repository), [await this.#havePresentBlob(repository)], this.#random.below(1_000_000))
  }

  async #havePresentTag(repository: RepositoryModel): Promise<string> {
    const present = repository.presentTags()
    if (present.length > 0) return this.#random.pick(present)
    const tag = this.#random.pick(tagNames)
    await this.#putManifest(repository, await this.#newImage(repository), tag)
    return tag
  }

  async #pushTaggedImage(repository: RepositoryModel): Promise<string> {
    const image = await this.#newImage(repository)
    await this.#putManifest(repository, image, this.#random.pick(tagNames))
    return image.digest
  }

  #known(repository: RepositoryModel, digest: string) {
    const manifest = repository.manifests.get(digest)
    if (!manifest) throw new Error(`nothing is known of ${digest}`)
    return manifest
  }

  /** @param tag undefined: under a tag or under its digest, with some tags or none. */
  async #putManifest(repository: RepositoryModel, manifest: Document, tag?: string): Promise<void> {
    const { digest, text, mediaType, blobs, manifests } = manifest
    const known = repository.manifests.get(digest) ?? { text, mediaType, blobs, manifests, presence: 'absent' as const }
    repository.manifests.set(digest, known)
    if (known.presence === 'absent') known.presence = 'maybe'
    const isByTag = tag !== undefined || this.#random.chance(0.6)
    const tags = isByTag ? [tag ?? this.#random.pick(tagNames)] : tagNames.filter(() => this.#random.chance(0.3))
    for (const each of tags) repository.allow(each, digest)
    const query = isByTag || tags.length === 0 ? '' : `?${tags.map((each) => `tag=${each}`).join('&')}`
    const observe = async (): Promise<void> => {
      await this.user.checkManifest(repository, digest)
      for (const each of tags) await this.user.checkTag(repository, each)
    }
    await this.user.perform({
      method: 'PUT',
      path: `/v2/${repository.name}/manifests/${isByTag ? tags[0] : digest}${query}`,
      headers: { 'Content-Type': mediaType },
      body: Buffer.from(text),
      expect: [201],
      observe,
    })
    known.presence = 'present'
    for (const each of tags) repository.settle(each, digest)
    for (const each of tags) this.#remember(`${repository.name}:${each}`, () => this.user.checkTag(repository, each))
    this.#remember(`${repository.name}@${digest}`, () => this.user.checkManifest(repository, digest))
  }

  /** The manifest and its tags go together or not at all. */
  async #checkDeletion(repository: RepositoryModel, digest: string, tags: readonly string[]): Promise<void> {
    await this.user.checkManifest(repository, digest)
    const isGone = repository.manifests.get(digest)?.presence === 'absent'
    for (const tag of tags) {
      await this.user.checkTag(repository, tag)
      const isTagGone = repository.tags.get(tag)?.has(undefined) === true
      if (isTagGone !== isGone) this.user.violate('wrong', `${repository.name}: ${digest} and its tag ${tag} were not deleted together`)
    }
  }

  async #tidyUp(): Promise<void> {
    for (const repository of this.repositories) {
      if (repository.presentManifests().length > manifestsWanted) await this.deleteManifest(repository)
      if (repository.presentBlobs().length > blobsWanted && repository.presentBlobs().some((digest) => !repository.isNeeded(digest)))
        await this.deleteBlob(repository)
    }
  }

  #rememberBlob({ repository, content }: Push): void {
    this.#remember(`${repository.name}@${content.digest}`, () => this.user.checkBlob(repository, content.digest))
  }

  /** The latest word about a thing replaces the earlier one. */
  #remember(key: string, check: () => Promise<void>): void {
    this.#recent = [...this.#recent.filter((each) => each.key !== key), { key, check }].slice(-recentCount)
  }
}
