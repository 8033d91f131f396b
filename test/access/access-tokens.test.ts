/**
 * Access tokens on the wire: as the password of docker login and as a Bearer; that they open what they cover and no more; and that
 * what ends or narrows one acts on the next request, with whatever was issued for it before (threats 30, 31, 40).
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { revokeToken, rotateToken } from '../../registry/access-tokens.ts'
import { updateAccount } from '../../registry/accounts.ts'
import { changeRobot, removeRobot } from '../../registry/robots.ts'
import { giveRobot, giveToken, scopesIn } from '../support/access-tokens.ts'
import { basic, Client, type PushedImage } from '../support/client.ts'
import { captureLog } from '../support/log-capture.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer, type TokenAnswer } from './callers.ts'
import { challengeOf, errorsOf, jsonOf, lookOf, messageOf, send, type Reply, type Server } from './wire.ts'

interface Stage {
  readonly registry: TestRegistry
  readonly image: PushedImage
}

/** team/app, team/app-web and team/other, all private; base/linux, which is public; alice, who has alice/app. */
async function setStage(t: TestContext, options: Parameters<typeof startRegistry>[1] = {}): Promise<Stage> {
  const registry = await startRegistry(t, options)
  await registry.addUser('alice')
  const admin = new Client(registry)
  const image = await admin.pushImage('team/app', 'v1')
  for (const name of ['team/app-web', 'team/other', 'base/linux', 'alice/app']) await admin.pushImage(name, 'v1')
  await registry.setVisibility('base/linux', 'public')
  return { registry, image }
}

const pull = (server: Server, name: string, authorization: string) => send(server, `GET /v2/${name}/manifests/v1`, { authorization })
const push = (server: Server, name: string, authorization: string) => send(server, `POST /v2/${name}/blobs/uploads/`, { authorization })
const formHeaders = { 'Content-Type': 'application/x-www-form-urlencoded' }

function postForm(server: Server, fields: { username: string; password: string; scope?: string }): Promise<Reply> {
  const form = new URLSearchParams({ grant_type: 'password', service: 'lanyard', client_id: 'c', ...fields })
  return send(server, 'POST /token', { headers: formHeaders, body: form.toString() })
}

test('docker login with the token of a robot: the challenge, a token for it, and /v2/ with that', async (t) => {
  const { registry } = await setStage(t)
  const secret = await giveRobot(registry, { namespace: 'team', name: 'ci' }, 'pull team/app*')
  const ping = await send(registry, 'GET /v2/')
  const { realm = '', service = '' } = challengeOf(ping)
  const query = `account=team.ci&client_id=docker&offline_token=true&service=${service}`
  const ask = (user: string, password: string) =>
    send(registry, `GET ${new URL(realm).pathname}?${query}`, { authorization: basic(user, password) })
  const { token } = jsonOf(await ask('team.ci', secret)) as TokenAnswer
  assert.equal((await send(registry, 'GET /v2/', { authorization: `Bearer ${token}` })).status, 200)
  const wrongPassword = await ask('alice', 'mistyped it')
  for (const wrong of [
    await ask('alice', secret),
    await ask('team.ci', secret.replace(/.$/, '-')),
    await ask('team.ci', `${secret.slice(0, -1)}_`),
  ]) {
    assert.deepEqual(lookOf(wrong), lookOf(wrongPassword), 'as a wrong password is refused')
  }
})

test('by Basic, by the form and as Bearer, a token opens the same', async (t) => {
  const { registry, image } = await setStage(t)
  const secret = await giveRobot(registry, { namespace: 'team', name: 'ci' }, 'pull team/app*')
  const scope = 'repository:team/app:pull,push repository:team/other:pull'
  const byForm = jsonOf(await postForm(registry, { username: 'team.ci', password: secret, scope })) as TokenAnswer
  assert.equal(byForm.scope, 'repository:team/app:pull', 'as much as there is')
  const ways = [
    basic('team.ci', secret),
    `Bearer ${secret}`,
    `Bearer ${byForm.token}`,
    await bearer(registry, basic('team.ci', secret), scope),
    await bearer(registry, `Bearer ${secret}`, scope),
  ]
  for (const authorization of ways) {
    assert.equal((await pull(registry, 'team/app', authorization)).text, image.text)
    assert.notEqual((await push(registry, 'team/app', authorization)).status, 202)
    assert.notEqual((await pull(registry, 'team/other', authorization)).status, 200)
  }
  const inApi = await send(registry, 'GET /api/v1/repositories/team/app', { authorization: `Bearer ${secret}` })
  assert.deepEqual([inApi.status, (jsonOf(inApi) as { name: string }).name], [200, 'team/app'])
})

