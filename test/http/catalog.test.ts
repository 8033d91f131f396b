/** What lists repositories: the catalog, search, and the list of extensions. Each caller sees what they may pull and no more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, Client, expectStatus, type Answer } from '../support/client.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

/** In byte order. */
const names = ['alice/app', 'alice/app-2', 'alice/app/sub', 'bob/internal', 'bob/private', 'bob/public', 'carol/app', 'zz/top']
const path = '/v2/_catalog'

async function fill(registry: TestRegistry): Promise<void> {
  const admin = new Client(registry)
  for (const user of ['alice', 'bob', 'dave']) await registry.addUser(user)
  for (const name of names.toReversed()) await admin.pushBlob(name, 'the same everywhere')
  await registry.setVisibility('bob/internal', 'internal')
  await registry.setVisibility('bob/public', 'public')
}

/** A token of the token endpoint. */
async function tokenFor(registry: TestRegistry, user: string | undefined, scope: string): Promise<string> {
  const client = new Client(registry, user === undefined ? '' : basic(user))
  const answer = await expectStatus(await client.call('GET', `/token?service=lanyard&scope=${encodeURIComponent(scope)}`), 200)
  return `Bearer ${(JSON.parse(answer.bytes.toString()) as { token: string }).token}`
}

/** What each kind of caller may pull. */
const visible: readonly (readonly [who: string, user: string, names: readonly string[]])[] = [
  ['an administrator sees every repository', 'admin', names],
  ['a user sees their own, internal and public ones', 'alice', ['alice/app', 'alice/app-2', 'alice/app/sub', 'bob/internal', 'bob/public']],
  ['the owner of an internal one sees each once', 'bob', ['bob/internal', 'bob/private', 'bob/public']],
  ['a user without any sees internal and public ones', 'dave', ['bob/internal', 'bob/public']],
]

