/**
 * What was looked up of roles, for as long as nobody's rights have changed: the look-up is a tenth of a pull.
 *
 * Invariant: nothing is answered from an older version of the rights than the one that the caller has read for this request. A role is
 * looked up after its version was read, so what is remembered is never older than the version beside it.
 */
import type { GrantedRole } from '../auth/roles.ts'
import type { RepositoryName } from '../oci/repository-name.ts'

export interface RoleQuestion {
  /** Read from the rows for this request. */
  readonly version: number
  readonly accountId: number
  readonly name: RepositoryName
}

/** Roles that are remembered at most; then all are forgotten. */
const maxRoles = 10_000

export class RoleMemory {
  readonly #lookUp: (question: RoleQuestion) => Promise<GrantedRole | undefined>
  readonly #roles = new Map<string, GrantedRole | undefined>()
  #version = -1

  constructor(lookUp: (question: RoleQuestion) => Promise<GrantedRole | undefined>) {
    this.#lookUp = lookUp
  }

  async roleIn(question: RoleQuestion): Promise<GrantedRole | undefined> {
    const { version, accountId, name } = question
    // Another request has read a newer version meanwhile; this one may be answered, and leaves nothing behind.
    if (version < this.#version) return this.#lookUp(question)
    if (version > this.#version) this.#roles.clear()
    this.#version = version
    const key = `${accountId} ${name}`
    if (this.#roles.has(key)) return this.#roles.get(key)
    const role = await this.#lookUp(question)
    if (this.#version === version) {
      if (this.#roles.size >= maxRoles) this.#roles.clear()
      this.#roles.set(key, role)
    }
    return role
  }
}
