/** The three sources: what each reads, which names it knows, and that its problems repeat neither values nor lines of a file. */
import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { test } from 'node:test'
import { readEnvironment, readFlags, readSettingsFile, type SourceContent } from '../../server/config/sources.ts'
import { temporaryFile, temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

const values = ({ given }: SourceContent) => Object.fromEntries(given.map(({ key, value }) => [key, value]))
const messages = ({ problems }: SourceContent) => problems.map(({ key, message }) => `${key}: ${message}`)

function readText(t: Cleanup, text: string): SourceContent {
  return readSettingsFile(temporaryFile(t, 'lanyard.yaml', text))
}

test('a file is read section by section', (t) => {
  const content = readText(t, 'listen: ":5000"\nlog:\n  level: debug\n  requests: false\nworkers: 2\n')
  assert.deepEqual(values(content), { listen: ':5000', 'log.level': 'debug', 'log.requests': false, workers: 2 })
  assert.deepEqual(content.problems, [])
})

for (const [what, text] of [
  ['an empty file', ''],
  ['a file of comments', '# nothing\n'],
  ['an empty document', '---\n'],
  ['an empty section', 'log:\n'],
] as const) {
  test(`${what} gives nothing and is no problem`, (t) => assert.deepEqual(readText(t, text), { given: [], problems: [] }))
}

test('a byte order mark at the beginning of a file is no part of its first key', (t) => {
  assert.deepEqual(values(readText(t, '\uFEFFworkers: 2\n')), { workers: 2 })
})

test('JSON is YAML: a file may be written so', (t) => {
  assert.deepEqual(values(readText(t, '{"log": {"level": "warn"}}')), { 'log.level': 'warn' })
})

for (const [what, text, message] of [
  ['a name that does not exist', 'lisen: ":5000"', 'lisen: there is no such setting, did you mean "listen"?'],
  ['a name that does not exist in a section', 'log: {lvl: debug}', 'log.lvl: there is no such setting, did you mean "log.level"?'],
  ['a dotted key', 'log.level: debug', 'log.level: in a file, write "level:" indented below "log:"'],
  ['a value where a section belongs', 'log: debug', 'log: this is a section: write its settings below it, indented'],
  ['a list where a section belongs', 'log: [debug]', 'log: this is a section: write its settings below it, indented'],
  ['a section within a setting', 'log: {level: {debug: true}}', undefined],
  ['a list of settings', '- listen: ":5000"', 'config: the file holds no settings: expected lines such as "listen: 127.0.0.1:5000"'],
  ['a lone word', 'hunter2', 'config: the file holds no settings: expected lines such as "listen: 127.0.0.1:5000"'],
  ['broken YAML', 'workers: 2\nlisten: "hunter2', 'config: line 2 is not valid YAML (MISSING_CHAR)'],
  ['the same key twice', 'workers: 2\nworkers: 3\n', 'config: line 2 is not valid YAML (DUPLICATE_KEY)'],
  ['tabs for indentation', 'log:\n\tlevel: hunter2\n', 'config: line 2 is not valid YAML (TAB_AS_INDENT)'],
  ['an alias without an anchor', 'listen: *hunter2', 'config: the file holds no settings: expected lines such as "listen: 127.0.0.1:5000"'],
  ['an unknown tag', 'listen: !hunter2 x', 'config: line 1 is not valid YAML (TAG_RESOLVE_FAILED)'],
  ['the name of a prototype', '__proto__: {a: 1}', '__proto__: there is no such setting'],
] as const) {
  test(`a file with ${what} ${message === undefined ? 'is judged by its schema' : `is told: ${message}`}`, (t) => {
    const content = readText(t, text)
    if (message === undefined) assert.deepEqual(values(content), { 'log.level': { debug: true } })
    else assert.deepEqual([...new Set(messages(content))], [message])
    assert.ok(!messages(content).join('\n').includes('hunter2'))
  })
}

test('aliases that multiply without end are refused, quickly', (t) => {
  const levels = Array.from({ length: 12 }, (_, level) => {
    const list =
      level === 0
        ? '[x]'
        : `[${Array(10)
            .fill(`*a${level - 1}`)
            .join(', ')}]`
    return `k${level}: &a${level} ${list}`
  })
  assert.match(messages(readText(t, levels.join('\n'))).join('\n'), /holds no settings/)
})

test('a file that is not there, or is a folder, is one problem with its path and code', (t) => {
  const folder = temporaryFolder(t)
  assert.deepEqual(readSettingsFile(`${folder}/no.yaml`).problems, [
    { key: 'config', origin: { kind: 'file', name: `${folder}/no.yaml` }, message: 'the file cannot be read (ENOENT)' },
  ])
  assert.deepEqual(messages(readSettingsFile(folder)), ['config: the file cannot be read (EISDIR)'])
})

test('the environment gives what begins with LANYARD_ and nothing else', () => {
  const content = readEnvironment({
    LANYARD_LOG_LEVEL: 'debug',
    LANYARD_CONFIG: '/etc/l.yaml',
    PATH: '/bin',
    LISTEN: ':1',
    lanyard_data: 'x',
  })
  assert.deepEqual(values(content), { 'log.level': 'debug' })
  assert.deepEqual(content.problems, [])
})

test('an environment name that does not exist is a problem, with the one that was meant', () => {
  assert.deepEqual(messages(readEnvironment({ LANYARD_TLS_CERT: 'c', LANYARD_ADMIN_PASSWORDFILE: 'f', LANYARD_X: '1' })), [
    'LANYARD_TLS_CERT: there is no such setting, did you mean "LANYARD_TLS_CERTIFICATE"?',
    'LANYARD_ADMIN_PASSWORDFILE: there is no such setting, did you mean "LANYARD_ADMIN_PASSWORD_FILE"?',
    'LANYARD_X: there is no such setting',
  ])
})

test('a secret can come from a file, whose last line break is no part of it', (t) => {
  for (const [content, secret] of [
    ['correct horse\n', 'correct horse'],
    ['correct horse\r\n', 'correct horse'],
    ['correct horse', 'correct horse'],
    ['correct horse\n\n', 'correct horse\n'],
    [' correct horse ', ' correct horse '],
  ] as const) {
    const env = { LANYARD_ADMIN_PASSWORD_FILE: temporaryFile(t, 'secret', content) }
    assert.deepEqual(readEnvironment(env).given, [
      { key: 'admin.password', value: secret, origin: { kind: 'environment', name: 'LANYARD_ADMIN_PASSWORD_FILE' } },
    ])
  }
})

test('only secrets can come from a file', () => {
  assert.deepEqual(messages(readEnvironment({ LANYARD_LISTEN_FILE: '/x' })), ['LANYARD_LISTEN_FILE: there is no such setting'])
})

test('a secret both in the environment and in a file is a problem, in whichever order they stand', (t) => {
  const pair = [
    ['LANYARD_METRICS_TOKEN', 'a'],
    ['LANYARD_METRICS_TOKEN_FILE', temporaryFile(t, 'token', 'b')],
  ] as const
  for (const order of [pair, pair.toReversed()])
    assert.deepEqual(messages(readEnvironment(Object.fromEntries(order))), [
      'metrics.token: LANYARD_METRICS_TOKEN is set as well: use one of the two',
    ])
})

test('the file of a secret that cannot be read is a problem with its path', (t) => {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o700)
  assert.deepEqual(messages(readEnvironment({ LANYARD_METRICS_TOKEN_FILE: `${folder}/no` })), [
    `metrics.token: the file "${folder}/no" cannot be read (ENOENT)`,
  ])
})

