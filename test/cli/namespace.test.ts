/** `lanyard namespace` and `lanyard team`, on the data folder and on the running registry: what they print, what they ask for, what they refuse. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { basic, Client } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

const places = ['local', 'remote'] as const
type Place = (typeof places)[number]

/** A folder with the accounts admin, alice and bob, beside a server that runs; commands work on either, in the second as admin. */
async function setStage(t: Cleanup, place: Place): Promise<{ lanyard: CommandLine; registry: TestRegistry }> {
  const data = temporaryFolder(t)
  const registry = await startRegistry(t, { data })
  for (const name of ['alice', 'bob']) await registry.addUser(name)
  return { lanyard: place === 'local' ? commandLine(data) : signedIn(registry, 'admin'), registry }
}

/** Commands that know no folder, in an account's name. */
function signedIn(registry: TestRegistry, account: string): CommandLine {
  const remote = commandLine(undefined)
  const flags = ` --server ${registry.url} --user ${account}`
  return {
    does: (args) => remote.does(`${args}${flags}`, `${adminPassword}\n`),
    refuses: (args) => remote.refuses(`${args}${flags}`, `${adminPassword}\n`),
  }
}

/** A table without its times, cells parted by one space. */
const withoutTimes = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.replaceAll(/\d{4}-\d\d-\d\dT\S+Z/g, 'TIME').replaceAll(/ +/g, ' '))

