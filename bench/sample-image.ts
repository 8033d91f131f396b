/**
 * The small image that every server gets: a config, a layer of 10 KiB named eight times, a manifest.
 */
import { manifestType, sha256, type RegistryClient } from './client.ts'

export const layerBytes = 10 * 1024

export interface SampleImage {
  readonly repository: string
  readonly tag: string
  readonly manifest: Buffer
  readonly manifestDigest: string
  readonly config: string
  readonly layer: string
}

/** Pushes it; the same bytes each time. */
export async function pushSampleImage(client: RegistryClient, repository = 'bench/image'): Promise<SampleImage> {
  const configContent = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}')
  const layerContent = Buffer.alloc(layerBytes, 'a layer of the bench ')
  const config = await client.pushBlob(repository, configContent)
  const layer = await client.pushBlob(repository, layerContent)
  const layers = Array.from({ length: 8 }, () => ({ digest: layer, size: layerBytes }))
  const manifest = imageManifest({ digest: config, size: configContent.length }, layers)
  const tag = 'latest'
  await client.putManifest(repository, tag, manifest)
  return { repository, tag, manifest, manifestDigest: sha256(manifest), config, layer }
}

interface Content {
  readonly digest: string
  readonly size: number
}

export function imageManifest(config: Content, layers: readonly Content[]): Buffer {
  const document = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: layers.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer })),
  }
  return Buffer.from(JSON.stringify(document))
}
