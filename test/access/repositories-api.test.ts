/**
 * /api/v1/repositories: the list, one repository, changing and removing it. Who may ask is in the matrix; here is what is answered.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { repositories, setScene, type Identity } from './callers.ts'
import { jsonOf, problemOf, send, valuesOf } from './wire.ts'

interface Described {
  readonly name: string
  readonly visibility: string
  readonly description: string
  readonly createdAt: string
  readonly usage: unknown
}

const json = { 'Content-Type': 'application/json' }
const path = (name: string) => `/api/v1/repositories/${name}`

test('a repository is described by name, visibility, description and when it came to be', async (t) => {
  const registry = await startRegistry(t)
  const before = Date.now()
  const { callers } = await setScene(registry)
  const reply = await send(registry, `GET ${path(repositories.internal)}`, { authorization: callers['other user'] })
  assert.deepEqual([reply.status, valuesOf(reply, 'Content-Type')], [200, ['application/json']])
  assert.deepEqual([valuesOf(reply, 'Cache-Control'), valuesOf(reply, 'X-Content-Type-Options')], [['no-store'], ['nosniff']])
  const { createdAt, ...rest } = jsonOf(reply) as Described
  const usage = { blobs: 2, bytes: 469, manifestBytes: 393, manifests: 1, sharing: null }
  assert.deepEqual(rest, { name: repositories.internal, visibility: 'internal', description: '', untaggedDays: null, usage })
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
    assert.deepEqual([reply.status, problemOf(reply).code], [400, 'NAME_INVALID'], name)
    assert.deepEqual(
      problemOf(reply).errors?.map(({ in: where, member }) => [where, member]),
      [['path', 'name']],
      name,
    )
  }
  const absent = await ask('admin/none')
  assert.deepEqual([absent.status, problemOf(absent).code], [404, 'NAME_UNKNOWN'])
})

test('a name that ends like an operation is reached with its slashes escaped, and never by accident', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  for (const name of ['team', 'team/tags', 'team/tags/v1']) await admin.pushImage(name, 'v1')
  const ask = (line: string) => send(registry, line, { authorization: basic('admin') })
  for (const name of ['team/tags', 'team/tags/v1'])
    assert.equal((jsonOf(await ask(`GET ${path(encodeURIComponent(name))}`)) as Described).name, name)
  assert.equal(
    (jsonOf(await ask(`GET ${path('team/tags/v1')}`)) as { mediaType?: string }).mediaType?.includes('manifest'),
    true,
    'the tag',
  )
  const refused = await ask(`DELETE ${path('team/tags')}`)
  assert.deepEqual([refused.status, valuesOf(refused, 'Allow')], [405, ['GET, HEAD']], 'neither the tags nor the repository team/tags')
  assert.equal((await ask(`DELETE ${path('team%2Ftags')}`)).status, 204)
  assert.equal((await ask(`GET ${path('team')}`)).status, 200)
})

test('the list is in byte order, paged by a link to the same origin', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  const names = ['admin/a', 'admin/a-b', 'admin/a/b', 'admin/a0', 'admin/b', 'other']
  for (const name of names.toReversed()) await admin.pushBlob(name, 'a layer')
  const found: string[] = []
  const sizes: number[] = []
  for (let next: string | undefined = '/api/v1/repositories?limit=4&q=a'; next !== undefined;) {
    const reply = await send(registry, `GET ${next}`, { authorization: basic('admin') })
    const page = jsonOf(reply) as { items: Described[]; next: string | null }
    found.push(...page.items.map(({ name }) => name))
    sizes.push(page.items.length)
    const [link = ''] = valuesOf(reply, 'Link')
    next = /^<(\/api\/v1\/repositories\?limit=4&q=a&cursor=[^>]+)>; rel="next"$/.exec(link)?.[1]
    assert.equal(next?.split('cursor=')[1], page.next ?? undefined, link)
  }
  assert.deepEqual(found, ['admin/a', 'admin/a-b', 'admin/a/b', 'admin/a0', 'admin/b'])
  assert.deepEqual(sizes, [4, 1])
})

const cursorAfter = (name: string): string => Buffer.from(JSON.stringify([name])).toString('base64url')

/** A query, and the names that it finds or the parameter that is wrong. */
const queries: readonly (readonly [string, readonly string[] | string])[] = [
  ['', ['admin/a', 'admin/b', 'other/c']],
  ['?limit=2', ['admin/a', 'admin/b']],
  ['?limit=1000', ['admin/a', 'admin/b', 'other/c']],
  [`?cursor=${cursorAfter('admin/b')}`, ['other/c']],
  [`?cursor=${cursorAfter('zzz')}`, []],
  [`?cursor=${cursorAfter('\0')}`, ['admin/a', 'admin/b', 'other/c']],
  ['?namespace=other', ['other/c']],
  ['?namespace=othe', []],
  ['?visibility=public', ['admin/b']],
  ['?visibility=private&namespace=admin', ['admin/a']],
  ['?q=min%2F', ['admin/a', 'admin/b']],
  ['?q=%25', []],
  ['?q=', ['admin/a', 'admin/b', 'other/c']],
  ['?unknown=1', ['admin/a', 'admin/b', 'other/c']],
  ['?limit=0', 'limit'],
  ['?limit=1001', 'limit'],
  ['?limit=-1', 'limit'],
  ['?limit=1e2', 'limit'],
  ['?limit=', 'limit'],
  ['?limit=1&limit=2', 'limit'],
  ['?cursor=', 'cursor'],
  ['?cursor=admin', 'cursor'],
  [`?cursor=${Buffer.from('[1]').toString('base64url')}`, 'cursor'],
  [`?cursor=${Buffer.from('["a","b"]').toString('base64url')}`, 'cursor'],
  ['?visibility=secret', 'visibility'],
  [`?q=${'a'.repeat(256)}`, 'q'],
]

