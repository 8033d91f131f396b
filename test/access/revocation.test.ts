/**
 * A right that is taken away is gone with the very next request, whatever was issued or remembered before, in every worker (threat 34).
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { addAccount, removeAccount, updateAccount } from '../../registry/accounts.ts'
import { addNamespace, grantRole, updateNamespace, revokeRole } from '../../registry/namespaces.ts'
import { addTeam, addToTeam, dropFromTeam, removeTeam } from '../../registry/teams.ts'
import type { Database } from '../../storage/metadata/database.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { basic, Client } from '../support/client.ts'
import { bearer } from './callers.ts'
import { challengeOf, errorsOf, send, type Server } from './wire.ts'

const newPassword = 'another battery staple'

interface Stage {
  readonly registry: TestRegistry
  readonly workers: readonly Server[]
  /** Of a process beside the servers, as the command line is. */
  readonly database: Database
  readonly hash: (password: string) => Promise<string>
}

/** alice with an image of her own, carla who is an administrator, and two workers that have seen the credentials of both. */
async function setStage(t: TestContext): Promise<Stage & { alice: string; carla: string }> {
  const registry = await startRegistry(t)
  const [other, third] = [await registry.startWorker(), await registry.startWorker()]
  await registry.addUser('alice')
  await registry.addUser('carla', { isAdmin: true })
  await new Client(registry, basic('alice')).pushImage('alice/app', 'v1')
  const scope = 'repository:alice/app:pull,push'
  const [alice, carla] = [await bearer(registry, basic('alice'), scope), await bearer(other, basic('carla'), scope)]
  const workers = [registry, other]
  for (const server of workers) {
    for (const authorization of [alice, carla, basic('alice'), basic('carla')])
      assert.equal((await read(server, authorization)).status, 200)
  }
  const { database } = third.services.registry
  return { registry, workers, database, hash: (password) => registry.services.passwords.hash(password), alice, carla }
}

const read = (server: Server, authorization: string | undefined) => send(server, 'GET /v2/alice/app/manifests/v1', { authorization })
const ask = (server: Server, authorization: string | undefined) => send(server, 'GET /v2/', { authorization })

interface Change {
  readonly title: string
  readonly account: 'alice' | 'carla'
  readonly act: (stage: Stage) => Promise<void>
  /** What the old password and the new one get afterwards. */
  readonly passwords: Readonly<Record<string, number>>
}

const changes: readonly Change[] = [
  {
    title: 'disabled',
    account: 'alice',
    act: ({ database }) => updateAccount(database, 'alice', { isDisabled: true }),
    passwords: { [adminPassword]: 401 },
  },
  {
    title: 'removed',
    account: 'alice',
    act: ({ database }) => removeAccount(database, 'alice'),
    passwords: { [adminPassword]: 401 },
  },
  {
    title: 'given another password',
    account: 'alice',
    act: async ({ database, hash }) => updateAccount(database, 'alice', { passwordHash: await hash(newPassword) }),
    passwords: { [adminPassword]: 401, [newPassword]: 200 },
  },
  {
    title: 'made an administrator',
    account: 'alice',
    act: ({ database }) => updateAccount(database, 'alice', { isAdmin: true }),
    passwords: { [adminPassword]: 200 },
  },
  {
    title: 'an administrator no longer',
    account: 'carla',
    act: ({ database }) => updateAccount(database, 'carla', { isAdmin: false }),
    passwords: { [adminPassword]: 403 },
  },
  {
    title: 'disabled, as an administrator',
    account: 'carla',
    act: ({ database }) => updateAccount(database, 'carla', { isDisabled: true }),
    passwords: { [adminPassword]: 401 },
  },
  {
    title: 'removed and made again under the same name',
    account: 'alice',
    act: async ({ database, hash }) => {
      await removeAccount(database, 'alice')
      await addAccount(database, { name: 'alice', passwordHash: await hash(newPassword), isAdmin: false, nowMs: Date.now() })
    },
    passwords: { [adminPassword]: 401, [newPassword]: 200 },
  },
  {
    title: 'disabled and enabled again',
    account: 'alice',
    act: async ({ database }) => {
      await updateAccount(database, 'alice', { isDisabled: true })
      await updateAccount(database, 'alice', { isDisabled: false })
    },
    passwords: { [adminPassword]: 200 },
  },
]

