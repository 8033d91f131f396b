/**
 * A right that is taken away is gone with the very next request, whatever was issued or remembered before, in every worker.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addAccount, removeAccount, updateAccount } from '../../registry/accounts.ts'
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