test('the catalog', async (t) => {
  const registry = await startRegistry(t)
  await fill(registry)
  const listed = (rule: string, query: string, [repositories, link]: readonly [readonly string[], string?]): Row => ({
    rule,
    path: `${path}${query}`,
    status: 200,
    json: { repositories },
    gives: { 'Content-Type': 'application/json', Link: link ?? null },
  })
  const next = (n: number, last: string): string => `<${path}?n=${n}&last=${encodeURIComponent(last)}>; rel="next"`

  await runTable(t, registry, [
    ...visible.map(([who, user, repositories]) => ({ ...listed(who, '', [repositories]), as: basic(user) })),
    listed('the first two, and where the next page is', '?n=2', [names.slice(0, 2), next(2, 'alice/app-2')]),
    listed('two after one', '?n=2&last=alice/app-2', [names.slice(2, 4), next(2, 'bob/internal')]),
    listed('as many as there are: no next page', '?n=8', [names]),
    listed('more than any number', `?n=${'9'.repeat(400)}`, [names]),
    listed('none', '?n=0', [[]]),
    listed('after one that is not there', '?last=bob', [names.slice(3)]),
    listed('after the last', '?last=zz/top', [[]]),
    listed('after something beyond the last', '?last=~', [[]]),
    listed('after something that is no name', '?last=%00%ff..%2F', [names]),
    ...['-1', '1.5', 'x', '1e9', ''].map<Row>((n) => ({
      rule: `n=${n} is UNSUPPORTED`,
      path: `${path}?n=${n}`,
      status: 400,
      code: 'UNSUPPORTED',
    })),
    {
      rule: 'HEAD gives the length and the link',
      method: 'HEAD',
      path: `${path}?n=2`,
      status: 200,
      gives: { Link: next(2, 'alice/app-2') },
    },
  ])

  for (const [who, user, repositories] of visible) {
    await t.test(`${who}, page by page, and no empty page gives away the others`, async () => {
      for (const n of [1, 2, 3]) {
        const seen: string[] = []
        let pages = 0
        for (let from: string | undefined = `${path}?n=${n}`; from !== undefined; pages++) {
          const answer: Answer = await expectStatus(await new Client(registry, basic(user)).call('GET', from), 200)
          const page = (JSON.parse(answer.bytes.toString()) as { repositories: string[] }).repositories
          assert.ok(page.length > 0)
          seen.push(...page)
          from = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('Link') ?? '')?.[1]
        }
        assert.deepEqual(seen, repositories)
        assert.equal(pages, Math.ceil(repositories.length / n))
      }
    })
  }

  await t.test('without credentials it asks for them, and names its scope', async () => {
    const gives = { 'WWW-Authenticate': /,scope="registry:catalog:\*"$/ }
    await checkRow(registry, { rule: '', path, as: null, status: 401, code: 'UNAUTHORIZED', gives })
  })

  await t.test('a token for it lists what its owner may pull', async () => {
    const as = await tokenFor(registry, 'alice', 'registry:catalog:*')
    await checkRow(registry, { ...listed('', '', [visible[1]?.[2] ?? []]), as })
  })

  await t.test('an anonymous token for it lists public ones', async () => {
    await checkRow(registry, { ...listed('', '', [['bob/public']]), as: await tokenFor(registry, undefined, 'registry:catalog:*') })
  })

  await t.test('a token for a repository is none for the catalog', async () => {
    for (const user of ['admin', 'alice', undefined]) {
      const as = await tokenFor(registry, user, 'repository:bob/public:pull')
      const gives = { 'WWW-Authenticate': /scope="registry:catalog:\*",error="insufficient_scope",error_description="[^"]+"$/ }
      await checkRow(registry, { rule: '', path, as, status: 401, code: 'UNAUTHORIZED', gives })
    }
  })

  await t.test('a repository is listed as soon as something is pushed into it, and as others may see it', async () => {
    const alice = new Client(registry, basic('alice'))
    const listOf = async (user: string): Promise<string> => (await new Client(registry, basic(user)).call('GET', path)).bytes.toString()
    await alice.startUpload('alice/only-started')
    await alice.pushBlob('alice/new', 'x')
    assert.ok((await listOf('alice')).includes('"alice/new"'))
    assert.ok(!(await listOf('alice')).includes('only-started'))
    assert.ok(!(await listOf('dave')).includes('alice/new'))
    await registry.setVisibility('alice/new', 'internal')
    assert.ok((await listOf('dave')).includes('alice/new'))
    await registry.setVisibility('alice/new', 'private')
    assert.ok(!(await listOf('dave')).includes('alice/new'))
  })
})

test('the catalog has the server’s size of a page', async (t) => {
  const registry = await startRegistry(t, { settings: { LISTS_PAGE_SIZE: '3' } })
  await fill(registry)
  const gives = { Link: `<${path}?n=3&last=alice%2Fapp%2Fsub>; rel="next"` }
  for (const query of ['', '?n=1000']) {
    await checkRow(registry, { rule: '', path: `${path}${query}`, status: 200, json: { repositories: names.slice(0, 3) }, gives })
  }
})