test('a robot limited to pull on team/app* pulls these and nothing else, and the refusal says what is missing and who can grant it', async (t) => {
  const { registry } = await setStage(t)
  const secret = await giveRobot(registry, { namespace: 'team', name: 'ci' }, 'pull team/app*')
  const said = (missing: string) =>
    `the access token "ci" covers pull on team/app*, not ${missing}: ask an owner of team for a token that does`
  for (const name of ['team/app', 'team/app-web']) assert.equal((await pull(registry, name, basic('team.ci', secret))).status, 200)
  const refusals = [
    ['push to team/app', (authorization: string) => push(registry, 'team/app', authorization)],
    ['delete in team/app', (authorization: string) => send(registry, 'DELETE /v2/team/app/manifests/v1', { authorization })],
    ['pull on team/other', (authorization: string) => pull(registry, 'team/other', authorization)],
    ['pull on base/linux', (authorization: string) => pull(registry, 'base/linux', authorization)],
    ['pull on team/nothing', (authorization: string) => pull(registry, 'team/nothing', authorization)],
    ['pull on alice/app', (authorization: string) => pull(registry, 'alice/app', authorization)],
  ] as const
  const everything = ['team/app', 'team/other', 'base/linux', 'team/nothing', 'alice/app'].map(
    (name) => `repository:${name}:pull,push,delete`,
  )
  const ofDocker = await bearer(registry, basic('team.ci', secret), ...everything)
  for (const [missing, ask] of refusals) {
    const direct = await ask(basic('team.ci', secret))
    assert.deepEqual([direct.status, messageOf(direct)], [403, said(missing)])
    const throughDocker = await ask(ofDocker)
    assert.deepEqual([throughDocker.status, messageOf(throughDocker)], [401, said(missing)])
    assert.equal(challengeOf(throughDocker)['error'], 'insufficient_scope')
  }
})

test('a narrow token of an administrator is as narrow as anyone’s', async (t) => {
  const { registry } = await setStage(t)
  const authorization = basic('admin', await giveToken(registry, { account: 'admin', name: 'ci' }, 'pull team/app*'))
  assert.equal((await pull(registry, 'team/app', authorization)).status, 200)
  for (const reply of [await pull(registry, 'base/linux', authorization), await push(registry, 'team/app', authorization)])
    assert.equal(reply.status, 403)
  for (const line of ['GET /metrics', 'PATCH /api/v1/repositories/team/app'])
    assert.equal((await send(registry, line, { authorization, body: '{"visibility":"public"}' })).status, 403, line)
})

test('administration is opened by a token that says so, as far as its owner may', async (t) => {
  const { registry } = await setStage(t)
  const patch = (name: string, authorization: string) =>
    send(registry, `PATCH /api/v1/repositories/${name}`, {
      authorization,
      headers: { 'Content-Type': 'application/json' },
      body: '{"visibility":"internal"}',
    })
  const everything = `Bearer ${await giveToken(registry, { account: 'alice', name: 'all' }, 'admin,pull *')}`
  assert.equal((await patch('alice/app', everything)).status, 200)
  assert.equal((await patch('team/app', everything)).status, 404, 'its owner does not even see that one')
  assert.equal((await send(registry, 'GET /metrics', { authorization: everything })).status, 403)
  const one = `Bearer ${await giveToken(registry, { account: 'admin', name: 'one' }, 'admin,pull team/*')}`
  assert.equal((await patch('team/app', one)).status, 200)
  assert.equal((await patch('alice/app', one)).status, 403)
  assert.equal((await send(registry, 'GET /metrics', { authorization: one })).status, 403, 'it is not the whole registry')
  const whole = `Bearer ${await giveToken(registry, { account: 'admin', name: 'whole' }, 'admin *')}`
  assert.equal((await send(registry, 'GET /metrics', { authorization: whole })).status, 200)
})