test('what Kubernetes puts beside a Service named lanyard is no setting', () => {
  const links = {
    LANYARD_SERVICE_HOST: '10.43.0.7',
    LANYARD_SERVICE_PORT: '5000',
    LANYARD_SERVICE_PORT_HTTP: '5000',
    LANYARD_PORT: 'tcp://10.43.0.7:5000',
    LANYARD_PORT_5000_TCP: 'tcp://10.43.0.7:5000',
    LANYARD_PORT_5000_TCP_PROTO: 'tcp',
    LANYARD_PORT_5000_TCP_PORT: '5000',
    LANYARD_PORT_5000_TCP_ADDR: '10.43.0.7',
    LANYARD_PORT_53_UDP: 'udp://10.43.0.7:53',
    LANYARD_REGISTRY_PORT: 'tcp://10.43.0.8:80',
    LANYARD_REGISTRY_SERVICE_HOST: '10.43.0.8',
  }
  assert.deepEqual(readEnvironment(links), { given: [], problems: [] })
})

test('a port that an operator sets is not taken for one of Kubernetes', () => {
  assert.deepEqual(messages(readEnvironment({ LANYARD_PORT: '5000' })), ['LANYARD_PORT: there is no such setting'])
})

test('flags give values under their dashed names; those that were not given give nothing', () => {
  const content = readFlags({ 'log-level': 'debug', workers: undefined, config: 'x.yaml' })
  assert.deepEqual(values(content), { 'log.level': 'debug' })
  assert.deepEqual(content.problems, [])
})

test('a flag that does not exist is a problem, with the one that was meant', () => {
  assert.deepEqual(messages(readFlags({ 'log-lvel': 'debug' })), ['log-lvel: there is no such flag, did you mean "log-level"?'])
})

test('a secret on the command line is refused, with the ways that are safe, and not suggested either', () => {
  assert.deepEqual(messages(readFlags({ 'admin-password': 'hunter2', 'admin-pasword': 'hunter2' })), [
    'admin.password: secrets are not taken from the command line, which every user of the machine can read: use LANYARD_ADMIN_PASSWORD or LANYARD_ADMIN_PASSWORD_FILE',
    'admin-pasword: there is no such flag',
  ])
})
