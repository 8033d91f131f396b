/** `lanyard token` and `lanyard robot`, beside a server that runs: what they print signs in, and what they end does not. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { basic, Client } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

/** A server with alice and with alice/app, private; and commands on its folder. */
async function setStage(t: TestContext): Promise<{ registry: TestRegistry; lanyard: CommandLine }> {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  await new Client(registry, basic('alice')).pushImage('alice/app', 'v1')
  return { registry, lanyard: commandLine(registry.data) }
}

async function pull(registry: TestRegistry, user: string, secret: string): Promise<number> {
  return (await new Client(registry, basic(user, secret)).call('GET', '/v2/alice/app/manifests/v1')).status
}

const secretIn = (text: string): string => /ly[pr]_[0-9A-Za-z]{49}/.exec(text)?.[0] ?? assert.fail(`no secret in ${text}`)
const hour = /\d{4}-\d\d-\d\dT[\d:.]+Z/

interface Printed {
  readonly account: string
  readonly username: string
  readonly registry: string
  readonly name: string
  readonly secret: string
  readonly status: string
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly disabled: boolean
  readonly lastUsedFrom: string | null
  readonly scopes: readonly object[]
  readonly tokens: readonly Printed[]
}

const parse = (text: string): Printed => JSON.parse(text) as Printed
const parseList = (text: string): Printed[] => JSON.parse(text) as Printed[]

test('a token is created, works, is listed with its last use, rotated and revoked', async (t) => {
  const { registry, lanyard } = await setStage(t)
  const said = await lanyard.does('token create alice ci --pull alice/* --expires 12h')
  const secret = secretIn(said)
  assert.match(
    said,
    /^lyp_\w{49}\n\nThis is the access token "ci" of alice: it covers pull on alice\/\* until \S+Z; the secret is shown only this once\.\n$/,
  )
  assert.equal(said.split(secret).length, 2, 'once')
  assert.equal(await pull(registry, 'alice', secret), 200)
  const rotated = parse(await lanyard.does('token rotate alice ci --overlap 1h --json'))
  assert.deepEqual([await pull(registry, 'alice', secret), await pull(registry, 'alice', rotated.secret)], [200, 200])
  await registry.services.registry.writing.whenIdle()
  const list = await lanyard.does('token list alice')
  const [head, first, second] = list.split('\n')
  assert.match(head ?? '', /^NAME {2,}ENDS IN {2}COVERS {2,}STATUS {2}EXPIRES {2,}LAST USED$/)
  assert.match(
    first ?? '',
    new RegExp(
      `^ci {2,}${rotated.secret.slice(-4)} +pull on alice/\\* {2}active {2}${hour.source} {2}${hour.source} from 127\\.0\\.0\\.1$`,
    ),
  )
  assert.match(second ?? '', new RegExp(`^ci~\\d+ +${secret.slice(-4)} `))
  assert.ok(!list.includes(secret.slice(0, -6)))
  assert.equal(await lanyard.does('token revoke alice ci'), 'the access token "ci" of alice is revoked\n')
  assert.deepEqual([await pull(registry, 'alice', secret), await pull(registry, 'alice', rotated.secret)], [200, 401])
})

test('a token is JSON for scripts, and may live for ever', async (t) => {
  const { lanyard } = await setStage(t)
  const made = parse(await lanyard.does('token create alice all --pull a/b --push alice/* --delete alice/* --admin --expires never --json'))
  assert.deepEqual([made.account, made.name, made.expiresAt, made.status], ['alice', 'all', null, 'active'])
  assert.deepEqual(made.scopes, [
    { actions: ['pull'], repositories: 'a/b' },
    { actions: ['pull', 'push', 'delete'], repositories: 'alice/*' },
    { actions: ['admin'], repositories: '*' },
  ])
  const [listed] = parseList(await lanyard.does('token list alice --json'))
  const { secret: _secret, account: _account, ...facts } = made
  assert.deepEqual(listed, facts)
})