test('the list takes filters, a limit and a cursor, and says which of them is wrong', async (t) => {
  const registry = await startRegistry(t)
  for (const name of ['admin/a', 'admin/b', 'other/c']) await new Client(registry).pushBlob(name, 'a layer')
  await registry.setVisibility('admin/b', 'public')
  for (const [query, wanted] of queries) {
    const reply = await send(registry, `GET /api/v1/repositories${query}`, { authorization: basic('admin') })
    if (typeof wanted === 'string') {
      assert.deepEqual(
        [reply.status, problemOf(reply).errors?.[0]?.in, problemOf(reply).errors?.[0]?.member],
        [400, 'query', wanted],
        query,
      )
    } else {
      assert.equal(reply.status, 200, query)
      assert.deepEqual(
        (jsonOf(reply) as { items: Described[] }).items.map(({ name }) => name),
        wanted,
        query,
      )
    }
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
    const { usage: _, ...now } = jsonOf(
      await send(registry, `GET ${path(repositories.internal)}`, { authorization: callers.administrator }),
    ) as Described
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

/** What the body is, the body, the status, and the members that are named. */
const badBodies: readonly (readonly [string, string | undefined, number, readonly string[]])[] = [
  ['nothing', undefined, 400, []],
  ['no JSON', 'visibility=public', 400, []],
  ['half of it', '{"visibility":', 400, []],
  ['text', '"public"', 400, ['']],
  ['a list', '[{"visibility":"public"}]', 400, ['']],
  ['null', 'null', 400, ['']],
  ['nothing to change', '{}', 400, ['']],
  ['another word', '{"visibility":"secret"}', 400, ['visibility']],
  ['another case', '{"visibility":"Public"}', 400, ['visibility']],
  ['a number', '{"visibility":1}', 400, ['visibility']],
  ['null for it', '{"visibility":null}', 400, ['visibility']],
  ['more than that', '{"visibility":"public","name":"bob/app"}', 400, ['name']],
  ['an owner to be', '{"visibility":"public","namespace":"bob","isAdmin":true}', 400, ['namespace', 'isAdmin']],
  ['two that are wrong', '{"visibility":"x","description":7}', 400, ['visibility', 'description']],
  ['a description without end', JSON.stringify({ description: 'x'.repeat(1001) }), 400, ['description']],
  ['the same twice', '{"visibility":"private","visibility":"public"}', 400, []],
  ['the prototype', '{"visibility":"public","__proto__":{"isAdmin":true}}', 400, []],
  ['very much', `{"visibility":"public"${' '.repeat(70_000)}}`, 413, []],
  ['very deep', '['.repeat(30_000), 400, []],
]

test('a body that is not exactly a change changes nothing and says what is wrong', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [title, body, status, members] of badBodies) {
    const reply = await send(registry, `PATCH ${path(repositories.private)}`, { authorization: callers.owner, headers: json, body })
    assert.equal(reply.status, status, `${title}: ${reply.text}`)
    const { type, detail, reason, status: said, errors = [] } = problemOf(reply)
    assert.deepEqual([type, said, reason], ['about:blank', status, status === 413 ? 'requestTooLarge' : 'requestInvalid'], title)
    assert.ok(detail.length > 10 && detail.length < 500, `${title}: ${detail}`)
    assert.deepEqual(
      errors.map(({ in: where, member }) => `${where} ${member}`),
      members.map((member) => `body ${member}`),
      title,
    )
  }
  const now = jsonOf(await send(registry, `GET ${path(repositories.private)}`, { authorization: callers.owner })) as Described
  assert.deepEqual([now.visibility, now.description], ['private', ''])
})

test('a body is JSON by its type, which no form of a foreign page can say', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const status = async (headers: Record<string, string>): Promise<number> => {
    const wish = { authorization: callers.owner, headers, body: '{"visibility":"internal"}' }
    return (await send(registry, `PATCH ${path(repositories.private)}`, wish)).status
  }
  for (const type of ['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON', 'application/merge-patch+json'])
    assert.equal(await status({ 'Content-Type': type }), 200, type)
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx', 'text/json'])
    assert.equal(await status({ 'Content-Type': type }), 415, type)
  assert.equal(await status({}), 415)
})