for (const { title, account, act, passwords } of changes) {
  test(`an account that is ${title} has no use for its token with the next request, in any worker`, async (t) => {
    const { workers, [account]: token, ...stage } = await setStage(t)
    await act({ workers, ...stage })
    for (const server of workers) {
      for (const knock of [ask, read]) {
        const reply = await knock(server, token)
        assert.equal(reply.status, 401)
        assert.equal(challengeOf(reply)['error'], 'invalid_token')
        assert.equal(errorsOf(reply)[0]?.message, 'the token is expired or not valid: log in again')
      }
      for (const [password, status] of Object.entries(passwords)) {
        assert.equal((await read(server, basic(account, password))).status, status, `${password} afterwards`)
        const token = await send(server, 'GET /token', { authorization: basic(account, password) })
        assert.equal(token.status, status === 401 ? 401 : 200, `a token for ${password} afterwards`)
      }
    }
  })
}

test('a change of one account leaves the tokens of another alone', async (t) => {
  const { workers, database, carla } = await setStage(t)
  await updateAccount(database, 'alice', { isDisabled: true })
  for (const server of workers) assert.equal((await read(server, carla)).status, 200)
})

test('an upload of an account that was removed is gone, also for its successor of the same name', async (t) => {
  const { registry, database, hash } = await setStage(t)
  const location = await new Client(registry, basic('alice')).startUpload('alice/app')
  assert.equal((await send(registry, `GET ${location}`, { authorization: basic('alice') })).status, 204)
  await removeAccount(database, 'alice')
  await addAccount(database, { name: 'alice', passwordHash: await hash(newPassword), isAdmin: false, nowMs: Date.now() })
  const reply = await send(registry, `GET ${location}`, { authorization: basic('alice', newPassword) })
  assert.deepEqual([reply.status, errorsOf(reply)[0]?.code], [404, 'BLOB_UPLOAD_UNKNOWN'])
})

interface Closing {
  readonly from: 'public' | 'internal'
  readonly to: 'internal' | 'private'
  readonly who: string
  /** Whom the token is for; undefined: nobody. */
  readonly credentials: string | undefined
  readonly status: number
}

const closings: readonly Closing[] = [
  { from: 'public', to: 'private', who: 'nobody', credentials: undefined, status: 401 },
  { from: 'public', to: 'internal', who: 'nobody', credentials: undefined, status: 401 },
  { from: 'public', to: 'private', who: 'another account', credentials: basic('bob'), status: 403 },
  { from: 'internal', to: 'private', who: 'another account', credentials: basic('bob'), status: 403 },
]

test('a repository that is closed is closed to tokens that covered it, with the next request, in every worker', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('bob')
  const other = await registry.startWorker()
  await new Client(registry).pushImage('alice/app', 'v1')
  for (const { from, to, who, credentials, status } of closings) {
    await t.test(`${from} becomes ${to}: a token for ${who}`, async () => {
      await registry.setVisibility('alice/app', from)
      const token = await bearer(registry, credentials, 'repository:alice/app:pull')
      for (const server of [registry, other]) assert.equal((await read(server, token)).status, 200)
      await registry.setVisibility('alice/app', to)
      for (const server of [registry, other]) {
        const reply = await read(server, token)
        assert.equal(reply.status, status)
        if (status === 401) assert.equal(challengeOf(reply)['error'], 'insufficient_scope', 'so that clients drop the token')
      }
    })
  }
})

interface Held {
  readonly title: string
  /** Gives bob the role of a writer in alice's namespace, or in alice/app alone. */
  readonly give: (database: Database) => Promise<unknown>
  readonly take: (database: Database) => Promise<unknown>
}

