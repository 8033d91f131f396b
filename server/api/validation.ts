/**
 * From what a request brings to values, or to a fault that names every member that is wrong.
 *
 * Invariant: a fault repeats no value, which may be a secret; of names it repeats a little.
 */
import { z } from 'zod'
import { isRegistryError, RegistryError, errorTable, type ErrorReason } from '../../oci/errors.ts'
import { parseStrictJson } from '../../oci/strict-json.ts'
import type { MemberFault } from '../http/problem.ts'
import type { Shape } from './operation.ts'

const shownFaults = 5
const shownName = 60

/** @throws {RegistryError} parameterInvalid or requestInvalid, or the reason that a field brings, with a detail for each member */
export function validate(schema: z.ZodType, value: unknown, where: MemberFault['in']): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const details = result.error.issues.slice(0, shownFaults).flatMap((issue) => faultsIn(issue, where))
  const message = details.map(({ member, detail }) => (member === '' ? detail : `${member}: ${detail}`)).join('; ')
  const own = result.error.issues.flatMap((issue) => (issue.code === 'custom' ? reasonOf(issue.params) : []))[0]
  if (own !== undefined) throw new RegistryError(own, { details })
  const isBody = where === 'body'
  throw new RegistryError(isBody ? 'requestInvalid' : 'parameterInvalid', {
    message: isBody ? `the body is not valid: ${message}` : message,
    details,
  })
}

/** The parameters of a shape; what the shape does not name is ignored. */
export function validateMembers(shape: Shape | undefined, values: Readonly<Record<string, unknown>>, where: 'path' | 'query') {
  return shape ? (validate(z.object(shape), values, where) as Readonly<Record<string, unknown>>) : {}
}

/** A parameter that comes once is a text, one that comes several times a list. */
export function queryValues(query: URLSearchParams): Record<string, string | string[]> {
  return Object.fromEntries(
    [...new Set(query.keys())].map((name) => {
      const [first = '', ...more] = query.getAll(name)
      return [name, more.length === 0 ? first : [first, ...more]]
    }),
  )
}

/** The value of a body's JSON, read so that no two readers can take it for different things. @throws {RegistryError} requestInvalid */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw new RegistryError('requestInvalid', { message: 'the body is empty: a JSON object is expected' })
  try {
    return parseStrictJson(bytes)
  } catch (error) {
    if (!isRegistryError(error)) throw error
    throw new RegistryError('requestInvalid', { message: error.message.replace('the manifest is', 'the body is'), cause: error })
  }
}

function faultsIn(issue: z.core.$ZodIssue, where: MemberFault['in']): MemberFault[] {
  const path = issue.path.map(String)
  if (issue.code !== 'unrecognized_keys') return [{ in: where, member: shown(path), detail: issue.message }]
  return issue.keys.slice(0, shownFaults).map((key) => ({ in: where, member: shown([...path, key]), detail: 'there is no such member' }))
}

function shown(path: readonly string[]): string {
  return path.join('.').toWellFormed().slice(0, shownName)
}

function reasonOf(params: Record<string, unknown> | undefined): ErrorReason[] {
  const reason = params?.['reason']
  return typeof reason === 'string' && Object.hasOwn(errorTable, reason) ? [reason as ErrorReason] : []
}
