/** `lanyard user`, `token` and `robot`: the same on the data folder and on a running registry, there also on one's own account. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { basic, Client } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'

const secretIn = (text: string): string => /ly[pr]_[0-9A-Za-z]{49}/.exec(text)?.[0] ?? assert.fail(`no secret in ${text}`)
const places = ['local', 'remote'] as const

suite('user, token and robot', () => {
  const ends: (() => unknown)[] = []
  let registry: TestRegistry
  let adminToken: string

  before(async () => {
    registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) })
    adminToken = secretIn(await commandLine(registry.data).does('token create admin all --delete * --push * --admin'))
  })
  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  /** Commands in a place; from afar signed in with a token of the administrator. */
  const at = (place: (typeof places)[number]): CommandLine => (place === 'local' ? commandLine(registry.data) : from(adminToken))
  const from = (token: string): CommandLine => {
    const far = commandLine(undefined, { TOKEN: token })
    const server = ` --server ${registry.url}`
    return { does: (args, input) => far.does(args + server, input), refuses: (args, input) => far.refuses(args + server, input) }
  }
  const statusOf = async (user: string, password: string, path = '/v2/') =>
    (await new Client(registry, basic(user, password)).call('GET', path)).status

  for (const place of places) {
    test(`${place}: an account is made, shown, changed and removed`, async () => {
      const lanyard = at(place)
      const name = `${place}-alice`
      assert.equal(await lanyard.does(`user add ${name} --password-stdin`, 'correct horse battery'), `account "${name}" was created\n`)
      assert.equal(
        await lanyard.refuses(`user add ${name} --password-stdin`, 'correct horse battery'),
        `there is an account "${name}" already`,
      )
      assert.match(await lanyard.does(`user list --filter ${name}`), new RegExp(`\n${name} +user +enabled +no +\\S+Z\n$`))
      assert.equal(
        await lanyard.does(`user passwd ${name} --password-stdin`, 'several odd words'),
        `the password of "${name}" was changed\n`,
      )
      assert.deepEqual([await statusOf(name, 'correct horse battery'), await statusOf(name, 'several odd words')], [401, 200])
      assert.equal(await lanyard.does(`user disable ${name}`), `"${name}" is disabled\n`)
      assert.equal(await statusOf(name, 'several odd words'), 401)
      assert.equal(await lanyard.does(`user enable ${name}`), `"${name}" is enabled\n`)
      assert.equal(await lanyard.does(`user role ${name} admin`), `"${name}" is an administrator now\n`)
      assert.deepEqual((JSON.parse(await lanyard.does(`user show ${name} --json`)) as { role: string }).role, 'admin')
      assert.equal(await lanyard.does(`user second-factor ${name}`), `"${name}" has no second factor\n`)
      assert.equal(await lanyard.refuses(`user second-factor ${name} --disable`), `"${name}" has no second factor`)
      assert.equal(await lanyard.does(`user sessions ${name}`), 'ID  SIGNED IN  LAST SEEN  ADDRESS  BROWSER\n')
      assert.equal(await lanyard.does(`user sessions ${name} --end`), `sessions of "${name}" that were ended: 0\n`)
      assert.match(await lanyard.does(`user remove ${name}`), new RegExp(`^"${name}" was removed; `))
      assert.equal(await lanyard.refuses(`user show ${name}`), `there is no account "${name}"`)
    })

    test(`${place}: an access token of another is made, shown, changed, rotated and revoked`, async () => {
      const lanyard = at(place)
      const name = `${place}-bob`
      await registry.addUser(name)
      const first = secretIn(await lanyard.does(`token create ${name} ci --pull ${name}/*`))
      assert.equal(await statusOf(name, first), 200)
      assert.match(await lanyard.does(`token show ${name} ci`), new RegExp(`\nci +${first.slice(-4)} +pull on ${name}/\\* +active `))
      assert.match(await lanyard.does(`token change ${name} ci --push ${name}/app`), new RegExp(` pull and push on ${name}/app +active `))
      const made = JSON.parse(await lanyard.does(`token rotate ${name} ci --overlap 1h --expires never --json`)) as Record<string, unknown>
      assert.deepEqual([made['account'], made['name'], made['expiresAt']], [name, 'ci', null])
      assert.deepEqual([await statusOf(name, first), await statusOf(name, String(made['secret']))], [200, 200])
      assert.equal((await lanyard.does(`token list ${name}`)).trimEnd().split('\n').length, 3)
      assert.equal(await lanyard.does(`token revoke ${name} ci`), `the access token "ci" of ${name} is revoked\n`)
      assert.equal(
        await lanyard.does('token revoke --secret-stdin', first),
        `the access token "ci~${idIn(await lanyard.does(`token list ${name}`))}" of ${name} is revoked\n`,
      )
      assert.deepEqual([await statusOf(name, first), await statusOf(name, String(made['secret']))], [401, 401])
    })

    test(`${place}: a robot is made, shown, changed, rotated, disabled and removed`, async () => {
      const lanyard = at(place)
      const name = `${place}-carol`
      await registry.addUser(name)
      const said = await lanyard.does(`robot create ${name} ci --pull ${name}/* --description builds`)
      const first = secretIn(said)
      assert.match(said, new RegExp(`^registry {2}${place === 'local' ? 'localhost:0' : registry.host}\nusername {2}${name}\\.ci\n`))
      assert.match(
        await lanyard.does(`robot show ${name} ci`),
        /\nDESCRIPTION +builds\nROBOT +enabled\nCREATED +\S+Z.*\n\nTOKEN +ENDS IN +COVERS /,
      )
      assert.match(await lanyard.does(`robot change ${name} ci --push ${name}/app`), new RegExp(` pull and push on ${name}/app +active `))
      const changed = JSON.parse(await lanyard.does(`robot change ${name} ci --description tests --json`)) as Record<string, unknown>
      assert.deepEqual([changed['description'], changed['createdBy']], ['tests', place === 'local' ? null : 'admin'])
      const config = JSON.parse(await lanyard.does(`robot rotate ${name} ci --output docker-config`)) as { auths: object }
      assert.deepEqual(Object.keys(config.auths), [place === 'local' ? 'localhost:0' : registry.host])
      assert.equal(await statusOf(`${name}.ci`, first), 401)
      assert.equal(await lanyard.does(`robot disable ${name} ci`), `the robot "ci" of ${name} is disabled\n`)
      assert.match(await lanyard.does(`robot list ${name}`), new RegExp(`\nci +${name}\\.ci +disabled +pull and push on `))
      assert.equal(await lanyard.does(`robot enable ${name} ci`), `the robot "ci" of ${name} is enabled\n`)
      assert.match(await lanyard.does(`robot remove ${name} ci`), /was removed; what it pushed stays\n$/)
      assert.equal(await lanyard.does(`robot list ${name} --json`), '[]\n')
    })
  }

  test('without an account, a token is that of whoever asks', async () => {
    await registry.addUser('dave')
    const far = commandLine(undefined)
    const signIn = ` --server ${registry.url} --user dave`
    const said = await far.does(`token create mine --pull dave/* --admin${signIn}`, adminPassword)
    assert.match(said, /\n\nThis is the access token "mine" of dave: it covers pull on dave\/\* and admin on \* until /)
    const mine = from(secretIn(said))
    assert.match(await mine.does('token list'), /^NAME +ENDS IN .*\nmine /)
    assert.match(await mine.does('token show mine'), /\nmine /)
    assert.equal(await mine.does('token list dave --json'), await mine.does('token list --json'))
    assert.match(
      await mine.refuses('token create more --push dave/*'),
      /^the access token "mine" covers .*, and gives out none for pull and push on dave\/\*: sign in with the password$/,
    )
    assert.match(
      await mine.refuses('token list admin'),
      /^account "dave" may not see or change the account admin: ask an administrator for it$/,
    )
    const next = from(secretIn(await mine.does('token rotate mine')))
    assert.match(await mine.refuses('token list'), /^incorrect username or password$|^the token is expired or not valid/)
    assert.equal(await next.does('token revoke mine'), 'the access token "mine" of dave is revoked\n')
    assert.match(await commandLine(undefined).refuses(`token list --server ${registry.url}`), /^authentication required/)
  })

  test('standard input holds one secret: a password to sign in with and another are not both read from it', async () => {
    const signIn = `--server ${registry.url} --user admin`
    for (const command of ['user add erin --password-stdin', 'user passwd erin --password-stdin', 'token revoke --secret-stdin'])
      assert.equal(
        await commandLine(undefined).refuses(`${command} ${signIn}`, adminPassword),
        'standard input holds one secret, not the password of --user beside it: sign in with LANYARD_TOKEN',
      )
  })
})

const idIn = (list: string): string => /~(\d+)/.exec(list)?.[1] ?? assert.fail(list)