test('a token lives for ninety days unless said otherwise', async (t) => {
  const { lanyard } = await setStage(t)
  const { createdAt, expiresAt } = parse(await lanyard.does('token create alice ci --pull alice/* --json'))
  assert.equal(Date.parse(expiresAt ?? '') - Date.parse(createdAt), 90 * 86_400_000)
})

test('a token that leaked is revoked by its secret; a mistyped one is told apart', async (t) => {
  const { registry, lanyard } = await setStage(t)
  const secret = secretIn(await lanyard.does('token create alice ci --pull alice/*'))
  const mistyped = secret.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
  assert.equal(
    await lanyard.refuses('token revoke --secret-stdin', mistyped),
    'this access token is mistyped: a character was changed, so copy it again',
  )
  assert.equal(await pull(registry, 'alice', secret), 200)
  assert.equal(await lanyard.does('token revoke --secret-stdin', `${secret}\n`), 'the access token "ci" of alice is revoked\n')
  assert.equal(await pull(registry, 'alice', secret), 401)
})

const wrong: readonly (readonly [args: string, said: RegExp])[] = [
  ['token create alice ci', /^say what the token is for: --pull, --push or --delete with repositories/],
  ['token create alice ci --pull a**', /^a pattern is the name of a repository/],
  ['token create alice ci --pull alice/* --expires soon', /^a time is minutes, hours or days/],
  ['token create bob ci --pull bob/*', /^there is no account "bob"$/],
  ['token create alice a/b --pull alice/*', /^the name of a token has 1 to 64/],
  ['token list bob', /^there is no account "bob"$/],
  ['token create ci --pull alice/*', /^name the account and its token$/],
  ['token show ci', /^name the account and its token$/],
  ['token change alice ci', /^say what the token is for: --pull/],
  ['token change alice ci --pull alice/*', /^alice has no access token "ci"$/],
  ['token list', /^name the account: only a server knows which is yours$/],
  ['robot change alice ci', /^say what to change: --pull, --push, --delete or --description$/],
  ['robot change alice ci --description x', /^alice has no robot "ci"$/],
  ['robot show alice ci', /^alice has no robot "ci"$/],
  ['robot remove alice ci', /^alice has no robot "ci"$/],
  ['token revoke', /^name the account and its token, or use --secret-stdin alone$/],
  ['token revoke alice', /^name the account and its token, or use --secret-stdin alone$/],
  ['token revoke alice ci --secret-stdin', /^name the account and its token, or use --secret-stdin alone$/],
  ['token revoke alice ci', /^alice has no access token "ci"$/],
  ['token rotate alice ci --overlap 1x', /^a time is minutes, hours or days/],
  ['robot create nobody ci --pull nobody/*', /^there is no namespace "nobody"$/],
  ['robot create alice c.i --pull alice/*', /^the name of a robot has no dot/],
  ['robot create alice ci --push bob/*', /^a robot of alice pushes and deletes in alice\/ alone/],
  ['robot disable alice ci', /^alice has no robot "ci"$/],
  ['robot rotate alice ci', /^alice has no robot "ci"$/],
  ['robot list nobody', /^there is no namespace "nobody"$/],
]

test('wrong use is one sentence that says what to do', async (t) => {
  const { lanyard } = await setStage(t)
  for (const [args, said] of wrong) assert.match(await lanyard.refuses(args), said, args)
})

