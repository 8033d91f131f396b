/** `lanyard user` without a server: accounts come, change and go, and an administrator is always left. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { accountsIn, addAdministrator } from '../support/accounts-in.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { Client, basic } from '../support/client.ts'
import { runLanyard, startServer } from '../support/spawn-lanyard.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

const password = 'correct horse battery'
const stdin = '--password-stdin'

/** A folder with the administrator "root". */
async function preparedFolder(t: Cleanup): Promise<{ lanyard: CommandLine; data: string }> {
  const data = temporaryFolder(t)
  await addAdministrator(data, 'root')
  return { lanyard: commandLine(data), data }
}

test('the first account makes the folder, for its user alone, and must be an administrator', async (t) => {
  const data = join(temporaryFolder(t), 'not/there/yet')
  const lanyard = commandLine(data)
  assert.equal(await lanyard.refuses(`user add bob ${stdin}`, password), 'there is no administrator yet: the first account must be one')
  assert.equal(await lanyard.does(`user add root --admin ${stdin}`, password), 'administrator "root" was created\n')
  assert.equal(await lanyard.does(`user add bob ${stdin}`, password), 'account "bob" was created\n')
  assert.deepEqual(await accountsIn(data), ['bob user enabled', 'root admin enabled'])
  assert.equal(statSync(data).mode & 0o077, 0)
  assert.ok(!existsSync(join(data, 'server.json')), 'the folder is let go')
})

test('a server that starts on it makes no other administrator', async (t) => {
  const { data } = await preparedFolder(t)
  const server = await startServer(t, { data, settings: { ADMIN_PASSWORD: 'not for anybody' } })
  assert.deepEqual(await accountsIn(data), ['root admin enabled'])
  assert.equal((await new Client(server, basic('root')).call('GET', '/v2/')).status, 200)
  assert.equal((await new Client(server, basic('admin', 'not for anybody')).call('GET', '/v2/')).status, 401)
})

test('commands that meet on a new folder wait for each other, and each does its work', async (t) => {
  const data = join(temporaryFolder(t), 'data')
  const lanyard = commandLine(data)
  const names = Array.from({ length: 6 }, (_, index) => `admin${index}`)
  await Promise.all(names.map((name) => lanyard.does(`user add ${name} --admin ${stdin}`, password)))
  assert.deepEqual(
    await accountsIn(data),
    names.map((name) => `${name} admin enabled`),
  )
})

