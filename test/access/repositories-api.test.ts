/**
 * /api/v1/repositories: the list, one repository, its visibility. Who may ask is in the matrix; here is what is answered.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { repositories, setScene, type Identity } from './callers.ts'
import { jsonOf, send, valuesOf, type Reply } from './wire.ts'

interface Described {
  readonly name: string
  readonly visibility: string
  readonly description: string
  readonly createdAt: string
}

interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly reason: string
}

const json = { 'Content-Type': 'application/json' }
const path = (name: string) => `/api/v1/repositories/${name}`

function problemOf(reply: Reply): Problem {
  assert.deepEqual(valuesOf(reply, 'Content-Type'), ['application/problem+json'], reply.text)
  return jsonOf(reply) as Problem
}

test('a repository is described by name, visibility, description and when it came to be', async (t) => {
  const registry = await startRegistry(t)
  const before = Date.now()
  const { callers } = await setScene(registry)
  const reply = await send(registry, `GET ${path(repositories.internal)}`, { authorization: callers['other user'] })
  assert.deepEqual([reply.status, valuesOf(reply, 'Content-Type')], [200, ['application/json']])
  const { createdAt, ...rest } = jsonOf(reply) as Described
  assert.deepEqual(rest, { name: repositories.internal, visibility: 'internal', description: '' })
  assert.match(createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.ok(Date.parse(createdAt) >= before && Date.parse(createdAt) <= Date.now())
})

test('a name may hold slashes and be escaped, and is one of the grammar', async (t) => {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('admin/a/b/c', 'v1')
  const ask = (name: string) => send(registry, `GET ${path(name)}`, { authorization: basic('admin') })
  for (const name of ['admin/a/b/c', 'admin%2Fa%2Fb%2Fc', 'admin/a%2Fb/c'])
    assert.equal((jsonOf(await ask(name)) as Described).name, 'admin/a/b/c', name)
  for (const name of [
    'admin/',
    'Admin/a',
    'admin//a',
    'admin/../a',
    'admin/a%00',
    '%2e%2e%2f%2e%2e',
    'admin/a b',
    `${'a/'.repeat(200)}a`,
    'a%0d%0ab',
  ]) {
    const reply = await ask(encodeURI(name).replaceAll('%25', '%'))
    assert.deepEqual([reply.status, problemOf(reply).title], [400, 'NAME_INVALID'], name)
  }
  const absent = await ask('admin/none')
  assert.deepEqual([absent.status, problemOf(absent).title], [404, 'NAME_UNKNOWN'])
})

test('the list is in byte order, paged by a link to the same origin', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  const names = ['admin/a', 'admin/a-b', 'admin/a/b', 'admin/a0', 'admin/b', 'other']
  for (const name of names.toReversed()) await admin.pushBlob(name, 'a layer')
  const found: string[] = []
  const sizes: number[] = []
  for (let next: string | undefined = '/api/v1/repositories?n=4'; next !== undefined;) {
    const reply = await send(registry, `GET ${next}`, { authorization: basic('admin') })
    const page = (jsonOf(reply) as { repositories: Described[] }).repositories
    found.push(...page.map(({ name }) => name))
    sizes.push(page.length)
    const [link = ''] = valuesOf(reply, 'Link')
    next = /^<(\/api\/v1\/repositories\?n=4&last=[^>]+)>; rel="next"$/.exec(link)?.[1]
    assert.equal(next === undefined, link === '', link)
  }
  assert.deepEqual(found, names.toSorted())
  assert.deepEqual(sizes, [4, 2])
})

const pages: readonly (readonly [string, number, number])[] = [
  ['', 200, 3],
  ['?n=2', 200, 2],
  ['?n=0', 200, 0],
  ['?n=999999999999', 200, 3],
  ['?last=admin/b', 200, 1],
  ['?last=zzz', 200, 0],
  ['?last=%00', 200, 3],
  ['?n=-1', 400, 0],
  ['?n=1e3', 400, 0],
  ['?n=x', 400, 0],
  ['?n=', 400, 0],
  ['?unknown=1', 200, 3],
]

test('n and last are read as in the lists of the registry protocol', async (t) => {
  const registry = await startRegistry(t)
  for (const name of ['admin/a', 'admin/b', 'admin/c']) await new Client(registry).pushBlob(name, 'a layer')
  for (const [query, status, count] of pages) {
    const reply = await send(registry, `GET /api/v1/repositories${query}`, { authorization: basic('admin') })
    assert.equal(reply.status, status, query)
    if (status === 200) assert.equal((jsonOf(reply) as { repositories: unknown[] }).repositories.length, count, query)
    else assert.equal(problemOf(reply).title, 'UNSUPPORTED')
  }
})

const changers: readonly (readonly [Identity, number])[] = [
  ['owner', 200],
  ['administrator', 200],
  ['other user', 403],
  ['nobody', 401],
  ['empty Basic', 401],
  ['wrong password', 401],
  ['disabled account', 401],
  ['owner token', 401],
  ['administrator token', 401],
  ['anonymous token', 401],
]

test('visibility is changed by the owner and by administrators, with their password, and by nobody else', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [identity, status] of changers) {
    await registry.setVisibility(repositories.internal, 'internal')
    const reply = await send(registry, `PATCH ${path(repositories.internal)}`, {
      authorization: callers[identity],
      headers: json,
      body: '{"visibility":"public"}',
    })
    assert.equal(reply.status, status, identity)
    const now = jsonOf(await send(registry, `GET ${path(repositories.internal)}`, { authorization: callers.administrator })) as Described
    assert.equal(now.visibility, status === 200 ? 'public' : 'internal', identity)
    if (status === 200) assert.deepEqual(jsonOf(reply), now, 'the answer is the repository as it is now')
  }
})

test('a change of visibility acts on the next request: who could not pull can, and the other way round', async (t) => {
  const registry = await startRegistry(t)
  const other = await registry.startWorker()
  const { callers } = await setScene(registry)
  const pullBy = async (identity: Identity) =>
    (await send(other, `GET /v2/${repositories.private}/manifests/v1`, { authorization: callers[identity] })).status
  const change = (visibility: string) =>
    send(registry, `PATCH ${path(repositories.private)}`, {
      authorization: callers.owner,
      headers: json,
      body: JSON.stringify({ visibility }),
    })
  for (const [visibility, status] of [
    ['internal', 200],
    ['private', 403],
    ['public', 200],
    ['private', 403],
  ] as const) {
    assert.equal((await change(visibility)).status, 200)
    assert.equal(await pullBy('other user'), status, visibility)
    assert.equal(await pullBy('owner'), 200)
  }
})

const badBodies: readonly (readonly [string, string | undefined, number])[] = [
  ['nothing', undefined, 400],
  ['no JSON', 'visibility=public', 400],
  ['half of it', '{"visibility":', 400],
  ['text', '"public"', 400],
  ['a list', '[{"visibility":"public"}]', 400],
  ['null', 'null', 400],
  ['no visibility', '{}', 400],
  ['another word', '{"visibility":"secret"}', 400],
  ['another case', '{"visibility":"Public"}', 400],
  ['a number', '{"visibility":1}', 400],
  ['null for it', '{"visibility":null}', 400],
  ['more than that', '{"visibility":"public","name":"bob/app"}', 400],
  ['an owner to be', '{"visibility":"public","namespace":"bob","isAdmin":true}', 400],
  ['the prototype', '{"visibility":"public","__proto__":{"isAdmin":true}}', 400],
  ['very much', `{"visibility":"public"${' '.repeat(70_000)}}`, 413],
  ['very deep', '['.repeat(30_000), 400],
]

test('a body that is not exactly a visibility changes nothing and says what is wrong', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [title, body, status] of badBodies) {
    const reply = await send(registry, `PATCH ${path(repositories.private)}`, { authorization: callers.owner, headers: json, body })
    assert.equal(reply.status, status, title)
    const { type, detail, reason, status: said } = problemOf(reply)
    assert.deepEqual([type, said, reason], ['about:blank', status, status === 413 ? 'requestTooLarge' : 'requestInvalid'], title)
    assert.ok(detail.length > 10 && detail.length < 500, `${title}: ${detail}`)
  }
  const now = jsonOf(await send(registry, `GET ${path(repositories.private)}`, { authorization: callers.owner })) as Described
  assert.equal(now.visibility, 'private')
})

test('who may not change is told so before the body is read', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [, body] of badBodies) {
    const reply = await send(registry, `PATCH ${path(repositories.private)}`, { authorization: callers['other user'], headers: json, body })
    assert.equal(reply.status, 403)
  }
})

test('what is not there cannot be changed, and does not come to be', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const identity of ['owner', 'administrator'] satisfies Identity[]) {
    const reply = await send(registry, `PATCH ${path(repositories.absent)}`, {
      authorization: callers[identity],
      headers: json,
      body: '{"visibility":"public"}',
    })
    assert.equal(reply.status, 404, identity)
    assert.equal(problemOf(reply).detail, `there is no repository ${repositories.absent}: it comes to be with the first push`)
  }
  assert.equal((await send(registry, `GET ${path(repositories.absent)}`, { authorization: callers.administrator })).status, 404)
})

test('the API is no part of /v2: its faults are problems, and its challenge is Basic', async (t) => {
  const registry = await startRegistry(t)
  const reply = await send(registry, 'GET /api/v1/repositories')
  assert.deepEqual(problemOf(reply), {
    type: 'about:blank',
    title: 'UNAUTHORIZED',
    status: 401,
    detail: 'authentication required: log in to list the repositories',
    reason: 'unauthenticated',
  })
  assert.deepEqual(valuesOf(reply, 'WWW-Authenticate'), ['Basic realm="lanyard", charset="UTF-8"'])
  assert.equal(reply.headers['docker-distribution-api-version'], undefined)
  for (const line of ['GET /api/', 'GET /api/v1', 'GET /api/v2/repositories', 'GET /api/v1/users', 'GET /api/v1/repositories/']) {
    const missing = await send(registry, line, { authorization: basic('admin') })
    assert.equal(missing.status, 404, line)
    assert.equal(problemOf(missing).status, 404)
  }
})