test('search', async (t) => {
  const registry = await startRegistry(t)
  await fill(registry)
  const result = (name: string) => ({ name, description: '', star_count: 0, is_official: false, is_automated: false })
  const found = (query: string, results: readonly string[]) => ({ num_results: results.length, query, results: results.map(result) })
  const row = (rule: string, query: string, more: Partial<Row>): Row => ({ rule, path: `/v1/search${query}`, status: 200, ...more })

  await runTable(t, registry, [
    {
      rule: 'the ping that docker sends first is answered without a login',
      path: '/v1/_ping',
      as: null,
      status: 200,
      json: { standalone: true },
    },
    row('without a login only public ones are found', '?q=&n=25', { as: null, json: found('', ['bob/public']) }),
    row('and private ones not by their name', '?q=private', { as: null, json: found('private', []) }),
    row('docker’s header makes no difference', '?q=bob', {
      as: null,
      headers: { 'X-Docker-Token': 'true' },
      json: found('bob', ['bob/public']),
    }),
    row('podman is sent to the catalog', '?q=bob', {
      as: null,
      headers: { 'Docker-Distribution-Api-Version': 'registry/2.0' },
      status: 404,
      code: 'UNSUPPORTED',
    }),
    row('a part of a name is enough, the shortest first', '?q=app', {
      json: found('app', ['alice/app', 'carol/app', 'alice/app-2', 'alice/app/sub']),
    }),
    row('a user finds what they may pull', '?q=b', {
      as: basic('alice'),
      json: found('b', ['bob/public', 'bob/internal', 'alice/app/sub']),
    }),
    row('a user does not find what they may not', '?q=private', { as: basic('alice'), json: found('private', []) }),
    row('n bounds the results', '?q=app&n=2', { json: found('app', ['alice/app', 'carol/app']) }),
    row('n=0 gives none', '?q=app&n=0', { json: found('app', []) }),
    row('a very large n is bounded', `?q=zz&n=${'9'.repeat(30)}`, { json: found('zz', ['zz/top']) }),
    row('n that is no number is UNSUPPORTED', '?q=app&n=x', { status: 400, code: 'UNSUPPORTED' }),
    row('without a term every name matches', '', { as: basic('dave'), json: found('', ['bob/public', 'bob/internal']) }),
    row('wild cards are text', '?q=%25', { json: found('%', []) }),
    row('so are quotes', `?q=${encodeURIComponent("' or 1=1 --")}`, { json: found("' or 1=1 --", []) }),
    row('and a NUL', '?q=%00', { json: found('\0', []) }),
    row('a term of 50,000 characters is cut', `?q=${'a'.repeat(50_000)}`, { json: found('a'.repeat(255), []) }),
    row('a wrong password is refused', '?q=a', { as: basic('alice', 'wrong'), status: 401, code: 'UNAUTHORIZED' }),
    row('HEAD has the length', '?q=app', { method: 'HEAD', gives: { 'Content-Type': 'application/json' } }),
    row('another method is 405', '?q=app', { method: 'POST', status: 405, code: 'UNSUPPORTED', gives: { Allow: 'HEAD, GET' } }),
  ])

  await t.test('a token opens it only if it covers the catalog', async () => {
    const all = await tokenFor(registry, 'alice', 'registry:catalog:*')
    await checkRow(registry, row('', '?q=sub', { as: all, json: found('sub', ['alice/app/sub']) }))
    for (const user of ['alice', undefined]) {
      const one = await tokenFor(registry, user, 'repository:bob/public:pull')
      await checkRow(registry, row('', '?q=sub', { as: one, status: 401, code: 'UNAUTHORIZED' }))
    }
  })
})

test('an open registry lists everything to everyone', async (t) => {
  const registry = await startRegistry(t, { settings: { ACCESS: 'open' } })
  const client = new Client(registry, '')
  for (const name of ['a/one', 'b/two']) await client.pushBlob(name, 'x')
  for (const as of [null, basic('anybody', 'whatever'), 'Bearer junk']) {
    await checkRow(registry, { rule: '', path, as, status: 200, json: { repositories: ['a/one', 'b/two'] } })
    const { bytes } = await checkRow(registry, { rule: '', path: '/v1/search?q=one', as, status: 200 })
    assert.match(bytes.toString(), /"num_results":1,.*"a\/one"/)
  }
})

test('the list of extensions names what the protocol’s own extension asks for', async (t) => {
  const registry = await startRegistry(t)
  const discover = '/v2/_oci/ext/discover'
  const { bytes } = await checkRow(registry, { rule: '', path: discover, status: 200, gives: { 'Content-Type': 'application/json' } })
  const { extensions } = JSON.parse(bytes.toString()) as { extensions: Record<string, unknown>[] }
  assert.deepEqual(
    extensions.map(({ name, endpoints }) => ({ name, endpoints })),
    [{ name: '_oci', endpoints: ['_oci/ext/discover'] }],
  )
  for (const { url, description } of extensions) assert.ok(String(url).startsWith('https://') && String(description).length > 0)
  await checkRow(registry, { rule: '', path: discover, as: null, status: 401, code: 'UNAUTHORIZED' })
  await checkRow(registry, { rule: '', path: '/v2/_oci/ext/other', status: 404, code: 'UNSUPPORTED' })
})
