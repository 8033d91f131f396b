/** `lanyard config`: what is in effect and where it came from, everything that is wrong, and never a secret. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { settingRows } from '../../server/config/settings.ts'
import { runLanyard } from '../support/spawn-lanyard.ts'
import { temporaryFile, temporaryFolder } from '../support/temporary-folder.ts'

const secret = 'correct-horse-battery'

test('config print shows every setting with its origin; config print --json the same for programs; secrets in neither', async (t) => {
  const folder = temporaryFolder(t)
  const settings = {
    CONFIG: temporaryFile(t, 'lanyard.yaml', 'workers: 3\nlog:\n  level: debug\n'),
    DATA: join(folder, 'data'),
    ADMIN_PASSWORD: secret,
    METRICS_TOKEN_FILE: temporaryFile(t, 'token', `${secret}\n`),
  }
  const [table, json] = await Promise.all([
    runLanyard(['config', 'print', '--log-level', 'warn'], { settings }),
    runLanyard(['config', 'print', '--json', '--log-level', 'warn'], { settings }),
  ])
  for (const { status, stdout, stderr } of [table, json]) {
    assert.deepEqual([status, stderr], [0, ''])
    assert.ok(!stdout.includes(secret))
  }
  const originOf = (key: string) =>
    table.stdout
      .split('\n')
      .find((line) => line.startsWith(`${key} `))
      ?.split(/ {2,}/)
      .slice(1)
  assert.deepEqual(originOf('workers'), ['3', `file ${settings.CONFIG}`])
  assert.deepEqual(originOf('data'), [settings.DATA, 'environment LANYARD_DATA'])
  assert.deepEqual(originOf('log.level'), ['warn', 'flag --log-level'])
  assert.deepEqual(originOf('access'), ['login', 'default'])
  assert.deepEqual(originOf('admin.password'), ['***', 'environment LANYARD_ADMIN_PASSWORD'])
  assert.deepEqual(originOf('metrics.token'), ['***', 'environment LANYARD_METRICS_TOKEN_FILE'])
  const printed = JSON.parse(json.stdout) as Record<string, unknown>
  assert.deepEqual(
    Object.keys(printed),
    settingRows.map((row) => row.key),
  )
  assert.deepEqual(printed['log.level'], { value: 'warn', origin: 'flag --log-level' })
  assert.deepEqual(readdirSync(folder), [], 'looking at settings makes no data folder')
})

test('config check says that all is well, or everything that is not, with status 1', async (t) => {
  const broken = temporaryFile(t, 'broken.yaml', `lisen: ":5000"\nadmin: {password: ${secret.slice(0, 5)}}\n`)
  const [right, sample, wrong] = await Promise.all([
    runLanyard(['config', 'check']),
    runLanyard(['config', 'check', '--config', join(import.meta.dirname, '../../deploy/lanyard.sample.yaml')]),
    runLanyard(['config', 'check', '--config', broken, '--workers', '0'], { settings: { LOG_LEVL: 'debug' } }),
  ])
  for (const { status, stdout, stderr } of [right, sample])
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'the settings are in order\n', stderr: '' })
  assert.deepEqual([wrong.status, wrong.stdout], [1, ''])
  assert.equal(
    wrong.stderr,
    `lanyard: the settings have 4 problems:
  lisen (file ${broken}): there is no such setting, did you mean "listen"?
  LANYARD_LOG_LEVL (environment LANYARD_LOG_LEVL): there is no such setting, did you mean "LANYARD_LOG_LEVEL"?
  admin.password (file ${broken}): the value (not shown) is not allowed; expected 8 characters to 72 bytes of UTF-8, without control characters (quoted, if a file would read it as a number)
  workers (flag --workers): "0" is not allowed; expected a whole number from 1 to 256
`,
  )
})

test('every command takes its settings from a file, the environment and flags alike', async (t) => {
  const [one, two, three] = [temporaryFolder(t), temporaryFolder(t), temporaryFolder(t)]
  const config = temporaryFile(t, 'lanyard.yaml', `data: ${one}\n`)
  const said = await Promise.all([
    runLanyard(['repo', 'list', '--config', config]),
    runLanyard(['repo', 'list', '--config', config], { settings: { DATA: two } }),
    runLanyard(['repo', 'list', '--config', config, '--data', three], { settings: { DATA: two } }),
  ])
  assert.deepEqual(
    said.map(({ stderr }) => /there is no registry in (\S+):/.exec(stderr)?.[1]),
    [one, two, three],
  )
})