test('a robot is created, works, is listed, disabled, enabled, rotated and removed', async (t) => {
  const { registry, lanyard } = await setStage(t)
  const said = await lanyard.does('robot create alice ci --pull alice/app* --description builds --registry registry.lan:5000')
  const secret = secretIn(said)
  assert.match(
    said,
    /^registry {2}registry\.lan:5000\nusername {2}alice\.ci\npassword {2}lyr_\w{49}\n\ndocker login registry\.lan:5000 --username alice\.ci --password-stdin\n\nThis is the robot alice\.ci: /,
  )
  assert.equal(said.split(secret).length, 2, 'once')
  assert.equal(await pull(registry, 'alice.ci', secret), 200)
  assert.match(
    await lanyard.does('robot list alice'),
    /^NAME {2}SIGNS IN AS {2}ROBOT {4}COVERS .*\nci {4}alice\.ci {5}enabled {2}pull on alice\/app\* {2}active /,
  )
  assert.equal(await lanyard.does('robot disable alice ci'), 'the robot "ci" of alice is disabled\n')
  assert.equal(await pull(registry, 'alice.ci', secret), 401)
  assert.equal(await lanyard.does('robot enable alice ci'), 'the robot "ci" of alice is enabled\n')
  assert.equal(await pull(registry, 'alice.ci', secret), 200)
  const rotated = parse(await lanyard.does('robot rotate alice ci --json --listen :5000'))
  assert.deepEqual([rotated.username, rotated.registry, rotated.name], ['alice.ci', 'localhost:5000', 'ci'])
  assert.deepEqual([await pull(registry, 'alice.ci', secret), await pull(registry, 'alice.ci', rotated.secret)], [401, 200])
  const again = parse(await lanyard.does('robot rotate alice ci --json --overlap 1d --external-url https://registry.example.com'))
  assert.equal(again.registry, 'registry.example.com')
  const [robot] = parseList(await lanyard.does('robot list alice --json'))
  assert.deepEqual([robot?.name, robot?.username, robot?.disabled, robot?.tokens.length], ['ci', 'alice.ci', false, 2])
  assert.equal(await lanyard.does('robot remove alice ci'), 'the robot "ci" of alice was removed; what it pushed stays\n')
  assert.equal(await pull(registry, 'alice.ci', rotated.secret), 401)
  assert.match(await lanyard.refuses('user passwd alice.ci --password-stdin', 'correct horse battery'), /^there is no account "alice\.ci"$/)
})

test('what is printed for docker signs in as it is', async (t) => {
  const { registry, lanyard } = await setStage(t)
  const text = await lanyard.does(`robot create alice ci --pull alice/app --expires 90d --output docker-config --registry ${registry.host}`)
  const config = JSON.parse(text) as { auths: Record<string, { auth: string }> }
  const authorization = `Basic ${config.auths[registry.host]?.auth}`
  assert.equal((await new Client(registry, authorization).call('GET', '/v2/alice/app/manifests/v1')).status, 200)
  assert.equal((await new Client(registry, authorization).call('POST', '/v2/alice/app/blobs/uploads/')).status, 403)
})

test('robots are not among the accounts of people, and get neither a password nor a role', async (t) => {
  const { lanyard } = await setStage(t)
  await lanyard.does('robot create alice ci --pull alice/*')
  assert.doesNotMatch(await lanyard.does('user list'), /alice\.ci/)
  const said = '"alice.ci" is a robot: it has no password but a token, and administers nothing'
  assert.equal(await lanyard.refuses('user passwd alice.ci --password-stdin', 'correct horse battery'), said)
  assert.equal(await lanyard.refuses('user role alice.ci admin'), said)
  assert.equal(
    await lanyard.refuses('user add alice.other --password-stdin', 'correct horse battery'),
    'names that begin with "alice." are for the robots of alice',
  )
})

test('nothing of what was printed is in the data folder', async (t) => {
  const { registry, lanyard } = await setStage(t)
  const secrets = [
    secretIn(await lanyard.does('robot create alice ci --pull alice/*')),
    secretIn(await lanyard.does('token create alice ci --pull alice/*')),
  ]
  const files = readdirSync(registry.data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const kept = files.map((entry) => readFileSync(join(entry.parentPath, entry.name)))
  assert.ok(kept.some((bytes) => bytes.includes('alice.ci')))
  for (const secret of secrets) assert.ok(!kept.some((bytes) => bytes.includes(secret.slice(4, 24))))
})
