/**
 * What one client knows that a repository must hold: what was acknowledged is certain, what a cut request wanted is possible.
 *
 * Only that client writes to the repository, so every answer can be judged. Invariant: knowledge becomes uncertain before a request is
 * sent and certain again with its answer, or with what a read shows: what was seen once must stay.
 */

/** `maybe`: a request about it was cut. */
export type Presence = 'present' | 'absent' | 'maybe'

export interface KnownManifest {
  readonly text: string
  readonly mediaType: string
  /** Digests it needs: of blobs, and of manifests. */
  readonly blobs: readonly string[]
  readonly manifests: readonly string[]
  presence: Presence
}

export class RepositoryModel {
  readonly name: string
  readonly blobs = new Map<string, Presence>()
  readonly manifests = new Map<string, KnownManifest>()
  /** What the tag may be: digests, and undefined for no tag. */
  readonly tags = new Map<string, Set<string | undefined>>()

  constructor(name: string) {
    this.name = name
  }

  blob(digest: string): Presence {
    return this.blobs.get(digest) ?? 'absent'
  }

  presentBlobs(): string[] {
    return [...this.blobs].flatMap(([digest, presence]) => (presence === 'present' ? [digest] : []))
  }

  presentManifests(): string[] {
    return [...this.manifests].flatMap(([digest, { presence }]) => (presence === 'present' ? [digest] : []))
  }

  /** Tags that certainly point somewhere. */
  presentTags(): string[] {
    return [...this.tags].flatMap(([tag, allowed]) => (allowed.has(undefined) ? [] : [tag]))
  }

  /** Whether a manifest that may be there needs the content. */
  isNeeded(digest: string): boolean {
    return [...this.manifests.values()].some(
      (manifest) => manifest.presence !== 'absent' && (manifest.blobs.includes(digest) || manifest.manifests.includes(digest)),
    )
  }

  tagsOf(digest: string): string[] {
    return [...this.tags].flatMap(([tag, allowed]) => (allowed.has(digest) ? [tag] : []))
  }

  allow(tag: string, digest: string | undefined): void {
    const allowed = this.tags.get(tag) ?? new Set([undefined])
    this.tags.set(tag, allowed.add(digest))
  }

  settle(tag: string, digest: string | undefined): void {
    this.tags.set(tag, new Set([digest]))
  }
}
