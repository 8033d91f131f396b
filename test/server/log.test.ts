/** The log: one line for a machine or a person, no secret in it, and no text of a client that could pass for a line of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { RegistryError } from '../../oci/errors.ts'
import { defaultSettings, type Settings } from '../../server/config/settings.ts'
import { createLogger, createSilentLogger, type Logger } from '../../server/log.ts'

type Format = Settings['log']['format']

function capture({
  format = 'json',
  level = 'info',
  isTerminal = false,
}: {
  format?: Format
  level?: 'info' | 'warn'
  isTerminal?: boolean
}) {
  const lines: string[] = []
  const settings = defaultSettings({ 'log.format': format, 'log.level': level }).log
  const log = createLogger(settings, { isTerminal, destination: { write: (line) => void lines.push(line) } })
  return { log, lines }
}

/** The only line that `act` logs, as the object it is. */
function jsonOf(act: (log: Logger) => void): Record<string, unknown> {
  const { log, lines } = capture({})
  act(log)
  assert.equal(lines.length, 1)
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>
}

function prettyOf(act: (log: Logger) => void): string {
  const { log, lines } = capture({ format: 'pretty' })
  act(log)
  assert.equal(lines.length, 1)
  return lines[0] ?? ''
}

test('a JSON line holds level, time, process, message and the fields, and ends with its only line break', () => {
  const { log, lines } = capture({})
  log.info({ requestId: 'r-1', status: 200 }, 'request')
  assert.match(lines[0] ?? '', /^[^\n]+\n$/)
  const { time, ...rest } = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  assert.deepEqual(rest, { level: 'info', pid: process.pid, requestId: 'r-1', status: 200, msg: 'request' })
  assert.equal(new Date(String(time)).toISOString(), time)
})

test('lines below the level are not written', () => {
  const { log, lines } = capture({ level: 'warn' })
  log.info('one')
  log.warn('two')
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['two'],
  )
})

test('the silent logger writes nothing and has every method', () => {
  const log = createSilentLogger()
  log.fatal({ password: 'x' }, 'nothing')
  assert.equal(log.level, 'silent')
})

for (const [format, isTerminal, isJson] of [
  ['auto', false, true],
  ['auto', true, false],
  ['json', true, true],
  ['pretty', false, false],
] as const) {
  test(`format ${format} ${isTerminal ? 'on a terminal' : 'elsewhere'} is ${isJson ? 'JSON' : 'for people'}`, () => {
    const { log, lines } = capture({ format, isTerminal })
    log.info('hello')
    assert.equal(lines[0]?.startsWith('{'), isJson)
  })
}

test('a request reads as method, path, status and time, then whose it was', () => {
  const fields = {
    requestId: 'r-1',
    method: 'GET',
    path: '/v2/',
    status: 401,
    durationMs: 1.5,
    endpoint: 'base',
    client: '10.0.0.1',
    agent: 'x',
  }
  const line = prettyOf((log) => log.info({ ...fields, reason: 'unauthenticated' }, 'request'))
  assert.match(line, /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: GET \/v2\/ 401 1\.5 ms client=10\.0\.0\.1 reason=unauthenticated\n$/)
})

test('other lines read as their message and their fields', () => {
  const line = prettyOf((log) => log.warn({ sessions: 2, note: 'two words' }, 'abandoned uploads were removed'))
  assert.match(line, /WARN: abandoned uploads were removed sessions=2 note="two words"\n$/)
})

test('an error is told with its stack, indented, in both forms', () => {
  const error = new RegistryError('storageFailed', { cause: Object.assign(new Error('bad disk'), { code: 'EIO' }) })
  assert.match(
    prettyOf((log) => log.error({ err: error }, 'it failed')),
    /ERROR: it failed\n {4}RegistryError: [^\n]+\n {8}at /,
  )
  const { err } = jsonOf((log) => log.error({ err: error }, 'it failed')) as { err: Record<string, unknown> }
  assert.equal(err['type'], 'RegistryError')
  assert.equal(err['reason'], 'storageFailed')
  assert.match(String(err['stack']), /caused by: Error: bad disk/)
})

