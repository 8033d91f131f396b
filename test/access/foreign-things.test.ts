/**
 * What belongs to somebody else is not there for whoever names it (threat 32): sessions, tokens and robots of others by their id or
 * name, below one's own account or namespace and below theirs; and nobody makes themselves more than they are (threat 33).
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addNamespace } from '../../registry/namespaces.ts'
import { giveRobot, giveToken } from '../support/access-tokens.ts'
import { basic, Client } from '../support/client.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { jsonOf, send, type Reply } from './wire.ts'

const json = { 'Content-Type': 'application/json' }
const reasonOf = (reply: Reply) => (jsonOf(reply) as { reason?: string }).reason

/** alice owns the namespace `hers`, bob `his`; each has a token, a robot and a browser session. */
async function setStage(t: TestContext): Promise<{ registry: TestRegistry; sessionOf: (name: string) => Promise<number> }> {
  const registry = await startRegistry(t)
  const { database } = registry.services.registry
  for (const [name, namespace] of [
    ['alice', 'hers'],
    ['bob', 'his'],
  ] as const) {
    await registry.addUser(name)
    await addNamespace(database, { name: namespace, by: null, nowMs: 1, owner: name })
    await giveToken(registry, { account: name, name: `of-${name}` }, 'pull *')
    await giveRobot(registry, { namespace, name: `of-${name}` }, `pull ${namespace}/*`)
    await send(registry, 'POST /api/v1/session', { headers: json, body: JSON.stringify({ name, password: adminPassword }) })
  }
  const sessionOf = async (name: string): Promise<number> => {
    const reply = await send(registry, 'GET /api/v1/me/sessions', { authorization: basic(name) })
    return (jsonOf(reply) as { items: { id: number }[] }).items[0]?.id ?? assert.fail(`${name} has no session`)
  }
  return { registry, sessionOf }
}

test('tokens, robots and sessions of somebody else are not there, whatever is done to them, and stay as they are', async (t) => {
  const { registry, sessionOf } = await setStage(t)
  const session = await sessionOf('bob')
  const asked: readonly (readonly [string, object?])[] = [
    ['GET /api/v1/me/tokens/of-bob'],
    ['PATCH /api/v1/me/tokens/of-bob', { scopes: [{ actions: ['pull'], repositories: 'alice/*' }] }],
    ['DELETE /api/v1/me/tokens/of-bob'],
    ['POST /api/v1/me/tokens/of-bob/rotate', {}],
    [`DELETE /api/v1/me/sessions/${session}`],
    ['GET /api/v1/namespaces/hers/robots/of-bob'],
    ['PATCH /api/v1/namespaces/hers/robots/of-bob', { disabled: true }],
    ['DELETE /api/v1/namespaces/hers/robots/of-bob'],
    ['POST /api/v1/namespaces/hers/robots/of-bob/rotate', {}],
  ]
  for (const [line, body] of asked) {
    const reply = await send(registry, line, { authorization: basic('alice'), headers: json, ...(body && { body: JSON.stringify(body) }) })
    assert.equal(reply.status, 404, `${line}: ${reply.text}`)
  }
  assert.equal(await sessionOf('bob'), session)
  const tokens = await send(registry, 'GET /api/v1/me/tokens/of-bob', { authorization: basic('bob') })
  const robot = await send(registry, 'GET /api/v1/namespaces/his/robots/of-bob', { authorization: basic('bob') })
  assert.deepEqual([tokens.status, robot.status, (jsonOf(robot) as { disabled: boolean }).disabled], [200, 200, false])
})

test('what belongs to another account is answered the same whether or not there is such an account', async (t) => {
  const { registry } = await setStage(t)
  const asked = (name: string) => [
    `GET /api/v1/accounts/${name}`,
    `DELETE /api/v1/accounts/${name}`,
    `GET /api/v1/accounts/${name}/tokens`,
    `DELETE /api/v1/accounts/${name}/tokens/of-bob`,
    `GET /api/v1/accounts/${name}/sessions`,
    `DELETE /api/v1/accounts/${name}/sessions`,
    `DELETE /api/v1/accounts/${name}/second-factor`,
  ]
  for (const [index, line] of asked('bob').entries()) {
    const there = await send(registry, line, { authorization: basic('alice') })
    const absent = await send(registry, asked('nobody')[index] ?? '', { authorization: basic('alice') })
    assert.deepEqual([there.status, reasonOf(there)], [403, 'denied'], line)
    const look = ({ text }: Reply) => text.replaceAll(/bob|nobody/g, 'X').replace(/"requestId":"[^"]*"/, '')
    assert.deepEqual([absent.status, look(absent)], [there.status, look(there)], line)
  }
})

test('nobody becomes more by what they send about themselves', async (t) => {
  const { registry } = await setStage(t)
  const alice = basic('alice')
  const raise = (line: string, body: object) => send(registry, line, { authorization: alice, headers: json, body: JSON.stringify(body) })
  assert.equal((await raise('PATCH /api/v1/accounts/alice', { role: 'admin' })).status, 403)
  assert.equal(
    (await raise('PUT /api/v1/me/password', { currentPassword: adminPassword, newPassword: 'several odd words', role: 'admin' })).status,
    400,
  )
  assert.equal(
    (await raise('POST /api/v1/me/tokens', { name: 'x', scopes: [{ actions: ['pull'], repositories: '*' }], isAdmin: true })).status,
    400,
  )
  // A token of hers that may administer what she may opens nothing that she does not.
  const wide = await giveToken(registry, { account: 'alice', name: 'wide' }, 'admin,pull,push,delete *')
  assert.equal((await send(registry, 'GET /api/v1/accounts', { authorization: `Bearer ${wide}` })).status, 403)
  const me = jsonOf(await send(registry, 'GET /api/v1/me', { authorization: alice })) as { role: string }
  assert.equal(me.role, 'user')
  await assert.rejects(new Client(registry, alice).pushImage('his/app', 'v1'))
})

test('an access token makes and changes none that does more than it', async (t) => {
  const { registry } = await setStage(t)
  const narrow = `Bearer ${await giveToken(registry, { account: 'alice', name: 'narrow' }, 'admin,pull hers/*')}`
  const make = (line: string, scopes: object[], more: object = {}) =>
    send(registry, line, { authorization: narrow, headers: json, body: JSON.stringify({ scopes, ...more }) })
  const push = [{ actions: ['pull', 'push'], repositories: 'hers/*' }]
  for (const [line, more] of [
    ['POST /api/v1/me/tokens', { name: 'x' }],
    ['PATCH /api/v1/me/tokens/of-alice', {}],
    ['POST /api/v1/namespaces/hers/robots', { name: 'x' }],
    ['PATCH /api/v1/namespaces/hers/robots/of-alice', {}],
  ] as const)
    assert.deepEqual([(await make(line, push, more)).status, line], [403, line])
  // What covers everything of hers, which it does not, may not be renewed by it either.
  const renewed = await send(registry, 'POST /api/v1/me/tokens/of-alice/rotate', { authorization: narrow, headers: json, body: '{}' })
  assert.equal(renewed.status, 403)
})
