/** References: the colon tells digest from tag, and each has its own refusal. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isDigest } from '../../oci/digest.ts'
import { isTag, parseReference, parseTag } from '../../oci/reference.ts'
import { assertRefused } from './assert-refused.ts'

const hex64 = 'a'.repeat(64)

for (const tag of ['latest', 'v1.2.3', '_x', '0', 'A-b_c.D', 'list', 'x'.repeat(128), `sha256-${hex64}.sig`, `sha256-${hex64}`]) {
  test(`${tag.slice(0, 30)} is a tag`, () => {
    assert.equal(parseTag(tag), tag)
    assert.deepEqual(parseReference(tag), { kind: 'tag', tag })
  })
}

const refused: readonly (readonly [why: string, text: string])[] = [
  ['empty text', ''],
  ['129 characters', 'x'.repeat(129)],
  ['a dot in front', '.x'],
  ['a dash in front', '-x'],
  ['a path', '../x'],
  ['a slash', 'a/b'],
  ['a backslash', '..\\x'],
  ['a plus', '1.0+build'],
  ['a blank', 'a b'],
  ['a line end', 'a\n'],
  ['CRLF', 'a\r\nX'],
  ['NUL', 'a\0'],
  ['a letter outside ASCII', 'é'],
]

for (const [why, text] of refused) {
  test(`a tag with ${why} is refused`, () => {
    assert.equal(isTag(text), false)
    assertRefused('tagInvalid', () => parseTag(text))
    assertRefused('tagInvalid', () => parseReference(text))
  })
}

test('a reference with a colon is a digest', () => {
  const digest = `sha256:${hex64}`
  assert.deepEqual(parseReference(digest), { kind: 'digest', digest })
  assert.deepEqual(parseReference('md5:00'), { kind: 'digest', digest: 'md5:00' })
})

test('a reference with a colon that is no digest is refused as a digest, never taken for a tag', () => {
  for (const text of ['sha256:baddigeststring', ':', 'a:', ':b', `sha256:${hex64}:x`, 'sha256:../../x']) {
    assertRefused('digestInvalid', () => parseReference(text))
    assert.equal(isTag(text), false)
  }
})

test('the message about a bad tag is not the one that docker takes for schema 1', () => {
  assert.doesNotMatch(assertRefused('tagInvalid', () => parseTag('.')).message, /tag invalid/i)
})

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 150 }),
  fc.string({ unit: fc.constantFrom('a', '0', ':', '.', '-', 'A', '/'), maxLength: 10 }),
)

test('any text is a tag, a digest, or refused as one of them', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      if (isTag(text)) assert.deepEqual(parseReference(text), { kind: 'tag', tag: text })
      else if (!text.includes(':')) assertRefused('tagInvalid', () => parseReference(text))
      else if (isDigest(text)) assert.deepEqual(parseReference(text), { kind: 'digest', digest: text })
      else assertRefused('digestInvalid', () => parseReference(text))
    }),
  )
})
