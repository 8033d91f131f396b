/** The floors of the house: an arrow never points up, there is no way round in a circle, and each library lives on one floor. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { findCycle, importsIn, isThere, readSources, type SourceFile } from '../support/source-files.ts'

const sources = readSources()
const files = [...sources.values()]

/** What each floor may stand on besides itself. */
const below: Readonly<Record<string, readonly string[]>> = {
  oci: [],
  storage: ['oci'],
  auth: ['oci'],
  registry: ['oci', 'storage', 'auth'],
  server: ['oci', 'storage', 'auth', 'registry'],
  cli: ['oci', 'storage', 'auth', 'registry', 'server'],
}

/** Where each library may be imported; what is not named here is imported nowhere. */
const libraries: Readonly<Record<string, readonly string[]>> = {
  'better-sqlite3': ['storage'],
  kysely: ['storage'],
  bcrypt: ['auth'],
  jsonwebtoken: ['auth'],
  koa: ['server'],
  '@koa/router': ['server'],
  pino: ['server'],
  'pino-pretty': ['server'],
  'prom-client': ['server'],
  zod: ['server'],
  yaml: ['server'],
  commander: ['cli'],
}

/** What of Node a floor does without. */
const withoutNode: Readonly<Record<string, RegExp>> = {
  oci: /^node:(?!crypto$)/,
  storage: /^node:(?:https?|http2|net|tls|cluster|dgram)$/,
  auth: /^node:(?:https?|http2|net|tls|cluster|dgram|child_process)$/,
  registry: /^node:(?:fs|fs\/promises|https?|http2|net|tls|cluster|child_process)$/,
  server: /^node:child_process$/,
}

const floorOf = (path: string): string => path.split('/')[0] ?? ''
const isModule = (name: string): boolean => name.startsWith('node:') || !/\.[jt]s$/.test(name)

/** Every import that `isBad` objects to, as `from: what`. */
function objections(isBad: (file: SourceFile, name: string) => boolean): string[] {
  return files.flatMap((file) => file.imports.filter((name) => isBad(file, name)).map((name) => `${file.path}: ${name}`))
}

suite('the floors', () => {
  test('are all there, with something on each', () => {
    for (const floor of Object.keys(below)) assert.ok(files.filter((file) => floorOf(file.path) === floor).length >= 3, floor)
  })

  test('every file that is imported is there', () => {
    assert.deepEqual(
      objections((_, name) => !isModule(name) && !isThere(name)),
      [],
    )
  })

  for (const [floor, allowed] of Object.entries(below)) {
    test(`${floor} stands on ${allowed.join(', ') || 'nothing'}`, () => {
      const bad = objections(
        (file, name) => floorOf(file.path) === floor && !isModule(name) && ![floor, ...allowed].includes(floorOf(name)),
      )
      assert.deepEqual(bad, [])
    })
  }

  test('nothing of the product imports a test or a benchmark', () => {
    assert.deepEqual(
      objections((file, name) => floorOf(file.path) in below && ['test', 'bench'].includes(floorOf(name))),
      [],
    )
  })

  test('no import leads round in a circle, types included', () => {
    const importsOf = new Map(files.map((file) => [file.path, file.imports.filter((name) => sources.has(name))]))
    assert.equal(findCycle(importsOf)?.join(' → '), undefined)
  })
})

suite('libraries', () => {
  test('each is imported on its own floor only', () => {
    const bad = objections((file, name) => {
      if (!(floorOf(file.path) in below) || !isModule(name) || name.startsWith('node:')) return false
      return !(libraries[name] ?? []).includes(floorOf(file.path))
    })
    assert.deepEqual(bad, [])
  })

  for (const [floor, forbidden] of Object.entries(withoutNode)) {
    test(`${floor} does without ${forbidden.source.replace(/^\^node:/, '')} of Node`, () => {
      assert.deepEqual(
        objections((file, name) => floorOf(file.path) === floor && forbidden.test(name)),
        [],
      )
    })
  }
})

suite('reading imports', () => {
  test('finds those of one line and of several, re-exports, types, bare ones and dynamic ones', () => {
    const quote = "'"
    const text = [
      "/** import nothing from 'a comment' */",
      "import a from './a.ts'",
      "import type { B } from './b.ts'",
      'import {',
      '  c,',
      '  type C,',
      "} from '../c.ts'",
      "import 'node:fs'",
      "export * from './d.ts'",
      "export { e } from './e.ts'",
      "export const text = 'from here'",
      `const f = await import(${quote}./f.ts${quote})`,
      'const g = import( "g" )'.replaceAll('"', quote),
    ].join('\n')
    assert.deepEqual(importsIn(text), ['./a.ts', './b.ts', '../c.ts', 'node:fs', './d.ts', './e.ts', './f.ts', 'g'])
  })

  test('finds a circle wherever it begins, and none where there is none', () => {
    const graph = (edges: Record<string, string[]>): Map<string, string[]> => new Map(Object.entries(edges))
    assert.deepEqual(findCycle(graph({ a: ['b'], b: ['c', 'd'], c: [], d: ['b'] })), ['b', 'd', 'b'])
    assert.deepEqual(findCycle(graph({ a: ['a'] })), ['a', 'a'])
    assert.equal(findCycle(graph({ a: ['b', 'c'], b: ['d'], c: ['d'], d: [] })), undefined)
  })
})
