/** The settings as people read them: secrets masked everywhere, and every generated page as the tables say. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { findStale, renderDocuments, writeDocuments } from '../../cli/generate-docs.ts'
import { endpoints } from '../../oci/endpoints.ts'
import { errorTable } from '../../oci/errors.ts'
import {
  describeFlags,
  renderConfigurationPage,
  renderSampleFile,
  renderSettings,
  renderSettingsJson,
} from '../../server/config/describe.ts'
import { loadSettings } from '../../server/config/load.ts'
import { environmentNameOf, flagNameOf, settingRows } from '../../server/config/settings.ts'
import { metricTable } from '../../server/metrics.ts'
import { temporaryFile, temporaryFolder } from '../support/temporary-folder.ts'

const repository = join(import.meta.dirname, '../..')
const secret = 'correct-horse-battery'

const loaded = () =>
  loadSettings({
    env: { LANYARD_ADMIN_PASSWORD: secret, LANYARD_METRICS_TOKEN: secret, LANYARD_MANIFESTS_MAX_BYTES: '2097152' },
    flags: { listen: '[::1]:0', 'trusted-proxies': '10.0.0.0/8,::1' },
  })

test('config print: one line for each setting, in the order of the table, with its value and its origin', () => {
  const lines = renderSettings(loaded()).split('\n')
  assert.equal(lines.pop(), '')
  assert.deepEqual(
    lines.map((line) => line.split(/ {2,}/)[0]),
    settingRows.map((row) => row.key),
  )
  const lineOf = (key: string) => lines.find((line) => line.startsWith(`${key} `))?.split(/ {2,}/)
  assert.deepEqual(lineOf('listen'), ['listen', '[::1]:0', 'flag --listen'])
  assert.deepEqual(lineOf('access'), ['access', 'login', 'default'])
  assert.deepEqual(lineOf('externalUrl'), ['externalUrl', '-', 'default'])
  assert.deepEqual(lineOf('manifests.maxBytes'), ['manifests.maxBytes', '2 MiB', 'environment LANYARD_MANIFESTS_MAX_BYTES'])
  assert.deepEqual(lineOf('trustedProxies'), ['trustedProxies', '["10.0.0.0/8","::1"]', 'flag --trusted-proxies'])
  assert.deepEqual(lineOf('admin.password'), ['admin.password', '***', 'environment LANYARD_ADMIN_PASSWORD'])
})

test('config print --json: every key with its value, null when absent, and its origin', () => {
  const printed = JSON.parse(renderSettingsJson(loaded())) as Record<string, { value: unknown; origin: string }>
  assert.deepEqual(
    Object.keys(printed),
    settingRows.map((row) => row.key),
  )
  assert.deepEqual(printed['manifests.maxBytes'], { value: 2_097_152, origin: 'environment LANYARD_MANIFESTS_MAX_BYTES' })
  assert.deepEqual(printed['externalUrl'], { value: null, origin: 'default' })
  assert.deepEqual(printed['metrics.token'], { value: '***', origin: 'environment LANYARD_METRICS_TOKEN' })
})

test('no form of the settings shows a secret', () => {
  for (const text of [renderSettings(loaded()), renderSettingsJson(loaded())]) assert.ok(!text.includes(secret))
})

test('every setting has a flag with a help text; those of secrets are hidden', () => {
  const flags = describeFlags()
  assert.deepEqual(
    flags.map((flag) => flag.name),
    settingRows.map((row) => flagNameOf(row.key)),
  )
  for (const [index, flag] of flags.entries()) {
    assert.match(flag.help, /^[A-Z].+ \(default: .+\)$/)
    assert.equal(flag.isHidden, settingRows[index]?.isSecret === true)
  }
})

test('the sample file as it is sets nothing', (t) => {
  const config = temporaryFile(t, 'sample.yaml', renderSampleFile())
  const { flat } = loadSettings({ env: { LANYARD_CONFIG: config }, flags: {} })
  assert.deepEqual(flat, loadSettings({ env: {}, flags: {} }).flat)
})

test('the sample file with every # removed before a setting that has a default loads and is the defaults', (t) => {
  const keys = settingRows.map((row) => row.key.split('.').at(-1)).join('|')
  const text = renderSampleFile().replaceAll(new RegExp(`^( *)#((?:${keys}): \\S)`, 'gm'), '$1$2')
  const config = temporaryFile(t, 'sample.yaml', text)
  const { flat, origins } = loadSettings({ env: { LANYARD_CONFIG: config }, flags: {} })
  for (const row of settingRows) {
    if (row.key === 'workers') continue
    assert.deepEqual(flat[row.key], row.default, row.key)
    assert.equal(origins[row.key].kind, row.default === undefined ? 'default' : 'file', row.key)
  }
  assert.equal(flat.workers, 1, 'the cores of the machine that wrote it are not in it')
})

test('the page of settings has a section for every setting with its names and its whole doc', () => {
  const page = renderConfigurationPage()
  for (const row of settingRows) {
    const section = page.split(`\n### ${row.key}\n`)[1]?.split('\n### ')[0] ?? ''
    assert.ok(section.includes(row.doc), row.key)
    assert.ok(section.includes(`\`${environmentNameOf(row.key)}\``), row.key)
    assert.equal(section.includes(`\`--${flagNameOf(row.key)}\``), row.isSecret !== true, row.key)
    assert.equal(section.includes(`\`${environmentNameOf(row.key)}_FILE\``), row.isSecret === true, row.key)
  }
})

test('the generated pages in the repository are what the tables say', async () => {
  assert.deepEqual(await findStale(repository), [])
})

test('every generated page names its command in its first line and has no trailing spaces', () => {
  for (const [path, content] of renderDocuments()) {
    assert.match(content.split('\n')[0] ?? '', /Generated by "node cli\/generate-docs\.ts" from \S+; do not edit here/, path)
    assert.doesNotMatch(content, / \n/, path)
    assert.match(content, /[^\n]\n$/, path)
  }
})

test('the pages on errors, endpoints and metrics have a row for every entry of their tables', () => {
  const pages = renderDocuments()
  const rowsIn = (path: string) => (pages.get(path) ?? '').split('\n').filter((line) => line.startsWith('| ')).length - 1
  assert.equal(rowsIn('docs/errors.md'), Object.keys(errorTable).length)
  assert.equal(rowsIn('docs/metrics.md'), Object.keys(metricTable).length)
  assert.equal(rowsIn('docs/endpoints.md'), Object.values(endpoints).flatMap(({ methods }) => Object.keys(methods)).length)
})

test('a page that was changed or is missing is stale until it is written again', async (t) => {
  const folder = temporaryFolder(t)
  assert.deepEqual(await findStale(folder), [...renderDocuments().keys()])
  await writeDocuments(folder)
  assert.deepEqual(await findStale(folder), [])
  const path = join(folder, 'docs/errors.md')
  await writeFile(path, `${await readFile(path, 'utf8')} `)
  assert.deepEqual(await findStale(folder), ['docs/errors.md'])
})
