/**
 * Pushing a manifest: verify the digest, read its shape, check that what it references is there, and store bytes,
 * references, subject and tags in one transaction. A tag never points to a manifest that cannot be pulled.
 */
import { algorithmOf, digestOf, requireSupported, type Digest, type SupportedDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseManifest, requireAcceptedType, type Manifest, type ManifestReference } from '../oci/manifest.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import type { RepositoryName } from '../oci/repository-name.ts'
import { linkedBlob } from '../storage/metadata/blobs.ts'
import { findManifestSize, putManifest } from '../storage/metadata/manifests.ts'
import { ensureRepository } from '../storage/metadata/repositories.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { setTag } from '../storage/metadata/tags.ts'
import { noteHealed } from './quarantine.ts'
import type { Registry } from './registry.ts'

export interface ManifestPush {
  readonly repository: RepositoryName
  readonly reference: Reference
  /** Tags beside a digest. Spec: distribution-spec main, "Pushing Manifests" (end-7b). */
  readonly extraTags: readonly Tag[]
  readonly contentType: string | undefined
  readonly bytes: Uint8Array
  /** Account name, null when nobody is signed in. */
  readonly by: string | null
  /** The id of the same account: it owns the namespace, should that be new. */
  readonly accountId?: number | null
}

export interface PushedManifest {
  readonly digest: SupportedDigest
  readonly subject: Digest | undefined
}

/**
 * @throws {RegistryError} digestMismatch, digestUnsupported; manifestInvalid: also when a descriptor's size is not the
 * stored one; manifestBlobUnknown: one detail per missing digest
 */
export async function pushManifest(registry: Registry, push: ManifestPush): Promise<PushedManifest> {
  const { rules, database, clock } = registry
  requireAcceptedType(push.contentType, rules)
  const digest = digestFor(push)
  const manifest = parseManifest(push.bytes, push.contentType, rules)
  await registry.blobs.requireWritable()
  const tags = push.reference.kind === 'tag' ? [push.reference.tag] : push.extraTags
  await database.write(async (tx) => {
    const nowMs = clock()
    const repositoryId = await ensureRepository(tx, {
      name: push.repository,
      visibility: rules.defaultVisibility,
      accountId: push.accountId ?? null,
      nowMs,
    })
    await requireContent(tx, repositoryId, mustBeHere(manifest.references, rules.missingContent))
    const isHealed = await putManifest(
      tx,
      manifestRow({ push, manifest, digest, repositoryId, nowMs }),
      manifest.references.map(referenceRow),
    )
    if (isHealed) await noteHealed(tx, registry, { kind: 'manifest', target: digest })
    for (const tag of tags) await setTag(tx, { repositoryId, tag, digest, nowMs, by: push.by })
  })
  return { digest, subject: manifest.subject?.digest }
}

/** By tag always sha256; by digest whatever the client chose, once the bytes prove it. */
function digestFor({ reference, bytes }: ManifestPush): SupportedDigest {
  if (reference.kind === 'tag') return digestOf('sha256', bytes)
  const claimed = requireSupported(reference.digest)
  const actual = digestOf(algorithmOf(claimed), bytes)
  if (actual !== claimed) throw new RegistryError('digestMismatch', { detail: { expected: claimed, received: actual } })
  return actual
}

function mustBeHere(references: readonly ManifestReference[], missing: 'strict' | 'index' | 'off'): ManifestReference[] {
  if (missing === 'off') return []
  const isOptional = (reference: ManifestReference) =>
    missing === 'index' && (reference.role === 'manifest' || reference.role === 'content')
  return references.filter((reference) => reference.isRequired && !isOptional(reference))
}

async function requireContent(tx: Writer, repositoryId: number, references: readonly ManifestReference[]): Promise<void> {
  const sizes = new Map<ManifestReference, number | undefined>()
  for (const reference of references) sizes.set(reference, await findStoredSize(tx, repositoryId, reference))
  const missing = new Set(
    references.filter((reference) => sizes.get(reference) === undefined).map((reference) => reference.descriptor.digest),
  )
  if (missing.size > 0) {
    throw new RegistryError('manifestBlobUnknown', { details: [...missing].map((digest) => ({ digest })) })
  }
  for (const reference of references) {
    const { digest, sizeBytes } = reference.descriptor
    const stored = sizes.get(reference)
    if (stored === sizeBytes) continue
    throw new RegistryError('manifestInvalid', {
      message: `the manifest says ${digest} has ${sizeBytes} bytes, stored are ${stored}`,
      detail: { digest },
    })
  }
}

async function findStoredSize(tx: Writer, repositoryId: number, { role, descriptor }: ManifestReference): Promise<number | undefined> {
  const key = { repositoryId, digest: descriptor.digest }
  if (role === 'manifest') return findManifestSize(tx, key)
  const blob = await linkedBlob.first(tx, key)
  return role === 'content' ? (blob?.size_bytes ?? findManifestSize(tx, key)) : blob?.size_bytes
}

function manifestRow(of: { push: ManifestPush; manifest: Manifest; digest: SupportedDigest; repositoryId: number; nowMs: number }) {
  const { push, manifest } = of
  return {
    repository_id: of.repositoryId,
    digest: of.digest,
    media_type: manifest.mediaType,
    artifact_type: manifest.artifactType ?? null,
    size_bytes: push.bytes.length,
    subject_digest: manifest.subject?.digest ?? null,
    annotations: manifest.annotations ? JSON.stringify(manifest.annotations) : null,
    pushed_by: push.by,
    pushed_at_ms: of.nowMs,
    content: push.bytes,
  }
}

function referenceRow({ role, descriptor }: ManifestReference) {
  return { digest: descriptor.digest, role }
}
