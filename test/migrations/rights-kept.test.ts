/** Nobody gains or loses a right by the step that brings namespaces, teams and roles. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Sqlite from 'better-sqlite3'
import type { Visibility } from '../../auth/policy.ts'
import { repositoryActions, type Action } from '../../auth/scope.ts'
import type { Identity } from '../../auth/identity.ts'
import { accountDirectory } from '../../registry/accounts.ts'
import { Rights } from '../../registry/rights.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate, readMigrations } from '../../storage/metadata/migrate.ts'
import { listRepositories } from '../../storage/metadata/repositories.ts'
import { emptyDataFolder } from '../support/data-folder.ts'
import { repositoryName } from '../support/metadata-rows.ts'

const accounts = [
  { name: 'root', isAdmin: 1, isDisabled: 0 },
  { name: 'alice', isAdmin: 0, isDisabled: 0 },
  { name: 'bob', isAdmin: 0, isDisabled: 0 },
  { name: 'dora', isAdmin: 0, isDisabled: 1 },
]

/** `ghost` is a namespace whose account is gone, `alice` also the name of a repository, `bob` has none. */
const repositories: Readonly<Record<string, Visibility>> = {
  alice: 'private',
  'alice/app': 'private',
  'alice/inside': 'internal',
  'alice-2/app': 'private',
  'dora/app': 'public',
  'ghost/app': 'private',
  'ghost/open': 'public',
}

/** What the program of the first step allowed. */
function wasAllowed(account: (typeof accounts)[0] | undefined, action: Action, name: string): boolean {
  if (account?.isDisabled === 1) return false
  if (account?.isAdmin === 1 || (account && name.split('/')[0] === account.name)) return true
  const open = account ? ['internal', 'public'] : ['public']
  return action === 'pull' && open.includes(repositories[name] ?? 'private')
}

test('accounts and repositories of the first step keep every right, and get no other', async (t) => {
  const layout = emptyDataFolder(t)
  await migrate(layout, 1, readMigrations().slice(0, 1))
  const old = new Sqlite(layout.database)
  const addAccount = old.prepare("insert into account (name, password_hash, is_admin, is_disabled, created_at_ms) values (?, 'x', ?, ?, 2)")
  for (const { name, isAdmin, isDisabled } of accounts) addAccount.run(name, isAdmin, isDisabled)
  const addRepository = old.prepare('insert into repository (name, namespace, visibility, created_at_ms) values (?, ?, ?, 3)')
  for (const [name, visibility] of Object.entries(repositories)) addRepository.run(name, name.split('/')[0], visibility)
  old.close()

  await migrate(layout, 4)
  const database = Database.open(layout.database)
  t.after(() => database.close())
  const rights = new Rights(database, { isOpen: false, namespaceCreation: 'administrators' })
  const directory = accountDirectory(database, { note: () => undefined })
  for (const row of [undefined, ...accounts]) {
    const account = row && (await directory.findAccountByName(row.name))
    assert.deepEqual([account?.name, account?.kind], [row?.name, row && 'person'])
    const identity: Identity = account ? { kind: 'account', account } : { kind: 'anonymous' }
    for (const name of [...Object.keys(repositories), 'alice/new', 'bob/new', 'ghost/new', 'nobody/new']) {
      for (const action of repositoryActions) {
        const request = { kind: 'repository', action, name: repositoryName(name), visibility: repositories[name] } as const
        assert.equal(await rights.isAllowed(identity, request), wasAllowed(row, action, name), `${row?.name} ${action} ${name}`)
      }
    }
    const filter = await rights.listingFor(identity)
    const listed = await listRepositories(database.read, { filter, after: undefined, limit: 100 })
    const pullable = Object.keys(repositories).filter((name) => wasAllowed(row, 'pull', name))
    assert.deepEqual(listed.map((each) => String(each.name)).toSorted(), pullable.toSorted(), row?.name)
  }
})

test('every namespace that a repository or an account has is a row, once', async (t) => {
  const layout = emptyDataFolder(t)
  await migrate(layout, 1, readMigrations().slice(0, 1))
  const old = new Sqlite(layout.database)
  old.exec(`
    insert into account (name, password_hash, is_admin, created_at_ms) values ('alice', 'x', 1, 2), ('bob', 'x', 0, 3);
    insert into repository (name, namespace, visibility, created_at_ms)
      values ('alice/app', 'alice', 'private', 7), ('team/web', 'team', 'private', 6), ('team/app', 'team', 'private', 5);`)
  old.close()
  await migrate(layout, 4)
  const database = new Sqlite(layout.database, { readonly: true })
  t.after(() => database.close())
  assert.deepEqual(database.prepare('select name, created_at_ms, visibility, created_by from namespace order by name').all(), [
    { name: 'alice', created_at_ms: 7, visibility: null, created_by: null },
    { name: 'bob', created_at_ms: 3, visibility: null, created_by: null },
    { name: 'team', created_at_ms: 5, visibility: null, created_by: null },
  ])
  assert.deepEqual(database.prepare('select id from role_grant').all(), [])
})