test('the list is a table for people and JSON for programs', async (t) => {
  const { lanyard } = await preparedFolder(t)
  const [head = '', row = '', end] = (await lanyard.does('user list')).split('\n')
  assert.equal(head, 'NAME  ROLE   STATUS   SECOND FACTOR  CREATED')
  assert.match(row, /^root {2}admin {2}enabled {2}no {13}\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.equal(end, '')
  const [account] = JSON.parse(await lanyard.does('user list --json')) as Record<string, unknown>[]
  assert.deepEqual(Object.keys(account ?? {}), ['name', 'kind', 'role', 'disabled', 'secondFactor', 'createdAt'])
  assert.equal(await lanyard.does('user list --filter nobody'), 'NAME  ROLE  STATUS  SECOND FACTOR  CREATED\n')
  assert.equal(await lanyard.does('user show root'), `${head}\n${row}\n`)
  assert.deepEqual(JSON.parse(await lanyard.does('user show root --json')), account)
})

test('an account that exists, a name that is none and a password that is too weak or too long are refused', async (t) => {
  const { lanyard, data } = await preparedFolder(t)
  const refusals = await Promise.all([
    lanyard.refuses(`user add root ${stdin}`, password),
    lanyard.refuses(`user add Bob ${stdin}`, password),
    lanyard.refuses(`user add a/b ${stdin}`, password),
    lanyard.refuses(`user add bob ${stdin}`, 'short'),
    lanyard.refuses(`user add bob ${stdin}`, 'x'.repeat(73)),
    lanyard.refuses(`user add robert-the-bruce ${stdin}`, 'robert-the-bruce'),
    lanyard.refuses(`user add bob ${stdin}`, ''),
    lanyard.refuses('user add bob', password),
  ])
  const rule =
    'an account name has 1 to 64 lower-case letters and digits, which single . _ __ or any number of - may separate: it is also the namespace of the account, the first part of the names of its repositories'
  assert.deepEqual(refusals, [
    'there is an account "root" already',
    rule,
    rule,
    'a password has at least 8 characters: several words in a row are easy to remember',
    'a password has at most 72 bytes (of UTF-8)',
    'a password must not be the name of its account',
    'a password has at least 8 characters: several words in a row are easy to remember',
    'there is no terminal to ask for the password: use --password-stdin',
  ])
  assert.deepEqual(await accountsIn(data), ['root admin enabled'])
})

test('the password is the first line of standard input, without its line break', async (t) => {
  const { lanyard, data } = await preparedFolder(t)
  await lanyard.does(`user add one ${stdin}`, `${password}\n`)
  await lanyard.does(`user add two ${stdin}`, `${password}\r\nand more that is ignored\n`)
  const server = await startServer(t, { data })
  for (const name of ['one', 'two']) assert.equal((await new Client(server, basic(name, password)).call('GET', '/v2/')).status, 200, name)
})

test('every command on an account that does not exist says so', async (t) => {
  const { lanyard } = await preparedFolder(t)
  const commands = ['show bob', 'disable bob', 'enable bob', 'role bob admin', 'remove bob', `passwd bob ${stdin}`]
  const refusals = await Promise.all(commands.map((command) => lanyard.refuses(`user ${command}`, password)))
  assert.deepEqual(new Set(refusals), new Set(['there is no account "bob"']))
})

test('an account is disabled, enabled, made an administrator and removed', async (t) => {
  const { lanyard, data } = await preparedFolder(t)
  await lanyard.does(`user add bob ${stdin}`, password)
  for (const [command, said, then] of [
    ['disable bob', '"bob" is disabled', 'bob user disabled'],
    ['enable bob', '"bob" is enabled', 'bob user enabled'],
    ['role bob admin', '"bob" is an administrator now', 'bob admin enabled'],
    ['role bob user', '"bob" is a user now', 'bob user enabled'],
  ] as const) {
    assert.equal(await lanyard.does(`user ${command}`), `${said}\n`)
    assert.deepEqual(await accountsIn(data), [then, 'root admin enabled'])
  }
  assert.equal(await lanyard.refuses('user role bob owner'), 'a role is "admin" or "user", not "owner"')
  const said = '"bob" was removed; the repositories under bob/ stay, and whoever gets an account of that name owns them\n'
  assert.equal(await lanyard.does('user remove bob'), said)
  assert.deepEqual(await accountsIn(data), ['root admin enabled'])
})

test('the last enabled administrator can be neither removed, disabled nor made a user', async (t) => {
  const { lanyard, data } = await preparedFolder(t)
  await lanyard.does(`user add bob --admin ${stdin}`, password)
  await lanyard.does('user disable bob')
  const refusals = await Promise.all(['remove root', 'disable root', 'role root user'].map((command) => lanyard.refuses(`user ${command}`)))
  assert.deepEqual(new Set(refusals), new Set(['this is the last enabled administrator: make another account one first']))
  assert.deepEqual(await accountsIn(data), ['bob admin disabled', 'root admin enabled'])
  await lanyard.does('user enable bob')
  await lanyard.does('user remove root')
  assert.deepEqual(await accountsIn(data), ['bob admin enabled'])
})

test('where there is no registry, only the first account makes a folder', async (t) => {
  const folder = temporaryFolder(t)
  const data = join(folder, 'mistyped')
  const lanyard = commandLine(data)
  const commands = [
    'user list',
    'user disable bob',
    'user role bob admin',
    'repo list',
    'repo visibility a/b public --yes',
    'keys list',
    'keys rotate',
  ]
  const sentence = `there is no registry in ${data}: name its folder with --data or LANYARD_DATA; "lanyard serve" makes a new one`
  assert.deepEqual(new Set(await Promise.all(commands.map((command) => lanyard.refuses(command)))), new Set([sentence]))
  assert.deepEqual(readdirSync(folder), [])
})

test('a password on the command line is refused and not repeated', async (t) => {
  const settings = { DATA: temporaryFolder(t) }
  const { status, stdout, stderr } = await runLanyard(['user', 'list', '--admin-password', 'hunter2hunter2'], { settings })
  assert.deepEqual([status, stdout], [1, ''])
  assert.match(stderr, /admin\.password \(flag --admin-password\): secrets are not taken from the command line/)
  assert.ok(!stderr.includes('hunter2'))
})
