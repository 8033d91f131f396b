/**
 * Manifests and indexes of the campaign, as texts with their digests and with what they need.
 */
import { indexType, manifestType } from '../support/client.ts'
import { sha256, type Content } from './random.ts'

export interface Document {
  readonly digest: string
  readonly text: string
  readonly mediaType: string
  readonly blobs: readonly string[]
  readonly manifests: readonly string[]
}

/** @param variant makes another manifest of the same blobs. */
export function imageManifest(config: Content, layers: readonly Content[], variant: number): Document {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config.digest, size: config.bytes.length },
    layers: layers.map(({ digest, bytes }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: bytes.length })),
    annotations: { 'org.example.variant': String(variant) },
  })
  const blobs = [config, ...layers].map(({ digest }) => digest)
  return { digest: sha256(Buffer.from(text)), text, mediaType: manifestType, blobs, manifests: [] }
}

export function imageIndex(images: readonly Pick<Document, 'digest' | 'text'>[]): Document {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: indexType,
    manifests: images.map(({ digest, text: image }) => ({ mediaType: manifestType, digest, size: Buffer.byteLength(image) })),
  })
  return { digest: sha256(Buffer.from(text)), text, mediaType: indexType, blobs: [], manifests: images.map(({ digest }) => digest) }
}