test('who may not change is told so before the body is read', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const [, body] of badBodies) {
    const wish = { authorization: callers['other user'], headers: json, body }
    assert.equal((await send(registry, `PATCH ${path(repositories.internal)}`, wish)).status, 403)
    assert.equal((await send(registry, `PATCH ${path(repositories.private)}`, wish)).status, 404, 'it does not even see that one')
  }
})

test('what is not there cannot be changed or removed, and does not come to be', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const identity of ['owner', 'administrator'] satisfies Identity[]) {
    for (const method of ['PATCH', 'DELETE', 'GET']) {
      const reply = await send(registry, `${method} ${path(repositories.absent)}`, {
        authorization: callers[identity],
        headers: json,
        body: method === 'PATCH' ? '{"visibility":"public"}' : undefined,
      })
      assert.equal(reply.status, 404, identity)
      assert.equal(problemOf(reply).detail, `there is no repository ${repositories.absent}: it comes to be with the first push`)
    }
  }
})

test('a change that expects another version is refused and changes nothing; the version is that of the GET before', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const line = path(repositories.private)
  const patch = (version: string, body: object) =>
    send(registry, `PATCH ${line}`, {
      authorization: callers.owner,
      headers: { ...json, 'If-Match': version },
      body: JSON.stringify(body),
    })
  const read = async () => {
    const reply = await send(registry, `GET ${line}`, { authorization: callers.owner })
    return { etag: String(reply.headers.etag), ...(jsonOf(reply) as Described) }
  }
  const first = await read()
  assert.match(first.etag, /^"[\w-]{22}"$/)
  const second = await patch(first.etag, { description: 'one' })
  assert.deepEqual([second.status, second.headers.etag === first.etag], [200, false], 'its answer has the next version')
  const late = await patch(first.etag, { description: 'two' })
  assert.deepEqual([late.status, problemOf(late).reason], [412, 'versionChanged'])
  assert.equal((await send(registry, `DELETE ${line}`, { authorization: callers.owner, headers: { 'If-Match': first.etag } })).status, 412)
  assert.equal((await read()).description, 'one')
  for (const version of ['*', `"x", ${String(second.headers.etag)}`])
    assert.equal((await patch(version, { visibility: 'private' })).status, 200)
  for (const version of ['"x"', `W/${String(second.headers.etag)}`, String(second.headers.etag).replaceAll('"', '')])
    assert.equal((await patch(version, { description: 'three' })).status, 412, version)
})

