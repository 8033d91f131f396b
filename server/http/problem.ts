/**
 * Faults as answers of the API. Spec: RFC 9457, "Problem Details for HTTP APIs".
 */
import { STATUS_CODES } from 'node:http'
import type { RegistryError } from '../../oci/errors.ts'

/** A member of a request that is not as it must be; an entry of a RegistryError's details. */
export interface MemberFault {
  readonly in: 'path' | 'query' | 'body'
  /** `visibility`, or `scopes.0.actions`; empty: the whole. */
  readonly member: string
  readonly detail: string
}

export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  readonly detail: string
  /** One of the registry protocol's codes, as under /v2. */
  readonly code: string
  /** Finer than the code: a row of docs/errors.md. */
  readonly reason: string
  readonly errors?: readonly MemberFault[]
}

export function problemOf(fault: RegistryError, requestId: string): Problem {
  const errors = fault.details.filter(isMemberFault)
  return {
    type: 'about:blank',
    title: STATUS_CODES[fault.status] ?? 'Error',
    status: fault.status,
    detail: fault.reason === 'internal' ? `${fault.message}: ${requestId}` : fault.message,
    code: fault.code,
    reason: fault.reason,
    ...(errors.length === 0 ? {} : { errors }),
  }
}

function isMemberFault(detail: unknown): detail is MemberFault {
  return typeof detail === 'object' && detail !== null && 'in' in detail && 'member' in detail && 'detail' in detail
}
