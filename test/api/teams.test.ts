/** Teams over the API: made by administrators, filled by those who manage them, seen by who is in them. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { apiOperations } from '../../server/api/operations.ts'
import { basic, Client, expectStatus, type Answer } from '../support/client.ts'
import { shareRegistry } from '../support/shared-registry.ts'

type Json = Record<string, unknown>
const json = (answer: Answer) => JSON.parse(answer.bytes.toString('utf8')) as Json

suite('teams', () => {
  const registry = shareRegistry()
  const as =
    (account: string) =>
    (...[method, path, body, headers = {}]: [string, string, object?, object?]) =>
      new Client(registry(), basic(account)).call(method, `/api/v1${path}`, {
        headers: { ...(body && { 'Content-Type': 'application/json' }), ...headers },
        ...(body && { body: JSON.stringify(body) }),
      })
  const admin = (...sent: Parameters<ReturnType<typeof as>>) => as('admin')(...sent)
  const assertRefused = (answer: Answer, status: number, reason: string): void =>
    assert.deepEqual([answer.status, json(answer)['reason']], [status, reason], answer.bytes.toString())
  /** A team with these people, the first of whom manages it. */
  const makeTeam = async (name: string, manager: string, ...others: string[]) => {
    for (const each of [manager, ...others]) await registry().addUser(each)
    await expectStatus(await admin('POST', '/teams', { name }), 201)
    await expectStatus(await admin('PUT', `/teams/${name}/members/${manager}`, { manager: true }), 200)
    for (const each of others) await expectStatus(await admin('PUT', `/teams/${name}/members/${each}`, {}), 200)
  }
  const itemsOf = async (account: string, path: string, limit = 100) => {
    const found: Json[] = []
    for (let cursor = ''; ;) {
      const { items, next } = json(await expectStatus(await as(account)('GET', `${path}?limit=${limit}${cursor}`), 200)) as {
        items: Json[]
        next: string | null
      }
      assert.ok(items.length <= limit)
      found.push(...items)
      if (next === null) return found
      cursor = `&cursor=${next}`
    }
  }

  test('one is made, described, changed and removed by administrators, with a version', async () => {
    const made = await expectStatus(await admin('POST', '/teams', { name: 'crew', description: 'all hands' }), 201)
    const { createdAt, ...team } = json(made)
    assert.deepEqual(team, { name: 'crew', description: 'all hands' })
    assert.ok(Math.abs(Date.parse(String(createdAt)) - Date.now()) < 60_000)
    assert.equal(made.headers.get('Location'), '/api/v1/teams/crew')
    const etag = made.headers.get('ETag') ?? ''
    assert.equal((await admin('GET', '/teams/crew')).headers.get('ETag'), etag)
    const changed = await expectStatus(await admin('PATCH', '/teams/crew', { description: 'some' }, { 'If-Match': etag }), 200)
    assert.deepEqual(json(changed), { ...json(made), description: 'some' })
    assert.equal((await admin('PATCH', '/teams/crew', { description: 'few' }, { 'If-Match': etag })).status, 412)
    assert.equal((await admin('DELETE', '/teams/crew', undefined, { 'If-Match': etag })).status, 412)
    assert.deepEqual(json(await admin('GET', '/teams/crew')), json(changed))
    await expectStatus(await admin('DELETE', '/teams/crew'), 204)
    for (const answer of [await admin('GET', '/teams/crew'), await admin('DELETE', '/teams/crew'), await admin('GET', '/teams/crew/roles')])
      assertRefused(answer, 404, 'teamUnknown')
  })

  test('what cannot be is refused and changes nothing', async () => {
    await makeTeam('strict', 'anna')
    const refusals: readonly (readonly [Answer, number, string])[] = [
      [await admin('POST', '/teams', { name: 'strict' }), 409, 'nameTaken'],
      [await admin('POST', '/teams', { name: 'The Team' }), 400, 'requestInvalid'],
      [await admin('PATCH', '/teams/strict', {}), 400, 'requestInvalid'],
      [await admin('PATCH', '/teams/strict', { name: 'lax' }), 400, 'requestInvalid'],
      [await admin('PUT', '/teams/strict/members/nobody', {}), 400, 'parameterInvalid'],
      [await admin('PUT', '/teams/strict/members/anna', { manager: 'yes' }), 400, 'requestInvalid'],
      [await admin('PUT', '/teams/none/members/anna', {}), 404, 'teamUnknown'],
      [await admin('DELETE', '/teams/strict/members/admin'), 404, 'memberUnknown'],
      [await as('anna')('POST', '/teams', { name: 'mine' }), 403, 'denied'],
    ]
    for (const [answer, status, reason] of refusals) assertRefused(answer, status, reason)
    assert.deepEqual(
      (await itemsOf('admin', '/teams/strict/members')).map(({ account, manager }) => [account, manager]),
      [['anna', true]],
    )
  })

  test('who manages it puts people in and takes them out, but does not say who manages it', async () => {
    await makeTeam('managed', 'berta', 'bruno', 'bella')
    await registry().addUser('bodo')
    const berta = as('berta')
    const path = '/teams/managed/members'
    const put = json(await expectStatus(await berta('PUT', `${path}/bodo`, {}), 200))
    assert.deepEqual([put['account'], put['manager']], ['bodo', false])
    assert.deepEqual(json(await expectStatus(await berta('PUT', `${path}/bodo`, { manager: false }), 200)), put, 'the same again')
    assert.equal(json(await expectStatus(await berta('PUT', `${path}/berta`, {}), 200))['manager'], true, 'it stays what it is')
    await expectStatus(await admin('PUT', `${path}/bella`, { manager: true }), 200)
    for (const answer of [
      await berta('PUT', `${path}/bodo`, { manager: true }),
      await berta('PUT', `${path}/bella`, { manager: false }),
      await berta('DELETE', `${path}/bella`),
      await berta('PATCH', '/teams/managed', { description: 'mine' }),
      await berta('DELETE', '/teams/managed'),
      await as('bruno')('PUT', `${path}/bodo`, {}),
      await as('bruno')('DELETE', `${path}/bodo`),
      await as('bruno')('DELETE', `${path}/bruno`),
    ])
      assertRefused(answer, 403, 'denied')
    await expectStatus(await berta('DELETE', `${path}/bruno`), 204)
    assert.deepEqual(
      (await itemsOf('berta', path)).map(({ account, manager }) => [account, manager]),
      [
        ['berta', true],
        ['bella', true],
        ['bodo', false],
      ],
    )
    await expectStatus(await admin('PUT', `${path}/berta`, { manager: false }), 200)
    assertRefused(await berta('DELETE', `${path}/bodo`), 403, 'denied')
    await expectStatus(await admin('DELETE', `${path}/berta`), 204)
    assertRefused(await berta('GET', path), 404, 'teamUnknown')
  })

  test('who is not in it is told that there is none, whatever is asked', async () => {
    await makeTeam('closed', 'cora')
    await registry().addUser('carl')
    for (const [method, rest, body] of [
      ['GET', ''],
      ['PATCH', '', { description: 'x' }],
      ['PATCH', '', { bad: true }],
      ['DELETE', ''],
      ['GET', '/roles'],
      ['GET', '/members'],
      ['PUT', '/members/carl', {}],
      ['DELETE', '/members/cora'],
    ] as const) {
      const [seen, absent] = [
        await as('carl')(method, `/teams/closed${rest}`, body),
        await as('carl')(method, `/teams/absent${rest}`, body),
      ]
      assertRefused(seen, 404, 'teamUnknown')
      assert.equal(seen.bytes.toString(), absent.bytes.toString().replace('absent', 'closed'), `${method} ${rest}`)
    }
  })

  test('teams, members and roles are listed in pages of any size; each sees the teams that they are in', async () => {
    await makeTeam('list-b', 'dana', 'dirk', 'dora')
    await expectStatus(await admin('POST', '/teams', { name: 'list-a' }), 201)
    await expectStatus(await admin('PUT', '/teams/list-a/members/dana', {}), 200)
    for (const [namespace, query] of [
      ['dirk', ''],
      ['dana', '?repository=dana/app'],
      ['dana', ''],
    ])
      await expectStatus(await admin('PUT', `/namespaces/${namespace}/teams/list-b${query}`, { role: 'reader' }), 200)
    for (const limit of [1, 2, 9]) {
      assert.deepEqual(
        (await itemsOf('dana', '/teams', limit)).map(({ name }) => name),
        ['list-a', 'list-b'],
      )
      assert.deepEqual(
        (await itemsOf('dora', '/teams/list-b/members', limit)).map(({ account }) => account),
        ['dana', 'dirk', 'dora'],
      )
      assert.deepEqual(await itemsOf('dora', '/teams/list-b/roles', limit), [
        { namespace: 'dana', repository: null, role: 'reader' },
        { namespace: 'dana', repository: 'dana/app', role: 'reader' },
        { namespace: 'dirk', repository: null, role: 'reader' },
      ])
    }
    const all = (await itemsOf('admin', '/teams', 1)).map(({ name }) => String(name))
    assert.deepEqual(all, all.toSorted())
    assert.ok(all.includes('list-a') && all.includes('list-b'))
  })

  test('a member loses what the team was granted with the next request after leaving', async () => {
    await makeTeam('leavers', 'erna', 'emil')
    await expectStatus(await admin('PUT', '/namespaces/erna/teams/leavers', { role: 'writer' }), 200)
    const push = async () => (await new Client(registry(), basic('emil')).call('POST', '/v2/erna/app/blobs/uploads/')).status
    assert.equal(await push(), 202)
    await expectStatus(await as('erna')('DELETE', '/teams/leavers/members/emil'), 204)
    assert.equal(await push(), 403)
  })
})

