/** From sources to settings: who wins, where it came from, and everything that is wrong told at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, loadSettings, type LoadedSettings } from '../../server/config/load.ts'
import { settingRows } from '../../server/config/settings.ts'
import { type Environment, type Flags, formatOrigin } from '../../server/config/sources.ts'
import { temporaryFile, type Cleanup } from '../support/temporary-folder.ts'

interface Given {
  readonly file?: string
  readonly env?: Environment
  readonly flags?: Flags
}

function load(t: Cleanup, { file, env = {}, flags = {} }: Given): LoadedSettings {
  const named = file === undefined ? {} : { LANYARD_CONFIG: temporaryFile(t, 'lanyard.yaml', file) }
  return loadSettings({ env: { ...named, ...env }, flags })
}

/** The problems as `key (origin): message`, the file's path shortened to its name. */
function problemsOf(t: Cleanup, given: Given): string[] {
  try {
    load(t, given)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const lines = error.message.split('\n').slice(1)
    assert.equal(lines.length, error.problems.length, 'one line for each problem')
    return lines.map((line) => line.trim().replaceAll(/file \S*\/lanyard\.yaml/g, 'file lanyard.yaml'))
  }
  return []
}

test('without any source every setting has its default', () => {
  const { settings, flat, origins } = loadSettings({ env: {}, flags: {} })
  assert.equal(settings.listen, '127.0.0.1:5000')
  assert.equal(settings.access, 'login')
  assert.equal(settings.repositories.visibility, 'private')
  assert.equal(settings.admin.password, undefined)
  for (const row of settingRows) {
    assert.deepEqual(flat[row.key], row.default, row.key)
    assert.equal(formatOrigin(origins[row.key]), 'default')
  }
})

for (const [title, given, level, origin] of [
  ['a file beats the default', { file: 'log: {level: debug}' }, 'debug', /^file .*lanyard\.yaml$/],
  [
    'the environment beats a file',
    { file: 'log: {level: debug}', env: { LANYARD_LOG_LEVEL: 'warn' } },
    'warn',
    /^environment LANYARD_LOG_LEVEL$/,
  ],
  [
    'a flag beats the environment and a file',
    { file: 'log: {level: debug}', env: { LANYARD_LOG_LEVEL: 'warn' }, flags: { 'log-level': 'error' } },
    'error',
    /^flag --log-level$/,
  ],
  ['a flag beats a file', { file: 'log: {level: debug}', flags: { 'log-level': 'error' } }, 'error', /^flag --log-level$/],
] as const) {
  test(title, (t) => {
    const { settings, origins } = load(t, given)
    assert.equal(settings.log.level, level)
    assert.match(formatOrigin(origins['log.level']), origin)
    assert.equal(settings.log.format, 'auto', 'what no source gives keeps its default')
  })
}

test('--config names the file and beats LANYARD_CONFIG', (t) => {
  const named = temporaryFile(t, 'named.yaml', 'workers: 3')
  const { settings, origins } = load(t, { file: 'workers: 5', flags: { config: named } })
  assert.equal(settings.workers, 3)
  assert.equal(formatOrigin(origins.workers), `file ${named}`)
})

test('every kind of value can come from every source', (t) => {
  const expected = { workers: 3, deleteEnabled: false, maxBytes: 1_048_576, proxies: ['10.0.0.0/8', '::1'], url: 'https://r.example.com' }
  const file = `
workers: 3
delete: {enabled: no}
manifests: {maxBytes: 1 MiB}
trustedProxies: [10.0.0.0/8, "::1"]
externalUrl: https://r.example.com/`
  const env = {
    LANYARD_WORKERS: '3',
    LANYARD_DELETE_ENABLED: 'no',
    LANYARD_MANIFESTS_MAX_BYTES: '1MiB',
    LANYARD_TRUSTED_PROXIES: '10.0.0.0/8,::1',
    LANYARD_EXTERNAL_URL: 'https://r.example.com/',
  }
  const flags = Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name.slice('LANYARD_'.length).toLowerCase().replaceAll('_', '-'), value]),
  )
  for (const given of [{ file }, { env }, { flags }]) {
    const { settings } = load(t, given)
    const actual = {
      workers: settings.workers,
      deleteEnabled: settings.delete.enabled,
      maxBytes: settings.manifests.maxBytes,
      proxies: settings.trustedProxies,
      url: settings.externalUrl,
    }
    assert.deepEqual(actual, expected)
  }
})

