/** Who may see, restore and purge what was deleted: whoever could delete it, and to nobody else is it there at all. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { addNamespace, grantRole, removeNamespace } from '../../registry/namespaces.ts'
import { basic, Client, expectStatus } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

suite('what was deleted', () => {
  const ends: (() => unknown)[] = []
  let registry: TestRegistry
  let alice: Client

  before(async () => {
    registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) })
    for (const name of ['alice', 'mona', 'walt', 'bob']) await registry.addUser(name)
    alice = new Client(registry, basic('alice'))
    await alice.pushImage('alice/app', 'v1')
    for (const [account, role] of [
      ['mona', 'maintainer'],
      ['walt', 'writer'],
    ] as const) {
      await grantRole(registry.services.registry.database, { namespace: 'alice', member: { account }, role, by: null, nowMs: 1 })
    }
  })
  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  const as = (name: string) => new Client(registry, basic(name))
  const statusOf = async (name: string, method: string, path: string) => (await as(name).call(method, `/api/v1${path}`)).status
  const statuses = async (method: string, path: string) => {
    const names = ['bob', 'walt', 'mona', 'alice'] as const
    const found: Record<string, number> = {}
    for (const name of names) found[name] = await statusOf(name, method, path)
    return found
  }
  const newest = async (): Promise<string> => {
    const answer = await expectStatus(await as('admin').call('GET', '/api/v1/trash'), 200)
    return String((JSON.parse(answer.bytes.toString('utf8')) as { items: { id: number }[] }).items[0]?.id)
  }

  test('a manifest is restored by who may delete it, and purged by owners alone', async () => {
    const { digest } = await alice.pushImage('alice/app', 'v2', ['another layer'])
    await expectStatus(await alice.call('DELETE', `/v2/alice/app/manifests/${digest}`), 202)
    const item = await newest()
    assert.deepEqual(await statuses('GET', '/repositories/alice%2Fapp/trash'), { bob: 404, walt: 403, mona: 200, alice: 200 })
    const one = await as('walt').call('POST', `/api/v1/trash/${item}/restore`)
    assert.equal(one.status, 403)
    assert.equal(await statusOf('bob', 'POST', `/trash/${item}/restore`), 404, 'hidden, as one that is not there')
    assert.equal(await statusOf('bob', 'POST', '/trash/999/restore'), 404)
    assert.equal(await statusOf('mona', 'DELETE', `/trash/${item}`), 403)
    assert.equal(await statusOf('mona', 'POST', `/trash/${item}/restore`), 200)
    await expectStatus(await alice.call('GET', '/v2/alice/app/manifests/v2'), 200)
    await expectStatus(await alice.call('DELETE', `/v2/alice/app/manifests/${digest}`), 202)
    assert.equal(await statusOf('alice', 'DELETE', `/trash/${await newest()}`), 204)
  })

  test("what a removed namespace held is nobody's but the administrators', whoever has one of the name later", async () => {
    await grantNamespace()
    await expectStatus(await as('admin').call('DELETE', '/api/v1/repositories/shared%2Fapp'), 204)
    const item = await newest()
    assert.equal(await statusOf('bob', 'GET', '/namespaces/shared/trash'), 200)
    const { database } = registry.services.registry
    await removeNamespace(registry.services.registry, 'shared', { withRepositories: true })
    await addNamespace(database, { name: 'shared', owner: 'bob', by: null, nowMs: 1 })
    const listed = await as('bob').call('GET', '/api/v1/namespaces/shared/trash')
    assert.deepEqual(JSON.parse(listed.bytes.toString('utf8')), { items: [], next: null })
    assert.equal(await statusOf('bob', 'POST', `/trash/${item}/restore`), 404)
    assert.equal(await statusOf('admin', 'POST', `/trash/${item}/restore`), 200)
  })

  /** One that bob owns, with a repository. */
  async function grantNamespace(): Promise<void> {
    await addNamespace(registry.services.registry.database, { name: 'shared', owner: 'bob', by: null, nowMs: 1 })
    await as('bob').pushImage('shared/app', 'v1')
  }

  test('a repository is restored by owners alone', async () => {
    await expectStatus(await alice.call('DELETE', '/api/v1/repositories/alice%2Fapp'), 204)
    assert.deepEqual(await statuses('GET', '/namespaces/alice/trash'), { bob: 404, walt: 403, mona: 403, alice: 200 })
    const path = `/trash/${await newest()}/restore`
    for (const name of ['walt', 'mona']) assert.ok([403, 404].includes(await statusOf(name, 'POST', path)), name)
    assert.equal(await statusOf('alice', 'POST', path), 200)
    await expectStatus(await alice.call('GET', '/v2/alice/app/manifests/v1'), 200)
  })
})