test('lists name only what the token covers, page by page, and so does search', async (t) => {
  const { registry } = await setStage(t)
  const authorization = basic(
    'admin',
    await giveToken(registry, { account: 'admin', name: 'ci' }, 'pull team/app*', 'pull alice/app', 'push team/other'),
  )
  const names: string[] = []
  for (let path: string | undefined = '/v2/_catalog?n=1'; path !== undefined;) {
    const reply: Reply = await send(registry, `GET ${path}`, { authorization })
    names.push(...(jsonOf(reply) as { repositories: string[] }).repositories)
    path = /<(.+)>/.exec(String(reply.headers['link'] ?? ''))?.[1]
  }
  assert.deepEqual(names, ['alice/app', 'team/app', 'team/app-web'])
  const found = jsonOf(await send(registry, 'GET /v1/search?q=e', { authorization })) as { results: { name: string }[] }
  assert.deepEqual(
    found.results.map(({ name }) => name),
    ['alice/app', 'team/app-web', 'team/app'].toSorted((a, b) => a.length - b.length || (a < b ? -1 : 1)),
  )
  const ofRobot = basic('team.ci', await giveRobot(registry, { namespace: 'team', name: 'ci' }, 'pull *'))
  const catalog = jsonOf(await send(registry, 'GET /v2/_catalog', { authorization: ofRobot })) as { repositories: string[] }
  assert.deepEqual(catalog.repositories, ['base/linux', 'team/app', 'team/app-web', 'team/other'])
})

test('a blob is not taken from where the token does not reach, with a source and without, as if it were not there', async (t) => {
  const { registry } = await setStage(t)
  const admin = new Client(registry)
  const [hidden, open] = [await admin.pushBlob('team/other', 'only there'), await admin.pushBlob('team/app', 'to be had')]
  const secret = await giveRobot(registry, { namespace: 'team', name: 'ci' }, 'pull team/app*', 'pull,push team/new')
  const direct = basic('team.ci', secret)
  const ofDocker = await bearer(registry, direct, 'repository:team/new:pull,push', 'repository:team/app:pull', 'repository:team/other:pull')
  for (const authorization of [direct, ofDocker]) {
    const mount = (query: string) => send(registry, `POST /v2/team/new/blobs/uploads/?${query}`, { authorization })
    for (const query of [`mount=${hidden}&from=team/other`, `mount=${hidden}`, `mount=${hidden}&from=team/nothing`])
      assert.equal((await mount(query)).status, 202, query)
    for (const query of [`mount=${open}&from=team/app`, `mount=${open}`]) assert.equal((await mount(query)).status, 201, query)
  }
})

interface Ending {
  readonly title: string
  readonly act: (stage: Stage) => Promise<void>
  /** What a bearer token that was issued before gets, by its status and its `error=`; and the access token itself. */
  readonly issued: readonly [number, string | undefined]
  readonly direct: number
}

const robot = { namespace: 'team', name: 'ci' }
const named = { account: 'team.ci', name: 'ci' }
const databaseOf = ({ registry }: Stage) => registry.services.registry.database
const nowOf = ({ registry }: Stage) => registry.services.registry.clock()

const endings: readonly Ending[] = [
  {
    title: 'revoked',
    act: (stage) => revokeToken(databaseOf(stage), { ...named, nowMs: nowOf(stage) }),
    issued: [401, 'invalid_token'],
    direct: 401,
  },
  { title: 'expired', act: async ({ registry }) => registry.advance(60_000), issued: [401, 'invalid_token'], direct: 401 },
  {
    title: 'narrowed to another repository',
    act: async (stage) =>
      void (await changeRobot(databaseOf(stage), { ...robot, scopes: scopesIn('pull team/other'), nowMs: nowOf(stage) })),
    issued: [403, undefined],
    direct: 403,
  },
  {
    title: 'rotated without an overlap',
    act: async (stage) => void (await rotateToken(databaseOf(stage), { ...named, overlapMs: 0, expiresAtMs: 'same', nowMs: nowOf(stage) })),
    issued: [401, 'invalid_token'],
    direct: 401,
  },
  {
    title: 'one of a disabled robot',
    act: async (stage) => void (await changeRobot(databaseOf(stage), { ...robot, isDisabled: true, nowMs: nowOf(stage) })),
    issued: [401, 'invalid_token'],
    direct: 401,
  },
  {
    title: 'one of a removed robot',
    act: (stage) => removeRobot(databaseOf(stage), { ...robot, nowMs: nowOf(stage) }),
    issued: [401, 'invalid_token'],
    direct: 401,
  },
]

