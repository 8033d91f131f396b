/**
 * Pushing, pulling and removing a small image through the use cases, as a client's requests would: the doctor's last question.
 *
 * Invariant: nothing is left. Its repository has a name that no request can have, so that it is nobody's and nobody meets it.
 */
import { randomBytes } from 'node:crypto'
import { digestOf, type SupportedDigest } from '../oci/digest.ts'
import { parseTag } from '../oci/reference.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { deleteNamespace } from '../storage/metadata/namespaces.ts'
import { deleteRepository } from '../storage/metadata/repositories.ts'
import { blobLease, deleteBlobRow, dropBlobReview, linkTo } from '../storage/metadata/reviews.ts'
import { pushWholeBlob } from './push-blob.ts'
import { pushManifest } from './push-manifest.ts'
import { openBlob } from './read-blob.ts'
import { resolveManifest } from './read-manifest.ts'
import { findRepository, writeToFree, type Registry } from './registry.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const blobType = 'application/vnd.oci.image.layer.v1.tar'

/** @throws what went wrong; then as much is removed as can be */
export async function pushToSelf(registry: Registry): Promise<void> {
  // The grammar of names has no tilde.
  const repository = `doctor~${randomBytes(8).toString('hex')}` as RepositoryName
  const bytes = randomBytes(1024)
  const digest = digestOf('sha256', bytes)
  try {
    await push(registry, { repository, bytes, digest })
    await pull(registry, { repository, bytes, digest })
  } finally {
    await remove(registry, { repository, digest })
  }
}

interface Image {
  readonly repository: RepositoryName
  readonly bytes: Buffer
  readonly digest: SupportedDigest
}

const tag = parseTag('self-push')

async function push(registry: Registry, { repository, bytes, digest }: Image): Promise<void> {
  const body = (async function* () {
    yield bytes
  })()
  await pushWholeBlob(registry, { repository, accountId: null }, { body, announcedBytes: bytes.length, range: undefined, digest })
  const manifest = manifestOf({ bytes, digest })
  await pushManifest(registry, {
    repository,
    reference: { kind: 'tag', tag },
    extraTags: [],
    contentType: manifestType,
    bytes: manifest,
    by: null,
  })
}

function manifestOf({ bytes, digest }: Pick<Image, 'bytes' | 'digest'>): Buffer {
  const descriptor = { mediaType: blobType, digest, size: bytes.length }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config: descriptor, layers: [descriptor] }))
}

async function pull(registry: Registry, { repository, bytes, digest }: Image): Promise<void> {
  const row = await findRepository(registry, repository)
  const { content } = await resolveManifest(registry, row, { kind: 'tag', tag })
  if (!manifestOf({ bytes, digest }).equals(content)) throw new Error('the manifest that was read is not the one that was pushed')
  const reader = await openBlob(registry, row, digest)
  try {
    const read = Buffer.alloc(bytes.length)
    await reader.read(read, 0)
    if (!read.equals(bytes)) throw new Error('the blob that was read is not the one that was pushed')
  } finally {
    await reader.close()
  }
}

/** The file goes as the collector takes files: with the row, in one transaction, and for good when that is durable. */
async function remove(registry: Registry, { repository, digest }: Pick<Image, 'repository' | 'digest'>): Promise<void> {
  const { blobs, newId } = registry
  const row = await findRepository(registry, repository)
  // A backup under way may need the file; then the collector takes it when its lease is over.
  const stopTaking = blobs.collected.startTaking()
  let name: string | undefined
  try {
    await writeToFree(registry, async (tx) => {
      if (row) await deleteRepository(tx, row.id)
      await deleteNamespace(tx, repository)
      const isNeeded = (await linkTo.first(tx, { digest })) !== undefined || (await blobLease.first(tx, { digest })) === undefined
      if (isNeeded || !stopTaking) return
      await deleteBlobRow.run(tx, { digest })
      await dropBlobReview.run(tx, { digest })
      name = await blobs.collected.takeAway(digest, newId())
    })
  } catch (error) {
    if (name !== undefined) await blobs.collected.putBack(name)
    throw error
  } finally {
    stopTaking?.()
  }
  if (name !== undefined) await blobs.collected.remove(name)
}