suite('what the audit log is told', () => {
  const path = { namespace: 'team', account: 'bob', team: 'crew' }
  const of = (id: string, sent: { query?: object; body?: object }): unknown =>
    apiOperations.find((operation) => operation.id === id)?.deed?.({ path, body: undefined, ...sent } as never)

  const told: readonly (readonly [string, { query?: object; body?: object }, object])[] = [
    ['createNamespace', {}, { action: 'namespace-add', target: '' }],
    ['createNamespace', { body: { name: 'a', owner: 'bob' } }, { action: 'namespace-add', target: 'a', detail: { owner: 'bob' } }],
    ['changeNamespace', {}, { action: 'namespace-change', target: 'team' }],
    ['changeNamespace', { body: { name: 'b' } }, { action: 'namespace-change', target: 'team', detail: { name: 'b' } }],
    [
      'deleteNamespace',
      { query: { repositories: 'true' } },
      { action: 'namespace-remove', target: 'team', detail: { repositories: true } },
    ],
    ['putAccountRole', {}, { action: 'grant', target: 'team', detail: { account: 'bob' } }],
    [
      'putAccountRole',
      { query: { repository: 'team/app' }, body: { role: 'none' } },
      { action: 'grant', target: 'team/app', detail: { account: 'bob', role: 'none' } },
    ],
    ['putTeamRole', { query: {}, body: { role: 'owner' } }, { action: 'grant', target: 'team', detail: { team: 'crew', role: 'owner' } }],
    ['deleteAccountRole', { query: { repository: 'team/app' } }, { action: 'revoke', target: 'team/app', detail: { account: 'bob' } }],
    ['deleteTeamRole', {}, { action: 'revoke', target: 'team', detail: { team: 'crew' } }],
    ['createTeam', { body: { name: 'crew' } }, { action: 'team-add', target: 'crew' }],
    ['changeTeam', { body: { description: 'x' } }, { action: 'team-change', target: 'crew', detail: { description: 'x' } }],
    ['deleteTeam', {}, { action: 'team-remove', target: 'crew' }],
    ['putTeamMember', {}, { action: 'member-add', target: 'crew', detail: { account: 'bob' } }],
    ['putTeamMember', { body: { manager: true } }, { action: 'member-add', target: 'crew', detail: { account: 'bob', manager: true } }],
    ['deleteTeamMember', {}, { action: 'member-remove', target: 'crew', detail: { account: 'bob' } }],
  ]
  for (const [id, sent, deed] of told) {
    test(`of ${id} with ${JSON.stringify(sent)} is who got what, and where`, () => assert.deepEqual(of(id, sent), deed))
  }

  test('is something of every operation on namespaces, members and teams that changes something', () => {
    const silent = apiOperations.filter(
      (each) => ['namespaces', 'members', 'teams'].includes(each.tag) && (each.method === 'GET') === 'deed' in each,
    )
    assert.deepEqual(silent, [])
  })
})
