/**
 * The media types that this registry knows: which manifests it accepts and how each is built, and which layers are never pushed.
 *
 * Types of configs, layers and artifacts are anybody's to invent and are not listed. Invariant: a type is accepted as a manifest if and
 * only if it is in the one table below.
 */

/** How a manifest is built, and so which fields refer to other content. */
export type ManifestShape = 'image' | 'index' | 'artifact'

/** Names used in more than one place. Spec: image-spec v1.1.1, media-types.md. */
export const mediaTypes = {
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  blob: 'application/octet-stream',
} as const

const manifestShapes: ReadonlyMap<string, ManifestShape> = new Map<string, ManifestShape>([
  [mediaTypes.ociImage, 'image'],
  [mediaTypes.ociIndex, 'index'],
  [mediaTypes.dockerImage, 'image'],
  [mediaTypes.dockerList, 'index'],
  // Deprecated and gone from image-spec 1.1; oras before 1.2 wrote it.
  [mediaTypes.ociArtifact, 'artifact'],
])

/** Docker and containerd have removed schema 1; recognised only to say so. */
const schema1Types: ReadonlySet<string> = new Set([
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
])

const nonDistributableTypes: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  'application/vnd.docker.image.rootfs.foreign.diff.tar',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
])

/** The shape of an accepted manifest type; `undefined` for every other type. */
export function findManifestShape(mediaType: string): ManifestShape | undefined {
  return manifestShapes.get(mediaType)
}

/** Whether this registry accepts manifests of this type and follows their references. */
export function isManifestType(mediaType: string): boolean {
  return manifestShapes.has(mediaType)
}

/** Whether this is a manifest of Docker's schema 1, which is refused whatever the settings say. */
export function isSchema1Type(mediaType: string): boolean {
  return schema1Types.has(mediaType)
}

/** Whether content of this type is fetched from its `urls` and never pushed, so that it may be missing here. */
export function isNonDistributable(mediaType: string): boolean {
  return nonDistributableTypes.has(mediaType)
}

// type "/" subtype of RFC 6838, section 4.2, in lower case; the two classes are disjoint from "/".
const grammar = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/

/** Whether `text` is a media type in lower case without parameters: safe to send as a Content-Type header. */
export function isMediaType(text: string): boolean {
  return grammar.test(text)
}