test('all problems of all sources are told together, each with where it came from', (t) => {
  const given = {
    file: 'listen: nowhere\nlgo: {level: debug}\nlog: {levle: debug}',
    env: { LANYARD_WORKERS: '0', LANYARD_LISEN: ':5000' },
    flags: { access: 'maybe' },
  }
  assert.deepEqual(problemsOf(t, given), [
    'lgo (file lanyard.yaml): there is no such setting',
    'log.levle (file lanyard.yaml): there is no such setting, did you mean "log.level"?',
    'LANYARD_LISEN (environment LANYARD_LISEN): there is no such setting, did you mean "LANYARD_LISTEN"?',
    'listen (file lanyard.yaml): "nowhere" is not allowed; expected host:port, [v6]:port or :port for every address of the machine; port 0 takes any free one',
    'workers (environment LANYARD_WORKERS): "0" is not allowed; expected a whole number from 1 to 256',
    'access (flag --access): "maybe" is not allowed; expected one of login, open',
  ])
})

test('the sentence above the problems counts them', (t) => {
  assert.throws(() => load(t, { env: { LANYARD_WORKERS: '0' } }), /^ConfigError: the settings have a problem:\n/)
  assert.throws(() => load(t, { env: { LANYARD_WORKERS: '0', LANYARD_ACCESS: '' } }), /the settings have 2 problems:\n/)
})

test('a value that another source overrides is checked all the same', (t) => {
  const problems = problemsOf(t, { file: 'workers: many', env: { LANYARD_WORKERS: '2' } })
  assert.deepEqual(problems, ['workers (file lanyard.yaml): "many" is not allowed; expected a whole number from 1 to 256'])
})

for (const [given, problem] of [
  [
    { env: { LANYARD_TLS_CERTIFICATE: 'c.pem' } },
    'tls.key (environment LANYARD_TLS_CERTIFICATE): must be set as well, because tls.certificate is: https needs both',
  ],
  [{ flags: { 'tls-key': 'k.pem' } }, 'tls.certificate (flag --tls-key): must be set as well, because tls.key is: https needs both'],
] as const) {
  test(`half a TLS pair is a problem: ${problem}`, (t) => assert.deepEqual(problemsOf(t, given), [problem]))
}

test('a TLS pair with a wrong half is one problem, not two', (t) => {
  const problems = problemsOf(t, { env: { LANYARD_TLS_CERTIFICATE: '', LANYARD_TLS_KEY: 'k.pem' } })
  assert.deepEqual(problems, ['tls.certificate (environment LANYARD_TLS_CERTIFICATE): "" is not allowed; expected a path'])
})

test('the two halves of a TLS pair may come from different sources', (t) => {
  const { settings } = load(t, { file: 'tls: {certificate: c.pem}', env: { LANYARD_TLS_KEY: 'k.pem' } })
  assert.deepEqual(settings.tls, { certificate: 'c.pem', key: 'k.pem' })
})

test('no problem repeats a secret, from any source', (t) => {
  const secret = 'hunter2'
  for (const given of [
    { file: `admin: {password: ${secret}}\nmetrics: {token: ${secret}}` },
    { env: { LANYARD_ADMIN_PASSWORD: secret, LANYARD_METRICS_TOKEN: secret } },
    { flags: { 'admin-password': secret, 'metrics-token': secret } },
    {
      env: {
        LANYARD_ADMIN_PASSWORD_FILE: temporaryFile(t, 'password', secret),
        LANYARD_METRICS_TOKEN_FILE: temporaryFile(t, 'token', secret),
      },
    },
  ]) {
    const problems = problemsOf(t, given)
    assert.equal(problems.length, 2)
    assert.ok(!problems.join('\n').includes(secret), problems.join('\n'))
  }
})

test('a user and a password inside an address are not repeated', (t) => {
  const [problem] = problemsOf(t, { env: { LANYARD_EXTERNAL_URL: 'https://joe:hunter2@registry.example.com' } })
  assert.match(problem ?? '', /"https:\/\/\*\*\*@registry\.example\.com" is not allowed/)
})

test('a long wrong value is cut in the message', (t) => {
  const [problem = ''] = problemsOf(t, { env: { LANYARD_ACCESS: 'x'.repeat(5000) } })
  assert.match(problem, /"x{76}\.\.\. is not allowed/)
})