for (const place of places) {
  suite(`lanyard namespace, ${place}`, () => {
    const by = place === 'local' ? null : 'admin'

    test('creates, lists and shows', async (t) => {
      const { lanyard, registry } = await setStage(t, place)
      assert.equal(
        await lanyard.does('namespace create team --owner alice --description ours'),
        'the namespace "team" was created, "alice" owns it\n',
      )
      assert.equal(await lanyard.does('namespace create open --visibility public --yes'), 'the namespace "open" was created\n')
      assert.deepEqual(withoutTimes(await lanyard.does('namespace list')), [
        'NAME NEW REPOSITORIES CREATED DESCRIPTION',
        'admin default TIME',
        'alice default TIME',
        'bob default TIME',
        'open public TIME',
        'team default TIME ours',
      ])
      await new Client(registry, basic('alice')).pushBlob('team/app', 'a layer')
      assert.deepEqual(withoutTimes(await lanyard.does('namespace show team')), [
        'name team',
        'description ours',
        'new repositories default',
        'created TIME',
        'owners alice',
        'repositories 1',
        'members 1',
        'exceptions 0',
        'robots 0',
        'bytes 7',
        'blobs 1',
        'manifests 0',
        'shared bytes 0',
        'freed if deleted 7',
      ])
      const sharing = { uniqueBlobs: 0, uniqueBytes: 0, sharedBytes: 0 }
      const nothing = { bytes: 0, blobs: 0, manifests: 0, manifestBytes: 0, sharing }
      const { createdAt, ...shown } = JSON.parse(await lanyard.does('namespace show open --json')) as Record<string, unknown>
      assert.match(String(createdAt), /Z$/)
      assert.deepEqual(shown, {
        name: 'open',
        description: '',
        visibility: 'public',
        createdBy: by,
        owners: [],
        content: { repositories: 0, members: 0, exceptions: 0, robots: 0, usage: nothing },
      })
      const listed = JSON.parse(await lanyard.does('namespace list --json')) as { name: string }[]
      assert.deepEqual(
        listed.map(({ name }) => name),
        ['admin', 'alice', 'bob', 'open', 'team'],
      )
    })

    test('grants, lists and revokes roles, which act on the next request of a running server', async (t) => {
      const { lanyard, registry } = await setStage(t, place)
      await lanyard.does('namespace create team')
      await lanyard.does('team create crew')
      const bob = new Client(registry, basic('bob'))
      const pushes = async (name = 'team/app') => (await bob.call('POST', `/v2/${name}/blobs/uploads/`)).status
      assert.equal(await pushes(), 403)
      assert.equal(await lanyard.does('namespace grant team writer bob'), '"bob" is writer in team now\n')
      assert.equal(await pushes(), 202)
      assert.equal(await lanyard.does('namespace grant team/secret none bob'), '"bob" is nothing in team/secret now\n')
      assert.deepEqual([await pushes('team/secret'), await pushes('team/web')], [403, 202])
      assert.equal(await lanyard.does('namespace grant team owner crew --team'), 'the team "crew" is owner in team now\n')
      assert.deepEqual(withoutTimes(await lanyard.does('namespace members team')), [
        'MEMBER KIND ROLE IN SINCE BY',
        `bob account writer team/ TIME ${by ?? 'the command line'}`,
        `crew team owner team/ TIME ${by ?? 'the command line'}`,
        `bob account none team/secret TIME ${by ?? 'the command line'}`,
      ])
      const members = JSON.parse(await lanyard.does('namespace members team --json')) as Record<string, unknown>[]
      assert.deepEqual(
        { ...members[2], grantedAt: '' },
        { account: 'bob', team: null, role: 'none', repository: 'team/secret', grantedAt: '', grantedBy: by },
      )
      assert.equal(await lanyard.does('namespace revoke team bob'), '"bob" has no role of its own in team any more\n')
      assert.equal(await pushes(), 403)
      assert.equal(await lanyard.refuses('namespace revoke team bob'), '"bob" has no role of its own in team')
      assert.equal(
        await lanyard.refuses('namespace grant team chief bob'),
        'a role is one of reader, writer, maintainer, owner, or none to take a repository away, not "chief"',
      )
      assert.match(await lanyard.refuses('namespace grant team none bob'), /^the role "none" takes away/)
      assert.equal(await lanyard.refuses('namespace grant team reader carol'), 'there is no account "carol"')
    })

    test('renames and removes after showing what that affects, and only if told to go on', async (t) => {
      const { lanyard, registry } = await setStage(t, place)
      await lanyard.does('namespace create team --owner alice')
      await new Client(registry, basic('alice')).pushBlob('team/app', 'a layer')
      const held = '1 repository (0 manifests, 7 bytes), 1 role, 0 robots'
      assert.equal(
        await lanyard.refuses('namespace rename team crew'),
        `"team" becomes "crew" with ${held}; who uses the old names, tokens that name them included, has to change: add --yes if that is what you want`,
      )
      assert.equal(await lanyard.does('namespace rename team crew --yes'), '"team" is "crew" now, with 1 repository\n')
      assert.equal((await new Client(registry, basic('alice')).call('POST', '/v2/crew/app/blobs/uploads/')).status, 202)
      assert.equal(await lanyard.refuses('namespace remove crew --yes'), `"crew" holds ${held}: add --with-repositories to remove them too`)
      assert.match(await lanyard.refuses('namespace remove crew --with-repositories'), /: add --yes if that is what you want$/)
      assert.equal(await lanyard.does('namespace remove crew --with-repositories --yes'), `"crew" was removed with ${held}\n`)
      assert.equal(await lanyard.refuses('namespace show crew'), 'there is no namespace "crew"')
      assert.match(await lanyard.refuses('namespace remove bob --yes'), /^"bob" is the namespace of the account of that name/)
    })

    test('makes new repositories public only if that is confirmed', async (t) => {
      const { lanyard } = await setStage(t, place)
      const asked = 'anyone who reaches the registry may then pull from new repositories of "bob": add --yes if that is what you want'
      assert.equal(await lanyard.refuses('namespace visibility bob public'), asked)
      assert.equal(await lanyard.refuses('namespace create fresh --visibility public'), asked.replace('bob', 'fresh'))
      const said = (what: string) => `new repositories of "bob" are ${what}; those that exist stay as they are\n`
      assert.equal(await lanyard.does('namespace visibility bob public --yes'), said('public'))
      assert.equal(await lanyard.does('namespace visibility bob internal'), said('internal'))
      assert.equal(await lanyard.does('namespace visibility bob default'), said('what the setting repositories.visibility says'))
      assert.equal(
        await lanyard.refuses('namespace visibility bob secret'),
        'a visibility is one of private, internal, public, not "secret"',
      )
    })
  })

  test(`lanyard team, ${place}, makes teams and says who is in them`, async (t) => {
    const { lanyard } = await setStage(t, place)
    assert.equal(await lanyard.does('team create crew --description hands'), 'the team "crew" was created\n')
    assert.equal(await lanyard.refuses('team create crew'), 'there is a team "crew" already')
    assert.equal(await lanyard.does('team add crew alice --manager'), '"alice" is a manager of the team "crew" now\n')
    assert.equal(await lanyard.does('team add crew bob'), '"bob" is a member of the team "crew" now\n')
    await lanyard.does('namespace grant admin reader crew --team')
    assert.deepEqual(withoutTimes(await lanyard.does('team list')), ['NAME CREATED DESCRIPTION', 'crew TIME hands'])
    assert.deepEqual(withoutTimes(await lanyard.does('team show crew')), [
      'MEMBER MANAGER SINCE',
      'alice yes TIME',
      'bob no TIME',
      '',
      'ROLE IN',
      'reader admin/',
    ])
    const { members, roles } = JSON.parse(await lanyard.does('team show crew --json')) as Record<string, Record<string, unknown>[]>
    assert.deepEqual(
      [members?.map(({ account, manager }) => [account, manager]), roles],
      [
        [
          ['alice', true],
          ['bob', false],
        ],
        [{ namespace: 'admin', repository: null, role: 'reader' }],
      ],
    )
    assert.equal(await lanyard.does('team drop crew bob'), '"bob" is not in the team "crew" any more\n')
    assert.equal(await lanyard.refuses('team drop crew bob'), '"bob" is not in the team "crew"')
    assert.equal(await lanyard.does('team remove crew'), 'the team "crew" was removed\n')
    assert.equal(await lanyard.does('team list --json'), '[]\n')
    assert.equal(await lanyard.refuses('team show crew'), 'there is no team "crew"')
  })
}

