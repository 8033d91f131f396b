/**
 * The one assertion that every parser test needs: refused, as a RegistryError of a given reason.
 *
 * Returns the error, so that a test can look at its message.
 */
import assert from 'node:assert/strict'
import { type ErrorReason, isRegistryError, type RegistryError } from '../../oci/errors.ts'

export function assertRefused(reason: ErrorReason, run: () => unknown): RegistryError {
  const error = findError(run)
  if (!isRegistryError(error)) throw error ?? new assert.AssertionError({ message: `expected to be refused as ${reason}` })
  assert.equal(error.reason, reason, error.message)
  return error
}

function findError(run: () => unknown): unknown {
  try {
    run()
    return undefined
  } catch (error) {
    return error
  }
}