test('a repository is removed with its tags and manifests, at once and in every process; the name is free again', async (t) => {
  const registry = await startRegistry(t)
  const other = await registry.startWorker()
  const admin = new Client(registry)
  await admin.pushImage('team/app', 'v1')
  await admin.pushImage('team/app-b', 'v1')
  const reply = await send(registry, `DELETE ${path('team%2Fapp')}`, { authorization: basic('admin') })
  assert.deepEqual([reply.status, reply.text], [204, ''])
  for (const line of ['GET /v2/team/app/manifests/v1', 'GET /v2/team/app/tags/list', `GET ${path('team/app')}`])
    assert.equal((await send(other, line, { authorization: basic('admin') })).status, 404, line)
  assert.equal((await send(other, 'GET /v2/team/app-b/manifests/v1', { authorization: basic('admin') })).status, 200)
  await admin.pushImage('team/app', 'v2')
  const history = await send(registry, `GET ${path('team%2Fapp')}/tags/v1/history`, { authorization: basic('admin') })
  assert.equal(history.status, 404, 'the new one has nothing of the old one')
})

test('where deleting is switched off nothing is removed, by whomever', async (t) => {
  const registry = await startRegistry(t, { settings: { DELETE_ENABLED: 'false' } })
  const { callers, images } = await setScene(registry)
  const repository = path(repositories.private.replace('/', '%2F'))
  for (const line of [repository, `${repository}/tags/v1`, `${repository}/manifests/${images.private.digest}`]) {
    const reply = await send(registry, `DELETE ${line}`, { authorization: callers.administrator })
    assert.deepEqual([reply.status, problemOf(reply).reason], [405, 'deleteDisabled'], line)
  }
  assert.equal((await send(registry, `GET /v2/${repositories.private}/manifests/v1`, { authorization: callers.owner })).status, 200)
})

test('the API is no part of /v2: its faults are problems, and its challenge is Basic', async (t) => {
  const registry = await startRegistry(t)
  const reply = await send(registry, 'GET /api/v1/repositories')
  assert.deepEqual(problemOf(reply), {
    type: 'about:blank',
    title: 'Unauthorized',
    status: 401,
    detail: 'authentication required: log in to list the repositories',
    code: 'UNAUTHORIZED',
    reason: 'unauthenticated',
  })
  assert.deepEqual(valuesOf(reply, 'WWW-Authenticate'), ['Basic realm="lanyard", charset="UTF-8"'])
  assert.deepEqual(valuesOf(reply, 'Cache-Control'), ['no-store'])
  assert.equal(reply.headers['docker-distribution-api-version'], undefined)
  for (const line of [
    'GET /api/',
    'GET /api/v1',
    'GET /api/v1/',
    'GET /api/v2/repositories',
    'GET /api/v1/users',
    'GET /api/v1/repositories/',
  ]) {
    const missing = await send(registry, line, { authorization: basic('admin') })
    assert.equal(missing.status, 404, line)
    assert.equal(problemOf(missing).status, 404)
  }
})
