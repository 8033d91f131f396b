/** `lanyard repo` and `lanyard keys` without a server. */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { listSigningKeys } from '../../auth/signing-keys.ts'
import { Client } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { startRegistry } from '../support/start-registry.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

/** A folder that a server has left, with these repositories in it. */
async function folderWith(t: Cleanup, repositories: readonly string[]): Promise<{ lanyard: CommandLine; data: string }> {
  const data = temporaryFolder(t)
  const registry = await startRegistry(t, { data })
  for (const repository of repositories) await new Client(registry).pushBlob(repository, 'content')
  await registry.close()
  return { lanyard: commandLine(data), data }
}

test('repositories are listed by name with who may see them', async (t) => {
  const { lanyard } = await folderWith(t, ['b/two', 'a/one', 'a/one/deep'])
  const lines = (await lanyard.does('repo list')).split('\n')
  assert.deepEqual(
    lines.map((line) => line.split(/ +/).slice(0, 2)),
    [['NAME', 'VISIBILITY'], ['a/one', 'private'], ['a/one/deep', 'private'], ['b/two', 'private'], ['']],
  )
  assert.equal(await lanyard.does('repo visibility a/one internal'), 'a/one is internal now\n')
  const rows = JSON.parse(await lanyard.does('repository list --json')) as { name: string; visibility: string }[]
  assert.deepEqual(
    rows.map(({ name, visibility }) => `${name} ${visibility}`),
    ['a/one internal', 'a/one/deep private', 'b/two private'],
  )
})

test('a list of nothing is an empty table, or an empty array', async (t) => {
  const { lanyard } = await folderWith(t, [])
  assert.equal(await lanyard.does('repo list'), 'NAME  VISIBILITY  CREATED\n')
  assert.equal(await lanyard.does('repo list --json'), '[]\n')
})

test('a repository that is not there, a name that is none and a visibility that is none are refused', async (t) => {
  const { lanyard } = await folderWith(t, ['a/one'])
  const refusals = await Promise.all([
    lanyard.refuses('repo visibility a/two public --yes'),
    lanyard.refuses('repo visibility A/one public'),
    lanyard.refuses('repo visibility a/one secret'),
    lanyard.refuses('repo visibility a/one public'),
  ])
  assert.deepEqual(refusals, [
    'there is no repository a/two: it comes to be with the first push',
    'the repository name is not valid: use lower-case letters and digits, separated by one of . _ __ - and /',
    'a visibility is one of private, internal, public, not "secret"',
    'anyone who reaches the registry may then pull a/one: add --yes if that is what you want',
  ])
  assert.match(await lanyard.does('repo list'), /^a\/one +private /m, 'nothing is public that nobody confirmed')
})

test('keys are rotated and revoked without a server; there is always one, for the user alone', async (t) => {
  const { lanyard, data } = await folderWith(t, [])
  const kids = async (): Promise<string[]> => (await listSigningKeys(join(data, 'keys'))).map(({ kid }) => kid)
  const [first = ''] = await kids()
  assert.match(await lanyard.does('keys list'), new RegExp(`^KID +CREATED\n${first} {2}\\d{4}-\\S+Z\n$`))
  await lanyard.does('keys rotate')
  const [second = '', ...rest] = await kids()
  assert.deepEqual(rest, [first])
  await lanyard.does(`keys revoke ${first}`)
  await lanyard.does(`keys revoke ${second}`)
  const [third = '', ...none] = await kids()
  assert.ok(third !== '' && ![first, second].includes(third))
  assert.deepEqual(none, [])
  assert.equal(await lanyard.refuses(`keys revoke ${second}`), `there is no key ${second}: see "lanyard keys list"`)
  for (const file of readdirSync(join(data, 'keys'))) assert.equal(statSync(join(data, 'keys', file)).mode & 0o077, 0)
})
