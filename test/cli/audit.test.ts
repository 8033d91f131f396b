/** `lanyard audit`: a table for people that is safe to print, JSON for programs; and what the other commands leave in it. */
import assert from 'node:assert/strict'
import { userInfo } from 'node:os'
import { test } from 'node:test'
import { parseSince, plainJson } from '../../cli/audit.ts'
import { formatTable } from '../../cli/terminal.ts'
import type { AuditEntry } from '../../registry/read-audit.ts'
import { dataLayout } from '../../storage/layout.ts'
import { appendAuditEvents, type NewAuditRow } from '../../storage/metadata/audit.ts'
import { Database } from '../../storage/metadata/database.ts'
import { addAdministrator } from '../support/accounts-in.ts'
import { auditedIn, auditRow, inWords } from '../support/audit-rows.ts'
import { Client } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { adminPassword, startRegistry } from '../support/start-registry.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

async function within<T>(data: string, work: (database: Database) => Promise<T>): Promise<T> {
  const database = Database.open(dataLayout(data).database)
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}

async function folderWith(t: Cleanup, rows: readonly NewAuditRow[]): Promise<{ lanyard: CommandLine; data: string }> {
  const data = temporaryFolder(t)
  await addAdministrator(data, 'root')
  await within(data, (database) => database.write((tx) => appendAuditEvents(tx, rows)))
  return { lanyard: commandLine(data), data }
}

const at = Date.UTC(2026, 10, 25)
const rows = [
  auditRow({ at_ms: at, actor: 'bob', action: 'login', target: 'bob' }),
  auditRow({ at_ms: at + 1, actor: null, action: 'login', target: 'bob', outcome: 'failed', detail: '{"reason":"credentialsWrong"}' }),
  auditRow({ at_ms: at + 2, detail: '{"tag":"v1","tags":["a","b"]}' }),
  auditRow({ at_ms: at + 3, action: 'pull', target: 'team/app2', address: null, via: 'cli' }),
]

test('the list is a table, the newest first, narrowed by what is asked', async (t) => {
  const { lanyard } = await folderWith(t, rows)
  assert.equal(
    await lanyard.does('audit list'),
    [
      'TIME                      ACTOR  VIA       ADDRESS    ACTION  TARGET     OUTCOME  DETAIL',
      '2026-11-25T00:00:00.003Z  alice  cli       -          pull    team/app2  ok',
      '2026-11-25T00:00:00.002Z  alice  password  192.0.2.1  push    team/app   ok       tag=v1 tags=a,b',
      '2026-11-25T00:00:00.001Z  -      password  192.0.2.1  login   bob        failed   reason=credentialsWrong',
      '2026-11-25T00:00:00.000Z  bob    password  192.0.2.1  login   bob        ok',
      '',
    ].join('\n'),
  )
  const ids = async (args: string): Promise<number[]> =>
    (JSON.parse(await lanyard.does(`audit list --json ${args}`)) as AuditEntry[]).map(({ id }) => id)
  const wanted = await Promise.all([
    ids('--actor alice'),
    ids('--action login --target bob --outcome failed'),
    ids('--target team/*'),
    ids('--target team/app'),
    ids('--limit 1'),
    ids('--since 2026-11-25T00:00:00.002Z'),
    ids('--actor nobody'),
  ])
  assert.deepEqual(wanted, [[4, 3], [2], [4, 3], [3], [4], [4, 3], []])
})

test('the export is JSON lines, the oldest first', async (t) => {
  const { lanyard } = await folderWith(t, rows)
  const lines = (await lanyard.does('audit export')).split('\n')
  assert.equal(lines.pop(), '')
  const entries = lines.map((line) => JSON.parse(line) as AuditEntry)
  assert.deepEqual(
    entries.map(({ id, detail }) => [id, detail]),
    [
      [1, {}],
      [2, { reason: 'credentialsWrong' }],
      [3, { tag: 'v1', tags: ['a', 'b'] }],
      [4, {}],
    ],
  )
  assert.equal((await lanyard.does('audit export --since 2026-11-25T00:00:00.003Z')).split('\n').length, 2)
})

