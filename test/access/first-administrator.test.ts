/**
 * The first administrator: made once, with a password that nobody can know in advance (threat 41).
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { test, type TestContext } from 'node:test'
import { loadSettings } from '../../server/config/load.ts'
import { prepareDataFolder } from '../../server/prepare.ts'
import { basic } from '../support/client.ts'
import { assertRejected } from '../support/refusal.ts'
import { startRegistry } from '../support/start-registry.ts'
import { send } from './wire.ts'

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lanyard-first-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Makes a folder ready as a start does. @returns the password that was made up, if one was. */
async function prepare(data: string, env: Readonly<Record<string, string>> = {}): Promise<string | undefined> {
  const { settings } = loadSettings({ env: { LANYARD_DATA: data, LANYARD_AUTH_BCRYPT_COST: '4', ...env }, flags: {} })
  const { administrator } = await prepareDataFolder(settings, Date.now)
  return administrator?.madePassword
}

const guesses: readonly (readonly [string, string])[] = [
  ['admin', 'admin'],
  ['admin', ''],
  ['admin', 'password'],
  ['admin', 'lanyard'],
  ['admin', 'changeme'],
  ['admin', 'Harbor12345'],
  ['admin', 'undefined'],
  ['admin', 'null'],
  ['lanyard', 'lanyard'],
  ['root', 'root'],
  ['', 'admin'],
]

test('without a setting the password is random, given out once, and the only one that works', async (t) => {
  const data = await newFolder(t)
  const madePassword = await prepare(data)
  assert.ok(madePassword)
  assert.match(madePassword, /^[\w-]{20}$/, '120 random bits')
  assert.equal(await prepare(data), undefined, 'the next start makes none')
  const registry = await startRegistry(t, { data })
  const statusOf = async (user: string, password: string) =>
    (await send(registry, 'GET /v2/', { authorization: basic(user, password) })).status
  assert.equal(await statusOf('admin', madePassword), 200)
  for (const [user, password] of guesses) assert.equal(await statusOf(user, password), 401, `${user}:${password}`)
})

test('two folders get two passwords, and none stands in its folder', async (t) => {
  const made = new Set<string>()
  for (let round = 0; round < 2; round++) {
    const data = await newFolder(t)
    const password = (await prepare(data)) ?? ''
    made.add(password)
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) assert.ok(!(await readFile(join(entry.parentPath, entry.name), 'latin1')).includes(password), entry.name)
    }
  }
  assert.equal(made.size, 2)
})

test('the password of a setting is taken and not given out, from the environment or from a file', async (t) => {
  const file = join(await newFolder(t), 'secret')
  await writeFile(file, 'from-a-file-3141\n')
  const sources = {
    'from-a-setting-2718': { LANYARD_ADMIN_PASSWORD: 'from-a-setting-2718' },
    'from-a-file-3141': { LANYARD_ADMIN_PASSWORD_FILE: file },
  }
  for (const [password, env] of Object.entries(sources)) {
    const data = await newFolder(t)
    assert.equal(await prepare(data, env), undefined)
    const registry = await startRegistry(t, { data })
    assert.equal((await send(registry, 'GET /metrics', { authorization: basic('admin', password) })).status, 200, 'an administrator')
    assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin', `${password} `) })).status, 401)
  }
})

test('a setting changes no account that is there: neither its password nor that of one who was removed', async (t) => {
  const data = await newFolder(t)
  await prepare(data, { LANYARD_ADMIN_PASSWORD: 'the first password' })
  assert.equal(await prepare(data, { LANYARD_ADMIN_PASSWORD: 'the second password' }), undefined)
  const registry = await startRegistry(t, { data })
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin', 'the first password') })).status, 200)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin', 'the second password') })).status, 401)
})

test('a password that is too short or missing in its file is a fault of the settings, and nothing is made', async (t) => {
  const data = await newFolder(t)
  for (const env of [
    { LANYARD_ADMIN_PASSWORD: '' },
    { LANYARD_ADMIN_PASSWORD: 'admin' },
    { LANYARD_ADMIN_PASSWORD: 'x'.repeat(73) },
    { LANYARD_ADMIN_PASSWORD_FILE: join(data, 'none') },
  ]) {
    await assert.rejects(async () => prepare(data, env), /admin\.password/)
  }
  assert.deepEqual(await readdir(data), [])
})

test('nobody can make an account over HTTP: there is no first visitor who becomes the administrator', async (t) => {
  const registry = await startRegistry(t)
  const body = JSON.stringify({ name: 'eve', username: 'eve', password: 'eves password', isAdmin: true, role: 'admin' })
  const headers = { 'Content-Type': 'application/json' }
  for (const path of [
    '/api/v1/users',
    '/api/v1/accounts',
    '/api/v1/setup',
    '/setup',
    '/register',
    '/v2/users',
    '/v2/token',
    '/v1/users/',
    '/token',
    '/',
  ]) {
    for (const method of ['POST', 'PUT', 'PATCH']) {
      const { status } = await send(registry, `${method} ${path}`, { headers, body })
      // Administrators make accounts there: nobody else is told more than that.
      const refusals = method === 'POST' && path === '/api/v1/accounts' ? [401] : [400, 404, 405]
      assert.ok(refusals.includes(status), `${status} for ${method} ${path}`)
    }
  }
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('eve', 'eves password') })).status, 401)
})

test('lanyard serve shows the password it made on standard error, once, and never in the log', async (t) => {
  const data = await newFolder(t)
  const first = await serve(t, data)
  const password = /password\s+(\S{20})\n/.exec(first.shown)?.[1] ?? ''
  assert.match(password, /^[\w-]{20}$/)
  assert.equal(first.shown.split(password).length, 2, 'once')
  assert.ok(!first.log.includes(password))
  const second = await serve(t, data)
  assert.match(second.shown, /Lanyard is listening on/)
  assert.doesNotMatch(second.shown, /password/)
  assert.ok(!(second.log + second.shown).includes(password))
})

/** Starts the real command, waits until it says that it listens, and stops it. */
async function serve(t: TestContext, data: string): Promise<{ shown: string; log: string }> {
  const cli = fileURLToPath(new URL('../../cli/lanyard.js', import.meta.url))
  const env = {
    PATH: process.env['PATH'],
    LANYARD_DATA: data,
    LANYARD_LISTEN: '127.0.0.1:0',
    LANYARD_WORKERS: '1',
    LANYARD_AUTH_BCRYPT_COST: '4',
    LANYARD_LOG_LEVEL: 'trace',
  }
  const child = spawn(process.execPath, [cli, 'serve'], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' })
  t.after(() => child.kill('SIGKILL'))
  const log = textOf(child.stdout)
  let shown = ''
  for await (const part of child.stderr) {
    shown += String(part)
    if (shown.includes('Lanyard is listening on')) child.kill('SIGTERM')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return { shown, log: await log }
}

test('a password that everybody tries first is refused at the start, and nothing is made', async (t) => {
  const data = await newFolder(t)
  for (const password of ['password123', 'Qwertyuiop', '12345678']) {
    const fault = await assertRejected('parameterInvalid', prepare(data, { LANYARD_ADMIN_PASSWORD: password }))
    assert.match(fault.message, /^admin\.password cannot be used: this password is among the most common ones/)
    assert.ok(!fault.message.includes(password))
  }
  assert.ok(await prepare(data), 'the account is made by the next start')
})