const bobIs = { namespace: 'alice', member: { account: 'bob' } } as const
const crewIs = { namespace: 'alice', member: { team: 'crew' } } as const
const app = parseRepositoryName('alice/app')
const granted = { role: 'writer', by: null, nowMs: 1 } as const

async function giveByTeam(database: Database): Promise<void> {
  await addTeam(database, { name: 'crew', nowMs: 1 })
  await addToTeam(database, 'crew', { account: 'bob', isManager: false, nowMs: 1 })
  await grantRole(database, { ...crewIs, ...granted })
}

const rights: readonly Held[] = [
  {
    title: 'a grant that is revoked',
    give: (database) => grantRole(database, { ...bobIs, ...granted }),
    take: (database) => revokeRole(database, bobIs),
  },
  {
    title: 'a grant in one repository that is revoked',
    give: (database) => grantRole(database, { ...bobIs, ...granted, repository: app }),
    take: (database) => revokeRole(database, { ...bobIs, repository: app }),
  },
  {
    title: 'a grant that an exception takes back',
    give: (database) => grantRole(database, { ...bobIs, ...granted }),
    take: (database) => grantRole(database, { ...bobIs, ...granted, repository: app, role: 'none' }),
  },
  { title: 'membership in a team that ends', give: giveByTeam, take: (database) => dropFromTeam(database, 'crew', { account: 'bob' }) },
  { title: 'the grant of a team that is revoked', give: giveByTeam, take: (database) => revokeRole(database, crewIs) },
  { title: 'a team that is removed', give: giveByTeam, take: (database) => removeTeam(database, 'crew') },
]

for (const { title, give, take } of rights) {
  test(`${title} is no right with the next request, also to a token that was issued before, in any worker`, async (t) => {
    const { workers, registry, database } = await setStage(t)
    await registry.addUser('bob')
    await give(database)
    const token = await bearer(registry, basic('bob'), 'repository:alice/app:pull,push')
    const push = (server: Server, authorization: string) => send(server, 'POST /v2/alice/app/blobs/uploads/', { authorization })
    for (const server of workers) {
      for (const authorization of [token, basic('bob')])
        assert.deepEqual([(await read(server, authorization)).status, (await push(server, authorization)).status], [200, 202])
    }
    await take(database)
    for (const server of workers) {
      for (const authorization of [token, basic('bob')])
        assert.deepEqual([(await read(server, authorization)).status, (await push(server, authorization)).status], [403, 403])
      const catalog = await send(server, 'GET /v2/_catalog', { authorization: basic('bob') })
      assert.equal(catalog.text, '{"repositories":[]}')
    }
  })
}

test('a role that is lowered takes its rights along, and leaves those of the lower one', async (t) => {
  const { registry, workers, database } = await setStage(t)
  await registry.addUser('bob')
  await grantRole(database, { ...bobIs, ...granted, role: 'maintainer' })
  const token = await bearer(registry, basic('bob'), 'repository:alice/app:pull,push,delete')
  await grantRole(database, { ...bobIs, ...granted, role: 'reader' })
  for (const server of workers) {
    const statuses = await Promise.all(
      ['GET /v2/alice/app/manifests/v1', 'POST /v2/alice/app/blobs/uploads/', 'DELETE /v2/alice/app/manifests/v1'].map(
        async (line) => (await send(server, line, { authorization: token })).status,
      ),
    )
    assert.deepEqual(statuses, [200, 403, 403])
  }
})

test('who pushes under a namespace that was renamed meanwhile has no right left there', async (t) => {
  const { registry, database } = await setStage(t)
  await registry.addUser('bob')
  await addNamespace(database, { name: 'team', owner: 'bob', by: null, nowMs: 1 })
  const token = await bearer(registry, basic('bob'), 'repository:team/app:pull,push', 'repository:crew/app:pull,push')
  const push = (name: string) => send(registry, `POST /v2/${name}/blobs/uploads/`, { authorization: token })
  assert.deepEqual([(await push('team/app')).status, (await push('crew/app')).status], [202, 401])
  await updateNamespace(database, 'team', { name: 'crew' })
  assert.equal((await push('team/app')).status, 403)
})
