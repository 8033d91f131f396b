/** Starting: what the operator is told once, and which faults are one sentence. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { basic, Client, expectStatus } from '../support/client.ts'
import { runLanyard, startServer, type LanyardServer } from '../support/spawn-lanyard.ts'
import { adminPassword } from '../support/start-registry.ts'
import { temporaryFile, temporaryFolder } from '../support/temporary-folder.ts'

const passwordIn = (text: string): string => /^ {6}password {2}(\S+)$/m.exec(text)?.[1] ?? ''

async function statusWith(server: LanyardServer, password: string): Promise<number> {
  return (await new Client(server, basic('admin', password)).call('GET', '/v2/')).status
}

/** Unset, so that a password is made. */
const withoutPassword = { settings: { ADMIN_PASSWORD: undefined as unknown as string } }

test('the first start shows the administrator once and what to type next; the second shows neither', async (t) => {
  const data = temporaryFolder(t)
  const first = await startServer(t, { data, ...withoutPassword })
  const password = passwordIn(first.stderr())
  assert.match(password, /^[\w-]{20}$/)
  assert.equal(
    first.stderr(),
    `  An administrator was created. The password is shown only this once:

      user      admin
      password  ${password}

  Lanyard is listening on http://localhost:${first.port}

  Next:

      docker login localhost:${first.port} --username admin
      docker tag hello-world localhost:${first.port}/admin/hello-world
      docker push localhost:${first.port}/admin/hello-world

`,
  )
  assert.equal(await statusWith(first, password), 200)
  assert.equal(await statusWith(first, 'wrong password'), 401)
  assert.equal(await first.stop(), 0)

  const second = await startServer(t, { data, ...withoutPassword })
  assert.equal(second.stderr(), `  Lanyard is listening on http://localhost:${second.port}\n\n`)
  assert.equal(await statusWith(second, password), 200)
  for (const output of [first.stdout(), second.stdout()]) assert.ok(!output.includes(password), 'not in the log')
})

test('a password that is set is not shown; it counts at the first start only', async (t) => {
  const data = temporaryFolder(t)
  const secret = 'set by the operator'
  const first = await startServer(t, { data, settings: { ADMIN_PASSWORD: secret } })
  assert.ok(!first.stderr().includes('password'))
  assert.match(first.stderr(), /docker login localhost:\d+ --username admin/)
  assert.equal(await statusWith(first, secret), 200)
  assert.equal(await first.stop(), 0)
  const second = await startServer(t, { data, settings: { ADMIN_PASSWORD: 'another one later' } })
  assert.deepEqual([await statusWith(second, secret), await statusWith(second, 'another one later')], [200, 401])
  for (const server of [first, second]) assert.ok(!`${server.stderr()}${server.stdout()}`.includes(secret))
})

test('a password from a file works without its line break', async (t) => {
  const settings = { ...withoutPassword.settings, ADMIN_PASSWORD_FILE: temporaryFile(t, 'password', 'from a mounted file\n') }
  const server = await startServer(t, { settings })
  assert.ok(!server.stderr().includes('password'))
  assert.equal(await statusWith(server, 'from a mounted file'), 200)
})

test('open access is said loudly at every start, and needs no login', async (t) => {
  const data = temporaryFolder(t)
  const warning = '\n  WARNING: access is open. Anyone who reaches this address may pull, push and delete everything without a login.\n'
  const first = await startServer(t, { data, settings: { ACCESS: 'open' } })
  assert.ok(first.stderr().includes(warning))
  assert.ok(!first.stderr().includes('docker login'))
  await new Client(first, '').pushImage('anyone/app', 'latest')
  await first.stop()
  const second = await startServer(t, { data, settings: { ACCESS: 'open' } })
  assert.ok(second.stderr().includes(warning))
  await expectStatus(await new Client(second, '').call('GET', '/v2/anyone/app/manifests/latest'), 200)
})

test('a start on a port in use still shows the password that it made, because no later start will', async (t) => {
  const data = temporaryFolder(t)
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const refused = await runLanyard(['serve'], { settings: { DATA: data, LISTEN: `127.0.0.1:${port}` } })
  assert.equal(refused.status, 1)
  const lines = refused.stderr.trimEnd().split('\n')
  assert.equal(
    lines.at(-1),
    `lanyard: cannot listen on 127.0.0.1:${port} (the listen setting): another program uses it: stop that one, or choose another port`,
  )
  const server = await startServer(t, { data, ...withoutPassword })
  assert.equal(passwordIn(server.stderr()), '')
  assert.equal(await statusWith(server, passwordIn(refused.stderr)), 200)
})

test('a flag beats the environment for the server too', async (t) => {
  const server = await startServer(t, { args: ['--access', 'open'], settings: { ACCESS: 'login' } })
  assert.match(server.stderr(), /WARNING: access is open/)
})

test('an external address is the one that is told', async (t) => {
  const server = await startServer(t, { settings: { EXTERNAL_URL: 'https://registry.example.com:8443' } })
  assert.match(server.stderr(), /Lanyard is listening on https:\/\/registry\.example\.com:8443\n/)
  assert.match(server.stderr(), /docker login registry\.example\.com:8443 --username admin\n/)
})

test('the folder belongs to its user alone, and a note in it says who serves from it', async (t) => {
  const server = await startServer(t, { data: join(temporaryFolder(t), 'made/by/the/start') })
  assert.equal(statSync(server.data).mode & 0o077, 0)
  const note = JSON.parse(readFileSync(join(server.data, 'server.json'), 'utf8')) as { pid: number; listen: string }
  assert.equal(note.pid, server.pid)
  assert.equal(note.listen, '127.0.0.1:0')
})

test('a second server on the same folder refuses in one sentence that names the first (F24)', async (t) => {
  const server = await startServer(t)
  const second = await runLanyard(['serve'], { settings: { DATA: server.data } })
  assert.equal(second.status, 1)
  assert.equal(second.stdout, '')
  assert.match(
    second.stderr,
    new RegExp(
      `^lanyard: the data folder ${server.data} is in use by process ${server.pid} on \\S+, listening on 127\\.0\\.0\\.1:0 since \\S+: stop it first, or start this one with another LANYARD_DATA\\n$`,
    ),
  )
  assert.equal(await statusWith(server, adminPassword), 200, 'the first goes on')
})
