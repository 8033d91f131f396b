/**
 * What a person reads when docker, podman or a script is refused: which repository, what was not allowed, what to do next.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRegistry } from '../support/start-registry.ts'
import { basic } from '../support/client.ts'
import { bearer, repositories, setScene, type Identity } from './callers.ts'
import { errorsOf, messageOf, send } from './wire.ts'

const { private: secret } = repositories
const push = `POST /v2/${secret}/blobs/uploads/`
const pull = `GET /v2/${secret}/manifests/v1`
const remove = `DELETE /v2/${secret}/manifests/v1`
const patch = `PATCH /api/v1/repositories/${secret}`
const patchInside = `PATCH /api/v1/repositories/${repositories.internal}`
const expired = 'the token is expired or not valid: log in again'
const wrong = 'incorrect username or password'

/** Who is refused what, with which status and which words. */
const refusals: readonly (readonly [Identity, string, number, string])[] = [
  // docker push without docker login: docker fetches an anonymous token first, podman sends empty credentials.
  ['anonymous token', push, 401, `authentication required: log in to push to ${secret}`],
  ['anonymous token', pull, 401, `authentication required: log in to pull ${secret}`],
  ['anonymous token', remove, 401, `authentication required: log in to delete from ${secret}`],
  ['empty Basic', push, 401, `authentication required: log in to push to ${secret}`],
  ['nobody', push, 401, `authentication required: log in to push to ${secret}`],
  ['nobody', pull, 401, `authentication required: log in to pull ${secret}`],
  ['nobody', remove, 401, `authentication required: log in to delete from ${secret}`],
  ['nobody', 'GET /v2/', 401, 'authentication required: log in to use this registry'],
  ['nobody', 'GET /v2/_catalog', 401, 'authentication required: log in to list the repositories'],
  ['nobody', 'GET /metrics', 401, 'authentication required: log in to read the metrics'],
  ['nobody', patch, 401, `authentication required: log in to change the settings of ${secret}`],
  // docker push to a namespace of another.
  [
    'other token',
    push,
    401,
    `account "bob" may not push to ${secret}, which takes the role writer: push to bob/app-secret, or ask alice, olga or an administrator for it`,
  ],
  [
    'other token',
    pull,
    401,
    `account "bob" may not pull ${secret}, which takes the role reader: ask an owner of alice or an administrator for it`,
  ],
  [
    'other token',
    remove,
    401,
    `account "bob" may not delete from ${secret}, which takes the role maintainer: ask alice, olga or an administrator for it`,
  ],
  [
    'other user',
    push,
    403,
    `account "bob" may not push to ${secret}, which takes the role writer: push to bob/app-secret, or ask alice, olga or an administrator for it`,
  ],
  [
    'other user',
    pull,
    403,
    `account "bob" may not pull ${secret}, which takes the role reader: ask an owner of alice or an administrator for it`,
  ],
  [
    'other user',
    remove,
    403,
    `account "bob" may not delete from ${secret}, which takes the role maintainer: ask alice, olga or an administrator for it`,
  ],
  [
    'other user',
    patchInside,
    403,
    `account "bob" may not change the settings of ${repositories.internal}, which takes the role owner: ask alice, olga or an administrator for it`,
  ],
  ['other user', patch, 404, `there is no repository ${secret}: it comes to be with the first push`],
  ['other user', 'GET /metrics', 403, 'account "bob" may not read the metrics: ask an administrator for it'],
  // A token that was made for something else.
  ['pull token', push, 401, `the token does not cover push on ${secret}: ask for the scope repository:${secret}:push`],
  ['push token', remove, 401, `the token does not cover delete on ${secret}: ask for the scope repository:${secret}:delete`],
  ['token for elsewhere', pull, 401, `the token does not cover pull on ${secret}: ask for the scope repository:${secret}:pull`],
  ['pull token', 'GET /v2/_catalog', 401, 'the token does not cover the catalog: ask for the scope registry:catalog:*'],
  ['owner token', patch, 401, 'a token of the registry protocol does not open this: sign in with user name and password'],
  ['administrator token', 'GET /metrics', 401, 'a token of the registry protocol does not open this: sign in with user name and password'],
  ['owner token', 'GET /token', 401, 'a token buys no other: sign in with user name and password'],
  // A login that is over, and one that never was.
  ['expired token', push, 401, expired],
  ['token of a changed account', pull, 401, expired],
  ['forged token', pull, 401, expired],
  ['wrong password', 'GET /token', 401, wrong],
  ['unknown account', 'GET /token', 401, wrong],
  ['disabled account', 'GET /token', 401, wrong],
  ['wrong password', push, 401, wrong],
  ['wrong password', patch, 401, wrong],
]

test('a refusal says which repository, what was not allowed, and what to do', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [identity, line, status, message] of refusals) {
    await t.test(`${identity}, ${line}: ${message}`, async () => {
      const reply = await send(registry, line, { authorization: callers[identity] })
      assert.deepEqual([reply.status, messageOf(reply)], [status, message])
    })
  }
})

test('a refusal under /v2 is one error entry, in the form that clients print', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [identity, line, status, message] of refusals.filter(([, each]) => each.includes('/v2/'))) {
    const reply = await send(registry, line, { authorization: callers[identity] })
    assert.deepEqual(errorsOf(reply), [{ code: status === 403 ? 'DENIED' : 'UNAUTHORIZED', message }], `${identity}: ${line}`)
    // Go clients cut at line breaks and print nothing beyond ASCII safely.
    assert.match(message, /^[\x20-\x7e]{10,200}$/)
  }
})

test('a right that was taken away is named as well, to a token that still covers it', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const token = await bearer(registry, callers['other user'], `repository:${repositories.internal}:pull`)
  const nobodys = await bearer(registry, undefined, `repository:${repositories.public}:pull`)
  for (const name of [repositories.internal, repositories.public]) await registry.setVisibility(name, 'private')
  const denied = await send(registry, `GET /v2/${repositories.internal}/manifests/v1`, { authorization: token })
  assert.deepEqual(
    [denied.status, messageOf(denied)],
    [
      403,
      `account "bob" may not pull ${repositories.internal}, which takes the role reader: ask an owner of alice or an administrator for it`,
    ],
  )
  const anonymous = await send(registry, `GET /v2/${repositories.public}/manifests/v1`, { authorization: nobodys })
  assert.deepEqual([anonymous.status, messageOf(anonymous)], [401, `authentication required: log in to pull ${repositories.public}`])
})

test('who forgets the namespace is told where the push would go', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('bob')
  const reply = await send(registry, 'POST /v2/hello-world/blobs/uploads/', { authorization: basic('bob') })
  const message =
    'account "bob" may not push to hello-world, because there is no namespace hello-world and only administrators create one: ' +
    'push to bob/hello-world, or ask an administrator for it'
  assert.equal(messageOf(reply), message)
})

test('a browser that opens the address is told how to go on, with the address that it called', async (t) => {
  const registry = await startRegistry(t)
  const reply = await send(registry, 'GET /', { headers: { Host: 'registry.lan:5000' } })
  assert.deepEqual(
    [reply.status, reply.headers['content-type'], reply.headers['x-content-type-options']],
    [200, 'text/plain; charset=utf-8', 'nosniff'],
  )
  assert.match(reply.text, /docker login registry\.lan:5000\n {4}docker pull registry\.lan:5000\/<repository>:<tag>\n$/)
})