const secretKeys = [
  'authorization',
  'Authorization',
  'proxy-authorization',
  'cookie',
  'Set-Cookie',
  'password',
  'passwordHash',
  'secret',
  'token',
  'accessToken',
  'access_token',
  'refresh_token',
  'id_token',
  'privateKey',
]

test('the value of a key that names a secret is written nowhere, at any depth, in no form', () => {
  const secret = 'hunter2hunter2'
  for (const key of secretKeys) {
    for (const fields of [
      { [key]: secret },
      { headers: { [key]: secret } },
      { list: [{ deep: { [key]: [secret] } }] },
      { err: Object.assign(new Error('x'), { [key]: secret }) },
    ]) {
      for (const format of ['json', 'pretty'] as const) {
        const { log, lines } = capture({ format })
        log.info(fields, 'x')
        assert.equal(lines.length, 1)
        assert.ok(!lines.join('').includes(secret), `${key} in ${format}: ${lines.join('')}`)
      }
    }
  }
})

test('keys that only sound like secrets are written', () => {
  const line = jsonOf((log) => log.info({ tokenSeconds: 900, secretary: 'alice', account: 'bob' }, 'x'))
  assert.deepEqual([line['tokenSeconds'], line['secretary'], line['account']], [900, 'alice', 'bob'])
})

test('raw bytes are told by their number, what nests too deep is cut, and a circle ends', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  const line = JSON.stringify(jsonOf((log) => log.info({ bytes: Buffer.from('hunter2'), circle, when: new Date(0) }, 'x')))
  assert.match(line, /"bytes":"\[7 bytes\]"/)
  assert.match(line, /\[deeper\]/)
  assert.match(line, /"when":"1970-01-01T00:00:00\.000Z"/)
})

const hostile = [
  'a\nb',
  '\r\n[12:00:00.000] INFO: forged',
  '\u001b[2J\u001b[31mred',
  'tab\there',
  'nul\0',
  '\u0085next line',
  '\u202Ereversed',
  '\u2028separator',
  'a c1 csi \u009b2J',
  'del\u007f',
]

for (const text of hostile) {
  test(`${JSON.stringify(text)} can neither begin a line nor move a cursor, wherever it stands`, () => {
    const error = new Error(text)
    const write = (log: Logger): void => {
      log.info({ [text]: text, nested: { a: text }, path: text, method: text, status: 200, err: error, agent: text }, text)
      log.info({ path: text, method: text, status: 200, durationMs: 1, client: text }, 'request')
    }
    const json = capture({})
    write(json.log)
    for (const line of json.lines) {
      assert.match(line, /^[^\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]+\n$/u)
      assert.ok(Object.hasOwn(JSON.parse(line) as object, 'msg'))
    }
    const pretty = capture({ format: 'pretty' })
    write(pretty.log)
    for (const line of pretty.lines) {
      assert.doesNotMatch(line.replaceAll(/\n {4}/g, '').replace(/\n$/, ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      assert.match(line, /^\[\d\d:/)
    }
  })
}

test('whatever is logged, a JSON line is one line of JSON and a pretty one begins with its time', () => {
  const fields = fc.dictionary(fc.string(), fc.anything({ withDate: true, withMap: true, withNullPrototype: true }))
  fc.assert(
    fc.property(fields, fc.string({ unit: 'binary' }), (record, message) => {
      const json = capture({})
      json.log.info(record, message)
      assert.equal(json.lines.join('').split('\n').length, 2)
      assert.equal(typeof JSON.parse(json.lines[0] ?? ''), 'object')
      const pretty = capture({ format: 'pretty' })
      pretty.log.info(record, message)
      for (const line of pretty.lines.join('').trimEnd().split('\n')) assert.match(line, /^(\[\d\d:\d\d:\d\d\.\d{3}\] INFO| {4})/)
    }),
  )
})
