/** Commands beside a running server: every change acts on the next request, tokens that were issued before included (invariant I8). */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { basic, Client, expectStatus } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { startServer, type LanyardServer } from '../support/spawn-lanyard.ts'

const password = 'correct horse battery'
const stdin = '--password-stdin'

suite('beside a running server', () => {
  const ends: (() => unknown)[] = []
  let server: LanyardServer
  let lanyard: CommandLine
  before(async () => {
    server = await startServer({ after: (end) => void ends.push(end as () => unknown) }, { settings: { WORKERS: '2' } })
    lanyard = commandLine(server.data)
  })
  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  const statusFor = async (authorization: string, path = '/v2/'): Promise<number> =>
    (await new Client(server, authorization).call('GET', path)).status

  async function tokenFor(name: string, scope = ''): Promise<string> {
    const answer = await expectStatus(await new Client(server, basic(name, password)).call('GET', `/token?service=lanyard${scope}`), 200)
    return `Bearer ${(JSON.parse(answer.bytes.toString('utf8')) as { token: string }).token}`
  }

  test('a new account can log in at once', async () => {
    assert.equal(await statusFor(basic('alice', password)), 401)
    await lanyard.does(`user add alice ${stdin}`, password)
    assert.equal(await statusFor(basic('alice', password)), 200)
  })

  test('a disabled account is refused on its next request, by password and by a token from before, and comes back when enabled', async () => {
    await lanyard.does(`user add bob ${stdin}`, password)
    const token = await tokenFor('bob')
    assert.deepEqual([await statusFor(basic('bob', password)), await statusFor(token)], [200, 200])
    await lanyard.does('user disable bob')
    assert.deepEqual([await statusFor(basic('bob', password)), await statusFor(token)], [401, 401])
    await lanyard.does('user enable bob')
    assert.equal(await statusFor(basic('bob', password)), 200)
    assert.equal(await statusFor(token), 401, 'what was issued before stays void')
    assert.equal(await statusFor(await tokenFor('bob')), 200)
  })

  test('a new password ends the old one and what was issued for it', async () => {
    await lanyard.does(`user add carol ${stdin}`, password)
    const token = await tokenFor('carol')
    assert.equal(await lanyard.does(`user passwd carol ${stdin}`, 'another password'), 'the password of "carol" was changed\n')
    assert.deepEqual(
      [await statusFor(basic('carol', password)), await statusFor(token), await statusFor(basic('carol', 'another password'))],
      [401, 401, 200],
    )
  })

  test('a role counts from the next request on', async () => {
    await lanyard.does(`user add dave ${stdin}`, password)
    assert.equal(await statusFor(basic('dave', password), '/metrics'), 403)
    await lanyard.does('user role dave admin')
    assert.equal(await statusFor(basic('dave', password), '/metrics'), 200)
    await lanyard.does('user role dave user')
    assert.equal(await statusFor(basic('dave', password), '/metrics'), 403)
  })

  test('a removed account is gone with its tokens and its open uploads; its repositories stay', async () => {
    await lanyard.does(`user add erin ${stdin}`, password)
    const erin = new Client(server, basic('erin', password))
    await erin.pushImage('erin/app', 'latest')
    const upload = await erin.startUpload('erin/app')
    const token = await tokenFor('erin')
    await lanyard.does('user remove erin')
    assert.deepEqual([await statusFor(basic('erin', password)), await statusFor(token)], [401, 401])
    const admin = new Client(server)
    await expectStatus(await admin.call('GET', '/v2/erin/app/manifests/latest'), 200)
    await expectStatus(await admin.call('GET', upload), 404)
  })

  test('the last administrator cannot be taken from a running server either', async () => {
    const sentence = 'this is the last enabled administrator: make another account one first'
    assert.equal(await lanyard.refuses('user disable admin'), sentence)
    assert.equal(await statusFor(basic('admin')), 200)
  })

  test('visibility counts from the next request on, and the list of repositories tells it', async () => {
    await new Client(server).pushImage('admin/app', 'latest')
    const path = '/v2/admin/app/manifests/latest'
    // Even for a public repository the first answer is a challenge: the token that it leads to says what anyone may do.
    const anyone = async (): Promise<number> => {
      const answer = await new Client(server, '').call('GET', '/token?service=lanyard&scope=repository:admin/app:pull')
      return statusFor(`Bearer ${(JSON.parse(answer.bytes.toString('utf8')) as { token: string }).token}`, path)
    }
    assert.equal(await anyone(), 401)
    assert.equal(await lanyard.does('repo visibility admin/app public --yes'), 'admin/app is public now\n')
    assert.equal(await anyone(), 200)
    const list = JSON.parse(await lanyard.does('repo list --json')) as { name: string; visibility: string }[]
    assert.deepEqual(
      list.filter(({ name }) => name === 'admin/app').map(({ visibility }) => visibility),
      ['public'],
    )
    assert.equal(await lanyard.does('repo visibility admin/app private'), 'admin/app is private now\n')
    assert.equal(await anyone(), 401)
  })

  test('after a rotation old tokens are valid and new ones come from the new key; after a revocation the old ones end', async () => {
    const kidOf = (token: string): string =>
      (JSON.parse(Buffer.from(token.split(/[ .]/)[1] ?? '', 'base64url').toString()) as { kid: string }).kid
    const old = await tokenFor('admin')
    assert.match(await lanyard.does('keys list'), new RegExp(`^KID +CREATED\n${kidOf(old)} +\\S+\n$`))
    const [, rotated = ''] = /^new tokens are signed with (\S+)\n$/.exec(await lanyard.does('keys rotate')) ?? []
    const isSigning = async (): Promise<boolean> => kidOf(await tokenFor('admin')) === rotated
    await eventually(isSigning, 'the new key to sign')
    await eventually(isSigning, 'the new key to sign in the other worker')
    assert.equal(await statusFor(old), 200)
    const kids = (await lanyard.does('keys list'))
      .split('\n')
      .slice(1, -1)
      .map((line) => line.split(' ')[0])
    assert.deepEqual(kids, [rotated, kidOf(old)], 'the newest first')

    assert.equal(await lanyard.does(`keys revoke ${kidOf(old)}`), `${kidOf(old)} is gone: what it signed is refused from now on\n`)
    await eventually(async () => (await statusFor(old)) === 401, 'its tokens to be refused')
    const current = await tokenFor('admin')
    await lanyard.does(`keys revoke ${rotated}`)
    await eventually(async () => (await statusFor(current)) === 401, 'the last key to be replaced')
    await eventually(async () => (await statusFor(await tokenFor('admin'))) === 200, 'both workers to know the new key')
    assert.equal(await lanyard.refuses(`keys revoke ${rotated}`), `there is no key ${rotated}: see "lanyard keys list"`)
  })
})