test('what stands in a row reaches no terminal as a command, in a table or in JSON', async (t) => {
  const { lanyard } = await folderWith(t, [
    auditRow({ at_ms: at, target: 'x\u001b[2J\u202e\u009by', detail: '{"name":"\\u001b]0;\\u2066"}' }),
  ])
  const [table, array, lines] = await Promise.all([
    lanyard.does('audit list'),
    lanyard.does('audit list --json'),
    lanyard.does('audit export'),
  ])
  for (const text of [array, lines]) assert.match(text, /^[ -~\n]+$/)
  assert.doesNotMatch(table.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
  assert.ok(table.includes('x\ufffd[2J\ufffd\ufffdy') && table.includes('name=\ufffd]0;\ufffd'))
  assert.equal(formatTable([['A'], ['\u200f\n']]), 'A\n\ufffd\ufffd\n')
  assert.equal(plainJson({ a: 'ä\u200f' }), '{"a":"ä\\u200f"}')
})

test('how long ago is counted back from now; anything else is a time', () => {
  const since = (text: string): string => parseSince(text, at)
  assert.equal(since('90m'), '2026-11-24T22:30:00.000Z')
  assert.equal(since('24h'), '2026-11-24T00:00:00.000Z')
  assert.equal(since('7d'), '2026-11-18T00:00:00.000Z')
  assert.equal(since('2026-11-01'), '2026-11-01')
})

test('a time, an outcome and a limit that are none are refused', async (t) => {
  const { lanyard } = await folderWith(t, [])
  const refusals = await Promise.all([
    lanyard.refuses('audit list --since yesterday'),
    lanyard.refuses('audit export --since 1y'),
    lanyard.refuses('audit list --outcome good'),
    lanyard.refuses('audit list --limit 0'),
    lanyard.refuses('audit list --limit many'),
  ])
  const aTime = 'a time is a day such as 2026-11-25 or a moment such as 2026-11-25T08:30:00Z'
  assert.deepEqual(refusals, [
    aTime,
    aTime,
    'outcome: Invalid option: expected one of "ok"|"denied"|"failed"',
    '--limit is a whole number from 1 on, not "0"',
    '--limit is a whole number from 1 on, not "many"',
  ])
})

test('every command that changes something is recorded, by the user of the system who ran it', async (t) => {
  const data = temporaryFolder(t)
  const registry = await startRegistry(t, { data })
  await new Client(registry).pushBlob('admin/app', 'content')
  await registry.close()
  const lanyard = commandLine(data)
  await lanyard.does('user add bob --password-stdin', `${adminPassword}\n`)
  await lanyard.does('user passwd bob --password-stdin', 'another good password\n')
  await lanyard.does('user disable bob')
  await lanyard.does('user enable bob')
  await lanyard.does('user role bob admin')
  await lanyard.does('user remove bob')
  await lanyard.does('repo visibility admin/app public --yes')
  await lanyard.does('keys rotate')
  const kid = /^(\S+) {2}\S+$/m.exec((await lanyard.does('keys list')).replace(/^.*\n/, ''))?.[1] ?? ''
  await lanyard.does(`keys revoke ${kid}`)
  await lanyard.refuses('user disable nobody')
  const entries = (await within(data, auditedIn)).filter(({ via }) => via === 'cli')
  const who = `${userInfo().username} by cli:`
  assert.deepEqual(entries.filter(({ action }) => !action.startsWith('key')).map(inWords), [
    `${who} user-add bob: ok`,
    `${who} user-password bob: ok`,
    `${who} user-disable bob: ok`,
    `${who} user-enable bob: ok`,
    `${who} user-role bob: ok`,
    `${who} user-remove bob: ok`,
    `${who} visibility admin/app: ok`,
  ])
  assert.deepEqual(
    entries.slice(-2).map(({ action, address }) => [action, address]),
    [
      ['key-rotate', null],
      ['key-revoke', null],
    ],
  )
  assert.equal(entries.at(-1)?.target, kid)
  const text = JSON.stringify(entries)
  for (const secret of [adminPassword, 'another good password']) assert.ok(!text.includes(secret))
})
