/** The table of settings: every row complete, every derived name its own, every default allowed by its own schema. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadSettings } from '../../server/config/load.ts'
import {
  allowedFor,
  defaultSettings,
  environmentNameOf,
  flagNameOf,
  nestSettings,
  settingRows,
  type FlatSettings,
} from '../../server/config/settings.ts'

for (const row of settingRows) {
  test(`${row.key} says what it is, what is allowed and when an operator would change it`, () => {
    const sentences = row.doc.split(/(?<=[.:]) /)
    assert.ok(sentences.length >= 2, 'what it is, and the story')
    assert.match(row.doc, /\.$/)
    assert.match(allowedFor(row), /^\w.{5}/)
    assert.doesNotMatch(allowedFor(row), /\.$/, 'the pages put the full stop')
  })

  test(`${row.key} has a default that is allowed, or none`, () => {
    if (row.default === undefined) return assert.equal(row.schema.safeParse('').success, false, 'absent is not the same as empty')
    const result = row.schema.safeParse(row.default)
    assert.deepEqual(result.success && result.data, row.default)
  })

  test(`${row.key} names its unit if it is a number`, () => {
    assert.equal(typeof row.default === 'number', row.unit !== undefined)
  })
}

test('keys are camel case, at most in one section, and no section is a setting too', () => {
  const keys = settingRows.map((row) => row.key)
  for (const key of keys) {
    assert.match(key, /^[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)?$/)
    assert.ok(!keys.some((other) => other.startsWith(`${key}.`)), key)
  }
})

test('keys, environment names and flags are unique, also with the _FILE names of secrets', () => {
  const secretFiles = settingRows.filter((row) => row.isSecret === true).map((row) => `${environmentNameOf(row.key)}_FILE`)
  for (const names of [
    settingRows.map((row) => row.key),
    [...settingRows.map((row) => environmentNameOf(row.key)), ...secretFiles, 'LANYARD_CONFIG'],
    [...settingRows.map((row) => flagNameOf(row.key)), 'config', 'help', 'json', 'admin', 'password-stdin'],
  ])
    assert.deepEqual([...names].toSorted(), [...new Set(names)].toSorted())
})

test('no environment name looks like what Kubernetes sets', () => {
  for (const row of settingRows) assert.doesNotMatch(environmentNameOf(row.key), /_(PORT|SERVICE_HOST)$/)
})

test('names follow from the key', () => {
  assert.equal(environmentNameOf('manifests.maxTagsPerPush'), 'LANYARD_MANIFESTS_MAX_TAGS_PER_PUSH')
  assert.equal(flagNameOf('manifests.maxTagsPerPush'), 'manifests-max-tags-per-push')
  assert.equal(environmentNameOf('externalUrl'), 'LANYARD_EXTERNAL_URL')
  assert.equal(flagNameOf('data'), 'data')
})

test('what holds a secret is marked: by its name it would be one', () => {
  for (const row of settingRows) {
    const isNamedSo = /password$|token$|secret$/i.test(row.key)
    assert.equal(row.isSecret === true, isNamedSo, row.key)
  }
})

test('settings are nested by their sections and survive the way to a worker as JSON', () => {
  const { settings, flat } = loadSettings({ env: { LANYARD_TRUSTED_PROXIES: '10.0.0.0/8' }, flags: {} })
  assert.deepEqual(nestSettings(flat), settings)
  assert.equal(settings.log.level, flat['log.level'])
  assert.deepEqual(settings.trustedProxies, ['10.0.0.0/8'])
  const sent = JSON.parse(JSON.stringify(settings)) as typeof settings
  const withoutAbsent = JSON.stringify(sent)
  assert.equal(withoutAbsent, JSON.stringify(settings))
  assert.equal(sent.admin.password, undefined)
})

test('defaults with some values replaced are a whole set of settings', () => {
  const changed = { 'log.level': 'silent', workers: 1 } satisfies Partial<FlatSettings>
  const settings = defaultSettings(changed)
  assert.equal(settings.log.level, 'silent')
  assert.equal(settings.workers, 1)
  assert.deepEqual({ ...settings, log: undefined, workers: 0 }, { ...defaultSettings(), log: undefined, workers: 0 })
})
