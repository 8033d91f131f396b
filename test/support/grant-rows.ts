/** Accounts, teams and grants as rows, for tests below HTTP that begin with many of them. */
import type { Grant } from '../../auth/roles.ts'
import { accountByName, createAccount } from '../../storage/metadata/accounts.ts'
import type { Database } from '../../storage/metadata/database.ts'
import { setGrant } from '../../storage/metadata/grants.ts'
import { ensureNamespace } from '../../storage/metadata/namespaces.ts'
import { createTeam, setTeamMember, teamByName } from '../../storage/metadata/teams.ts'

/** An account of this name without a password. @returns its id. */
export async function addPerson(database: Database, name: string): Promise<number> {
  await database.writeRelaxed((tx) => createAccount(tx, { name, passwordHash: '', isAdmin: false, nowMs: 1 }))
  return (await accountByName.first(database.read, { name }))?.id ?? 0
}

/** A robot of a namespace, which is made if need be. @returns its id. */
export async function addRobot(database: Database, name: string, namespace: string): Promise<number> {
  return database.writeRelaxed(async (tx) => {
    const { id } = await ensureNamespace(tx, { name: namespace, accountId: null, nowMs: 1 })
    const row = await tx
      .insertInto('account')
      .values({ name, password_hash: '', is_admin: 0, created_at_ms: 1, kind: 'robot', namespace_id: id })
      .returning('id')
      .executeTakeFirstOrThrow()
    return row.id
  })
}

/** A team with these accounts in it. @returns its id. */
export async function addTeamOf(database: Database, name: string, ...accountIds: readonly number[]): Promise<number> {
  return database.writeRelaxed(async (tx) => {
    await createTeam(tx, { name, description: '', nowMs: 1 })
    const teamId = (await teamByName.first(tx, { name }))?.id ?? 0
    for (const accountId of accountIds) await setTeamMember(tx, { teamId, accountId, isManager: false, nowMs: 1 })
    return teamId
  })
}

/** Grants in one transaction; a namespace that is not there is made. */
export async function addGrants(
  database: Database,
  member: { readonly accountId: number } | { readonly teamId: number },
  grants: readonly Grant[],
): Promise<void> {
  await database.writeRelaxed(async (tx) => {
    for (const { namespace, repository, role } of grants) {
      const { id: namespaceId } = await ensureNamespace(tx, { name: namespace, accountId: null, nowMs: 1 })
      await setGrant(tx, { namespaceId, repository, role, accountId: null, teamId: null, ...member, by: null, nowMs: 1 })
    }
  })
}