for (const { title, act, issued, direct } of endings) {
  test(`an access token that is ${title} opens nothing with the next request, nor does what was issued for it, in any worker`, async (t) => {
    const stage = await setStage(t)
    const { registry } = stage
    const secret = await giveRobot(registry, robot, 'pull team/app*')
    // A minute before its end, so that what is issued now would outlive it.
    registry.advance(3_540_000)
    const other = await registry.startWorker()
    const before = await bearer(registry, basic('team.ci', secret), 'repository:team/app:pull')
    for (const server of [registry, other]) {
      for (const authorization of [before, basic('team.ci', secret), `Bearer ${secret}`])
        assert.equal((await pull(server, 'team/app', authorization)).status, 200)
    }
    await act(stage)
    for (const server of [registry, other]) {
      const reply = await pull(server, 'team/app', before)
      assert.equal(reply.status, issued[0])
      if (issued[0] === 401) assert.equal(challengeOf(reply)['error'], issued[1])
      for (const authorization of [basic('team.ci', secret), `Bearer ${secret}`])
        assert.equal((await pull(server, 'team/app', authorization)).status, direct)
      assert.equal((await send(server, 'GET /token', { authorization: basic('team.ci', secret) })).status, direct === 401 ? 401 : 200)
    }
  })
}

test('a changed password ends the access tokens of a person, and a role that is taken away what they granted', async (t) => {
  const { registry } = await setStage(t)
  const { database } = registry.services.registry
  await registry.addUser('carla', { isAdmin: true })
  const carla = basic('carla', await giveToken(registry, { account: 'carla', name: 'ci' }, 'pull *'))
  const alice = basic('alice', await giveToken(registry, { account: 'alice', name: 'ci' }, 'pull *'))
  assert.equal((await pull(registry, 'team/app', carla)).status, 200)
  await updateAccount(database, 'carla', { isAdmin: false })
  assert.equal((await pull(registry, 'team/app', carla)).status, 403, 'it never grants more than its owner has now')
  assert.equal((await pull(registry, 'alice/app', alice)).status, 200)
  await updateAccount(database, 'alice', { passwordHash: await registry.services.passwords.hash('another battery staple') })
  assert.equal((await pull(registry, 'alice/app', alice)).status, 401)
})

test('the old secret of a rotated token goes on beside the new one until its time is over', async (t) => {
  const { registry } = await setStage(t)
  const { database, clock } = registry.services.registry
  const old = await giveRobot(registry, robot, 'pull team/app*')
  const { secret } = await rotateToken(database, { ...named, overlapMs: 10_000, expiresAtMs: 'same', nowMs: clock() })
  const statuses = async () => [
    (await pull(registry, 'team/app', basic('team.ci', old))).status,
    (await pull(registry, 'team/app', basic('team.ci', secret))).status,
  ]
  assert.deepEqual(await statuses(), [200, 200])
  registry.advance(10_000)
  assert.deepEqual(await statuses(), [401, 200])
})

