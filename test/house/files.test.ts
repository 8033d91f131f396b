/** What every file keeps to: its size, its name, its first lines, and nothing that waits for later. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { readSources } from '../support/source-files.ts'

const files = [...readSources().values()]
const isTest = (path: string): boolean => path.startsWith('test/')
const product = files.filter(({ path }) => !isTest(path))
const tests = files.filter(({ path }) => isTest(path))

/** The paths of the files that are not as they should be. */
const failing = (among: typeof files, isBad: (file: (typeof files)[number]) => boolean): string[] =>
  among.filter(isBad).map(({ path }) => path)
const linesOf = (text: string): number => text.trimEnd().split('\n').length

suite('files', () => {
  test('of the product have at most 400 lines, those of tests 600; one table of facts may be longer, if it says so', () => {
    assert.ok(product.length > 80 && tests.length > 80, 'both are looked at')
    assert.deepEqual(
      failing(product, ({ text }) => linesOf(text) > 400 && !/^\/\* es[l]int-disable max-lines -- \S/.test(text)),
      [],
    )
    assert.deepEqual(
      failing(tests, ({ text }) => linesOf(text) > 600),
      [],
    )
  })

  test('are named in kebab-case, and so are their folders', () => {
    assert.deepEqual(
      failing(files, ({ path }) => !path.split('/').every((part) => /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?(?:\.ts)?$/.test(part))),
      [],
    )
  })

  test('are named for the noun inside, never for not knowing where something belongs', () => {
    const forbidden = new Set(['utils', 'helpers', 'common', 'misc', 'types', 'constants', 'index'])
    assert.deepEqual(
      failing(files, ({ path }) => path.split('/').some((part) => forbidden.has(part.replace(/(?:\.test)?\.ts$/, '')))),
      [],
    )
  })

  test('open with a comment that says what they are for', () => {
    assert.deepEqual(
      failing(files, ({ text }) => !/^(?:#!.*\n|\/\* es[l]int-disable .*\n)?\/\*\*(?: \S|\n \* \S)/.test(text)),
      [],
    )
  })

  test('hold nothing that is left for later', () => {
    assert.deepEqual(
      failing(files, ({ text }) => /\b(?:TO[D]O|FIX[M]E|XX[X])\b/.test(text)),
      [],
    )
  })

  test('silence no check of types, and of style only one that has a reason', () => {
    assert.deepEqual(
      failing(files, ({ text }) => /@ts-(?:ign[o]re|noch[e]ck)|ox[f]mt-ignore/.test(text)),
      [],
    )
    const excused = /(?:ox|es)lint-disable(?:-next-line)? [\w/-]+ -- \S/
    assert.deepEqual(
      failing(files, ({ text }) => text.split('\n').some((line) => /(?:oxl[i]nt|esl[i]nt)-disable/.test(line) && !excused.test(line))),
      [],
    )
  })

  test('of the product keep no variable of their own that changes', () => {
    assert.deepEqual(
      failing(product, ({ text }) => /^(?:export )?(?:let|var)\s/m.test(text)),
      [],
    )
  })
})

suite('tests', () => {
  test('are all run: none is skipped, left for later or run alone', () => {
    const left = /\b(?:test|suite|describe|it|t)\.(?:sk[i]p|tod[o]|onl[y])\b|\b(?:sk[i]p|tod[o]|onl[y]): (?:true|['"`])/
    assert.deepEqual(
      failing(tests, ({ text }) => left.test(text)),
      [],
    )
  })
})
