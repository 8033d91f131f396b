/**
 * The assertion on work that must be refused: by a RegistryError of a given reason, and by nothing else.
 */
import assert from 'node:assert/strict'
import { RegistryError, type ErrorReason } from '../../oci/errors.ts'

/** @returns the error, so that a test can look at its detail. */
export async function assertRejected(reason: ErrorReason, work: Promise<unknown>): Promise<RegistryError> {
  const error = await failureOf(work)
  if (!(error instanceof RegistryError)) throw error
  assert.equal(error.reason, reason, error.message)
  return error
}

/** What the work was refused with. @throws when it was not refused. */
export async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const failure = await work.then(
    () => undefined,
    (error: unknown) => ({ error }),
  )
  assert.ok(failure, 'the work was refused')
  return failure.error
}