test('nothing of a secret is in the log, in an answer or in the data folder', async (t) => {
  const capture = captureLog('debug')
  const { registry } = await setStage(t, { log: capture.log })
  const secrets = [
    { user: 'team.ci', secret: await giveRobot(registry, robot, 'pull team/app*') },
    { user: 'alice', secret: await giveToken(registry, { account: 'alice', name: 'ci' }, 'pull alice/*') },
  ]
  const replies: Reply[] = []
  for (const { user, secret } of secrets) {
    for (const authorization of [
      basic(user, secret),
      basic('nobody', secret),
      `Bearer ${secret}`,
      `Bearer ${secret} `,
      `Basic ${secret}`,
      `Digest ${secret}`,
    ]) {
      for (const line of ['GET /v2/', 'GET /token', 'GET /v2/team/other/manifests/v1', 'GET /api/v1/repositories', 'GET /metrics'])
        replies.push(await send(registry, line, { authorization }))
    }
    replies.push(
      await postForm(registry, { username: user, password: secret }),
      await postForm(registry, { username: 'nobody', password: secret }),
    )
  }
  await registry.services.registry.writing.whenIdle()
  assert.ok(capture.lines().length > replies.length / 2, 'there is a log')
  const kept = readdirSync(registry.data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
  assert.ok(
    kept.some((bytes) => bytes.includes('team.ci')),
    'the database is among what is searched',
  )
  for (const { secret } of secrets) {
    const parts = [secret, secret.slice(4, 24), secret.slice(24, 44), Buffer.from(`:${secret}`).toString('base64').slice(4, 40)]
    for (const part of parts) {
      assert.ok(!capture.text().includes(part))
      assert.ok(!replies.some(({ text, rawHeaders }) => text.includes(part) || rawHeaders.join().includes(part)))
      assert.ok(!kept.some((bytes) => bytes.includes(part)))
    }
  }
})

test('when and from where a token was used last is known, also through what was issued for it', async (t) => {
  const { registry } = await setStage(t)
  const secret = await giveRobot(registry, robot, 'pull team/app*')
  const lastUse = async () => {
    await registry.services.registry.writing.whenIdle()
    const { read } = registry.services.registry.database
    return read.selectFrom('access_token').select(['last_used_at_ms', 'last_used_from']).executeTakeFirst()
  }
  assert.deepEqual(await lastUse(), { last_used_at_ms: null, last_used_from: null })
  const issued = await bearer(registry, basic('team.ci', secret), 'repository:team/app:pull')
  const first = await lastUse()
  assert.equal(first?.last_used_from, '127.0.0.1')
  registry.advance(61_000)
  assert.equal((await pull(registry, 'team/app', issued)).status, 200)
  assert.ok(((await lastUse())?.last_used_at_ms ?? 0) >= (first?.last_used_at_ms ?? Infinity) + 61_000)
})

test('a flood of wrong access tokens checks no password', async (t) => {
  const { registry } = await setStage(t)
  const check = t.mock.method(registry.services.passwords, 'check')
  const secret = await giveRobot(registry, robot, 'pull team/app*')
  const wrong = [secret.replace(/.$/, (last) => (last === '0' ? '1' : '0')), `lyp_${'0'.repeat(49)}`]
  const replies = await Promise.all(
    wrong.flatMap((each) => [
      send(registry, 'GET /token', { authorization: basic('team.ci', each) }),
      send(registry, 'GET /v2/', { authorization: `Bearer ${each}` }),
    ]),
  )
  assert.deepEqual(
    replies.map(({ status }) => status),
    [401, 401, 401, 401],
  )
  assert.equal(check.mock.callCount(), 0)
  assert.ok(replies.every((reply) => errorsOf(reply)[0]?.code === 'UNAUTHORIZED'))
})

test('a narrow token cannot tell what there is beyond it, whatever its account could see', async (t) => {
  const { registry } = await setStage(t)
  const repositories = { private: 'alice/app-1', internal: 'alice/app-2', public: 'alice/app-3' } as const
  for (const [visibility, name] of Object.entries(repositories)) {
    await new Client(registry).pushImage(name, 'v1')
    await registry.setVisibility(name, visibility as keyof typeof repositories)
  }
  const secret = await giveToken(registry, { account: 'alice', name: 'ci' }, 'pull team/*', 'pull base/linux')
  const names = [...Object.values(repositories), 'alice/app-4']
  const issued = await bearer(registry, basic('alice', secret), ...names.map((name) => `repository:${name}:pull,push`))
  for (const authorization of [basic('alice', secret), `Bearer ${secret}`, issued]) {
    for (const line of [
      'GET /v2/<name>/manifests/v1',
      'HEAD /v2/<name>/manifests/v1',
      'GET /v2/<name>/tags/list',
      'GET /api/v1/repositories/<name>',
    ]) {
      const [first, ...others] = await Promise.all(
        names.map(async (name) =>
          JSON.stringify(lookOf(await send(registry, line.replace('<name>', name), { authorization }))).replaceAll(name, '<name>'),
        ),
      )
      assert.match(first ?? '', /"status":40[13]/)
      for (const other of others) assert.equal(other, first, line)
    }
  }
})
