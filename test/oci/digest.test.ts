/** Digests: the grammar of image-spec, exact hex for what we can compute, and nothing that could leave a folder. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  algorithmOf,
  digestFromHex,
  digestOf,
  encodedOf,
  isDigest,
  isEmptyContent,
  isSupported,
  parseAlgorithm,
  parseDigest,
  requireSupported,
} from '../../oci/digest.ts'
import { assertRefused } from './assert-refused.ts'

const hex64 = 'a'.repeat(64)
const hex128 = '0f'.repeat(64)

const accepted: readonly (readonly [text: string, supported: boolean])[] = [
  [`sha256:${hex64}`, true],
  [`sha512:${hex128}`, true],
  [`blake3:${hex64}`, false],
  ['md5:d41d8cd98f00b204e9800998ecf8427e', false],
  ['multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8', false],
  ['sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=', false],
]

for (const [text, supported] of accepted) {
  test(`the digest ${text.slice(0, 24)} is accepted and ${supported ? 'supported' : 'not supported'}`, () => {
    const digest = parseDigest(text)
    assert.equal(digest, text)
    assert.equal(isSupported(digest), supported)
    if (supported) assert.equal(requireSupported(digest), text)
    else assertRefused('digestUnsupported', () => requireSupported(digest))
  })
}

const refused: readonly (readonly [why: string, text: string])[] = [
  ['empty text', ''],
  ['no algorithm', `:${hex64}`],
  ['nothing encoded', 'sha256:'],
  ['no colon', `sha256${hex64}`],
  ['a path', 'sha256:../../x'],
  ['a short value', 'sha256:baddigeststring'],
  ['one digit too few', `sha256:${'a'.repeat(63)}`],
  ['one digit too many', `sha256:${'a'.repeat(65)}`],
  ['upper-case hex', `sha256:${'A'.repeat(64)}`],
  ['letters beyond f', `sha256:${'g'.repeat(64)}`],
  ['sha512 with the length of sha256', `sha512:${hex64}`],
  ['upper-case hex of sha512', `sha512:${hex128.toUpperCase()}`],
  ['an upper-case algorithm', `SHA256:${hex64}`],
  ['a second colon', `sha256:${hex64}:x`],
  ['md5 without a value', 'md5:'],
  ['two separators in the algorithm', `sha256++x:${hex64}`],
  ['a separator in front of the algorithm', `+sha256:${hex64}`],
  ['a line end behind it', `sha256:${hex64}\n`],
  ['a header injected', `sha256:${hex64}\r\nX: y`],
  ['NUL', `sha256:${'a'.repeat(63)}\0`],
  ['more than 256 characters', `other:${'a'.repeat(251)}`],
  ['an encoded colon', `sha256%3A${hex64}`],
]

for (const [why, text] of refused) {
  test(`a digest with ${why} is refused`, () => {
    assert.equal(isDigest(text), false)
    assertRefused('digestInvalid', () => parseDigest(text))
  })
}

test('a digest of exactly 256 characters is accepted', () => {
  const text = `other:${'a'.repeat(250)}`
  assert.equal(parseDigest(text), text)
})

test('a digest comes apart into algorithm and encoded form', () => {
  const digest = digestOf('sha512', Buffer.from('x'))
  assert.equal(`${algorithmOf(digest)}:${encodedOf(digest)}`, digest)
  assert.equal(algorithmOf(digestFromHex('sha256', hex64)), 'sha256')
})

test('hashing gives the well-known digests of the empty descriptor and of nothing', () => {
  const empty = digestOf('sha256', Buffer.from('{}'))
  assert.equal(empty, 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
  assert.equal(digestOf('sha256', Buffer.alloc(0)), 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

test('only the digests of zero bytes are empty content', () => {
  assert.equal(isEmptyContent(digestOf('sha256', Buffer.alloc(0))), true)
  assert.equal(isEmptyContent(digestOf('sha512', Buffer.alloc(0))), true)
  assert.equal(isEmptyContent(digestOf('sha256', Buffer.alloc(1))), false)
})

test('a digest is built from hex only if the hex is exact', () => {
  assert.equal(digestFromHex('sha256', hex64), `sha256:${hex64}`)
  for (const hex of ['', hex64.toUpperCase(), hex128, '../x']) assertRefused('digestInvalid', () => digestFromHex('sha256', hex))
})

test('the digest-algorithm parameter is sha256 or sha512 and nothing else', () => {
  assert.equal(parseAlgorithm('sha256'), 'sha256')
  assert.equal(parseAlgorithm('sha512'), 'sha512')
  for (const text of ['', 'SHA256', 'md5', 'sha256 ', 'blake3', '__proto__']) assertRefused('digestUnsupported', () => parseAlgorithm(text))
})

test('whatever is hashed, its digest is accepted and supported', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom('sha256', 'sha512'), (bytes, algorithm) => {
      const digest = digestOf(algorithm, bytes)
      assert.equal(parseDigest(digest), digest)
      assert.equal(digestFromHex(algorithm, encodedOf(digest)), digest)
      assert.equal(isEmptyContent(digest), bytes.length === 0)
    }),
  )
})

test('no text that holds a slash, a backslash, a dot-dot value, a blank or a control character is a digest', () => {
  const bad = fc.constantFrom('/', '\\', '\0', ' ', '\n', '\r', '%', ';', '"')
  fc.assert(
    fc.property(fc.string(), bad, fc.string(), (before, char, after) => {
      assert.equal(isDigest(`sha256:${before}${char}${after}`), false)
    }),
  )
})

test('any text is either a digest of the grammar or refused as one', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      if (isDigest(text)) assert.match(text, /^[a-z0-9+._-]+:[a-zA-Z0-9=_-]+$/)
      else assertRefused('digestInvalid', () => parseDigest(text))
    }),
  )
})
