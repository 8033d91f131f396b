/**
 * The names of things that documents use are the program's: settings, variables, scripts, metrics, reasons, paths, messages.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { auditActions } from '../../registry/audit.ts'
import { errorTable } from '../../oci/errors.ts'
import { environmentNameOf, settingRows } from '../../server/config/settings.ts'
import { fileVariable, tokenVariable } from '../../server/config/sources.ts'
import { metricTable } from '../../server/metrics.ts'
import { startRegistry } from '../support/start-registry.ts'
import { allPages, codeBlocksOf, inlineCodeOf, readPage, root } from './markdown.ts'

const pages = allPages()
const deployed = ['Dockerfile', 'deploy/compose.yaml', 'deploy/lanyard.sample.yaml'].map(readPage)

/** Every match in every page, as `page: match`, that the check does not know. */
function unknown(from: readonly { path: string; text: string }[], pattern: RegExp, isKnown: (name: string) => boolean): string[] {
  return from.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].flatMap(([match, name = match]) => (isKnown(name) ? [] : [`${path}: ${name}`])),
  )
}

test('every LANYARD_ variable in a document or a deployment is a setting', () => {
  const secrets = settingRows.filter((row) => row.isSecret === true).map((row) => `${environmentNameOf(row.key)}_FILE`)
  const known = new Set([...settingRows.map((row) => environmentNameOf(row.key)), ...secrets, fileVariable, tokenVariable])
  assert.deepEqual(
    unknown([...pages, ...deployed], /\bLANYARD_[A-Z_]*[A-Z]\b/g, (name) => known.has(name)),
    [],
  )
})

test('every setting that a document names by its key exists', () => {
  const keys = new Set<string>(settingRows.map((row) => row.key))
  const sections = [...new Set([...keys].filter((key) => key.includes('.')).map((key) => key.split('.')[0]))].join('|')
  const pattern = new RegExp(`^(?:${sections})\\.[a-zA-Z]+$`)
  const named = pages.flatMap((page) => inlineCodeOf(page).filter((code) => pattern.test(code)))
  assert.deepEqual(
    named.filter((key) => !keys.has(key) && !key.endsWith('.ts')),
    [],
  )
  assert.ok(named.length >= 5)
})

test('every npm script that a document calls exists', () => {
  const { scripts } = JSON.parse(readPage('package.json').text) as { scripts: Record<string, string> }
  const short = new Set(['start', 'test'])
  const isScript = (name: string): boolean => Object.hasOwn(scripts, name)
  assert.deepEqual(unknown(pages, /\bnpm run (?:--silent )?([\w:-]+)/g, isScript), [])
  const isCommand = (name: string): boolean => name === 'ci' || (short.has(name) && isScript(name))
  assert.deepEqual(unknown(pages, /(?:^|`|&& |\$ |=\S+ )npm (?!run\b)([a-z]+)\b/gm, isCommand), [])
})

test('every metric that a document names is counted', () => {
  const known = new Set<string>(Object.values(metricTable).map(({ name }) => name))
  const named = pages.flatMap(({ text }) => text.match(/\blanyard_[a-z_]+\b/g) ?? [])
  assert.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  )
  assert.ok(named.length > known.size)
})

test('the page on the audit log names every action with its meaning, and no other', () => {
  const named: readonly string[] = readPage('docs/audit.md').text.match(/^\| `[a-z-]+` \| .* \|$/gm) ?? []
  const actions = Object.entries(auditActions).map(([action, meaning]) => `| \`${action}\` | ${meaning} |`)
  assert.deepEqual(
    actions.filter((line) => !named.includes(line)),
    [],
  )
  const fields = ['id', 'at', 'actor', 'via', 'address', 'detail', 'outcome']
  const names = named.map((line) => /`([a-z-]+)`/.exec(line)?.[1] ?? '')
  assert.deepEqual(
    names.filter((name) => !fields.includes(name)),
    Object.keys(auditActions),
  )
})

test('every reason that the README names is one of errors.ts', () => {
  const reasons = /a reason of (.*?) that grows/s.exec(readPage('README.md').text)?.[1]?.match(/(?<=`)\w+(?=`)/g) ?? []
  assert.ok(reasons.length > 0)
  assert.deepEqual(
    reasons.filter((reason) => !Object.hasOwn(errorTable, reason)),
    [],
  )
})

test('every path outside /v2 that the README and SECURITY.md name is answered', async (t) => {
  const registry = await startRegistry(t, { settings: { METRICS_ACCESS: 'anyone' } })
  const pattern = /(?<=^\| `)\/[a-z]+(?=`)|(?<=\bpath: )\/[a-z]+|\/api\/v1\/\w+|(?<=`)\/(?:healthz|readyz|metrics)(?=`)/gm
  const texts = [readPage('README.md'), readPage('SECURITY.md')].flatMap(({ text }) => text.match(pattern) ?? [])
  const paths = [...new Set(texts)]
  assert.deepEqual(paths.toSorted(), ['/api/v1/docs', '/api/v1/openapi', '/api/v1/repositories', '/healthz', '/metrics', '/readyz'])
  for (const path of paths) {
    const { status } = await fetch(new URL(path === '/api/v1/openapi' ? `${path}.json` : path, registry.url))
    assert.equal(status, path === '/api/v1/repositories' ? 401 : 200, path)
  }
})

test('what the README says that the server says, it says', () => {
  const table = /\| The server says \|.*?\n\n/s.exec(readPage('README.md').text)?.[0] ?? ''
  const messages = table.match(/(?<=^\| `)[^`]+(?=`)/gm) ?? []
  const sources = globSync(['cli/*.{ts,js}', 'server/**/*.ts', 'storage/**/*.ts'], { cwd: root }).map((file) =>
    readFileSync(join(root, file), 'utf8'),
  )
  const program = sources.join('\n').replaceAll(/\$\{[^}]*\}/g, '...')
  const pieces = messages.flatMap((message) => message.split('...')).map((piece) => piece.trim())
  assert.ok(pieces.filter(Boolean).length >= 4)
  assert.deepEqual(
    pieces.filter((piece) => !program.includes(piece)),
    [],
  )
})

test('no document names a code block of an unknown language, and none is empty', () => {
  const languages = new Set(['sh', 'yaml', 'ini', 'nginx', 'console', ''])
  const blocks = pages.flatMap((page) => codeBlocksOf(page).map((block) => ({ page: page.path, ...block })))
  assert.deepEqual(
    blocks.filter(({ language, lines }) => !languages.has(language) || lines.join('') === '').map(({ page }) => page),
    [],
  )
})
