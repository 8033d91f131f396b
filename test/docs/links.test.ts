/**
 * Whatever the documents point to is there: links, anchors, files that they name.
 */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { allPages, anchorsOf, inlineCodeOf, linksOf, type Page, projectFiles, readPage } from './markdown.ts'

const files = projectFiles()
const folders = new Set([...files].flatMap((file) => file.split('/').map((_, depth, parts) => parts.slice(0, depth).join('/'))))
const exists = (path: string): boolean => files.has(path) || folders.has(path.replace(/\/$/, ''))

test('every relative link leads to a file of the project and every anchor to a heading', () => {
  const pages = allPages()
  const broken = pages.flatMap((page) =>
    linksOf(page)
      .filter((link) => !link.includes('://'))
      .filter((link) => !isReachable(page, link))
      .map((link) => `${page.path}: ${link}`),
  )
  assert.deepEqual(broken, [])
  assert.ok(pages.flatMap(linksOf).length >= 20)
})

function isReachable(page: Page, link: string): boolean {
  const [target = '', anchor] = link.split('#')
  const path = target === '' ? page.path : join(dirname(page.path), target)
  if (!exists(path)) return false
  return anchor === undefined || anchorsOf(readPage(path)).has(anchor)
}

/** Names that stand for a file of the reader's, of the data folder or of another program. */
const notOurs = /^(\/|https?:|data\/|\.\.|\.ts$|lanyard\.db|lock\.db|server\.json|dist\/|certificate\.pem|key\.pem|traefik\.yaml)/
const namesFile = /^[\w.-]+(?:\/[\w.-]+)*(?:\/|\.(?:ts|js|sql|md|json|yaml|sh|svg|cast))$/

test('every file and folder that a document names in backquotes exists', () => {
  const named = allPages().flatMap((page) =>
    inlineCodeOf(page).map((code) => ({ page: page.path, name: code.replace(/^(?:node|bash) /, '') })),
  )
  const paths = named.filter(({ name }) => namesFile.test(name) && !notOurs.test(name))
  const missing = paths.filter(({ name }) => !exists(name)).map(({ page, name }) => `${page}: ${name}`)
  assert.deepEqual(missing, [])
  assert.ok(paths.length > 60)
})

test('every file and folder in the layout of ARCHITECTURE.md is named from the root of the repository', () => {
  const names = inlineCodeOf(readPage('ARCHITECTURE.md')).filter((code) => namesFile.test(code) && !notOurs.test(code))
  const shortened = names.filter((name) => !files.has(name) && !folders.has(name.replace(/\/$/, '')))
  assert.deepEqual(shortened, [])
})

test('ARCHITECTURE.md fits into 150 lines', () => {
  const lines = readPage('ARCHITECTURE.md').text.trimEnd().split('\n').length
  assert.ok(lines <= 150, `it has ${lines}`)
})

test('ARCHITECTURE.md walks a push and a pull through files that import each other in that order', () => {
  const walked = [
    ['server/app.ts', 'server/routes/uploads.ts', 'registry/push-blob.ts', 'registry/upload-session.ts', 'storage/blobs/receive.ts'],
    ['server/routes/manifests.ts', 'registry/push-manifest.ts', 'storage/metadata/manifests.ts'],
    ['server/app.ts', 'server/routes/blobs.ts', 'registry/read-blob.ts', 'storage/blobs/blob-store.ts'],
    ['storage/blobs/disk-blob-store.ts', 'storage/blobs/durable.ts'],
  ]
  const page = readPage('ARCHITECTURE.md').text
  for (const chain of walked) {
    for (const [index, file] of chain.entries()) {
      assert.ok(page.includes(file), `${file} is not named`)
      const next = chain[index + 1]
      if (next === undefined) continue
      const imports = [...readPage(file).text.matchAll(/from '(\.[^']+)'/g)].map(([, target = '']) => join(dirname(file), target))
      assert.ok(imports.includes(next), `${file} does not import ${next}`)
    }
  }
})

test('every decision is a numbered page of at most 60 lines with context, choice, what was rejected and consequence', () => {
  const decisions = [...files].filter((file) => file.startsWith('docs/decisions/')).toSorted()
  assert.ok(decisions.length >= 10)
  for (const [index, path] of decisions.entries()) {
    assert.match(path, new RegExp(`^docs/decisions/${String(index + 1).padStart(4, '0')}-[a-z0-9-]+\\.md$`))
    const { text } = readPage(path)
    assert.ok(text.startsWith(`# ${index + 1}. `), path)
    assert.ok(text.split('\n').length <= 60, `${path} is too long`)
    assert.deepEqual(text.match(/^## .+$/gm), ['## Context', '## Choice', '## Rejected', '## Consequence'], path)
  }
})
