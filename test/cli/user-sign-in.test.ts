/** `lanyard user second-factor` and `lanyard user sessions`: how an administrator helps someone out. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { LoginAttempts } from '../../auth/login-attempts.ts'
import { totpCode, totpStepAt } from '../../auth/totp.ts'
import { accountDirectory } from '../../registry/accounts.ts'
import { SecondFactors } from '../../registry/second-factor.ts'
import { BrowserSessions } from '../../registry/sessions.ts'
import { dataLayout } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import { addAdministrator } from '../support/accounts-in.ts'
import { commandLine } from '../support/command-line.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

async function setStage(t: Cleanup) {
  const data = temporaryFolder(t)
  await addAdministrator(data, 'root')
  const database = Database.open(dataLayout(data).database)
  t.after(() => database.close())
  const accounts = accountDirectory(database, { note: () => undefined })
  const parts = { database, clock: Date.now, randomBytes }
  const limits = { idleMs: 3_600_000, absoluteMs: 86_400_000 }
  const get = async () => {
    const root = await accounts.findAccountByName('root')
    assert.ok(root)
    return root
  }
  return {
    lanyard: commandLine(data),
    get,
    secondFactors: new SecondFactors({ ...parts, attempts: new LoginAttempts(Date.now) }),
    sessions: new BrowserSessions({ ...parts, accounts, limits }),
  }
}

test('a second factor is shown and taken away', async (t) => {
  const { lanyard, get, secondFactors } = await setStage(t)
  assert.equal(await lanyard.does('user second-factor root'), '"root" has no second factor\n')
  const { secret } = await secondFactors.enrol(await get())
  await secondFactors.confirm(await get(), { code: totpCode(secret, totpStepAt(Date.now())) })
  assert.equal(await lanyard.does('user second-factor root'), '"root" has a second factor; recovery codes left: 10\n')
  assert.equal(await lanyard.does('user second-factor root --disable'), '"root" has no second factor any more; its sessions have ended\n')
  assert.equal((await get()).hasSecondFactor, false)
  assert.equal(await lanyard.refuses('user second-factor root --disable'), '"root" has no second factor')
  assert.equal(await lanyard.refuses('user second-factor bob'), 'there is no account "bob"')
})

test('sessions are listed for people and for programs, and ended', async (t) => {
  const { lanyard, get, sessions } = await setStage(t)
  assert.equal(await lanyard.does('user sessions root'), 'ID  SIGNED IN  LAST SEEN  ADDRESS  BROWSER\n')
  const { secret, session } = await sessions.start(await get(), { agent: 'Fire\u001b[2Jfox', address: '10.0.0.1', replaced: undefined })
  const [, row = ''] = (await lanyard.does('user sessions root')).split('\n')
  assert.match(row, new RegExp(`^${session.id} +\\d{4}-\\S+Z +\\d{4}-\\S+Z +10\\.0\\.0\\.1 +Fire\ufffd\\[2Jfox$`))
  const [listed] = JSON.parse(await lanyard.does('user sessions root --json')) as Record<string, unknown>[]
  assert.deepEqual(Object.keys(listed ?? {}), ['id', 'current', 'agent', 'address', 'createdAt', 'lastSeenAt', 'expiresAt'])
  const second = await sessions.start(await get(), { agent: 'Safari', address: '10.0.0.2', replaced: undefined })
  assert.equal(
    await lanyard.does(`user sessions root --end ${second.session.id}`),
    `the session ${second.session.id} of "root" has ended\n`,
  )
  assert.equal(await sessions.find(second.secret), undefined)
  assert.equal(await lanyard.refuses('user sessions root --end 999'), 'the account is not signed in by such a session')
  assert.equal(await lanyard.refuses('user sessions root --end first'), '--end takes the ID of a session, not "first"')
  assert.ok(await sessions.find(secret), 'the other one goes on')
  assert.equal(await lanyard.does('user sessions root --end'), 'sessions of "root" that were ended: 1\n')
  assert.equal(await sessions.find(secret), undefined)
  assert.equal(await lanyard.refuses('user sessions bob'), 'there is no account "bob"')
})

test('a new password follows the rules, and each refusal says what to do', async (t) => {
  const { lanyard } = await setStage(t)
  for (const [password, sentence] of [
    ['short', /^a password has at least 8 characters: several words/],
    ['x'.repeat(73), /^a password has at most 72 bytes/],
    ['Password1', /^this password is among the most common ones, .*: choose several words/],
    ['iloveyou', /^this password is among the most common ones/],
  ] as const) {
    const said = await lanyard.refuses('user passwd root --password-stdin', password)
    assert.match(said, sentence)
    assert.ok(!said.includes(password))
  }
  assert.equal(await lanyard.does('user passwd root --password-stdin', 'several odd words'), 'the password of "root" was changed\n')
})
