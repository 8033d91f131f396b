/** `lanyard gc`, `lanyard trash` and `lanyard tag restore`: the same on the data folder and on a running registry. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Client, expectStatus } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { blobFilesOf } from '../support/store-contents.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'

suite('gc and trash', () => {
  const ends: (() => unknown)[] = []
  let registry: TestRegistry
  let local: CommandLine
  let remote: CommandLine
  let client: Client

  before(async () => {
    registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) })
    local = commandLine(registry.data)
    remote = commandLine(undefined)
    client = new Client(registry)
  })
  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  const at = (place: 'local' | 'remote') => {
    const signIn = ` --server ${registry.url} --user admin`
    return {
      does: (args: string) => (place === 'local' ? local.does(args) : remote.does(`${args}${signIn}`, `${adminPassword}\n`)),
      refuses: (args: string) => (place === 'local' ? local.refuses(args) : remote.refuses(`${args}${signIn}`, `${adminPassword}\n`)),
    }
  }
  const itemsOf = async (place: 'local' | 'remote', flags: string) =>
    JSON.parse(await at(place).does(`trash list --json ${flags}`)) as { id: number; repository: string; tags: string[] }[]

  for (const place of ['local', 'remote'] as const) {
    test(`${place}: a tag that was overwritten by mistake is what it was, by one command`, async () => {
      const lanyard = at(place)
      const right = await client.pushImage(`${place}/app`, 'latest', ['right'])
      const wrong = await client.pushImage(`${place}/app`, 'latest', ['wrong'])
      assert.equal(await lanyard.does(`tag restore ${place}/app latest`), `${place}/app:latest is ${right.digest} again\n`)
      assert.equal(await lanyard.does(`tag restore ${place}/app latest ${wrong.digest}`), `${place}/app:latest is ${wrong.digest} again\n`)
      await lanyard.does(`tag delete ${place}/app latest --yes`)
      assert.equal(await lanyard.does(`tag restore ${place}/app latest`), `${place}/app:latest is ${wrong.digest} again\n`)
      assert.match(await lanyard.refuses(`tag restore ${place}/app other`), /was nothing else before/)
    })

    test(`${place}: what was deleted is listed, brought back, and purged`, async () => {
      const lanyard = at(place)
      const { digest } = await client.pushImage(`${place}/kept`, 'v1', ['a layer'])
      await expectStatus(await client.call('DELETE', `/v2/${place}/kept/manifests/${digest}`), 202)
      const [manifest] = await itemsOf(place, `--repository ${place}/kept`)
      assert.deepEqual([manifest?.repository, manifest?.tags], [`${place}/kept`, ['v1']])
      assert.match(await lanyard.does('trash list'), new RegExp(`${place}/kept@${digest} +v1`))
      assert.equal(await lanyard.does(`trash restore ${manifest?.id}`), `${place}/kept@${digest} is there again\n`)
      await expectStatus(await client.call('GET', `/v2/${place}/kept/manifests/v1`), 200)
      await lanyard.does(`repo delete ${place}/kept --yes`)
      await expectStatus(await client.call('GET', `/v2/${place}/kept/manifests/v1`), 404)
      const [repository] = await itemsOf(place, `--namespace ${place}`)
      assert.equal(await lanyard.does(`trash restore ${repository?.id}`), `${place}/kept is there again\n`)
      await expectStatus(await client.call('GET', `/v2/${place}/kept/manifests/v1`), 200)
      await lanyard.does(`repo delete ${place}/kept --yes`)
      const [again] = await itemsOf(place, `--namespace ${place}`)
      assert.match(await lanyard.refuses(`trash purge ${again?.id}`), /cannot be restored any more then: add --yes/)
      assert.equal(await lanyard.does(`trash purge ${again?.id} --yes`), `item ${again?.id} is gone\n`)
      assert.match(await lanyard.refuses(`trash restore ${again?.id}`), /nothing of this number in the trash/)
    })
  }

  test('what a dry run says is what goes then, and the status tells of it', async () => {
    const free = { GC_LEASE_HOURS: '0', TRASH_DAYS: '0' }
    const lanyard = commandLine(registry.data, free)
    await lanyard.does('gc run --untagged 0')
    const files = (await blobFilesOf(registry)).length
    const { digest } = await client.pushImage('team/app', 'v1', ['shared', 'own'])
    await client.pushImage('team/app', 'v2', ['shared', 'other'])
    await expectStatus(await client.call('DELETE', `/v2/team/app/manifests/${digest}`), 202)
    await client.pushBlob('team/app', 'nobody references it')
    const expected = /^1 manifests and (\d) blobs would go, \d+ B\n$/
    const said = await lanyard.does('gc --dry-run')
    assert.match(said, expected)
    const blobs = Number(expected.exec(said)?.[1])
    const before = (await blobFilesOf(registry)).length
    assert.ok(before > files && blobs >= 2, 'its layer, its config if that is another, and the blob')
    assert.match(await lanyard.does('gc run'), new RegExp(`^1 manifests and ${blobs} blobs were removed, .* are free again\n$`))
    assert.equal((await blobFilesOf(registry)).length, before - blobs)
    assert.match(await lanyard.does('gc status'), new RegExp(`LAST ROUND +\\S+Z: 1 manifests, ${blobs} blobs, `))
    await expectStatus(await client.call('GET', '/v2/team/app/manifests/v2'), 200)
  })

  test('the rule of a repository is set in words', async () => {
    await client.pushImage('team/ruled', 'v1')
    assert.equal(await local.does('repo untagged team/ruled 30'), 'untagged manifests of team/ruled stay 30 days now\n')
    assert.equal(await local.does('repo untagged team/ruled keep'), 'untagged manifests of team/ruled stay always now\n')
    assert.equal(
      await local.does('repo untagged team/ruled default'),
      'untagged manifests of team/ruled stay as long as the setting says now\n',
    )
    assert.match(await local.refuses('repo untagged team/ruled soon'), /the rule is keep, default, or a number of days/)
  })
})