test('who owns a namespace manages it from afar, and who manages a team changes its members; others are told that there is neither', async (t) => {
  const { registry } = await setStage(t, 'remote')
  const [admin, alice, bob] = ['admin', 'alice', 'bob'].map((account) => signedIn(registry, account)) as [
    CommandLine,
    CommandLine,
    CommandLine,
  ]
  await admin.does('namespace create team --owner alice')
  await admin.does('team create crew')
  await admin.does('team add crew alice --manager')
  assert.equal(await bob.refuses('namespace show team'), 'there is no namespace "team"')
  assert.equal(await bob.refuses('team show crew'), 'there is no team "crew"')
  assert.equal(await bob.does('team list --json'), '[]\n')
  assert.equal(await alice.does('team add crew bob'), '"bob" is a member of the team "crew" now\n')
  assert.equal(await alice.does('namespace grant team reader crew --team'), 'the team "crew" is reader in team now\n')
  assert.equal(await alice.does('namespace grant team/secret none bob'), '"bob" is nothing in team/secret now\n')
  assert.deepEqual(withoutTimes(await bob.does('namespace list')), [
    'NAME NEW REPOSITORIES CREATED DESCRIPTION',
    'bob default TIME',
    'team default TIME',
  ])
  assert.deepEqual(withoutTimes(await bob.does('namespace show team')), [
    'name team',
    'description',
    'new repositories default',
    'created TIME',
    'owners alice',
  ])
  assert.deepEqual(withoutTimes(await bob.does('namespace members team')), [
    'MEMBER KIND ROLE IN SINCE BY',
    'alice account owner team/ TIME admin',
    'crew team reader team/ TIME alice',
  ])
  assert.match(
    await bob.refuses('namespace grant team owner bob'),
    /^account "bob" may not manage the namespace team.* ask alice or an administrator/,
  )
  assert.match(await bob.refuses('team add crew bob --manager'), /^account "bob" may not change the members of the team crew/)
  assert.match(await bob.refuses('namespace create mine'), /^account "bob" may not create namespaces/)
})
