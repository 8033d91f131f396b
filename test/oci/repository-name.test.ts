/** Repository names: the grammar of distribution-spec, checked against its own regular expression. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isRepositoryName, namespaceOf, parseRepositoryName } from '../../oci/repository-name.ts'
import { assertRefused } from './assert-refused.ts'

const specGrammar = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/

const accepted = [
  'a',
  '0',
  'library/alpine',
  'a.b/c_d/e__f/g-h/i-----j',
  'a/blobs',
  'blobs/uploads',
  'x/manifests/y',
  'foo/tags/list',
  'referrers',
  'a/uploads/list/tags',
  'x'.repeat(255),
  `${'a/'.repeat(99)}a`,
]

for (const name of accepted) {
  test(`the name ${name.slice(0, 40)} (${name.length}) is accepted`, () => {
    assert.equal(parseRepositoryName(name), name)
  })
}

const refused: readonly (readonly [why: string, text: string])[] = [
  ['is empty', ''],
  ['is longer than 255', 'x'.repeat(256)],
  ['has upper case', 'Library/alpine'],
  ['ends with a slash', 'a/b/'],
  ['starts with a slash', '/a'],
  ['has an empty component', 'a//b'],
  ['has the component ..', '../../etc/passwd'],
  ['has the component .', 'a/./b'],
  ['has two dots', 'a..b'],
  ['has three underscores', 'a___b'],
  ['mixes separators', 'a_.b'],
  ['has a dash and an underscore', 'a-_b'],
  ['starts a component with an underscore', 'a/_uploads'],
  ['starts with a dash', '-a'],
  ['ends with a dash', 'a-'],
  ['ends with a dot', 'a.'],
  ['ends with an underscore', 'a_'],
  ['ends a component with a dash', 'a-/b'],
  ['has a colon', 'a:b'],
  ['has a backslash', 'a\\b'],
  ['has a percent sign', 'a%2fb'],
  ['has a blank', 'a b'],
  ['has NUL', 'a\0b'],
  ['has a line end', 'a\n'],
  ['has CRLF', 'a\r\nX: y'],
  ['has a letter outside ASCII', 'é'],
  ['has a full-width letter', 'ａ'],
  ['has a digit outside ASCII', '٣'],
]

for (const [why, text] of refused) {
  test(`a name that ${why} is refused`, () => {
    assert.equal(isRepositoryName(text), false)
    assertRefused('nameInvalid', () => parseRepositoryName(text))
  })
}

test('the namespace is the first component', () => {
  assert.equal(namespaceOf(parseRepositoryName('team/app/web')), 'team')
  assert.equal(namespaceOf(parseRepositoryName('alpine')), 'alpine')
})

test('names are accepted exactly when the expression of the specification accepts them', () => {
  const unit = fc.constantFrom('a', '0', 'z', '9', '.', '_', '-', '/', 'A', '~')
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 12 }), (text) => {
      assert.equal(isRepositoryName(text), specGrammar.test(text))
    }),
    { numRuns: 3000 },
  )
})

test('any text is accepted or refused as nameInvalid, never with another fault', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      if (isRepositoryName(text)) assert.match(text, specGrammar)
      else assertRefused('nameInvalid', () => parseRepositoryName(text))
    }),
  )
})
