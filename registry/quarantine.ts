/**
 * What happens to content that is found damaged, and to what is pushed again.
 *
 * Invariants: what is in quarantine is never served and never said to be there, so that clients push it again; it is taken from its place
 * under the same lock under which uploads make sure of theirs, so that no copy that was stored meanwhile is mistaken for the damaged one;
 * nothing damaged is thrown away.
 */
import type { Digest, SupportedDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { blobLease } from '../storage/metadata/reviews.ts'
import type { Writer } from '../storage/metadata/schema.ts'
import { emptyManifest, endQuarantine, putQuarantine, type ManifestKey, type RecordedFault } from '../storage/metadata/scrubs.ts'
import { recordAuditEvent, type AuditAction, type AuditDetail } from './audit.ts'
import { writeToFree, type Registry } from './registry.ts'

/** A blob that cannot be read as it should. */
export interface BadBlob {
  readonly digest: SupportedDigest
  /** As the rows say. */
  readonly sizeBytes: number
  /** The copy that was read, which must still be open, and what is wrong with it; undefined: it is missing, or has another size. */
  readonly read?: { readonly copy: string; readonly fault: 'content' | 'unreadable' }
}

/** `gone`: it was collected meanwhile; `sound`: it was stored anew, or is back; `isNew`: nobody knew before. */
export type Verdict =
  | { readonly kind: 'gone' | 'sound' }
  | { readonly kind: 'damaged'; readonly fault: RecordedFault; readonly isNew: boolean }

/**
 * Puts a blob into quarantine, if what lies in its place still is what was found.
 * @throws {RegistryError} storageFull, storageFailed
 */
export async function quarantineBlob(registry: Registry, bad: BadBlob): Promise<Verdict> {
  const verdict = await writeToFree(registry, (tx) => judge(tx, registry, bad))
  if (verdict.kind === 'damaged' && verdict.isNew) registry.onDamage?.('found')
  return verdict
}

async function judge(tx: Writer, registry: Registry, { digest, sizeBytes, read }: BadBlob): Promise<Verdict> {
  const { blobs, clock, newId } = registry
  const row = await blobLease.first(tx, { digest })
  if (!row) return { kind: 'gone' }
  const found = await blobs.inspection.setAside(digest, { id: newId(), sizeBytes, copy: read?.copy })
  if (found === undefined) return { kind: 'sound' }
  if (found === 'missing' && (await putBackCollected(registry, digest, sizeBytes))) return { kind: 'sound' }
  const fault = found === 'copy' ? (read?.fault ?? 'content') : found
  const isNew = await putQuarantine(tx, { digest, fault, sizeBytes, nowMs: clock() })
  if (isNew) await record(tx, registry, { action: 'damage', target: digest, detail: { kind: 'blob', fault, bytes: sizeBytes } })
  return { kind: 'damaged', fault, isNew }
}

/** A collector that was killed amid a step has left it where it was on its way out; none is at work while this one holds the lock. */
async function putBackCollected({ blobs }: Registry, digest: SupportedDigest, sizeBytes: number): Promise<boolean> {
  for (const left of await blobs.collected.list()) if (left.digest === digest) await blobs.collected.putBack(left.name)
  return (await blobs.statBlob(digest)) === sizeBytes
}

/** As quarantineBlob, for who has found the damage by reading: that the disk takes no rows changes nothing about what is answered. */
export async function tryToQuarantine(registry: Registry, bad: BadBlob): Promise<Verdict> {
  try {
    return await quarantineBlob(registry, bad)
  } catch (error) {
    if (!isRegistryError(error, 'storageFull') && !isRegistryError(error, 'storageFailed')) throw error
    return { kind: 'damaged', fault: presumed(bad), isNew: false }
  }
}

function presumed(bad: BadBlob): RecordedFault {
  return bad.read?.fault ?? 'missing'
}

/** To be called with every blob that has been stored, in the same transaction. @returns whether it was damaged before */
export async function healBlob(tx: Writer, registry: Registry, digest: SupportedDigest): Promise<boolean> {
  if (!(await endQuarantine(tx, digest))) return false
  await noteHealed(tx, registry, { kind: 'blob', target: digest })
  return true
}

export async function noteHealed(tx: Writer, registry: Registry, { kind, target }: { kind: string; target: Digest }): Promise<void> {
  await record(tx, registry, { action: 'repair', target, detail: { kind } })
  registry.onDamage?.('healed')
}

/**
 * Takes away the content of a manifest that is not the content of its digest, and keeps it as a file.
 * @returns whether it still was this content
 * @throws {RegistryError} storageFull, storageFailed
 */
export async function quarantineManifest(
  registry: Registry,
  { repositoryId, digest }: ManifestKey & { readonly digest: SupportedDigest },
  content: Uint8Array,
): Promise<boolean> {
  await registry.blobs.inspection.keepBytes(digest, registry.newId(), content)
  const isTaken = await writeToFree(registry, async (tx) => {
    if ((await emptyManifest.run(tx, { repositoryId, digest, content })) === 0) return false
    await record(tx, registry, { action: 'damage', target: digest, detail: { kind: 'manifest', fault: 'content', bytes: content.length } })
    return true
  })
  if (isTaken) registry.onDamage?.('found')
  return isTaken
}

async function record(
  tx: Writer,
  { clock }: Registry,
  event: { readonly action: AuditAction; readonly target: string; readonly detail: AuditDetail },
): Promise<void> {
  const from = { actor: null, via: 'system', address: null, requestId: null } as const
  await recordAuditEvent(tx, { ...from, ...event, atMs: clock(), outcome: event.action === 'damage' ? 'failed' : 'ok' })
}
